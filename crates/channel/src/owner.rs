//! The owner word of a slot: who may touch the slot, in one compare-and-swap.
//!
//! ```text
//! 63          32 31    24 23    16 15         0
//!   generation    (zero)   state      seat
//! ```
//!
//! FREE → QUEUED (edge) → CLAIMED (a seat) → STARTED (the same seat) → FREE (edge, after END, or after the
//! seat's death). The generation rises with every request, so that whatever speaks of an earlier one
//! (a queue entry, a passed descriptor) is recognized.

/// What a slot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The edge may put a request in.
    Free,
    /// A request waits for a seat.
    Queued,
    /// A seat has taken the request and could still give it back.
    Claimed,
    /// The application may have seen the request.
    Started,
    /// No state of ours: a broken worker wrote the word.
    Nonsense,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub generation: u32,
    pub state: State,
    /// The seat, in the states that have one; else 0.
    pub seat: u16,
}

impl Owner {
    pub fn free(generation: u32) -> Self {
        Self { generation, state: State::Free, seat: 0 }
    }

    pub fn queued(generation: u32) -> Self {
        Self { generation, state: State::Queued, seat: 0 }
    }

    pub fn claimed(generation: u32, seat: u16) -> Self {
        Self { generation, state: State::Claimed, seat }
    }

    pub fn started(generation: u32, seat: u16) -> Self {
        Self { generation, state: State::Started, seat }
    }

    pub fn to_word(self) -> u64 {
        let state = match self.state {
            State::Free => 0,
            State::Queued => 1,
            State::Claimed => 2,
            State::Started => 3,
            State::Nonsense => 255,
        };
        u64::from(self.generation) << 32 | state << 16 | u64::from(self.seat)
    }

    pub fn from_word(word: u64) -> Self {
        let state = match (word >> 16) & 0xffff {
            0 => State::Free,
            1 => State::Queued,
            2 => State::Claimed,
            3 => State::Started,
            _ => State::Nonsense,
        };
        Self { generation: (word >> 32) as u32, state, seat: word as u16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for owner in
            [Owner::free(0), Owner::queued(u32::MAX), Owner::claimed(7, 1023), Owner::started(0x8000_0001, u16::MAX)]
        {
            assert_eq!(Owner::from_word(owner.to_word()), owner);
        }
        assert_eq!(Owner::free(0).to_word(), 0, "a fresh segment is all free slots");
        assert_eq!(Owner::from_word(0x0000_0001_0400_0000).state, State::Nonsense);
    }
}
