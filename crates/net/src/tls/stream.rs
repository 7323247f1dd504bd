//! An encrypted connection on a socket that is not waited for.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use rustls::Connection;
use tokio::io::Interest;

use super::limits::{FILE_OCTETS_READ, OCTETS_ENCRYPTED};
use crate::Stream;

/// A socket and the TLS connection on it. Its calls are those of a [`Stream`], with octets in the clear.
///
/// Encrypted octets do not wait here for a later call to send them: octets count as written once the socket has all of
/// what they were encrypted to. So whoever was told `WouldBlock` must offer the same octets again, and nothing is ever to
/// be flushed.
#[derive(Debug)]
pub struct TlsStream {
    socket: Box<Stream>,
    state: RefCell<Box<State>>,
    /// Whether the peer was told that nothing more will come.
    has_said_farewell: Cell<bool>,
}

#[derive(Debug)]
struct State {
    connection: Connection,
    /// Octets in the clear that were encrypted and not yet told as written.
    owed: usize,
    /// What the client has sent before the handshake was done, as far as it was not yet read.
    early: Vec<u8>,
}

/// The socket as rustls reads and writes it.
pub(super) struct Raw<'a>(pub(super) &'a Stream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    /// `connection` has done its handshake over `socket`, or may go on with it while octets are read and written.
    pub(super) fn new(socket: Stream, mut connection: Connection) -> Self {
        connection.set_buffer_limit(None); // Octets are taken in portions of our own.
        let mut state = Box::new(State { connection, owed: 0, early: Vec::new() });
        state.gather_early();
        let state = RefCell::new(state);
        Self { socket: Box::new(socket), state, has_said_farewell: Cell::new(false) }
    }

    /// The socket beneath.
    pub(crate) fn socket(&self) -> &Stream {
        &self.socket
    }

    /// Whether the handshake is not done: what has come may be somebody else's, sent again.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.state.borrow().connection.is_handshaking()
    }

    /// Whether octets in the clear, or the peer's farewell, can be had without the socket.
    pub(crate) fn has_plaintext(&self) -> bool {
        self.state.borrow_mut().has_plaintext()
    }

    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        loop {
            match state.take_plaintext(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => state.fill(&self.socket)?,
                // A peer that just closes the socket has ended it; what was cut short is seen by its framing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
        }
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_by(|writer| writer.write(&bytes[..bytes.len().min(OCTETS_ENCRYPTED)]))
    }

    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        match pieces.first() {
            Some(first) if total > OCTETS_ENCRYPTED => self.try_write(first),
            _ => self.write_by(|writer| writer.write_vectored(pieces)),
        }
    }

    /// Sends up to `length` octets of `file` from `offset` on, and moves that on.
    pub(crate) fn try_send_file(&self, file: impl AsFd, offset: &mut u64, length: u64) -> io::Result<usize> {
        let sent = if self.state.borrow().owed > 0 {
            self.write_by(|_| Ok(0))?
        } else {
            let count = usize::try_from(length).unwrap_or(usize::MAX).min(FILE_OCTETS_READ);
            FILE_OCTETS.with_borrow_mut(|buffer| {
                buffer.resize(FILE_OCTETS_READ, 0);
                let read = rustix::io::pread(file, &mut buffer[..count], *offset)?;
                if read == 0 { Ok(0) } else { self.write_by(|writer| writer.write(&buffer[..read])) }
            })?
        };
        *offset += sent as u64;
        Ok(sent)
    }

    /// Encrypts what `write` gives the writer, unless there is still something of an earlier call to send.
    fn write_by(&self, write: impl FnOnce(&mut rustls::Writer<'_>) -> io::Result<usize>) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        if state.owed == 0 {
            state.flush(&self.socket)?; // A message of the protocol's own.
            state.owed = write(&mut state.connection.writer())?;
        }
        let (sent, result) = state.send(&self.socket);
        match result {
            Ok(()) => Ok(std::mem::take(&mut state.owed)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Fewer octets in the clear than encrypted ones have gone out, and one is kept back until all have.
                let told = sent.min(state.owed.saturating_sub(1));
                state.owed -= told;
                if told > 0 { Ok(told) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Tries `write` until it does something.
    pub(crate) fn poll_write_with(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&Self) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(context))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// Ready when [`TlsStream::try_read`] has something to say: octets, the end, or an error.
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        loop {
            if state.has_plaintext() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_read_ready(context))?;
            match state.fill(&self.socket) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Whether the peer has ended the connection. Octets that have come before that stay to be read.
    pub(crate) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        match self.poll_read_ready(context) {
            Poll::Ready(Ok(())) if self.state.borrow_mut().has_octets() => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Tells the peer that nothing more will come, as far as the socket takes it.
    pub(crate) fn say_farewell(&self) {
        if self.has_said_farewell.replace(true) {
            return;
        }
        let mut state = self.state.borrow_mut();
        if !state.connection.is_handshaking() {
            state.connection.send_close_notify();
        }
        let _ = state.flush(&self.socket); // Nobody waits for it.
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.say_farewell();
    }
}

impl State {
    /// Octets that were decrypted already; `WouldBlock` where there are none, `UnexpectedEof` at an end without farewell.
    fn take_plaintext(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.early.is_empty() {
            let read = self.early.len().min(buffer.len());
            buffer[..read].copy_from_slice(&self.early[..read]);
            self.early.drain(..read);
            return Ok(read);
        }
        self.connection.reader().read(buffer)
    }

    /// Takes what has come of early data; rustls limits how much there can be.
    fn gather_early(&mut self) {
        if let Connection::Server(server) = &mut self.connection
            && let Some(mut early) = server.early_data()
        {
            let _ = early.read_to_end(&mut self.early); // Reads from memory.
        }
    }

    /// Whether there is something to be had without the socket, be it the end.
    fn has_plaintext(&mut self) -> bool {
        match self.connection.reader().into_first_chunk() {
            _ if !self.early.is_empty() => true,
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Whether there are octets to be had without the socket.
    fn has_octets(&mut self) -> bool {
        !self.early.is_empty() || self.connection.reader().into_first_chunk().is_ok_and(|octets| !octets.is_empty())
    }

    /// Reads from the socket once, and decrypts.
    fn fill(&mut self, socket: &Stream) -> io::Result<()> {
        self.connection.read_tls(&mut Raw(socket))?;
        let processed = self.connection.process_new_packets();
        // An alert, or an answer of the protocol's own. What the socket does not take goes before the next octets.
        let flushed = self.flush(socket);
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.gather_early();
        match flushed {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends what is encrypted; how many octets went out, and whether all did.
    fn send(&mut self, socket: &Stream) -> (usize, io::Result<()>) {
        let mut sent = 0;
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Raw(socket)) {
                Ok(0) => return (sent, Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (sent, Err(error)),
            }
        }
        (sent, Ok(()))
    }

    fn flush(&mut self, socket: &Stream) -> io::Result<()> {
        self.send(socket).1
    }
}

/// Waits until the handshake is done, or has come as far as octets can be had.
///
/// # Errors
/// Those of the socket, and `InvalidData` with the reason where the peer and we do not come together; it has been told.
pub(super) async fn shake_hands(socket: &Stream, connection: &mut Connection) -> io::Result<()> {
    loop {
        while connection.wants_write() {
            match connection.write_tls(&mut Raw(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _ready = socket.ready(Interest::WRITABLE).await?;
                }
                Err(error) => return Err(error),
            }
        }
        if !connection.is_handshaking() || has_early_data(connection) {
            return Ok(());
        }
        match connection.read_tls(&mut Raw(socket)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                if let Err(error) = connection.process_new_packets() {
                    while connection.wants_write()
                        && connection.write_tls(&mut Raw(socket)).is_ok_and(|count| count > 0)
                    {}
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ready = socket.ready(Interest::READABLE).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn has_early_data(connection: &mut Connection) -> bool {
    match connection {
        Connection::Server(server) => server.early_data().is_some(),
        Connection::Client(_) => false,
    }
}

thread_local! {
    /// What was read of a file to be encrypted.
    static FILE_OCTETS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
