//! A file's bytes to a socket without passing through this process.

use std::io;
use std::os::fd::AsFd;

/// Sends up to `length` bytes of `file` from `offset` on to `socket` and advances `offset` by what was sent.
///
/// `file`'s own position is neither used nor moved, so a descriptor may be shared between connections. Returns the number of
/// bytes sent; 0 means that the file ended before `offset`, that is, it was cut after its length was read.
///
/// # Errors
///
/// `WouldBlock` when the socket's buffer is full; otherwise those of `sendfile()`. `offset` is then unchanged.
pub fn send_file(socket: impl AsFd, file: impl AsFd, offset: &mut u64, length: u64) -> io::Result<usize> {
    let count = usize::try_from(length).unwrap_or(usize::MAX).min(SEND_MAX);
    loop {
        match rustix::fs::sendfile(&socket, &file, Some(offset), count) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Bytes per call: enough to fill any socket buffer, few enough that one connection does not keep a thread for long.
const SEND_MAX: usize = 2 << 20;
