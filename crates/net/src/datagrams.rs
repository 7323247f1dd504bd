//! Datagrams to one address, over UDP or a unix socket: a socket is made when the first one is sent, and anew after an error.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Where datagrams go. Threads share it.
#[derive(Debug)]
pub struct Datagrams {
    address: Address,
    socket: Mutex<Option<Socket>>,
}

#[derive(Debug)]
enum Address {
    Udp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// Why a text is no address for datagrams, in nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramAddressError {
    /// Nothing but a port, or nothing at all.
    #[error("no host")]
    NoHost,
    /// A port that is none.
    #[error("invalid port")]
    Port,
    /// A name that has no address.
    #[error("host not found")]
    Unknown,
    /// A unix socket without a path.
    #[error("no path in the unix domain socket")]
    NoPath,
}

impl Datagrams {
    /// To `address[:port]`, `name[:port]`, `[address][:port]` or `unix:path`; names are looked up now.
    ///
    /// # Errors
    /// When the text is none of these, or the name has no address.
    pub fn to(text: &str, default_port: u16) -> Result<Self, DatagramAddressError> {
        Ok(Self { address: Address::parse(text, default_port)?, socket: Mutex::new(None) })
    }

    /// Sends one datagram, without waiting.
    ///
    /// # Errors
    /// What the system says; the next one is sent by a new socket.
    pub fn send(&self, octets: &[u8]) -> io::Result<()> {
        let mut kept = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = match kept.take() {
            Some(socket) => socket,
            None => self.address.connect()?,
        };
        match &socket {
            Socket::Udp(socket) => socket.send(octets)?,
            Socket::Unix(socket) => socket.send(octets)?,
        };
        *kept = Some(socket);
        Ok(())
    }
}

impl Address {
    fn parse(text: &str, default_port: u16) -> Result<Self, DatagramAddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(DatagramAddressError::NoPath) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => default_port,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(DatagramAddressError::Port)?,
        };
        if host.is_empty() {
            return Err(DatagramAddressError::NoHost);
        }
        let found = (host, port).to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        found.map(Self::Udp).ok_or(DatagramAddressError::Unknown)
    }

    fn connect(&self) -> io::Result<Socket> {
        Ok(match self {
            Self::Udp(address) => {
                let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
                let socket = UdpSocket::bind(any)?;
                socket.set_nonblocking(true)?;
                socket.connect(address)?;
                Socket::Udp(socket)
            }
            Self::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect(path)?;
                Socket::Unix(socket)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::{Address, DatagramAddressError, Datagrams};

    #[test]
    fn addresses_are_read() {
        let udp = |text| match Address::parse(text, 514) {
            Ok(Address::Udp(address)) => Ok(address.to_string()),
            Ok(Address::Unix(path)) => Ok(path.display().to_string()),
            Err(error) => Err(error),
        };
        assert_eq!(udp("127.0.0.1"), Ok("127.0.0.1:514".to_owned()));
        assert_eq!(udp("[::1]:12"), Ok("[::1]:12".to_owned()));
        assert_eq!(udp("unix:/dev/log"), Ok("/dev/log".to_owned()));
        assert_eq!(udp("unix:"), Err(DatagramAddressError::NoPath));
        assert_eq!(udp("127.0.0.1:0"), Err(DatagramAddressError::Port));
        assert_eq!(udp(":12"), Err(DatagramAddressError::NoHost));
    }

    #[test]
    fn who_listens_again_is_sent_to_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let datagrams = Datagrams::to(&format!("unix:{}", path.display()), 1).expect("an address");
        assert!(datagrams.send(b"to nobody").is_err());
        let listener = UnixDatagram::bind(&path).expect("bound");
        datagrams.send(b"one").expect("sent");
        drop(listener);
        std::fs::remove_file(&path).expect("removed");
        assert!(datagrams.send(b"to nobody").is_err());
        let listener = UnixDatagram::bind(&path).expect("bound");
        datagrams.send(b"two").expect("sent");
        let mut octets = [0; 8];
        assert_eq!(listener.recv(&mut octets).expect("received"), 3);
    }
}
