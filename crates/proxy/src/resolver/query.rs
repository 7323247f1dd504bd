//! One question, put to the name servers in turn until one of them answers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use daemun_server::thread::random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use super::ResolveError;
use super::message::{self, Answer, MessageError, RecordType};
use crate::limits::DNS_DATAGRAM_BYTES;

/// How long one server has before the next is asked.
const RESEND: Duration = Duration::from_secs(5);

/// Asks `servers` in turn, from number `first` on, for the records of `name`, until `deadline`.
///
/// # Errors
/// [`ResolveError::TimedOut`] where none answers, and what the answer says.
pub async fn ask(
    servers: &[SocketAddr],
    first: usize,
    name: &str,
    kind: RecordType,
    deadline: Instant,
) -> Result<Answer, ResolveError> {
    let mut number = first;
    while let Some(server) = number.checked_rem(servers.len()).and_then(|number| servers.get(number)) {
        let until = deadline.min(Instant::now() + RESEND);
        match timeout_at(until, ask_one(*server, name, kind)).await {
            Ok(Ok(answer)) => return ResolveError::of_code(answer.code).map_or(Ok(answer), Err),
            Ok(Err(AskError::Message(MessageError::Name))) => return Err(ResolveError::NotFound),
            Ok(Err(AskError::Message(_))) => return Err(ResolveError::FormatError),
            // Who is refused asks the next server at once, but not in a circle without rest.
            Ok(Err(AskError::Socket)) if number + 1 < first + servers.len() => {}
            Ok(Err(AskError::Socket)) => tokio::time::sleep_until(until).await,
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            break;
        }
        number += 1;
    }
    Err(ResolveError::TimedOut)
}

/// Why a server gave no answer. What the system says of its sockets helps nobody who waits for a name.
enum AskError {
    Socket,
    Message(MessageError),
}

impl From<io::Error> for AskError {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}

impl From<MessageError> for AskError {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

async fn ask_one(server: SocketAddr, name: &str, kind: RecordType) -> Result<Answer, AskError> {
    // A forger has to guess this number and, since every question has a socket of its own, the port.
    let id = (random() >> 16) as u16;
    let question = message::question(id, name, kind)?;
    let answer = ask_by_datagram(server, id, &question, name, kind).await?;
    if !answer.is_truncated {
        return Ok(answer);
    }
    timeout(RESEND, ask_by_stream(server, id, &question, name, kind)).await.unwrap_or(Err(AskError::Socket))
}

async fn ask_by_datagram(
    server: SocketAddr,
    id: u16,
    question: &[u8],
    name: &str,
    kind: RecordType,
) -> Result<Answer, AskError> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; DNS_DATAGRAM_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match message::answer(buffer.get(..length).unwrap_or_default(), id, name, kind) {
            Err(MessageError::OtherQuestion) => {}
            other => return Ok(other?),
        }
    }
}

async fn ask_by_stream(
    server: SocketAddr,
    id: u16,
    question: &[u8],
    name: &str,
    kind: RecordType,
) -> Result<Answer, AskError> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(|_| MessageError::Name)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut octets = vec![0; usize::from(length)];
    stream.read_exact(&mut octets).await?;
    let mut answer = message::answer(&octets, id, name, kind)?;
    // There is no larger room to ask for: what is here must do.
    answer.is_truncated = false;
    Ok(answer)
}
