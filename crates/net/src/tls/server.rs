//! The server's side of TLS: what a virtual server shows and offers.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, StoresServerSessions};
use rustls::{DistinguishedName, ServerConfig, sign};

use super::certified_key::CertifiedKey;
use super::limits::{FRAGMENT_OCTETS, RECORD_HEADER_OCTETS};
use super::offer::Offer;
use super::peer_signature::AnyClient;
use super::sessions::{ServerSessions, SessionCache};
use super::tickets::{TicketKeys, Ticketer};

/// How a server speaks TLS.
#[derive(Clone, Debug, Default)]
pub struct ServerTlsSettings {
    /// Versions, suites, groups.
    pub offer: Offer,
    /// Chains and keys; the client's signature algorithms say which is shown.
    pub keys: Vec<CertifiedKey>,
    /// Names, encoded, of the authorities that a client's certificate may come from; `None`: it is not asked for one.
    pub client_authorities: Option<Vec<Vec<u8>>>,
    /// The largest record, octets in the clear.
    pub record_octets: usize,
    /// Where sessions are kept.
    pub sessions: Option<Arc<SessionCache>>,
    /// What tickets are made with; `None`: there are none.
    pub tickets: Option<Arc<TicketKeys>>,
    /// For how long a session may be gone on with.
    pub session_timeout: Duration,
    /// Octets that a client may send before the handshake is done; 0: none.
    pub early_data_octets: u32,
    /// What tells the server's sessions from those of others with the same store or keys, beside certificates and authorities.
    pub session_context: Vec<u8>,
    /// Whether the chain is sent compressed to clients that can read that.
    pub compresses_certificates: bool,
}

/// A server's side, ready for handshakes.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    /// The same where HTTP/2 may be spoken.
    config_http2: Arc<ServerConfig>,
    settings: Arc<ServerTlsSettings>,
}

impl ServerTls {
    /// Makes it.
    ///
    /// # Errors
    /// In words, where nothing is left to offer.
    pub fn new(settings: ServerTlsSettings) -> Result<Self, String> {
        let provider = settings.offer.provider();
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&settings.offer.versions());
        let builder = builder.map_err(|_| "no protocol version with a cipher can be offered".to_owned())?;
        let builder = match &settings.client_authorities {
            Some(names) => {
                let authorities = names.iter().map(|name| DistinguishedName::from(name.clone())).collect();
                builder.with_client_cert_verifier(Arc::new(AnyClient { authorities }))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Choice::of(&settings.keys)));
        config.ignore_client_order = settings.offer.prefers_own;
        config.alpn_protocols = [&b"http/1.1"[..], b"http/1.0", b"http/0.9"].map(<[u8]>::to_vec).to_vec();
        let fragment = settings.record_octets.saturating_add(RECORD_HEADER_OCTETS);
        config.max_fragment_size = Some(fragment.clamp(*FRAGMENT_OCTETS.start(), *FRAGMENT_OCTETS.end()));
        config.max_early_data_size = settings.early_data_octets;
        config.send_half_rtt_data = settings.early_data_octets > 0;
        if !settings.compresses_certificates {
            config.cert_compressors.clear();
        }
        config.cert_decompressors.clear(); // A client's chain is small, and its expansion a risk.
        set_resumption(&mut config, &settings);
        Ok(Self::of(config, settings))
    }

    fn of(config: ServerConfig, settings: ServerTlsSettings) -> Self {
        let mut config_http2 = config.clone();
        config_http2.alpn_protocols.insert(0, b"h2".to_vec());
        Self { config: Arc::new(config), config_http2: Arc::new(config_http2), settings: Arc::new(settings) }
    }

    /// The same server with other chains and keys.
    #[must_use]
    pub fn with_keys(&self, keys: Vec<CertifiedKey>) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.cert_resolver = Arc::new(Choice::of(&keys));
        let settings = ServerTlsSettings { keys, ..ServerTlsSettings::clone(&self.settings) };
        Self::of(config, settings)
    }

    /// What rustls is to obey.
    pub(super) fn config(&self, may_be_http2: bool) -> Arc<ServerConfig> {
        Arc::clone(if may_be_http2 { &self.config_http2 } else { &self.config })
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> &ServerTlsSettings {
        &self.settings
    }
}

/// Sessions are told apart by the certificates that they were made with and by whom clients were to come from.
fn set_resumption(config: &mut ServerConfig, settings: &ServerTlsSettings) {
    let mut hash = digest::Context::new(&digest::SHA256);
    for certificate in settings.keys.iter().filter_map(|key| key.chain().first()) {
        hash.update(certificate.der());
    }
    for name in settings.client_authorities.iter().flatten() {
        hash.update(name);
    }
    hash.update(&[u8::from(settings.client_authorities.is_some())]);
    hash.update(&settings.session_context);
    let mut context = [0; 32];
    context.copy_from_slice(hash.finish().as_ref());
    let timeout = settings.session_timeout;
    let storage: Arc<dyn StoresServerSessions> = match &settings.sessions {
        Some(cache) => Arc::new(ServerSessions { cache: Arc::clone(cache), context, timeout }),
        None => Arc::new(NoServerSessionStorage {}),
    };
    config.session_storage = storage;
    if let Some(keys) = &settings.tickets {
        config.ticketer = Arc::new(Ticketer { keys: Arc::clone(keys), context, lifetime: timeout });
    }
}

/// Chooses among several keys as the client's algorithms want it, in the client's order.
#[derive(Debug)]
struct Choice(Vec<CertifiedKey>);

impl Choice {
    fn of(keys: &[CertifiedKey]) -> Self {
        Self(keys.to_vec())
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<sign::CertifiedKey>> {
        if let [only] = self.0.as_slice() {
            return Some(only.shown());
        }
        let signs = |scheme| self.0.iter().find(|key| key.inner.key.choose_scheme(&[scheme]).is_some());
        hello.signature_schemes().iter().copied().find_map(signs).or(self.0.first()).map(CertifiedKey::shown)
    }
}
