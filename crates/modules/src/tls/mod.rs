//! `ssl_certificate` and its neighbours: what servers show, offer and ask for in a TLS handshake.

mod grade;
mod sessions;
mod status;
mod variables;

use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive};
use daemun_net::tls::{ServerTls, ServerTlsSettings, Trust};
use daemun_server::Module;
use daemun_server::config::Build;
use daemun_server::tls::certificates::{self, CacheSetting, Pairs, Place, Written};
use daemun_server::tls::{ClientVerification, Clients, OfferChoice, VirtualTls, command};

use self::sessions::{CacheChoice, SessionSettings};
use self::status::{StaplingChoice, StatusChoice};

/// Named once, in the program's list of modules.
pub static MODULE: Module<Tls> = Module {
    name: "ssl",
    directives: DIRECTIVES,
    merge,
    finish,
    // What stands in `http` is each server's to finish, whether or not it says something of its own.
    is_active: |conf| conf.certificates.is_some() || conf.rejects_handshake.is_some() || conf.verification.is_some(),
    phases: &[],
    filters: &[],
    variables: variables::VARIABLES,
};

/// A directive of a server's, or of all of them.
const fn entry(
    name: &'static str,
    arity: Arity,
    default: &'static str,
    help: &'static str,
    set: fn(&mut Tls, &mut Arguments<'_>) -> Result<(), ArgumentError>,
) -> Directive<Tls> {
    Directive { name, contexts: Context::HTTP.or(Context::SERVER), arity, default, help, set }
}

const ONE: Arity = Arity::Exactly(1);

static DIRECTIVES: &[Directive<Tls>] = &[
    entry(
        "ssl_certificate",
        ONE,
        "none",
        "file|data:text: the certificate chain in PEM, once for each kind of key",
        |conf, arguments| {
            conf.certificates.get_or_insert_default().push(Written::read(arguments)?);
            Ok(())
        },
    ),
    entry(
        "ssl_certificate_key",
        ONE,
        "none",
        "file|data:text: the key of the certificate with the same number",
        |conf, arguments| {
            conf.certificate_keys.get_or_insert_default().push(Written::read(arguments)?);
            Ok(())
        },
    ),
    entry(
        "ssl_certificate_cache",
        Arity::Between(1, 3),
        "off",
        "off|max=n [inactive=time] [valid=time]: keeps certificates whose names have variables",
        |conf, arguments| {
            let cache = CacheSetting::read(arguments)?;
            arguments.set_once(&mut conf.certificate_cache, cache)
        },
    ),
    entry("ssl_password_file", ONE, "none", "file: passwords of keys, one a line", |conf, arguments| {
        set_path(&mut conf.password_file, arguments)
    }),
    entry(
        "ssl_protocols",
        Arity::AtLeast(1),
        "TLSv1.2 TLSv1.3",
        "version ...: the versions that are spoken; older ones are not",
        |conf, arguments| conf.offer.set_protocols(arguments),
    ),
    entry(
        "ssl_ciphers",
        ONE,
        "HIGH:!aNULL:!MD5",
        "list: the suites of TLS 1.2, in OpenSSL's notation",
        |conf, arguments| conf.offer.set_ciphers(arguments),
    ),
    entry("ssl_ecdh_curve", ONE, "auto", "list: the groups of the key exchange, by preference", |conf, arguments| {
        conf.offer.set_curves(arguments)
    }),
    entry(
        "ssl_prefer_server_ciphers",
        Arity::Flag,
        "on",
        "on|off: whether the server's order of suites counts",
        |conf, arguments| conf.offer.set_preference(arguments),
    ),
    entry(
        "ssl_conf_command",
        Arity::Exactly(2),
        "none",
        "name value: a command of OpenSSL's, as far as it has a meaning here",
        |conf, arguments| conf.offer.add_command(arguments),
    ),
    entry(
        "ssl_dhparam",
        ONE,
        "none",
        "file: has no effect, the only key exchange is that of elliptic curves",
        |conf, arguments| {
            arguments.warn("\"ssl_dhparam\" has no effect: key exchange is by elliptic curves and ML-KEM".to_owned());
            set_path(&mut conf.dhparam, arguments)
        },
    ),
    entry("ssl_buffer_size", ONE, "16k", "size: the largest record", |conf, arguments| {
        let size = arguments.size(0)?;
        arguments.set_once(&mut conf.record_octets, usize::try_from(size).unwrap_or(usize::MAX))
    }),
    entry(
        "ssl_early_data",
        Arity::Flag,
        "off",
        "on|off: whether requests may come before the handshake is done",
        |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.early_data, flag)
        },
    ),
    entry(
        "ssl_reject_handshake",
        Arity::Flag,
        "off",
        "on|off: whether clients that ask for this server are turned away in the handshake",
        |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.rejects_handshake, flag)
        },
    ),
    entry(
        "ssl_certificate_compression",
        Arity::Flag,
        "off",
        "on|off: whether the chain is sent compressed to clients that can read that",
        |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.compresses_certificates, flag)
        },
    ),
    entry(
        "ssl_session_cache",
        Arity::Between(1, 2),
        "none",
        "off|none|[builtin[:number]] [shared:name:size]: where sessions are kept",
        |conf, arguments| {
            let choice = CacheChoice::read(arguments)?;
            arguments.set_once(&mut conf.session_cache, choice)
        },
    ),
    entry("ssl_session_timeout", ONE, "5m", "time: for how long a session may be gone on with", |conf, arguments| {
        let time = arguments.seconds(0)?;
        arguments.set_once(&mut conf.session_timeout, time)
    }),
    entry(
        "ssl_session_tickets",
        Arity::Flag,
        "on",
        "on|off: whether clients keep their sessions themselves",
        |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.session_tickets, flag)
        },
    ),
    entry(
        "ssl_session_ticket_key",
        ONE,
        "random",
        "file: 80 or 48 octets; the first makes tickets, the others read them",
        |conf, arguments| {
            conf.ticket_keys.get_or_insert_default().push((arguments.text(0)?.to_owned(), arguments.span()));
            Ok(())
        },
    ),
    entry(
        "ssl_verify_client",
        ONE,
        "off",
        "on|off|optional|optional_no_ca: whether clients must have a certificate",
        |conf, arguments| {
            let verification = arguments.choice(0, VERIFICATIONS)?;
            arguments.set_once(&mut conf.verification, verification)
        },
    ),
    entry(
        "ssl_verify_depth",
        ONE,
        "1",
        "number: certificates between the client's and the authority's",
        |conf, arguments| {
            let depth = arguments.number(0, 0..=1_000)?;
            arguments.set_once(&mut conf.verify_depth, usize::try_from(depth).unwrap_or(usize::MAX))
        },
    ),
    entry(
        "ssl_client_certificate",
        ONE,
        "none",
        "file: authorities of clients' certificates, whose names are told to clients",
        |conf, arguments| set_path(&mut conf.client_certificate, arguments),
    ),
    entry("ssl_trusted_certificate", ONE, "none", "file: authorities whose names are not told", |conf, arguments| {
        set_path(&mut conf.trusted_certificate, arguments)
    }),
    entry(
        "ssl_stapling",
        Arity::Flag,
        "off",
        "on|off: whether clients are shown the certificate's status",
        |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.stapling.is_on, flag)
        },
    ),
    entry(
        "ssl_stapling_file",
        ONE,
        "none",
        "file: a responder's answer, in place of asking for it",
        |conf, arguments| set_path(&mut conf.stapling.file, arguments),
    ),
    entry(
        "ssl_stapling_responder",
        ONE,
        "that of the certificate",
        "url: who is asked for the status",
        |conf, arguments| set_path(&mut conf.stapling.responder, arguments),
    ),
    entry(
        "ssl_stapling_verify",
        Arity::Flag,
        "off",
        "on|off: whether it must be the issuer who answers, or whom that one has named",
        |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.stapling.verifies, flag)
        },
    ),
    entry(
        "ssl_ocsp",
        ONE,
        "off",
        "on|leaf|off: whether responders are asked about clients' certificates",
        |conf, arguments| {
            let scope = arguments.choice(0, &[("off", None), ("on", Some(false)), ("leaf", Some(true))])?;
            arguments.set_once(&mut conf.status.of_first, scope)
        },
    ),
    entry(
        "ssl_ocsp_responder",
        ONE,
        "that of the certificate",
        "url: who is asked about clients' certificates",
        |conf, arguments| set_path(&mut conf.status.responder, arguments),
    ),
    entry("ssl_ocsp_cache", ONE, "off", "off|shared:name:size: where answers are kept", |conf, arguments| {
        let zone = status::read_zone(arguments)?;
        arguments.set_once(&mut conf.status.cache, zone)
    }),
    entry("ssl_crl", ONE, "none", "file: lists of revoked certificates", |conf, arguments| {
        set_path(&mut conf.revocation_lists, arguments)
    }),
];

/// Settings of one server. An unset field is inherited from `http`.
#[derive(Default)]
pub struct Tls {
    certificates: Option<Vec<Written>>,
    certificate_keys: Option<Vec<Written>>,
    certificate_cache: Option<Option<CacheSetting>>,
    password_file: Option<Place>,
    offer: OfferChoice,
    dhparam: Option<Place>,
    record_octets: Option<usize>,
    early_data: Option<bool>,
    rejects_handshake: Option<bool>,
    compresses_certificates: Option<bool>,
    session_cache: Option<CacheChoice>,
    session_timeout: Option<Duration>,
    session_tickets: Option<bool>,
    ticket_keys: Option<Vec<Place>>,
    verification: Option<Option<ClientVerification>>,
    verify_depth: Option<usize>,
    client_certificate: Option<Place>,
    trusted_certificate: Option<Place>,
    revocation_lists: Option<Place>,
    stapling: StaplingChoice,
    status: StatusChoice,
}

const VERIFICATIONS: &[(&str, Option<ClientVerification>)] = &[
    ("off", None),
    ("on", Some(ClientVerification::On)),
    ("optional", Some(ClientVerification::Optional)),
    ("optional_no_ca", Some(ClientVerification::OptionalNoAuthority)),
];

fn set_path(setting: &mut Option<Place>, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let place = (arguments.text(0)?.to_owned(), arguments.span());
    arguments.set_once(setting, place)
}

fn merge(parent: &Tls, child: &mut Tls) {
    OfferChoice::merge(&parent.offer, &mut child.offer);
    StaplingChoice::merge(&parent.stapling, &mut child.stapling);
    StatusChoice::merge(&parent.status, &mut child.status);
    daemun_server::inherit!(parent, child;
        certificates, certificate_keys, certificate_cache, password_file, dhparam,
        record_octets, early_data, rejects_handshake, compresses_certificates, session_cache, session_timeout, session_tickets,
        ticket_keys, verification, verify_depth, client_certificate, trusted_certificate, revocation_lists);
}

fn finish(conf: &mut Tls, build: &mut Build<'_>) -> Result<(), Diagnostic> {
    if build.context() != Context::SERVER {
        return Ok(());
    }
    let rejects_handshake = conf.rejects_handshake.unwrap_or(false);
    let Some(certificates) = &conf.certificates else {
        // Another server of the same address may show its certificate for this one; what this one asks of clients holds.
        let clients = conf.verification.flatten();
        let clients = clients.map(|verification| Clients { verification, trust: Trust::default(), status: None });
        if rejects_handshake || clients.is_some() {
            build.set_tls(VirtualTls { rejects_handshake, clients, ..VirtualTls::default() });
        }
        return Ok(());
    };
    let written_keys = conf.certificate_keys.as_deref().unwrap_or_default();
    let passwords = certificates::passwords(conf.password_file.as_ref(), build)?;
    let overrides = command::certificate(conf.offer.commands());
    let mut pairs = Pairs::of(certificates, written_keys, passwords, build)?;
    if let Some((certificate, key)) = overrides {
        pairs.add(certificate, key);
    }
    let has_variables = pairs.have_variables();
    let keys = if has_variables { Vec::new() } else { pairs.load(build)? };
    grade::grade(&keys, certificates[0].span, build);
    if conf.stapling.is_on() {
        if conf.compresses_certificates.unwrap_or(false) {
            let text = "\"ssl_stapling\" is incompatible with \"ssl_certificate_compression\"";
            return Err(Diagnostic::error(certificates[0].span, text));
        }
        conf.stapling.begin(&keys, certificates, conf.trusted_certificate.as_ref(), build)?;
    }
    let offer = conf.offer.offer(certificates[0].span)?;
    let clients = conf.clients(build)?;
    let asks_clients = clients.as_ref().map(|(_, names)| names.clone());
    let sessions = SessionSettings::of(conf, certificates[0].span, build)?;
    let settings = ServerTlsSettings {
        offer,
        keys,
        client_authorities: asks_clients,
        record_octets: conf.record_octets.unwrap_or(RECORD_OCTETS),
        sessions: sessions.cache,
        tickets: sessions.tickets,
        session_timeout: sessions.timeout,
        early_data_octets: if conf.early_data.unwrap_or(false) { EARLY_DATA_OCTETS } else { 0 },
        session_context: pairs.context(),
        compresses_certificates: conf.compresses_certificates.unwrap_or(false) && !has_variables,
    };
    let server = ServerTls::new(settings).map_err(|error| Diagnostic::error(certificates[0].span, error))?;
    let cache = conf.certificate_cache.flatten();
    build.set_tls(VirtualTls {
        server: Some(server),
        rejects_handshake,
        keys: has_variables.then(|| pairs.into_source(cache)),
        clients: clients.map(|(clients, _)| clients),
    });
    Ok(())
}

/// Whom to believe, and the names, encoded, of authorities that clients are told.
type Asked = (Clients, Vec<Vec<u8>>);

impl Tls {
    fn clients(&self, build: &mut Build<'_>) -> Result<Option<Asked>, Diagnostic> {
        let Some(verification) = self.verification.flatten() else { return Ok(None) };
        let places = [&self.client_certificate, &self.trusted_certificate];
        if verification != ClientVerification::OptionalNoAuthority && places.iter().all(|place| place.is_none()) {
            let text = "no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client";
            return Err(Diagnostic::error_without_place(text));
        }
        let [told, untold] = places.map(|place| match place {
            Some(place) => certificates::authorities(place, build),
            None => Ok(Vec::new()),
        });
        let told = told?;
        let mut names: Vec<_> = told.iter().map(|one| one.subject().to_vec()).collect();
        names.sort();
        names.dedup();
        let mut trust = Trust { depth: self.verify_depth.unwrap_or(1), ..Trust::default() };
        trust.anchors = told.into_iter().chain(untold?).collect();
        if let Some(place) = &self.revocation_lists {
            trust.revoked = certificates::revoked(place, build)?;
        }
        let status = self.status.finish(verification, build)?;
        Ok(Some((Clients { verification, trust, status }, names)))
    }
}

/// Shared by what is kept for sessions.
type Shared<T> = Option<Arc<T>>;

/// As nginx: a record of the largest size.
const RECORD_OCTETS: usize = 16 * 1024;

/// As OpenSSL: what a client may send before the handshake is done.
const EARLY_DATA_OCTETS: u32 = 16 * 1024;
