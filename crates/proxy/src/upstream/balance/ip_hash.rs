//! `ip_hash`: the server by the client's address.

use super::{Choice, Memory};

/// The server of the memory's key, the octets of an address; `None` where the choice is by turns.
pub fn choose(choice: &Choice<'_>, memory: &mut Memory) -> Option<usize> {
    if memory.rounds == 0 {
        memory.hash = 89;
    }
    loop {
        memory.rounds += 1;
        memory.hash = memory.key.iter().fold(memory.hash, |hash, octet| (hash * 113 + u32::from(*octet)) % 6271);
        let index = choice.at_weight(u64::from(memory.hash));
        if choice.is_candidate(index) {
            return Some(index);
        }
        if memory.miss() {
            return None;
        }
    }
}
