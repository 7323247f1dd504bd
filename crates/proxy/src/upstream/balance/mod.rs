//! Which server is next: one file per method.

mod round_robin;

use super::group::Tier;
use super::server::ServerState;

/// How a server is chosen.
#[derive(Debug, Default)]
pub enum Method {
    /// In turn by weight.
    #[default]
    RoundRobin,
}

/// What one request has made of a tier so far.
#[derive(Debug, Default)]
pub struct Tried {
    /// The first 64 servers.
    first: u64,
    /// All others.
    more: Vec<u64>,
}

impl Tried {
    /// Whether this server was asked.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        let (word, bit) = (index / 64, 1 << (index % 64));
        let word = if word == 0 { Some(&self.first) } else { self.more.get(word - 1) };
        word.is_some_and(|word| word & bit != 0)
    }

    /// This server is asked now.
    pub fn insert(&mut self, index: usize) {
        let (word, bit) = (index / 64, 1 << (index % 64));
        if word == 0 {
            self.first |= bit;
            return;
        }
        if self.more.len() < word {
            self.more.resize(word, 0);
        }
        self.more[word - 1] |= bit;
    }
}

/// What is asked of a method.
pub struct Choice<'a> {
    /// The servers.
    pub tier: &'a Tier,
    /// Those asked already.
    pub tried: &'a Tried,
    /// Seconds of the monotonic clock.
    pub now: i64,
}

impl Choice<'_> {
    /// The servers that may be chosen, by their index.
    pub fn candidates(&self) -> impl Iterator<Item = (usize, &ServerState)> {
        let servers = self.tier.servers.iter().map(AsRef::as_ref).enumerate();
        servers.filter(|(index, server)| !self.tried.contains(*index) && server.is_available(self.now))
    }

    /// The index of the server that is next; `None` where none may be chosen. The caller holds the group's lock.
    #[must_use]
    pub fn by(&self, method: &Method) -> Option<usize> {
        match method {
            Method::RoundRobin => round_robin::choose(self.candidates()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_remembered() {
        let mut tried = Tried::default();
        for index in [0, 63, 64, 127, 200] {
            assert!(!tried.contains(index));
            tried.insert(index);
            assert!(tried.contains(index));
        }
        assert!(!tried.contains(1) && !tried.contains(199) && !tried.contains(1000));
    }
}
