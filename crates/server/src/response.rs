//! An answer: its head, its body, and what filters may still do with it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use daemun_http::{HeaderId, ResponseHead, StatusCode};

use crate::connection::Client;
use crate::limits::{SLOW_CLIENT_BYTES, SLOW_CLIENT_FILE_BYTES};
use crate::log::Level;
use crate::request::Request;
use crate::thread;

use crate::limits::READ_BYTES;

/// An answer on its way to the client.
pub struct Response {
    /// Status and fields. `Content-Length`, `Transfer-Encoding`, `Date`, `Server` and `Connection` are the
    /// connection's own business; a `Content-Length` here is taken as a promise of the body's length.
    pub head: ResponseHead,
    /// What follows the head.
    pub body: Body,
    /// Time of last change in Unix seconds, for conditional requests; the connection's filter writes the field.
    pub last_modified: Option<i64>,
    /// Whether the range filter may cut the body: its length is known and it is the whole of a file.
    pub allows_ranges: bool,
    /// Whether `error_page` may replace it (an answer of this program, not of an application).
    pub is_own: bool,
    /// Fields that the connection does not add.
    pub withheld: Withheld,
    /// Whether a cache answers for it: the conditions and ranges that the client asks for are judged here.
    pub is_stored: bool,
    /// Octets of the whole that the body leaves out, since the client's range begins behind them; whoever sends the whole after
    /// all sets it to 0.
    pub begins: Option<Rc<Cell<u64>>>,
    /// Whether a filter refuses it: the connection is closed without an answer.
    pub is_void: bool,
    /// Who has fields to stand behind the body.
    pub trailers: Vec<Box<dyn Trailers>>,
    /// Whether the body is chunked for their sake, where the client knows chunks.
    pub expects_trailers: bool,
    /// The character set that a text is to have whatever `charset` says: `X-Accel-Charset`.
    pub charset: Option<Box<[u8]>>,
}

/// Fields that the connection adds where a head has none, unless they are withheld: somebody else answers, and says who and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    /// `Server`
    pub server: bool,
    /// `Date`
    pub date: bool,
}

/// Fields that stand behind a body.
pub trait Trailers {
    /// Appends them to those of [`crate::request::Sent`], once the body has ended.
    fn append(&self, request: &Request);
}

impl Response {
    /// An answer without fields or body.
    #[must_use]
    pub fn new(status: StatusCode) -> Box<Self> {
        Box::new(Self {
            head: ResponseHead::reusing(status, thread::take_spare_headers()),
            body: Body::Empty,
            last_modified: None,
            allows_ranges: false,
            is_own: true,
            withheld: Withheld::default(),
            is_stored: false,
            begins: None,
            is_void: false,
            trailers: Vec::new(),
            expects_trailers: false,
            charset: None,
        })
    }

    /// An answer that came from elsewhere, without its body.
    #[must_use]
    pub fn of_origin(head: ResponseHead) -> Box<Self> {
        let mut response = Self::new(head.status);
        response.is_own = false;
        response.head = head;
        response
    }

    /// An answer with a short text of the program's own.
    #[must_use]
    pub fn with_text(status: StatusCode, content_type: &str, text: impl Into<Bytes>) -> Box<Self> {
        let mut response = Self::new(status);
        response.head.headers.append_known(HeaderId::ContentType, content_type.as_bytes());
        response.body = Body::Bytes(text.into());
        response
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The body's length in octets where it is known.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.body.length()
    }
}

/// The body of an answer.
pub enum Body {
    /// No octets.
    Empty,
    /// Octets in memory.
    Bytes(Bytes),
    /// A part of a file.
    File(FilePart),
    /// Several pieces, their total known.
    Pieces(Vec<Piece>),
    /// Octets that are still to come.
    Stream(Box<dyn BodyStream>),
    /// After the head the connection is a way to somebody else.
    Tunnel(Box<dyn Tunnel>),
}

impl Body {
    /// Length in octets, `None` while a stream does not know.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(part) => Some(part.length),
            Self::Pieces(pieces) => Some(pieces.iter().map(Piece::length).sum()),
            Self::Stream(stream) => stream.length(),
            Self::Tunnel(_) => None,
        }
    }
}

/// An open file that several answers may send from.
#[derive(Debug)]
pub struct OpenFile {
    /// The descriptor.
    pub descriptor: OwnedFd,
}

/// A part of a file.
#[derive(Clone, Debug)]
pub struct FilePart {
    /// The file.
    pub file: Rc<OpenFile>,
    /// First octet.
    pub offset: u64,
    /// Octets.
    pub length: u64,
}

impl FilePart {
    /// Takes the next octets of the part, `most` of them at most. They are in the page cache as a rule: waiting for a disk is
    /// what sendfile would do, too.
    ///
    /// # Errors
    /// [`BodyError::Unreadable`] where the file is shorter than it was, or cannot be read.
    pub fn read(&mut self, most: usize) -> Result<Vec<u8>, BodyError> {
        let wanted = usize::try_from(self.length).unwrap_or(usize::MAX).min(most);
        let mut octets = vec![0; wanted];
        let failed = |reason: String| BodyError::Unreadable(reason);
        let count = rustix::io::pread(&self.file.descriptor, &mut octets, self.offset)
            .map_err(|error| failed(error.to_string()))?;
        if count == 0 && wanted > 0 {
            return Err(failed("the file was cut while it was sent".to_owned()));
        }
        octets.truncate(count);
        self.offset += count as u64;
        self.length -= count as u64;
        Ok(octets)
    }
}

/// A piece of a body.
pub enum Piece {
    /// Octets in memory.
    Bytes(Bytes),
    /// Octets lent by their owner, who gets them back when the lease is dropped.
    Lease(Box<dyn Lease>),
    /// A part of a file.
    File(FilePart),
}

impl Piece {
    /// What is left behind the first `skipped` octets, `most` at most; `None` where that is nothing.
    #[must_use]
    pub fn part(self, skipped: u64, most: u64) -> Option<Self> {
        let length = self.length().checked_sub(skipped)?.min(most);
        if length == 0 {
            return None;
        }
        let range = usize::try_from(skipped).ok()?..usize::try_from(skipped + length).ok()?;
        Some(match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.slice(range)),
            Self::Lease(lease) => Self::Bytes(Bytes::copy_from_slice(lease.octets().get(range)?)),
            Self::File(part) => Self::File(FilePart { offset: part.offset + skipped, length, ..part }),
        })
    }

    /// Length in octets.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Lease(lease) => lease.octets().len() as u64,
            Self::File(part) => part.length,
        }
    }

    /// Takes the next octets off the piece, `most` of them at most, and passes them to `use_octets`.
    ///
    /// # Errors
    /// As [`FilePart::read`], or what `use_octets` says.
    pub fn take_octets<T>(
        &mut self,
        most: usize,
        use_octets: impl FnOnce(&[u8]) -> Result<T, BodyError>,
    ) -> Result<T, BodyError> {
        match self {
            Self::Bytes(bytes) => use_octets(&bytes.split_to(bytes.len().min(most))),
            Self::Lease(lease) if lease.octets().len() > most => {
                let mut copy = Bytes::copy_from_slice(lease.octets());
                let first = copy.split_to(most);
                *self = Self::Bytes(copy);
                use_octets(&first)
            }
            Self::Lease(lease) => {
                let used = use_octets(lease.octets());
                *self = Self::Bytes(Bytes::new());
                used
            }
            Self::File(part) => use_octets(&part.read(most)?),
        }
    }

    /// Appends all octets of the piece to `octets`.
    ///
    /// # Errors
    /// As [`FilePart::read`].
    pub fn append_to(mut self, octets: &mut Vec<u8>) -> Result<(), BodyError> {
        while self.length() > 0 {
            self.take_octets(READ_BYTES, |some| {
                octets.extend_from_slice(some);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// A body piece by piece, of whatever kind it is.
pub struct BodyPieces {
    here: VecDeque<Piece>,
    stream: Option<Box<dyn BodyStream>>,
}

impl From<Body> for BodyPieces {
    fn from(body: Body) -> Self {
        let (here, stream) = match body {
            Body::Empty | Body::Tunnel(_) => (VecDeque::new(), None),
            Body::Bytes(bytes) => (VecDeque::from([Piece::Bytes(bytes)]), None),
            Body::File(part) => (VecDeque::from([Piece::File(part)]), None),
            Body::Pieces(pieces) => (pieces.into(), None),
            Body::Stream(stream) => (VecDeque::new(), Some(stream)),
        };
        Self { here, stream }
    }
}

impl BodyPieces {
    /// Puts what is left of a piece before the others.
    pub fn put_back(&mut self, rest: Piece) {
        if rest.length() > 0 {
            self.here.push_front(rest);
        }
    }

    /// Whether the next piece is here already.
    #[must_use]
    pub fn is_here(&self) -> bool {
        !self.here.is_empty()
    }
}

impl BodyStream for BodyPieces {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        match (self.here.pop_front(), &mut self.stream) {
            (Some(piece), _) => Poll::Ready(Some(Ok(piece))),
            (None, Some(stream)) => stream.poll_next(context),
            (None, None) => Poll::Ready(None),
        }
    }

    fn can_wait(&self) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.can_wait())
    }

    fn is_held_together(&self) -> bool {
        self.here.is_empty() && self.stream.as_ref().is_some_and(|stream| stream.is_held_together())
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        self.stream.as_ref().and_then(|stream| stream.read_ahead())
    }

    fn take_message(&mut self) -> Option<UpstreamMessage> {
        self.stream.as_mut().and_then(|stream| stream.take_message())
    }
}

/// Octets lent for sending.
pub trait Lease {
    /// The octets.
    fn octets(&self) -> &[u8];
}

/// A body that arrives bit by bit.
pub trait BodyStream {
    /// The next piece; `None` at the end.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>>;

    /// Length in octets of what is still to come, where it is known.
    fn length(&self) -> Option<u64> {
        None
    }

    /// Passes over up to so many octets without making them; tells how many.
    fn skip(&mut self, _octets: u64) -> u64 {
        0
    }

    /// Whether nobody is kept waiting by a client that reads slowly: pieces are then made as they are sent.
    fn can_wait(&self) -> bool {
        false
    }

    /// Whether a client need not have what there is so far while the next piece is waited for.
    fn is_held_together(&self) -> bool {
        false
    }

    /// How far it is read ahead of a client that reads slowly; `None` is the server's own measure.
    fn read_ahead(&self) -> Option<ReadAhead> {
        None
    }

    /// What is to be said of the server that it comes from; asked after each piece.
    fn take_message(&mut self) -> Option<UpstreamMessage> {
        None
    }
}

/// How much of a stream is taken before the client takes it.
#[derive(Clone, Debug)]
pub struct ReadAhead {
    /// Octets on the heap.
    pub memory_bytes: usize,
    /// Octets in a file, once the heap's share is full; with none the stream waits.
    pub file_bytes: u64,
    /// Folder of the file; `None` is that of request bodies.
    pub folder: Option<Arc<Path>>,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self { memory_bytes: SLOW_CLIENT_BYTES, file_bytes: SLOW_CLIENT_FILE_BYTES, folder: None }
    }
}

/// Both directions of a connection that has changed its protocol.
pub trait Tunnel {
    /// Moves what can be moved. Ready at the end of either side.
    ///
    /// # Errors
    /// What the client's side says, or `TimedOut`.
    fn poll(&mut self, context: &mut Context<'_>, client: &Client) -> Poll<io::Result<()>>;

    /// Octets that went to the client so far.
    fn sent(&self) -> u64;
}

/// Why a body ended early. The connection is closed, since the client cannot be told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The other side gave up in the middle of the body.
    #[error("{0} ended in the middle of its answer")]
    Truncated(String),
    /// No octet came within the time-out.
    #[error("{0} sent nothing within its time-out")]
    TimedOut(String),
    /// A file could not be read to its end.
    #[error("reading a file failed: {0}")]
    Unreadable(String),
    /// The octets are not in the coding that the head names.
    #[error("the answer is not what its Content-Encoding says: {0}")]
    Coding(String),
    /// The request's body failed while it was passed on.
    #[error("{0}, while its answer was sent")]
    Request(String),
    /// What a slow client has not taken could not be put into a file.
    #[error("writing an answer for a slow client to a file failed: {0}")]
    Spill(String),
    /// A request that the body is made of ended without an answer.
    #[error("subrequest \"{0}\" ended without an answer")]
    Subrequest(String),
    /// The server that the request was passed to failed.
    #[error("{0}")]
    Upstream(Box<UpstreamMessage>),
}

/// A line for the log about a server that a request was passed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamMessage {
    /// How grave it is.
    pub level: Level,
    /// What happened, and at what.
    pub message: String,
    /// Which server.
    pub upstream: String,
}

impl fmt::Display for UpstreamMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
