//! The handshake of a client that has come in: its hello is read, whoever serves it is chosen, and the rest follows.

use std::io;

use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use rustls::{CipherSuite, Connection, HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::Interest;

use super::certificate::Certificate;
use super::limits::{CHAIN_CERTIFICATES_MAX, HELLO_OCTETS_MAX};
use super::offer::{cipher_name, group_name};
use super::server::ServerTls;
use super::stream::{Raw, TlsStream, shake_hands};
use crate::Stream;

/// Why a connection did not come to be.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client has gone.
    #[error("peer closed connection in SSL handshake")]
    Closed,
    /// The socket failed.
    #[error("{0}")]
    Socket(io::Error),
    /// Client and server do not come together, or the client breaks the rules.
    #[error("SSL_do_handshake() failed (SSL: {0})")]
    Refused(rustls::Error),
    /// The server does not want it.
    #[error("SSL_do_handshake() failed (SSL: callback failed)")]
    Rejected,
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => return Self::Closed,
            io::ErrorKind::InvalidData => {}
            _ => return Self::Socket(error),
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::Refused(error),
            Err(error) => Self::Socket(error),
        }
    }
}

/// Whether the first octet of a connection begins a handshake; else somebody does not speak TLS.
#[must_use]
pub fn begins_handshake(octet: u8) -> bool {
    octet == 0x16 || octet & 0x80 != 0 // The latter is SSL 2, which is refused by an alert.
}

/// A client whose hello was read.
pub struct Greeting {
    socket: Stream,
    accepted: Accepted,
    server_name: Option<Box<str>>,
}

impl Greeting {
    /// Reads the hello. `ahead` are octets that were read of the socket already.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn read(socket: Stream, ahead: &[u8]) -> Result<Self, HandshakeError> {
        let (mut acceptor, mut ahead) = (Acceptor::default(), ahead);
        let mut octets = ahead.len();
        loop {
            let read =
                if ahead.is_empty() { acceptor.read_tls(&mut Raw(&socket)) } else { acceptor.read_tls(&mut ahead) };
            match read {
                Ok(0) => return Err(HandshakeError::Closed),
                Ok(read) => octets += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.ready(Interest::READABLE).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            if !ahead.is_empty() {
                continue;
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let server_name = accepted.client_hello().server_name().map(Box::from);
                    return Ok(Self { socket, accepted, server_name });
                }
                Ok(None) if octets > HELLO_OCTETS_MAX => {
                    return Err(HandshakeError::Refused(rustls::Error::General("the hello is too long".to_owned())));
                }
                Ok(None) => {}
                Err((error, alert)) => return Err(refuse(&socket, error, alert)),
            }
        }
    }

    /// The name that the client wants to see in the certificate.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Tells the client that the name it asked for is nobody's.
    #[must_use]
    pub fn reject(self) -> HandshakeError {
        const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112]; // A fatal alert: RFC 8446 §6.2.
        let _ = self.socket.try_write(UNRECOGNIZED_NAME); // Seven octets fit, or the client has gone.
        HandshakeError::Rejected
    }

    /// Does the rest of the handshake. With `may_be_http2` the client may choose HTTP/2.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn finish(
        self,
        server: &ServerTls,
        may_be_http2: bool,
    ) -> Result<(Stream, Box<TlsFacts>), HandshakeError> {
        let Self { socket, accepted, server_name } = self;
        let hello = accepted.client_hello();
        let offered_ciphers = hello.cipher_suites().into();
        let offered_groups = hello.named_groups().unwrap_or_default().into();
        let connection = accepted.into_connection(server.config(may_be_http2));
        let connection = connection.map_err(|(error, alert)| refuse(&socket, error, alert))?;
        let mut connection = Connection::Server(connection);
        shake_hands(&socket, &mut connection).await?;
        let facts = TlsFacts { server_name, offered_ciphers, offered_groups, ..TlsFacts::of(&mut connection) };
        Ok((Stream::Tls(TlsStream::new(socket, connection)), Box::new(facts)))
    }
}

fn refuse(socket: &Stream, error: rustls::Error, mut alert: AcceptedAlert) -> HandshakeError {
    let _ = alert.write_all(&mut Raw(socket)); // A few octets: they fit, or the client has gone.
    HandshakeError::Refused(error)
}

/// What is known of a connection once its handshake is done.
#[derive(Debug, Default)]
pub struct TlsFacts {
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// The version's name, as `$ssl_protocol` has it.
    pub protocol: &'static str,
    /// The suite's name.
    pub cipher: &'static str,
    /// The group's name.
    pub group: &'static str,
    /// The protocol within that both sides have chosen.
    pub inner_protocol: Option<Box<[u8]>>,
    /// Whether an earlier session goes on.
    pub is_resumed: bool,
    /// Number of the connection's keys: 32 octets that nobody else has.
    pub session: [u8; 32],
    /// What the client shows, its own certificate first.
    pub peer_chain: Box<[Certificate]>,
    offered_ciphers: Box<[CipherSuite]>,
    offered_groups: Box<[NamedGroup]>,
}

impl TlsFacts {
    pub(super) fn of(connection: &mut Connection) -> Self {
        let mut session = [0; 32];
        // Before the handshake is done there is none.
        let _ = connection.export_keying_material(&mut session, b"EXPORTER-daemun-session", None);
        let chain = connection.peer_certificates().unwrap_or_default();
        Self {
            server_name: None,
            protocol: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "",
            },
            cipher: connection.negotiated_cipher_suite().and_then(|suite| cipher_name(suite.suite())).unwrap_or(""),
            group: connection.negotiated_key_exchange_group().and_then(|group| group_name(group.name())).unwrap_or(""),
            inner_protocol: connection.alpn_protocol().map(Box::from),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            session,
            peer_chain: chain.iter().take(CHAIN_CERTIFICATES_MAX).filter_map(|one| Certificate::parse(one)).collect(),
            offered_ciphers: Box::default(),
            offered_groups: Box::default(),
        }
    }

    /// The suites that the client has offered, by name or number, with colons between.
    #[must_use]
    pub fn offered_ciphers(&self) -> String {
        let name = |suite: &CipherSuite| match cipher_name(*suite) {
            Some(name) => name.to_owned(),
            None => format!("0x{:04x}", u16::from(*suite)),
        };
        let real = self.offered_ciphers.iter().filter(|suite| !is_grease(u16::from(**suite)));
        real.map(name).collect::<Vec<_>>().join(":")
    }

    /// The groups that the client has offered, by name or number, with colons between.
    #[must_use]
    pub fn offered_groups(&self) -> String {
        let name = |group: &NamedGroup| match group_name(*group) {
            Some(name) => name.to_owned(),
            None => format!("0x{:04x}", u16::from(*group)),
        };
        let real = self.offered_groups.iter().filter(|group| !is_grease(u16::from(**group)));
        real.map(name).collect::<Vec<_>>().join(":")
    }
}

/// Numbers that mean nothing, sent so that servers learn to pass over what they do not know (RFC 8701).
fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}
