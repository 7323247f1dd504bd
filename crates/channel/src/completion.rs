//! Completion queues: one from each seat to each edge thread, so that no death can block another seat.

use std::sync::atomic::Ordering;

use crate::error::Violation;
use crate::segment::{Queue, Segment};

/// What an entry tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    NeedBody,
    Head,
    Data,
    File,
    EndComplete,
    EndFailed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub kind: Kind,
    /// Index in the pool, below 2^24.
    pub slot: u32,
    pub generation: u32,
}

impl Entry {
    /// kind in 8 bits, slot in 24, generation in 32.
    fn to_word(self) -> u64 {
        let kind: u64 = match self.kind {
            Kind::NeedBody => 1,
            Kind::Head => 2,
            Kind::Data => 3,
            Kind::File => 4,
            Kind::EndComplete => 5,
            Kind::EndFailed => 6,
        };
        kind << 56 | u64::from(self.slot) << 32 | u64::from(self.generation)
    }

    fn from_word(word: u64) -> Option<Self> {
        let kind = match word >> 56 {
            1 => Kind::NeedBody,
            2 => Kind::Head,
            3 => Kind::Data,
            4 => Kind::File,
            5 => Kind::EndComplete,
            6 => Kind::EndFailed,
            _ => return None,
        };
        Some(Self { kind, slot: (word >> 32) as u32 & 0x00ff_ffff, generation: word as u32 })
    }
}

/// Appends an entry; the worker's side. `produced` is the seat's private counter.
///
/// `false`: no room, which only an edge that broke its promise can cause, for a queue holds all that its slots can have.
pub(crate) fn push(queue: &Queue<'_>, produced: &mut u64, entry: Entry) -> bool {
    if produced.wrapping_sub(queue.consumed.load(Ordering::Acquire)) >= queue.capacity() {
        return false;
    }
    queue.entry(*produced).store(entry.to_word(), Ordering::Relaxed);
    *produced = produced.wrapping_add(1);
    queue.produced.store(*produced, Ordering::Release);
    true
}

/// Takes the next entry; the edge's side. `consumed` is the edge thread's private counter.
///
/// # Errors
///
/// [`Violation::CompletionQueue`] once, after which the queue counts as empty.
pub(crate) fn pop(queue: &Queue<'_>, consumed: &mut u64) -> Result<Option<Entry>, Violation> {
    loop {
        let produced = queue.produced.load(Ordering::Acquire);
        match produced.wrapping_sub(*consumed) {
            0 => return Ok(None),
            waiting if waiting > queue.capacity() => {
                *consumed = produced;
                queue.consumed.store(produced, Ordering::Release);
                return Err(Violation::CompletionQueue);
            }
            _ => {}
        }
        let word = queue.entry(*consumed).load(Ordering::Relaxed);
        *consumed = consumed.wrapping_add(1);
        queue.consumed.store(*consumed, Ordering::Release);
        // An entry of no kind of ours is skipped like one of an earlier generation.
        if let Some(entry) = Entry::from_word(word) {
            return Ok(Some(entry));
        }
    }
}

/// Makes edge thread `edge_thread` look at `seat`'s queue. `true`: it sleeps, so its eventfd must be written.
pub(crate) fn ring(segment: &Segment, seat: u16, edge_thread: u16) -> bool {
    let word = &segment.ready_seats(edge_thread)[usize::from(seat / 64)];
    // Sequentially consistent with `arm`: either it sees the bit, or this sees it armed.
    word.fetch_or(1 << (seat % 64), Ordering::SeqCst);
    let armed = &segment.bell(edge_thread).armed;
    armed.load(Ordering::SeqCst) != 0 && armed.swap(0, Ordering::SeqCst) != 0
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::layout::Layout;

    #[test]
    fn entries_arrive_in_order_over_the_wrap() {
        let layout = Layout { sides: 1, processes: 1, threads: 1, edge_threads: 1, slots_per_thread: 1, chunks: 1 };
        let memory = Segment::create(&layout).expect("made");
        let segment = Segment::map(memory.as_fd(), &layout).expect("mapped");
        let queue = segment.completions(0, 0);
        let (mut produced, mut consumed) = (0, 0);
        for generation in 0..100 {
            let kinds = [Kind::NeedBody, Kind::Head, Kind::Data, Kind::File, Kind::EndComplete];
            for kind in kinds {
                assert!(push(&queue, &mut produced, Entry { kind, slot: 0, generation }));
            }
            for kind in kinds {
                assert_eq!(pop(&queue, &mut consumed), Ok(Some(Entry { kind, slot: 0, generation })));
            }
            assert_eq!(pop(&queue, &mut consumed), Ok(None));
        }
        queue.produced.store(produced + 1000, Ordering::Relaxed);
        assert_eq!(pop(&queue, &mut consumed), Err(Violation::CompletionQueue));
        assert_eq!(pop(&queue, &mut consumed), Ok(None));
    }
}
