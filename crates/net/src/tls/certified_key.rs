//! A certificate chain with its key, as servers and clients show it.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use rustls::sign;

use super::certificate::{Certificate, certificates};
use super::private_key::{PrivateKeyError, is_encrypted, private_key};

/// A chain, end entity first, and the private key of its first certificate.
#[derive(Clone, Debug)]
pub struct CertifiedKey {
    pub(super) inner: Arc<sign::CertifiedKey>,
    chain: Arc<[Certificate]>,
    was_encrypted: bool,
    /// The same with a status stapled to it.
    stapled: Arc<Mutex<Option<Arc<sign::CertifiedKey>>>>,
}

/// Why a chain and a key are not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertifiedKeyError {
    /// The text has no certificate, or a broken one.
    #[error("PEM_read_bio_X509_AUX() failed (no start line)")]
    Certificate,
    /// There is no key.
    #[error("PEM_read_bio_PrivateKey() failed ({0})")]
    Key(#[from] PrivateKeyError),
    /// The key is another certificate's.
    #[error("key values mismatch")]
    Mismatch,
}

impl CertifiedKey {
    /// Reads both from PEM texts.
    ///
    /// # Errors
    /// See [`CertifiedKeyError`].
    pub fn new(certificate_text: &[u8], key_text: &[u8], passwords: &[Vec<u8>]) -> Result<Self, CertifiedKeyError> {
        let chain = certificates(certificate_text).filter(|chain| !chain.is_empty());
        let chain: Arc<[Certificate]> = chain.ok_or(CertifiedKeyError::Certificate)?.into();
        let key = private_key(key_text, passwords)?;
        let is_other =
            key.public_key().is_some_and(|public| chain.first().is_some_and(|one| one.public_key_info() != &*public));
        if is_other {
            return Err(CertifiedKeyError::Mismatch);
        }
        let was_encrypted = is_encrypted(key_text);
        let encoded = chain.iter().map(|one| CertificateDer::from(one.der().to_vec())).collect();
        Ok(Self {
            inner: Arc::new(sign::CertifiedKey::new(encoded, key)),
            chain,
            was_encrypted,
            stapled: Arc::default(),
        })
    }

    /// Whether both have a key of the same kind, of which a server has one.
    #[must_use]
    pub fn is_same_kind(&self, other: &Self) -> bool {
        self.inner.key.algorithm() == other.inner.key.algorithm()
    }

    /// Has this status, an answer of a responder, be shown with the certificate wherever it is in use; or none.
    pub fn staple(&self, answer: Option<Vec<u8>>) {
        let stapled = answer.map(|answer| {
            Arc::new(sign::CertifiedKey { ocsp: Some(answer), ..sign::CertifiedKey::clone(&self.inner) })
        });
        *self.stapled.lock().unwrap_or_else(PoisonError::into_inner) = stapled;
    }

    /// What is shown now.
    pub(super) fn shown(&self) -> Arc<sign::CertifiedKey> {
        let stapled = self.stapled.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stapled.as_ref().unwrap_or(&self.inner))
    }

    /// Whether the key's text was encrypted: it is not to be kept for those who do not know its password.
    #[must_use]
    pub fn was_encrypted(&self) -> bool {
        self.was_encrypted
    }

    /// The certificates, end entity first.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }
}
