//! Private keys as they stand in files: PKCS#8, PKCS#1 and SEC 1, in the clear or encrypted.
//!
//! # Source
//! RFC 5958 (PKCS#8), RFC 8018 (PBES2, PBKDF2), RFC 5915 (SEC 1), RFC 8017 (PKCS#1); OpenSSL's `EVP_BytesToKey` for keys that
//! are encrypted by the lines of RFC 1421.

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::pbkdf2;
use md_5::{Digest, Md5};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::SigningKey;

use super::der::{Der, tag};
use super::limits::KEY_DERIVATION_ROUNDS_MAX;
use super::pem::{self, PemBlock};

/// Why there is no private key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// The text has none.
    #[error("no start line")]
    Missing,
    /// It is encrypted, and no password opens it.
    #[error("bad decrypt")]
    Password,
    /// It is encrypted in a way that is not known here.
    #[error("unsupported encryption \"{0}\"")]
    Encryption(String),
    /// It is no key, or of a kind or size that cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// Whether the first private key of a PEM text is encrypted.
pub fn is_encrypted(text: &[u8]) -> bool {
    let blocks = pem::blocks(text).unwrap_or_default();
    let key = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY"));
    key.is_some_and(|block| block.encryption.is_some() || block.label.starts_with("ENCRYPTED"))
}

/// The first private key of a PEM text. `passwords` are tried in turn where it is encrypted.
///
/// # Errors
/// See [`PrivateKeyError`].
pub fn private_key(text: &[u8], passwords: &[Vec<u8>]) -> Result<Arc<dyn SigningKey>, PrivateKeyError> {
    let blocks = pem::blocks(text).ok_or(PrivateKeyError::Missing)?;
    let is_key = |block: &&PemBlock| block.label.ends_with("PRIVATE KEY");
    let block = blocks.iter().find(is_key).ok_or(PrivateKeyError::Missing)?;
    if block.label == "ENCRYPTED PRIVATE KEY" {
        let plain = of_any(passwords, |password| decrypt_pkcs8(&block.octets, password))?;
        return signing_key("PRIVATE KEY", plain);
    }
    match &block.encryption {
        Some(encryption) => {
            let plain = of_any(passwords, |password| decrypt_traditional(encryption, &block.octets, password))?;
            signing_key(&block.label, plain)
        }
        None => signing_key(&block.label, block.octets.clone()),
    }
}

/// What the first password gives that gives anything.
fn of_any(
    passwords: &[Vec<u8>],
    decrypt: impl Fn(&[u8]) -> Result<Vec<u8>, PrivateKeyError>,
) -> Result<Vec<u8>, PrivateKeyError> {
    let mut result = Err(PrivateKeyError::Password);
    for password in passwords {
        result = decrypt(password);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn signing_key(label: &str, octets: Vec<u8>) -> Result<Arc<dyn SigningKey>, PrivateKeyError> {
    let key = match label {
        "PRIVATE KEY" => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(octets)),
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(octets)),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(octets)),
        label => return Err(PrivateKeyError::Unusable(format!("unsupported key \"{label}\""))),
    };
    any_supported_type(&key).map_err(|error| PrivateKeyError::Unusable(error.to_string()))
}

fn decrypt_pkcs8(octets: &[u8], password: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
    let scheme = Pbes2::read(octets)?;
    let mut key = vec![0; key_length(scheme.cipher)];
    pbkdf2::derive(scheme.hash, scheme.rounds, scheme.salt, password, &mut key);
    decrypt(scheme.cipher, &key, scheme.initialization, scheme.encrypted)
}

/// A key encrypted by PBES2 with PBKDF2 and AES.
struct Pbes2<'a> {
    salt: &'a [u8],
    rounds: NonZeroU32,
    hash: pbkdf2::Algorithm,
    cipher: &'static Algorithm,
    initialization: &'a [u8],
    encrypted: &'a [u8],
}

impl<'a> Pbes2<'a> {
    fn read(octets: &'a [u8]) -> Result<Self, PrivateKeyError> {
        let broken = || PrivateKeyError::Unusable("not enough data".to_owned());
        let unknown = |identifier: &[u8]| PrivateKeyError::Encryption(super::der::dotted(identifier));
        let mut outer = Der::new(octets).enter(tag::SEQUENCE).ok_or_else(broken)?;
        let mut algorithm = outer.enter(tag::SEQUENCE).ok_or_else(broken)?;
        let encrypted = outer.expect(tag::OCTET_STRING).ok_or_else(broken)?.content;
        let identifier = algorithm.expect(tag::OBJECT_IDENTIFIER).ok_or_else(broken)?.content;
        if identifier != PBES2 {
            return Err(unknown(identifier));
        }
        let mut parameters = algorithm.enter(tag::SEQUENCE).ok_or_else(broken)?;
        let mut derivation = parameters.enter(tag::SEQUENCE).ok_or_else(broken)?;
        let mut encryption = parameters.enter(tag::SEQUENCE).ok_or_else(broken)?;
        let identifier = derivation.expect(tag::OBJECT_IDENTIFIER).ok_or_else(broken)?.content;
        if identifier != PBKDF2 {
            return Err(unknown(identifier));
        }
        let mut derivation = derivation.enter(tag::SEQUENCE).ok_or_else(broken)?;
        let salt = derivation.expect(tag::OCTET_STRING).ok_or_else(broken)?.content;
        let rounds = derivation.number().and_then(|rounds| u32::try_from(rounds).ok()).ok_or_else(broken)?;
        let rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= KEY_DERIVATION_ROUNDS_MAX);
        let _ = derivation.optional(tag::INTEGER);
        let hash = match derivation.enter(tag::SEQUENCE).and_then(|mut one| one.expect(tag::OBJECT_IDENTIFIER)) {
            None => pbkdf2::PBKDF2_HMAC_SHA1,
            Some(one) => match one.content {
                HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
                HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
                HMAC_SHA384 => pbkdf2::PBKDF2_HMAC_SHA384,
                HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
                other => return Err(unknown(other)),
            },
        };
        let cipher = match encryption.expect(tag::OBJECT_IDENTIFIER).ok_or_else(broken)?.content {
            AES_128_CBC => &AES_128,
            AES_192_CBC => &AES_192,
            AES_256_CBC => &AES_256,
            other => return Err(unknown(other)),
        };
        let initialization = encryption.expect(tag::OCTET_STRING).ok_or_else(broken)?.content;
        Ok(Self { salt, rounds: rounds.ok_or_else(broken)?, hash, cipher, initialization, encrypted })
    }
}

/// `info` is a cipher's name and an initialisation vector whose first octets are the salt.
fn decrypt_traditional(info: &str, octets: &[u8], password: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
    let unknown = || PrivateKeyError::Encryption(info.to_owned());
    let (name, vector) = info.split_once(',').ok_or_else(unknown)?;
    let cipher = match name.trim() {
        "AES-128-CBC" => &AES_128,
        "AES-192-CBC" => &AES_192,
        "AES-256-CBC" => &AES_256,
        _ => return Err(unknown()),
    };
    let vector = hexadecimal(vector.trim()).ok_or_else(unknown)?;
    let salt = vector.get(..8).ok_or_else(unknown)?;
    let mut key: Vec<u8> = Vec::new();
    while key.len() < key_length(cipher) {
        let last = key.len().saturating_sub(16);
        let mut hash = Md5::new();
        hash.update(&key[last..]);
        hash.update(password);
        hash.update(salt);
        key.extend_from_slice(&hash.finalize());
    }
    key.truncate(key_length(cipher));
    decrypt(cipher, &key, &vector, octets)
}

/// Octets of a cipher's key.
fn key_length(cipher: &'static Algorithm) -> usize {
    [(&AES_128, 16), (&AES_192, 24)].iter().find(|(one, _)| **one == *cipher).map_or(32, |(_, length)| *length)
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn decrypt(cipher: &'static Algorithm, key: &[u8], vector: &[u8], octets: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
    let wrong = |_| PrivateKeyError::Password;
    let key = UnboundCipherKey::new(cipher, key).map_err(wrong)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(wrong)?;
    let vector: [u8; 16] = vector.try_into().map_err(|_| PrivateKeyError::Password)?;
    let mut octets = octets.to_vec();
    let plain = key.decrypt(&mut octets, DecryptionContext::Iv128(vector.into())).map_err(wrong)?;
    Ok(plain.to_vec())
}

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
const HMAC_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x07];
const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
const HMAC_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0a];
const HMAC_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0b];
const AES_128_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];
const AES_192_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x16];
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
