//! X.509 certificates: what of one is looked at here.
//!
//! # Source
//! RFC 5280. As with OpenSSL, a certificate of version 1, which has no extensions, is read too.

use std::ops::Range;

use aws_lc_rs::digest;

use super::der::{self, Der, Value, tag};

/// A certificate and where its parts stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    signed: Range<usize>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    public_key_info: Range<usize>,
    signature_algorithm: Range<usize>,
    signature: Range<usize>,
    /// Seconds since 1970 from which on it is valid.
    pub not_before: i64,
    /// Seconds since 1970 up to which it is valid.
    pub not_after: i64,
    /// What its extensions say.
    pub extensions: CertificateExtensions,
}

/// What the extensions of a certificate say, as far as it is obeyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateExtensions {
    /// Whether there are any: version 3.
    pub is_present: bool,
    /// `cA` of basicConstraints; `None` where there are none.
    pub is_authority: Option<bool>,
    /// `pathLenConstraint`.
    pub path_length_max: Option<u64>,
    /// The first nine bits of keyUsage, the first the most significant.
    pub key_usage: Option<u16>,
    /// The purposes of extKeyUsage.
    pub purposes: Option<Vec<Vec<u8>>>,
    /// DNS names of subjectAltName.
    pub dns_names: Vec<Vec<u8>>,
    /// Addresses of subjectAltName, 4 or 16 octets each.
    pub addresses: Vec<Vec<u8>>,
    /// Whether there is a subjectAltName.
    pub has_alternative_names: bool,
    /// OCSP responders of authorityInfoAccess.
    pub responders: Vec<String>,
    /// Whether a stapled answer of a responder is asked for (RFC 7633).
    pub must_staple: bool,
    /// A critical extension that is not known here, dotted.
    pub unknown_critical: Option<String>,
}

impl Certificate {
    /// Reads a certificate; octets behind it are not part of it. `None` where it is none.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let whole = Der::new(octets).expect(tag::SEQUENCE)?;
        let place = |part: &[u8]| {
            let start = part.as_ptr() as usize - octets.as_ptr() as usize;
            start..start + part.len()
        };
        let mut outer = Der::new(whole.content);
        let signed = outer.expect(tag::SEQUENCE)?;
        let algorithm = outer.expect(tag::SEQUENCE)?;
        let signature = outer.bit_string()?;
        let mut inner = Der::new(signed.content);
        let _version = inner.optional(tag::context(0));
        let serial = inner.expect(tag::INTEGER)?;
        inner.expect(tag::SEQUENCE)?;
        let issuer = inner.expect(tag::SEQUENCE)?;
        let mut validity = inner.enter(tag::SEQUENCE)?;
        let subject = inner.expect(tag::SEQUENCE)?;
        let public_key_info = inner.expect(tag::SEQUENCE)?;
        let _issuer_identifier = inner.optional(tag::context_primitive(1));
        let _subject_identifier = inner.optional(tag::context_primitive(2));
        let extensions = match inner.optional(tag::context(3)) {
            Some(extensions) => CertificateExtensions::read(extensions.content)?,
            None => CertificateExtensions::default(),
        };
        Some(Self {
            signed: place(signed.whole),
            serial: place(serial.content),
            issuer: place(issuer.whole),
            subject: place(subject.whole),
            public_key_info: place(public_key_info.whole),
            signature_algorithm: place(algorithm.content),
            signature: place(signature),
            not_before: der::time_of(&validity.next_value()?)?,
            not_after: der::time_of(&validity.next_value()?)?,
            extensions,
            der: whole.whole.to_vec(),
        })
    }

    /// All of it.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What its issuer has signed.
    #[must_use]
    pub fn signed(&self) -> &[u8] {
        &self.der[self.signed.clone()]
    }

    /// Its number, most significant octet first, as INTEGER has it.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.der[self.serial.clone()]
    }

    /// The issuer's name, encoded.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    /// The subject's name, encoded.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.der[self.subject.clone()]
    }

    /// The public key with its algorithm, encoded.
    #[must_use]
    pub fn public_key_info(&self) -> &[u8] {
        &self.der[self.public_key_info.clone()]
    }

    /// The algorithm of the signature, without its outermost tag.
    #[must_use]
    pub fn signature_algorithm(&self) -> &[u8] {
        &self.der[self.signature_algorithm.clone()]
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.der[self.signature.clone()]
    }

    /// The public key's algorithm, without its outermost tag, and the key's bits.
    #[must_use]
    pub fn public_key(&self) -> Option<(&[u8], &[u8])> {
        let mut info = Der::new(self.public_key_info()).enter(tag::SEQUENCE)?;
        let algorithm = info.expect(tag::SEQUENCE)?.content;
        Some((algorithm, info.bit_string()?))
    }

    /// Whether it names itself as its issuer.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject() == self.issuer()
    }

    /// The common names of the subject.
    #[must_use]
    pub fn common_names(&self) -> Vec<&[u8]> {
        let Some(sets) = Der::new(self.subject()).enter(tag::SEQUENCE) else { return Vec::new() };
        fn common_name<'a>(attribute: Value<'a>) -> Option<&'a [u8]> {
            let mut parts = Der::new(attribute.content);
            let is_common_name = parts.expect(tag::OBJECT_IDENTIFIER)?.content == COMMON_NAME;
            parts.next_value().filter(|_| is_common_name).map(|value| value.content)
        }
        sets.flat_map(|set| Der::new(set.content)).filter_map(common_name).collect()
    }
}

impl CertificateExtensions {
    fn read(octets: &[u8]) -> Option<Self> {
        let mut extensions = Self { is_present: true, ..Self::default() };
        for extension in Der::new(octets).enter(tag::SEQUENCE)? {
            let mut parts = Der::new(extension.content);
            let identifier = parts.expect(tag::OBJECT_IDENTIFIER)?.content;
            let is_critical = parts.optional(tag::BOOLEAN).is_some_and(|value| value.content != [0]);
            let value = parts.expect(tag::OCTET_STRING)?.content;
            extensions.note(identifier, is_critical, value)?;
        }
        Some(extensions)
    }

    fn note(&mut self, identifier: &[u8], is_critical: bool, value: &[u8]) -> Option<()> {
        match identifier {
            BASIC_CONSTRAINTS => {
                let mut parts = Der::new(value).enter(tag::SEQUENCE)?;
                let authority = parts.optional(tag::BOOLEAN).is_some_and(|value| value.content != [0]);
                self.is_authority = Some(authority);
                self.path_length_max = parts.number();
            }
            KEY_USAGE => {
                let [_unused, bits @ ..] = Der::new(value).expect(tag::BIT_STRING)?.content else { return None };
                let octet = |at| u16::from(bits.get(at).copied().unwrap_or(0));
                self.key_usage = Some(octet(0) << 8 | octet(1));
            }
            EXTENDED_KEY_USAGE => {
                let purposes = Der::new(value).enter(tag::SEQUENCE)?;
                self.purposes = Some(purposes.map(|purpose| purpose.content.to_vec()).collect());
            }
            SUBJECT_ALTERNATIVE_NAME => {
                self.has_alternative_names = true;
                for name in Der::new(value).enter(tag::SEQUENCE)? {
                    if name.tag == tag::context_primitive(2) {
                        self.dns_names.push(name.content.to_vec());
                    } else if name.tag == tag::context_primitive(7) {
                        self.addresses.push(name.content.to_vec());
                    }
                }
            }
            AUTHORITY_INFORMATION_ACCESS => {
                for description in Der::new(value).enter(tag::SEQUENCE)? {
                    let mut parts = Der::new(description.content);
                    let is_responder = parts.expect(tag::OBJECT_IDENTIFIER)?.content == OCSP;
                    let place = parts.next_value()?;
                    if is_responder && place.tag == tag::context_primitive(6) {
                        self.responders.push(String::from_utf8_lossy(place.content).into_owned());
                    }
                }
            }
            TLS_FEATURE => self.must_staple = true,
            // Policies, and how to find the issuer: they do not change what is decided here.
            CERTIFICATE_POLICIES | SUBJECT_KEY_IDENTIFIER | AUTHORITY_KEY_IDENTIFIER | CRL_DISTRIBUTION_POINTS => {}
            unknown if is_critical => self.unknown_critical = Some(der::dotted(unknown)),
            _ => {}
        }
        Some(())
    }
}

/// The certificates of a PEM text, those with OpenSSL's notes of trust behind them included.
#[must_use]
pub fn certificates(text: &[u8]) -> Option<Vec<Certificate>> {
    let blocks = super::pem::blocks(text)?;
    let is_certificate = |label: &str| matches!(label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE");
    let found = blocks.iter().filter(|block| is_certificate(&block.label));
    found.map(|block| Certificate::parse(&block.octets)).collect()
}

/// Its SHA-1, by which certificates are known; nothing is believed for it.
#[must_use]
pub fn fingerprint(certificate: &Certificate) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.der()).as_ref().to_vec()
}

/// commonName.
pub(super) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 0x20];
const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
const AUTHORITY_INFORMATION_ACCESS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];
const OCSP: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
const TLS_FEATURE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x18];
