//! What belongs to one event-loop thread and to no request.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use daemun_http::Headers;

use crate::body::RequestBody;
use crate::limits::{FILE_BYTES_PER_TURN, HEAD_BYTES_MAX, READ_BYTES, SPARE_REQUESTS};
use crate::request::Request;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
    /// Number of the configuration in force.
    static GENERATION: Cell<u64> = const { Cell::new(0) };
    static TURN: Cell<u64> = const { Cell::new(1) };
    /// Octets of files that went out within this turn.
    static FILE_BYTES: Cell<u64> = const { Cell::new(0) };
    static WRITE_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SPARE_HEADERS: Cell<Option<Headers>> = const { Cell::new(None) };
    static SPARE: RefCell<VecDeque<Box<Request>>> = const { RefCell::new(VecDeque::new()) };
}

/// Which turn of the event loop this is: everything that is handled within one had arrived before it began.
#[must_use]
pub fn turn() -> u64 {
    TURN.get()
}

/// Begins the next turn. Called whenever the thread is about to wait.
pub fn next_turn() {
    TURN.set(TURN.get().wrapping_add(1));
    FILE_BYTES.set(0);
}

/// Notes octets of a file that have been handed to a socket.
pub fn note_file_octets(count: u64) {
    FILE_BYTES.set(FILE_BYTES.get().saturating_add(count));
}

/// Whether so much of files has gone out within this turn that somebody else may be waiting.
#[must_use]
pub fn is_crowded() -> bool {
    FILE_BYTES.get() > FILE_BYTES_PER_TURN
}

/// Runs `use_buffer` with the thread's read buffer. A nested call gets a buffer of its own.
pub fn with_read_buffer<R>(use_buffer: impl FnOnce(&mut [u8]) -> R) -> R {
    READ_BUFFER.with(|buffer| match buffer.try_borrow_mut() {
        Ok(mut buffer) => use_buffer(&mut buffer),
        Err(_) => use_buffer(&mut vec![0; READ_BYTES]),
    })
}

/// Takes the thread's write buffer, empty; [`give_write_buffer`] brings it back.
#[must_use]
pub fn take_write_buffer() -> Vec<u8> {
    let mut buffer = WRITE_BUFFER.take();
    buffer.clear();
    buffer
}

/// Brings the write buffer back, unless it has grown too large to keep.
pub fn give_write_buffer(buffer: Vec<u8>) {
    if (1..=2 * READ_BYTES).contains(&buffer.capacity()) {
        WRITE_BUFFER.set(buffer);
    }
}

/// The memory of an earlier answer's fields.
#[must_use]
pub fn take_spare_headers() -> Headers {
    SPARE_HEADERS.take().unwrap_or_default()
}

/// Keeps the memory of an answer's fields for the next one, unless it is too large to keep.
pub fn give_spare_headers(headers: Headers) {
    if headers.capacity_octets() <= HEAD_BYTES_MAX {
        SPARE_HEADERS.set(Some(headers));
    }
}

/// A request object of an earlier request.
#[must_use]
pub fn take_spare_request() -> Option<Box<Request>> {
    SPARE.with_borrow_mut(VecDeque::pop_back)
}

/// Keeps a request object for later, unless it holds a configuration that is no longer in force.
pub fn give_spare_request(mut request: Box<Request>) {
    request.release();
    request.body = RequestBody::default(); // Its memory or its file goes now.
    if request.runtime.generation.number < GENERATION.get() {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_REQUESTS {
            spare.push_back(request);
        }
    });
}

/// Forgets the spare requests, which hold the runtime they last served.
pub fn clear_spare_requests() {
    SPARE.with_borrow_mut(VecDeque::clear);
}

/// Another configuration is in force: what holds an earlier one is not kept any more.
pub fn begin_generation(number: u64) {
    GENERATION.set(number);
    clear_spare_requests();
}

/// A number for the next request of this process.
#[must_use]
pub fn next_request_serial() -> u64 {
    thread_local! {
        /// Numbers are taken in batches, so that threads do not share a cache line for each request.
        static BATCH: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }
    static NEXT: AtomicU64 = AtomicU64::new(1);
    const BATCH_LENGTH: u64 = 1024;
    let (mut next, mut end) = BATCH.get();
    if next == end {
        next = NEXT.fetch_add(BATCH_LENGTH, Ordering::Relaxed);
        end = next + BATCH_LENGTH;
    }
    BATCH.set((next + 1, end));
    next
}

/// A number for the next connection of this process.
#[must_use]
pub fn next_connection_serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A number that follows from no earlier one. No secret: for choices that are anybody's business.
#[must_use]
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A random number that tells this process's request ids from those of others.
#[must_use]
pub fn process_seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let mut octets = [0_u8; 8];
        // Without random numbers the process id must do.
        match rustix::rand::getrandom(&mut octets, rustix::rand::GetRandomFlags::empty()) {
            Ok(_) => u64::from_ne_bytes(octets),
            Err(_) => u64::from(std::process::id()),
        }
    })
}
