//! A client's connection, whatever kind of socket it came by.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

use crate::send_file;
use crate::tls::TlsStream;

/// A connected stream socket of the current tokio runtime, and the TLS connection on it where there is one.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// Encrypted, over either.
    Tls(TlsStream),
}

impl Stream {
    /// Reads what has arrived without waiting; `WouldBlock` when nothing has.
    ///
    /// # Errors
    ///
    /// Those of `read()`.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
            Self::Tls(stream) => stream.try_read(buffer),
        }
    }

    /// Writes what fits into the socket's buffer without waiting; `WouldBlock` when nothing does.
    ///
    /// After `WouldBlock` the same octets must be offered again, more behind them or not: they may be encrypted already.
    ///
    /// # Errors
    ///
    /// Those of `write()`.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
        }
    }

    /// Writes what fits. Unlike by the trait's method, a connection just made need not wait for the system to say that it is ready.
    ///
    /// # Errors
    ///
    /// Those of `send()`.
    pub fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if matches!(self, Self::Tls(_)) {
            return Pin::new(self).poll_write(context, bytes);
        }
        match rustix::net::send(self.as_fd(), bytes, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN | Errno::INTR) => Pin::new(self).poll_write(context, bytes),
            result => Poll::Ready(result.map_err(io::Error::from)),
        }
    }

    /// [`Stream::try_write`] of several pieces in one call.
    ///
    /// # Errors
    ///
    /// Those of `writev()`.
    pub fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(pieces),
            Self::Unix(stream) => stream.try_write_vectored(pieces),
            Self::Tls(stream) => stream.try_write_vectored(pieces),
        }
    }

    /// [`Stream::try_write`], with more to follow at once where `is_more`: a socket without TLS may wait for it.
    ///
    /// # Errors
    ///
    /// Those of `send()`.
    pub fn try_send(&self, bytes: &[u8], is_more: bool) -> io::Result<usize> {
        let flags = if is_more { SendFlags::MORE | SendFlags::NOSIGNAL } else { SendFlags::NOSIGNAL };
        match self {
            Self::Tls(stream) => stream.try_write(bytes),
            socket => socket.try_io(Interest::WRITABLE, || Ok(rustix::net::send(socket, bytes, flags)?)),
        }
    }

    /// Sends up to `length` octets of `file` from `offset` on, and moves that on by what was sent; 0 is the file's end.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the socket takes nothing; the rest as [`send_file`], or those of `pread()`.
    pub fn try_send_file(&self, file: impl AsFd, offset: &mut u64, length: u64) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.try_send_file(file, offset, length),
            socket => socket.try_io(Interest::WRITABLE, || send_file(socket, file, offset, length)),
        }
    }

    /// Waits until the socket may be read or written, as `interest` says; of a TLS connection it is the socket beneath.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Tcp(stream) => stream.ready(interest).await,
            Self::Unix(stream) => stream.ready(interest).await,
            Self::Tls(stream) => Box::pin(stream.socket().ready(interest)).await,
        }
    }

    /// Whether something may be read: octets, the end, or an error. Registers the task for reading otherwise.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
            Self::Tls(stream) => stream.poll_read_ready(context),
        }
    }

    /// As [`Stream::poll_read_ready`], for writing.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Unix(stream) => stream.poll_write_ready(context),
            Self::Tls(stream) => stream.socket().poll_write_ready(context),
        }
    }

    /// Runs a system call on the socket that tokio has no method for, such as [`crate::send_file`].
    ///
    /// When `call` returns `WouldBlock`, the socket counts as not ready until the system says otherwise.
    ///
    /// # Errors
    ///
    /// Whatever `call` returns, or `WouldBlock` if the socket is known not to be ready.
    pub fn try_io<T>(&self, interest: Interest, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, call),
            Self::Unix(stream) => stream.try_io(interest, call),
            Self::Tls(stream) => stream.socket().try_io(interest, call),
        }
    }

    /// [`Stream::try_io`] that waits until `call` returns something else than `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Whatever `call` returns.
    pub async fn async_io<T>(&self, interest: Interest, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Tcp(stream) => stream.async_io(interest, call).await,
            Self::Unix(stream) => stream.async_io(interest, call).await,
            Self::Tls(stream) => Box::pin(stream.socket().async_io(interest, call)).await,
        }
    }

    /// The server's own address of this connection, `None` for a unix socket.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
            Self::Tls(stream) => stream.socket().local_address(),
        }
    }

    /// Ready when the peer has closed the connection. Octets that arrive meanwhile stay to be read.
    pub fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Tls(stream) = self {
            return stream.poll_closed(context);
        }
        if ready!(self.poll_read_ready(context)).is_err() {
            return Poll::Ready(());
        }
        let mut octet = [0_u8; 1];
        let peeked = self.try_io(Interest::READABLE, || Ok(rustix::net::recv(self, &mut octet, RecvFlags::PEEK)?));
        match peeked {
            Ok((0, _)) => Poll::Ready(()),
            Ok(_) => Poll::Pending, // The next request is waiting: whether the client goes now is seen when it is read.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let again = self.poll_read_ready(context);
                if matches!(again, Poll::Ready(Err(_))) { Poll::Ready(()) } else { Poll::Pending }
            }
            Err(_) => Poll::Ready(()),
        }
    }

    /// Ready with the first octet that can be read of a connection in the clear, which stays to be read; `None` at its end.
    ///
    /// # Errors
    ///
    /// Those of `recv()`.
    pub fn poll_first_octet(&self, context: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let mut octet = [0_u8; 1];
        loop {
            ready!(self.poll_read_ready(context))?;
            match self.try_io(Interest::READABLE, || Ok(rustix::net::recv(self, &mut octet, RecvFlags::PEEK)?)) {
                Ok((0, _)) => return Poll::Ready(Ok(None)),
                Ok(_) => return Poll::Ready(Ok(Some(octet[0]))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Whether octets can be read now.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let mut octet = [0_u8; 1];
        let peeked = rustix::net::recv(self, &mut octet, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Ok((1.., _))) || matches!(self, Self::Tls(stream) if stream.has_plaintext())
    }

    /// Tells the peer that nothing more will come.
    pub fn shutdown_write(&self) {
        if let Self::Tls(stream) = self {
            stream.say_farewell();
        }
        let _ = rustix::net::shutdown(self, rustix::net::Shutdown::Write);
    }

    /// Whether this is a TCP connection, and TCP options apply.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        match self {
            Self::Tcp(_) => true,
            Self::Unix(_) => false,
            Self::Tls(stream) => stream.socket().is_tcp(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.socket().as_fd(),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => loop {
                match stream.try_read(buffer.initialize_unfilled()) {
                    Ok(read) => {
                        buffer.advance(read);
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_read_ready(context))?,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => stream.poll_write_with(context, |stream| stream.try_write(bytes)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::Tls(stream) => stream.poll_write_with(context, |stream| stream.try_write_vectored(pieces)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // A socket has no buffer of ours to flush.
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            stream @ Self::Tls(_) => {
                stream.shutdown_write();
                Poll::Ready(Ok(()))
            }
        }
    }
}
