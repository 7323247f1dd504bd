//! The status of a certificate, as a responder of its issuer tells it.
//!
//! # Source
//! RFC 6960; RFC 5019 for what a request has.

use aws_lc_rs::digest;

use super::certificate::Certificate;
use super::chain::{Purpose, is_issued_by};
use super::der::{Der, Value, encode, tag, time_of};
use super::peer_signature::{ALGORITHMS, is_signed_by};

/// What a responder says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    /// It is not revoked.
    Good,
    /// It is.
    Revoked,
    /// The responder does not know it.
    Unknown,
}

/// An answer that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusAnswer {
    /// What it says.
    pub status: CertificateStatus,
    /// Seconds since 1970 by when there is a newer one.
    pub next_update: Option<i64>,
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// It is no answer, or none that can be read.
    #[error("d2i_OCSP_RESPONSE() failed")]
    Malformed,
    /// The responder refuses.
    #[error("OCSP response not successful ({0})")]
    Refused(u8),
    /// It is not about the certificate.
    #[error("certificate status not found in the OCSP response")]
    OfAnother,
    /// Nobody who may has signed it.
    #[error("OCSP_basic_verify() failed")]
    Signature,
    /// It is of another time.
    #[error("OCSP_check_validity() failed")]
    Time,
}

/// A certificate and who has issued it.
#[derive(Clone, Copy, Debug)]
pub struct StatusQuestion<'a> {
    /// Whose status is asked for.
    pub certificate: &'a Certificate,
    /// Its issuer.
    pub issuer: &'a Certificate,
}

impl StatusQuestion<'_> {
    /// The question, encoded.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let request = encode(tag::SEQUENCE, &[&self.identifier()?]);
        let list = encode(tag::SEQUENCE, &[&request]);
        Some(encode(tag::SEQUENCE, &[&encode(tag::SEQUENCE, &[&list])]))
    }

    fn identifier(&self) -> Option<Vec<u8>> {
        let hash = |octets: &[u8]| {
            let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, octets);
            encode(tag::OCTET_STRING, &[digest.as_ref()])
        };
        let algorithm = encode(tag::SEQUENCE, &[&encode(tag::OBJECT_IDENTIFIER, &[SHA1]), &encode(tag::NULL, &[])]);
        let (_, key) = self.issuer.public_key()?;
        let serial = encode(tag::INTEGER, &[self.certificate.serial()]);
        Some(encode(tag::SEQUENCE, &[&algorithm, &hash(self.certificate.issuer()), &hash(key), &serial]))
    }

    /// Reads an answer. Unless `is_signer_free`, it must be signed by the issuer or whoever that one has named for it. `now` is in
    /// seconds since 1970.
    ///
    /// # Errors
    /// See [`StatusError`].
    pub fn read(&self, answer: &[u8], is_signer_free: bool, now: i64) -> Result<StatusAnswer, StatusError> {
        let basic = basic_answer(answer)?;
        let basic = Basic::read(basic).ok_or(StatusError::Malformed)?;
        if !self.is_signed(&basic, is_signer_free, now) {
            return Err(StatusError::Signature);
        }
        let identifier = self.identifier().ok_or(StatusError::OfAnother)?;
        let wanted =
            Der::new(&identifier).enter(tag::SEQUENCE).map(|parts| parts.skip(1).map(|part| part.content.to_vec()));
        let wanted: Vec<_> = wanted.into_iter().flatten().collect();
        let single = basic.answers.into_iter().find_map(|one| Single::read(one, &wanted));
        let Single { status, this_update, next_update } = single.ok_or(StatusError::OfAnother)?;
        if this_update > now + CLOCKS_DIFFER_SECONDS
            || next_update.is_some_and(|next| next + CLOCKS_DIFFER_SECONDS < now)
        {
            return Err(StatusError::Time);
        }
        Ok(StatusAnswer { status, next_update })
    }

    fn is_signed(&self, basic: &Basic<'_>, is_signer_free: bool, now: i64) -> bool {
        let has_signed = |signer: &Certificate| is_signed_by(signer, ALGORITHMS.all, basic.signed, basic.signature);
        if has_signed(self.issuer) {
            return true;
        }
        let is_named = |signer: &Certificate| {
            let purposes = signer.extensions.purposes.as_deref().unwrap_or_default();
            purposes.iter().any(|one| Purpose::OcspSigner.is_named_by(one))
                && is_issued_by(signer, self.issuer)
                && (signer.not_before..=signer.not_after).contains(&now)
        };
        basic.signers.iter().any(|signer| (is_signer_free || is_named(signer)) && has_signed(signer))
    }
}

/// The part that is signed, where the responder gives one.
fn basic_answer(answer: &[u8]) -> Result<&[u8], StatusError> {
    let mut outer = Der::new(answer).enter(tag::SEQUENCE).ok_or(StatusError::Malformed)?;
    match outer.expect(tag::ENUMERATED).map(|status| status.content) {
        Some([0]) => {}
        Some([status]) => return Err(StatusError::Refused(*status)),
        _ => return Err(StatusError::Malformed),
    }
    let parts = outer.enter(tag::context(0)).and_then(|mut inner| inner.enter(tag::SEQUENCE));
    let mut parts = parts.ok_or(StatusError::Malformed)?;
    let kind = parts.expect(tag::OBJECT_IDENTIFIER).filter(|kind| kind.content == BASIC);
    kind.and_then(|_| parts.expect(tag::OCTET_STRING)).map(|octets| octets.content).ok_or(StatusError::Malformed)
}

struct Basic<'a> {
    signed: &'a [u8],
    signature: &'a [u8],
    signers: Vec<Certificate>,
    answers: Vec<Value<'a>>,
}

impl<'a> Basic<'a> {
    fn read(octets: &'a [u8]) -> Option<Self> {
        let mut outer = Der::new(octets).enter(tag::SEQUENCE)?;
        let signed = outer.expect(tag::SEQUENCE)?;
        outer.expect(tag::SEQUENCE)?;
        let signature = outer.bit_string()?;
        let signers = match outer.optional(tag::context(0)) {
            Some(list) => {
                Der::new(list.content).enter(tag::SEQUENCE)?.filter_map(|one| Certificate::parse(one.whole)).collect()
            }
            None => Vec::new(),
        };
        let mut inner = Der::new(signed.content);
        let _version = inner.optional(tag::context(0));
        let _responder = inner.next_value()?;
        let _produced = inner.expect(tag::GENERALIZED_TIME)?;
        let answers = inner.enter(tag::SEQUENCE)?.collect();
        Some(Self { signed: signed.whole, signature, signers, answers })
    }
}

struct Single {
    status: CertificateStatus,
    this_update: i64,
    next_update: Option<i64>,
}

impl Single {
    /// The answer, if it is about the certificate that these parts of an identifier stand for.
    fn read(value: Value<'_>, wanted: &[Vec<u8>]) -> Option<Self> {
        let mut parts = Der::new(value.content);
        let mut identifier = parts.enter(tag::SEQUENCE)?;
        let algorithm = identifier.enter(tag::SEQUENCE)?.expect(tag::OBJECT_IDENTIFIER)?.content;
        let is_wanted = identifier.map(|part| part.content).eq(wanted.iter().map(Vec::as_slice));
        if algorithm != SHA1 || !is_wanted {
            return None;
        }
        let status = match parts.next_value()?.tag & 0x1f {
            0 => CertificateStatus::Good,
            1 => CertificateStatus::Revoked,
            _ => CertificateStatus::Unknown,
        };
        let this_update = time_of(&parts.expect(tag::GENERALIZED_TIME)?)?;
        let next_update = parts.optional(tag::context(0));
        let next_update = next_update.and_then(|next| time_of(&Der::new(next.content).next_value()?));
        Some(Self { status, this_update, next_update })
    }
}

/// How far the responder's clock may be from ours, as nginx has it.
const CLOCKS_DIFFER_SECONDS: i64 = 300;
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
