//! `upstream` and what stands in it.

mod server_line;
mod sticky_line;

use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{
    ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Node, Span, parse_milliseconds, parse_size,
    unknown_directive,
};
use daemun_server::Module;
use daemun_server::config::{Build, setter};
use daemun_server::zone::ZoneName;

use self::server_line::set_server;
use self::sticky_line::StickyLine;
use super::UpstreamTable;
use super::balance::Method;
use super::balance::hash::Hash;
use super::balance::least_time::LeastTime;
use super::group::{GroupSettings, Upstream};
use super::idle::KeepAlive;
use super::queue::Queue;
use super::resolving::{Resolving, ServerName, ZoneGroups};
use super::server::ServerState;
use crate::limits::ZONE_BYTES_MIN;
use crate::resolver::{Resolver, ResolverInForce, read_resolver};

/// Named once, in the program's list of modules, before the modules that pass requests on.
pub static MODULE: Module<Upstreams> = Module {
    name: "upstream",
    directives: DIRECTIVES,
    merge: |_, _| {},
    finish: publish,
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: crate::exchange::states::VARIABLES,
};

/// The groups of a configuration.
#[derive(Default)]
pub struct Upstreams {
    groups: Vec<Draft>,
}

/// A group while its block is read.
#[derive(Default)]
struct Draft {
    name: String,
    servers: Vec<Arc<ServerState>>,
    names: Vec<ServerName>,
    span: Option<Span>,
    resolver: Option<Arc<Resolver>>,
    resolver_timeout: Option<Duration>,
    method: Option<Method>,
    zone: Option<ZoneLine>,
    sticky: Option<StickyLine>,
    queue: Option<Queue>,
    keepalive: Option<(usize, bool)>,
    keepalive_requests: Option<u64>,
    keepalive_time: Option<Duration>,
    keepalive_timeout: Option<Duration>,
}

impl Draft {
    fn into_group(self, build: &mut Build<'_>) -> Result<Arc<Upstream>, Diagnostic> {
        let lookup = self.lookup(build)?;
        let default = KeepAlive::default();
        let (connections, is_local) = self.keepalive.unwrap_or((default.connections, default.is_local));
        let keepalive = KeepAlive {
            connections,
            is_local,
            requests: self.keepalive_requests.map_or(default.requests, |most| u32::try_from(most).unwrap_or(u32::MAX)),
            time: self.keepalive_time.unwrap_or(default.time),
            timeout: self.keepalive_timeout.unwrap_or(default.timeout),
        };
        let settings = GroupSettings {
            method: self.method.unwrap_or_default(),
            keepalive: Some(keepalive).filter(|keep| keep.connections > 0),
            sticky: self.sticky.map(|line| line.finish(&self.name, build)).transpose()?,
            queue: self.queue,
            names: self.names,
        };
        let group = Arc::new(Upstream::new(self.name, settings, self.servers));
        if let Some((resolver, timeout)) = lookup {
            for origin in 0..group.settings.names.len() {
                let (upstream, resolver) = (Arc::downgrade(&group), Arc::clone(&resolver));
                build.run_beside(Arc::new(Resolving { upstream, origin, resolver, timeout }));
            }
        }
        Ok(group)
    }

    /// Who looks the group's names up, and how long is waited; `None` where there are none.
    fn lookup(&self, build: &Build<'_>) -> Result<Option<(Arc<Resolver>, Duration)>, Diagnostic> {
        if self.names.is_empty() {
            return Ok(None);
        }
        let error = |message: String| match self.span {
            Some(span) => Diagnostic::error(span, message),
            None => Diagnostic::error_without_place(message),
        };
        let name = &self.name;
        if self.zone.is_none() {
            let message = format!("resolving names at run time requires upstream \"{name}\" to be in shared memory");
            return Err(error(message));
        }
        let outer = build.published::<ResolverInForce>().cloned().unwrap_or_default();
        let resolver =
            self.resolver.clone().or(outer.resolver).ok_or_else(|| {
                error(format!("no resolver defined to resolve names at run time in upstream \"{name}\""))
            })?;
        Ok(Some((resolver, self.resolver_timeout.unwrap_or(outer.timeout))))
    }
}

static DIRECTIVES: &[Directive<Upstreams>] = &[
    Directive {
        name: "upstream",
        contexts: Context::HTTP,
        arity: Arity::Block { min: 1, max: 1 },
        default: "none",
        help: "name block: a group of servers",
        set: set_upstream,
    },
    Directive {
        name: "server",
        contexts: Context::UPSTREAM,
        arity: Arity::AtLeast(1),
        default: "none",
        help: "address [weight=N] [max_conns=N] [max_fails=N] [fail_timeout=time] [backup] [down] [slow_start=time] [drain] [route=text] [resolve [service=name]]: a server of the group",
        set: set_server,
    },
    balancing("hash", Arity::Between(1, 2), "key [consistent]: the server is chosen by the text `key`", set_hash),
    balancing("ip_hash", Arity::Exactly(0), "the server is chosen by the client's address", |upstreams, arguments| {
        set_method(upstreams, arguments, Method::IpHash)
    }),
    balancing(
        "least_conn",
        Arity::Exactly(0),
        "the server with the fewest requests for its weight",
        |upstreams, arguments| set_method(upstreams, arguments, Method::LeastConn),
    ),
    balancing(
        "least_time",
        Arity::Between(1, 2),
        "header|last_byte [inflight]: the server that is likely to be done first",
        set_least_time,
    ),
    balancing(
        "random",
        Arity::Between(0, 2),
        "[two [least_conn]]: any server; of two, the one with fewer requests",
        set_random,
    ),
    Directive {
        name: "zone",
        contexts: Context::UPSTREAM,
        arity: Arity::Between(1, 2),
        default: "none",
        help: "name [size]: threads share a group's state in any case; names that are resolved at run time need it all the same",
        set: set_zone,
    },
    Directive {
        name: "sticky",
        contexts: Context::UPSTREAM,
        arity: Arity::AtLeast(2),
        default: "none",
        help: "cookie name [expires=time] [domain=text] [httponly] [samesite=text] [secure] [path=text] | route $variable ... | learn create=$variable lookup=$variable zone=name:size [timeout=time] [header]: requests of one session go to one server",
        set: set_sticky,
    },
    Directive {
        name: "resolver",
        contexts: Context::UPSTREAM,
        arity: Arity::AtLeast(1),
        default: "that of http",
        help: "address ... [valid=time] [ipv4=on|off] [ipv6=on|off]: who is asked for the names of this group's servers",
        set: |upstreams, arguments| {
            let resolver = Arc::new(read_resolver(arguments)?);
            arguments.set_once(&mut draft(upstreams)?.resolver, resolver)
        },
    },
    Directive {
        name: "resolver_timeout",
        contexts: Context::UPSTREAM,
        arity: Arity::Exactly(1),
        default: "that of http",
        help: "time: how long a name is waited for",
        set: |upstreams, arguments| {
            let time = arguments.time(0)?;
            arguments.set_once(&mut draft(upstreams)?.resolver_timeout, time)
        },
    },
    Directive {
        name: "queue",
        contexts: Context::UPSTREAM,
        arity: Arity::Between(1, 2),
        default: "none",
        help: "number [timeout=time]: how many requests wait, 60s each unless said otherwise, while no server can be asked",
        set: set_queue,
    },
    Directive {
        name: "keepalive",
        contexts: Context::UPSTREAM,
        arity: Arity::Between(1, 2),
        default: "32 local",
        help: "connections [local]: how many idle connections each thread keeps, for the same location alone; 0: none",
        set: set_keepalive,
    },
    Directive {
        name: "keepalive_requests",
        contexts: Context::UPSTREAM,
        arity: Arity::Exactly(1),
        default: "1000",
        help: "number: requests on one connection to a server",
        set: |upstreams, arguments| {
            let most = arguments.number(0, 0..=u64::from(u32::MAX))?;
            arguments.set_once(&mut draft(upstreams)?.keepalive_requests, most)
        },
    },
    Directive {
        name: "keepalive_time",
        contexts: Context::UPSTREAM,
        arity: Arity::Exactly(1),
        default: "1h",
        help: "time: how long a connection to a server is used",
        set: |upstreams, arguments| {
            let time = arguments.time(0)?;
            arguments.set_once(&mut draft(upstreams)?.keepalive_time, time)
        },
    },
    Directive {
        name: "keepalive_timeout",
        contexts: Context::UPSTREAM,
        arity: Arity::Exactly(1),
        default: "60s",
        help: "time: how long a connection to a server waits for the next request",
        set: |upstreams, arguments| {
            let time = arguments.time(0)?;
            arguments.set_once(&mut draft(upstreams)?.keepalive_timeout, time)
        },
    },
];

type Setter = fn(&mut Upstreams, &mut Arguments<'_>) -> Result<(), ArgumentError>;

const fn balancing(name: &'static str, arity: Arity, help: &'static str, set: Setter) -> Directive<Upstreams> {
    Directive { name, contexts: Context::UPSTREAM, arity, default: "none", help, set }
}

/// What else is known within `upstream`.
const NOT_YET: &[&str] = &["ntlm", "state"];

fn publish(upstreams: &mut Upstreams, build: &mut Build<'_>) -> Result<(), Diagnostic> {
    if !upstreams.groups.is_empty() {
        let drafts = std::mem::take(&mut upstreams.groups);
        let zones = declare_zones(&drafts, build)?;
        let mut groups = Vec::new();
        for draft in drafts {
            let zone = draft.zone.as_ref().and_then(|zone| zones.iter().find(|(name, _)| *name == zone.name));
            let groups_of_zone = zone.map(|(_, groups)| Arc::clone(groups));
            let group = draft.into_group(build)?;
            if let Some(others) = groups_of_zone {
                others.succeed(&group);
            }
            groups.push(group);
        }
        build.publish(UpstreamTable(groups));
    }
    Ok(())
}

/// The group whose block is being read.
fn draft(upstreams: &mut Upstreams) -> Result<&mut Draft, ArgumentError> {
    upstreams.groups.last_mut().ok_or_else(|| ArgumentError::new(None, "there is no upstream"))
}

fn set_upstream(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let name = arguments.text(0)?.to_owned();
    if upstreams.groups.iter().any(|group| group.name == name) {
        return Err(ArgumentError::new(Some(0), format!("duplicate upstream \"{name}\"")));
    }
    upstreams.groups.push(Draft { name, span: Some(arguments.span()), ..Draft::default() });
    for node in arguments.block().unwrap_or_default() {
        if let Err(diagnostic) = read_node(node, upstreams, arguments.diagnostics()) {
            arguments.report(diagnostic);
        }
    }
    let group = draft(upstreams)?;
    if group.servers.is_empty() && group.names.is_empty() {
        return Err(ArgumentError::new(None, "no servers are inside upstream"));
    }
    let names = group.names.iter().map(|name| &name.settings);
    if group.servers.iter().map(|server| &server.settings).chain(names).all(|settings| settings.is_backup) {
        return Err(ArgumentError::new(None, format!("no servers in upstream \"{}\"", group.name)));
    }
    Ok(())
}

fn read_node(node: &Node, upstreams: &mut Upstreams, diagnostics: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    let known = || DIRECTIVES.iter().filter(|directive| directive.contexts.intersects(Context::UPSTREAM));
    if let Some(directive) = known().find(|directive| node.is(directive.name)) {
        return directive.apply(node, Context::UPSTREAM, upstreams, diagnostics);
    }
    let name = node.name.text.as_str();
    if NOT_YET.contains(&name) {
        let message = format!("directive \"{name}\" is not supported by daemun yet");
        return Err(Diagnostic::error(node.name.span, message));
    }
    Err(unknown_directive(node, NOT_YET.iter().copied().chain(known().map(|directive| directive.name))))
}

fn set_keepalive(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let connections =
        arguments.text(0)?.parse::<u32>().map_err(|_| arguments.invalid_value(0)).map(|number| number as usize)?;
    let is_local = read_word(arguments, 1, "local")?;
    arguments.set_once(&mut draft(upstreams)?.keepalive, (connections, is_local))
}

fn set_method(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>, method: Method) -> Result<(), ArgumentError> {
    if draft(upstreams)?.method.replace(method).is_some() {
        arguments.warn("load balancing method redefined");
    }
    Ok(())
}

fn set_hash(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let key = setter::template(arguments, 0)?;
    let is_consistent = read_word(arguments, 1, "consistent")?;
    set_method(upstreams, arguments, Method::Hash(Hash::new(key, is_consistent)))
}

fn set_least_time(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let to_head = match arguments.text(0)? {
        "header" => true,
        "last_byte" => false,
        other => return Err(ArgumentError::new(Some(0), format!("invalid value \"{other}\""))),
    };
    let with_inflight = read_word(arguments, 1, "inflight")?;
    set_method(upstreams, arguments, Method::LeastTime(LeastTime { to_head, with_inflight }))
}

fn set_random(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let of_two = read_word(arguments, 0, "two")?;
    read_word(arguments, 1, "least_conn")?;
    set_method(upstreams, arguments, Method::Random { of_two })
}

/// Whether there is a word at `position`, which then must be `word`.
fn read_word(arguments: &Arguments<'_>, position: usize, word: &str) -> Result<bool, ArgumentError> {
    match arguments.words().get(position) {
        None => Ok(false),
        Some(written) if written.text == word => Ok(true),
        Some(_) => Err(arguments.invalid_parameter(position)),
    }
}

/// A `zone` line. One of the groups that share a zone says how large it is.
struct ZoneLine {
    name: String,
    size: Option<u64>,
    span: Span,
}

fn set_zone(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let name = arguments.text(0)?;
    if name.is_empty() {
        return Err(ArgumentError::new(Some(0), "invalid zone name \"\""));
    }
    let mut size = None;
    if let Some(word) = arguments.words().get(1) {
        let octets = parse_size(&word.text)
            .ok_or_else(|| ArgumentError::new(Some(1), format!("invalid zone size \"{}\"", word.text)))?;
        if octets < ZONE_BYTES_MIN {
            return Err(ArgumentError::new(Some(1), format!("zone \"{name}\" is too small")));
        }
        size = Some(octets);
    }
    let line = ZoneLine { name: name.to_owned(), size, span: arguments.span() };
    arguments.set_once(&mut draft(upstreams)?.zone, line)
}

fn set_queue(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let most = arguments.number(0, 1..=u64::from(u32::MAX))?;
    let timeout = match arguments.parameter(1) {
        None if arguments.len() == 1 => Duration::from_secs(60),
        Some(("timeout", value)) => parse_milliseconds(value).ok_or_else(|| arguments.invalid_parameter(1))?,
        _ => return Err(arguments.invalid_parameter(1)),
    };
    let queue = Queue::new(u32::try_from(most).unwrap_or(u32::MAX), timeout);
    arguments.set_once(&mut draft(upstreams)?.queue, queue)
}

fn set_sticky(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let line = StickyLine::read(arguments)?;
    if let StickyLine::Learn(learn) = &line {
        let has_zone =
            |group: &&Draft| matches!(&group.sticky, Some(StickyLine::Learn(other)) if other.zone == learn.zone);
        if let Some(group) = upstreams.groups.iter().find(has_zone) {
            let message = format!("sticky zone \"{}\" is already used in upstream \"{}\"", learn.zone, group.name);
            return Err(ArgumentError::new(None, message));
        }
    }
    arguments.set_once(&mut draft(upstreams)?.sticky, line)
}

/// Takes the names of the zones, each once, however many groups share it. At least one of them says how large it is.
fn declare_zones(groups: &[Draft], build: &mut Build<'_>) -> Result<Vec<(String, Arc<ZoneGroups>)>, Diagnostic> {
    let mut made = Vec::new();
    let mut declared: Vec<&ZoneLine> = Vec::new();
    let zones = || groups.iter().filter_map(|group| group.zone.as_ref());
    for zone in zones() {
        let name = &zone.name;
        match declared.iter().find(|other| other.name == *name) {
            Some(other) => {
                if let (Some(size), Some(before)) = (zone.size, other.size)
                    && size != before
                {
                    let message = format!(
                        "the size {size} of shared memory zone \"{name}\" conflicts with already declared size {before}"
                    );
                    return Err(Diagnostic::error(zone.span, message));
                }
            }
            None => {
                let octets = zones().filter(|other| other.name == *name).find_map(|other| other.size);
                let octets = octets
                    .ok_or_else(|| Diagnostic::error(zone.span, format!("zero size shared memory zone \"{name}\"")))?;
                let zone_name = ZoneName { name, owner: "zone", octets, span: zone.span };
                made.push((name.clone(), build.zone(&zone_name, ZoneGroups::default)?));
            }
        }
        declared.push(zone);
    }
    Ok(made)
}
