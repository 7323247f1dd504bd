//! Signals, caught below Python: the zygote notes them, a worker passes them on to its seats.
//!
//! Python's own handlers run between two instructions of Python code, in one thread, and an
//! application may replace them; these run at once and in any thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use daemun_channel::Observer;
use rustix::event::EventfdFlags;

/// How a pool is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Workers finish the requests they run.
    Graceful,
    /// Workers are killed.
    Immediate,
}

/// The zygote's catch of TERM, QUIT and INT.
#[derive(Debug)]
pub struct ZygoteSignals {
    bell: OwnedFd,
}

impl ZygoteSignals {
    /// Catches from now on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn catch() -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        BELL.store(bell.as_raw_fd(), Ordering::SeqCst);
        for signal in [libc::SIGTERM, libc::SIGQUIT, libc::SIGINT] {
            handle(signal, note as *const () as libc::sighandler_t);
        }
        handle(libc::SIGHUP, libc::SIG_IGN);
        Ok(Self { bell })
    }

    /// Becomes readable when a signal has come.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// What the signals so far ask for.
    pub fn stop(&self) -> Option<Stop> {
        // Empty when nothing has come.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        match NOTED.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Stop::Graceful),
            _ => Some(Stop::Immediate),
        }
    }
}

/// In a worker: TERM and QUIT let the seats finish what they run; INT, which a terminal sends to
/// everybody, is left to the zygote.
pub fn catch_in_worker(observer: Observer, index: u16) {
    // A worker is forked once and has one index.
    let _ = WORKER.set((observer, index));
    for signal in [libc::SIGTERM, libc::SIGQUIT] {
        handle(signal, stop_seats as *const () as libc::sighandler_t);
    }
    handle(libc::SIGINT, libc::SIG_IGN);
    handle(libc::SIGHUP, libc::SIG_IGN);
}

extern "C" fn note(signal: libc::c_int) {
    let wish = if signal == libc::SIGINT { 2 } else { 1 };
    NOTED.fetch_max(wish, Ordering::SeqCst);
    let one = 1_u64;
    // SAFETY: eight bytes of a live value; write() may be called from a signal handler, and leaves
    // nothing behind but errno, which the kernel's interrupted call has not been given yet.
    unsafe { libc::write(BELL.load(Ordering::SeqCst), (&raw const one).cast(), 8) };
}

extern "C" fn stop_seats(_signal: libc::c_int) {
    if let Some((observer, index)) = WORKER.get() {
        // Stores in shared memory and write() to the seats' eventfds: fit for a signal handler.
        observer.stop(*index);
    }
}

fn handle(signal: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: all zeros is a valid `sigaction`: no flags (so that waits are interrupted), empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: the handler is one of ours that does only what a signal handler may, or SIG_IGN.
    unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
}

static BELL: AtomicI32 = AtomicI32::new(-1);
static NOTED: AtomicU8 = AtomicU8::new(0);
static WORKER: OnceLock<(Observer, u16)> = OnceLock::new();
