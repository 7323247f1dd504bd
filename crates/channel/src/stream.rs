//! Where the bytes of a response body lie.
//!
//! A body is a stream of bytes at positions 0, 1, ... Up to the position `switch_at` they lie in the rest of
//! the slot, used as a ring; from there on in an attached chunk, used as a ring. As long as no chunk is
//! attached, `switch_at` is [`NEVER`], and a body that fits lies in the slot in one piece.

use std::sync::atomic::Ordering;

use crate::chunk;
use crate::error::Violation;
use crate::limits::{CHUNK_BYTES, SLOT_BYTES};
use crate::segment::{Bytes, ResponseLine, Segment};

/// `switch_at` of a body without a chunk.
pub(crate) const NEVER: u64 = u64::MAX;

/// Least room for an inline body that a response head leaves, so that a body can always get on.
pub(crate) const INLINE_BYTES_MIN: usize = 1024;

/// The places of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    pub slot: u32,
    pub inline_offset: usize,
    pub inline_size: usize,
    pub switch_at: u64,
    /// Meaningful from `switch_at` on.
    pub chunk: u32,
}

impl Stream {
    /// A body in the rest of a slot from `inline_offset` on.
    pub fn inline(slot: u32, inline_offset: usize) -> Self {
        Self { slot, inline_offset, inline_size: SLOT_BYTES.saturating_sub(inline_offset), switch_at: NEVER, chunk: 0 }
    }

    /// What the worker has noted down, and the bytes it has produced, checked as far as bounds go; the edge's side.
    pub fn read(line: &ResponseLine, slot: u32) -> Result<(Self, u64), Violation> {
        // First: what is noted down before `produced` covers everything up to it.
        let produced = line.produced.load(Ordering::Acquire);
        let stream = Self {
            slot,
            inline_offset: line.inline_offset.load(Ordering::Relaxed) as usize,
            inline_size: line.inline_size.load(Ordering::Relaxed) as usize,
            switch_at: line.switch_at.load(Ordering::Relaxed),
            chunk: line.chunk.load(Ordering::Relaxed).wrapping_sub(1),
        };
        match stream.inline_offset <= SLOT_BYTES && stream.inline_size <= SLOT_BYTES - stream.inline_offset {
            true => Ok((stream, produced)),
            false => Err(Violation::Body),
        }
    }

    /// Bytes that can still be produced before the consumer has to go on; the worker's side.
    pub fn room(&self, produced: u64, consumed: u64) -> usize {
        let (used, size) = match self.switch_at {
            NEVER => (produced - consumed.min(produced), self.inline_size),
            switch_at => (produced - consumed.max(switch_at).min(produced), CHUNK_BYTES),
        };
        size.saturating_sub(used as usize)
    }

    /// Most bytes that can be unread at once.
    pub fn unread_max(&self) -> u64 {
        match self.switch_at {
            NEVER => self.inline_size as u64,
            _ => (self.inline_size + CHUNK_BYTES) as u64,
        }
    }

    /// Bytes of the ring that is being written to.
    pub fn ring_size(&self) -> u64 {
        match self.switch_at {
            NEVER => self.inline_size as u64,
            _ => CHUNK_BYTES as u64,
        }
    }

    /// The longest piece from `position` on that lies together, at most `most` bytes.
    pub fn span<'a>(&self, segment: &'a Segment, position: u64, most: usize) -> Bytes<'a> {
        if position < self.switch_at {
            let place = match position {
                position if position < self.inline_size as u64 => position as usize,
                position => position.checked_rem(self.inline_size as u64).unwrap_or(0) as usize,
            };
            let before_switch = usize::try_from(self.switch_at - position).unwrap_or(usize::MAX);
            let length = most.min(self.inline_size - place).min(before_switch);
            segment.slot_bytes(self.slot, self.inline_offset + place, length)
        } else {
            let place = (position - self.switch_at) as usize % CHUNK_BYTES;
            segment.chunk_bytes(self.chunk, place, most.min(CHUNK_BYTES - place))
        }
    }

    /// As [`Stream::span`], for a reader that does not trust the writer.
    pub fn span_checked<'a>(
        &self,
        segment: &'a Segment,
        generation: u32,
        position: u64,
        most: usize,
    ) -> Result<Bytes<'a>, Violation> {
        let in_chunk = position >= self.switch_at;
        if in_chunk && !chunk::is_owned(segment, self.chunk, self.slot, generation) {
            return Err(Violation::Body);
        }
        let span = self.span(segment, position, most);
        match span.len() {
            0 if most > 0 => Err(Violation::Body), // No ring at all: going on would never end.
            _ => Ok(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::layout::Layout;

    #[test]
    fn room_and_spans_follow_the_switch() {
        let layout = Layout { sides: 1, processes: 1, threads: 1, edge_threads: 1, slots_per_thread: 1, chunks: 1 };
        let memory = Segment::create(&layout).expect("made");
        let segment = Segment::map(memory.as_fd(), &layout).expect("mapped");
        let mut stream = Stream::inline(0, SLOT_BYTES - 1000);
        assert_eq!(stream.room(0, 0), 1000);
        assert_eq!(stream.room(1000, 0), 0);
        assert_eq!(stream.room(1500, 600), 100);
        assert_eq!(stream.span(&segment, 900, 500).len(), 100, "up to the end of the slot");
        assert_eq!(stream.span(&segment, 1000, 500).len(), 500, "and round");
        // 600 bytes are unread when a chunk is attached at 1500.
        stream.switch_at = 1500;
        assert_eq!(stream.room(1500, 900), CHUNK_BYTES);
        assert_eq!(stream.room(2500, 900), CHUNK_BYTES - 1000);
        assert_eq!(stream.room(2500, 2000), CHUNK_BYTES - 500);
        assert_eq!(stream.span(&segment, 1400, 500).len(), 100, "not over the switch");
        assert_eq!(stream.span(&segment, 1500, 500).len(), 500);
        assert_eq!(stream.span(&segment, 1500 + CHUNK_BYTES as u64 - 10, 500).len(), 10);
        assert!(stream.span_checked(&segment, 1, 1500, 1).is_err(), "the chunk is not this request's");
    }

    #[test]
    fn nonsense_is_refused() {
        let layout = Layout { sides: 1, processes: 1, threads: 1, edge_threads: 1, slots_per_thread: 1, chunks: 1 };
        let memory = Segment::create(&layout).expect("made");
        let segment = Segment::map(memory.as_fd(), &layout).expect("mapped");
        let line = &segment.slot(0).response;
        line.inline_offset.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(Stream::read(line, 0).err(), Some(Violation::Body));
        line.inline_offset.store(0, Ordering::Relaxed);
        let (stream, _) = Stream::read(line, 0).expect("a body of no size");
        assert!(stream.span_checked(&segment, 0, 0, 1).is_err());
        line.switch_at.store(NEVER, Ordering::Relaxed);
        let (stream, _) = Stream::read(line, 0).expect("a body of no size");
        assert!(stream.span_checked(&segment, 0, 99, 1).is_err());
    }
}
