//! The arguments of `listen`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use daemun_conf::{ArgumentError, Arguments};
use daemun_net::{BindOptions, ListenAddress};

use crate::listener::Protocol;

/// One `listen`.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The addresses; several when a host name has several.
    pub addresses: Vec<ListenAddress>,
    /// How the socket is bound.
    pub options: BindOptions,
    /// Whether the server answers when no name fits.
    pub is_default: bool,
    /// What is spoken, where it is said.
    pub protocol: Option<Protocol>,
    /// Whether options of the socket are given, which only one `listen` of an address may do.
    pub has_options: bool,
    /// Whether each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whether connections are encrypted.
    pub is_tls: bool,
    /// Whether HTTP/2 is spoken, whatever the servers say.
    pub http2: bool,
}

/// The port without root and without a `listen`.
pub const UNPRIVILEGED_PORT: u16 = 8000;

/// Reads `listen`.
///
/// # Errors
/// For an address that is none, an unknown parameter, or one that daemun does not support yet.
pub fn parse(arguments: &mut Arguments<'_>) -> Result<Listen, ArgumentError> {
    let addresses = parse_addresses(arguments.text(0)?).map_err(|message| ArgumentError::new(Some(0), message))?;
    let mut listen = Listen {
        addresses,
        options: BindOptions::default(),
        is_default: false,
        protocol: None,
        has_options: false,
        proxy_protocol: false,
        is_tls: false,
        http2: false,
    };
    for index in 1..arguments.len() {
        let text = arguments.text(index)?;
        if text == "http2" {
            arguments.warn(
                "the \"listen ... http2\" directive is deprecated, use the \"http2\" directive instead".to_owned(),
            );
        }
        let text = arguments.text(index)?;
        set_parameter(&mut listen, text).map_err(|message| ArgumentError::new(Some(index), message))?;
    }
    Ok(listen)
}

/// Where a server without `listen` listens: port 80, or 8000 without root.
#[must_use]
pub fn default_listen() -> Listen {
    let port = if rustix::process::geteuid().is_root() { 80 } else { UNPRIVILEGED_PORT };
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    Listen {
        addresses: vec![ListenAddress::Tcp(address)],
        options: BindOptions::default(),
        is_default: false,
        protocol: None,
        has_options: false,
        proxy_protocol: false,
        is_tls: false,
        http2: false,
    }
}

fn set_parameter(listen: &mut Listen, text: &str) -> Result<(), String> {
    if let Some(protocol) = Protocol::of_gateway(text) {
        return match listen.protocol.replace(protocol) {
            Some(other) if other != protocol => {
                Err(format!("\"{text}\" parameter is incompatible with \"{}\"", other.name()))
            }
            _ => Ok(()),
        };
    }
    let invalid = || format!("invalid parameter \"{text}\"");
    match text.split_once('=').map_or((text, ""), |(name, value)| (name, value)) {
        ("default_server" | "default", "") => {
            listen.is_default = true;
            return Ok(());
        }
        ("proxy_protocol", "") => {
            listen.proxy_protocol = true;
            return Ok(());
        }
        ("ssl", "") => {
            listen.is_tls = true;
            return Ok(());
        }
        ("http2", "") => {
            listen.http2 = true;
            return Ok(());
        }
        ("reuseport", "") => listen.options.reuse_port = true,
        ("deferred", "") => listen.options.deferred = true,
        ("bind", "") => {}
        ("backlog", value) => {
            let backlog = value.parse().ok().filter(|backlog| *backlog != 0);
            listen.options.backlog = backlog.ok_or_else(|| format!("invalid backlog \"{text}\""))?
        }
        ("rcvbuf", value) => {
            listen.options.receive_buffer_bytes =
                Some(octets(value).ok_or_else(|| format!("invalid rcvbuf \"{text}\""))?)
        }
        ("sndbuf", value) => {
            listen.options.send_buffer_bytes = Some(octets(value).ok_or_else(|| format!("invalid sndbuf \"{text}\""))?)
        }
        ("ipv6only", "on") => listen.options.ipv6_only = true,
        ("ipv6only", "off") => listen.options.ipv6_only = false,
        ("so_keepalive", "on") => listen.options.keep_alive = true,
        ("so_keepalive", "off") => listen.options.keep_alive = false,
        ("quic" | "spdy" | "fastopen" | "setfib" | "accept_filter" | "so_keepalive", _) => {
            return Err(format!("the \"{text}\" parameter of listen is not supported by daemun yet"));
        }
        _ => return Err(invalid()),
    }
    listen.has_options = true;
    Ok(())
}

fn octets(text: &str) -> Option<usize> {
    daemun_conf::parse_size(text).and_then(|size| usize::try_from(size).ok())
}

fn parse_addresses(text: &str) -> Result<Vec<ListenAddress>, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(format!("invalid unix-domain socket path in \"{text}\" of the \"listen\" directive"));
        }
        return Ok(vec![ListenAddress::Unix(PathBuf::from(path))]);
    }
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let all = |address, ports: RangeInclusive<u16>| {
        Ok(ports.map(|port| ListenAddress::Tcp(SocketAddr::new(address, port))).collect())
    };
    if text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'-') {
        return all(any, parse_ports(text, text)?);
    }
    let (host, ports) = split_host(text)?;
    if host == "*" {
        return all(any, ports);
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr =
            inner.parse().map_err(|_| format!("invalid IPv6 address in \"{text}\" of the \"listen\" directive"))?;
        return all(IpAddr::V6(address), ports);
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return all(IpAddr::V4(address), ports);
    }
    let resolved = (host, *ports.start())
        .to_socket_addrs()
        .map_err(|_| format!("host not found in \"{text}\" of the \"listen\" directive"))?;
    let addresses: Vec<_> = resolved.map(|address| address.ip()).collect();
    let on = |port| addresses.iter().map(move |address| ListenAddress::Tcp(SocketAddr::new(*address, port)));
    Ok(ports.flat_map(on).collect())
}

fn split_host(text: &str) -> Result<(&str, RangeInclusive<u16>), String> {
    let bracket_end = text.rfind(']').map_or(0, |at| at + 1);
    match text[bracket_end..].rfind(':') {
        Some(at) => {
            let at = bracket_end + at;
            Ok((&text[..at], parse_ports(&text[at + 1..], text)?))
        }
        None => Ok((text, 80..=80)),
    }
}

/// One port, or `first-last`; `text` is the whole argument.
fn parse_ports(ports: &str, text: &str) -> Result<RangeInclusive<u16>, String> {
    let parse = |port: &str| port.parse().ok().filter(|port| *port > 0);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (parse(first), parse(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        (Some(_), Some(_)) => Err(format!("invalid port range in \"{text}\" of the \"listen\" directive")),
        _ => Err(format!("invalid port in \"{text}\" of the \"listen\" directive")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_form() {
        let shown = |text: &str| {
            parse_addresses(text).map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(shown("80").as_deref(), Ok("0.0.0.0:80"));
        assert_eq!(shown("8080-8082").as_deref(), Ok("0.0.0.0:8080 0.0.0.0:8081 0.0.0.0:8082"));
        assert_eq!(shown("[::1]:80-81").as_deref(), Ok("[::1]:80 [::1]:81"));
        assert_eq!(shown("127.0.0.1:8080-8080").as_deref(), Ok("127.0.0.1:8080"));
        assert_eq!(shown("*:8080").as_deref(), Ok("0.0.0.0:8080"));
        assert_eq!(shown("127.0.0.1").as_deref(), Ok("127.0.0.1:80"));
        assert_eq!(shown("[::]:80").as_deref(), Ok("[::]:80"));
        assert_eq!(shown("[::1]").as_deref(), Ok("[::1]:80"));
        assert_eq!(shown("unix:/tmp/x.sock").as_deref(), Ok("unix:/tmp/x.sock"));
        assert_eq!(shown("unix:///tmp/x.sock").as_deref(), Ok("unix:/tmp/x.sock"));
        assert!(shown("0").is_err());
        assert!(shown("127.0.0.1:81-80").is_err());
        assert!(shown("80-").is_err());
        assert!(shown("127.0.0.1:99999").is_err());
        assert!(shown("[zz]:80").is_err());
        assert!(shown("unix:").is_err());
    }
}
