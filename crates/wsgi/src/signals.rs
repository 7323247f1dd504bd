//! Signals, caught below Python: the zygote notes them, a worker passes them on to its seats.
//!
//! Python's own handlers run between two instructions of Python code, in one thread, and an
//! application may replace them; these run at once and in any thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use daemun_channel::Observer;
use rustix::event::EventfdFlags;

use crate::{log, log_file, request_log};

/// How a pool is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Workers finish the requests they run.
    Graceful,
    /// Workers are killed.
    Immediate,
}

/// The zygote's catch of TERM, QUIT, INT and USR1.
#[derive(Debug)]
pub struct ZygoteSignals {
    /// Lives as long as the process: workers ring it, too.
    bell: &'static OwnedFd,
}

impl ZygoteSignals {
    /// Catches from now on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn catch() -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // There is one zygote in a process.
        let bell = BELL.get_or_init(|| bell);
        own();
        let old = [
            (libc::SIGTERM, handle(libc::SIGTERM, note)),
            (libc::SIGQUIT, handle(libc::SIGQUIT, note)),
            (libc::SIGINT, handle(libc::SIGINT, note)),
            (libc::SIGHUP, handle(libc::SIGHUP, ignore)),
            (libc::SIGUSR1, handle(libc::SIGUSR1, note)),
        ];
        // There is one zygote in a process.
        let _ = PYTHONS.set(old);
        Ok(Self { bell })
    }

    /// Becomes readable when a signal has come.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Whether the log is to be opened anew; true once.
    pub fn take_reopen(&self) -> bool {
        REOPEN.swap(false, Ordering::SeqCst)
    }

    /// What the signals so far ask for.
    pub fn stop(&self) -> Option<Stop> {
        // Empty when nothing has come.
        let _ = rustix::io::read(self.bell, &mut [0; 8]);
        match NOTED.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Stop::Graceful),
            _ => Some(Stop::Immediate),
        }
    }
}

/// In a worker: TERM and QUIT let the seats finish what they run; INT, which a terminal sends to
/// everybody, is left to the zygote; USR1 is the application's own again.
pub fn catch_in_worker(observer: Observer, index: u16) {
    // A worker is forked once and has one index.
    let _ = WORKER.set((observer, index));
    own();
    handle(libc::SIGTERM, stop_seats);
    handle(libc::SIGQUIT, stop_seats);
    handle(libc::SIGINT, ignore);
    catch_reopen();
    give_back_one(libc::SIGUSR1);
}

/// In whatever process of the pool: the log is opened anew when the zygote says so.
pub fn catch_reopen() {
    handle(reopen_signal(), reopen_log);
}

/// A request of this worker has ended in an exception.
pub fn note_exception() {
    if let Some((observer, index)) = WORKER.get() {
        observer.note_exception(*index);
    }
}

/// The signal by which a zygote has its workers open their log anew.
pub fn reopen_signal() -> libc::c_int {
    libc::SIGRTMAX() - 1
}

/// Python's handler for one signal, as it was before the zygote caught it.
fn give_back_one(signal: libc::c_int) {
    for (_, action) in PYTHONS.get().into_iter().flatten().filter(|(number, _)| *number == signal) {
        // SAFETY: an action that was in force before.
        unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
    }
}

/// In a process that the application forks from a worker: signals are Python's again, and the requests
/// of the worker are not this process's.
pub fn disown() {
    DISOWNED.store(true, Ordering::Relaxed);
    give_back();
}

/// Gives the signals back to whoever had them before. May be called from a signal handler.
fn give_back() {
    for (signal, action) in PYTHONS.get().into_iter().flatten() {
        // SAFETY: an action that was in force before.
        unsafe { libc::sigaction(*signal, action, std::ptr::null_mut()) };
    }
}

/// From now on the signals of this process are meant for us.
fn own() {
    OWNER.store(std::process::id(), Ordering::SeqCst);
}

/// Whether a signal came to a process that was forked a moment ago and has not given the signals back
/// yet. If so, it comes again to whom it is meant for.
fn is_misdirected(signal: libc::c_int) -> bool {
    if OWNER.load(Ordering::SeqCst) == std::process::id() {
        return false;
    }
    give_back();
    // SAFETY: takes a number, and may be called from a signal handler. The signal is blocked until
    // that returns.
    unsafe { libc::raise(signal) };
    true
}

/// Whether this is a process that the application has forked from a worker.
#[inline]
pub fn is_disowned() -> bool {
    DISOWNED.load(Ordering::Relaxed)
}

extern "C" fn note(signal: libc::c_int) {
    if is_misdirected(signal) {
        return;
    }
    match signal {
        libc::SIGUSR1 => REOPEN.store(true, Ordering::SeqCst),
        libc::SIGINT => drop(NOTED.fetch_max(2, Ordering::SeqCst)),
        _ => drop(NOTED.fetch_max(1, Ordering::SeqCst)),
    }
    ring();
}

/// Wakes the zygote, from itself or from a worker.
pub fn ring() {
    let (one, Some(bell)) = (1_u64, BELL.get()) else { return };
    // SAFETY: eight bytes of a live value; write() may be called from a signal handler, and leaves
    // nothing behind but errno, which the kernel's interrupted call has not been given yet.
    unsafe { libc::write(bell.as_raw_fd(), (&raw const one).cast(), 8) };
}

extern "C" fn stop_seats(signal: libc::c_int) {
    if is_misdirected(signal) {
        return;
    }
    if let Some((observer, index)) = WORKER.get() {
        // Stores in shared memory and write() to the seats' eventfds: fit for a signal handler.
        observer.stop(*index);
    }
}

extern "C" fn reopen_log(_signal: libc::c_int) {
    // Whoever cannot goes on in the old file; the zygote, which is in the same place, has said so.
    let _ = log_file::reopen();
    request_log::reopen();
    log::reopen();
}

/// For what the zygote decides. Not SIG_IGN, which the application's child processes would inherit.
extern "C" fn ignore(_signal: libc::c_int) {}

/// Installs a handler and returns what was there.
fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> libc::sigaction {
    // SAFETY: all zeros is a valid `sigaction`: no flags (so that waits are interrupted), empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    let mut old = action;
    // SAFETY: the handler is one of ours that does only what a signal handler may.
    unsafe { libc::sigaction(signal, &action, &mut old) };
    old
}

static BELL: OnceLock<OwnedFd> = OnceLock::new();
static REOPEN: AtomicBool = AtomicBool::new(false);
static NOTED: AtomicU8 = AtomicU8::new(0);
static WORKER: OnceLock<(Observer, u16)> = OnceLock::new();
static PYTHONS: OnceLock<[(libc::c_int, libc::sigaction); 5]> = OnceLock::new();
static OWNER: AtomicU32 = AtomicU32::new(0);
static DISOWNED: AtomicBool = AtomicBool::new(false);

/// Keeps every signal from the thread that calls this.
pub fn block_all() {
    // SAFETY: all zeros is a valid signal set; it is filled before it is used.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointers are to a live set, and the old one is not asked for.
    unsafe {
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}
