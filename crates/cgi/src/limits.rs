//! The limits of programs that are started for a request, in one place.

use std::time::Duration;

/// Programs of all locations that say nothing else, at once.
pub const PROCESSES: usize = 64;

/// Requests that wait for a place where all programs are busy.
pub const WAITING_MAX: usize = 1024;

/// How long one of them waits.
pub const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a program may neither take nor say anything.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Octets of an answer's head.
pub const HEAD_BYTES: usize = 8 * 1024;

/// Octets that one read takes from a program.
pub const READ_BYTES: usize = 64 * 1024;

/// Octets of one line of a program's standard error; the rest begins another.
pub const LOG_LINE_BYTES: usize = 1024;

/// Lines that one program may write to the log.
pub const LOG_LINES_MAX: usize = 100;

/// How long a program may go on once it has closed its output.
pub const AFTER_ANSWER: Duration = Duration::from_secs(10);

/// How long the end of a program is waited for that has closed its output and said nothing.
pub const ENDING: Duration = Duration::from_secs(1);

/// Time between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// Components of a path that are looked at in the file system.
pub const PATH_COMPONENTS_MAX: usize = 64;

const _: () = assert!(HEAD_BYTES < READ_BYTES);
const _: () = assert!(LOG_LINE_BYTES < READ_BYTES);
const _: () = assert!(PROCESSES <= WAITING_MAX);
