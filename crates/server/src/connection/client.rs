//! One client's connection: its socket, its addresses, what was read ahead.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use daemun_http::chunked::{self, Decoder};
use daemun_http::http2::hpack;
use daemun_http::{Header, StatusCode};
use daemun_net::tls::TlsStream;
use daemun_net::{PeerAddress, ProxyHeader, Stream, TcpInfo, tcp_info};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gateway::{self, Records};
use super::http2::Http2Stream;
use super::input::Input;
use super::pace::{Pace, Rate};
use super::timer::Deadline;
use super::tls::ClientTls;
use crate::clock;
use crate::listener::Protocol;
use crate::log::Level;
use crate::runtime::{ListenerId, ThreadRuntime};
use crate::statistics::{Activity, Counted};
use crate::thread;

/// One client's connection. Handlers of its requests share it.
pub struct Client {
    /// `None` once the connection is closed: request objects that wait to be used again still hold their last client.
    stream: RefCell<Option<Stream>>,
    /// In the socket's place, where it is one stream of an HTTP/2 connection.
    pub(crate) http2: Option<Rc<Http2Stream>>,
    pub(crate) input: RefCell<Input>,
    deadline: RefCell<Deadline>,
    /// How fast the present answer may go out, where that is limited.
    pace: RefCell<Option<Box<Pace>>>,
    /// Its place in the statistics, until it is closed.
    counted: RefCell<Option<Counted>>,
    /// The listener it came in by, and the runtime of which it is one; `None` once the connection is closed.
    listener: Cell<ListenerId>,
    runtime: RefCell<Option<Rc<ThreadRuntime>>>,
    /// Number of the connection within this process.
    pub serial: u64,
    /// Monotonic time of its beginning in milliseconds.
    pub started_ms: u64,
    /// How long it may wait for its next request: `keepalive_timeout` of the location that answered last.
    pub(crate) keepalive_timeout: Cell<Duration>,
    /// How long of it nobody else may close it: `keepalive_min_timeout`.
    pub(crate) keepalive_min_timeout: Cell<Duration>,
    /// Requests served so far, the present one included.
    pub requests: Cell<u32>,
    /// Who is at the other end.
    pub remote: Remote,
    /// The server's port.
    pub local_port: Option<u16>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Where its records stand, if it speaks FastCGI.
    pub(crate) records: Option<Records>,
    /// What is known of an encrypted connection.
    pub(super) tls: OnceCell<Box<ClientTls>>,
    /// The name that a client asks for in its handshake, known before that is done.
    pub(super) requested_name: OnceCell<Box<str>>,
    /// Whether the client does not speak TLS where it should.
    pub(super) is_plain_on_tls: Cell<bool>,
    local_address: OnceCell<AddressText>,
    /// What a proxy in front has said of the connection.
    pub(super) proxy_header: OnceCell<Box<ProxyHeader>>,
    /// Whether it waits for a request: a stop closes it at once.
    pub(crate) is_idle: Cell<bool>,
    /// Since when it has waited, monotonic time in milliseconds.
    pub(crate) idle_since_ms: Cell<u64>,
    /// Whether it is about to be closed to make room.
    pub(crate) is_doomed: Cell<bool>,
    /// Whether the connection is closed after the request it serves, whatever the client wants.
    pub(crate) is_last_request: Cell<bool>,
    /// Who is to hear of that.
    watcher: RefCell<Option<Waker>>,
    /// Whether anything has come of the first request.
    pub(crate) has_begun: Cell<bool>,
    /// Whether the present request's body is not all here: what can be read is the body's.
    pub(crate) is_body_due: Cell<bool>,
    /// Whether the present request goes on when the client has gone.
    pub ignores_abort: Cell<bool>,
}

/// A client's address: the connection's, or what a proxy in front says of it.
#[derive(Clone, Copy)]
pub struct Remote {
    /// The address; `None` over a unix socket.
    pub ip: Option<IpAddr>,
    /// As text; `unix:` over a unix socket.
    pub address: AddressText,
    /// The port.
    pub port: Option<u16>,
}

impl Remote {
    /// A client at `ip`; its port where it is known.
    #[must_use]
    pub fn new(ip: IpAddr, port: Option<u16>) -> Self {
        Self { ip: Some(ip), address: AddressText::new(&ip), port }
    }

    /// A client of a unix socket.
    #[must_use]
    pub fn unix() -> Self {
        Self { ip: None, address: AddressText::new(&"unix:"), port: None }
    }
}

/// An address as text, without an allocation.
#[derive(Clone, Copy)]
pub struct AddressText {
    octets: [u8; 46],
    length: u8,
}

impl Client {
    /// A connection that has just been accepted.
    #[must_use]
    pub fn new(stream: Stream, peer: PeerAddress, listener: ListenerId, runtime: &Rc<ThreadRuntime>) -> Self {
        Self::counted_as(Counted::new(), stream, peer, listener, runtime)
    }

    pub(super) fn counted_as(
        counted: Counted,
        stream: Stream,
        peer: PeerAddress,
        listener: ListenerId,
        runtime: &Rc<ThreadRuntime>,
    ) -> Self {
        let setting = &runtime.listener(listener).setting;
        let remote = match peer {
            PeerAddress::Tcp(peer) => Remote::new(peer.ip(), Some(peer.port())),
            PeerAddress::Unix => Remote::unix(),
        };
        Self {
            stream: RefCell::new(Some(stream)),
            http2: None,
            input: RefCell::default(),
            deadline: RefCell::default(),
            pace: RefCell::default(),
            counted: RefCell::new(Some(counted)),
            listener: Cell::new(listener),
            runtime: RefCell::new(Some(Rc::clone(runtime))),
            serial: thread::next_connection_serial(),
            started_ms: clock::monotonic_ms(),
            keepalive_timeout: Cell::default(),
            keepalive_min_timeout: Cell::default(),
            requests: Cell::new(0),
            remote,
            local_port: setting.address.port(),
            protocol: setting.protocol,
            records: gateway::records(setting.protocol),
            tls: OnceCell::new(),
            requested_name: OnceCell::new(),
            is_plain_on_tls: Cell::new(false),
            local_address: OnceCell::new(),
            proxy_header: OnceCell::new(),
            is_idle: Cell::new(false),
            idle_since_ms: Cell::new(0),
            is_doomed: Cell::new(false),
            is_last_request: Cell::new(false),
            watcher: RefCell::default(),
            has_begun: Cell::new(false),
            is_body_due: Cell::new(false),
            ignores_abort: Cell::new(false),
        }
    }

    /// A stream of an HTTP/2 connection, as the client of one request.
    pub(super) fn of_stream(stream: Rc<Http2Stream>, runtime: &Rc<ThreadRuntime>) -> Self {
        let connection = Rc::clone(&stream.connection);
        Self {
            stream: RefCell::new(None),
            http2: Some(stream),
            input: RefCell::default(),
            deadline: RefCell::default(),
            pace: RefCell::default(),
            counted: RefCell::new(None),
            listener: Cell::new(connection.listener.get()),
            runtime: RefCell::new(Some(Rc::clone(runtime))),
            serial: connection.serial,
            started_ms: connection.started_ms,
            keepalive_timeout: Cell::default(),
            keepalive_min_timeout: Cell::default(),
            requests: Cell::new(connection.requests.get()),
            remote: connection.remote,
            local_port: connection.local_port,
            protocol: connection.protocol,
            records: None,
            tls: OnceCell::new(),
            requested_name: OnceCell::new(),
            is_plain_on_tls: Cell::new(false),
            local_address: OnceCell::new(),
            proxy_header: OnceCell::new(),
            is_idle: Cell::new(false),
            idle_since_ms: Cell::new(0),
            is_doomed: Cell::new(false),
            is_last_request: Cell::new(false),
            watcher: RefCell::default(),
            has_begun: Cell::new(true),
            is_body_due: Cell::new(false),
            ignores_abort: Cell::new(false),
        }
    }

    /// The connection: the client itself, or that whose stream it is.
    #[must_use]
    pub fn connection(&self) -> &Self {
        self.http2.as_ref().map_or(self, |stream| &stream.connection)
    }

    /// Whether it is a stream of an HTTP/2 connection.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.http2.is_some()
    }

    /// The connection ends once what it serves has been answered.
    pub(crate) fn end_after_request(&self) {
        self.is_last_request.set(true);
        if let Some(waker) = self.watcher.take() {
            waker.wake();
        }
    }

    /// Has `waker` hear of the connection's end.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut watcher = self.watcher.borrow_mut();
        if !watcher.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *watcher = Some(waker.clone());
        }
    }

    /// Whether somebody is to hear of the connection's end.
    pub(crate) fn is_watched(&self) -> bool {
        self.watcher.borrow().is_some()
    }

    /// Sends an answer before the answer, where the protocol is HTTP/2; else the octets are the caller's to write.
    pub fn send_interim<'a>(&self, status: StatusCode, fields: impl Iterator<Item = Header<'a>>) {
        let Some(stream) = &self.http2 else { return };
        let mut block = Vec::new();
        hpack::write_status(status, &mut block);
        for field in fields {
            hpack::write_field(field.id, field.name, field.value, &mut block);
        }
        let _ = stream.send_interim(&block); // A client that is gone is noticed when it gets its answer.
    }

    /// Octets were taken out of the input: an HTTP/2 client may send as many again.
    pub(crate) fn consumed(&self, octets: usize) {
        if let Some(stream) = &self.http2 {
            stream.consumed(octets);
        }
    }

    /// The request's body has not come in time.
    pub(crate) fn note_body_timeout(&self) {
        if let Some(stream) = &self.http2 {
            stream.note_timeout();
        }
    }

    /// The listener it came in by, as the runtime of its latest request knows it.
    #[must_use]
    pub fn listener(&self) -> ListenerId {
        self.listener.get()
    }

    /// The runtime that [`Client::listener`] belongs to; `None` once the connection is closed.
    pub(crate) fn runtime(&self) -> Option<Rc<ThreadRuntime>> {
        self.runtime.borrow().clone()
    }

    /// Number of the configuration that it was last given.
    pub(crate) fn generation(&self) -> u64 {
        self.runtime.borrow().as_ref().map_or(u64::MAX, |runtime| runtime.generation.number)
    }

    /// Whether the listener it came in by is part of `next`.
    pub(crate) fn has_place_in(&self, next: &ThreadRuntime) -> bool {
        self.runtime.borrow().as_ref().is_some_and(|last| last.place_in(self.listener.get(), next).is_some())
    }

    /// Makes it a connection of `next`, if that one has its listener; tells whether it is one.
    pub(crate) fn go_over_to(&self, next: &Rc<ThreadRuntime>) -> bool {
        let mut runtime = self.runtime.borrow_mut();
        let Some(last) = runtime.as_ref() else { return false };
        if last.generation.number == next.generation.number {
            return true;
        }
        let Some(place) = last.place_in(self.listener.get(), next) else { return false };
        self.listener.set(place);
        *runtime = Some(Rc::clone(next));
        true
    }

    /// The server's address as text.
    pub fn local_address(&self) -> &AddressText {
        if let Some(stream) = &self.http2 {
            return stream.connection.local_address();
        }
        self.local_address.get_or_init(|| match self.stream.borrow().as_ref().and_then(Stream::local_address) {
            Some(address) => AddressText::new(&address.ip()),
            None => AddressText::new(&"unix:"),
        })
    }

    /// Makes this the server's address, for a connection that has none of its own.
    pub(crate) fn stands_at(&self, address: AddressText) {
        let _ = self.local_address.set(address); // A connection that has an address keeps it.
    }

    /// What is known of the connection's TLS; `None` where it is in the clear, or the handshake is not done.
    #[must_use]
    pub fn tls(&self) -> Option<&ClientTls> {
        self.connection().tls.get().map(Box::as_ref)
    }

    /// The name that the client asked for in its handshake.
    #[must_use]
    pub fn requested_name(&self) -> Option<&str> {
        self.connection().requested_name.get().map(Box::as_ref)
    }

    /// Whether the connection is to be encrypted: its listener says so.
    #[must_use]
    pub fn is_on_tls_listener(&self) -> bool {
        let connection = self.connection();
        connection.tls.get().is_some() || connection.is_plain_on_tls.get()
    }

    /// Looks at the encrypted stream; `None` where it is in the clear, or closed.
    pub fn with_tls_stream<T>(&self, look: impl FnOnce(&TlsStream) -> T) -> Option<T> {
        match self.stream.borrow().as_ref() {
            Some(Stream::Tls(stream)) => Some(look(stream)),
            _ => None,
        }
    }

    /// Takes the socket for a handshake; [`Client::give_stream`] brings what came of it.
    pub(super) fn take_stream(&self) -> Option<Stream> {
        self.local_address(); // The stream knows it.
        self.stream.take()
    }

    pub(super) fn give_stream(&self, stream: Stream) {
        self.stream.replace(Some(stream));
    }

    /// Ready with the first octet that was not used yet; `None` where the client has gone.
    pub(super) fn poll_first_octet(&self, context: &mut Context<'_>) -> Poll<Option<u8>> {
        if let Some(octet) = self.input.borrow().as_slice().first() {
            return Poll::Ready(Some(*octet));
        }
        match self.stream.borrow().as_ref() {
            Some(stream) => stream.poll_first_octet(context).map(|octet| octet.unwrap_or_default()),
            None => Poll::Ready(None),
        }
    }

    /// What a proxy in front has said of the connection, on a listener with `proxy_protocol`.
    #[must_use]
    pub fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.connection().proxy_header.get().map(Box::as_ref)
    }

    /// Whether octets of the next request are here already.
    #[must_use]
    pub fn has_pending_input(&self) -> bool {
        !self.input.borrow().is_empty()
    }

    /// Octets that were read from the socket and not used yet.
    pub(crate) fn pending_input(&self) -> u64 {
        self.input.borrow().as_slice().len() as u64
    }

    /// Whether what was read begins with a whole body in chunks, of `most` octets or fewer.
    pub(crate) fn has_pending_chunks(&self, most: u64) -> bool {
        let input = self.input.borrow();
        if let Some(stream) = &self.http2 {
            return stream.is_input_ended() && input.as_slice().len() as u64 <= most;
        }
        let (mut rest, mut length, mut decoder) = (input.as_slice(), 0, Decoder::new());
        while length <= most {
            match decoder.decode(rest) {
                Ok(chunked::Step::Data(data)) => {
                    length += data.len() as u64;
                    rest = rest.get(data.end..).unwrap_or_default();
                }
                Ok(chunked::Step::End { .. }) => return true,
                Ok(chunked::Step::NeedMore) | Err(_) => return false,
            }
        }
        false
    }

    /// Sets the time by which the next read or write must have happened.
    pub fn set_deadline(&self, after: Duration) {
        self.deadline.borrow_mut().set(after);
    }

    /// Takes the deadline away: the waiting is somebody else's.
    pub fn clear_deadline(&self) {
        self.deadline.borrow_mut().clear();
    }

    /// Reads into `buffer`; an error of kind `TimedOut` when the deadline passes first. 0 is the end.
    pub fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(stream) = &self.http2 {
            return match stream.poll_read(self, context, buffer) {
                Poll::Pending => self.poll_deadline(context).map(Err),
                ready => ready,
            };
        }
        let mut read = ReadBuf::new(buffer);
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = stream.as_mut() else { return Poll::Ready(Err(closed())) };
        match Pin::new(stream).poll_read(context, &mut read) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| read.filled().len())),
            Poll::Pending => {
                ready!(self.deadline.borrow_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Ready with the error once the deadline has passed.
    fn poll_deadline(&self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.deadline.borrow_mut().poll(context).map(|()| io::ErrorKind::TimedOut.into())
    }

    /// Ready with true when something may be read, with false when the connection failed or the deadline has passed.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<bool> {
        if self.has_pending_input() {
            return Poll::Ready(true);
        }
        let stream = self.stream.borrow();
        let Some(stream) = stream.as_ref() else { return Poll::Ready(false) };
        match stream.poll_read_ready(context) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending => {
                ready!(self.deadline.borrow_mut().poll(context));
                Poll::Ready(false)
            }
        }
    }

    /// Writes what fits; an error of kind `TimedOut` when the deadline passes first.
    pub fn poll_write(&self, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if self.http2.is_some() {
            loop {
                match self.try_write(octets) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.poll_writable(context))?,
                    result => return Poll::Ready(result),
                }
            }
        }
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = stream.as_mut() else { return Poll::Ready(Err(closed())) };
        match Pin::new(stream).poll_write(context, octets) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                ready!(self.deadline.borrow_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Writes what fits now, and what the answer's rate allows.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits, else what the system says.
    pub fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        if let Some(stream) = &self.http2 {
            return self.paced_by(octets.len(), |allowed| stream.try_write(&[io::IoSlice::new(octets)], allowed));
        }
        self.paced(octets.len(), |stream, allowed| stream.try_write(octets.get(..allowed).unwrap_or(octets)))
    }

    /// [`Client::try_write`] of several pieces in one call.
    ///
    /// # Errors
    /// As [`Client::try_write`].
    pub fn try_write_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let total = pieces.iter().map(|piece| piece.len()).sum();
        if let Some(stream) = &self.http2 {
            return self.paced_by(total, |allowed| stream.try_write(pieces, allowed));
        }
        self.paced(total, |stream, allowed| match pieces.first() {
            // A limited rate is not for whom the number of calls matters.
            Some(first) if allowed < total => stream.try_write(first.get(..allowed).unwrap_or(first)),
            _ => stream.try_write_vectored(pieces),
        })
    }

    /// Takes what was read ahead of the client's octets, for whoever speaks another protocol from here on.
    #[must_use]
    pub fn take_pending_input(&self) -> Vec<u8> {
        let mut input = self.input.borrow_mut();
        let octets = input.as_slice().to_vec();
        input.consume(octets.len());
        octets
    }

    /// [`Client::try_write`], with more to follow at once where `is_more`.
    ///
    /// # Errors
    /// As [`Client::try_write`].
    pub(crate) fn try_send(&self, octets: &[u8], is_more: bool) -> io::Result<usize> {
        if self.is_http2() {
            return self.try_write(octets);
        }
        self.paced(octets.len(), |stream, allowed| stream.try_send(octets.get(..allowed).unwrap_or(octets), is_more))
    }

    /// Sends up to `length` octets of a file from `offset` on, and moves that on by what was sent.
    ///
    /// # Errors
    /// As [`Client::try_write`], and what the file's reading says.
    pub(crate) fn try_send_file(&self, file: BorrowedFd<'_>, offset: &mut u64, length: u64) -> io::Result<usize> {
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        if let Some(stream) = &self.http2 {
            let sent = self.paced_by(wanted, |allowed| stream.try_write_file(file, *offset, allowed))?;
            *offset += sent as u64;
            return Ok(sent);
        }
        self.paced(wanted, |stream, allowed| stream.try_send_file(file, offset, allowed as u64))
    }

    fn paced(&self, wanted: usize, write: impl FnOnce(&Stream, usize) -> io::Result<usize>) -> io::Result<usize> {
        let stream = self.stream.borrow();
        let stream = stream.as_ref().ok_or_else(closed)?;
        self.paced_by(wanted, |allowed| write(stream, allowed))
    }

    fn paced_by(&self, wanted: usize, write: impl FnOnce(usize) -> io::Result<usize>) -> io::Result<usize> {
        let mut pace = self.pace.borrow_mut();
        let allowed = match pace.as_mut() {
            Some(pace) => usize::try_from(pace.allowance(wanted as u64)).unwrap_or(wanted),
            None => wanted,
        };
        if allowed == 0 && wanted > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = write(allowed)?;
        if let Some(pace) = pace.as_mut() {
            pace.note(written as u64);
        }
        self.deadline.borrow_mut().renew();
        Ok(written)
    }

    /// Sets how fast the next answer may go out; `started_ms` is the monotonic time of its request.
    pub(crate) fn set_rate(&self, rate: Option<Rate>, started_ms: u64) {
        let mut pace = self.pace.borrow_mut();
        if pace.is_some() || rate.is_some() {
            *pace = rate.map(|rate| Box::new(Pace::new(rate, started_ms)));
        }
    }

    /// Ready when the socket takes octets again and the rate allows some; an error of kind `TimedOut` when the deadline passes
    /// while the socket takes none.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(pace) = self.pace.borrow_mut().as_mut() {
            match pace.poll_ready(context) {
                Poll::Ready(true) => self.deadline.borrow_mut().renew(),
                Poll::Ready(false) => {}
                // Nothing is written meanwhile, so that a client that goes away would not be noticed otherwise.
                Poll::Pending => {
                    if let Some(stream) = &self.http2 {
                        stream.yield_turn();
                    }
                    let expects_input = !self.is_http2() && (self.has_pending_input() || self.is_body_due.get());
                    if !expects_input && self.poll_closed(context).is_ready() {
                        return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                    }
                    return Poll::Pending;
                }
            }
        }
        if let Some(stream) = &self.http2 {
            return match stream.poll_writable(context) {
                Poll::Pending => self.poll_deadline(context).map(Err),
                ready => ready,
            };
        }
        let stream = self.stream.borrow();
        let Some(stream) = stream.as_ref() else { return Poll::Ready(Err(closed())) };
        let result = stream.poll_write_ready(context);
        if result.is_pending() {
            ready!(self.deadline.borrow_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        result
    }

    /// What the kernel knows of the connection; `None` over a unix socket.
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        let connection = self.connection();
        connection
            .stream
            .borrow()
            .as_ref()
            .filter(|stream| stream.is_tcp())
            .and_then(|stream| tcp_info(stream.as_fd()).ok())
    }

    /// Whether something of the client's can be read now, if only its end.
    pub(crate) fn is_readable(&self) -> bool {
        self.stream.borrow().as_ref().is_some_and(Stream::is_readable)
    }

    /// Has the socket be reset when it is closed: what is still to be sent is dropped.
    pub(crate) fn reset_on_close(&self) {
        if let Some(stream) = self.stream.borrow().as_ref() {
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }

    /// Ready when the client has closed the connection. Octets that arrive meanwhile stay in the socket.
    pub fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(stream) = &self.http2 {
            return stream.poll_closed(context);
        }
        let stream = self.stream.borrow();
        stream.as_ref().map_or(Poll::Ready(()), |stream| stream.poll_closed(context))
    }

    /// Waits for `future`; `None` where the client closes the connection first. It is looked at while `is_watched` says so.
    pub async fn unless_closed<T>(&self, is_watched: impl Fn() -> bool, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if is_watched() && self.poll_closed(context).is_ready() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Tells the client that nothing more will come.
    pub fn shutdown_write(&self) {
        if let Some(stream) = self.stream.borrow().as_ref() {
            stream.shutdown_write();
        }
    }

    /// A line about the stream that it is, for what is wrong beside its request.
    pub(super) fn log_about_stream(&self, level: Level, text: &str) {
        if let Some(runtime) = self.runtime() {
            let log = &runtime.shared.error_log;
            log.write(level, format_args!("*{} {text}, client: {}", self.serial, self.remote.address));
        }
    }

    /// Notes what the connection is at, for the statistics.
    pub(crate) fn enter(&self, activity: Activity) {
        if let Some(counted) = self.counted.borrow().as_ref() {
            counted.enter(activity);
        }
    }

    /// Takes out what outlives this client when its connection goes to rest; the client is closed by it.
    pub(super) fn take_apart(&self) -> Option<(Stream, Counted, Rc<ThreadRuntime>)> {
        Some((self.stream.take()?, self.counted.take()?, self.runtime.take()?))
    }

    /// Closes the socket. Whoever still holds the client can do nothing more with it.
    pub(crate) fn close(&self) {
        self.stream.take();
        self.counted.take();
        self.runtime.take();
    }

    /// Small writes leave at once.
    pub fn set_no_delay(&self) {
        if let Some(stream) = self.stream.borrow().as_ref().filter(|stream| stream.is_tcp()) {
            let _ = daemun_net::set_no_delay(stream.as_fd(), true);
        }
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl AddressText {
    pub(crate) fn new(address: &dyn std::fmt::Display) -> Self {
        let mut text = Self { octets: [0; 46], length: 0 };
        // An address never is longer than its longest IPv6 form; what would not fit is left out.
        let _ = write!(text, "{address}");
        text
    }

    /// The octets of the text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}

impl std::fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let start = usize::from(self.length);
        let end = start + text.len();
        self.octets.get_mut(start..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = u8::try_from(end).map_err(|_| std::fmt::Error)?;
        Ok(())
    }
}

impl std::fmt::Display for AddressText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}
