//! Where things lie in the segment: a pure function of five numbers.

use serde::{Deserialize, Serialize};

use crate::error::ChannelError;
use crate::limits::{
    CACHE_LINE, CHUNK_BYTES, CHUNKS_MAX, COMPLETIONS_PER_SLOT, EDGE_THREADS_MAX, PAGE, SEATS_MAX, SIDES_MAX,
    SLOT_STRIDE, SLOTS_MAX, SLOTS_PER_THREAD_MAX,
};

/// The numbers that size a pool's segment; both sides must agree on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Zygotes that may live at once: one that serves, and one that is to take its place. Each has a *side* of the pool,
    /// which is an equal share of the processes.
    pub sides: u16,
    /// Places for worker processes, of all sides together.
    pub processes: u16,
    /// Threads of each worker process that take requests; a *seat* is one of them.
    pub threads: u16,
    /// Event-loop threads of the edge.
    pub edge_threads: u16,
    /// Requests that one edge thread can have queued and running at once.
    pub slots_per_thread: u32,
    /// Rings for large responses, shared by the whole pool; without a free one the slot itself serves.
    pub chunks: u32,
}

impl Layout {
    /// Number of seats, `processes * threads`.
    pub fn seats(&self) -> u16 {
        self.processes.saturating_mul(self.threads)
    }

    /// Number of slots of the pool.
    pub fn slots(&self) -> u32 {
        u32::from(self.edge_threads).saturating_mul(self.slots_per_thread)
    }

    /// The seats of one worker process.
    pub fn seats_of(&self, worker: u16) -> std::ops::Range<u16> {
        let first = worker.saturating_mul(self.threads);
        first..first.saturating_add(self.threads).min(self.seats())
    }

    /// The worker processes of one side.
    pub fn workers_of(&self, side: u16) -> std::ops::Range<u16> {
        let share = self.processes / self.sides.max(1);
        let first = side.saturating_mul(share).min(self.processes);
        first..first.saturating_add(share).min(self.processes)
    }

    /// The side that a worker process belongs to.
    pub fn side_of(&self, worker: u16) -> u16 {
        worker / (self.processes / self.sides.max(1)).max(1)
    }

    /// Refuses numbers that are zero or above their limits.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Layout`] names the first number that is out of its range.
    pub fn check(&self) -> Result<(), ChannelError> {
        let within = |what, value: u64, most: u64| match value {
            value if value == 0 || value > most => Err(ChannelError::Layout { what, value, most }),
            _ => Ok(()),
        };
        within("sides", self.sides.into(), SIDES_MAX.into())?;
        within("processes", self.processes.into(), SEATS_MAX.into())?;
        within("threads", self.threads.into(), SEATS_MAX.into())?;
        within("seats", u64::from(self.processes) * u64::from(self.threads), SEATS_MAX.into())?;
        within("edge threads", self.edge_threads.into(), EDGE_THREADS_MAX.into())?;
        within("slots per edge thread", self.slots_per_thread.into(), SLOTS_PER_THREAD_MAX.into())?;
        within("slots", u64::from(self.edge_threads) * u64::from(self.slots_per_thread), SLOTS_MAX.into())?;
        within("chunks", self.chunks.into(), CHUNKS_MAX.into())
    }
}

/// Byte offsets of the parts of a segment, all page-aligned but the queues' own fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    /// Entries of the submission queue, a power of two.
    pub submission_entries: u32,
    /// Entries of each completion queue, a power of two.
    pub completion_entries: u32,
    /// Words of a bitmap over the seats.
    pub seat_words: usize,
    pub submission: usize,
    pub seat_maps: usize,
    pub seat_blocks: usize,
    pub bells: usize,
    pub bell_stride: usize,
    pub completions: usize,
    pub completion_stride: usize,
    pub slot_headers: usize,
    pub chunk_owners: usize,
    pub slots: usize,
    pub chunks: usize,
    pub total: usize,
}

/// Bytes of one seat's block and of one slot's header; the structs in `segment` assert them.
pub(crate) const SEAT_BLOCK_BYTES: usize = 2 * CACHE_LINE;
pub(crate) const SLOT_HEADER_BYTES: usize = 3 * CACHE_LINE;
/// Producer's and consumer's counters, a cache line each, stand before a queue's entries.
pub(crate) const QUEUE_COUNTERS_BYTES: usize = 2 * CACHE_LINE;

impl Places {
    /// `layout` must have passed [`Layout::check`].
    pub fn of(layout: &Layout) -> Self {
        let seats = usize::from(layout.seats());
        let edge_threads = usize::from(layout.edge_threads);
        let slots = layout.slots() as usize;
        let chunks = layout.chunks as usize;
        let seat_words = seats.div_ceil(64);
        // Cancelled requests leave stale entries behind, hence four times the slots; see `queue`.
        let submission_entries = (layout.slots() * 4).next_power_of_two().max(256);
        let completion_entries = (layout.slots_per_thread * COMPLETIONS_PER_SLOT).next_power_of_two();
        let completion_stride = QUEUE_COUNTERS_BYTES + completion_entries as usize * 8;
        let bell_stride = (8 + seat_words * 8).next_multiple_of(2 * CACHE_LINE);

        let mut next = PAGE; // The header has the first page.
        let mut take = |bytes: usize| {
            let place = next;
            next = (next + bytes).next_multiple_of(PAGE);
            place
        };
        let submission = take(QUEUE_COUNTERS_BYTES + submission_entries as usize * 8);
        let seat_maps = take(2 * (seat_words * 8).next_multiple_of(CACHE_LINE));
        let seat_blocks = take(seats * SEAT_BLOCK_BYTES);
        let bells = take(edge_threads * bell_stride);
        let completions = take(seats * edge_threads * completion_stride);
        let slot_headers = take(slots * SLOT_HEADER_BYTES);
        let chunk_owners = take(chunks * CACHE_LINE);
        let slots = take(slots * SLOT_STRIDE);
        let chunks = take(chunks * CHUNK_BYTES);
        Self {
            submission_entries,
            completion_entries,
            seat_words,
            submission,
            seat_maps,
            seat_blocks,
            bells,
            bell_stride,
            completions,
            completion_stride,
            slot_headers,
            chunk_owners,
            slots,
            chunks,
            total: next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout =
        Layout { sides: 1, processes: 4, threads: 2, edge_threads: 2, slots_per_thread: 256, chunks: 8 };

    #[test]
    fn parts_follow_each_other() {
        let places = Places::of(&LAYOUT);
        let order = [
            places.submission,
            places.seat_maps,
            places.seat_blocks,
            places.bells,
            places.completions,
            places.slot_headers,
            places.chunk_owners,
            places.slots,
            places.chunks,
            places.total,
        ];
        assert!(order.is_sorted_by(|a, b| a < b));
        assert!(order.iter().all(|place| place % PAGE == 0));
        assert!(places.submission_entries >= LAYOUT.slots() * 4);
        assert!(places.completion_entries >= LAYOUT.slots_per_thread * COMPLETIONS_PER_SLOT);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let text = |layout: Layout| layout.check().map_err(|error| error.to_string());
        assert_eq!(text(LAYOUT), Ok(()));
        let no_threads = Layout { threads: 0, ..LAYOUT };
        assert_eq!(text(no_threads), Err("threads is 0, it must be between 1 and 4096".into()));
        let crowded = Layout { sides: 1, processes: 1000, threads: 100, ..LAYOUT };
        assert_eq!(text(crowded), Err("seats is 100000, it must be between 1 and 4096".into()));
    }

    #[test]
    fn sides_share_the_processes() {
        let layout = Layout { sides: 2, processes: 6, ..LAYOUT };
        assert_eq!((layout.workers_of(0), layout.workers_of(1)), (0..3, 3..6));
        assert_eq!((layout.side_of(2), layout.side_of(3)), (0, 1));
        assert!(layout.workers_of(2).is_empty());
    }

    #[test]
    fn seats_of_a_worker_are_neighbours() {
        assert_eq!(LAYOUT.seats_of(0), 0..2);
        assert_eq!(LAYOUT.seats_of(3), 6..8);
        assert!(LAYOUT.seats_of(9).is_empty(), "a worker that does not exist has no seat");
    }
}
