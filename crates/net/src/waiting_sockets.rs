//! Many sockets that wait, at the price of a descriptor each.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{Timespec, epoll};
use tokio::io::unix::AsyncFd;

use crate::{Stream, watch_for_reading};

/// A connected socket that no event loop watches: a [`Stream`] laid aside.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Takes `stream` from its event loop.
    ///
    /// # Errors
    ///
    /// When the event loop does not let it go; the connection is closed then.
    pub fn laid_aside(stream: Stream) -> io::Result<Self> {
        match stream {
            Stream::Tcp(stream) => stream.into_std().map(Self::Tcp),
            Stream::Unix(stream) => stream.into_std().map(Self::Unix),
            Stream::Tls(_) => Err(io::ErrorKind::Unsupported.into()), // It is more than its socket.
        }
    }

    /// Gives the socket to the event loop of the calling thread.
    ///
    /// # Errors
    ///
    /// When the event loop does not take it; the connection is closed then.
    pub fn taken_up(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream) => tokio::net::TcpStream::from_std(stream).map(Stream::Tcp),
            Self::Unix(stream) => tokio::net::UnixStream::from_std(stream).map(Stream::Unix),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Watches sockets for something to read. It keeps no state of theirs but a number; the sockets stay their owner's.
#[derive(Debug)]
pub struct WaitingSockets {
    epoll: AsyncFd<OwnedFd>,
}

impl WaitingSockets {
    /// Watches none yet. Must be called within an event loop.
    ///
    /// # Errors
    ///
    /// Those of `epoll_create1()` and of the event loop.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll: watch_for_reading(epoll)? })
    }

    /// Watches `socket` under the name of `number` until [`WaitingSockets::forget`], or until the socket is closed.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl()`.
    pub fn watch(&self, socket: &Socket, number: u64) -> io::Result<()> {
        let events = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
        Ok(epoll::add(self.epoll.get_ref(), socket, epoll::EventData::new_u64(number), events)?)
    }

    /// Watches `socket` no more.
    pub fn forget(&self, socket: &Socket) {
        let _ = epoll::delete(self.epoll.get_ref(), socket); // Fails only where it is not watched.
    }

    /// Waits until something can be read of sockets, an end or an error included, and adds their numbers to `numbers`.
    ///
    /// # Errors
    ///
    /// Those of `epoll_wait()`.
    pub async fn ready(&self, numbers: &mut Vec<u64>) -> io::Result<()> {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; EVENTS_MAX];
        loop {
            let mut guard = self.epoll.readable().await?;
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let count = epoll::wait(self.epoll.get_ref(), &mut events[..], Some(&now))?;
            if count > 0 {
                numbers.extend(events[..count].iter().map(|event| event.data.u64()));
                return Ok(());
            }
            guard.clear_ready();
        }
    }
}

/// Sockets told of at once.
const EVENTS_MAX: usize = 64;
