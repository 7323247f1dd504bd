//! Whether a certificate is to be believed: a chain from it to an authority that is trusted.
//!
//! Decided as OpenSSL does, since its users have certificates that stricter readers refuse (of version 1, an authority's own), and its
//! words are what `$ssl_client_verify` tells. Stricter than OpenSSL in one respect: an authority with name constraints is refused
//! like any critical extension that is not known.
//!
//! # Source
//! RFC 5280 §6; `X509_verify_cert` of OpenSSL for errors and their order.

use std::net::IpAddr;

use super::certificate::Certificate;
use super::limits::CHAIN_CERTIFICATES_MAX;
use super::peer_signature::{ALGORITHMS, is_signed_by};
use super::revocation::RevocationList;

/// Whom to believe.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The authorities.
    pub anchors: Vec<Certificate>,
    /// Lists of what was revoked; with one of them, every certificate of a chain must be covered.
    pub revoked: Vec<RevocationList>,
    /// How many certificates may stand between the peer's and the authority's.
    pub depth: usize,
}

/// What the holder of a certificate wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client of ours.
    Client,
    /// A server of ours.
    Server,
    /// Somebody who signs OCSP answers.
    OcspSigner,
}

/// Why a certificate is not believed, in OpenSSL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The chain ends before a root, though an authority is trusted.
    #[error("unable to get issuer certificate")]
    IssuerMissing,
    /// There is no list of what its issuer has revoked.
    #[error("unable to get certificate CRL")]
    RevocationListMissing,
    /// A signature is wrong.
    #[error("certificate signature failure")]
    Signature,
    /// The time from which it is valid has not come.
    #[error("certificate is not yet valid")]
    NotYetValid,
    /// The time up to which it was valid has passed.
    #[error("certificate has expired")]
    Expired,
    /// The list of revoked certificates is too old.
    #[error("CRL has expired")]
    RevocationListExpired,
    /// It is its own issuer, and not trusted.
    #[error("self-signed certificate")]
    SelfSigned,
    /// The chain ends in a root that is not trusted.
    #[error("self-signed certificate in certificate chain")]
    SelfSignedInChain,
    /// The issuer of the last certificate is not known.
    #[error("unable to get local issuer certificate")]
    IssuerUnknown,
    /// The issuer of the only certificate is not known.
    #[error("unable to verify the first certificate")]
    FirstUnverified,
    /// There are too many certificates in between.
    #[error("certificate chain too long")]
    TooLong,
    /// Its issuer has revoked it.
    #[error("certificate revoked")]
    Revoked,
    /// An issuer is no authority.
    #[error("invalid CA certificate")]
    NoAuthority,
    /// An authority may not have so many below it.
    #[error("path length constraint exceeded")]
    PathLength,
    /// It is not for this purpose.
    #[error("unsuitable certificate purpose")]
    Purpose,
    /// Its status could not be had.
    #[error("certificate status request failed")]
    StatusUnknown,
    /// An extension that must be obeyed is not known here.
    #[error("unhandled critical extension")]
    CriticalExtension,
}

impl VerifyError {
    /// Whether the authority is the reason, which `optional_no_ca` leaves to others.
    #[must_use]
    pub fn is_about_trust(self) -> bool {
        matches!(self, Self::SelfSigned | Self::SelfSignedInChain | Self::IssuerUnknown | Self::FirstUnverified)
    }

    /// OpenSSL's number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::IssuerMissing => 2,
            Self::RevocationListMissing => 3,
            Self::Signature => 7,
            Self::NotYetValid => 9,
            Self::Expired => 10,
            Self::RevocationListExpired => 12,
            Self::SelfSigned => 18,
            Self::SelfSignedInChain => 19,
            Self::IssuerUnknown => 20,
            Self::FirstUnverified => 21,
            Self::TooLong => 22,
            Self::Revoked => 23,
            Self::NoAuthority => 24,
            Self::PathLength => 25,
            Self::Purpose => 26,
            Self::CriticalExtension => 34,
            Self::StatusUnknown => 50,
        }
    }
}

impl Trust {
    /// Judges the first certificate of `chain`; the others may help. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// See [`VerifyError`]. As OpenSSL under nginx, of several things that are wrong the last is told: from the first certificate to
    /// the root, but for signatures and times, which are looked at the other way.
    pub fn verify(&self, chain: &[Certificate], purpose: Purpose, now: i64) -> Result<(), VerifyError> {
        let (first, others) = chain.split_first().ok_or(VerifyError::FirstUnverified)?;
        let path = self.path(first, others)?;
        let mut result = check_purposes(&path, purpose).and(check_path_lengths(&path));
        if !self.revoked.is_empty() {
            path.iter().enumerate().for_each(|(at, one)| {
                later(&mut result, self.check_revocation(one, path.get(at + 1).unwrap_or(one), now));
            });
        }
        for (at, certificate) in path.iter().enumerate().rev() {
            if path.get(at + 1).is_some_and(|issuer| !is_issued_by(certificate, issuer)) {
                return Err(VerifyError::Signature);
            }
            later(&mut result, check_time(certificate, now));
        }
        result
    }

    /// The certificates from the first of `chain` to a root that is trusted; none where there is no way.
    #[must_use]
    pub fn path_of(&self, chain: &[Certificate]) -> Vec<Certificate> {
        let path = chain.split_first().and_then(|(first, others)| self.path(first, others).ok());
        path.unwrap_or_default().into_iter().cloned().collect()
    }

    /// The certificates from `first` to a root that is trusted.
    fn path<'a>(
        &'a self,
        first: &'a Certificate,
        others: &'a [Certificate],
    ) -> Result<Vec<&'a Certificate>, VerifyError> {
        let mut path = vec![first];
        loop {
            let last = path[path.len() - 1];
            let is_first = path.len() == 1;
            if last.is_self_issued() && is_issued_by(last, last) {
                return match self.anchors.iter().any(|anchor| anchor.der() == last.der()) {
                    true => Ok(path),
                    false if is_first => Err(VerifyError::SelfSigned),
                    false => Err(VerifyError::SelfSignedInChain),
                };
            }
            let is_issuer = |other: &&Certificate| other.subject() == last.issuer() && !path.contains(other);
            let anchor = self.anchors.iter().filter(is_issuer).find(|anchor| is_issued_by(last, anchor));
            let anchor = anchor.or_else(|| self.anchors.iter().find(is_issuer));
            let is_trusted = anchor.is_some();
            let next = anchor.or_else(|| others.iter().filter(is_issuer).find(|one| is_issued_by(last, one)));
            let is_root = next.is_some_and(|next| is_trusted && next.is_self_issued());
            match next {
                // Neither the first nor the root counts.
                Some(_) if !is_root && path.len() > self.depth.min(CHAIN_CERTIFICATES_MAX) => {
                    return Err(VerifyError::TooLong);
                }
                Some(next) => path.push(next),
                None if self.anchors.contains(last) => return Err(VerifyError::IssuerMissing),
                None if is_first => return Err(VerifyError::FirstUnverified),
                None => return Err(VerifyError::IssuerUnknown),
            }
        }
    }

    fn check_revocation(&self, certificate: &Certificate, issuer: &Certificate, now: i64) -> Result<(), VerifyError> {
        let mut lists = self.revoked.iter().filter(|list| list.issuer() == certificate.issuer());
        let list = lists.find(|list| is_signed_by(issuer, ALGORITHMS.all, list.signed(), list.signature()));
        let list = list.ok_or(VerifyError::RevocationListMissing)?;
        if list.has(certificate.serial()) {
            return Err(VerifyError::Revoked);
        }
        if list.next_update.is_some_and(|next| next < now) {
            return Err(VerifyError::RevocationListExpired);
        }
        Ok(())
    }
}

/// Keeps the later of two errors.
fn later(result: &mut Result<(), VerifyError>, next: Result<(), VerifyError>) {
    if next.is_err() {
        *result = next;
    }
}

/// Whether the issuer's key has signed it.
pub(super) fn is_issued_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let algorithm = certificate.signature_algorithm();
    let fitting: Vec<_> =
        ALGORITHMS.all.iter().copied().filter(|one| one.signature_alg_id().as_ref() == algorithm).collect();
    is_signed_by(issuer, &fitting, certificate.signed(), certificate.signature())
}

fn check_time(certificate: &Certificate, now: i64) -> Result<(), VerifyError> {
    match now {
        now if now < certificate.not_before => Err(VerifyError::NotYetValid),
        now if now > certificate.not_after => Err(VerifyError::Expired),
        _ => Ok(()),
    }
}

fn check_purposes(path: &[&Certificate], purpose: Purpose) -> Result<(), VerifyError> {
    for (at, certificate) in path.iter().enumerate() {
        let extensions = &certificate.extensions;
        if extensions.unknown_critical.is_some() {
            return Err(VerifyError::CriticalExtension);
        }
        if at > 0 && !is_authority(certificate) {
            return Err(VerifyError::NoAuthority);
        }
        let purposes = extensions.purposes.as_ref();
        let is_named = purposes.is_none_or(|list| list.iter().any(|one| purpose.is_named_by(one)));
        let usage = extensions.key_usage.filter(|_| at == 0);
        if !is_named || usage.is_some_and(|usage| usage & purpose.key_usage() == 0) {
            return Err(VerifyError::Purpose);
        }
    }
    Ok(())
}

/// Whether a certificate may issue others.
fn is_authority(certificate: &Certificate) -> bool {
    let extensions = &certificate.extensions;
    let may_sign = extensions.key_usage.is_none_or(|usage| usage & KEY_CERTIFICATE_SIGNATURE != 0);
    let says_so = match extensions.is_authority {
        Some(says_so) => says_so,
        // Before version 3 there was no way to say it.
        None if !extensions.is_present => certificate.is_self_issued(),
        None => extensions.key_usage.is_some(),
    };
    says_so && may_sign
}

fn check_path_lengths(path: &[&Certificate]) -> Result<(), VerifyError> {
    let mut below = 0;
    for certificate in path.iter().skip(1) {
        if certificate.extensions.path_length_max.is_some_and(|most| below > most) {
            return Err(VerifyError::PathLength);
        }
        below += u64::from(!certificate.is_self_issued());
    }
    Ok(())
}

impl Purpose {
    /// Whether this purpose of extKeyUsage is it, or any.
    pub(super) fn is_named_by(self, purpose: &[u8]) -> bool {
        const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
        let last = match self {
            Self::Server => 1,
            Self::Client => 2,
            Self::OcspSigner => 9,
        };
        purpose == ANY || purpose == [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, last]
    }

    /// The usages of a key of which one is needed.
    fn key_usage(self) -> u16 {
        match self {
            Self::Server => DIGITAL_SIGNATURE | KEY_ENCIPHERMENT | KEY_AGREEMENT,
            Self::Client => DIGITAL_SIGNATURE | KEY_AGREEMENT,
            Self::OcspSigner => DIGITAL_SIGNATURE,
        }
    }
}

/// Whether the certificate is for this host: by its alternative names, and where it has none of hosts, by its common name.
///
/// # Source
/// RFC 6125 §6.4; `X509_check_host` of OpenSSL.
#[must_use]
pub fn is_for_host(certificate: &Certificate, host: &str) -> bool {
    let extensions = &certificate.extensions;
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        if extensions.addresses.contains(&octets) {
            return true;
        }
    }
    let host = host.trim_end_matches('.');
    if extensions.dns_names.is_empty() {
        return certificate.common_names().iter().any(|name| is_match(name, host));
    }
    extensions.dns_names.iter().any(|name| is_match(name, host))
}

/// A `*` stands for one label, the first, or a part of it, with at least two labels behind.
fn is_match(pattern: &[u8], host: &str) -> bool {
    let Ok(pattern) = std::str::from_utf8(pattern) else { return false };
    if pattern.eq_ignore_ascii_case(host) {
        return !host.is_empty();
    }
    let (Some((label, rest)), Some((first, others))) = (pattern.split_once('.'), host.split_once('.')) else {
        return false;
    };
    let Some((front, back)) = label.split_once('*') else { return false };
    let is_fit = first.len() > front.len() + back.len()
        && first.get(..front.len()).is_some_and(|start| start.eq_ignore_ascii_case(front))
        && first.get(first.len() - back.len()..).is_some_and(|end| end.eq_ignore_ascii_case(back));
    is_fit && rest.contains('.') && rest.eq_ignore_ascii_case(others) && !label.starts_with("xn--")
}

const DIGITAL_SIGNATURE: u16 = 0x8000;
const KEY_ENCIPHERMENT: u16 = 0x2000;
const KEY_AGREEMENT: u16 = 0x0800;
const KEY_CERTIFICATE_SIGNATURE: u16 = 0x0400;

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn names_of_hosts() {
        for (pattern, host, expected) in [
            ("example.com", "EXAMPLE.com", true),
            ("*.example.com", "www.example.com", true),
            ("w*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.com", "example.com", false),
            ("www.*.com", "www.example.com", false),
            ("", "", false),
        ] {
            assert_eq!(is_match(pattern.as_bytes(), host), expected, "{pattern} {host}");
        }
    }
}
