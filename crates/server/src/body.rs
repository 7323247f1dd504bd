//! The body of a request: read when somebody asks for it, and kept in memory or in a file, or passed on as it comes.

mod incoming;

mod passage;

mod stored;

mod temporary;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use daemun_gateway::fastcgi::FastCgiError;
use daemun_http::{Framing, StatusCode, chunked};

pub use incoming::{Incoming, ReadLimits};
pub use passage::{BodyPassage, PassageError};
pub use stored::{BodyFolder, InFile};
use stored::{StoredBody, Storing};
pub(crate) use temporary::temporary_file;

use crate::connection::Client;
use crate::limits::DISCARD_BODY_BYTES_MAX;
use crate::response::OpenFile;

/// The body of a request.
#[derive(Default)]
pub struct RequestBody {
    state: State,
    /// Octets that were read from the client before the present state.
    octets_read: u64,
}

#[derive(Default)]
enum State {
    /// The request has none, or it has been given up.
    #[default]
    None,
    /// It is still with the client.
    Unread(Incoming),
    /// Somebody passes it on. To everybody else the request has none.
    Shared(Rc<RefCell<Incoming>>),
    /// All of it, in memory.
    Memory(Rc<Vec<u8>>),
    /// All of it, in a file.
    File(Rc<StoredBody>),
}

/// What a body is read and kept with: sizes in octets.
#[derive(Clone, Copy)]
pub struct BodyLimits<'a> {
    /// More than this goes to a file.
    pub memory_max: u64,
    /// Folder of the file.
    pub folder: &'a BodyFolder,
    /// Whether every body goes to one.
    pub in_file: InFile,
    /// What holds while it is read.
    pub reading: ReadLimits,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The client closed the connection first.
    #[error("client closed the connection while its request body was read")]
    Closed,
    /// No octet came within the time-out.
    #[error("client timed out while its request body was read")]
    TimedOut,
    /// The connection failed.
    #[error("reading the request body failed: {0}")]
    Connection(io::Error),
    /// The web server that hands the request on has given it up.
    #[error("the request was aborted while its body was read")]
    Aborted,
    /// The records that carry the body are not as they must be.
    #[error("invalid FastCGI request body: {0}")]
    Records(FastCgiError),
    /// The chunks are not as they must be.
    #[error("client sent an invalid chunked body: {0}")]
    Chunk(chunked::ChunkError),
    /// It is longer or shorter than was announced.
    #[error("client sent a request body of another length than declared")]
    Length,
    /// Larger than `client_max_body_size`.
    #[error("client intended to send too large body: {seen} bytes, client_max_body_size is {max}")]
    TooLarge {
        /// Octets seen or announced.
        seen: u64,
        /// The limit.
        max: u64,
    },
    /// The temporary file could not be written.
    #[error("writing the request body to a file in {folder} failed: {source}")]
    File {
        /// Where.
        folder: String,
        /// Why.
        source: io::Error,
    },
}

impl RequestBodyError {
    /// What the client is told; `None` where there is nobody to tell.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Closed | Self::Connection(_) | Self::Aborted => None,
            Self::TimedOut => Some(StatusCode::REQUEST_TIMEOUT),
            Self::Chunk(_) | Self::Records(_) | Self::Length => Some(StatusCode::BAD_REQUEST),
            Self::TooLarge { .. } => Some(StatusCode::CONTENT_TOO_LARGE),
            Self::File { .. } => Some(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl RequestBody {
    /// The body that a head announces.
    #[must_use]
    pub fn announced(client: &Client, framing: Framing, expects_continue: bool) -> Self {
        if let Some(stream) = &client.http2 {
            let announced = if let Framing::Length(length) = framing { Some(length) } else { None };
            let has_body = framing != Framing::None && !(announced == Some(0) && stream.is_input_ended());
            client.is_body_due.set(has_body);
            let incoming = || Incoming::of_stream(Rc::clone(stream), announced, expects_continue);
            return Self { state: if has_body { State::Unread(incoming()) } else { State::None }, octets_read: 0 };
        }
        let state = match framing {
            Framing::None | Framing::Length(0) if expects_continue => State::Unread(Incoming::of_length(0, true)),
            Framing::None | Framing::Length(0) => State::None,
            Framing::Length(length) => State::Unread(Incoming::of_length(length, expects_continue)),
            Framing::Chunked => State::Unread(Incoming::chunked(expects_continue)),
        };
        client.is_body_due.set(matches!(&state, State::Unread(incoming) if !incoming.is_complete()));
        Self { state, octets_read: 0 }
    }

    /// The body that a gateway request announces. Where the protocol frames it, its end is known without a length.
    #[must_use]
    pub(crate) fn of_gateway(client: &Client, length: Option<u64>) -> Self {
        let state = match (&client.records, length) {
            (_, Some(0)) | (None, None) => State::None,
            (None, Some(length)) => State::Unread(Incoming::of_length(length, false)),
            (Some(records), length) => State::Unread(Incoming::of_records(Rc::clone(records), length)),
        };
        client.is_body_due.set(matches!(state, State::Unread(_)));
        Self { state, octets_read: 0 }
    }

    /// The length where it is known: announced, or read.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.state {
            State::None | State::Shared(_) => Some(0),
            State::Unread(incoming) => incoming.announced(),
            State::Memory(octets) => Some(octets.len() as u64),
            State::File(stored) => Some(stored.length),
        }
    }

    /// The same body for another request: what has been read of it, as a whole, or none.
    pub(crate) fn read_one(&self) -> Self {
        let state = match &self.state {
            State::None | State::Unread(_) | State::Shared(_) => State::None,
            State::Memory(octets) => State::Memory(Rc::clone(octets)),
            State::File(stored) => State::File(Rc::clone(stored)),
        };
        Self { state, octets_read: 0 }
    }

    /// Whether the client has not sent all of it; `pending` octets have arrived and nobody has read them.
    #[must_use]
    pub fn is_more_due(&self, pending: u64) -> bool {
        match &self.state {
            State::Unread(incoming) => incoming.is_more_due(pending),
            State::Shared(incoming) => incoming.borrow().is_more_due(pending),
            _ => false,
        }
    }

    /// Octets that were read from the client.
    #[must_use]
    pub fn octets_read(&self) -> u64 {
        let of_state = match &self.state {
            State::Unread(incoming) => incoming.octets_read,
            State::Shared(incoming) => incoming.borrow().octets_read,
            _ => 0,
        };
        self.octets_read + of_state
    }

    /// The body where all of it is in memory.
    #[must_use]
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.state {
            State::None | State::Shared(_) => Some(b""),
            State::Memory(octets) => Some(octets),
            State::Unread(_) | State::File(_) => None,
        }
    }

    /// Appends the body where it is in memory, or the front of one that is passed on; false where there is none.
    pub fn write_text(&self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        match &self.state {
            State::Memory(octets) => out.extend_from_slice(octets),
            State::Shared(incoming) => out.extend_from_slice(&incoming.borrow().front),
            State::None | State::Unread(_) | State::File(_) => {}
        }
        out.len() > before
    }

    /// The file that holds all of the body, from its first octet.
    #[must_use]
    pub fn in_file(&self) -> Option<&Rc<OpenFile>> {
        match &self.state {
            State::File(stored) => Some(&stored.file),
            _ => None,
        }
    }

    /// The name of that file. It is there only where `client_body_in_file_only` wants it.
    #[must_use]
    pub fn file_path(&self) -> Option<&Path> {
        match &self.state {
            State::File(stored) => Some(&stored.path),
            _ => None,
        }
    }

    /// Whether the client still has (some of) the body, and nobody reads it yet.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(self.state, State::Unread(_))
    }

    /// Reads all of the body. Does nothing when that has been done.
    ///
    /// # Errors
    /// See [`RequestBodyError`]; the connection cannot serve another request then, and the body is given up.
    pub async fn read(&mut self, client: &Client, limits: BodyLimits<'_>) -> Result<(), RequestBodyError> {
        let State::Unread(incoming) = &mut self.state else { return Ok(()) };
        if let Some(stream) = &client.http2 {
            stream.open_window(); // It is taken as fast as it comes.
        }
        let result = read_all(incoming, client, limits).await;
        self.octets_read += incoming.octets_read;
        self.state = State::None;
        self.state = result?;
        Ok(())
    }

    /// Drops what is here of a body that nobody reads.
    ///
    /// # Errors
    /// When it is not as it must be.
    pub(crate) fn drop_pending(&mut self, client: &Client) -> Result<(), RequestBodyError> {
        let State::Unread(incoming) = &mut self.state else { return Ok(()) };
        // What comes later is another reader's, and whoever waits to be asked for the rest has sent nothing wrong yet.
        if !incoming.is_short(DISCARD_BODY_BYTES_MAX) {
            return Ok(());
        }
        let limits = ReadLimits { total_max: None, timeout: Duration::ZERO };
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Vec::new();
        while client.has_pending_input() && !incoming.is_complete() {
            dropped.clear();
            let _ = incoming.poll_octets(&mut context, client, &limits, &mut dropped)?;
        }
        Ok(())
    }

    /// The body for somebody who passes it on; `None` where nothing of it is with the client, or somebody does already.
    pub(crate) fn share(&mut self) -> Option<Rc<RefCell<Incoming>>> {
        match std::mem::take(&mut self.state) {
            State::Unread(incoming) => {
                let shared = Rc::new(RefCell::new(incoming));
                self.state = State::Shared(Rc::clone(&shared));
                Some(shared)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Reads and drops what the client still sends, so that the connection may serve another request.
    /// False where that is more than is worth reading, or the client waits for `100 Continue`.
    pub async fn discard(&mut self, client: &Client, timeout: Duration) -> bool {
        let mut incoming = match std::mem::take(&mut self.state) {
            State::Unread(incoming) => incoming,
            // Whoever passed it on is gone by now.
            State::Shared(shared) => match Rc::try_unwrap(shared) {
                Ok(incoming) => incoming.into_inner(),
                Err(_) => return false,
            },
            _ => return true,
        };
        if incoming.is_complete() {
            return true;
        }
        if incoming.is_held_back() || !incoming.is_short(DISCARD_BODY_BYTES_MAX) {
            return false;
        }
        let limits = ReadLimits { total_max: None, timeout };
        let before = incoming.length;
        let mut dropped = Vec::new();
        while incoming.length - before <= DISCARD_BODY_BYTES_MAX {
            dropped.clear();
            match poll_fn(|context| incoming.poll_octets(context, client, &limits, &mut dropped)).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(_) => return false,
            }
        }
        false
    }
}

async fn read_all(incoming: &mut Incoming, client: &Client, limits: BodyLimits<'_>) -> Result<State, RequestBodyError> {
    let expected = incoming.announced().unwrap_or(0).min(limits.memory_max);
    let mut memory = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    let mut file = None;
    loop {
        let is_complete =
            poll_fn(|context| incoming.poll_octets(context, client, &limits.reading, &mut memory)).await?;
        let is_stored = file.is_some() || memory.len() as u64 > limits.memory_max;
        if is_stored || (is_complete && limits.in_file != InFile::Large) {
            let failed = |source| RequestBodyError::File { folder: limits.folder.path.display().to_string(), source };
            let file = match &mut file {
                Some(file) => file,
                None => file.insert(Storing::begin(limits.folder, limits.in_file).map_err(failed)?),
            };
            file.append(&memory).map_err(failed)?;
            memory.clear();
        }
        if is_complete {
            break;
        }
    }
    Ok(match file {
        Some(file) => State::File(Rc::new(file.finish())),
        None => State::Memory(Rc::new(memory)),
    })
}
