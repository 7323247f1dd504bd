//! Every limit of the cache, in one place, asserted against each other.

use std::time::Duration;

use daemun_server::limits::{READ_BYTES, SMALL_FILE_BYTES};

/// Octets of a key's text.
pub const KEY_BYTES_MAX: usize = 16 * 1024;

/// Octets of `Vary` that are understood; an answer with a longer one is not kept, as in nginx.
pub const VARY_BYTES_MAX: usize = 128;

/// Octets of an `ETag` that an answer is checked by with the server; a longer one is not asked about, as in nginx.
pub const ETAG_BYTES_MAX: usize = 128;

/// Octets of a file before the body: key, head and what is known of the answer.
pub const FRONT_BYTES_MAX: usize = 256 * 1024;

/// Octets that are read of a file at first: the whole of a small one, the front of most others.
pub const FIRST_READ_BYTES: usize = 8 * 1024;

/// A body up to this size is kept in memory beside its head.
pub const SMALL_BODY_BYTES: u64 = SMALL_FILE_BYTES;

/// Answers that one thread keeps open.
pub const OPEN_ANSWERS_MAX: usize = 1_024;

/// Octets of small bodies that one thread keeps.
pub const OPEN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Descriptors of larger bodies that one thread keeps.
pub const OPEN_FILES_MAX: usize = 256;

/// Octets that a node of a zone is counted for, nginx's measure: 8,000 to a megabyte.
pub const NODE_BYTES: u64 = 128;

/// Octets of a zone that hold no nodes, two of nginx's pages: what its own tables take.
pub const ZONE_OVERHEAD_BYTES: u64 = 2 * 4096;

/// The smallest zone in octets, nginx's two pages.
pub const ZONE_BYTES_MIN: u64 = 2 * 4096;

/// Nodes of the smallest zone.
pub const NODES_MIN: usize = 8;

/// Octets that a file takes on disk are counted in blocks of this size.
pub const BLOCK_BYTES: u64 = 4096;

/// Times that one request looks for its answer before it asks for it: a key, its variant, and after a broken file each again.
pub const LOOKS_MAX: usize = 8;

/// How long the rest of an answer is read for the cache when its client has gone.
pub const COMPLETION_TIME: Duration = Duration::from_secs(3_600);

/// How long the manager waits where nothing is to be done, as nginx's does.
pub const MANAGER_PAUSE: Duration = Duration::from_secs(10);

/// How deep the loader goes: one folder for each level.
pub const LEVELS_MAX: usize = 3;

const _: () = assert!(KEY_BYTES_MAX < FRONT_BYTES_MAX);
const _: () = assert!(FIRST_READ_BYTES <= READ_BYTES);
const _: () = assert!(SMALL_BODY_BYTES * 16 <= OPEN_BYTES_MAX);
const _: () = assert!(OPEN_FILES_MAX <= OPEN_ANSWERS_MAX);
const _: () = assert!(ZONE_OVERHEAD_BYTES <= ZONE_BYTES_MIN);
