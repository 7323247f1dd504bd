//! Which server is next: one file per method.
//!
//! Each chooses what nginx's method of that name chooses, so that a client finds its server again when one takes the place of the
//! other. A method is asked under the group's lock; what it remembers of one request is in [`Memory`].

mod crc32;
pub mod hash;
mod ip_hash;
mod least;
pub mod least_time;
mod random;
mod round_robin;

use std::net::IpAddr;

use daemun_server::Request;

use super::group::Tier;
use super::server::ServerState;
use hash::Hash;
use least_time::LeastTime;

/// How a server is chosen.
#[derive(Debug, Default)]
pub enum Method {
    /// In turn by weight.
    #[default]
    RoundRobin,
    /// `hash`: by a text of the request.
    Hash(Hash),
    /// `ip_hash`: by the client's address.
    IpHash,
    /// `least_conn`: the one with the fewest requests for its weight.
    LeastConn,
    /// `least_time`: the one that is likely to be done first.
    LeastTime(LeastTime),
    /// `random`: any; of two at random the one with the fewer requests.
    Random {
        /// Whether two are drawn.
        of_two: bool,
    },
}

impl Method {
    /// Whether a server's share may grow slowly.
    #[must_use]
    pub fn allows_slow_start(&self) -> bool {
        self.allows_backup()
    }

    /// Whether a server may be a backup.
    #[must_use]
    pub fn allows_backup(&self) -> bool {
        matches!(self, Self::RoundRobin | Self::LeastConn | Self::LeastTime(_))
    }

    /// Whether requests under way count by their age.
    #[must_use]
    pub fn counts_inflight(&self) -> bool {
        matches!(self, Self::LeastTime(LeastTime { with_inflight: true, .. }))
    }

    /// What the method is to remember of `request`.
    #[must_use]
    pub fn begin(&self, request: &Request) -> Memory {
        let key = match self {
            Self::Hash(hash) => hash.key(request),
            // nginx's choice: the network of a v4 address, all of a v6 one, and zeros where there is neither.
            Self::IpHash => match request.remote.ip {
                Some(IpAddr::V4(address)) => address.octets()[..3].to_vec(),
                Some(IpAddr::V6(address)) => address.octets().to_vec(),
                None => vec![0; 3],
            },
            _ => Vec::new(),
        };
        Memory { key, hash: 0, rounds: 0, misses: 0 }
    }
}

/// What a method remembers of one request.
#[derive(Debug, Default)]
pub struct Memory {
    key: Vec<u8>,
    hash: u32,
    rounds: u32,
    /// Servers that came up and could not be chosen; with too many of them it goes by turns.
    misses: u32,
}

impl Memory {
    /// Goes by turns from here on, as among backups.
    pub fn give_up(&mut self) {
        self.misses = MISSES_MAX + 1;
    }

    /// Chooses as at first.
    pub fn begin_again(&mut self) {
        (self.hash, self.rounds, self.misses) = (0, 0, 0);
    }

    /// One more server could not be chosen. True once that were too many.
    fn miss(&mut self) -> bool {
        self.misses += 1;
        self.misses > MISSES_MAX
    }
}

/// As in nginx.
const MISSES_MAX: u32 = 20;

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
    /// The id of the server that the session is bound to.
    pub bound_to: Option<&'a [u8]>,
    /// Seconds of the monotonic clock.
    pub now: i64,
}

impl<'a> Choice<'a> {
    /// The index of the server that is next; `None` where none may be chosen. The caller holds the group's lock.
    #[must_use]
    pub fn by(&self, method: &Method, memory: &mut Memory) -> Option<usize> {
        let bound = self.bound();
        if let (Some(_), false) = (bound, matches!(method, Method::RoundRobin)) {
            return bound;
        }
        let in_turn = || round_robin::choose(self.candidates());
        match method {
            Method::RoundRobin => match bound.and_then(|index| Some((index, self.tier.servers.get(index)?))) {
                Some((index, server)) => {
                    Some(round_robin::charge((index, server), self.candidates(), self.tier.total_weight))
                }
                None => in_turn(),
            },
            Method::LeastConn => least::choose(self, |server| u64::from(server.connections())),
            Method::LeastTime(settings) => settings.choose(self),
            _ if memory.misses > MISSES_MAX || self.tier.servers.len() < 2 => in_turn(),
            Method::Hash(hash) => hash.choose(self, memory).or_else(in_turn),
            Method::IpHash => ip_hash::choose(self, memory).or_else(in_turn),
            Method::Random { of_two } => random::choose(self, memory, *of_two).or_else(in_turn),
        }
    }

    /// The servers that may be chosen, by their index.
    pub fn candidates(&self) -> impl Iterator<Item = (usize, &'a ServerState)> + use<'a> {
        let (tried, now) = (self.tried, self.now);
        let servers = self.tier.servers.iter().map(AsRef::as_ref).enumerate();
        servers.filter(move |(index, server)| !tried.contains(*index) && server.is_available(now))
    }

    /// Whether this one may be chosen.
    fn is_candidate(&self, index: usize) -> bool {
        let server = self.tier.servers.get(index);
        server.is_some_and(|server| !self.tried.contains(index) && server.is_available(self.now))
    }

    /// The server whose part of the sum of all weights `number` falls into, counted round.
    fn at_weight(&self, number: u64) -> usize {
        let total = u64::try_from(self.tier.total_weight).unwrap_or(0);
        let mut rest = number.checked_rem(total).unwrap_or(0);
        for (index, server) in self.tier.servers.iter().enumerate() {
            match rest.checked_sub(u64::from(server.settings.weight)) {
                Some(less) => rest = less,
                None => return index,
            }
        }
        0
    }

    /// The server that the session is bound to, if it may be asked.
    fn bound(&self) -> Option<usize> {
        let id = self.bound_to?;
        let index = self.tier.servers.iter().position(|server| server.id() == id)?;
        let is_open = self.tier.servers.get(index)?.is_available_to_its_own(self.now);
        Some(index).filter(|_| is_open && !self.tried.contains(index))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::upstream::server::ServerSettings;
    use crate::upstream::{Roster, UpstreamAddress};

    /// Servers 127.0.0.1:1 and so on with these weights.
    pub fn tier(weights: &[u32]) -> Tier {
        let server = |(index, weight): (usize, &u32)| {
            let name = format!("127.0.0.1:{}", index + 1);
            let address = UpstreamAddress::parse(&name, None).expect("an address");
            let settings = ServerSettings { weight: *weight, ..ServerSettings::new(&name) };
            Arc::new(ServerState::new(address[0].clone(), Arc::new(settings)))
        };
        Roster::new(weights.iter().enumerate().map(server).collect()).active
    }

    /// What a method that is new to the request chooses.
    pub fn first_choice(tier: &Tier, method: &Method, key: &[u8], now: i64) -> Option<usize> {
        let mut memory = Memory { key: key.to_vec(), ..Memory::default() };
        Choice { tier, tried: &Tried::default(), bound_to: None, now }.by(method, &mut memory)
    }

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
