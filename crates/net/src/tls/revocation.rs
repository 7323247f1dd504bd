//! Lists of revoked certificates.
//!
//! # Source
//! RFC 5280 §5.

use std::collections::BTreeSet;
use std::ops::Range;

use super::der::{Der, tag, time_of};
use super::pem;

/// What one issuer has revoked.
#[derive(Clone, Debug)]
pub struct RevocationList {
    der: Vec<u8>,
    signed: Range<usize>,
    issuer: Range<usize>,
    signature: Range<usize>,
    /// Seconds since 1970 by when there is a newer one.
    pub next_update: Option<i64>,
    serials: BTreeSet<Vec<u8>>,
}

impl RevocationList {
    /// The lists of a PEM text. `None` where one is broken.
    #[must_use]
    pub fn all_of(text: &[u8]) -> Option<Vec<Self>> {
        let blocks = pem::blocks(text)?;
        blocks.iter().filter(|block| block.label == "X509 CRL").map(|block| Self::parse(&block.octets)).collect()
    }

    fn parse(octets: &[u8]) -> Option<Self> {
        let whole = Der::new(octets).expect(tag::SEQUENCE)?;
        let place = |part: &[u8]| {
            let start = part.as_ptr() as usize - octets.as_ptr() as usize;
            start..start + part.len()
        };
        let mut outer = Der::new(whole.content);
        let signed = outer.expect(tag::SEQUENCE)?;
        outer.expect(tag::SEQUENCE)?;
        let signature = outer.bit_string()?;
        let mut inner = Der::new(signed.content);
        let _version = inner.optional(tag::INTEGER);
        inner.expect(tag::SEQUENCE)?;
        let issuer = inner.expect(tag::SEQUENCE)?;
        let _this_update = time_of(&inner.next_value()?)?;
        let next_update = inner.optional(tag::UTC_TIME).or_else(|| inner.optional(tag::GENERALIZED_TIME));
        let next_update = next_update.as_ref().and_then(time_of);
        let mut serials = BTreeSet::new();
        for entry in inner.optional(tag::SEQUENCE).into_iter().flat_map(|list| Der::new(list.content)) {
            serials.insert(Der::new(entry.content).expect(tag::INTEGER)?.content.to_vec());
        }
        Some(Self {
            signed: place(signed.whole),
            issuer: place(issuer.whole),
            signature: place(signature),
            next_update,
            serials,
            der: whole.whole.to_vec(),
        })
    }

    /// The issuer's name, encoded.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    pub(super) fn signed(&self) -> &[u8] {
        &self.der[self.signed.clone()]
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.der[self.signature.clone()]
    }

    /// Whether the certificate with this number is revoked.
    #[must_use]
    pub fn has(&self, serial: &[u8]) -> bool {
        self.serials.contains(serial)
    }
}
