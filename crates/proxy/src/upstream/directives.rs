//! `upstream` and what stands in it.

use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{
    ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Node, parse_seconds, unknown_directive,
};
use daemun_server::Module;
use daemun_server::config::Build;

use super::UpstreamTable;
use super::address::UpstreamAddress;
use super::group::{GroupSettings, Upstream};
use super::idle::KeepAlive;
use super::server::{ServerSettings, ServerState};
use crate::limits::SERVERS_MAX;

/// Named once, in the program's list of modules, before the modules that pass requests on.
pub static MODULE: Module<Upstreams> = Module {
    name: "upstream",
    directives: DIRECTIVES,
    merge: |_, _| {},
    finish: publish,
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: &[],
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
    keepalive: Option<(usize, bool)>,
    keepalive_requests: Option<u64>,
    keepalive_time: Option<Duration>,
    keepalive_timeout: Option<Duration>,
}

impl Draft {
    fn into_group(self) -> Upstream {
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
            keepalive: Some(keepalive).filter(|keep| keep.connections > 0),
            ..GroupSettings::default()
        };
        Upstream::new(self.name, settings, self.servers)
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
        help: "address [weight=N] [max_conns=N] [max_fails=N] [fail_timeout=time] [backup] [down]: a server of the group",
        set: set_server,
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

/// What else is known within `upstream`.
const NOT_YET: &[&str] = &[
    "hash",
    "ip_hash",
    "least_conn",
    "least_time",
    "ntlm",
    "queue",
    "random",
    "resolver",
    "resolver_timeout",
    "state",
    "sticky",
    "zone",
];

fn publish(upstreams: &mut Upstreams, build: &mut Build<'_>) -> Result<(), Diagnostic> {
    if !upstreams.groups.is_empty() {
        let groups = std::mem::take(&mut upstreams.groups);
        build.publish(UpstreamTable(groups.into_iter().map(|group| Arc::new(group.into_group())).collect()));
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
    upstreams.groups.push(Draft { name, ..Draft::default() });
    for node in arguments.block().unwrap_or_default() {
        if let Err(diagnostic) = read_node(node, upstreams, arguments.diagnostics()) {
            arguments.report(diagnostic);
        }
    }
    let group = draft(upstreams)?;
    if group.servers.is_empty() {
        return Err(ArgumentError::new(None, "no servers are inside upstream"));
    }
    if group.servers.iter().all(|server| server.settings.is_backup) {
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
    let is_local = match arguments.words().get(1) {
        None => false,
        Some(word) if word.text == "local" => true,
        Some(_) => return Err(arguments.invalid_parameter(1)),
    };
    arguments.set_once(&mut draft(upstreams)?.keepalive, (connections, is_local))
}

fn set_server(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let text = arguments.text(0)?;
    let mut settings = ServerSettings::new(text);
    for (position, word) in arguments.words().iter().enumerate().skip(1) {
        set_parameter(&mut settings, &word.text).map_err(|message| ArgumentError::new(Some(position), message))?;
    }
    let addresses = UpstreamAddress::parse(text, Some(80)).map_err(|message| ArgumentError::new(Some(0), message))?;
    let settings = Arc::new(settings);
    let group = draft(upstreams)?;
    for address in addresses {
        if group.servers.len() >= SERVERS_MAX {
            return Err(ArgumentError::new(None, format!("more than {SERVERS_MAX} servers in one upstream")));
        }
        group.servers.push(Arc::new(ServerState::new(address, Arc::clone(&settings))));
    }
    Ok(())
}

fn set_parameter(server: &mut ServerSettings, text: &str) -> Result<(), String> {
    let invalid = || format!("invalid parameter \"{text}\"");
    let number = |value: &str| value.parse::<u32>().map_err(|_| invalid());
    match text.split_once('=') {
        None if text == "backup" => server.is_backup = true,
        None if text == "down" => server.is_down = true,
        Some(("weight", value)) => {
            server.weight = number(value).and_then(|weight| if weight > 0 { Ok(weight) } else { Err(invalid()) })?;
        }
        Some(("max_conns", value)) => server.max_conns = number(value)?,
        Some(("max_fails", value)) => server.max_fails = number(value)?,
        Some(("fail_timeout", value)) => server.fail_timeout = parse_seconds(value).ok_or_else(invalid)?,
        Some(("slow_start" | "service" | "route", _)) => {
            return Err(format!("the parameter \"{text}\" of an upstream's server is not supported by daemun yet"));
        }
        None if matches!(text, "resolve" | "drain") => {
            return Err(format!("the parameter \"{text}\" of an upstream's server is not supported by daemun yet"));
        }
        _ => return Err(invalid()),
    }
    Ok(())
}
