//! A listening socket as an event loop sees it.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use tokio::net::{TcpListener, UnixListener};

use crate::{ListenAddress, Listener, PeerAddress, Stream};

/// A [`Listener`] registered with the current tokio runtime.
#[derive(Debug)]
pub struct Acceptor {
    listener: Inner,
    address: ListenAddress,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    /// Registers `listener` with the runtime of the calling thread.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch the descriptor.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub fn new(listener: Listener) -> io::Result<Self> {
        let address = listener.address().clone();
        let descriptor = OwnedFd::from(listener);
        let listener = match address {
            ListenAddress::Tcp(_) => Inner::Tcp(TcpListener::from_std(descriptor.into())?),
            ListenAddress::Unix(_) => Inner::Unix(UnixListener::from_std(descriptor.into())?),
        };
        Ok(Self { listener, address })
    }

    /// The address listened on.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Waits for the next connection. Dropping the future loses none.
    ///
    /// # Errors
    ///
    /// Those of `accept()`. The ones of a single connection (aborted, reset) are to be passed over; without descriptors or memory
    /// ([`Acceptor::is_exhausted`]) the caller pauses, since the connection stays in the queue and the call would fail again
    /// at once.
    pub async fn accept(&self) -> io::Result<(Stream, PeerAddress)> {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    /// [`Acceptor::accept`] for hand-written futures; only the last task to poll is woken.
    ///
    /// # Errors
    ///
    /// As [`Acceptor::accept`].
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, PeerAddress)>> {
        match &self.listener {
            Inner::Tcp(listener) => listener
                .poll_accept(context)
                .map_ok(|(stream, address)| (Stream::Tcp(stream), PeerAddress::from(address))),
            Inner::Unix(listener) => {
                listener.poll_accept(context).map_ok(|(stream, _)| (Stream::Unix(stream), PeerAddress::Unix))
            }
        }
    }

    /// Whether an error of `accept()` says that the process or the system has run out of something.
    #[must_use]
    pub fn is_exhausted(error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
    }
}
