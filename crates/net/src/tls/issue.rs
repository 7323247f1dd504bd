//! Certificates of our own making, for development: a local authority, and what it issues.
//!
//! # Source
//! RFC 5280 §4; keys are P-256, signatures ECDSA with SHA-256 (RFC 5758).

use std::net::IpAddr;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use super::certificate::{COMMON_NAME, Certificate};
use super::der::{encode, tag, utc_time};
use super::pem;

/// A certificate and its key, as PEM texts.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key, PKCS#8.
    pub key: String,
}

/// Whoever signs.
pub struct Authority {
    certificate: Certificate,
    pair: EcdsaKeyPair,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The system gives no randomness, or a computation failed.
    #[error("no key could be made")]
    Key,
    /// The texts are no authority of ours.
    #[error("these are not the certificate and the key of a local authority")]
    Authority,
}

/// What a certificate is to say.
struct Contents<'a> {
    name: &'a str,
    names: &'a [String],
    is_authority: bool,
    not_before: i64,
    not_after: i64,
}

impl Authority {
    /// Makes an authority called `name`, valid for ten years. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn create(name: &str, now: i64) -> Result<Issued, IssueError> {
        let (pair, key) = new_pair()?;
        let contents = Contents {
            name,
            names: &[],
            is_authority: true,
            not_before: now - DAY,
            not_after: now + AUTHORITY_DAYS * DAY,
        };
        let issuer = distinguished_name(name);
        certificate(&contents, &pair, &issuer, &pair).map(|certificate| Issued { certificate, key })
    }

    /// Reads the texts that [`Authority::create`] has made.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Self, IssueError> {
        let certificate = super::certificates(certificate).and_then(|list| list.into_iter().next());
        let key = pem::blocks(key).and_then(|list| list.into_iter().next()).ok_or(IssueError::Authority)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.octets).ok();
        match (certificate, pair) {
            (Some(certificate), Some(pair)) if certificate.extensions.is_authority == Some(true) => {
                Ok(Self { certificate, pair })
            }
            _ => Err(IssueError::Authority),
        }
    }

    /// Issues a certificate for `names`, hosts and addresses, the first of which it is called by.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(&self, names: &[String], now: i64) -> Result<Issued, IssueError> {
        let (pair, key) = new_pair()?;
        let contents = Contents {
            name: names.first().map_or("localhost", String::as_str),
            names,
            is_authority: false,
            not_before: now - DAY,
            not_after: (now + ISSUED_DAYS * DAY).min(self.certificate.not_after),
        };
        let certificate = certificate(&contents, &pair, self.certificate.subject(), &self.pair)?;
        Ok(Issued { certificate, key })
    }
}

fn new_pair() -> Result<(EcdsaKeyPair, String), IssueError> {
    let random = SystemRandom::new();
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(|_| IssueError::Key)?;
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref()).map_err(|_| IssueError::Key)?;
    Ok((pair, pem::encode("PRIVATE KEY", document.as_ref())))
}

fn certificate(
    contents: &Contents<'_>,
    own: &EcdsaKeyPair,
    issuer: &[u8],
    signer: &EcdsaKeyPair,
) -> Result<String, IssueError> {
    let mut serial = [0; 16];
    rand::fill(&mut serial).map_err(|_| IssueError::Key)?;
    serial[0] = serial[0] & 0x7f | 0x40; // Positive, and of full length.
    let algorithm = encode(tag::SEQUENCE, &[&encode(tag::OBJECT_IDENTIFIER, &[ECDSA_WITH_SHA256])]);
    let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = own.public_key().as_der().map_err(|_| IssueError::Key)?;
    let validity = encode(tag::SEQUENCE, &[&utc_time(contents.not_before), &utc_time(contents.not_after)]);
    let signed = encode(
        tag::SEQUENCE,
        &[
            &encode(tag::context(0), &[&encode(tag::INTEGER, &[&[2]])]),
            &encode(tag::INTEGER, &[&serial]),
            &algorithm,
            issuer,
            &validity,
            &distinguished_name(contents.name),
            public.as_ref(),
            &encode(tag::context(3), &[&contents.extensions(own, signer)]),
        ],
    );
    let signature = signer.sign(&SystemRandom::new(), &signed).map_err(|_| IssueError::Key)?;
    let whole = encode(tag::SEQUENCE, &[&signed, &algorithm, &encode(tag::BIT_STRING, &[&[0], signature.as_ref()])]);
    Ok(pem::encode("CERTIFICATE", &whole))
}

impl Contents<'_> {
    fn extensions(&self, own: &EcdsaKeyPair, signer: &EcdsaKeyPair) -> Vec<u8> {
        let authority: &[u8] = if self.is_authority { &[tag::BOOLEAN, 1, 0xff] } else { &[] };
        let mut list = vec![
            extension(19, true, &encode(tag::SEQUENCE, &[authority])),
            // keyCertSign and cRLSign, or digitalSignature.
            extension(15, true, &encode(tag::BIT_STRING, &[if self.is_authority { &[1, 0x06] } else { &[7, 0x80] }])),
            extension(14, false, &encode(tag::OCTET_STRING, &[&identifier_of(own)])),
            extension(
                35,
                false,
                &encode(tag::SEQUENCE, &[&encode(tag::context_primitive(0), &[&identifier_of(signer)])]),
            ),
        ];
        if !self.names.is_empty() {
            let names: Vec<u8> = self.names.iter().flat_map(|name| general_name(name)).collect();
            list.push(extension(17, false, &encode(tag::SEQUENCE, &[&names])));
            list.push(extension(
                37,
                false,
                &encode(tag::SEQUENCE, &[&encode(tag::OBJECT_IDENTIFIER, &[SERVER_AUTHENTICATION])]),
            ));
        }
        encode(tag::SEQUENCE, &[&list.concat()])
    }
}

/// An extension of id-ce.
fn extension(number: u8, is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if is_critical { &[tag::BOOLEAN, 1, 0xff] } else { &[] };
    let identifier = encode(tag::OBJECT_IDENTIFIER, &[&[0x55, 0x1d, number]]);
    encode(tag::SEQUENCE, &[&identifier, critical, &encode(tag::OCTET_STRING, &[value])])
}

fn general_name(name: &str) -> Vec<u8> {
    match name.parse() {
        Ok(IpAddr::V4(address)) => encode(tag::context_primitive(7), &[&address.octets()]),
        Ok(IpAddr::V6(address)) => encode(tag::context_primitive(7), &[&address.octets()]),
        Err(_) => encode(tag::context_primitive(2), &[name.as_bytes()]),
    }
}

/// A short number of a key.
fn identifier_of(pair: &EcdsaKeyPair) -> Vec<u8> {
    let digest = digest::digest(&digest::SHA256, pair.public_key().as_ref());
    digest.as_ref().get(..20).unwrap_or_default().to_vec()
}

fn distinguished_name(name: &str) -> Vec<u8> {
    let pair = [encode(tag::OBJECT_IDENTIFIER, &[COMMON_NAME]), encode(tag::UTF8_STRING, &[name.as_bytes()])].concat();
    encode(tag::SEQUENCE, &[&encode(tag::SET, &[&encode(tag::SEQUENCE, &[&pair])])])
}

const DAY: i64 = 86_400;
const AUTHORITY_DAYS: i64 = 3_650;
/// Browsers take no longer for a certificate.
const ISSUED_DAYS: i64 = 397;
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const SERVER_AUTHENTICATION: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{CertifiedKey, Purpose, Trust, certificates, is_for_host};

    #[test]
    fn what_is_issued_is_believed() {
        let now = 1_800_000_000;
        let made = Authority::create("a local authority", now).expect("an authority");
        let authority = Authority::read(made.certificate.as_bytes(), made.key.as_bytes()).expect("it is read");
        let names = ["site.test".to_owned(), "127.0.0.1".to_owned()];
        let issued = authority.issue(&names, now).expect("a certificate");
        let key = CertifiedKey::new(issued.certificate.as_bytes(), issued.key.as_bytes(), &[]).expect("a pair");
        let anchors = certificates(made.certificate.as_bytes()).expect("certificates");
        let trust = Trust { anchors, depth: 1, ..Trust::default() };
        assert_eq!(trust.verify(key.chain(), Purpose::Server, now), Ok(()));
        assert!(trust.verify(key.chain(), Purpose::Server, now + 400 * DAY).is_err());
        assert!(trust.verify(key.chain(), Purpose::Client, now).is_err());
        let first = &key.chain()[0];
        assert!(is_for_host(first, "site.test") && is_for_host(first, "127.0.0.1") && !is_for_host(first, "x.test"));
    }
}
