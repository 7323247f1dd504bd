//! The limits of a request to another server, in one place.

/// Octets of an answer's head, where `uwsgi_buffer_size` does not say otherwise.
pub const ANSWER_HEAD_BYTES: usize = 8 * 1024;

/// Octets that one read takes from an upstream.
pub const READ_BYTES: usize = 64 * 1024;

/// Servers of one upstream group.
pub const SERVERS_MAX: usize = 1024;

/// Octets of a server's `route`.
pub const ROUTE_BYTES_MAX: usize = 32;

/// Octets of the smallest zone: eight pages, as in nginx.
pub const ZONE_BYTES_MIN: u64 = 8 * 4096;

const _: () = assert!(ANSWER_HEAD_BYTES < READ_BYTES);
