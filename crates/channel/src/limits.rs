//! Every size and bound of the hop, asserted against each other.

/// Bytes of one slot: request record, inline request body, response head and inline response body.
pub const SLOT_BYTES: usize = 96 * 1024;

/// Room that a request always leaves for its response head, in bytes.
pub const RESPONSE_ROOM_MIN: usize = 8 * 1024;

/// Most bytes of request record and inline request body together.
pub const REQUEST_BYTES_MAX: usize = SLOT_BYTES - RESPONSE_ROOM_MIN;

/// Bytes of one chunk, the ring that a response body too large for its slot flows through.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Most seats (worker threads) of one pool, both sides together.
pub const SEATS_MAX: u16 = 4096;

/// Most zygotes of one pool that live at once.
pub const SIDES_MAX: u16 = 2;

/// Most event-loop threads of the edge.
pub const EDGE_THREADS_MAX: u16 = 256;

/// Most slots of one edge thread.
pub const SLOTS_PER_THREAD_MAX: u32 = 8192;

/// Most slots of one pool: what fits in the 24 bits of a completion entry.
pub const SLOTS_MAX: u32 = 1 << 22;

/// Most chunks of one pool.
pub const CHUNKS_MAX: u32 = 4096;

/// Most entries that one request can have on a completion queue at once: NEED_BODY, HEAD, DATA, FILE, END.
pub const COMPLETIONS_PER_SLOT: u32 = 5;

/// Most bytes of one message on the control channel.
pub const CONTROL_MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Most bytes of a handover's JSON text.
pub const HANDOVER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Distance between two slots, in bytes: an odd number of cache lines above [`SLOT_BYTES`], so that
/// the beginnings of neighbouring slots do not compete for the same few places of the cache.
pub(crate) const SLOT_STRIDE: usize = SLOT_BYTES + 17 * CACHE_LINE;

/// Unit of false sharing, in bytes.
pub(crate) const CACHE_LINE: usize = 64;

/// Bytes of a page: alignment of the parts of the segment.
pub(crate) const PAGE: usize = 4096;

const _: () = {
    assert!(REQUEST_BYTES_MAX + RESPONSE_ROOM_MIN <= SLOT_BYTES);
    assert!(SLOTS_MAX < 1 << 24);
    assert!(SLOTS_PER_THREAD_MAX <= SLOTS_MAX);
    assert!(CHUNKS_MAX < u32::MAX);
    assert!(SLOT_STRIDE.is_multiple_of(CACHE_LINE));
    assert!(SEATS_MAX < u16::MAX);
};
