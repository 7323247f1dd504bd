//! An answer to octets on the socket: framing, records, small bodies together with their head, files by sendfile, streams as
//! they come, and a backlog for clients that read slowly.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use daemun_http::{HEAD_END, HeaderId, Headers, ResponseHead, StatusCode, Version, write_decimal, write_header};

use super::client::Client;
use super::envelope::{Envelope, Given};
use super::http2;
use crate::body::temporary_file;
use crate::clock;
use crate::error_page;
use crate::limits::{
    CROWDED_CHUNK_BYTES, MADE_AHEAD_BYTES, PULLED_BYTES_PER_POLL, SENDFILE_CHUNK_BYTES, SMALL_FILE_BYTES,
    WRITTEN_PIECES_MAX,
};
use crate::listener::Protocol;
use crate::log::Level;
use crate::request::{Request, SentFraming};
use crate::response::{
    Body, BodyError, BodyPieces, BodyStream, FilePart, OpenFile, Piece, ReadAhead, Response, Trailers, Tunnel,
    UpstreamMessage, Withheld,
};
use crate::thread;

/// Sends `response`. Sets `keep_alive` to false where the end of the body is the end of the connection.
///
/// # Errors
/// The connection failed, or the body ended early: the connection must be closed.
pub async fn send(request: &mut Request, response: Box<Response>) -> io::Result<()> {
    if request.client.is_http2() {
        return Box::pin(http2::answer::send(request, response)).await;
    }
    let Response { mut head, mut body, is_own, withheld, trailers, expects_trailers, .. } = *response;
    if expects_trailers && request.head.version == Version::Http11 && request.core().chunked_transfer_encoding() {
        head.headers.remove_known(HeaderId::ContentLength);
        body = Body::Stream(Box::new(BodyPieces::from(body)));
    }
    let mut out = thread::take_write_buffer();
    let body = if has_body(request, &head) { body } else { without_body(request, &head, body) };
    let framing = write_head(request, &head, &body, Provenance { is_own, withheld }, &mut out);
    let envelope = Envelope::of(&request.client, framing == Framing::Chunked);
    envelope.wrap_head(&request.client, framing == Framing::NoBody, &mut out);
    let head_length = out.len() as u64;
    request.sent.status = head.status.as_u16();
    thread::give_spare_headers(std::mem::replace(&mut request.sent.headers, head.headers));
    let client = Rc::clone(&request.client);
    client.set_deadline(request.core().send_timeout());
    client.set_rate(request.core().transfer.rate(request), request.started_ms);
    let result = match (framing, body) {
        (Framing::NoBody, Body::Tunnel(tunnel)) => {
            request.keep_alive = false;
            match write_all(&client, &out).await {
                Ok(()) => {
                    thread::give_write_buffer(std::mem::take(&mut out)); // Tunnels last, and are many.
                    run_tunnel(request, &client, &[], tunnel).await
                }
                Err(error) => Err(error),
            }
        }
        (Framing::NoBody, _) => write_all(&client, &out).await,
        (framing, body) => send_body(request, &client, &mut out, body, framing, envelope, trailers).await,
    };
    client.clear_deadline();
    request.sent.bytes = head_length + request.sent.body_bytes;
    thread::give_write_buffer(out);
    result
}

/// How the body's end is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// There is no body.
    NoBody,
    /// By its length in octets.
    Length(u64),
    /// By the last chunk.
    Chunked,
    /// By the connection's end.
    Close,
}

pub(super) fn has_body(request: &Request, head: &ResponseHead) -> bool {
    !request.is_head() && !head.status.is_bodiless()
}

/// The head, then whatever the two sides say to one another.
pub(super) async fn run_tunnel(
    request: &mut Request,
    client: &Client,
    head: &[u8],
    mut tunnel: Box<dyn Tunnel>,
) -> io::Result<()> {
    request.keep_alive = false;
    write_all(client, head).await?;
    client.clear_deadline();
    let result = poll_fn(|context| tunnel.poll(context, client)).await;
    request.sent.body_bytes = tunnel.sent();
    result
}

/// A body that is not sent still tells its length in the answer to HEAD.
pub(super) fn without_body(request: &Request, head: &ResponseHead, body: Body) -> Body {
    if matches!(body, Body::Tunnel(_)) {
        return body;
    }
    if request.is_head() && !head.status.is_bodiless() && body.length().is_some() { body } else { Body::Empty }
}

/// Who answers: this program or somebody else.
#[derive(Clone, Copy)]
struct Provenance {
    is_own: bool,
    withheld: Withheld,
}

/// Writes the head; what the connection decides stands behind what the handlers said.
fn write_head(
    request: &mut Request,
    head: &ResponseHead,
    body: &Body,
    provenance: Provenance,
    out: &mut Vec<u8>,
) -> Framing {
    let Provenance { is_own, withheld } = provenance;
    let version = request.head.version;
    match request.client.protocol {
        Protocol::Http => {}
        Protocol::Uwsgi => {
            head.write(version, out);
            return write_end_for_gateway(request, head, body, is_own, out);
        }
        Protocol::Scgi | Protocol::FastCgi => {
            head.write_for_cgi(out);
            return write_end_for_gateway(request, head, body, is_own, out);
        }
    }
    head.write(Version::Http11, out);
    let core = request.core();
    if !head.headers.has(HeaderId::Server) && !withheld.server {
        write_header(out, b"Server", error_page::server_name(core.server_tokens()).as_bytes());
    }
    if !head.headers.has(HeaderId::Date) && !withheld.date {
        clock::with_http_date(|date| write_header(out, b"Date", date));
    }
    let chunks_allowed = core.chunked_transfer_encoding() && version == Version::Http11;
    let framing = write_framing(request, head, body, chunks_allowed, out);
    if framing == Framing::Close {
        request.keep_alive = false;
    }
    if request.client.is_last_request.get() {
        request.keep_alive = false;
    }
    let connection = match request.keep_alive {
        _ if head.status == StatusCode::SWITCHING_PROTOCOLS => "upgrade",
        true => "keep-alive",
        false => "close",
    };
    write_header(out, b"Connection", connection.as_bytes());
    let keep_alive = request.core().keepalive_header().filter(|_| connection == "keep-alive");
    if let Some(time) = keep_alive {
        write_header(out, b"Keep-Alive", format!("timeout={}", time.as_secs()).as_bytes());
    }
    request.sent.framing = SentFraming {
        length: match framing {
            Framing::Length(length) => Some(length),
            _ => declared_length(head).or_else(|| body.length().filter(|_| request.is_head())),
        },
        is_chunked: framing == Framing::Chunked,
        keep_alive: keep_alive.map(|time| time.as_secs()),
    };
    out.extend_from_slice(HEAD_END);
    framing
}

/// A gateway client gets what the handler said and nothing else; it sees the end by length or by the connection's end.
fn write_end_for_gateway(
    request: &mut Request,
    head: &ResponseHead,
    body: &Body,
    is_own: bool,
    out: &mut Vec<u8>,
) -> Framing {
    let has_body = has_body(request, head);
    let declared = declared_length(head);
    if let (None, true, true, Some(length)) = (declared, is_own, has_body, body.length()) {
        write_length(out, length);
    }
    out.extend_from_slice(HEAD_END);
    if request.client.protocol != Protocol::FastCgi || request.client.is_last_request.get() {
        request.keep_alive = false;
    }
    if !has_body {
        return Framing::NoBody;
    }
    match declared.or_else(|| body.length()) {
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    }
}

pub(super) fn declared_length(head: &ResponseHead) -> Option<u64> {
    std::str::from_utf8(head.headers.first(HeaderId::ContentLength)?).ok()?.trim().parse().ok()
}

fn write_framing(
    request: &Request,
    head: &ResponseHead,
    body: &Body,
    chunks_allowed: bool,
    out: &mut Vec<u8>,
) -> Framing {
    if head.status.is_bodiless() || matches!(body, Body::Tunnel(_)) {
        return Framing::NoBody;
    }
    let declared = declared_length(head);
    if request.is_head() {
        match (declared, body) {
            (None, Body::Empty) => {}
            (None, body) => write_length(out, body.length().unwrap_or(0)),
            (Some(_), _) => {}
        }
        return Framing::NoBody;
    }
    match (declared, body.length()) {
        (Some(length), _) => Framing::Length(length),
        (None, Some(length)) => {
            write_length(out, length);
            Framing::Length(length)
        }
        (None, None) if chunks_allowed => {
            write_header(out, b"Transfer-Encoding", b"chunked");
            Framing::Chunked
        }
        (None, None) => Framing::Close,
    }
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(length, out);
    out.extend_from_slice(b"\r\n");
}

async fn send_body(
    request: &mut Request,
    client: &Client,
    out: &mut Vec<u8>,
    body: Body,
    framing: Framing,
    envelope: Envelope,
    trailers: Vec<Box<dyn Trailers>>,
) -> io::Result<()> {
    debug_assert_eq!(request.sent.body_bytes, 0, "a request is answered once");
    let body = if envelope.is_of_records() { Given::stream_of(body) } else { body };
    let mut budget = Budget::new(framing);
    let result = match body {
        Body::Empty => write_all(client, out).await,
        Body::Bytes(bytes) => send_bytes(client, out, &bytes, &mut budget).await,
        Body::File(part) => send_file_part(client, out, &part, request.core().sendfile(), &mut budget).await,
        Body::Pieces(pieces) => send_pieces(client, out, pieces, request.core().sendfile(), &mut budget).await,
        Body::Tunnel(_) => write_all(client, out).await,
        Body::Stream(stream) => send_stream(request, client, out, stream, envelope, trailers, &mut budget).await,
    };
    request.sent.body_bytes = budget.sent;
    result?;
    budget.conclude(request)
}

/// Octets that may still be sent under a declared length, and those that were.
pub(super) struct Budget {
    is_limited: bool,
    rest: u64,
    sent: u64,
}

impl Budget {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self { is_limited: true, rest: length, sent: 0 },
            _ => Self { is_limited: false, rest: 0, sent: 0 },
        }
    }

    /// How many of `octets` may be sent; more than declared would be read as the next answer.
    fn take(&mut self, octets: u64) -> u64 {
        let taken = if self.is_limited { octets.min(self.rest) } else { octets };
        self.rest = self.rest.saturating_sub(taken);
        self.sent += taken;
        taken
    }

    fn is_short(&self) -> bool {
        self.is_limited && self.rest > 0
    }

    /// Octets of the body so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Judges the end of a body.
    pub(super) fn conclude(&self, request: &Request) -> io::Result<()> {
        if !self.is_short() {
            return Ok(());
        }
        let rest = self.rest;
        request.log(Level::Error, format_args!("the answer's body ended {rest} octets before its Content-Length"));
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

pub(super) async fn send_bytes(
    client: &Client,
    out: &mut Vec<u8>,
    bytes: &[u8],
    budget: &mut Budget,
) -> io::Result<()> {
    let count = usize::try_from(budget.take(bytes.len() as u64)).unwrap_or(bytes.len());
    if count <= COPIED_BYTES {
        out.extend_from_slice(&bytes[..count]);
        return write_all(client, out).await;
    }
    write_both(client, out, &bytes[..count]).await
}

/// What has gathered and the octets after it, in one call where the socket takes them.
async fn write_both(client: &Client, first: &[u8], second: &[u8]) -> io::Result<()> {
    let (mut first, mut second) = (first, second);
    while !first.is_empty() {
        match client.try_write_vectored(&[io::IoSlice::new(first), io::IoSlice::new(second)]) {
            Ok(count) => {
                let of_first = count.min(first.len());
                first = &first[of_first..];
                second = &second[count - of_first..];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| client.poll_writable(context)).await?
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    write_all(client, second).await
}

async fn send_pieces(
    client: &Client,
    out: &mut Vec<u8>,
    pieces: Vec<Piece>,
    by_sendfile: bool,
    budget: &mut Budget,
) -> io::Result<()> {
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => send_bytes(client, out, &bytes, budget).await?,
            Piece::Lease(lease) => send_bytes(client, out, lease.octets(), budget).await?,
            Piece::File(part) => send_file_part(client, out, &part, by_sendfile, budget).await?,
        }
        out.clear();
    }
    Ok(())
}

/// A small part is read behind the head and leaves with it; a larger one goes by sendfile, unless `sendfile` is off.
async fn send_file_part(
    client: &Client,
    out: &mut Vec<u8>,
    part: &FilePart,
    by_sendfile: bool,
    budget: &mut Budget,
) -> io::Result<()> {
    let length = budget.take(part.length);
    let mut offset = part.offset;
    let end = part.offset + length;
    if length <= SMALL_FILE_BYTES || !by_sendfile {
        loop {
            let count = (end - offset).min(SMALL_FILE_BYTES);
            read_behind(out, part, &mut offset, count)?;
            if offset == end {
                return write_all(client, out).await;
            }
            write_all_before(client, out, true).await?;
            out.clear();
        }
    }
    write_all_before(client, out, true).await?;
    while offset < end {
        let is_crowded = thread::is_crowded();
        let count = (end - offset).min(if is_crowded { CROWDED_CHUNK_BYTES } else { SENDFILE_CHUNK_BYTES });
        let sent = client.try_send_file(part.file.descriptor.as_fd(), &mut offset, count);
        match sent {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(sent) => {
                thread::note_file_octets(sent as u64);
                if is_crowded && offset < end && sent as u64 == count {
                    tokio::task::yield_now().await; // Whoever wants little does not wait for all who want much.
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| client.poll_writable(context)).await?
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Appends `count` octets of the file, from `offset` on.
fn read_behind(out: &mut Vec<u8>, part: &FilePart, offset: &mut u64, count: u64) -> io::Result<()> {
    let mut at = out.len();
    out.resize(at + usize::try_from(count).unwrap_or(0), 0);
    while at < out.len() {
        let read = rustix::io::pread(&part.file.descriptor, &mut out[at..], *offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into()); // The file was cut while it was sent.
        }
        at += read;
        *offset += read as u64;
    }
    Ok(())
}

/// Sends pieces as they come. While the client does not take what is there, further pieces are kept on the heap up to
/// a limit, so that whoever makes them is free.
pub(super) async fn send_stream(
    request: &Request,
    client: &Client,
    out: &mut Vec<u8>,
    stream: Box<dyn BodyStream>,
    envelope: Envelope,
    trailers: Vec<Box<dyn Trailers>>,
    budget: &mut Budget,
) -> io::Result<()> {
    let send_timeout = request.core().send_timeout();
    let limits = stream.read_ahead().unwrap_or_default();
    let folder = limits.folder.clone().unwrap_or_else(|| request.core().client_body_temp_path().path.as_path().into());
    let spill = Spill { folder, file: None, length: 0 };
    let mut outgoing = Outgoing {
        stream: Some(stream),
        backlog: VecDeque::new(),
        backlog_bytes: 0,
        spill,
        limits,
        envelope,
        trailers,
        failure: None,
        messages: Vec::new(),
    };
    if !out.is_empty() {
        outgoing.push(std::mem::take(out).into());
    }
    let result = loop {
        let progress = poll_fn(|context| outgoing.poll(context, request, budget)).await;
        for message in outgoing.messages.drain(..) {
            request.log_upstream(message.level, format_args!("{message}"), &message.upstream);
        }
        match progress {
            Ok(Progress::Sent) => client.set_deadline(send_timeout),
            Ok(Progress::Waiting) => client.clear_deadline(),
            Ok(Progress::Done) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if let Some(failure) = outgoing.failure {
        match &failure {
            BodyError::Upstream(failure) => {
                request.log_upstream(failure.level, format_args!("{failure}"), &failure.upstream);
            }
            BodyError::Request(_) => request.log(Level::Info, format_args!("{failure}")),
            _ => request.log(Level::Error, format_args!("{failure}")),
        }
    }
    result
}

/// What is on its way of a stream.
struct Outgoing {
    /// `None` once it has ended.
    stream: Option<Box<dyn BodyStream>>,
    backlog: VecDeque<Waiting>,
    /// Octets of the backlog on the heap.
    backlog_bytes: usize,
    spill: Spill,
    limits: ReadAhead,
    envelope: Envelope,
    trailers: Vec<Box<dyn Trailers>>,
    failure: Option<BodyError>,
    messages: Vec<UpstreamMessage>,
}

/// What a slow client has not taken and the heap is not to hold.
struct Spill {
    folder: Arc<Path>,
    file: Option<Rc<OpenFile>>,
    length: u64,
}

impl Spill {
    /// Gives the file up; what still waits in it keeps it.
    fn clear(&mut self) {
        self.file = None;
        self.length = 0;
    }

    /// Adds octets at the file's end and says where they are.
    fn write(&mut self, octets: &[u8]) -> io::Result<FilePart> {
        let file = match &self.file {
            Some(file) => Rc::clone(file),
            None => {
                let descriptor = OwnedFd::from(temporary_file(&self.folder)?);
                Rc::clone(self.file.insert(Rc::new(OpenFile { descriptor })))
            }
        };
        let offset = self.length;
        let mut rest = octets;
        while !rest.is_empty() {
            let written = rustix::io::pwrite(&file.descriptor, rest, self.length)?;
            self.length += written as u64;
            rest = &rest[written..];
        }
        Ok(FilePart { file, offset, length: octets.len() as u64 })
    }
}

/// Something of a stream that is still to be written.
enum Waiting {
    Octets(Bytes),
    File(FilePart),
}

impl Waiting {
    fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

impl From<Vec<u8>> for Waiting {
    fn from(octets: Vec<u8>) -> Self {
        Self::Octets(octets.into())
    }
}

/// What one poll of a stream has achieved.
enum Progress {
    /// Octets went out: the send time-out begins anew.
    Sent,
    /// Everything is out; the stream's next piece is waited for.
    Waiting,
    /// The stream has ended and everything is out.
    Done,
}

impl Outgoing {
    fn push(&mut self, waiting: Waiting) {
        if let Waiting::Octets(octets) = &waiting {
            self.backlog_bytes += octets.len();
        }
        self.backlog.push_back(waiting);
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        request: &Request,
        budget: &mut Budget,
    ) -> Poll<io::Result<Progress>> {
        let client = &request.client;
        let had_deadline = !self.backlog.is_empty();
        if self.backlog.is_empty() {
            self.spill.clear(); // The client has caught up.
        }
        self.pull(context, request, budget)?;
        if self.backlog.is_empty() {
            if self.failure.is_some() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            if self.stream.is_none() {
                return Poll::Ready(Ok(Progress::Done));
            }
            if had_deadline {
                return Poll::Ready(Ok(Progress::Waiting));
            }
            return poll_gone(context, client);
        }
        let is_held_together = self.stream.as_ref().is_some_and(|stream| stream.is_held_together());
        if is_held_together && self.backlog_bytes < HELD_BYTES && !self.backlog.iter().any(Waiting::is_file) {
            return poll_gone(context, client);
        }
        match self.poll_write(context, client) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Progress::Sent)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Takes what the stream has, up to the limit.
    fn pull(&mut self, context: &mut Context<'_>, request: &Request, budget: &mut Budget) -> io::Result<()> {
        let mut pulled = 0;
        loop {
            let is_full = self.is_full();
            let Some(stream) = &mut self.stream else { return Ok(()) };
            let is_idle = stream.can_wait() && self.backlog_bytes >= MADE_AHEAD_BYTES;
            if is_idle || is_full {
                return Ok(());
            }
            if pulled >= PULLED_BYTES_PER_POLL {
                context.waker().wake_by_ref(); // There may be more, once others have had their turn.
                return Ok(());
            }
            let next = stream.poll_next(context);
            self.messages.extend(stream.take_message());
            match next {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(Ok(piece))) => {
                    pulled += piece.length();
                    if let Err(error) = self.accept(piece, budget) {
                        self.failure = Some(BodyError::Spill(error.to_string()));
                        self.stream = None;
                    }
                }
                Poll::Ready(Some(Err(failure))) => {
                    let is_held_together = stream.is_held_together();
                    self.failure = Some(failure);
                    if is_held_together {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    self.stream = None; // What came before is the client's.
                }
                Poll::Ready(None) => {
                    self.stream = None;
                    if !budget.is_short() {
                        let mut end = Vec::new();
                        self.envelope.end(&self.behind(request), &mut end);
                        self.append(&end)?;
                    }
                }
            }
        }
    }

    /// Whether no more is to be taken before the client takes what is here.
    fn is_full(&self) -> bool {
        let may_spill = self.spill.length < self.limits.file_bytes;
        !may_spill && (self.limits.file_bytes > 0 || self.backlog_bytes >= self.limits.memory_bytes)
    }

    /// The fields behind the body.
    fn behind(&self, request: &Request) -> Headers {
        for trailers in &self.trailers {
            trailers.append(request);
        }
        request.sent.trailers.borrow().clone()
    }

    fn accept(&mut self, piece: Piece, budget: &mut Budget) -> io::Result<()> {
        let length = budget.take(piece.length());
        if length == 0 {
            return Ok(());
        }
        let mut start = 0;
        while start < length {
            let end = length.min(start.saturating_add(self.envelope.part_max()));
            self.accept_part(&piece, start..end)?;
            start = end;
        }
        Ok(())
    }

    /// Adds the octets of a piece that `range` names, in the envelope.
    fn accept_part(&mut self, piece: &Piece, range: Range<u64>) -> io::Result<()> {
        let mut envelope = Vec::with_capacity(18);
        let index = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
        let (start, end) = (index(range.start), index(range.end));
        self.envelope.begin(end - start, &mut envelope);
        self.append(&envelope)?;
        match piece {
            Piece::Bytes(bytes) if !self.is_spilling() => self.push(Waiting::Octets(bytes.slice(start..end))),
            Piece::Bytes(bytes) => self.append(&bytes[start..end])?,
            Piece::Lease(lease) => self.append(&lease.octets()[start..end])?,
            Piece::File(part) => {
                let (file, offset) = (Rc::clone(&part.file), part.offset + range.start);
                self.push(Waiting::File(FilePart { file, offset, length: range.end - range.start }))
            }
        }
        self.append(self.envelope.behind())
    }

    /// Adds octets: on the heap, and beyond its limit in a file.
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        if octets.is_empty() {
            return Ok(());
        }
        if self.is_spilling() {
            let part = self.spill.write(octets)?;
            self.push_file(part);
            return Ok(());
        }
        self.backlog_bytes += octets.len();
        if let Some(Waiting::Octets(last)) = self.backlog.back_mut() {
            match std::mem::take(last).try_into_mut() {
                Ok(mut growing) => {
                    growing.extend_from_slice(octets);
                    *last = growing.freeze();
                    return Ok(());
                }
                Err(shared) => *last = shared,
            }
        }
        self.backlog.push_back(Waiting::Octets(Bytes::copy_from_slice(octets)));
        Ok(())
    }

    /// Whether the heap's share is full and there is a file to go on in.
    fn is_spilling(&self) -> bool {
        self.limits.file_bytes > 0 && self.backlog_bytes >= self.limits.memory_bytes
    }

    /// Adds a part of a file, to the last one where it goes on there.
    fn push_file(&mut self, part: FilePart) {
        match self.backlog.back_mut() {
            Some(Waiting::File(last))
                if Rc::ptr_eq(&last.file, &part.file) && last.offset + last.length == part.offset =>
            {
                last.length += part.length;
            }
            _ => self.backlog.push_back(Waiting::File(part)),
        }
    }

    /// Writes from the front until the socket is full or nothing is left.
    fn poll_write(&mut self, context: &mut Context<'_>, client: &Client) -> Poll<io::Result<()>> {
        let mut progress = false;
        while let Some(front) = self.backlog.front() {
            let result = match front {
                Waiting::Octets(_) => self.try_write_octets(client),
                Waiting::File(part) => {
                    let mut offset = part.offset;
                    let count = part.length.min(SENDFILE_CHUNK_BYTES);
                    client.try_send_file(part.file.descriptor.as_fd(), &mut offset, count)
                }
            };
            let written = match result {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if progress {
                        return Poll::Ready(Ok(()));
                    }
                    match client.poll_writable(context)? {
                        Poll::Ready(()) => continue,
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Poll::Ready(Err(error)),
            };
            progress = true;
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// One call for the octets at the front, however many pieces they are in.
    fn try_write_octets(&self, client: &Client) -> io::Result<usize> {
        let mut pieces = [io::IoSlice::new(&[]); WRITTEN_PIECES_MAX];
        let mut count = 0;
        for (place, waiting) in pieces.iter_mut().zip(&self.backlog) {
            let Waiting::Octets(octets) = waiting else { break };
            *place = io::IoSlice::new(octets);
            count += 1;
        }
        match count {
            1 => client.try_write(&pieces[0]),
            _ => client.try_write_vectored(&pieces[..count]),
        }
    }

    fn advance(&mut self, written: usize) {
        let mut rest = written;
        loop {
            let is_done = match self.backlog.front_mut() {
                Some(Waiting::Octets(octets)) => {
                    let taken = rest.min(octets.len());
                    rest -= taken;
                    self.backlog_bytes -= taken;
                    octets.advance(taken);
                    octets.is_empty()
                }
                Some(Waiting::File(part)) => {
                    part.offset += rest as u64;
                    part.length = part.length.saturating_sub(rest as u64);
                    rest = 0;
                    part.length == 0
                }
                None => return,
            };
            if !is_done {
                return;
            }
            self.backlog.pop_front();
            if rest == 0 {
                return;
            }
        }
    }
}

/// While nothing is sent, a client that goes away would not be noticed otherwise.
fn poll_gone(context: &mut Context<'_>, client: &Client) -> Poll<io::Result<Progress>> {
    match client.poll_closed(context) {
        Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        Poll::Pending => Poll::Pending,
    }
}

async fn write_all(client: &Client, octets: &[u8]) -> io::Result<()> {
    write_all_before(client, octets, false).await
}

/// With `is_more` something follows at once.
async fn write_all_before(client: &Client, octets: &[u8], is_more: bool) -> io::Result<()> {
    let mut rest = octets;
    while !rest.is_empty() {
        match client.try_send(rest, is_more) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| client.poll_writable(context)).await?
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A body up to this size is copied behind its head, so that both leave in one call.
const COPIED_BYTES: usize = 32 * 1024;

/// Octets that wait for more where a body is held together, as nginx's `postpone_output` has it.
const HELD_BYTES: usize = 1_460;

const _: () = assert!(SMALL_FILE_BYTES as usize <= COPIED_BYTES);
