//! The client's side of TLS: connections to servers.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::{ClientSessionMemoryCache, ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, SignatureScheme, sign};

use super::certificate::Certificate;
use super::certified_key::CertifiedKey;
use super::chain::{Purpose, Trust, VerifyError, is_for_host};
use super::handshake::TlsFacts;
use super::limits::SESSIONS_OF_SERVERS_MAX;
use super::offer::Offer;
use super::peer_signature::AnyServer;
use super::stream::{TlsStream, shake_hands};
use crate::Stream;

/// How a client speaks TLS.
#[derive(Clone, Debug, Default)]
pub struct ClientTlsSettings {
    /// Versions, suites, groups.
    pub offer: Offer,
    /// What is shown to a server that asks for it.
    pub key: Option<CertifiedKey>,
    /// Whether later connections go on with sessions of earlier ones.
    pub reuses_sessions: bool,
    /// Whom servers' certificates must come from; `None`: they are not looked at.
    pub trust: Option<Trust>,
    /// Whether a server is told which name is asked for.
    pub tells_name: bool,
    /// Protocols to speak within, by preference; none: nothing is said of it.
    pub protocols: Vec<Vec<u8>>,
}

/// A client's side, ready for handshakes. It keeps sessions.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    trust: Option<Arc<Trust>>,
}

/// Why there is no connection to a server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server has gone.
    #[error("peer closed connection in SSL handshake")]
    Closed,
    /// Client and server do not come together, or the socket failed.
    #[error("SSL_do_handshake() failed (SSL: {0})")]
    Handshake(io::Error),
    /// The server's certificate is not believed.
    #[error("upstream SSL certificate verify error: ({}:{})", .0.number(), .0)]
    Certificate(VerifyError),
    /// The server's certificate is somebody else's.
    #[error("upstream SSL certificate does not match \"{0}\"")]
    Name(String),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Handshake(error),
        }
    }
}

impl ClientTls {
    /// Makes it.
    ///
    /// # Errors
    /// In words, where nothing is left to offer.
    pub fn new(settings: ClientTlsSettings) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(settings.offer.provider());
        let builder = builder.with_protocol_versions(&settings.offer.versions());
        let builder = builder.map_err(|_| "no protocol version with a cipher can be offered".to_owned())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer));
        let mut config = builder.with_client_cert_resolver(Arc::new(Shown(settings.key.map(|key| key.inner))));
        config.enable_sni = settings.tells_name;
        config.alpn_protocols = settings.protocols;
        config.resumption = if settings.reuses_sessions {
            Resumption::store(Arc::new(ClientSessionMemoryCache::new(SESSIONS_OF_SERVERS_MAX)))
        } else {
            Resumption::disabled()
        };
        config.cert_decompressors.clear();
        Ok(Self { config: Arc::new(config), trust: settings.trust.map(Arc::new) })
    }

    /// The same client that shows another certificate, or none. Sessions of one are not gone on with by the other.
    #[must_use]
    pub fn with_key(&self, key: Option<CertifiedKey>) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::new(Shown(key.map(|key| key.inner)));
        Self { config: Arc::new(config), trust: self.trust.clone() }
    }

    /// Does the handshake on `socket` with the server that goes by `name`. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, socket: Stream, name: &str, now: i64) -> Result<(Stream, TlsFacts), ConnectError> {
        let failed = |error| ConnectError::Handshake(io::Error::new(io::ErrorKind::InvalidData, error));
        let connection = ClientConnection::new(Arc::clone(&self.config), server_name(name)).map_err(failed)?;
        let mut connection = Connection::Client(connection);
        shake_hands(&socket, &mut connection).await?;
        let facts = TlsFacts::of(&mut connection);
        self.judge(&facts.peer_chain, name, now)?;
        Ok((Stream::Tls(TlsStream::new(socket, connection)), facts))
    }

    fn judge(&self, chain: &[Certificate], name: &str, now: i64) -> Result<(), ConnectError> {
        let Some(trust) = &self.trust else { return Ok(()) };
        trust.verify(chain, Purpose::Server, now).map_err(ConnectError::Certificate)?;
        match chain.first().is_some_and(|certificate| is_for_host(certificate, name)) {
            true => Ok(()),
            false => Err(ConnectError::Name(name.to_owned())),
        }
    }
}

/// What sessions are kept by, and what the server is told where it is; an address is not told.
fn server_name(name: &str) -> ServerName<'static> {
    let unnamed = || ServerName::IpAddress(IpAddr::from([0, 0, 0, 0]).into());
    ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).unwrap_or_else(|_| unnamed())
}

/// Shows one certificate to whoever asks.
#[derive(Debug)]
struct Shown(Option<Arc<sign::CertifiedKey>>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<sign::CertifiedKey>> {
        self.0.as_ref().filter(|key| key.key.choose_scheme(schemes).is_some()).cloned()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}
