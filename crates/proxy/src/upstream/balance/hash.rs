//! `hash`: the server by a text of the request, as Cache::Memcached spreads its keys, or consistent as Cache::Memcached::Fast does.

use std::fmt;
use std::sync::Arc;

use daemun_server::{Request, Template};

use super::crc32::Crc32;
use super::{Choice, Memory, round_robin};
use crate::limits::HASH_POINTS_MAX;
use crate::upstream::group::Tier;

/// What `hash` says.
pub struct Hash {
    key: Template,
    is_consistent: bool,
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash").field("is_consistent", &self.is_consistent).finish_non_exhaustive()
    }
}

impl Hash {
    /// By the value of `key`; where it is consistent, few keys change their server when one comes or goes.
    #[must_use]
    pub fn new(key: Template, is_consistent: bool) -> Self {
        Self { key, is_consistent }
    }

    /// The text that chooses.
    #[must_use]
    pub fn key(&self, request: &Request) -> Vec<u8> {
        self.key.value(request)
    }

    /// The server of the memory's key; `None` where the choice is by turns.
    pub(super) fn choose(&self, choice: &Choice<'_>, memory: &mut Memory) -> Option<usize> {
        if memory.key.is_empty() {
            return None;
        }
        if self.is_consistent { choose_consistent(choice, memory) } else { choose_by_remainder(choice, memory) }
    }
}

fn choose_by_remainder(choice: &Choice<'_>, memory: &mut Memory) -> Option<usize> {
    loop {
        let mut sum = Crc32::new();
        if memory.rounds > 0 {
            sum = sum.with(memory.rounds.to_string().as_bytes());
        }
        memory.hash = memory.hash.wrapping_add((sum.with(&memory.key).sum() >> 16) & 0x7fff);
        memory.rounds += 1;
        let index = choice.at_weight(u64::from(memory.hash));
        if choice.is_candidate(index) {
            return Some(index);
        }
        if memory.miss() {
            return None;
        }
    }
}

fn choose_consistent(choice: &Choice<'_>, memory: &mut Memory) -> Option<usize> {
    let points = choice.tier.points();
    if memory.rounds == 0 {
        memory.rounds = 1;
        memory.hash = points.find(Crc32::new().with(&memory.key).sum());
    }
    loop {
        let server = points.server(memory.hash)?;
        let of_same_name = |(_, candidate): &(usize, &_)| is_named(candidate, server);
        if let Some(index) = round_robin::choose(choice.candidates().filter(of_same_name)) {
            return Some(index);
        }
        memory.hash = memory.hash.wrapping_add(1);
        if memory.miss() {
            return None;
        }
    }
}

fn is_named(server: &crate::upstream::ServerState, name: &str) -> bool {
    *server.settings.name == *name
}

/// The places of a tier's servers on the circle of hashes.
#[derive(Debug, Default)]
pub struct Points {
    points: Vec<(u32, Arc<str>)>,
}

impl Points {
    /// 160 for each unit of weight. A name with several addresses has its points once for each, all in the same places.
    #[must_use]
    pub fn new(tier: &Tier) -> Self {
        let mut points = Vec::new();
        for server in &tier.servers {
            let name = &server.settings.name;
            let (host, port) = split_port(name);
            let base = Crc32::new().with(host.as_bytes()).with(&[0]).with(port.as_bytes());
            let mut previous = 0_u32;
            for _ in 0..points_of(server.settings.weight, tier) {
                previous = base.with(&previous.to_le_bytes()).sum();
                points.push((previous, Arc::clone(name)));
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        points.dedup_by_key(|(hash, _)| *hash);
        Self { points }
    }

    /// The number of the first point at or behind `hash`.
    fn find(&self, hash: u32) -> u32 {
        u32::try_from(self.points.partition_point(|(point, _)| *point < hash)).unwrap_or(0)
    }

    /// The server at a point, counted round.
    fn server(&self, number: u32) -> Option<&str> {
        let number = (number as usize).checked_rem(self.points.len())?;
        self.points.get(number).map(|(_, name)| &**name)
    }
}

const POINTS_PER_WEIGHT: u64 = 160;

/// The points of a server. There are no more than [`HASH_POINTS_MAX`] in all, whatever weights a service gives its hosts.
fn points_of(weight: u32, tier: &Tier) -> u64 {
    let (weight, total) = (u64::from(weight), u64::try_from(tier.total_weight).unwrap_or(u64::MAX).max(1));
    if total.saturating_mul(POINTS_PER_WEIGHT) <= HASH_POINTS_MAX {
        return weight * POINTS_PER_WEIGHT;
    }
    (u128::from(weight) * u128::from(HASH_POINTS_MAX) / u128::from(total)).max(1).try_into().unwrap_or(1)
}

/// Host and port as they were written; a port is digits behind the last colon.
fn split_port(name: &str) -> (&str, &str) {
    if let Some(path) = name.get(..5).filter(|start| start.eq_ignore_ascii_case("unix:")).and(name.get(5..)) {
        return (path, "");
    }
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => (host, port),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::tier;

    #[test]
    fn ports_are_told_from_hosts() {
        assert_eq!(split_port("127.0.0.1:80"), ("127.0.0.1", "80"));
        assert_eq!(split_port("a.example"), ("a.example", ""));
        assert_eq!(split_port("unix:/tmp/a:80"), ("/tmp/a:80", ""));
        assert_eq!(split_port("[::1]"), ("[::1]", ""));
    }

    #[test]
    fn weights_beyond_measure_have_no_more_points_than_there_may_be() {
        let (heavy, light) = (Points::new(&tier(&[u32::MAX, u32::MAX, 1])), Points::new(&tier(&[2, 1])));
        assert!(heavy.points.len() as u64 <= HASH_POINTS_MAX + 3);
        assert!(light.points.len() > 470);
    }

    #[test]
    fn few_points_move_when_a_server_goes() {
        let (three, two) = (Points::new(&tier(&[1, 1, 1])), Points::new(&tier(&[1, 1])));
        let moved = (0..1000_u32).filter(|key| {
            let hash = Crc32::new().with(key.to_string().as_bytes()).sum();
            let before = three.server(three.find(hash));
            before != Some("127.0.0.1:3") && before != two.server(two.find(hash))
        });
        assert_eq!(moved.count(), 0);
    }
}
