//! The numbers of a pool for whoever connects: one JSON text in uWSGI's shape, then the end.
//!
//! Nobody is waited for: what a slow reader has not taken is kept until it does, or until others come.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use daemun_channel::handover::Workers;
use rustix::event::{PollFd, PollFlags};

use crate::log::{self, Level};

/// Sockets that tell the numbers.
#[derive(Debug, Default)]
pub struct StatsServer {
    listeners: Vec<Listener>,
    readers: Vec<Reader>,
    is_http: bool,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    /// With the file's path, its device and number, and whose it is: a worker is a copy of the zygote.
    Unix(UnixListener, PathBuf, Option<(u64, u64)>, u32),
}

/// Somebody who has connected.
#[derive(Debug)]
struct Reader {
    stream: std::fs::File,
    /// What is still to be written; `None`: it has to ask first, by HTTP.
    text: Option<Vec<u8>>,
}

impl StatsServer {
    /// Listens. What cannot be bound is told, and missed.
    pub fn open(settings: &Workers) -> Self {
        let open = |address: &String| match Listener::bind(address) {
            Ok(listener) => Some(listener),
            Err(error) => {
                log::line(Level::Error, format_args!("stats: {address} cannot be bound: {error}"));
                None
            }
        };
        let listeners = settings.stats.iter().filter_map(open).collect();
        Self { listeners, readers: Vec::new(), is_http: settings.stats_http }
    }

    /// Accepts no more.
    pub fn close(&mut self) {
        *self = Self::default();
    }

    /// Whether anybody listens.
    pub fn is_open(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// What to wait for.
    pub fn watched(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listeners = self.listeners.iter().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN));
        let readers = self.readers.iter().map(|reader| {
            let wanted = if reader.text.is_some() { PollFlags::OUT } else { PollFlags::IN };
            PollFd::from_borrowed_fd(reader.stream.as_fd(), wanted)
        });
        listeners.chain(readers)
    }

    /// Takes in who has come and serves who can be served. `report` makes the text.
    pub fn turn(&mut self, report: impl Fn() -> String) {
        for listener in &self.listeners {
            while let Ok(stream) = listener.accept() {
                let text = (!self.is_http).then(|| report().into_bytes());
                self.readers.push(Reader { stream, text });
            }
        }
        if self.readers.len() > READERS_MAX {
            self.readers.drain(..self.readers.len() - READERS_MAX);
        }
        self.readers.retain_mut(|reader| reader.goes_on(&report));
    }
}

impl Reader {
    /// Whether there is more to do for it.
    fn goes_on(&mut self, report: &impl Fn() -> String) -> bool {
        if self.text.is_none() {
            match self.stream.read(&mut [0; 4096]) {
                Ok(1..) => {}
                Ok(0) => return false,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
            let body = report();
            let head = "HTTP/1.0 200 OK\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n";
            let length = body.len();
            let head = format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
            self.text = Some([head, body].concat().into_bytes());
        }
        let Some(text) = &mut self.text else { return true };
        loop {
            match self.stream.write(text) {
                Ok(length) => drop(text.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
            if text.is_empty() {
                return false;
            }
        }
    }
}

impl Listener {
    fn bind(address: &str) -> io::Result<Self> {
        if let Some((host, port)) = address.rsplit_once(':').filter(|_| !address.starts_with(['/', '@'])) {
            let host = if host.is_empty() || host == "*" { "0.0.0.0" } else { host };
            return Self::bind_tcp(host, port);
        }
        if let Some(name) = address.strip_prefix('@') {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            let listener = UnixListener::bind_addr(&address)?;
            listener.set_nonblocking(true)?;
            return Ok(Self::Unix(listener, PathBuf::new(), None, 0));
        }
        let path = std::path::absolute(address)?;
        // Only a socket that nobody answers, or our own predecessor's, is taken away: the name may be a slip.
        if std::fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(&path)?;
        }
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        let identity = identity_of(&path);
        Ok(Self::Unix(listener, path, identity, std::process::id()))
    }

    /// Beside a predecessor's, which is closed in a moment.
    fn bind_tcp(host: &str, port: &str) -> io::Result<Self> {
        use std::net::ToSocketAddrs;
        let port: u16 = port.parse().map_err(|_| io::Error::other("that is no port"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes three numbers.
        let socket = unsafe { libc::socket(family, kind, 0) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was opened just now and is nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self::Tcp(socket.into()))
    }

    fn accept(&self) -> io::Result<std::fs::File> {
        let descriptor: OwnedFd = match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.into()
            }
            Self::Unix(listener, ..) => {
                let (stream, _): (UnixStream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.into()
            }
        };
        Ok(descriptor.into())
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, ..) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A successor may have put its own in this place.
        if let Self::Unix(_, path, identity @ Some(_), owner) = self
            && *owner == std::process::id()
            && identity_of(path) == *identity
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Which file it is: by device and number.
fn identity_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Readers that are served at once; more push out the oldest.
const READERS_MAX: usize = 64;

const BACKLOG: i32 = 64;
