//! `..._ssl_certificate` and its neighbours: how servers are spoken to by TLS, whatever the protocol within.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Diagnostic, Span};
use daemun_net::Stream;
use daemun_net::tls::{ClientTls, ClientTlsSettings, ConnectError, Trust};
use daemun_server::config::{Build, setter};
use daemun_server::tls::certificates::{self, CacheSetting, Pairs, Place, Written};
use daemun_server::tls::{KeySource, OfferChoice, command};
use daemun_server::{Request, Template, clock};

use super::PassSettings;

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Clone, Default)]
pub struct TlsSettings {
    offer: OfferChoice,
    certificate: Option<Written>,
    certificate_key: Option<Written>,
    certificate_cache: Option<Option<CacheSetting>>,
    password_file: Option<Place>,
    session_reuse: Option<bool>,
    name: Option<Template>,
    tells_name: Option<bool>,
    verifies: Option<bool>,
    verify_depth: Option<usize>,
    trusted_certificate: Option<Place>,
    revocation_lists: Option<Place>,
    /// Made when the block is closed, where a server may be spoken to by TLS. `if` and `limit_except` have no settings of their own.
    made: Option<Arc<UpstreamTls>>,
}

/// How servers are spoken to.
pub struct UpstreamTls {
    tls: ClientTls,
    /// Where a certificate comes from whose name has variables.
    keys: Option<Box<dyn KeySource>>,
    name: Option<Template>,
}

type Set = Result<(), ArgumentError>;

impl TlsSettings {
    /// Takes from the enclosing block what is unset.
    pub fn merge(parent: &Self, child: &mut Self) {
        OfferChoice::merge(&parent.offer, &mut child.offer);
        daemun_server::inherit!(parent, child;
            certificate, certificate_key, certificate_cache, password_file, session_reuse, name, tells_name, verifies,
            verify_depth, trusted_certificate, revocation_lists, made);
    }

    /// Makes what connections are made with. `prefix` stands before the `_` of directives, `span` is where a server is named.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn finish(&mut self, prefix: &str, span: Span, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        let trust = match self.verifies.unwrap_or(false) {
            true => Some(self.trust(prefix, span, build)?),
            false => None,
        };
        let pairs = self.pairs(prefix, build)?;
        let has_variables = pairs.as_ref().is_some_and(Pairs::have_variables);
        let (mut key, mut keys) = (None, None);
        match pairs {
            Some(pairs) if has_variables => keys = Some(pairs.into_source(self.certificate_cache.flatten())),
            Some(pairs) => key = pairs.load(build)?.pop(),
            None => {}
        }
        let settings = ClientTlsSettings {
            offer: self.offer.offer(span)?,
            key,
            reuses_sessions: self.session_reuse.unwrap_or(true),
            trust,
            tells_name: self.tells_name.unwrap_or(false),
            protocols: Vec::new(),
        };
        let tls = ClientTls::new(settings).map_err(|error| Diagnostic::error(span, error))?;
        self.made = Some(Arc::new(UpstreamTls { tls, keys, name: self.name.clone() }));
        Ok(())
    }

    fn pairs(&self, prefix: &str, build: &Build<'_>) -> Result<Option<Pairs>, Diagnostic> {
        let passwords = certificates::passwords(self.password_file.as_ref(), build)?;
        let given = command::certificate(self.offer.commands());
        let (certificate, key) = match (given, &self.certificate) {
            (Some(pair), _) => pair,
            (None, None) => return Ok(None),
            (None, Some(certificate)) if certificate.text.is_empty() => return Ok(None),
            (None, Some(certificate)) => {
                let key = self.certificate_key.clone().ok_or_else(|| {
                    let name = &certificate.text;
                    let text = format!("no \"{prefix}_ssl_certificate_key\" is defined for certificate \"{name}\"");
                    Diagnostic::error(certificate.span, text)
                })?;
                (certificate.clone(), key)
            }
        };
        Pairs::of(&[certificate], &[key], passwords, build).map(Some)
    }

    fn trust(&self, prefix: &str, span: Span, build: &Build<'_>) -> Result<Trust, Diagnostic> {
        let place = self.trusted_certificate.as_ref().ok_or_else(|| {
            Diagnostic::error(span, format!("no {prefix}_ssl_trusted_certificate for {prefix}_ssl_verify"))
        })?;
        let revoked = match &self.revocation_lists {
            Some(place) => certificates::revoked(place, build)?,
            None => Vec::new(),
        };
        let depth = self.verify_depth.unwrap_or(1);
        Ok(Trust { anchors: certificates::authorities(place, build)?, revoked, depth })
    }

    /// How servers are spoken to; `None` where none is by TLS.
    #[must_use]
    pub fn made(&self) -> Option<&Arc<UpstreamTls>> {
        self.made.as_ref()
    }
}

impl UpstreamTls {
    /// The name that a server goes by: `..._ssl_name`, or that of the URL, without its port.
    fn name(&self, default: &str, request: &Request) -> String {
        let name = match &self.name {
            Some(template) => String::from_utf8_lossy(&template.value(request)).into_owned(),
            None => default.to_owned(),
        };
        without_port(&name).to_owned()
    }

    /// What connections are made with that no request asks for. `default` is the name of the URL.
    ///
    /// # Errors
    /// Name or certificate come of variables, in words.
    pub fn for_nobody(&self, default: &str) -> Result<Encryption, String> {
        let name = match self.name.as_ref().map(Template::as_constant) {
            None => default.to_owned(),
            Some(Some(name)) => String::from_utf8_lossy(name).into_owned(),
            Some(None) => return Err("a name with variables".to_owned()),
        };
        if self.keys.is_some() {
            return Err("a certificate with variables".to_owned());
        }
        Ok(Encryption { tls: self.tls.clone(), name: without_port(&name).to_owned() })
    }

    /// What one request's connections are made with. `default` is the name of the URL.
    ///
    /// # Errors
    /// Our own certificate cannot be had, in words.
    pub fn for_request(&self, default: &str, request: &Request) -> Result<Encryption, String> {
        let tls = match &self.keys {
            Some(source) => self.tls.with_key(source.keys(request)?.pop()),
            None => self.tls.clone(),
        };
        Ok(Encryption { tls, name: self.name(default, request) })
    }
}

fn without_port(name: &str) -> &str {
    let behind_bracket = name.rfind(']').map_or(0, |at| at + 1);
    match name[behind_bracket..].rfind(':') {
        Some(at) => &name[..behind_bracket + at],
        None => name,
    }
}

/// How a server is spoken to by TLS, and the name that it goes by.
pub struct Encryption {
    tls: ClientTls,
    name: String,
}

impl Encryption {
    /// Does the handshake on `socket`.
    ///
    /// # Errors
    /// The handshake, or the server's certificate.
    pub async fn connect(&self, socket: Stream) -> Result<Stream, ConnectError> {
        Ok(self.tls.connect(socket, &self.name, clock::unix_seconds()).await?.0)
    }

    /// What tells connections to servers of different names apart.
    #[must_use]
    pub fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        hasher.finish()
    }
}

/// Sets a file's name.
fn set_place(setting: &mut Option<Place>, arguments: &mut Arguments<'_>) -> Set {
    let place = (arguments.text(0)?.to_owned(), arguments.span());
    arguments.set_once(setting, place)
}

/// Sets `on` or `off`.
fn set_switch(setting: &mut Option<bool>, arguments: &mut Arguments<'_>) -> Set {
    let flag = arguments.flag(0)?;
    arguments.set_once(setting, flag)
}

/// Reads `..._ssl_certificate`.
///
/// # Errors
/// For an unknown variable.
pub fn set_ssl_certificate(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let written = Written::read(arguments)?;
    arguments.set_once(&mut settings.tls.certificate, written)
}

/// Reads `..._ssl_certificate_key`.
///
/// # Errors
/// For an unknown variable.
pub fn set_ssl_certificate_key(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let written = Written::read(arguments)?;
    arguments.set_once(&mut settings.tls.certificate_key, written)
}

/// Reads `..._ssl_certificate_cache`.
///
/// # Errors
/// For an unknown parameter.
pub fn set_ssl_certificate_cache(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let cache = CacheSetting::read(arguments)?;
    arguments.set_once(&mut settings.tls.certificate_cache, cache)
}

/// Reads `..._ssl_name`.
///
/// # Errors
/// For an unknown variable.
pub fn set_ssl_name(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let name = setter::template(arguments, 0)?;
    arguments.set_once(&mut settings.tls.name, name)
}

/// Reads `..._ssl_verify_depth`.
///
/// # Errors
/// For what is no number.
pub fn set_ssl_verify_depth(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let depth = arguments.number(0, 0..=1_000)?;
    arguments.set_once(&mut settings.tls.verify_depth, usize::try_from(depth).unwrap_or(usize::MAX))
}

/// Declares setters that hand their arguments on.
macro_rules! handed_on {
    ($($name:ident: |$settings:ident, $arguments:ident| $set:expr;)*) => {
        $(
            /// Reads the directive of this name.
            ///
            /// # Errors
            /// For a wrong argument.
            pub fn $name($settings: &mut PassSettings, $arguments: &mut Arguments<'_>) -> Set {
                $set
            }
        )*
    };
}

handed_on! {
    set_ssl_protocols: |settings, arguments| settings.tls.offer.set_protocols(arguments);
    set_ssl_ciphers: |settings, arguments| settings.tls.offer.set_ciphers(arguments);
    set_ssl_conf_command: |settings, arguments| settings.tls.offer.add_command(arguments);
    set_ssl_password_file: |settings, arguments| set_place(&mut settings.tls.password_file, arguments);
    set_ssl_trusted_certificate: |settings, arguments| set_place(&mut settings.tls.trusted_certificate, arguments);
    set_ssl_crl: |settings, arguments| set_place(&mut settings.tls.revocation_lists, arguments);
    set_ssl_session_reuse: |settings, arguments| set_switch(&mut settings.tls.session_reuse, arguments);
    set_ssl_server_name: |settings, arguments| set_switch(&mut settings.tls.tells_name, arguments);
    set_ssl_verify: |settings, arguments| set_switch(&mut settings.tls.verifies, arguments);
}
