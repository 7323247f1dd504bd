//! Octets that were read from a client and not used yet.

/// A queue of octets.
#[derive(Default)]
pub struct Input {
    octets: Vec<u8>,
    start: usize,
}

impl Input {
    /// What waits.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.octets[self.start..]
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.octets.len()
    }

    /// Adds octets at the end.
    pub fn push(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// Takes `count` octets from the front; an empty queue gives its memory back.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.octets.len());
        if self.is_empty() {
            self.start = 0;
            if self.octets.capacity() > KEPT_BYTES {
                self.octets = Vec::new();
            } else {
                self.octets.clear();
            }
        }
    }
}

/// Memory an idle connection may keep, in octets.
const KEPT_BYTES: usize = 0;
