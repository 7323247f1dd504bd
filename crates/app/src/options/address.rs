//! Socket addresses as uWSGI writes them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where a pool listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAddress {
    /// `/path` or a name without a colon: a unix socket; a relative path starts from `chdir`.
    Unix(PathBuf),
    /// `@name`: a unix socket without a file.
    Abstract(String),
    /// `host:port`; an empty host is every IPv4 address of the machine.
    Tcp {
        /// A name or an address, without the brackets of IPv6.
        host: String,
        /// The port.
        port: u16,
    },
    /// `fd://number`: a socket that was inherited.
    Descriptor(i32),
}

impl SocketAddress {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('@') {
            return Ok(Self::Abstract(name.to_owned()));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            return number.parse().map(Self::Descriptor).map_err(|_| "fd:// needs a descriptor's number".to_owned());
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.strip_prefix("//").unwrap_or(path).into()));
        }
        if text.starts_with('=') {
            return Err("shared sockets are not supported by daemun yet".to_owned());
        }
        if text.contains(',') {
            return Err("an address followed by further words is not supported by daemun yet".to_owned());
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|_| !text.starts_with(['/', '.'])) else {
            return Ok(Self::Unix(text.into()));
        };
        let port = port.parse().map_err(|_| format!("\"{port}\" is not a port from 0 to 65535"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err("an IPv6 address needs brackets, as in [::1]:8000".to_owned());
        }
        let host = bare.unwrap_or(if host == "*" { "" } else { host });
        Ok(Self::Tcp { host: host.to_owned(), port })
    }

    /// The address for a bind, if it is TCP and its host needs no look-up.
    pub fn tcp(&self) -> Option<SocketAddr> {
        let Self::Tcp { host, port } = self else {
            return None;
        };
        let ip = if host.is_empty() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { host.parse().ok()? };
        Some(SocketAddr::new(ip, *port))
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Descriptor(number) => write!(f, "fd://{number}"),
        }
    }
}
