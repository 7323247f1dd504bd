//! Connections that this program makes.

use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpSocket, UnixStream};

use crate::{Stream, set_no_delay};

/// How a connection is made; by default as the system likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Where it begins; port 0 is any.
    pub local: Option<SocketAddr>,
    /// IP_TRANSPARENT: `local` may be another machine's address.
    pub is_transparent: bool,
    /// SO_KEEPALIVE.
    pub keep_alive: bool,
    /// SO_SNDBUF, bytes.
    pub send_buffer: Option<usize>,
    /// SO_RCVBUF, bytes.
    pub receive_buffer: Option<usize>,
}

impl Stream {
    /// Connects over TCP. Small writes leave at once.
    ///
    /// # Errors
    /// Those of `socket()`, `setsockopt()`, `bind()` and `connect()`.
    pub async fn connect_tcp(address: SocketAddr, options: &ConnectOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
        options.apply(&socket)?;
        if let Some(local) = options.local.filter(|local| local.is_ipv4() == address.is_ipv4()) {
            if options.is_transparent && local.is_ipv4() {
                socket.set_ip_transparent_v4(true)?;
            }
            socket.bind(&local.into())?;
        }
        let stream = TcpSocket::from_std_stream(StdTcpStream::from(socket)).connect(address).await?;
        set_no_delay(&stream, true)?;
        Ok(Self::Tcp(stream))
    }

    /// Connects to a unix socket.
    ///
    /// # Errors
    /// Those of `socket()` and `connect()`.
    pub async fn connect_unix(path: &Path, _: &ConnectOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        socket.connect(&SockAddr::unix(path)?)?; // Connected at once, or not at all.
        UnixStream::from_std(StdUnixStream::from(socket)).map(Self::Unix)
    }
}

impl ConnectOptions {
    fn apply(&self, socket: &Socket) -> io::Result<()> {
        if self.keep_alive {
            socket.set_keepalive(true)?;
        }
        if let Some(size) = self.send_buffer {
            socket.set_send_buffer_size(size)?;
        }
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        Ok(())
    }
}
