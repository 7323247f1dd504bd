//! What is known of each key of a cache: whether there is a file, how often it was asked for, and who is getting it anew. All threads
//! share it, and it lives on when the configuration is replaced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daemun_http::StatusCode;
use daemun_server::clock;
use daemun_server::recency::Recency;
use tokio::sync::Notify;

use crate::limits::{BLOCK_BYTES, NODE_BYTES, NODES_MIN, ZONE_OVERHEAD_BYTES};

/// What an answer is found by: the MD5 sum of its key's text, or of that and the fields that `Vary` names.
pub type Key = [u8; 16];

/// The keys of one cache.
pub struct Zone {
    /// Tells zones apart.
    pub number: u64,
    nodes_max: usize,
    inactive_ms: AtomicU64,
    state: Mutex<State>,
}

struct State {
    nodes: Recency<Key, Node>,
    /// Octets on disk.
    octets: u64,
    /// Nodes that the manager leaves, once there was no room for another.
    watermark: usize,
    /// Whether there may be files that no node stands for.
    is_cold: bool,
    next_version: u64,
}

#[derive(Default)]
struct Node {
    /// Changes whenever the file does; 0 without one.
    version: u64,
    /// What the file takes on disk.
    octets: u64,
    uses: u32,
    /// Monotonic time at which nobody has asked for it for too long.
    expires_ms: u64,
    /// A status that stands for an answer, up to this Unix time.
    error: Option<(StatusCode, i64)>,
    update: Option<Underway>,
}

/// Somebody gets the answer.
struct Underway {
    token: u64,
    /// Monotonic time from which on another may do it too.
    until_ms: u64,
    done: Arc<Notify>,
}

/// What a zone says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// There is a file; this is its version.
    File(u64),
    /// There is none.
    Absent,
    /// There is none, and the key was not asked for often enough for one.
    Scarce,
    /// A status stands for the answer.
    Error(StatusCode),
}

/// Who may get an answer.
pub enum Claim {
    /// Whoever asked.
    Granted(Update),
    /// Another does.
    Waiting(Waiting),
}

/// Another who gets an answer.
pub struct Waiting {
    token: u64,
    /// Monotonic time from which on it may be claimed all the same.
    pub until_ms: u64,
    /// Told when it is done, one way or another.
    pub done: Arc<Notify>,
}

/// A request that gets an answer for all. Dropped, it lets others.
pub struct Update {
    zone: Arc<Zone>,
    key: Key,
    token: u64,
}

impl Drop for Update {
    fn drop(&mut self) {
        self.zone.end_update(&self.key, self.token);
    }
}

/// What a manager may take out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its key.
    pub key: Key,
    /// Whether it has a file, which must go too.
    pub has_file: bool,
}

/// How full a zone is.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// Octets on disk.
    pub octets: u64,
    /// Nodes.
    pub nodes: usize,
    /// Nodes that are to be left at most.
    pub watermark: usize,
}

impl Zone {
    /// A zone of so many octets.
    #[must_use]
    pub fn new(octets: u64) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let room = octets.saturating_sub(ZONE_OVERHEAD_BYTES) / NODE_BYTES;
        let state =
            State { nodes: Recency::default(), octets: 0, watermark: usize::MAX, is_cold: true, next_version: 1 };
        Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            nodes_max: usize::try_from(room).unwrap_or(usize::MAX).max(NODES_MIN),
            inactive_ms: AtomicU64::new(600_000),
            state: Mutex::new(state),
        }
    }

    /// Sets how long a key is kept that nobody asks for.
    pub fn set_inactive(&self, milliseconds: u64) {
        self.inactive_ms.store(milliseconds, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expiry_ms(&self) -> u64 {
        clock::monotonic_ms().saturating_add(self.inactive_ms.load(Ordering::Relaxed))
    }

    /// Asks for a key. `is_first` for a request's first time, which counts as a use; a node is made where there is none.
    /// What had to make room for it is returned too: its file must go.
    pub fn ask(&self, key: &Key, min_uses: u32, is_first: bool) -> (Asked, Option<Removed>) {
        let expires_ms = self.expiry_ms();
        let mut state = self.lock();
        let (node, removed) = state.node(key, self.nodes_max);
        node.expires_ms = expires_ms;
        if is_first {
            node.uses = node.uses.saturating_add(1);
        }
        if let Some((status, until)) = node.error {
            if until >= clock::unix_seconds() {
                return (Asked::Error(status), removed);
            }
            node.error = None;
        }
        let asked = match node.version {
            0 if node.uses < min_uses => Asked::Scarce,
            0 => Asked::Absent,
            version => Asked::File(version),
        };
        (asked, removed)
    }

    /// Whether there may be files that no node stands for.
    pub fn is_cold(&self) -> bool {
        self.lock().is_cold
    }

    /// Every file has been looked at.
    pub fn warm(&self) {
        self.lock().is_cold = false;
    }

    /// A file of so many octets was found. False where there is no room for a node, or one has a file already.
    pub fn adopt(&self, key: &Key, octets: u64) -> bool {
        let expires_ms = self.expiry_ms();
        let mut state = self.lock();
        let is_new = state.nodes.get(key).is_none();
        if is_new && state.nodes.len() >= self.nodes_max {
            return false;
        }
        let version = state.take_version();
        let (node, _) = state.node(key, self.nodes_max);
        if node.version != 0 {
            return true;
        }
        node.version = version;
        node.octets = blocks(octets);
        node.uses = node.uses.max(1);
        node.expires_ms = expires_ms;
        state.octets += blocks(octets);
        true
    }

    /// A file of so many octets has taken its place.
    pub fn put(&self, key: &Key, octets: u64) -> Option<Removed> {
        let expires_ms = self.expiry_ms();
        let mut state = self.lock();
        let version = state.take_version();
        let (node, removed) = state.node(key, self.nodes_max);
        let before = std::mem::replace(&mut node.octets, blocks(octets));
        node.version = version;
        node.error = None;
        node.expires_ms = expires_ms;
        state.octets = (state.octets + blocks(octets)).saturating_sub(before);
        removed
    }

    /// The front of the file has changed.
    pub fn renew(&self, key: &Key) {
        let mut state = self.lock();
        let version = state.take_version();
        if let Some(node) = state.nodes.ask(key).filter(|node| node.version != 0) {
            node.version = version;
        }
    }

    /// A status stands for the answer up to this Unix time.
    pub fn put_error(&self, key: &Key, status: StatusCode, until: i64) {
        if let Some(node) = self.lock().nodes.ask(key) {
            node.error = Some((status, until));
        }
    }

    /// The file of this version is gone.
    pub fn forget(&self, key: &Key, version: u64) {
        let mut state = self.lock();
        let Some(node) = state.nodes.ask(key).filter(|node| node.version == version) else { return };
        node.version = 0;
        let octets = std::mem::take(&mut node.octets);
        state.octets = state.octets.saturating_sub(octets);
    }

    /// Claims the right to get the answer. Where another does so for less than `age_ms`, that one is to be waited for.
    pub fn claim(self: &Arc<Self>, key: &Key, age_ms: u64) -> Claim {
        let now = clock::monotonic_ms();
        let mut state = self.lock();
        let token = state.take_version();
        let (node, _) = state.node(key, self.nodes_max);
        if let Some(underway) = node.update.as_ref().filter(|underway| underway.until_ms > now) {
            return Claim::Waiting(Waiting {
                token: underway.token,
                until_ms: underway.until_ms,
                done: Arc::clone(&underway.done),
            });
        }
        if let Some(aged) = node.update.take() {
            aged.done.notify_waiters();
        }
        Claim::Granted(self.begin(node, key, token, now.saturating_add(age_ms)))
    }

    /// Claims the right to get an answer anew that is stale; `None` where another does.
    pub fn claim_stale(self: &Arc<Self>, key: &Key, age_ms: u64) -> Option<Update> {
        let now = clock::monotonic_ms();
        let mut state = self.lock();
        let token = state.take_version();
        let (node, _) = state.node(key, self.nodes_max);
        if node.update.is_some() {
            return None;
        }
        Some(self.begin(node, key, token, now.saturating_add(age_ms)))
    }

    fn begin(self: &Arc<Self>, node: &mut Node, key: &Key, token: u64, until_ms: u64) -> Update {
        node.update = Some(Underway { token, until_ms, done: Arc::default() });
        Update { zone: Arc::clone(self), key: *key, token }
    }

    /// Whether the one that is waited for still gets the answer.
    pub fn is_underway(&self, key: &Key, waiting: &Waiting) -> bool {
        let state = self.lock();
        let update = state.nodes.get(key).and_then(|node| node.update.as_ref());
        update.is_some_and(|update| update.token == waiting.token)
    }

    fn end_update(&self, key: &Key, token: u64) {
        let mut state = self.lock();
        let Some(node) = state.nodes.ask(key) else { return };
        if let Some(update) = node.update.take_if(|update| update.token == token) {
            update.done.notify_waiters();
        }
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        let state = self.lock();
        Fill { octets: state.octets, nodes: state.nodes.len(), watermark: state.watermark }
    }

    /// Takes out the key that nobody has asked for the longest time, if that is too long, and no request is about to put a file
    /// there.
    ///
    /// # Errors
    /// In how many milliseconds there may be one.
    pub fn expire(&self) -> Result<Removed, u64> {
        let now = clock::monotonic_ms();
        let mut state = self.lock();
        let Some((key, node)) = state.nodes.oldest() else { return Err(u64::MAX) };
        let (key, expires_ms, is_updated) = (*key, node.expires_ms, node.update.is_some());
        if expires_ms > now {
            return Err(expires_ms - now);
        }
        if is_updated {
            let later = self.expiry_ms();
            if let Some(node) = state.nodes.ask(&key) {
                node.expires_ms = later;
            }
            return Err(0);
        }
        state.remove(&key).ok_or(u64::MAX)
    }

    /// Takes out the key that nobody has asked for the longest time, however long that is.
    pub fn evict(&self) -> Option<Removed> {
        self.lock().evict()
    }
}

impl State {
    fn take_version(&mut self) -> u64 {
        let version = self.next_version;
        self.next_version += 1;
        version
    }

    /// The node of a key, made where there is none, and what had to make room for it.
    fn node(&mut self, key: &Key, nodes_max: usize) -> (&mut Node, Option<Removed>) {
        let mut removed = None;
        if self.nodes.get(key).is_none() {
            if self.nodes.len() >= nodes_max {
                // As nginx: the manager makes room beyond what is needed at once.
                self.watermark = self.nodes.len() - self.nodes.len() / 8;
                removed = self.evict();
            }
            self.nodes.insert(*key, Node::default());
        }
        let node = self.nodes.ask(key).expect("a node that was missing has just been made");
        (node, removed)
    }

    fn evict(&mut self) -> Option<Removed> {
        // Those that are being got would be put back at once.
        for _ in 0..EVICTION_STEPS {
            let (key, node) = self.nodes.oldest()?;
            let (key, is_updated) = (*key, node.update.is_some());
            if !is_updated {
                return self.remove(&key);
            }
            self.nodes.ask(&key);
        }
        let key = *self.nodes.oldest()?.0;
        self.remove(&key)
    }

    fn remove(&mut self, key: &Key) -> Option<Removed> {
        let node = self.nodes.remove(key)?;
        self.octets = self.octets.saturating_sub(node.octets);
        Some(Removed { key: *key, has_file: node.version != 0 })
    }
}

/// Nodes that are passed over because somebody is getting their answers.
const EVICTION_STEPS: usize = 20;

fn blocks(octets: u64) -> u64 {
    octets.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        [number; 16]
    }

    #[test]
    fn uses_are_counted_until_there_are_enough() {
        let zone = Zone::new(1 << 20);
        assert_eq!(zone.ask(&key(1), 2, true).0, Asked::Scarce);
        assert_eq!(zone.ask(&key(1), 2, false).0, Asked::Scarce);
        assert_eq!(zone.ask(&key(1), 2, true).0, Asked::Absent);
        zone.put(&key(1), 10);
        assert!(matches!(zone.ask(&key(1), 2, true).0, Asked::File(_)));
        assert_eq!(zone.fill().octets, BLOCK_BYTES);
    }

    #[test]
    fn an_answer_is_got_by_one_at_a_time() {
        let zone = Arc::new(Zone::new(1 << 20));
        let Claim::Granted(update) = zone.claim(&key(1), 10_000) else { panic!("nobody has it") };
        let Claim::Waiting(waiting) = zone.claim(&key(1), 10_000) else { panic!("somebody has it") };
        assert!(zone.is_underway(&key(1), &waiting));
        assert!(zone.claim_stale(&key(1), 10_000).is_none());
        drop(update);
        assert!(!zone.is_underway(&key(1), &waiting));
        assert!(zone.claim_stale(&key(1), 10_000).is_some());
    }

    #[test]
    fn whoever_takes_too_long_is_overtaken_and_ends_nobody_elses_work() {
        let zone = Arc::new(Zone::new(1 << 20));
        let Claim::Granted(slow) = zone.claim(&key(1), 0) else { panic!("nobody has it") };
        let Claim::Granted(_second) = zone.claim(&key(1), 10_000) else { panic!("the first one has aged") };
        drop(slow);
        assert!(matches!(zone.claim(&key(1), 10_000), Claim::Waiting(_)));
    }

    #[test]
    fn a_full_zone_lets_go_of_what_was_not_asked_for_the_longest_time() {
        let zone = Zone::new(0);
        for number in 0..NODES_MIN as u8 {
            assert_eq!(zone.ask(&key(number), 1, true).1, None);
            zone.put(&key(number), 1);
        }
        zone.ask(&key(0), 1, true);
        assert_eq!(zone.ask(&key(100), 1, true).1, Some(Removed { key: key(1), has_file: true }));
        assert_eq!(zone.fill().watermark, NODES_MIN - NODES_MIN / 8);
        assert_eq!(zone.fill().octets, (NODES_MIN as u64 - 1) * BLOCK_BYTES);
    }

    #[test]
    fn a_forgotten_file_of_another_version_stays() {
        let zone = Zone::new(1 << 20);
        zone.put(&key(1), 1);
        let (Asked::File(version), _) = zone.ask(&key(1), 1, true) else { panic!("it was put") };
        zone.put(&key(1), 1);
        zone.forget(&key(1), version);
        assert!(matches!(zone.ask(&key(1), 1, true).0, Asked::File(_)));
    }
}
