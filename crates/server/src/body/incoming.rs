//! A body on its way from the client: decoded as it comes, one read at a time.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use daemun_gateway::fastcgi::{RequestEvent, ServerSide};
use daemun_http::StatusCode;
use daemun_http::chunked::{self, Decoder};

use super::RequestBodyError;
use crate::connection::{Client, Deadline, Http2Stream, Records};
use crate::limits::PASSED_FRONT_BYTES;
use crate::thread;

/// A body that the client still has, all of it or the rest.
pub struct Incoming {
    source: Source,
    /// Octets that the head announces; `None` where only the last chunk tells.
    announced: Option<u64>,
    interim: Interim,
    /// Octets taken from the client, chunk headers and trailers among them.
    pub(super) octets_read: u64,
    /// Octets of the body itself.
    pub(super) length: u64,
    /// The first of them, where the body is passed on.
    pub(super) front: Vec<u8>,
    is_complete: bool,
    deadline: Deadline,
}

enum Source {
    /// So many octets are still to come.
    Length(u64),
    Chunked(Box<Decoder>),
    /// As the STDIN stream of a FastCGI connection.
    Records(Records),
    /// As the DATA frames of an HTTP/2 stream; so many octets are still to come, where that was announced.
    Stream(Rc<Http2Stream>),
}

/// Where `100 Continue` stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interim {
    /// The client does not wait, or waits no more.
    Settled,
    /// The client waits.
    Due,
    /// The client waits for what will not come: the answer has begun.
    Forgone,
}

/// What a body is read under.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Octets; more are refused. `None` is no limit.
    pub total_max: Option<u64>,
    /// Time between two reads.
    pub timeout: Duration,
}

impl ReadLimits {
    fn check(&self, seen: u64) -> Result<(), RequestBodyError> {
        match self.total_max {
            Some(max) if seen > max => Err(RequestBodyError::TooLarge { seen, max }),
            _ => Ok(()),
        }
    }
}

impl Incoming {
    pub(super) fn of_length(length: u64, expects_continue: bool) -> Self {
        Self::new(Source::Length(length), Some(length), expects_continue)
    }

    pub(super) fn chunked(expects_continue: bool) -> Self {
        Self::new(Source::Chunked(Box::default()), None, expects_continue)
    }

    pub(super) fn of_stream(stream: Rc<Http2Stream>, announced: Option<u64>, expects_continue: bool) -> Self {
        Self::new(Source::Stream(stream), announced, expects_continue)
    }

    pub(super) fn of_records(records: Records, announced: Option<u64>) -> Self {
        Self::new(Source::Records(records), announced, false)
    }

    fn new(source: Source, announced: Option<u64>, expects_continue: bool) -> Self {
        let interim = if expects_continue { Interim::Due } else { Interim::Settled };
        let deadline = Deadline::default();
        Self { source, announced, interim, octets_read: 0, length: 0, front: Vec::new(), is_complete: false, deadline }
    }

    /// Whether nothing of it is still to come.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete || matches!(self.source, Source::Length(0))
    }

    pub(super) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Keeps the first portion of a body that is passed on, for `$request_body`.
    pub(super) fn note_front(&mut self, octets: &[u8]) {
        if self.length == octets.len() as u64 && self.front.is_empty() {
            self.front.extend_from_slice(octets.get(..PASSED_FRONT_BYTES).unwrap_or(octets));
        }
    }

    /// Whether the client has said that nothing follows what is here.
    fn is_ended(&self) -> bool {
        matches!(&self.source, Source::Stream(stream) if stream.is_input_ended())
    }

    /// Whether so few octets are still to come that reading them is cheaper than a new connection.
    pub(super) fn is_short(&self, most: u64) -> bool {
        !matches!(self.source, Source::Length(rest) if rest > most)
    }

    /// Whether the body is longer than what of it is here: `pending` octets that nobody has read. A client that closes the
    /// connection then will never have sent all of it.
    pub(super) fn is_more_due(&self, pending: u64) -> bool {
        match self.source {
            Source::Length(rest) => rest > pending,
            Source::Chunked(_) | Source::Records(_) => pending == 0,
            Source::Stream(ref stream) => !stream.is_input_ended(),
        }
    }

    /// Whether the client waits, and may never send the body.
    pub(super) fn is_held_back(&self) -> bool {
        self.interim != Interim::Settled
    }

    /// From here on no `100 Continue` is sent: the answer's head goes out.
    pub(super) fn forgo_interim(&mut self) {
        if self.interim == Interim::Due {
            self.interim = Interim::Forgone;
        }
    }

    /// Appends the next octets of the body to `octets`: as many as one read brings, perhaps none. True at the end.
    ///
    /// A client that waits for `100 Continue` gets it first. What follows the body stays in the client's input.
    ///
    /// # Errors
    /// See [`RequestBodyError`]; the connection cannot serve another request then.
    pub fn poll_octets(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        limits: &ReadLimits,
        octets: &mut Vec<u8>,
    ) -> Poll<Result<bool, RequestBodyError>> {
        if self.is_complete {
            return Poll::Ready(Ok(true));
        }
        limits.check(self.announced.unwrap_or(0))?;
        if client.has_pending_input() {
            if self.interim == Interim::Due {
                self.interim = Interim::Settled; // Whoever has begun to send does not wait.
            }
            let mut input = client.input.borrow_mut();
            let used = self.decode(input.as_slice(), limits, octets)?;
            input.consume(used);
            drop(input);
            client.consumed(used);
        } else if self.is_ended() {
            self.decode(b"", limits, octets)?;
        } else {
            ready!(self.poll_interim(context, client, limits))?;
            if matches!(self.source, Source::Length(0)) {
                client.is_body_due.set(false);
                self.is_complete = true;
                return Poll::Ready(Ok(true));
            }
            ready!(thread::with_read_buffer(|buffer| self.poll_read(context, client, limits, octets, buffer)))?;
        }
        if self.is_complete {
            client.is_body_due.set(false);
        }
        Poll::Ready(Ok(self.is_complete))
    }

    fn poll_interim(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        limits: &ReadLimits,
    ) -> Poll<Result<(), RequestBodyError>> {
        if self.interim != Interim::Due {
            return Poll::Ready(Ok(()));
        }
        if client.is_http2() {
            client.send_interim(StatusCode::CONTINUE, std::iter::empty());
            self.interim = Interim::Settled;
            return Poll::Ready(Ok(()));
        }
        let Poll::Ready(written) = client.poll_write(context, CONTINUE) else {
            ready!(self.deadline.poll_after(limits.timeout, context));
            return Poll::Ready(Err(RequestBodyError::TimedOut));
        };
        self.deadline.clear();
        self.interim = Interim::Settled;
        match written {
            Ok(CONTINUE_BYTES) => Poll::Ready(Ok(())),
            // A socket with room for a part alone has more to send than any client of ours leaves unread.
            Ok(_) => Poll::Ready(Err(RequestBodyError::Connection(io::ErrorKind::WriteZero.into()))),
            Err(error) => Poll::Ready(Err(RequestBodyError::Connection(error))),
        }
    }

    /// One read from the socket, decoded straight from `buffer`.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        limits: &ReadLimits,
        octets: &mut Vec<u8>,
        buffer: &mut [u8],
    ) -> Poll<Result<(), RequestBodyError>> {
        let Poll::Ready(read) = client.poll_read(context, buffer) else {
            ready!(self.deadline.poll_after(limits.timeout, context));
            client.note_body_timeout();
            return Poll::Ready(Err(RequestBodyError::TimedOut));
        };
        self.deadline.clear();
        let read = match read {
            Ok(0) if self.is_ended() => 0,
            Ok(0) => return Poll::Ready(Err(RequestBodyError::Closed)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Poll::Ready(Err(RequestBodyError::TimedOut));
            }
            Err(error) => return Poll::Ready(Err(RequestBodyError::Connection(error))),
        };
        let used = self.decode(&buffer[..read], limits, octets)?;
        client.input.borrow_mut().push(&buffer[used..read]);
        Poll::Ready(Ok(()))
    }

    /// Decodes what is there and says how much of it was the body's.
    fn decode(&mut self, input: &[u8], limits: &ReadLimits, octets: &mut Vec<u8>) -> Result<usize, RequestBodyError> {
        let before = octets.len();
        let used = match &mut self.source {
            Source::Length(rest) => {
                let count = input.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
                octets.extend_from_slice(&input[..count]);
                *rest -= count as u64;
                self.is_complete = *rest == 0;
                count
            }
            Source::Chunked(decoder) => {
                let (used, is_complete) = decode_chunked(decoder, input, octets)?;
                self.is_complete = is_complete;
                used
            }
            Source::Stream(stream) => {
                octets.extend_from_slice(input);
                if stream.is_malformed() {
                    return Err(RequestBodyError::Length);
                }
                self.is_complete = stream.is_input_ended();
                input.len()
            }
            Source::Records(records) => {
                let rest = self.announced.map(|length| length.saturating_sub(self.length));
                let (used, is_complete) = decode_records(&mut records.borrow_mut(), input, rest, octets)?;
                self.is_complete = is_complete;
                used
            }
        };
        self.octets_read += used as u64;
        self.length += (octets.len() - before) as u64;
        // A chunk that is too large is refused by its size: nobody waits for its data.
        let ahead = match &self.source {
            Source::Chunked(decoder) => decoder.announced(),
            Source::Length(_) | Source::Records(_) | Source::Stream(_) => 0,
        };
        limits.check(self.length.saturating_add(ahead))?;
        Ok(used)
    }
}

/// Octets of `input` that were used, and whether the body is complete.
fn decode_chunked(
    decoder: &mut Decoder,
    input: &[u8],
    octets: &mut Vec<u8>,
) -> Result<(usize, bool), RequestBodyError> {
    let mut used = 0;
    loop {
        match decoder.decode(&input[used..]).map_err(RequestBodyError::Chunk)? {
            chunked::Step::NeedMore => return Ok((input.len(), false)),
            chunked::Step::Data(data) => {
                octets.extend_from_slice(&input[used..][data.clone()]);
                used += data.end;
            }
            chunked::Step::End { taken } => return Ok((used + taken, true)),
        }
    }
}

/// As [`decode_chunked`], for records. Octets beyond `rest`, which the announced length leaves, are dropped; a body that
/// ends before is as if the client had closed.
fn decode_records(
    records: &mut ServerSide,
    input: &[u8],
    rest: Option<u64>,
    octets: &mut Vec<u8>,
) -> Result<(usize, bool), RequestBodyError> {
    let mut used = 0;
    let start = octets.len();
    loop {
        let left = input.get(used..).unwrap_or_default();
        let (taken, event) = records.next(left).map_err(RequestBodyError::Records)?;
        let rest = rest.map(|rest| rest.saturating_sub((octets.len() - start) as u64));
        match event {
            RequestEvent::NeedMore => return Ok((used + taken, false)),
            RequestEvent::Stdin(range) => {
                let part = left.get(range).unwrap_or_default();
                let count = rest.map_or(part.len(), |rest| part.len().min(usize::try_from(rest).unwrap_or(usize::MAX)));
                octets.extend_from_slice(part.get(..count).unwrap_or_default());
            }
            RequestEvent::StdinEnd if rest.is_some_and(|rest| rest > 0) => return Err(RequestBodyError::Closed),
            RequestEvent::StdinEnd => return Ok((used + taken, true)),
            RequestEvent::Aborted => return Err(RequestBodyError::Aborted),
            RequestEvent::Params => {} // Not twice for one request.
        }
        used += taken;
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const CONTINUE_BYTES: usize = CONTINUE.len();
