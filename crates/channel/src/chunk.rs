//! Chunks: rings lent to responses that are larger than their slot.
//!
//! A chunk's owner word is 0, or the slot (plus one) and the generation it serves. A worker takes one by
//! compare-and-swap; the edge gives it back together with the slot. So a death between taking a chunk and noting it
//! down loses nothing: the word itself says whose it is.

use std::sync::atomic::Ordering;

use crate::segment::Segment;

fn word(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot + 1)
}

/// Takes a free chunk for a slot, looking from `first` on; the worker's side.
pub(crate) fn attach(segment: &Segment, first: u32, slot: u32, generation: u32) -> Option<u32> {
    let chunks = segment.layout().chunks;
    (0..chunks).map(|step| (first + step) % chunks).find(|chunk| {
        let owner = segment.chunk_owner(*chunk);
        owner.load(Ordering::Relaxed) == 0
            && owner.compare_exchange(0, word(slot, generation), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    })
}

/// Whether `chunk` exists and serves this request.
pub(crate) fn is_owned(segment: &Segment, chunk: u32, slot: u32, generation: u32) -> bool {
    chunk < segment.layout().chunks && segment.chunk_owner(chunk).load(Ordering::Acquire) == word(slot, generation)
}

/// Gives `chunk` back if it serves this request; the edge's side.
pub(crate) fn give_back(segment: &Segment, chunk: u32, slot: u32, generation: u32) {
    if chunk < segment.layout().chunks {
        let owner = segment.chunk_owner(chunk);
        let _ = owner.compare_exchange(word(slot, generation), 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// Gives back every chunk whose slot and generation `is_dead`. Words that no worker of ours wrote are dead too.
pub(crate) fn sweep(segment: &Segment, mut is_dead: impl FnMut(u32, u32) -> bool) {
    for chunk in 0..segment.layout().chunks {
        let owner = segment.chunk_owner(chunk);
        let found = owner.load(Ordering::Acquire);
        let (slot, generation) = ((found as u32).wrapping_sub(1), (found >> 32) as u32);
        if found != 0 && is_dead(slot, generation) {
            let _ = owner.compare_exchange(found, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::layout::Layout;

    #[test]
    fn a_chunk_serves_one_request_at_a_time() {
        let layout = Layout { sides: 1, processes: 1, threads: 1, edge_threads: 1, slots_per_thread: 4, chunks: 2 };
        let memory = Segment::create(&layout).expect("made");
        let segment = Segment::map(memory.as_fd(), &layout).expect("mapped");
        assert_eq!(attach(&segment, 1, 0, 7), Some(1));
        assert_eq!(attach(&segment, 1, 1, 7), Some(0));
        assert_eq!(attach(&segment, 0, 2, 7), None);
        give_back(&segment, 1, 0, 8);
        assert!(is_owned(&segment, 1, 0, 7), "an earlier request's chunk is not given back by a later one");
        give_back(&segment, 1, 0, 7);
        assert_eq!(attach(&segment, 0, 2, 7), Some(1));
        sweep(&segment, |slot, generation| slot == 1 && generation == 7);
        assert!(!is_owned(&segment, 0, 1, 7));
        assert!(is_owned(&segment, 1, 2, 7));
    }
}
