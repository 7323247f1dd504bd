//! The limits of the hop's edge side, in one place.

use daemun_channel::limits::REQUEST_BYTES_MAX;

/// Requests of one event-loop thread that may wait for a slot; more are answered 503.
pub const WAITING_MAX: usize = 16 * 1024;

/// Completions handed over before other tasks of the loop get their turn.
pub const COMPLETIONS_PER_TURN: usize = 256;

/// Octets of the variables of one request.
///
/// A whole uwsgi packet of another server fits: nothing here is like uWSGI's `buffer-size`.
pub const RECORD_BYTES_MAX: usize = 72 * 1024;

/// Octets of a request body that travel beside the variables; a larger body goes over as a file.
pub const INLINE_BODY_BYTES: u64 = daemun_server::backend::SMALL_BODY_BYTES;

/// Octets that a streamed request body may be ahead of its worker.
pub const BODY_PIPE_BYTES: usize = 256 * 1024;

/// Octets of an answer that are taken out of shared memory in one go.
pub const BODY_READ_BYTES: usize = 64 * 1024;

/// Requests that one event-loop thread may have with the workers of one pool.
pub const SLOTS_PER_THREAD: u32 = 512;

/// Rings for large answers of one pool.
pub const CHUNKS: u32 = 64;

/// Items of one cache of an application.
pub const CACHE_ITEMS_MAX: u64 = 1 << 28;

/// Octets of the values of one cache of an application.
pub const CACHE_BYTES_MAX: u64 = 1 << 42;

/// Mules of a pool.
pub const MULES_MAX: usize = 256;

/// Locks that an application may ask for.
pub const LOCKS_MAX: u32 = 65_536;

/// Processes that run spooled tasks, for each folder.
pub const SPOOLER_PROCESSES_MAX: u32 = 64;

/// Octets of a mule's queue of messages.
pub const MULE_QUEUE_BYTES_MAX: u64 = 1 << 30;

const _: () =
    assert!(RECORD_BYTES_MAX + INLINE_BODY_BYTES as usize <= REQUEST_BYTES_MAX, "record and inline body fit a slot");
