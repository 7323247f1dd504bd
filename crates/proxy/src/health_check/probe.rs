//! One question to one server, to see whether it is well.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use daemun_gateway::uwsgi::PacketWriter;
use daemun_gateway::variable::{Full, VariableName, VariableSink};
use daemun_http::{AnswerError, AnswerForm, AnswerLimits, AnswerReader, Parsed, ResponseHead, StatusCode};
use daemun_net::Stream;
use daemun_net::tls::ConnectError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::matching::{Match, Mismatch};
use crate::limits::HEALTH_BODY_BYTES;
use crate::pass::Encryption;
use crate::upstream::UpstreamAddress;

/// The protocol that a server is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeProtocol {
    /// HTTP/1.0, so that the answer has no chunks.
    Http,
    /// The uwsgi protocol.
    Uwsgi,
}

impl ProbeProtocol {
    /// The protocol that a pass calls by this name in its log lines; `None` for one that checks do not speak yet.
    #[must_use]
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "http" => Some(Self::Http),
            "uwsgi" => Some(Self::Uwsgi),
            _ => None,
        }
    }
}

/// What is asked.
pub struct Probe {
    /// How.
    pub protocol: ProbeProtocol,
    /// How connections are encrypted, where they are.
    pub encryption: Option<Encryption>,
    /// What for.
    pub uri: String,
    /// The host that is named: the group.
    pub host: String,
    /// What the answer must be like.
    pub expected: Option<std::sync::Arc<Match>>,
    /// How long all of it may take.
    pub timeout: Duration,
    /// Another port than that of the server.
    pub port: Option<u16>,
}

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It did not answer in time.
    #[error("upstream timed out")]
    TimedOut,
    /// It could not be encrypted, or the server is not who it should be.
    #[error(transparent)]
    Tls(#[from] ConnectError),
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(io::Error),
    /// It said nothing, or not all of a head.
    #[error("upstream prematurely closed connection")]
    Closed,
    /// Its head is none.
    #[error("{0}")]
    Head(AnswerError),
    /// Its answer is not as it should be.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// The question is too long for the protocol.
    #[error("the request does not fit")]
    TooLarge,
}

impl Probe {
    /// Asks the server at `address`.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub async fn ask(&self, address: &UpstreamAddress) -> Result<(), ProbeError> {
        tokio::time::timeout(self.timeout, self.exchange(address)).await.unwrap_or(Err(ProbeError::TimedOut))
    }

    async fn exchange(&self, address: &UpstreamAddress) -> Result<(), ProbeError> {
        let question = self.question().map_err(|_| ProbeError::TooLarge)?;
        let mut stream = self.connect(address).await.map_err(ProbeError::Connection)?;
        if let Some(encryption) = &self.encryption {
            stream = Box::pin(encryption.connect(stream)).await?;
        }
        stream.write_all(&question).await.map_err(ProbeError::Connection)?;
        let mut reader = AnswerReader::new(match self.protocol {
            ProbeProtocol::Http => AnswerForm::Http,
            ProbeProtocol::Uwsgi => AnswerForm::Gateway,
        });
        let (limits, mut head) = (AnswerLimits::default(), ResponseHead::new(StatusCode::OK));
        let mut octets = Vec::with_capacity(1024);
        let taken = loop {
            if stream.read_buf(&mut octets).await.map_err(ProbeError::Connection)? == 0 {
                return Err(ProbeError::Closed);
            }
            if let Parsed::Complete { taken } = reader.parse(&octets, &limits, &mut head).map_err(ProbeError::Head)? {
                break taken;
            }
        };
        octets.drain(..taken);
        let no_match = Match::default();
        let expected = self.expected.as_deref().unwrap_or(&no_match);
        if expected.needs_body() {
            let rest = HEALTH_BODY_BYTES.saturating_sub(octets.len() as u64);
            stream.take(rest).read_to_end(&mut octets).await.map_err(ProbeError::Connection)?;
        }
        expected.judge(&head, &octets).map_err(ProbeError::Mismatch)
    }

    async fn connect(&self, address: &UpstreamAddress) -> io::Result<Stream> {
        match address {
            UpstreamAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::from),
            UpstreamAddress::Inet(address) => {
                let address = SocketAddr::new(address.ip(), self.port.unwrap_or(address.port()));
                TcpStream::connect(address).await.map(Stream::from)
            }
        }
    }

    fn question(&self) -> Result<Vec<u8>, Full> {
        let (uri, host) = (self.uri.as_bytes(), self.host.as_bytes());
        if self.protocol == ProbeProtocol::Http {
            return Ok([b"GET ", uri, b" HTTP/1.0\r\nHost: ", host, b"\r\nConnection: close\r\n\r\n"].concat());
        }
        let mut question = Vec::new();
        let mut writer = PacketWriter::new(&mut question, 0, 0);
        let (path, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        for (name, value) in [
            ("QUERY_STRING", query.as_bytes()),
            ("REQUEST_METHOD", b"GET"),
            ("REQUEST_URI", uri),
            ("PATH_INFO", path.as_bytes()),
            ("SERVER_PROTOCOL", b"HTTP/1.0"),
            ("SERVER_NAME", host),
            ("SERVER_PORT", b"80"),
            ("HTTP_HOST", host),
        ] {
            writer.variable(VariableName::Literal(name.as_bytes()), &[value])?;
        }
        writer.finish();
        Ok(question)
    }
}
