//! Where a server listens.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use daemun_server::backend::SocketName;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// An address and port.
    Inet(SocketAddr),
}

/// As `$upstream_addr` shows it.
impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(address) => address.fmt(f),
        }
    }
}

/// What a configuration says of a server's place, before any name is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A unix socket.
    Unix(PathBuf),
    /// A host, by name or address without brackets, and its port.
    Host {
        /// The name or address.
        host: String,
        /// The port, `None` where none was written and the protocol has none of its own.
        port: Option<u16>,
    },
}

impl Place {
    /// Reads `unix:/path`, `unix:///path`, `host`, `host:port`, `[address]:port`.
    ///
    /// # Errors
    /// In nginx's words, without the place where it was written.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_suffix(':').unwrap_or(path);
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err("no path in the unix domain socket")
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("invalid host")?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| "invalid IPv6 address")?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or("invalid host")?) })
            }
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err("no host");
        }
        let port = port.map(|port| port.parse().ok().filter(|port| *port > 0).ok_or("invalid port")).transpose()?;
        Ok(Self::Host { host: host.to_owned(), port })
    }
}

impl UpstreamAddress {
    /// Reads what [`Place::parse`] reads and looks a name up, waiting; several where a name has several addresses.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Vec<Self>, String> {
        let place = Place::parse(text).map_err(|message| format!("{message} in upstream \"{text}\""))?;
        let (host, port) = match place {
            Place::Unix(path) => return Ok(vec![Self::Unix(path)]),
            Place::Host { host, port } => (host, port.or(default_port)),
        };
        let port = port.ok_or_else(|| format!("no port in upstream \"{text}\""))?;
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![Self::Inet(SocketAddr::new(address, port))]);
        }
        let addresses =
            (host.as_str(), port).to_socket_addrs().map_err(|_| format!("host not found in upstream \"{text}\""))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_form() {
        let shown = |text: &str| UpstreamAddress::parse(text, None).map(|list| list[0].to_string());
        assert_eq!(shown("unix:///tmp/a.sock").as_deref(), Ok("unix:/tmp/a.sock"));
        assert_eq!(shown("unix:/tmp/a.sock:").as_deref(), Ok("unix:/tmp/a.sock"));
        assert_eq!(shown("127.0.0.1:3031").as_deref(), Ok("127.0.0.1:3031"));
        assert_eq!(shown("[::1]:3031").as_deref(), Ok("[::1]:3031"));
        assert_eq!(shown("127.0.0.1").unwrap_err(), "no port in upstream \"127.0.0.1\"");
        assert_eq!(shown("127.0.0.1:0").unwrap_err(), "invalid port in upstream \"127.0.0.1:0\"");
        for wrong in ["unix:", "[::1", "[::1]80", "[x]:80", ":80", "127.0.0.1:", "127.0.0.1:99999"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
