//! The two ends of a connection: where we listen and who has come.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An IPv4 or IPv6 address with its port.
    Tcp(SocketAddr),
    /// The path of a unix stream socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The path, when this is a unix socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(path) => Some(path),
        }
    }

    /// The TCP port, when there is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    /// nginx's form: `0.0.0.0:80`, `[::]:80`, `unix:/run/x.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// A client over TCP; an IPv4 client of a dual-stack socket is shown as IPv4.
    Tcp(SocketAddr),
    /// A client of a unix socket, which has no address of its own.
    Unix,
}

impl PeerAddress {
    /// The client's IP address, `None` over a unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }

    /// The client's port, `None` over a unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix => None,
        }
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        // A dual-stack listener would otherwise put "::ffff:192.0.2.1" into REMOTE_ADDR and the logs.
        Self::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl fmt::Display for PeerAddress {
    /// What nginx has in `$remote_addr`: the bare IP address, or `unix:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.ip().fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_nginx_writes_them() {
        let v6: SocketAddr = "[::1]:8080".parse().expect("a literal");
        assert_eq!(ListenAddress::Tcp(v6).to_string(), "[::1]:8080");
        assert_eq!(ListenAddress::Unix("/run/x.sock".into()).to_string(), "unix:/run/x.sock");
        assert_eq!(PeerAddress::from(v6).to_string(), "::1");
        assert_eq!(PeerAddress::Unix.to_string(), "unix:");
    }

    #[test]
    fn a_mapped_client_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:99".parse().expect("a literal");
        assert_eq!(PeerAddress::from(mapped).to_string(), "192.0.2.1");
        assert_eq!(PeerAddress::from(mapped).port(), Some(99));
    }
}
