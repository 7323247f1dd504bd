//! The body of a request: read when somebody asks for it, kept in memory or in a file.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use daemun_http::chunked::{self, Decoder};
use daemun_http::{Framing, StatusCode};
use rustix::fs::{Mode, OFlags};

use crate::connection::Client;
use crate::limits::DISCARD_BODY_BYTES_MAX;
use crate::response::OpenFile;
use crate::thread;

/// The body of a request.
#[derive(Default)]
pub struct RequestBody {
    state: State,
    octets_read: u64,
    /// Whether the client waits for `100 Continue`.
    expects_continue: bool,
}

#[derive(Default)]
enum State {
    /// The request has none, or it has been given away.
    #[default]
    None,
    /// It is still with the client.
    Unread(Source),
    /// All of it, in memory.
    Memory(Vec<u8>),
    /// All of it, in a file without a name.
    File { file: Rc<OpenFile>, length: u64 },
}

enum Source {
    Length(u64),
    Chunked(Box<Decoder>),
}

/// What a body is read with: sizes in octets.
#[derive(Clone, Copy)]
pub struct BodyLimits<'a> {
    /// More than this goes to a file.
    pub memory_max: u64,
    /// More than this is refused; `None` is no limit.
    pub total_max: Option<u64>,
    /// Time between two reads.
    pub timeout: Duration,
    /// Folder of the file.
    pub folder: &'a Path,
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
    /// The chunks are not as they must be.
    #[error("client sent an invalid chunked body: {0}")]
    Chunk(chunked::ChunkError),
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
            Self::Closed | Self::Connection(_) => None,
            Self::TimedOut => Some(StatusCode::REQUEST_TIMEOUT),
            Self::Chunk(_) => Some(StatusCode::BAD_REQUEST),
            Self::TooLarge { .. } => Some(StatusCode::CONTENT_TOO_LARGE),
            Self::File { .. } => Some(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl RequestBody {
    /// The body that a head announces.
    #[must_use]
    pub fn announced(framing: Framing, expects_continue: bool) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::None,
            Framing::Length(length) => State::Unread(Source::Length(length)),
            Framing::Chunked => State::Unread(Source::Chunked(Box::default())),
        };
        let expects_continue = expects_continue && matches!(state, State::Unread(_));
        Self { state, octets_read: 0, expects_continue }
    }

    /// The length where it is known: announced, or read.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.state {
            State::None => Some(0),
            State::Unread(Source::Length(length)) => Some(*length),
            State::Unread(Source::Chunked(_)) => None,
            State::Memory(octets) => Some(octets.len() as u64),
            State::File { length, .. } => Some(*length),
        }
    }

    /// Octets that were read from the client.
    #[must_use]
    pub fn octets_read(&self) -> u64 {
        self.octets_read
    }

    /// The body where all of it is in memory.
    #[must_use]
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.state {
            State::None => Some(b""),
            State::Memory(octets) => Some(octets),
            _ => None,
        }
    }

    /// The file that holds all of the body, from its first octet.
    #[must_use]
    pub fn in_file(&self) -> Option<&Rc<OpenFile>> {
        match &self.state {
            State::File { file, .. } => Some(file),
            _ => None,
        }
    }

    /// Whether the client still has (some of) the body.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(self.state, State::Unread(_))
    }

    /// Reads all of the body. Does nothing when that has been done.
    ///
    /// # Errors
    /// See [`RequestBodyError`]; the connection cannot serve another request then.
    pub async fn read(&mut self, client: &Client, limits: BodyLimits<'_>) -> Result<(), RequestBodyError> {
        let State::Unread(source) = &mut self.state else { return Ok(()) };
        if let Source::Length(length) = source {
            limits.check(*length)?;
        }
        send_continue(client, &mut self.expects_continue).await?;
        let mut sink = Sink { memory: Vec::new(), file: None, length: 0, limits };
        client.set_deadline(limits.timeout);
        let result = read_source(source, client, &mut sink, &mut self.octets_read).await;
        client.clear_deadline();
        result?;
        self.state = match sink.file {
            Some(file) => {
                State::File { file: Rc::new(OpenFile { descriptor: OwnedFd::from(file) }), length: sink.length }
            }
            None => State::Memory(sink.memory),
        };
        Ok(())
    }

    /// Reads and drops what the client still sends, so that the connection may serve another request.
    /// False where that is more than is worth reading, or the client waits for `100 Continue`.
    pub async fn discard(&mut self, client: &Client, timeout: Duration) -> bool {
        let State::Unread(source) = &mut self.state else { return true };
        let is_short = !matches!(source, Source::Length(length) if *length > DISCARD_BODY_BYTES_MAX);
        if self.expects_continue || !is_short {
            return false;
        }
        let limits =
            BodyLimits { memory_max: 0, total_max: Some(DISCARD_BODY_BYTES_MAX), timeout, folder: Path::new("") };
        let mut sink = Discard { length: 0, limits };
        client.set_deadline(timeout);
        let result = read_source(source, client, &mut sink, &mut self.octets_read).await;
        client.clear_deadline();
        self.state = State::None;
        result.is_ok()
    }
}

impl BodyLimits<'_> {
    fn check(&self, seen: u64) -> Result<(), RequestBodyError> {
        match self.total_max {
            Some(max) if seen > max => Err(RequestBodyError::TooLarge { seen, max }),
            _ => Ok(()),
        }
    }
}

/// Where the octets of a body go.
trait Take {
    fn take(&mut self, octets: &[u8]) -> Result<(), RequestBodyError>;
    fn timeout(&self) -> Duration;
}

struct Sink<'a> {
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
    limits: BodyLimits<'a>,
}

impl Take for Sink<'_> {
    fn take(&mut self, octets: &[u8]) -> Result<(), RequestBodyError> {
        self.length += octets.len() as u64;
        self.limits.check(self.length)?;
        if self.file.is_none() && self.length <= self.limits.memory_max {
            self.memory.extend_from_slice(octets);
            return Ok(());
        }
        let failed = |source| RequestBodyError::File { folder: self.limits.folder.display().to_string(), source };
        if self.file.is_none() {
            let mut file = temporary_file(self.limits.folder).map_err(failed)?;
            file.write_all(&self.memory).map_err(failed)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(octets).map_err(failed),
            None => Ok(()),
        }
    }

    fn timeout(&self) -> Duration {
        self.limits.timeout
    }
}

struct Discard<'a> {
    length: u64,
    limits: BodyLimits<'a>,
}

impl Take for Discard<'_> {
    fn take(&mut self, octets: &[u8]) -> Result<(), RequestBodyError> {
        self.length += octets.len() as u64;
        self.limits.check(self.length)
    }

    fn timeout(&self) -> Duration {
        self.limits.timeout
    }
}

/// A file without a name in `folder`, which is made if it is not there.
pub(crate) fn temporary_file(folder: &Path) -> io::Result<File> {
    let open = || rustix::fs::open(folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    let descriptor = match open() {
        Err(rustix::io::Errno::NOENT) => {
            std::fs::create_dir_all(folder)?;
            open()?
        }
        other => other?,
    };
    Ok(File::from(descriptor))
}

async fn send_continue(client: &Client, expects_continue: &mut bool) -> Result<(), RequestBodyError> {
    // A client that has begun to send does not wait.
    if !std::mem::take(expects_continue) || client.has_pending_input() {
        return Ok(());
    }
    let mut rest: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    while !rest.is_empty() {
        let written = std::future::poll_fn(|context| client.poll_write(context, rest)).await;
        rest = &rest[written.map_err(RequestBodyError::Connection)?..];
    }
    Ok(())
}

/// Gives all of a body to `sink`; what follows it stays in the client's input.
async fn read_source(
    source: &mut Source,
    client: &Client,
    sink: &mut impl Take,
    octets_read: &mut u64,
) -> Result<(), RequestBodyError> {
    loop {
        let (used, is_complete) = {
            let input = client.input.borrow();
            step(source, input.as_slice(), sink)?
        };
        client.input.borrow_mut().consume(used);
        *octets_read += used as u64;
        if is_complete {
            return Ok(());
        }
        let (used, is_complete) = read_more(source, client, sink).await?;
        *octets_read += used as u64;
        client.set_deadline(sink.timeout());
        if is_complete {
            return Ok(());
        }
    }
}

/// One read from the socket, its octets given to `sink` straight from the thread's buffer.
async fn read_more(
    source: &mut Source,
    client: &Client,
    sink: &mut impl Take,
) -> Result<(usize, bool), RequestBodyError> {
    std::future::poll_fn(|context| {
        thread::with_read_buffer(|buffer| {
            let read = match std::task::ready!(client.poll_read(context, buffer)) {
                Ok(0) => return std::task::Poll::Ready(Err(RequestBodyError::Closed)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return std::task::Poll::Ready(Err(RequestBodyError::TimedOut));
                }
                Err(error) => return std::task::Poll::Ready(Err(RequestBodyError::Connection(error))),
            };
            let result = step(source, &buffer[..read], sink);
            if let Ok((used, _)) = &result {
                client.input.borrow_mut().push(&buffer[*used..read]);
            }
            std::task::Poll::Ready(result)
        })
    })
    .await
}

/// Decodes what is there: octets used, and whether the body is complete.
fn step(source: &mut Source, input: &[u8], sink: &mut impl Take) -> Result<(usize, bool), RequestBodyError> {
    match source {
        Source::Length(rest) => {
            let count = input.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
            sink.take(&input[..count])?;
            *rest -= count as u64;
            Ok((count, *rest == 0))
        }
        Source::Chunked(decoder) => step_chunked(decoder, input, sink),
    }
}

fn step_chunked(decoder: &mut Decoder, input: &[u8], sink: &mut impl Take) -> Result<(usize, bool), RequestBodyError> {
    let mut used = 0;
    loop {
        match decoder.decode(&input[used..]).map_err(RequestBodyError::Chunk)? {
            chunked::Step::NeedMore => return Ok((input.len(), false)),
            chunked::Step::Data(data) => {
                sink.take(&input[used..][data.clone()])?;
                used += data.end;
            }
            chunked::Step::End { taken } => return Ok((used + taken, true)),
        }
    }
}
