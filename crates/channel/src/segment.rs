//! The shared memory: made, sealed, mapped, and read through atomics and copies only.
//!
//! No Rust reference into the segment exists but to atomics. Bytes go in and out by copying, or to the
//! kernel by raw pointer, since the other side may write them at any time.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::error::ChannelError;
use crate::layout::{Layout, Places, QUEUE_COUNTERS_BYTES, SEAT_BLOCK_BYTES, SLOT_HEADER_BYTES};
use crate::limits::{CACHE_LINE, CHUNK_BYTES, SIDES_MAX, SLOT_BYTES, SLOT_STRIDE};

/// The first page: says what the rest is.
#[repr(C)]
struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    processes: AtomicU32,
    threads: AtomicU32,
    edge_threads: AtomicU32,
    slots_per_thread: AtomicU32,
    chunks: AtomicU32,
    /// By side: process id of the zygote whose workers may attach, 0 if the next one to come may.
    admitted: [AtomicU32; SIDES_MAX as usize],
    sides: AtomicU32,
}

const MAGIC: u64 = u64::from_le_bytes(*b"daemun\0h");
const VERSION: u32 = 2;

/// The counters of a queue, a cache line each. Both only grow; a place is the counter modulo the size.
#[repr(C)]
pub(crate) struct QueueCounters {
    pub produced: Line<AtomicU64>,
    pub consumed: Line<AtomicU64>,
}

/// A value with a cache line to itself.
#[repr(C, align(64))]
pub(crate) struct Line<T>(pub T);

/// What a seat tells the zygote, and is told by it.
#[repr(C, align(128))]
pub(crate) struct SeatBlock {
    /// Start of the running request in milliseconds, 0 if none runs.
    pub busy_since_ms: AtomicU64,
    pub served: AtomicU64,
    /// Microseconds that requests have run, all of them, and by a moving average.
    pub running_us: AtomicU64,
    pub average_us: AtomicU64,
    /// Octets of bodies that were answered.
    pub sent: AtomicU64,
    /// Requests that ended in an exception of the application's.
    pub exceptions: AtomicU64,
    /// Not 0: finish what runs and take no more.
    pub stop: AtomicU32,
    /// Not 0: take nothing yet.
    pub hold: AtomicU32,
    /// Not 0: the process behind the seat could serve.
    pub up: AtomicU32,
}

/// The shared state of one slot; its bytes lie elsewhere, so that all headers share few pages.
#[repr(C)]
pub(crate) struct SlotHeader {
    pub request: RequestLine,
    pub response: ResponseLine,
    pub flow: FlowLine,
}

/// Written by the edge before it queues the slot; the owner word by both, see `owner`.
#[repr(C, align(64))]
pub(crate) struct RequestLine {
    pub owner: AtomicU64,
    /// Bytes of a deferred body, [`UNKNOWN_LENGTH`] if unknown.
    pub deferred_length: AtomicU64,
    pub record_length: AtomicU32,
    /// Bytes of the inline body, which follows the record.
    pub body_length: AtomicU32,
    /// One of the `BODY_` constants.
    pub body_kind: AtomicU32,
    pub edge_thread: AtomicU32,
    /// Not 0: the client is gone. Written by the edge while the worker runs.
    pub aborted: AtomicU32,
    /// Not 0: the pipe's end is the end of the whole body. Written by the edge before it closes the pipe.
    pub body_whole: AtomicU32,
}

pub(crate) const BODY_NONE: u32 = 0;
pub(crate) const BODY_INLINE: u32 = 1;
pub(crate) const BODY_DEFERRED: u32 = 2;
pub(crate) const UNKNOWN_LENGTH: u64 = u64::MAX;

/// Written by the worker; see `stream` for the body's fields.
#[repr(C, align(64))]
pub(crate) struct ResponseLine {
    pub produced: AtomicU64,
    pub switch_at: AtomicU64,
    pub started_ms: AtomicU64,
    pub head_offset: AtomicU32,
    pub head_length: AtomicU32,
    pub inline_offset: AtomicU32,
    pub inline_size: AtomicU32,
    /// Index of the attached chunk plus one, 0 for none.
    pub chunk: AtomicU32,
}

/// The flow of the response body while it streams.
#[repr(C, align(64))]
pub(crate) struct FlowLine {
    pub consumed: AtomicU64,
    /// Not 0: a DATA entry is on its way that covers everything produced before the edge clears this.
    pub data_pending: AtomicU32,
    /// Not 0: the worker sleeps until there is room.
    pub space_wanted: AtomicU32,
}

/// What an edge thread sleeps by.
#[repr(C, align(128))]
pub(crate) struct Bell {
    /// Not 0: the thread sleeps or is about to; whoever clears it writes the eventfd.
    pub armed: AtomicU32,
}

const _: () = {
    assert!(size_of::<QueueCounters>() == QUEUE_COUNTERS_BYTES);
    assert!(size_of::<SeatBlock>() == SEAT_BLOCK_BYTES);
    assert!(size_of::<SlotHeader>() == SLOT_HEADER_BYTES);
};

/// A queue in the segment: its counters and its entries.
pub(crate) struct Queue<'a> {
    pub produced: &'a AtomicU64,
    pub consumed: &'a AtomicU64,
    pub entries: &'a [AtomicU64],
}

impl<'a> Queue<'a> {
    /// The place of a counter's value.
    pub fn entry(&self, counter: u64) -> &'a AtomicU64 {
        // The number of entries is a power of two, so the mask keeps the index inside.
        &self.entries[(counter as usize) & (self.entries.len() - 1)]
    }

    pub fn capacity(&self) -> u64 {
        self.entries.len() as u64
    }
}

/// A mapping of the whole segment.
#[derive(Debug)]
pub(crate) struct Segment {
    base: NonNull<u8>,
    layout: Layout,
    places: Places,
}

// SAFETY: the mapping is valid for the life of the value, in every thread, and all access is through
// atomics or raw copies.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// Makes a segment in its first state, of a size that nobody can change afterwards.
    pub fn create(layout: &Layout) -> Result<OwnedFd, ChannelError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = rustix::fs::memfd_create("daemun-pool", flags).map_err(ChannelError::system("memfd_create"))?;
        let bytes = Places::of(layout).total as u64;
        rustix::fs::ftruncate(&memory, bytes).map_err(ChannelError::system("size the segment"))?;
        // A worker that could shrink the file would kill the edge by SIGBUS.
        rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(ChannelError::system("seal the segment"))?;
        Self::write_header(memory.as_fd(), layout)?;
        Ok(memory)
    }

    /// Zeroes a segment, giving its memory back, and writes the header anew.
    pub fn format(memory: BorrowedFd<'_>, layout: &Layout) -> Result<(), ChannelError> {
        let bytes = Places::of(layout).total as u64;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(memory, flags, 0, bytes).map_err(ChannelError::system("clear the segment"))?;
        Self::write_header(memory, layout)
    }

    fn write_header(memory: BorrowedFd<'_>, layout: &Layout) -> Result<(), ChannelError> {
        let segment = Self::map_unchecked(memory, layout)?;
        let header = segment.header();
        for (field, value) in header.numbers().into_iter().zip(numbers(layout)) {
            field.store(value, Ordering::Relaxed);
        }
        header.magic.store(MAGIC, Ordering::Release);
        Ok(())
    }

    /// Maps a segment and compares its header with the layout that the caller was told.
    pub fn map(memory: BorrowedFd<'_>, layout: &Layout) -> Result<Self, ChannelError> {
        layout.check()?;
        let segment = Self::map_unchecked(memory, layout)?;
        let header = segment.header();
        if header.magic.load(Ordering::Acquire) != MAGIC {
            return Err(ChannelError::Segment("no segment of ours"));
        }
        let found = header.numbers().map(|field| field.load(Ordering::Relaxed));
        if found != numbers(layout) {
            return Err(ChannelError::Segment("version or layout"));
        }
        Ok(segment)
    }

    fn map_unchecked(memory: BorrowedFd<'_>, layout: &Layout) -> Result<Self, ChannelError> {
        let places = Places::of(layout);
        let size = rustix::fs::fstat(memory).map_err(ChannelError::system("size of the segment"))?.st_size;
        if u64::try_from(size) != Ok(places.total as u64) {
            return Err(ChannelError::Segment("its size"));
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), places.total, protection, MapFlags::SHARED, memory, 0) }
            .map_err(ChannelError::system("map the segment"))?;
        let base = NonNull::new(base.cast()).ok_or(ChannelError::Segment("mapped at address 0"))?;
        Ok(Self { base, layout: *layout, places })
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    fn header(&self) -> &Header {
        // SAFETY: Header consists of atomics only.
        unsafe { self.at(0) }
    }

    /// Whether workers of this zygote may attach: it is the first of its side since the segment was made or the side reset.
    pub fn is_admitted(&self, side: u16, zygote: u32) -> bool {
        let Some(admitted) = self.header().admitted.get(usize::from(side)) else { return false };
        match admitted.compare_exchange(0, zygote, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => true,
            Err(found) => found == zygote,
        }
    }

    /// Lets the workers of the side's next zygote attach.
    pub fn admit_next(&self, side: u16) {
        if let Some(admitted) = self.header().admitted.get(usize::from(side)) {
            admitted.store(0, Ordering::SeqCst);
        }
    }

    /// The queue of requests, which all seats take from.
    pub fn submissions(&self) -> Queue<'_> {
        self.queue(self.places.submission, self.places.submission_entries)
    }

    /// The queue from `seat` to `edge_thread`.
    pub fn completions(&self, seat: u16, edge_thread: u16) -> Queue<'_> {
        assert!(seat < self.layout.seats() && edge_thread < self.layout.edge_threads);
        let index = usize::from(edge_thread) * usize::from(self.layout.seats()) + usize::from(seat);
        let place = self.places.completions + index * self.places.completion_stride;
        self.queue(place, self.places.completion_entries)
    }

    fn queue(&self, place: usize, entries: u32) -> Queue<'_> {
        // SAFETY: QueueCounters consists of atomics only.
        let counters: &QueueCounters = unsafe { self.at(place) };
        let entries = self.words(place + QUEUE_COUNTERS_BYTES, entries as usize);
        Queue { produced: &counters.produced.0, consumed: &counters.consumed.0, entries }
    }

    /// Bitmap of the seats that sleep; see `wake` for the order of its bits.
    pub fn idle_seats(&self) -> &[AtomicU64] {
        self.words(self.places.seat_maps, self.places.seat_words)
    }

    /// Bitmap of the seats that were woken and have not looked yet.
    pub fn woken_seats(&self) -> &[AtomicU64] {
        let after_idle = (self.places.seat_words * 8).next_multiple_of(CACHE_LINE);
        self.words(self.places.seat_maps + after_idle, self.places.seat_words)
    }

    pub fn seat(&self, seat: u16) -> &SeatBlock {
        assert!(seat < self.layout.seats());
        // SAFETY: SeatBlock consists of atomics only.
        unsafe { self.at(self.places.seat_blocks + usize::from(seat) * SEAT_BLOCK_BYTES) }
    }

    pub fn bell(&self, edge_thread: u16) -> &Bell {
        // SAFETY: Bell consists of atomics only.
        unsafe { self.at(self.bell_place(edge_thread)) }
    }

    /// Bitmap, by seat, of the completion queues to `edge_thread` that have something new.
    pub fn ready_seats(&self, edge_thread: u16) -> &[AtomicU64] {
        self.words(self.bell_place(edge_thread) + 8, self.places.seat_words)
    }

    fn bell_place(&self, edge_thread: u16) -> usize {
        assert!(edge_thread < self.layout.edge_threads);
        self.places.bells + usize::from(edge_thread) * self.places.bell_stride
    }

    pub fn slot(&self, slot: u32) -> &SlotHeader {
        assert!(slot < self.layout.slots());
        // SAFETY: SlotHeader consists of atomics only.
        unsafe { self.at(self.places.slot_headers + slot as usize * SLOT_HEADER_BYTES) }
    }

    /// The owner words of the chunks, 0 for a free one; see `chunk`.
    pub fn chunk_owner(&self, chunk: u32) -> &AtomicU64 {
        assert!(chunk < self.layout.chunks);
        // SAFETY: an atomic.
        unsafe { self.at(self.places.chunk_owners + chunk as usize * CACHE_LINE) }
    }

    /// `length` bytes of a slot from `offset` on.
    pub fn slot_bytes(&self, slot: u32, offset: usize, length: usize) -> Bytes<'_> {
        assert!(slot < self.layout.slots());
        assert!(offset <= SLOT_BYTES && length <= SLOT_BYTES - offset);
        self.bytes(self.places.slots + slot as usize * SLOT_STRIDE + offset, length)
    }

    /// `length` bytes of a chunk from `offset` on.
    pub fn chunk_bytes(&self, chunk: u32, offset: usize, length: usize) -> Bytes<'_> {
        assert!(chunk < self.layout.chunks);
        assert!(offset <= CHUNK_BYTES && length <= CHUNK_BYTES - offset);
        self.bytes(self.places.chunks + chunk as usize * CHUNK_BYTES + offset, length)
    }

    fn bytes(&self, place: usize, length: usize) -> Bytes<'_> {
        assert!(place + length <= self.places.total);
        // SAFETY: the assertion keeps the pointer inside of the mapping.
        let pointer = unsafe { self.base.add(place) };
        Bytes { pointer, length, segment: std::marker::PhantomData }
    }

    fn words(&self, place: usize, count: usize) -> &[AtomicU64] {
        assert!(place.is_multiple_of(8) && place + count * 8 <= self.places.total);
        // SAFETY: inside of the mapping and aligned by the assertion; atomics may be shared with other processes.
        unsafe { std::slice::from_raw_parts(self.base.add(place).cast().as_ptr(), count) }
    }

    /// # Safety
    ///
    /// `T` must consist of atomics (and padding) only: the memory is shared, and any bit pattern occurs.
    unsafe fn at<T>(&self, place: usize) -> &T {
        assert!(place.is_multiple_of(align_of::<T>()) && place + size_of::<T>() <= self.places.total);
        // SAFETY: inside of the mapping and aligned by the assertion; the rest is the caller's promise.
        unsafe { self.base.add(place).cast().as_ref() }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing that borrows from it outlives this value.
        let result = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.places.total) };
        debug_assert!(result.is_ok(), "the mapping was not ours");
    }
}

impl Header {
    fn numbers(&self) -> [&AtomicU32; 7] {
        [
            &self.version,
            &self.sides,
            &self.processes,
            &self.threads,
            &self.edge_threads,
            &self.slots_per_thread,
            &self.chunks,
        ]
    }
}

fn numbers(layout: &Layout) -> [u32; 7] {
    [
        VERSION,
        layout.sides.into(),
        layout.processes.into(),
        layout.threads.into(),
        layout.edge_threads.into(),
        layout.slots_per_thread,
        layout.chunks,
    ]
}

/// A place in the segment whose bounds have been checked.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    pointer: NonNull<u8>,
    length: usize,
    segment: std::marker::PhantomData<&'a Segment>,
}

impl<'a> Bytes<'a> {
    pub fn pointer(&self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    pub fn len(&self) -> usize {
        self.length
    }

    /// Copies `source`, at most as long as the place, to its front.
    pub fn copy_from(&self, source: &[u8]) {
        assert!(source.len() <= self.length);
        // SAFETY: `source` is ordinary memory, disjoint from the mapping as no reference into that exists
        // beside `as_slice`'s; both are long enough by the assertion.
        unsafe { ptr::copy(source.as_ptr(), self.pointer.as_ptr(), source.len()) };
    }

    /// Appends the bytes to `out`.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.length);
        // SAFETY: reserve made room for `length` bytes behind the vector's own, which the copy fills.
        unsafe {
            let end = out.as_mut_ptr().add(out.len());
            ptr::copy_nonoverlapping(self.pointer.as_ptr(), end, self.length);
            out.set_len(out.len() + self.length);
        }
    }

    /// The bytes as a slice.
    ///
    /// # Safety
    ///
    /// Nobody may write them while the slice lives: true for the request's bytes in a worker that has
    /// claimed the slot, since it trusts the edge. Never true in the edge.
    pub unsafe fn as_slice(&self) -> &'a [u8] {
        // SAFETY: the bounds were checked when the place was made; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.length) }
    }

    /// The bytes as a slice to write to.
    ///
    /// # Safety
    ///
    /// Nobody else may read or write them while the slice lives: true for the part of a claimed slot that
    /// its worker has told nobody about.
    pub unsafe fn as_mut_slice(self) -> &'a mut [u8] {
        // SAFETY: the bounds were checked when the place was made; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout =
        Layout { sides: 1, processes: 2, threads: 3, edge_threads: 2, slots_per_thread: 4, chunks: 3 };

    #[test]
    fn a_segment_is_recognized_by_its_layout() {
        let memory = Segment::create(&LAYOUT).expect("made");
        assert!(Segment::map(memory.as_fd(), &LAYOUT).is_ok());
        let other = Layout { threads: 2, processes: 3, ..LAYOUT };
        let error = Segment::map(memory.as_fd(), &other).expect_err("another layout of the same size");
        assert_eq!(error.to_string(), "the shared segment does not match: version or layout");
        let larger = Layout { chunks: 4, ..LAYOUT };
        assert!(Segment::map(memory.as_fd(), &larger).is_err());
    }

    #[test]
    fn the_size_is_sealed() {
        let memory = Segment::create(&LAYOUT).expect("made");
        assert_eq!(rustix::fs::ftruncate(&memory, 4096), Err(rustix::io::Errno::PERM));
    }

    #[test]
    fn parts_do_not_overlap() {
        let memory = Segment::create(&LAYOUT).expect("made");
        let segment = Segment::map(memory.as_fd(), &LAYOUT).expect("mapped");
        for slot in 0..LAYOUT.slots() {
            segment.slot_bytes(slot, 0, SLOT_BYTES).copy_from(&vec![slot as u8 + 1; SLOT_BYTES]);
        }
        for chunk in 0..LAYOUT.chunks {
            segment.chunk_bytes(chunk, 0, CHUNK_BYTES).copy_from(&vec![chunk as u8 + 101; CHUNK_BYTES]);
        }
        for slot in 0..LAYOUT.slots() {
            let mut bytes = Vec::new();
            segment.slot_bytes(slot, 0, SLOT_BYTES).append_to(&mut bytes);
            assert!(bytes.iter().all(|byte| *byte == slot as u8 + 1));
            assert_eq!(segment.slot(slot).request.owner.load(Ordering::Relaxed), 0);
        }
        assert_eq!(segment.chunk_owner(2).load(Ordering::Relaxed), 0);
    }

    #[test]
    fn formatting_forgets_everything_but_the_header() {
        let memory = Segment::create(&LAYOUT).expect("made");
        let segment = Segment::map(memory.as_fd(), &LAYOUT).expect("mapped");
        segment.submissions().produced.store(9, Ordering::Relaxed);
        Segment::format(memory.as_fd(), &LAYOUT).expect("formatted");
        assert_eq!(segment.submissions().produced.load(Ordering::Relaxed), 0);
        assert!(Segment::map(memory.as_fd(), &LAYOUT).is_ok());
    }
}
