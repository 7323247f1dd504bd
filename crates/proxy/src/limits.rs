//! The limits of a request to another server, in one place.

use std::time::Duration;

/// Octets of an answer's head and of one buffer, where `..._buffer_size` and `..._buffers` do not say otherwise.
pub const BUFFER_BYTES: usize = 8 * 1024;

/// Buffers of an answer that is read ahead, where `..._buffers` does not say otherwise.
pub const BUFFERS: u64 = 8;

/// Octets of the file of an answer that is read ahead, where `..._max_temp_file_size` does not say otherwise.
pub const MAX_TEMP_FILE_BYTES: u64 = 1024 * 1024 * 1024;

/// Octets that one read takes from an upstream.
pub const READ_BYTES: usize = 64 * 1024;

/// A piece of an answer up to this size is copied out of the buffer it was read into, which serves the next read.
pub const COPIED_BYTES: usize = 16 * 1024;

/// Octets of the variables that a request becomes by SCGI and FastCGI.
pub const PARAMETERS_BYTES: usize = 1024 * 1024;

/// Octets of a request's body in one block, for protocols that frame it.
pub const BLOCK_BYTES: usize = 32 * 1024;

/// Fields of one answer.
pub const ANSWER_FIELDS_MAX: usize = 1_000;

/// Octets of a tunnel that one end has not taken.
pub const TUNNEL_BYTES: usize = 64 * 1024;

/// Servers of one upstream group.
pub const SERVERS_MAX: usize = 1024;

/// Octets of a server's `route`.
pub const ROUTE_BYTES_MAX: usize = 32;

/// Octets of the smallest zone: eight pages, as in nginx.
pub const ZONE_BYTES_MIN: u64 = 8 * 4096;

/// How long the rest of an answer that is kept as a file is read when the client has gone.
pub const STORE_TIME: Duration = Duration::from_secs(3_600);

const _: () = assert!(BUFFER_BYTES < READ_BYTES);
const _: () = assert!(COPIED_BYTES < READ_BYTES);
const _: () = assert!(BLOCK_BYTES <= 65_535, "a block fits the length field of FastCGI");
/// Points of the circle of `hash ... consistent`, servers' names aside.
pub const HASH_POINTS_MAX: u64 = 1 << 20;

/// Octets of a host's name in a question or an answer: RFC 1035 has 255, but nginx asks for four labels of 63 all the same.
pub const DNS_NAME_BYTES_MAX: usize = 257;

/// Records that are read of an answer.
pub const DNS_RECORDS_MAX: usize = 512;

/// Octets of an answer by UDP; a larger one is asked for again over TCP.
pub const DNS_DATAGRAM_BYTES: usize = 4096;

/// Names that one after another stand for a name.
pub const DNS_ALIASES_MAX: usize = 16;

/// Names that one `resolver` remembers.
pub const RESOLVER_NAMES_MAX: usize = 4096;

/// Octets of an answer to a check that are looked at.
pub const HEALTH_BODY_BYTES: u64 = 256 * 1024;
