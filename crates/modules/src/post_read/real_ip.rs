//! `real_ip_header`: whom a trusted proxy in front speaks for.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_http::HeaderId;
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::connection::Remote;
use daemun_server::module::nothing_to_finish;
use daemun_server::variable::Variable;
use daemun_server::{Handler, Module, Outcome, Phase, Request};

use crate::network::{Network, NetworkError};

/// Named once, in the program's list of modules.
pub static MODULE: Module<RealIp> = Module {
    name: "realip",
    directives: &[
        Directive {
            name: "set_real_ip_from",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "address | CIDR | host | unix: proxies that are believed",
            set: |conf, arguments| conf.trust(arguments),
        },
        Directive {
            name: "real_ip_header",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "X-Real-IP",
            help: "field: where a trusted proxy says who the client is; its last address counts",
            set: |conf, arguments| {
                let name = arguments.text(0)?;
                if name == "proxy_protocol" {
                    return Err(ArgumentError::new(Some(0), "\"proxy_protocol\" is not supported by daemun yet"));
                }
                arguments.set_once(&mut conf.header, name.into())
            },
        },
        Directive {
            name: "real_ip_recursive",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: addresses that are trusted proxies themselves are passed over",
            set: |conf, arguments| {
                let is_recursive = arguments.flag(0)?;
                arguments.set_once(&mut conf.is_recursive, is_recursive)
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; header, is_recursive);
        if child.trusted.is_empty() {
            child.trusted.clone_from(&parent.trusted);
        }
    },
    finish: nothing_to_finish,
    is_active: |conf| !conf.trusted.is_empty(),
    phases: &[(Phase::PostRead, Handler::Sync(real_ip)), (Phase::Preaccess, Handler::Sync(real_ip))],
    filters: &[],
    variables: &[
        Variable {
            name: "realip_remote_addr",
            evaluate: |request, _, out| {
                out.extend_from_slice(request.client.remote.address.as_bytes());
                true
            },
        },
        Variable {
            name: "realip_remote_port",
            evaluate: |request, _, out| {
                let port = request.client.remote.port;
                out.extend(port.iter().flat_map(|port| port.to_string().into_bytes()));
                port.is_some()
            },
        },
    ],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct RealIp {
    trusted: Vec<Trusted>,
    header: Option<Box<str>>,
    is_recursive: Option<bool>,
}

/// A proxy that is believed.
#[derive(Clone, Copy)]
enum Trusted {
    Unix,
    Network(Network),
}

impl RealIp {
    fn trust(&mut self, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
        let text = arguments.text(0)?;
        if text == "unix:" {
            self.trusted.push(Trusted::Unix);
            return Ok(());
        }
        match Network::parse(text) {
            Ok(network) => self.trusted.push(Trusted::Network(network)),
            Err(NetworkError::LowBits(network)) => {
                arguments.warn_at(0, format!("low address bits of {text} are meaningless"));
                self.trusted.push(Trusted::Network(network));
            }
            Err(NetworkError::Invalid) => {
                let found = (text, 0).to_socket_addrs();
                let found = found.map_err(|_| {
                    ArgumentError::new(Some(0), format!("host not found in set_real_ip_from \"{text}\""))
                })?;
                let networks = found.filter_map(|address| Network::parse(&address.ip().to_string()).ok());
                self.trusted.extend(networks.map(Trusted::Network));
            }
        }
        Ok(())
    }

    fn is_trusted(&self, address: Option<IpAddr>) -> bool {
        self.trusted.iter().any(|trusted| match (trusted, address) {
            (Trusted::Unix, None) => true,
            (Trusted::Network(network), Some(address)) => network.contains(address),
            (Trusted::Unix, Some(_)) | (Trusted::Network(_), None) => false,
        })
    }

    /// Who stands behind `peer` by a list of addresses, each proxy's client behind that of the one before; `None`
    /// where that is `peer` itself.
    fn client_behind(&self, peer: Option<IpAddr>, list: &[u8]) -> Option<Remote> {
        let mut addresses = list.rsplit(|octet| matches!(octet, b',' | b' ')).filter(|address| !address.is_empty());
        let (mut believed, mut at) = (None, peer);
        while self.is_trusted(at) {
            let Some((ip, port)) = addresses.next().and_then(parse_address) else { break };
            believed = Some(Remote::new(ip, port));
            at = Some(ip);
            if self.is_recursive != Some(true) {
                break;
            }
        }
        believed
    }
}

fn real_ip(conf: &RealIp, request: &mut Request) -> Outcome {
    let peer = request.client.remote;
    let is_known = request.remote.address.as_bytes() != peer.address.as_bytes();
    if is_known || !conf.is_trusted(peer.ip) {
        return Outcome::Continue;
    }
    let name = conf.header.as_deref().unwrap_or("X-Real-IP").as_bytes();
    let fields = request.headers().iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let mut values: Vec<&[u8]> = fields.map(|field| field.value).collect();
    if HeaderId::of(name) != HeaderId::XForwardedFor {
        values.truncate(1);
    }
    if let Some(client) = conf.client_behind(peer.ip, &values.join(&b","[..])) {
        request.remote = client;
    }
    Outcome::Continue
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn parse_address(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|address| (address, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        let network = |text: &str| Trusted::Network(Network::parse(text).expect("a network"));
        let proxy: IpAddr = "10.0.0.1".parse().expect("an address");
        for (list, direct, recursive) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("198.51.100.1, 192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.0.0.2", "10.0.0.2", "192.0.2.1"),
            ("192.0.2.1,10.0.0.3,10.0.0.2,", "10.0.0.2", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.2", "10.0.0.3"),
            ("unknown, 10.0.0.2", "10.0.0.2", "10.0.0.2"),
            ("[2001:db8::1]:99", "2001:db8::1", "2001:db8::1"),
            ("192.0.2.1:99", "192.0.2.1", "192.0.2.1"),
            ("unknown", "", ""),
            ("", "", ""),
        ] {
            for (is_recursive, expected) in [(false, direct), (true, recursive)] {
                let conf =
                    RealIp { trusted: vec![network("10.0.0.0/8")], header: None, is_recursive: Some(is_recursive) };
                let client = conf.client_behind(Some(proxy), list.as_bytes()).and_then(|client| client.ip);
                assert_eq!(client.map(|ip| ip.to_string()).unwrap_or_default(), expected, "{list} {is_recursive}");
            }
        }
    }
}
