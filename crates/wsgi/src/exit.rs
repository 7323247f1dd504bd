//! Exit statuses of the zygote and of its workers.

/// Everything was as it should be.
pub const DONE: i32 = 0;

/// The handover, the hop or the system failed.
pub const FAILED: i32 = 1;

/// The application cannot be loaded: uWSGI's status for that.
pub const NO_APPLICATION: i32 = 22;

/// Ends the process without a destructor, an `atexit` handler or anything else that it shares with the
/// process that it was forked from.
pub fn now(status: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(status) }
}
