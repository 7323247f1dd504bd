//! Session tickets: a session that the client keeps for us, encrypted.
//!
//! # Source
//! RFC 5077 §4, whose recommended form this is, with the key files of nginx's `ssl_session_ticket_key`: name, MAC key and AES key.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::cipher::{
    AES_128, AES_256, Algorithm, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::{hmac, rand};
use rustls::server::ProducesTickets;

/// The key of a ticket.
#[derive(Clone)]
pub struct TicketKey {
    name: [u8; 16],
    mac: Vec<u8>,
    cipher: &'static Algorithm,
    key: Vec<u8>,
}

impl TicketKey {
    /// Of the octets of a file: 80 are for AES-256, 48 for AES-128; `None` for any other number.
    #[must_use]
    pub fn from_file(octets: &[u8]) -> Option<Self> {
        let name = octets.get(..16)?.try_into().ok()?;
        match octets.len() {
            // In the shorter form the AES key stands before the key of the MAC.
            48 => Some(Self { name, mac: octets[32..48].to_vec(), cipher: &AES_128, key: octets[16..32].to_vec() }),
            80 => Some(Self { name, mac: octets[16..48].to_vec(), cipher: &AES_256, key: octets[48..80].to_vec() }),
            _ => None,
        }
    }

    fn random() -> Option<Self> {
        let mut octets = [0; 80];
        rand::fill(&mut octets).ok()?;
        Self::from_file(&octets)
    }

    fn encrypt(&self, context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(self.cipher, &self.key).ok()?).ok()?;
        let mut vector = [0; 16];
        rand::fill(&mut vector).ok()?;
        let mut encrypted = plain.to_vec();
        key.less_safe_encrypt(&mut encrypted, EncryptionContext::Iv128(vector.into())).ok()?;
        let mut ticket = [&self.name[..], &vector, &encrypted].concat();
        let tag = self.tag(context, &ticket);
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn tag(&self, context: &[u8], octets: &[u8]) -> hmac::Tag {
        let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.mac));
        signing.update(context);
        signing.update(octets);
        signing.sign()
    }

    fn decrypt(&self, context: &[u8], ticket: &[u8]) -> Option<Vec<u8>> {
        let (octets, tag) = ticket.split_last_chunk::<32>()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.mac);
        hmac::verify(&key, &[context, octets].concat(), tag).ok()?;
        let (vector, encrypted) = octets.strip_prefix(&self.name)?.split_first_chunk::<16>()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(self.cipher, &self.key).ok()?).ok()?;
        let mut plain = encrypted.to_vec();
        let plain = key.decrypt(&mut plain, DecryptionContext::Iv128((*vector).into())).ok()?;
        Some(plain.to_vec())
    }
}

/// Keys that tickets are made and read with, shared by all threads, and by one configuration with the next.
pub struct TicketKeys {
    keys: Mutex<Keys>,
    /// How often the first key is made anew; `None` where they are given.
    renewed_after: Option<Duration>,
}

struct Keys {
    /// Tickets are made with the first.
    list: Vec<TicketKey>,
    since: Instant,
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys") // They are secret.
    }
}

impl TicketKeys {
    /// Those of files, the first for new tickets.
    #[must_use]
    pub fn given(list: Vec<TicketKey>) -> Self {
        Self { keys: Mutex::new(Keys { list, since: Instant::now() }), renewed_after: None }
    }

    /// Random ones; a key serves for `lifetime`, and for as long again to read what was made with it.
    #[must_use]
    pub fn random(lifetime: Duration) -> Self {
        let list = TicketKey::random().into_iter().collect();
        Self { keys: Mutex::new(Keys { list, since: Instant::now() }), renewed_after: Some(lifetime) }
    }

    fn keys(&self) -> Vec<TicketKey> {
        let mut keys = self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let age = keys.since.elapsed();
        if let Some(lifetime) = self.renewed_after.filter(|lifetime| age >= *lifetime)
            && let Some(new) = TicketKey::random()
        {
            keys.list.truncate(if age < lifetime * 2 { 1 } else { 0 });
            keys.list.insert(0, new);
            keys.since = Instant::now();
        }
        keys.list.clone()
    }
}

/// The tickets of one server.
#[derive(Debug)]
pub(super) struct Ticketer {
    pub(super) keys: std::sync::Arc<TicketKeys>,
    /// What tells this server's tickets from those of others with the same keys.
    pub(super) context: [u8; 32],
    pub(super) lifetime: Duration,
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let plain = [&now().to_be_bytes(), plain].concat();
        let plain = plain.as_slice();
        self.keys.keys().first()?.encrypt(&self.context, plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let plain =
            self.keys.keys().iter().find(|key| ticket.starts_with(&key.name))?.decrypt(&self.context, ticket)?;
        let (made, plain) = plain.split_first_chunk()?;
        let age = now().checked_sub(u64::from_be_bytes(*made))?;
        (age < self.lifetime.as_secs()).then(|| plain.to_vec())
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticketer(keys: TicketKeys, context: u8) -> Ticketer {
        Ticketer { keys: keys.into(), context: [context; 32], lifetime: Duration::from_secs(300) }
    }

    #[test]
    fn a_ticket_is_read_by_whoever_has_its_key() {
        for length in [48, 80] {
            let key = |octet: u8| TicketKey::from_file(&vec![octet; length]).expect("a key");
            let old = ticketer(TicketKeys::given(vec![key(1)]), 0);
            let new = ticketer(TicketKeys::given(vec![key(2), key(1)]), 0);
            let other = ticketer(TicketKeys::given(vec![key(1)]), 9);
            let mut ticket = old.encrypt(b"a session").expect("a ticket");
            assert_eq!(new.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
            assert_eq!(other.decrypt(&ticket), None, "another server's");
            assert_eq!(old.decrypt(&new.encrypt(b"x").expect("a ticket")), None);
            let at = ticket.len() - 1;
            ticket[at] ^= 1;
            assert_eq!(new.decrypt(&ticket), None, "changed");
        }
        assert!(TicketKey::from_file(&[0; 64]).is_none());
    }

    #[test]
    fn random_keys_go_after_two_lifetimes() {
        let ticketer = ticketer(TicketKeys::random(Duration::ZERO), 0);
        let ticket = ticketer.encrypt(b"x").expect("a ticket");
        assert_eq!(ticketer.decrypt(&ticket), None);
        let ticketer = Ticketer { keys: TicketKeys::random(Duration::from_secs(60)).into(), ..ticketer };
        let ticket = ticketer.encrypt(b"x").expect("a ticket");
        assert!(ticketer.decrypt(&ticket).is_some());
    }
}
