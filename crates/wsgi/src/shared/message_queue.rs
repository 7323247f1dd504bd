//! A queue of messages in shared memory: any process puts in, any takes out, each message once and whole.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::shared::mutex::{Guarded, Plain};
use crate::shared::{Octets, Shared, zeroed};

/// A queue.
pub struct MessageQueue {
    block: &'static Block,
    ring: Octets,
}

#[repr(C)]
struct Block {
    ends: Guarded<Ends>,
    /// A copy of how many octets are taken, for those who only want to know whether there is anything.
    taken: AtomicU64,
}

// SAFETY: as its parts.
unsafe impl Shared for Block {}

/// Octets ever taken out and put in. Each is written when all else is done: whoever is killed before has done nothing.
#[derive(Clone, Copy)]
#[repr(C)]
struct Ends {
    head: u64,
    tail: u64,
}

// SAFETY: two numbers.
unsafe impl Plain for Ends {}

/// There is no room for the message, now or ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl MessageQueue {
    /// With room for `capacity` octets, four of which each message takes besides its own.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(capacity: usize) -> io::Result<Self> {
        let block = zeroed::<Block>(1)?;
        let [block] = block else { return Err(io::ErrorKind::OutOfMemory.into()) };
        block.ends.prepare()?;
        Ok(Self { block, ring: Octets::anonymous(capacity.max(LENGTH_BYTES + 1))? })
    }

    /// Puts a message in.
    ///
    /// # Errors
    ///
    /// [`Full`]
    pub fn put(&self, message: &[u8]) -> Result<(), Full> {
        let length = u32::try_from(message.len()).map_err(|_| Full)?;
        let mut ends = self.block.ends.lock();
        let capacity = self.ring.len() as u64;
        let taken = ends.tail.saturating_sub(ends.head);
        let needed = LENGTH_BYTES as u64 + u64::from(length);
        if taken.saturating_add(needed) > capacity {
            return Err(Full);
        }
        self.copy_in(ends.tail, &length.to_le_bytes());
        self.copy_in(ends.tail + LENGTH_BYTES as u64, message);
        // In this order: one too many is noticed by whoever looks, one too few by nobody.
        self.block.taken.store(taken + needed, Ordering::SeqCst);
        ends.tail += needed;
        Ok(())
    }

    /// Takes the oldest message out.
    pub fn take(&self) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let mut ends = self.block.ends.lock();
        let taken = ends.tail.saturating_sub(ends.head);
        let mut length = [0; LENGTH_BYTES];
        self.copy_out(ends.head, &mut length);
        let length = u64::from(u32::from_le_bytes(length));
        if taken < LENGTH_BYTES as u64 + length {
            // Empty, or some process has written where it should not: the queue begins anew.
            ends.head = ends.tail;
            self.block.taken.store(0, Ordering::SeqCst);
            return None;
        }
        let mut message = vec![0; usize::try_from(length).ok()?];
        self.copy_out(ends.head + LENGTH_BYTES as u64, &mut message);
        ends.head += LENGTH_BYTES as u64 + length;
        self.block.taken.store(ends.tail - ends.head, Ordering::SeqCst);
        Some(message)
    }

    /// Whether there is nothing in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.block.taken.load(Ordering::SeqCst) == 0
    }

    fn copy_in(&self, position: u64, octets: &[u8]) {
        let (start, first) = self.split(position, octets.len());
        let (front, back) = octets.split_at(first);
        self.ring.write(start, front);
        self.ring.write(0, back);
    }

    fn copy_out(&self, position: u64, octets: &mut [u8]) {
        let (start, first) = self.split(position, octets.len());
        let (front, back) = octets.split_at_mut(first);
        self.ring.read(start, front);
        self.ring.read(0, back);
    }

    /// Where `length` octets begin, and how many of them lie before the ring's end.
    fn split(&self, position: u64, length: usize) -> (usize, usize) {
        let start = (position % self.ring.len() as u64) as usize; // Below a usize.
        (start, length.min(self.ring.len() - start))
    }
}

const LENGTH_BYTES: usize = 4;
