//! Signals as something that can be waited for, instead of something that interrupts.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Signal;

use crate::supervisor::MASTER_SIGNALS;

/// Signals that are blocked and arrive as readable events of a descriptor.
///
/// For the master's loop, and for an edge: blocked before its threads start, in all of them. Dropping it leaves the signals
/// blocked, which is what a process on its way out wants.
#[derive(Debug)]
pub struct SignalInbox {
    descriptor: OwnedFd,
}

impl SignalInbox {
    /// Blocks `signals` in the calling thread, and those it starts later, and collects them from now on.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    #[allow(unsafe_code)] // rustix has no signalfd
    pub fn block(signals: &[Signal]) -> io::Result<Self> {
        let set = signal_set(signals);
        // SAFETY: `set` is initialised, and a null third argument is allowed.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: `set` is initialised; -1 asks for a new descriptor.
        let descriptor = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just made it, and nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { descriptor })
    }

    /// The next signal that has arrived, without waiting. Several of one kind may have become one.
    ///
    /// # Errors
    ///
    /// Those of `read()`; none is to be expected.
    pub fn next(&self) -> io::Result<Option<Signal>> {
        let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.descriptor, &mut record) {
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(_) => {
                // The number is the first field of the record.
                let [a, b, c, d, ..] = record;
                let number = i32::from_ne_bytes([a, b, c, d]);
                Ok(Signal::from_named_raw(number))
            }
        }
    }
}

impl AsFd for SignalInbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for SignalInbox {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

/// Has the signals that mean something to a master wait until it is one.
///
/// For the time between the first listening socket, after which others may take the program for started, and [`crate::run`].
/// Called before there is any other thread.
#[allow(unsafe_code)] // rustix has no signal masks
pub fn hold_signals() {
    let set = signal_set(&MASTER_SIGNALS);
    // SAFETY: `set` is initialised, and a null third argument is allowed. It cannot fail for a valid first argument.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Blocks nothing and gives `signals` their default meaning, as a new program expects it. Safe between fork and exec.
///
/// A shell starts background jobs with SIGINT and SIGQUIT ignored, and ignoring is inherited.
#[allow(unsafe_code)] // rustix has no signal dispositions
pub(crate) fn reset_for_child(signals: &[Signal]) {
    for signal in signals {
        // SAFETY: SIG_DFL installs no handler of ours.
        unsafe { libc::signal(signal.as_raw(), libc::SIG_DFL) };
    }
    let none = signal_set(&[]);
    // SAFETY: `none` is initialised, and a null third argument is allowed.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
}

#[allow(unsafe_code)] // rustix has no signal sets
fn signal_set(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises what it is given and cannot fail.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in signals {
        // SAFETY: `set` is initialised; a named signal is a valid number.
        unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) };
    }
    set
}
