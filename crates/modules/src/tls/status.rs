//! `ssl_stapling` and `ssl_ocsp`: the status of our own certificates is shown, that of clients' is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Diagnostic, Span, parse_size};
use daemun_net::tls::{Certificate, CertifiedKey};
use daemun_server::config::Build;
use daemun_server::tls::ClientVerification;
use daemun_server::tls::certificates::{self, Place, Written};
use daemun_server::tls::status::{Responder, Stapling, StatusCache, StatusCheck};
use daemun_server::zone::ZoneName;

/// `ssl_stapling` and its neighbours.
#[derive(Default)]
pub(super) struct StaplingChoice {
    pub(super) is_on: Option<bool>,
    pub(super) file: Option<Place>,
    pub(super) responder: Option<Place>,
    pub(super) verifies: Option<bool>,
}

impl StaplingChoice {
    pub(super) fn merge(parent: &Self, child: &mut Self) {
        daemun_server::inherit!(parent, child; is_on, file, responder, verifies);
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on.unwrap_or(false)
    }

    /// Has statuses be had for `keys`, whose certificates `written` names. Those for which there is nobody to ask are told.
    pub(super) fn begin(
        &self,
        keys: &[CertifiedKey],
        written: &[Written],
        trusted: Option<&Place>,
        build: &mut Build<'_>,
    ) -> Result<(), Diagnostic> {
        if let Some(place) = &self.file {
            let answer = certificates::read(place, build)?;
            keys.iter().for_each(|key| key.staple(Some(answer.clone())));
            return Ok(());
        }
        let trusted = match trusted {
            Some(place) => certificates::authorities(place, build)?,
            None => Vec::new(),
        };
        for key in keys {
            match self.stapling(key, &trusted) {
                Ok(stapling) => build.run_beside(Arc::new(stapling)),
                Err(reason) => {
                    let span = written.first().map(|one| one.span);
                    let text = format!("\"ssl_stapling\" ignored, {reason}");
                    build.warn(span.map_or_else(
                        || Diagnostic::error_without_place(text.clone()).with_severity(daemun_conf::Severity::Warning),
                        |span| Diagnostic::warning(span, text.clone()),
                    ));
                }
            }
        }
        Ok(())
    }

    fn stapling(&self, key: &CertifiedKey, trusted: &[Certificate]) -> Result<Stapling, String> {
        let (first, others) = key.chain().split_first().ok_or("there is no certificate")?;
        let issuer = others.iter().chain(trusted).find(|one| one.subject() == first.issuer()).cloned();
        let issuer = issuer.ok_or("issuer certificate not found")?;
        let url = match &self.responder {
            Some((url, _)) => url,
            None => first.extensions.responders.first().ok_or("no OCSP responder URL in the certificate")?,
        };
        let responder = Responder::parse(url, true)?;
        Ok(Stapling { key: key.clone(), issuer, responder, verifies: self.verifies.unwrap_or(false) })
    }
}

/// `ssl_ocsp` and its neighbours.
#[derive(Default)]
pub(super) struct StatusChoice {
    /// `Some(Some(true))` is `leaf`.
    pub(super) of_first: Option<Option<bool>>,
    pub(super) responder: Option<Place>,
    pub(super) cache: Option<Option<CacheZone>>,
}

/// Name, octets, and where it is written.
pub(super) type CacheZone = (String, u64, Span);

/// Reads `ssl_ocsp_cache`.
pub(super) fn read_zone(arguments: &Arguments<'_>) -> Result<Option<CacheZone>, ArgumentError> {
    let text = arguments.text(0)?;
    if text == "off" {
        return Ok(None);
    }
    let invalid = || ArgumentError::new(Some(0), format!("invalid OCSP cache \"{text}\""));
    let (name, size) = text.strip_prefix("shared:").and_then(|zone| zone.split_once(':')).ok_or_else(invalid)?;
    let size = parse_size(size).filter(|_| !name.is_empty()).ok_or_else(invalid)?;
    Ok(Some((name.to_owned(), size, arguments.span())))
}

/// The caches of the configuration that is being built.
#[derive(Clone, Default)]
struct Caches(HashMap<String, Arc<StatusCache>>);

impl StatusChoice {
    pub(super) fn merge(parent: &Self, child: &mut Self) {
        daemun_server::inherit!(parent, child; of_first, responder, cache);
    }

    pub(super) fn finish(
        &self,
        verification: ClientVerification,
        build: &mut Build<'_>,
    ) -> Result<Option<StatusCheck>, Diagnostic> {
        let Some(is_of_first) = self.of_first.flatten() else { return Ok(None) };
        if verification == ClientVerification::OptionalNoAuthority {
            let text = "\"ssl_ocsp\" is incompatible with \"ssl_verify_client optional_no_ca\"";
            return Err(Diagnostic::error_without_place(text));
        }
        let responder = match &self.responder {
            Some((url, span)) => Some(Responder::parse(url, true).map_err(|text| Diagnostic::error(*span, text))?),
            None => None,
        };
        let cache = match self.cache.iter().flatten().next() {
            Some((name, octets, span)) => {
                let mut caches = build.published::<Caches>().cloned().unwrap_or_default();
                match caches.0.get(name) {
                    Some(cache) => Some(Arc::clone(cache)),
                    None => {
                        let zone = ZoneName { name, owner: "ssl_ocsp_cache", octets: *octets, span: *span };
                        let cache = build.zone(&zone, StatusCache::default)?;
                        caches.0.insert(name.clone(), Arc::clone(&cache));
                        build.publish(caches);
                        Some(cache)
                    }
                }
            }
            None => None,
        };
        Ok(Some(StatusCheck { is_of_first, responder, cache }))
    }
}
