//! A client that sends exactly the octets it is given and shows everything that comes back.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};

use crate::response::{Response, Step, read_interim, read_response};

/// How long a read or write may stand still before the test fails.
const STALL: Duration = Duration::from_secs(30);

/// Octets of an answer that a failing test prints.
const SHOWN_OCTETS: usize = 1000;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Host and port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// The port, as text.
    #[track_caller]
    pub fn port(&self) -> String {
        match self {
            Self::Tcp(address) => address.port().to_string(),
            Self::Unix(path) => panic!("{} has no port", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// Why no answer could be read.
#[derive(Debug)]
pub enum ClientError {
    /// The system said no, or nothing came for too long.
    Io(io::Error),
    /// The connection was closed in the middle of an answer; the octets of it that had arrived.
    Cut(Vec<u8>),
    /// What arrived is no HTTP/1 answer.
    Malformed(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(formatter, "{error}"),
            Self::Cut(seen) => {
                let shown = seen.get(..SHOWN_OCTETS.min(seen.len())).unwrap_or_default();
                write!(formatter, "closed after {} octets: {:?}", seen.len(), String::from_utf8_lossy(shown))
            }
            Self::Malformed(why) => write!(formatter, "malformed answer: {why}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Received and not yet taken: the beginning of the next answer when requests are pipelined.
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or the system refuses.
    pub fn open(address: &Address) -> io::Result<Self> {
        let stream = match address {
            Address::Tcp(address) => Stream::Tcp(TcpStream::connect(address)?),
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        stream.set_limits()?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Connects, and fails the test when that is not possible.
    #[track_caller]
    pub fn to(address: &Address) -> Self {
        Self::open(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    ///
    /// The peer has closed, or takes nothing for too long.
    pub fn try_send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets)
    }

    /// Sends octets as they are, and fails the test when the peer does not take them.
    #[track_caller]
    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.try_send(octets.as_ref()).unwrap_or_else(|error| panic!("sending: {error}"));
    }

    /// Sends octets from another thread, so that an early answer can be read meanwhile. A peer that does not take all is no error.
    pub fn send_meanwhile(&mut self, octets: Vec<u8>) {
        let mut writer = self.stream.duplicate().expect("a socket can be duplicated");
        thread::spawn(move || writer.write_all(&octets).ok());
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// Reads one whole answer to a request that was not HEAD. Interim answers (1xx) before it are noted in it.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn try_response(&mut self) -> Result<Response, ClientError> {
        self.read(|received, is_closed| read_response(received, false, is_closed))
    }

    /// Reads one whole answer, and fails the test when none comes.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Reads the answer to a HEAD request: it has no body, whatever its head says.
    #[track_caller]
    pub fn response_to_head(&mut self) -> Response {
        self.read(|received, is_closed| read_response(received, true, is_closed))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Reads a single interim answer (1xx) and returns its status.
    #[track_caller]
    pub fn interim(&mut self) -> u16 {
        self.read(|received, _| read_interim(received)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request);
        self.response()
    }

    /// Reads until the peer closes; everything that came.
    ///
    /// # Errors
    ///
    /// Nothing comes and nothing is closed for too long.
    pub fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.receive() {
                Ok(0) => return Ok(std::mem::take(&mut self.received)),
                Ok(_) => {}
                // A peer that closes with our octets unread resets the connection.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(std::mem::take(&mut self.received));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until the peer closes, and fails the test when it does not.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        self.try_rest().unwrap_or_else(|error| panic!("waiting for the close: {error}"))
    }

    /// Waits for at least one more octet; everything that has arrived and is not part of an answer that was read.
    #[track_caller]
    pub fn more(&mut self) -> &[u8] {
        let count = self.receive().unwrap_or_else(|error| panic!("waiting for octets: {error}"));
        assert!(count > 0, "closed where octets were due, after {:?}", String::from_utf8_lossy(&self.received));
        &self.received
    }

    /// Reads one FastCGI record: its kind, its request's id, its content.
    #[track_caller]
    pub fn next_record(&mut self) -> (u8, u16, Vec<u8>) {
        loop {
            if let Some(record) = crate::fastcgi_records::take_record(&mut self.received) {
                return record;
            }
            let count = self.receive().unwrap_or_else(|error| panic!("waiting for a record: {error}"));
            assert!(count > 0, "closed where a record was due, after {:?}", String::from_utf8_lossy(&self.received));
        }
    }

    /// Reads so many octets; `None` where the connection ends, or fails, before.
    pub fn octets(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.received.len() < count {
            if !matches!(self.receive(), Ok(1..)) {
                return None;
            }
        }
        Some(self.received.drain(..count).collect())
    }

    /// Whether the peer leaves the connection open for `moment`, sending nothing.
    pub fn stays_open(&mut self, moment: Duration) -> bool {
        self.stream.set_read_limit(moment).expect("a time-out can be set");
        let outcome = self.receive();
        self.stream.set_read_limit(STALL).expect("a time-out can be set");
        matches!(outcome, Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }

    fn read<T>(&mut self, parse: impl Fn(&[u8], bool) -> Step<T>) -> Result<T, ClientError> {
        let mut is_closed = false;
        loop {
            match parse(&self.received, is_closed) {
                Step::Done { value, taken } => {
                    self.received.drain(..taken);
                    return Ok(value);
                }
                Step::Malformed(why) => return Err(ClientError::Malformed(why)),
                Step::More if is_closed => return Err(ClientError::Cut(std::mem::take(&mut self.received))),
                Step::More => is_closed = self.receive()? == 0 || self.receive_what_is_there()?,
            }
        }
    }

    /// Takes what has arrived already, so that a long answer is not parsed anew for each piece; true at its end.
    fn receive_what_is_there(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            // By a flag of the call: a time-out or a mode of the socket would be the writer's, too.
            match self.stream.receive_now(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => self.received.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        let mut buffer = vec![0; 256 * 1024];
        let count = self.stream.read(&mut buffer)?;
        self.received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Stream {
    fn set_limits(&self) -> io::Result<()> {
        if let Self::Tcp(stream) = self {
            stream.set_nodelay(true)?;
        }
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(STALL))?,
            Self::Unix(stream) => stream.set_write_timeout(Some(STALL))?,
        }
        self.set_read_limit(STALL)
    }

    fn set_read_limit(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
    }

    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, _) = match self {
            Self::Tcp(stream) => recv(stream, buffer, RecvFlags::DONTWAIT)?,
            Self::Unix(stream) => recv(stream, buffer, RecvFlags::DONTWAIT)?,
        };
        Ok(count)
    }

    fn duplicate(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        }
    }

    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(octets),
            Self::Unix(stream) => stream.write_all(octets),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}
