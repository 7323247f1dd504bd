//! Sessions that a server keeps, to go on with them when their client comes again.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::server::StoresServerSessions;

/// A store of sessions, shared by all threads, and by one configuration with the next.
pub struct SessionCache {
    octets_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    sessions: HashMap<Vec<u8>, (Vec<u8>, Instant)>,
    /// Keys in the order they came; some may be gone already.
    order: VecDeque<Vec<u8>>,
    octets: usize,
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCache").field("octets_max", &self.octets_max).finish() // The rest is secret.
    }
}

impl SessionCache {
    /// An empty one, for as many sessions as `octets_max` octets hold.
    #[must_use]
    pub fn new(octets_max: usize) -> Self {
        Self { octets_max, kept: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn remove(&mut self, key: &[u8]) -> Option<(Vec<u8>, Instant)> {
        let (value, until) = self.sessions.remove(key)?;
        self.octets -= cost(key, &value);
        Some((value, until))
    }

    fn insert(&mut self, key: Vec<u8>, value: Vec<u8>, until: Instant, octets_max: usize) {
        self.remove(&key);
        self.octets += cost(&key, &value);
        self.order.push_back(key.clone());
        self.sessions.insert(key, (value, until));
        while self.octets > octets_max || self.order.len() > 2 * self.sessions.len() + 16 {
            let Some(oldest) = self.order.pop_front() else { return };
            if self.octets > octets_max || !self.order.contains(&oldest) {
                self.remove(&oldest);
            }
        }
    }
}

/// Octets that a session takes, the bookkeeping included.
fn cost(key: &[u8], value: &[u8]) -> usize {
    2 * key.len() + value.len() + 96
}

/// The part of one server: it finds no other's sessions.
#[derive(Debug)]
pub(super) struct ServerSessions {
    pub(super) cache: Arc<SessionCache>,
    /// What tells this server's sessions from those of others in the same store.
    pub(super) context: [u8; 32],
    pub(super) timeout: Duration,
}

impl ServerSessions {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.context, key].concat()
    }
}

impl StoresServerSessions for ServerSessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let until = Instant::now() + self.timeout;
        self.cache.with(|kept| kept.insert(self.key(&key), value, until, self.cache.octets_max));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.cache.with(|kept| {
            let (value, until) = kept.sessions.get(&self.key(key))?;
            (*until > Instant::now()).then(|| value.clone())
        })
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (value, until) = self.cache.with(|kept| kept.remove(&self.key(key)))?;
        (until > Instant::now()).then_some(value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(cache: &Arc<SessionCache>, context: u8, timeout: Duration) -> ServerSessions {
        ServerSessions { cache: Arc::clone(cache), context: [context; 32], timeout }
    }

    #[test]
    fn a_session_is_found_by_its_server_while_it_is_young() {
        let cache = Arc::new(SessionCache::new(10_000));
        let one = part(&cache, 1, Duration::from_secs(60));
        assert!(one.put(vec![7], vec![8]));
        assert_eq!(one.get(&[7]), Some(vec![8]));
        assert_eq!(part(&cache, 2, Duration::ZERO).get(&[7]), None);
        assert_eq!(one.take(&[7]), Some(vec![8]));
        assert_eq!(one.get(&[7]), None);
        let old = part(&cache, 1, Duration::ZERO);
        old.put(vec![7], vec![8]);
        assert_eq!(old.get(&[7]), None);
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let cache = Arc::new(SessionCache::new(1_000));
        let one = part(&cache, 1, Duration::from_secs(60));
        for number in 0..100_u8 {
            one.put(vec![number], vec![0; 100]);
        }
        assert_eq!(one.get(&[0]), None);
        assert!(one.get(&[99]).is_some());
        assert!(cache.with(|kept| kept.octets <= 1_000 && kept.order.len() < 100));
    }
}
