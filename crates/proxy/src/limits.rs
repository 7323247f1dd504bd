//! The limits of a request to another server, in one place.

/// Octets of an answer's head, where `uwsgi_buffer_size` does not say otherwise.
pub const ANSWER_HEAD_BYTES: usize = 8 * 1024;

/// Octets that one read takes from an upstream.
pub const READ_BYTES: usize = 64 * 1024;

/// Servers of one upstream group.
pub const SERVERS_MAX: usize = 1024;

const _: () = assert!(ANSWER_HEAD_BYTES < READ_BYTES);
