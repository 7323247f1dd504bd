//! `random`: any server by weight, or the better of two.

use daemun_server::thread::random;

use super::{Choice, Memory};

/// Any server; of two different ones, where `of_two`, the one with the fewer requests for its weight. `None` where the choice is by
/// turns.
pub fn choose(choice: &Choice<'_>, memory: &mut Memory, of_two: bool) -> Option<usize> {
    let mut first: Option<usize> = None;
    loop {
        let index = choice.at_weight(random() >> 1);
        if choice.is_candidate(index) && first != Some(index) {
            match first {
                None if of_two => first = Some(index),
                None => return Some(index),
                Some(other) => {
                    return Some(if load(choice, index, other) > load(choice, other, index) { other } else { index });
                }
            }
        }
        if memory.miss() {
            return None;
        }
    }
}

/// The requests of `index`, to be compared with those of `other`.
fn load(choice: &Choice<'_>, index: usize, other: usize) -> u64 {
    let server = |index: usize| choice.tier.servers.get(index);
    let requests = server(index).map_or(0, |server| u64::from(server.connections()));
    requests * server(other).map_or(1, |server| u64::from(server.settings.weight))
}
