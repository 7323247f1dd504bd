//! Descriptors of any kind under the event loop's watch: eventfds, pidfds, message sockets.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor for reading with the runtime of the calling thread.
///
/// # Errors
///
/// When the runtime cannot watch it.
pub fn watch_for_reading(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch(descriptor, Interest::READABLE)
}

/// Registers a descriptor for writing with the runtime of the calling thread.
///
/// # Errors
///
/// When the runtime cannot watch it.
pub fn watch_for_writing(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch(descriptor, Interest::WRITABLE)
}

#[allow(unsafe_code)] // tokio cannot know that an owned descriptor stays the same one
fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped, and `AsyncFd` deregisters before it drops it.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    Ok(watched?)
}
