//! Where lines go besides file descriptor 2: files, sockets, syslog.

use std::fs::File;
use std::io::{self, Write};
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// One place for lines.
#[derive(Debug)]
pub enum Target {
    /// Standard error, which is the log.
    Standard,
    /// A descriptor that was inherited.
    Descriptor(RawFd),
    /// A file that is appended to, and opened anew on demand.
    File {
        /// Where it is.
        path: PathBuf,
        /// Open, once it has been written to.
        file: Mutex<Option<File>>,
    },
    /// A datagram for each line.
    Datagram(Datagram),
    /// Nowhere.
    Nowhere,
}

/// A socket that takes datagrams, with what stands before each line.
#[derive(Debug)]
pub struct Datagram {
    socket: Socket,
    prefix: String,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixDatagram, PathBuf),
    Udp(UdpSocket),
}

impl Target {
    /// Reads a logger as uWSGI writes it: `file:PATH`, `stdio`, `fd:N`, `socket:HOST:PORT` or `socket:PATH`, `syslog[:IDENT]`,
    /// `rsyslog:HOST:PORT[,IDENT]`.
    ///
    /// # Errors
    ///
    /// What the system says, or that it is none of these.
    pub fn parse(text: &str) -> io::Result<Self> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "stdio" => Ok(Self::Standard),
            "null" => Ok(Self::Nowhere),
            "file" => Ok(Self::File { path: std::path::absolute(rest)?, file: Mutex::new(None) }),
            "fd" => rest.parse().map(Self::Descriptor).map_err(|_| io::Error::other("fd: needs a number")),
            "socket" if rest.starts_with('/') => Ok(Self::unix(rest, String::new())?),
            "socket" => Ok(Self::udp(rest, String::new())?),
            "syslog" => Self::unix("/dev/log", priority(if rest.is_empty() { "uwsgi" } else { rest })),
            "rsyslog" => {
                let (address, identity) = rest.split_once(',').unwrap_or((rest, "uwsgi"));
                Self::udp(address, priority(identity))
            }
            _ => Err(io::Error::other("it is no kind of logger")),
        }
    }

    fn unix(path: &str, prefix: String) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A reader that is slow must not hold requests.
        socket.set_nonblocking(true)?;
        Ok(Self::Datagram(Datagram { socket: Socket::Unix(socket, path.into()), prefix }))
    }

    fn udp(address: &str, prefix: String) -> io::Result<Self> {
        let address = if address.contains(':') { address.to_owned() } else { format!("{address}:514") };
        let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self::Datagram(Datagram { socket: Socket::Udp(socket), prefix }))
    }

    /// Writes a line, which ends in a line end, in one piece.
    pub fn write(&self, line: &[u8]) {
        // The log itself is gone when this fails: there is nobody to tell.
        let _ = self.try_write(line);
    }

    fn try_write(&self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Standard => io::stderr().write_all(line),
            Self::Descriptor(number) => {
                // SAFETY: a number that is not open is an error of the system's.
                let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
                rustix::io::retry_on_intr(|| rustix::io::write(descriptor, line)).map(drop).map_err(io::Error::from)
            }
            Self::File { path, file } => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                if file.is_none() {
                    *file = Some(File::options().append(true).create(true).open(path)?);
                }
                file.as_mut().map_or(Ok(()), |file| file.write_all(line))
            }
            Self::Datagram(datagram) => datagram.send(line),
        }
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File { path, .. } => Some(path),
            _ => None,
        }
    }

    /// A file is opened anew before the next line.
    pub fn reopen(&self) {
        if let Self::File { file, .. } = self {
            *file.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Datagram {
    fn send(&self, line: &[u8]) -> io::Result<()> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let text = [self.prefix.as_bytes(), line].concat();
        match &self.socket {
            Socket::Unix(socket, path) => socket.send_to(&text, path),
            Socket::Udp(socket) => socket.send(&text),
        }
        .map(drop)
    }
}

/// Facility daemon, severity info, and who says it, as syslog reads it.
fn priority(identity: &str) -> String {
    format!("<30>{identity}[{}]: ", std::process::id())
}
