//! What zones of limits hold: a value for each key, in shards, so that threads with different keys do not wait for each
//! other, and no more than the zone's size.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daemun_conf::{ArgumentError, Arguments, parse_size};

use crate::recency::Recency;

/// Values by key.
pub(crate) struct KeyedZone<V> {
    /// The key as the configuration writes it: another one would make other values of the same zone.
    pub(crate) key: Box<str>,
    hasher: RandomState,
    shards: Box<[Mutex<Shard<V>>]>,
}

/// The values of some keys.
pub(crate) struct Shard<V> {
    pub(crate) values: Recency<Arc<[u8]>, V>,
    octets: u64,
    octets_max: u64,
}

impl<V> KeyedZone<V> {
    /// A zone that takes `octets` at most.
    pub(crate) fn new(key: &str, octets: u64) -> Self {
        let shards = (octets / SHARD_OCTETS_MIN).clamp(1, SHARDS_MAX);
        let shard = || Mutex::new(Shard { values: Recency::default(), octets: 0, octets_max: octets / shards });
        let shards = (0..shards).map(|_| shard()).collect();
        Self { key: key.into(), hasher: RandomState::new(), shards }
    }

    /// The shard where `key` belongs. It is held for a look-up and never together with another.
    pub(crate) fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard<V>> {
        let at = self.hasher.hash_one(key) % self.shards.len() as u64;
        self.shards[at as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Shard<V> {
    /// Adds a value where there is room.
    pub(crate) fn insert(&mut self, key: &[u8], value: V) -> bool {
        let cost = cost(key);
        if self.octets + cost > self.octets_max {
            return false;
        }
        self.octets += cost;
        self.values.insert(key.into(), value);
        true
    }

    /// Takes the value of `key` out.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        if self.values.remove(key).is_some() {
            self.octets -= cost(key);
        }
    }

    /// Takes out what was not asked for the longest time.
    pub(crate) fn remove_oldest(&mut self) {
        if let Some((key, _)) = self.values.remove_oldest() {
            self.octets -= cost(&key);
        }
    }
}

/// Octets that are counted for a key: as nginx does, a power of two, 128 for an address.
fn cost(key: &[u8]) -> u64 {
    (VALUE_OCTETS + key.len() as u64).next_power_of_two()
}

/// What a value takes beside its key.
const VALUE_OCTETS: u64 = 72;

/// Octets of a shard at least.
const SHARD_OCTETS_MIN: u64 = 16 * 1024;

/// Shards at most.
const SHARDS_MAX: u64 = 64;

/// The smallest zone in octets, nginx's eight pages.
const ZONE_OCTETS_MIN: u64 = 8 * 4096;

/// Reads `name:size` of the parameter `zone=` at `position`.
///
/// # Errors
/// When it is none, or too small, in nginx's words.
pub(crate) fn read_zone<'a>(arguments: &Arguments<'a>, position: usize) -> Result<(&'a str, u64), ArgumentError> {
    let text = arguments.text(position)?;
    let written = text.strip_prefix("zone=").unwrap_or(text);
    let parsed = written.split_once(':').and_then(|(name, size)| Some((name, parse_size(size)?)));
    match parsed {
        None => Err(ArgumentError::new(Some(position), format!("invalid zone size \"{text}\""))),
        Some((_, size)) if size < ZONE_OCTETS_MIN => {
            Err(ArgumentError::new(Some(position), format!("zone \"{text}\" is too small")))
        }
        Some(("", _)) => Err(without_zone(arguments)),
        Some(zone) => Ok(zone),
    }
}

/// The error of a directive that names no zone.
pub(crate) fn without_zone(arguments: &Arguments<'_>) -> ArgumentError {
    ArgumentError::new(None, format!("\"{}\" must have \"zone\" parameter", arguments.name()))
}

#[cfg(test)]
mod tests {
    use super::KeyedZone;

    #[test]
    fn a_zone_takes_no_more_than_its_size() {
        let zone = KeyedZone::new("$key", 32 * 1024);
        let mut inserted = 0;
        for number in 0..1_000_u32 {
            let key = number.to_be_bytes();
            inserted += u32::from(zone.shard(&key).insert(&key, ()));
        }
        assert_eq!(inserted, 32 * 1024 / 128);
        let key = 0_u32.to_be_bytes();
        let mut shard = zone.shard(&key);
        shard.remove_oldest();
        assert!(shard.insert(b"another", ()));
        assert!(!shard.insert(b"one more", ()));
        shard.remove(b"another");
        assert!(shard.insert(b"one more", ()));
    }
}
