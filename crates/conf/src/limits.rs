//! Every limit of the configuration reader, in one place.

/// Longest word, quotes included, in bytes: nginx's buffer for one.
pub const WORD_BYTES_MAX: usize = 4096;

/// Deepest nesting of `{ }` in one file.
pub const BLOCK_DEPTH_MAX: usize = 64;

/// Deepest chain of files that include one another.
pub const INCLUDE_DEPTH_MAX: usize = 32;

/// Files read for one configuration, counting a file again each time it is included.
pub const INCLUDED_FILES_MAX: usize = 65_536;

/// Largest configuration file, in bytes.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Paths that one pattern may match.
pub const GLOB_MATCHES_MAX: usize = 65_536;

/// Longest name that a suggestion is looked for, in bytes: the search takes time in its square.
pub const SUGGESTION_NAME_BYTES_MAX: usize = 64;

const _: () = assert!(WORD_BYTES_MAX as u64 <= FILE_BYTES_MAX);
const _: () = assert!(GLOB_MATCHES_MAX <= INCLUDED_FILES_MAX);
// Files and blocks are read by recursion: this many frames at most, which fit on the smallest thread's stack.
const _: () = assert!(BLOCK_DEPTH_MAX * INCLUDE_DEPTH_MAX <= 2048);
