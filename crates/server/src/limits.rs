//! Every limit of a request's life, in one place, asserted against each other.

use std::time::Duration;

/// Internal redirects (`try_files`, `error_page`, `index`, `X-Accel-Redirect`) of one request, as in nginx.
pub const INTERNAL_REDIRECTS_MAX: u32 = 10;

/// Times the phases may hand a request on before it is given up as a loop.
pub const PHASE_STEPS_MAX: u32 = 1_000;

/// Subrequests within one another, as in nginx.
pub const SUBREQUEST_DEPTH_MAX: u32 = 51;

/// Subrequests of one client's request, as many as nginx can count.
pub const SUBREQUESTS_MAX: u32 = 65_535 - 1_000;

/// Subrequests of one body that run at the same time.
pub const SUBREQUESTS_AHEAD: usize = 32;

/// Parts of a body that may turn out to be empty before other connections get their turn.
pub const SUBREQUESTS_PER_TURN: usize = 32;

/// Variables that are computed within one another.
pub const VARIABLE_DEPTH_MAX: u32 = 100;

/// Servers and locations that are named as those that a request is not for, each.
pub const EXPLAINED_OTHERS_MAX: usize = 20;

/// Paths that are looked at for one that an expression matches.
pub const EXAMPLE_STEPS_MAX: usize = 20_000;

/// Memory of an expression's automaton while such a path is looked for.
pub const EXAMPLE_CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Nesting of `location` blocks.
pub const LOCATION_DEPTH_MAX: usize = 64;

/// Octets that one read takes from a client's socket at most.
pub const READ_BYTES: usize = 64 * 1024;

/// Octets of a request head, its request line and all fields.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Octets of a request's variables as another web server hands them on by SCGI or FastCGI; a uwsgi packet says its size in 16 bits.
pub const GATEWAY_VARIABLES_BYTES: usize = 128 * 1024;

/// Octets that are kept, for `$request_body`, of a body that is passed on as it comes.
pub const PASSED_FRONT_BYTES: usize = 16 * 1024;

/// Octets of an unread request body that are read and dropped so that the connection may live on.
pub const DISCARD_BODY_BYTES_MAX: u64 = 256 * 1024;

/// A body of a file up to this size is read and sent together with the head; a larger one goes by sendfile.
pub const SMALL_FILE_BYTES: u64 = 32 * 1024;

/// Octets one sendfile call hands over, so that one fast client does not hold the thread.
pub const SENDFILE_CHUNK_BYTES: u64 = 2 * 1024 * 1024;

/// Octets of files that go out within one turn of the event loop before clients of large files let the others go first.
pub const FILE_BYTES_PER_TURN: u64 = 16 * 1024 * 1024;

/// Octets that one sendfile call hands over then.
pub const CROWDED_CHUNK_BYTES: u64 = 256 * 1024;

/// Octets made before the client takes them of a body that can be made as it is sent.
pub const MADE_AHEAD_BYTES: usize = 64 * 1024;

/// Octets of a streamed answer that are kept on the heap for a client that reads slowly; more go to a file.
pub const SLOW_CLIENT_BYTES: usize = 1024 * 1024;

/// Octets of a streamed answer that a slow client's file may hold before whoever makes them must wait, as nginx has it.
pub const SLOW_CLIENT_FILE_BYTES: u64 = 1024 * 1024 * 1024;

/// Pieces of a streamed answer that one call writes.
pub const WRITTEN_PIECES_MAX: usize = 16;

/// Octets of a streamed answer that are taken before other connections get their turn.
pub const PULLED_BYTES_PER_POLL: u64 = 1024 * 1024;

/// Octets of log lines kept until the end of the loop's turn.
pub const LOG_BUFFER_BYTES: usize = 64 * 1024;

/// Request objects kept for the next requests of a thread.
pub const SPARE_REQUESTS: usize = 256;

/// Timers kept for the next deadlines of a thread.
pub const SPARE_TIMERS: usize = 256;

/// Octets of frames that wait for an HTTP/2 client to take them before its streams, and its own frames, must wait.
pub const HTTP2_OUTPUT_BYTES: usize = 128 * 1024;

/// Octets of DATA that a stream writes before others that wait have their turn.
pub const HTTP2_TURN_BYTES: usize = 16 * 1024;

/// Streams of a connection that are remembered beyond their end.
pub const HTTP2_CLOSED_STREAMS: usize = 64;

/// Frames a second on one connection that are no part of a request.
pub const HTTP2_CONTROL_FRAMES_MAX: u32 = 5_000;

/// Streams that a client may give up beyond those that it lets be answered.
pub const HTTP2_CANCELLED_MAX: u32 = 200;

/// CONTINUATION frames of one header block that bring nothing.
pub const HTTP2_EMPTY_CONTINUATIONS_MAX: u32 = 8;

/// Octets beyond its requests that a connection may take, an eighth of all its octets more.
pub const HTTP2_OVERHEAD_BYTES: u64 = 1024 * 1024;

/// How long an HTTP/2 client that has its answer is heard before its stream is given up: what it has on its way arrives.
pub const HTTP2_DRAIN: Duration = Duration::from_millis(50);

/// Octets of a frame of settings and the like: more of them than there are settings.
pub const HTTP2_CONTROL_FRAME_BYTES: usize = 16 * 1024;

const _: () = assert!(HTTP2_TURN_BYTES < HTTP2_OUTPUT_BYTES, "several streams have their turn at once");
const _: () = assert!(HEAD_BYTES_MAX <= READ_BYTES, "a whole head fits one read");
const _: () = assert!(SMALL_FILE_BYTES as usize <= READ_BYTES);
const _: () = assert!(SENDFILE_CHUNK_BYTES > SMALL_FILE_BYTES);
const _: () = assert!(FILE_BYTES_PER_TURN > SENDFILE_CHUNK_BYTES && SENDFILE_CHUNK_BYTES > CROWDED_CHUNK_BYTES);

/// Octets of a responder's answer about a certificate.
pub const STATUS_ANSWER_OCTETS: usize = 64 * 1024;

/// Statuses of clients' certificates that are kept.
pub const STATUSES_KEPT_MAX: usize = 10_000;
