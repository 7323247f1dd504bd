//! `real_ip_header`: whom a trusted proxy in front speaks for.

use std::net::{IpAddr, ToSocketAddrs};

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_http::HeaderId;
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::connection::Remote;
use daemun_server::module::nothing_to_finish;
use daemun_server::variable::Variable;
use daemun_server::{Handler, Module, Outcome, Phase, Request};

use crate::forwarded::client_behind;
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
            help: "field|proxy_protocol: where a trusted proxy says who the client is; of a field its last address counts",
            set: |conf, arguments| {
                let name = arguments.text(0)?;
                let is_proxy_protocol = name == "proxy_protocol";
                let source = if is_proxy_protocol { Source::ProxyProtocol } else { Source::Field(name.into()) };
                arguments.set_once(&mut conf.source, source)
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
        daemun_server::inherit!(parent, child; source, is_recursive);
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
    source: Option<Source>,
    is_recursive: Option<bool>,
}

/// Where a trusted proxy says who the client is.
#[derive(Clone)]
enum Source {
    /// In a header field.
    Field(Box<str>),
    /// In the header of the PROXY protocol.
    ProxyProtocol,
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

    /// The client by the header field `name`; of `X-Forwarded-For` all lines count.
    fn named_by(&self, name: &str, request: &Request) -> Option<(IpAddr, Option<u16>)> {
        let name = name.as_bytes();
        let fields = request.headers().iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let mut values: Vec<&[u8]> = fields.map(|field| field.value).collect();
        if HeaderId::of(name) != HeaderId::XForwardedFor {
            values.truncate(1);
        }
        let is_recursive = self.is_recursive == Some(true);
        client_behind(request.client.remote.ip, &values.join(&b","[..]), is_recursive, |at| self.is_trusted(at))
    }
}

fn real_ip(conf: &RealIp, request: &mut Request) -> Outcome {
    let peer = request.client.remote;
    let is_known = request.remote.address.as_bytes() != peer.address.as_bytes();
    if is_known || !conf.is_trusted(peer.ip) {
        return Outcome::Continue;
    }
    let client = match &conf.source {
        Some(Source::ProxyProtocol) => {
            // The proxy's own word is one address: there is none behind it.
            let header = request.client.proxy_header();
            header.map(|header| (header.source.address, Some(header.source.port).filter(|port| *port > 0)))
        }
        Some(Source::Field(name)) => conf.named_by(name, request),
        None => conf.named_by("X-Real-IP", request),
    };
    if let Some((ip, port)) = client {
        request.remote = Remote::new(ip, port);
    }
    Outcome::Continue
}
