//! `ssl_session_cache`, `ssl_session_ticket_key` and their neighbours: what sessions are kept by.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Diagnostic, Span, parse_size};
use daemun_net::tls::{SessionCache, TicketKey, TicketKeys};
use daemun_server::config::Build;
use daemun_server::tls::certificates::{self, Place};
use daemun_server::tls::command;
use daemun_server::zone::ZoneName;

use super::{Shared, Tls};

/// `ssl_session_cache`.
#[derive(Clone, Debug)]
pub(super) struct CacheChoice {
    /// Sessions of a cache of this server's own.
    builtin: Option<u64>,
    /// Name and octets of one that servers share.
    shared: Option<(String, u64)>,
    span: Span,
}

impl CacheChoice {
    pub(super) fn read(arguments: &Arguments<'_>) -> Result<Self, ArgumentError> {
        let mut choice = Self { builtin: None, shared: None, span: arguments.span() };
        for index in 0..arguments.len() {
            let text = arguments.text(index)?;
            let invalid = || ArgumentError::new(Some(index), format!("invalid session cache \"{text}\""));
            match text.split_once(':') {
                None if matches!(text, "off" | "none") => {}
                None if text == "builtin" => choice.builtin = Some(BUILTIN_SESSIONS),
                Some(("builtin", number)) => choice.builtin = Some(number.parse().map_err(|_| invalid())?),
                Some(("shared", zone)) => {
                    let (name, size) = zone.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(invalid)?;
                    let size = parse_size(size).ok_or_else(invalid)?;
                    if size < SHARED_OCTETS_MIN {
                        return Err(ArgumentError::new(Some(index), format!("session cache \"{text}\" is too small")));
                    }
                    choice.shared = Some((name.to_owned(), size));
                }
                _ => return Err(invalid()),
            }
        }
        Ok(choice)
    }
}

/// What a server keeps its sessions by.
pub(super) struct SessionSettings {
    pub(super) cache: Shared<SessionCache>,
    pub(super) tickets: Shared<TicketKeys>,
    pub(super) timeout: Duration,
}

/// What servers share under one name.
struct Zone {
    cache: Arc<SessionCache>,
    tickets: Arc<TicketKeys>,
}

/// The zones of a configuration that is being built.
#[derive(Clone, Default)]
struct SharedZones(HashMap<String, Arc<Zone>>);

impl SessionSettings {
    /// `span` is where the server's certificate is written.
    pub(super) fn of(conf: &Tls, span: Span, build: &mut Build<'_>) -> Result<Self, Diagnostic> {
        let timeout = conf.session_timeout.unwrap_or(TIMEOUT);
        let choice = conf.session_cache.as_ref();
        let shared = match choice.and_then(|choice| Some((choice.shared.as_ref()?, choice.span))) {
            Some(((name, octets), span)) => Some(zone(name, *octets, span, timeout, build)?),
            None => None,
        };
        let builtin = choice.and_then(|choice| choice.builtin).map(|sessions| {
            let octets = usize::try_from(sessions).unwrap_or(usize::MAX).saturating_mul(SESSION_OCTETS);
            Arc::new(SessionCache::new(octets))
        });
        let cache = shared.as_ref().map(|zone| Arc::clone(&zone.cache)).or(builtin);
        // Early data is taken once: only what is kept here can be known not to come again.
        let has_tickets = tickets_wanted(conf) && !conf.early_data.unwrap_or(false);
        let tickets = match &conf.ticket_keys {
            _ if !has_tickets => None,
            Some(places) => Some(Arc::new(TicketKeys::given(ticket_keys(places, build)?))),
            None => match shared {
                Some(zone) => Some(Arc::clone(&zone.tickets)),
                // Shared by all that share nothing else, so that their clients go on under the next configuration.
                None => Some(Arc::clone(&zone("", 0, span, timeout, build)?.tickets)),
            },
        };
        let keeps_for_early = conf.early_data.unwrap_or(false) && cache.is_none();
        let cache = cache.or_else(|| keeps_for_early.then(|| Arc::new(SessionCache::new(EARLY_CACHE_OCTETS))));
        Ok(Self { cache, tickets, timeout })
    }
}

fn ticket_keys(places: &[Place], build: &Build<'_>) -> Result<Vec<TicketKey>, Diagnostic> {
    let load = |place: &Place| {
        let octets = certificates::read(place, build)?;
        TicketKey::from_file(&octets).ok_or_else(|| {
            let path = build.configuration_folder().join(&place.0);
            Diagnostic::error(place.1, format!("\"{}\" must be 48 or 80 bytes", path.display()))
        })
    };
    places.iter().map(load).collect()
}

/// `ssl_conf_command` has the last word.
fn tickets_wanted(conf: &Tls) -> bool {
    let said = command::session_tickets(conf.offer.commands());
    said.or(conf.session_tickets).unwrap_or(true)
}

/// The zone of this name, made where it is first named.
fn zone(
    name: &str,
    octets: u64,
    span: Span,
    timeout: Duration,
    build: &mut Build<'_>,
) -> Result<Arc<Zone>, Diagnostic> {
    let mut zones = build.published::<SharedZones>().cloned().unwrap_or_default();
    if let Some(zone) = zones.0.get(name) {
        return Ok(Arc::clone(zone));
    }
    let make = || Zone {
        cache: Arc::new(SessionCache::new(usize::try_from(octets).unwrap_or(usize::MAX))),
        tickets: Arc::new(TicketKeys::random(timeout)),
    };
    let zone = build.zone(&ZoneName { name, owner: "ssl_session_cache", octets, span }, make)?;
    zones.0.insert(name.to_owned(), Arc::clone(&zone));
    build.publish(zones);
    Ok(zone)
}

/// As nginx.
const TIMEOUT: Duration = Duration::from_secs(300);

/// As OpenSSL.
const BUILTIN_SESSIONS: u64 = 20_480;

/// What a session takes, about.
const SESSION_OCTETS: usize = 512;

/// As nginx: eight pages.
const SHARED_OCTETS_MIN: u64 = 8 * 4_096;

/// For sessions that clients may begin with early data.
const EARLY_CACHE_OCTETS: usize = 1024 * 1024;
