//! `upstream`: groups of servers.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use daemun_conf::{
    ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Node, Span, check_directive, unknown_directive,
};
use daemun_server::Module;
use daemun_server::backend::SocketName;
use daemun_server::config::Build;

use crate::limits::SERVERS_MAX;

/// Named once, in the program's list of modules, before the modules that pass requests on.
pub static MODULE: Module<Upstreams> = Module {
    name: "upstream",
    directives: &[Directive {
        name: "upstream",
        contexts: Context::HTTP,
        arity: Arity::Block { min: 1, max: 1 },
        default: "none",
        help: "name block: a group of servers",
        set: set_upstream,
    }],
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
    groups: Vec<Arc<Upstream>>,
}

/// What other modules look groups up in.
#[derive(Clone, Default)]
pub struct UpstreamTable(Vec<Arc<Upstream>>);

impl UpstreamTable {
    /// The group of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Upstream>> {
        self.0.iter().find(|group| group.name == name).cloned()
    }
}

/// A group of servers, asked in turn.
#[derive(Debug)]
pub struct Upstream {
    /// The name, or the address where the group was not named.
    pub name: String,
    /// Its servers.
    pub servers: Vec<UpstreamServer>,
    next: AtomicUsize,
}

/// One server of a group.
#[derive(Clone, Debug)]
pub struct UpstreamServer {
    /// Where it listens.
    pub address: UpstreamAddress,
    /// Requests it gets in a row.
    pub weight: u32,
    /// Asked only when no other server answers.
    pub is_backup: bool,
    /// Never asked.
    pub is_down: bool,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// An address and port.
    Inet(SocketAddr),
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(address) => address.fmt(f),
        }
    }
}

impl UpstreamAddress {
    /// Reads `unix:/path`, `unix:///path`, `host:port`; several where a name has several addresses.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Vec<Self>, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_suffix(':').unwrap_or(path);
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(format!("invalid host in upstream \"{text}\""))
            } else {
                Ok(vec![Self::Unix(path.into())])
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(vec![Self::Inet(address)]);
        }
        let (host, port) = match (text.rsplit_once(':'), default_port) {
            (Some((host, port)), _) => {
                (host, port.parse().map_err(|_| format!("invalid port in upstream \"{text}\""))?)
            }
            (None, Some(port)) => (text, port),
            (None, None) => return Err(format!("no port in upstream \"{text}\"")),
        };
        let addresses = (host, port).to_socket_addrs().map_err(|_| format!("host not found in upstream \"{text}\""))?;
        Ok(addresses.map(Self::Inet).collect())
    }

    /// The same address, as an application pool of ours would have it.
    #[must_use]
    pub fn socket_name(&self) -> SocketName {
        match self {
            Self::Unix(path) => SocketName::Unix(path.clone()),
            Self::Inet(address) => SocketName::Inet(*address),
        }
    }

    /// The path of a unix socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Inet(_) => None,
        }
    }
}

impl Upstream {
    /// A group without a name: the addresses of one `..._pass`.
    #[must_use]
    pub fn of_addresses(name: &str, addresses: Vec<UpstreamAddress>) -> Self {
        let server = |address| UpstreamServer { address, weight: 1, is_backup: false, is_down: false };
        Self { name: name.to_owned(), servers: addresses.into_iter().map(server).collect(), next: AtomicUsize::new(0) }
    }

    /// The servers in the order in which a request asks them: in turn by weight, then the backups.
    pub fn in_turn(&self) -> impl Iterator<Item = &UpstreamServer> {
        let active = || self.servers.iter().filter(|server| !server.is_backup && !server.is_down);
        let total: usize = active().map(|server| server.weight as usize).sum();
        let mut turn = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(total).unwrap_or(0);
        let mut first = 0;
        for (number, server) in active().enumerate() {
            first = number;
            match turn.checked_sub(server.weight as usize) {
                Some(rest) => turn = rest,
                None => break,
            }
        }
        let backups = self.servers.iter().filter(|server| server.is_backup && !server.is_down);
        active().skip(first).chain(active().take(first)).chain(backups)
    }
}

fn publish(upstreams: &mut Upstreams, build: &mut Build<'_>) -> Result<(), Diagnostic> {
    if !upstreams.groups.is_empty() {
        build.publish(UpstreamTable(upstreams.groups.clone()));
    }
    Ok(())
}

fn set_upstream(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let name = arguments.text(0)?.to_owned();
    if upstreams.groups.iter().any(|group| group.name == name) {
        return Err(ArgumentError::new(Some(0), format!("duplicate upstream \"{name}\"")));
    }
    let mut servers = Vec::new();
    for node in arguments.block().unwrap_or_default() {
        if let Err(diagnostic) = read_server(node, &mut servers) {
            arguments.report(diagnostic);
        }
    }
    if servers.is_empty() {
        return Err(ArgumentError::new(None, "no servers are inside upstream"));
    }
    upstreams.groups.push(Arc::new(Upstream { name, servers, next: AtomicUsize::new(0) }));
    Ok(())
}

fn read_server(node: &Node, servers: &mut Vec<UpstreamServer>) -> Result<(), Diagnostic> {
    if !node.is("server") {
        return Err(match NOT_YET.contains(&node.name.text.as_str()) {
            true => Diagnostic::error(
                node.name.span,
                format!("directive \"{}\" is not supported by daemun yet", node.name.text),
            ),
            false => unknown_directive(node, NOT_YET.iter().copied().chain(["server"])),
        });
    }
    check_directive(node, Context::UPSTREAM, Context::UPSTREAM, Arity::AtLeast(1))?;
    let (address, parameters) =
        node.args.split_first().ok_or_else(|| error_at(node.name.span, "no address".to_owned()))?;
    let addresses =
        UpstreamAddress::parse(&address.text, Some(80)).map_err(|message| error_at(address.span, message))?;
    let mut server =
        UpstreamServer { address: UpstreamAddress::Unix(PathBuf::new()), weight: 1, is_backup: false, is_down: false };
    for parameter in parameters {
        set_parameter(&mut server, &parameter.text).map_err(|message| error_at(parameter.span, message))?;
    }
    for address in addresses {
        if servers.len() >= SERVERS_MAX {
            return Err(error_at(node.name.span, format!("more than {SERVERS_MAX} servers in one upstream")));
        }
        servers.push(UpstreamServer { address, ..server.clone() });
    }
    Ok(())
}

fn set_parameter(server: &mut UpstreamServer, text: &str) -> Result<(), String> {
    let invalid = || format!("invalid parameter \"{text}\"");
    match text.split_once('=') {
        None if text == "backup" => server.is_backup = true,
        None if text == "down" => server.is_down = true,
        Some(("weight", value)) => {
            server.weight = value.parse().ok().filter(|weight| *weight > 0).ok_or_else(invalid)?
        }
        Some(("max_fails" | "fail_timeout" | "max_conns" | "slow_start" | "service" | "route", _)) => {
            return Err(format!("the parameter \"{text}\" of an upstream's server is not supported by daemun yet"));
        }
        None if matches!(text, "resolve" | "drain") => {
            return Err(format!("the parameter \"{text}\" of an upstream's server is not supported by daemun yet"));
        }
        _ => return Err(invalid()),
    }
    Ok(())
}

fn error_at(span: Span, message: String) -> Diagnostic {
    Diagnostic::error(span, message)
}

/// What else nginx knows within `upstream`.
const NOT_YET: &[&str] = &[
    "hash",
    "ip_hash",
    "keepalive",
    "keepalive_requests",
    "keepalive_time",
    "keepalive_timeout",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn group(servers: &[(&str, u32, bool)]) -> Upstream {
        let server = |(address, weight, is_backup): &(&str, u32, bool)| UpstreamServer {
            address: UpstreamAddress::Inet(address.parse().expect("address")),
            weight: *weight,
            is_backup: *is_backup,
            is_down: false,
        };
        Upstream { name: "g".to_owned(), servers: servers.iter().map(server).collect(), next: AtomicUsize::new(0) }
    }

    #[test]
    fn servers_are_asked_in_turn_by_weight_and_backups_last() {
        let group = group(&[("127.0.0.1:1", 2, false), ("127.0.0.1:2", 1, false), ("127.0.0.1:3", 1, true)]);
        let order =
            || group.in_turn().map(|server| server.address.to_string().pop().expect("port")).collect::<String>();
        assert_eq!([order(), order(), order(), order()], ["123", "123", "213", "123"]);
    }

    #[test]
    fn addresses_in_every_form() {
        let shown = |text: &str| UpstreamAddress::parse(text, None).map(|list| list[0].to_string());
        assert_eq!(shown("unix:///tmp/a.sock").as_deref(), Ok("unix:/tmp/a.sock"));
        assert_eq!(shown("unix:/tmp/a.sock:").as_deref(), Ok("unix:/tmp/a.sock"));
        assert_eq!(shown("127.0.0.1:3031").as_deref(), Ok("127.0.0.1:3031"));
        assert_eq!(shown("127.0.0.1").unwrap_err(), "no port in upstream \"127.0.0.1\"");
        assert!(shown("unix:").is_err());
    }
}
