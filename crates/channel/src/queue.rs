//! The submission queue: any edge thread puts requests in, any seat takes them out.
//!
//! Producers hold a lock of the edge's process. Consumers claim first and move the head second: the claim
//! is the compare-and-swap on the slot's owner word, and whoever finds the head's entry claimed or stale
//! moves the head on. So a consumer killed between the two leaves an owned slot, never a stuck queue.
//!
//! A cancelled or requeued request leaves a stale entry behind, whose generation no slot has any more. The
//! queue has four times as many entries as there are slots, and [`Producer::is_crowded`] says when no more stale entries may
//! be made; so there is always room for a request that has a slot.

use std::sync::atomic::Ordering;

use crate::owner::Owner;
use crate::segment::Segment;

/// The producers' private state. Kept behind a lock; a worker cannot touch it.
#[derive(Debug, Default)]
pub(crate) struct Producer {
    produced: u64,
}

impl Producer {
    /// Appends an entry for a slot whose owner word is already QUEUED. `false`: no room.
    pub fn push(&mut self, segment: &Segment, slot: u32, generation: u32) -> bool {
        let queue = segment.submissions();
        // A head that makes no sense gives a huge difference: no room, until the queue is rebuilt.
        if self.produced.wrapping_sub(queue.consumed.load(Ordering::Acquire)) >= queue.capacity() {
            return false;
        }
        queue.entry(self.produced).store(u64::from(generation) << 32 | u64::from(slot), Ordering::Release);
        self.produced = self.produced.wrapping_add(1);
        queue.produced.store(self.produced, Ordering::Release);
        true
    }

    /// Whether there are so many entries that a request should rather be marked than cancelled.
    pub fn is_crowded(&self, segment: &Segment) -> bool {
        let queue = segment.submissions();
        let entries = self.produced.wrapping_sub(queue.consumed.load(Ordering::Relaxed));
        entries >= queue.capacity() - u64::from(segment.layout().slots()) - 1
    }

    /// Whether a worker has scribbled on the counters.
    pub fn is_damaged(&self, segment: &Segment) -> bool {
        let queue = segment.submissions();
        queue.produced.load(Ordering::Relaxed) != self.produced
            || self.produced.wrapping_sub(queue.consumed.load(Ordering::Acquire)) > queue.capacity()
    }

    /// Drops every entry. The caller puts the slots that are still queued in again, under new generations.
    pub fn clear(&mut self, segment: &Segment) {
        let queue = segment.submissions();
        queue.produced.store(self.produced, Ordering::Release);
        queue.consumed.store(self.produced, Ordering::Release);
    }
}

/// Entries between head and tail, stale ones included.
pub(crate) fn waiting(segment: &Segment) -> u64 {
    let queue = segment.submissions();
    let consumed = queue.consumed.load(Ordering::Acquire);
    let produced = queue.produced.load(Ordering::Acquire);
    match produced.wrapping_sub(consumed) {
        waiting if waiting <= queue.capacity() => waiting,
        // The head was read before others moved both on, or makes no sense.
        _ => 0,
    }
}

/// Takes the next request for `seat`: its slot and generation.
pub(crate) fn claim(segment: &Segment, seat: u16) -> Option<(u32, u32)> {
    let queue = segment.submissions();
    loop {
        let head = queue.consumed.load(Ordering::Acquire);
        let waiting = queue.produced.load(Ordering::Acquire).wrapping_sub(head);
        if waiting == 0 || waiting > queue.capacity() {
            return None;
        }
        // If the head has moved on meanwhile this may be a later entry: no harm, the claim decides.
        let entry = queue.entry(head).load(Ordering::Acquire);
        let (slot, generation) = (entry as u32, (entry >> 32) as u32);
        let claimed = slot < segment.layout().slots() && {
            let (queued, claimed) = (Owner::queued(generation).to_word(), Owner::claimed(generation, seat).to_word());
            let owner = &segment.slot(slot).request.owner;
            owner.compare_exchange(queued, claimed, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        // A failure means that somebody else has moved the head past this entry.
        let _ = queue.consumed.compare_exchange(head, head.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed);
        if claimed {
            return Some((slot, generation));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::layout::Layout;

    const LAYOUT: Layout =
        Layout { sides: 1, processes: 2, threads: 1, edge_threads: 1, slots_per_thread: 64, chunks: 1 };

    fn segment() -> Segment {
        let memory = Segment::create(&LAYOUT).expect("made");
        Segment::map(memory.as_fd(), &LAYOUT).expect("mapped")
    }

    fn submit(segment: &Segment, producer: &mut Producer, slot: u32, generation: u32) -> bool {
        segment.slot(slot).request.owner.store(Owner::queued(generation).to_word(), Ordering::Release);
        producer.push(segment, slot, generation)
    }

    #[test]
    fn requests_come_out_in_order_and_once() {
        let (segment, mut producer) = (segment(), Producer::default());
        assert_eq!(claim(&segment, 0), None);
        for slot in 0..8 {
            assert!(submit(&segment, &mut producer, slot, 5));
        }
        assert_eq!(waiting(&segment), 8);
        let claimed: Vec<_> = std::iter::from_fn(|| claim(&segment, 1)).collect();
        assert_eq!(claimed, (0..8).map(|slot| (slot, 5)).collect::<Vec<_>>());
        let owner = Owner::from_word(segment.slot(3).request.owner.load(Ordering::Relaxed));
        assert_eq!(owner, Owner::claimed(5, 1));
    }

    #[test]
    fn an_entry_claimed_by_the_dead_is_stepped_over() {
        let (segment, mut producer) = (segment(), Producer::default());
        submit(&segment, &mut producer, 0, 1);
        submit(&segment, &mut producer, 1, 1);
        // Killed after its claim, before it moved the head.
        segment.slot(0).request.owner.store(Owner::claimed(1, 0).to_word(), Ordering::Release);
        assert_eq!(claim(&segment, 1), Some((1, 1)));
        assert_eq!(claim(&segment, 1), None);
        assert_eq!(waiting(&segment), 0);
    }

    #[test]
    fn stale_entries_never_crowd_out_a_slot() {
        let (segment, mut producer) = (segment(), Producer::default());
        let mut generation = 0;
        while !producer.is_crowded(&segment) {
            generation += 1;
            assert!(submit(&segment, &mut producer, 0, generation), "cancelled and submitted again");
        }
        for slot in 0..64 {
            assert!(submit(&segment, &mut producer, slot, generation + 1));
        }
        assert_eq!(std::iter::from_fn(|| claim(&segment, 0)).count(), 64);
    }

    #[test]
    fn a_scribbled_head_blocks_and_is_repaired() {
        let (segment, mut producer) = (segment(), Producer::default());
        submit(&segment, &mut producer, 0, 1);
        segment.submissions().consumed.store(99_999, Ordering::Relaxed);
        assert_eq!(claim(&segment, 0), None);
        assert!(!submit(&segment, &mut producer, 1, 1));
        assert!(producer.is_damaged(&segment));
        producer.clear(&segment);
        assert!(!producer.is_damaged(&segment));
        assert!(submit(&segment, &mut producer, 0, 2));
        assert_eq!(claim(&segment, 0), Some((0, 2)));
    }
}
