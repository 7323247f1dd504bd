//! One question to one server, to see whether it is well.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use daemun_gateway::fastcgi::PairsWriter;
use daemun_gateway::scgi::BlockWriter;
use daemun_gateway::uwsgi::PacketWriter;
use daemun_gateway::variable::{Full, VariableId, VariableName, VariableSink};
use daemun_http::{AnswerLimits, ResponseHead, StatusCode};
use daemun_net::Stream;
use daemun_net::tls::ConnectError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::matching::{Match, Mismatch};
use crate::limits::{HEALTH_BODY_BYTES, PARAMETERS_BYTES};
use crate::pass::Encryption;
use crate::transport::fastcgi::{self, FastCgiAnswer};
use crate::transport::http::HttpAnswer;
use crate::transport::memcached::MemcachedAnswer;
use crate::transport::uwsgi::CgiAnswer;
use crate::transport::{AnswerCodec, BodyExtent, BodyStep, HeadFault, HeadStep, take};
use crate::upstream::UpstreamAddress;

/// The protocol that a server is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeProtocol {
    /// HTTP/1.0, so that the answer has no chunks.
    Http,
    /// The uwsgi protocol.
    Uwsgi,
    /// SCGI.
    Scgi,
    /// FastCGI.
    FastCgi,
    /// memcached's own: its version, or the value of a key.
    Memcached,
}

impl ProbeProtocol {
    /// The protocol that a pass calls by this name in its log lines; `None` for one that checks do not speak yet.
    #[must_use]
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "http" => Some(Self::Http),
            "uwsgi" => Some(Self::Uwsgi),
            "scgi" => Some(Self::Scgi),
            "fastcgi" => Some(Self::FastCgi),
            "memcached" => Some(Self::Memcached),
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
    /// What for; `None` is `/`, and of memcached its version.
    pub uri: Option<String>,
    /// The host that is named: the group.
    pub host: String,
    /// What the answer must be like.
    pub expected: Option<Arc<Match>>,
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
    Head(HeadFault),
    /// Its body is none.
    #[error("{0}")]
    Body(&'static str),
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
        let (limits, mut head) = (AnswerLimits::default(), ResponseHead::new(StatusCode::OK));
        let (mut codec, mut input) = (self.codec(), BytesMut::with_capacity(1024));
        loop {
            if stream.read_buf(&mut input).await.map_err(ProbeError::Connection)? == 0 {
                return Err(ProbeError::Closed);
            }
            match codec.read_head(&mut input, &limits, &mut head).map_err(ProbeError::Head)? {
                HeadStep::NeedMore => {}
                HeadStep::Interim => head.clear(),
                HeadStep::Complete => break,
            }
        }
        let no_match = Match::default();
        let expected = self.expected.as_deref().unwrap_or(&no_match);
        let mut body = Vec::new();
        if expected.needs_body() {
            codec.begin_body(&head, false);
            read_body(codec.as_mut(), &mut stream, &mut input, &mut body).await?;
        }
        expected.judge(&head, &body).map_err(ProbeError::Mismatch)
    }

    fn codec(&self) -> Box<dyn AnswerCodec> {
        match self.protocol {
            ProbeProtocol::Http => Box::new(HttpAnswer::new()),
            ProbeProtocol::Uwsgi | ProbeProtocol::Scgi => Box::new(CgiAnswer::new()),
            ProbeProtocol::FastCgi => Box::new(FastCgiAnswer::new(false, Arc::default())),
            ProbeProtocol::Memcached => match &self.uri {
                Some(key) => Box::new(MemcachedAnswer::new(key.as_bytes().to_vec(), 0)),
                None => Box::new(MemcachedVersion),
            },
        }
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
        let uri = self.uri.as_deref().unwrap_or("/");
        let (octets, host) = (uri.as_bytes(), self.host.as_bytes());
        let mut question = Vec::new();
        match self.protocol {
            ProbeProtocol::Http => {
                question = [b"GET ", octets, b" HTTP/1.0\r\nHost: ", host, b"\r\nConnection: close\r\n\r\n"].concat();
            }
            ProbeProtocol::Uwsgi => {
                let mut writer = PacketWriter::new(&mut question, 0, 0);
                self.write_variables(uri, &["PATH_INFO"], &mut writer)?;
                writer.finish();
            }
            ProbeProtocol::Scgi => {
                let mut writer = BlockWriter::new(&mut question, PARAMETERS_BYTES);
                writer.variable(VariableName::Known(VariableId::CONTENT_LENGTH), &[b"0"])?;
                writer.variable(VariableName::Literal(b"SCGI"), &[b"1"])?;
                self.write_variables(uri, &["PATH_INFO"], &mut writer)?;
                writer.finish();
            }
            ProbeProtocol::FastCgi => {
                let mut pairs = Vec::new();
                let mut writer = PairsWriter::new(&mut pairs, PARAMETERS_BYTES);
                // PHP-FPM goes by these two, for its `ping.path` too.
                self.write_variables(uri, &["SCRIPT_NAME", "SCRIPT_FILENAME"], &mut writer)?;
                fastcgi::write_question(false, &pairs, &mut question);
            }
            ProbeProtocol::Memcached => match &self.uri {
                Some(key) => question = [b"get ", key.as_bytes(), b"\r\n"].concat(),
                None => question.extend_from_slice(b"version\r\n"),
            },
        }
        Ok(question)
    }

    /// `paths` are the variables that tell the path.
    fn write_variables(&self, uri: &str, paths: &[&str], sink: &mut dyn VariableSink) -> Result<(), Full> {
        let host = self.host.as_bytes();
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        for (name, value) in [
            ("QUERY_STRING", query.as_bytes()),
            ("REQUEST_METHOD", b"GET"),
            ("REQUEST_URI", uri.as_bytes()),
            ("SERVER_PROTOCOL", b"HTTP/1.0"),
            ("SERVER_NAME", host),
            ("SERVER_PORT", b"80"),
            ("HTTP_HOST", host),
        ] {
            sink.variable(VariableName::Literal(name.as_bytes()), &[value])?;
        }
        for name in paths {
            sink.variable(VariableName::Literal(name.as_bytes()), &[path.as_bytes()])?;
        }
        Ok(())
    }
}

/// Reads the body, [`HEALTH_BODY_BYTES`] of it at most.
async fn read_body(
    codec: &mut dyn AnswerCodec,
    stream: &mut Stream,
    input: &mut BytesMut,
    body: &mut Vec<u8>,
) -> Result<(), ProbeError> {
    while (body.len() as u64) < HEALTH_BODY_BYTES {
        match codec.read_body(input).map_err(ProbeError::Body)? {
            BodyStep::Data(octets) => body.extend_from_slice(&octets),
            BodyStep::End { .. } => break,
            BodyStep::NeedMore => {
                if stream.read_buf(input).await.map_err(ProbeError::Connection)? == 0 {
                    return if codec.may_end_here() { Ok(()) } else { Err(ProbeError::Closed) };
                }
            }
        }
    }
    Ok(())
}

/// The line that a memcached answers `version` with; it is the body, too.
struct MemcachedVersion;

impl AnswerCodec for MemcachedVersion {
    fn read_head(
        &mut self,
        input: &mut BytesMut,
        limits: &AnswerLimits,
        head: &mut ResponseHead,
    ) -> Result<HeadStep, HeadFault> {
        let line = input.get(..VERSION.len().min(input.len())).unwrap_or_default();
        if !VERSION.starts_with(line) || input.len() > limits.head_bytes {
            return Err(HeadFault::Protocol("memcached sent invalid response".to_owned()));
        }
        if !input.ends_with(b"\r\n") {
            return Ok(HeadStep::NeedMore);
        }
        head.status = StatusCode::OK;
        Ok(HeadStep::Complete)
    }

    fn begin_body(&mut self, _: &ResponseHead, _: bool) -> BodyExtent {
        BodyExtent::Unknown
    }

    fn read_body(&mut self, input: &mut BytesMut) -> Result<BodyStep, &'static str> {
        Ok(match input.len() {
            0 => BodyStep::End { is_kept: false, surplus: None },
            length => BodyStep::Data(take(input, length)),
        })
    }

    fn may_end_here(&self) -> bool {
        true
    }
}

const VERSION: &[u8] = b"VERSION ";
