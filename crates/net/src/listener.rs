//! One listening socket: how it is bound and what is known of it afterwards.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use crate::options::set_deferred;
use crate::{BindError, ListenAddress, SocketFile, holder_of, refusal_on_path};

/// How a socket is bound; the default is nginx's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindOptions {
    /// Connections the kernel queues until they are accepted.
    pub backlog: u32,
    /// Whether an IPv6 socket refuses IPv4 clients.
    pub ipv6_only: bool,
    /// SO_REUSEPORT: several sockets share the port, each with a queue of its own.
    pub reuse_port: bool,
    /// SO_KEEPALIVE for accepted connections.
    pub keep_alive: bool,
    /// TCP_DEFER_ACCEPT: wake for data, not for the connection.
    pub deferred: bool,
    /// SO_RCVBUF, bytes.
    pub receive_buffer_bytes: Option<usize>,
    /// SO_SNDBUF, bytes.
    pub send_buffer_bytes: Option<usize>,
    /// Permission bits of a unix socket's file; `None` leaves them to the umask.
    pub mode: Option<u32>,
    /// User and group id a unix socket's file is given to.
    pub owner: Option<(u32, u32)>,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            backlog: 511,
            ipv6_only: true,
            reuse_port: false,
            keep_alive: false,
            deferred: false,
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
            mode: None,
            owner: None,
        }
    }
}

/// A bound, listening, non-blocking, close-on-exec stream socket.
///
/// Dropping it closes the descriptor and leaves a unix socket's file where it is: a forked child drops its copy too. Whoever
/// is responsible for the file removes it through [`Listener::socket_file`].
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: ListenAddress,
    file: Option<SocketFile>,
}

impl Listener {
    /// Binds `address` and listens.
    ///
    /// A unix socket's file that nobody listens on any more is replaced. Port 0 asks the system for a free port;
    /// [`Listener::address`] tells which it gave.
    ///
    /// # Errors
    ///
    /// [`BindError`], which names the address. Nothing is left behind: no descriptor, no file.
    pub fn bind(address: &ListenAddress, options: &BindOptions) -> Result<Self, BindError> {
        match address {
            ListenAddress::Tcp(_) => Self::bind_tcp(address, options),
            ListenAddress::Unix(path) => Self::bind_unix(address, path, options),
        }
    }

    /// Takes over a socket that listens already, such as one inherited from the process before an upgrade.
    ///
    /// # Errors
    ///
    /// If the descriptor is no bound socket of a family we know.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        let bound = socket.local_addr()?;
        let address = if let Some(address) = bound.as_socket() {
            ListenAddress::Tcp(address)
        } else if let Some(path) = bound.as_pathname() {
            ListenAddress::Unix(path.to_path_buf())
        } else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening TCP or unix socket"));
        };
        let file = address.path().and_then(|path| SocketFile::of(path).ok());
        Ok(Self { socket, address, file })
    }

    /// The address in effect, with the port the system chose if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The file of a unix socket.
    #[must_use]
    pub fn socket_file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }

    /// A second descriptor for the same socket and the same queue.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, address: self.address.clone(), file: self.file.clone() })
    }

    /// The same socket under another descriptor, with the options that can be changed while it listens.
    pub(crate) fn go_on(&self, options: &BindOptions) -> Result<Self, BindError> {
        let failed = |call| move |source| system_error(call, &self.address, source);
        let same = self.try_clone().map_err(failed("dup"))?;
        same.socket.listen(backlog(options)).map_err(failed("listen"))?;
        Ok(same)
    }

    fn bind_tcp(address: &ListenAddress, options: &BindOptions) -> Result<Self, BindError> {
        let ListenAddress::Tcp(wanted) = address else {
            unreachable!("called for TCP only");
        };
        let failed = |call| move |source| system_error(call, address, source);
        let socket = Socket::new(Domain::for_address(*wanted), Type::STREAM.cloexec().nonblocking(), None)
            .map_err(failed("socket"))?;
        socket.set_reuse_address(true).map_err(failed("setsockopt(SO_REUSEADDR)"))?;
        if wanted.is_ipv6() {
            socket.set_only_v6(options.ipv6_only).map_err(failed("setsockopt(IPV6_V6ONLY)"))?;
        }
        if options.reuse_port {
            socket.set_reuse_port(true).map_err(failed("setsockopt(SO_REUSEPORT)"))?;
        }
        set_buffers(&socket, options).map_err(failed("setsockopt"))?;
        socket.bind(&SockAddr::from(*wanted)).map_err(failed("bind"))?;
        socket.listen(backlog(options)).map_err(failed("listen"))?;
        if options.deferred {
            set_deferred(&socket, DEFER_SECONDS).map_err(failed("setsockopt(TCP_DEFER_ACCEPT)"))?;
        }
        if options.keep_alive {
            socket.set_tcp_keepalive(&TcpKeepalive::new()).map_err(failed("setsockopt(SO_KEEPALIVE)"))?;
        }
        let bound = socket.local_addr().map_err(failed("getsockname"))?.as_socket().unwrap_or(*wanted);
        Ok(Self { socket, address: ListenAddress::Tcp(bound), file: None })
    }

    fn bind_unix(address: &ListenAddress, path: &Path, options: &BindOptions) -> Result<Self, BindError> {
        let failed = |call| move |source| system_error(call, address, source);
        let name = SockAddr::unix(path)
            .map_err(|_| BindError::PathTooLong { path: path.to_path_buf(), max: UNIX_PATH_MAX })?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.cloexec().nonblocking(), None).map_err(failed("socket"))?;
        set_buffers(&socket, options).map_err(failed("setsockopt"))?;
        if let Err(error) = socket.bind(&name) {
            if error.kind() != io::ErrorKind::AddrInUse {
                return Err(failed("bind")(error));
            }
            remove_stale(address, path, &name)?;
            socket.bind(&name).map_err(failed("bind"))?;
        }
        let file = SocketFile::of(path).map_err(failed("lstat"))?;
        let finish = || {
            // Nobody can connect before listen(), so the bits are right from the first client on.
            if let Some(mode) = options.mode {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("chmod"))?;
            }
            if let Some((user, group)) = options.owner {
                std::os::unix::fs::chown(path, Some(user), Some(group)).map_err(failed("chown"))?;
            }
            socket.listen(backlog(options)).map_err(failed("listen"))
        };
        if let Err(error) = finish() {
            let _ = file.remove(); // The first error is the one worth telling.
            return Err(error);
        }
        Ok(Self { socket, address: address.clone(), file: Some(file) })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> Self {
        listener.socket.into()
    }
}

/// Removes the socket file at `path` if nobody listens on it.
fn remove_stale(address: &ListenAddress, path: &Path, name: &SockAddr) -> Result<(), BindError> {
    let failed = |call| move |source| system_error(call, address, source);
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("lstat")(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NotASocket { path: path.to_path_buf() });
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.cloexec().nonblocking(), None).map_err(failed("socket"))?;
    match probe.connect(name) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("unlink")(error)),
            _ => Ok(()),
        },
        // Connected, a full queue, another socket type, no permission: somebody may be there, so it stays.
        _ => Err(BindError::InUse { address: address.clone(), holder: holder_of(address) }),
    }
}

fn set_buffers(socket: &Socket, options: &BindOptions) -> io::Result<()> {
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

fn backlog(options: &BindOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}

fn system_error(call: &'static str, address: &ListenAddress, source: io::Error) -> BindError {
    if call == "bind" && source.kind() == io::ErrorKind::AddrInUse {
        return BindError::InUse { address: address.clone(), holder: holder_of(address) };
    }
    let hint = match (source.kind(), address) {
        (io::ErrorKind::PermissionDenied, ListenAddress::Tcp(tcp)) if tcp.port() < PRIVILEGED_PORTS => {
            ", ports below 1024 need root or CAP_NET_BIND_SERVICE".to_owned()
        }
        (_, ListenAddress::Unix(path)) => {
            path.parent().and_then(refusal_on_path).map(|refusal| format!(", {refusal}")).unwrap_or_default()
        }
        _ => String::new(),
    };
    BindError::System { call, address: address.clone(), source, hint }
}

/// Bytes of a path that fit into `sockaddr_un` with the closing NUL.
const UNIX_PATH_MAX: usize = 107;

/// The first port that needs no privilege.
const PRIVILEGED_PORTS: u16 = 1024;

/// How long the kernel waits for a client's first bytes, with `deferred`, before it hands the connection over anyway.
const DEFER_SECONDS: i32 = 1;
