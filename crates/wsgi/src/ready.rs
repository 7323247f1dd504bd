//! Tells the master that the pool can be used, or why it cannot; later, what is wanted of it.
//!
//! The master's pipe is named by `DAEMUN_READY`: a first octet `R` means ready, `E` is followed by the reason. Behind `R`
//! every octet is a wish.

use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use rustix::io::FdFlags;

/// A wish: load the application anew.
pub const RELOAD: u8 = b'r';
/// A wish: end, when what runs is finished.
pub const STOP: u8 = b'q';
/// A wish: end at once.
pub const STOP_AT_ONCE: u8 = b'Q';
/// A wish: open the logs anew.
pub const REOPEN: u8 = b'l';

/// The master's pipe; what is said through it is said once.
#[derive(Debug)]
pub struct Ready(());

impl Ready {
    /// The environment variable that names the descriptor.
    pub const VARIABLE: &'static str = "DAEMUN_READY";

    /// Takes the pipe over, before the application can see it, and keeps it from child processes.
    ///
    /// # Safety
    ///
    /// The descriptor that the variable names must be the master's pipe, not owned by anything else in this
    /// process. True for a process that the master started and that has not called this before.
    pub unsafe fn inherit() -> Self {
        let number = std::env::var(Self::VARIABLE).ok().and_then(|text| text.parse::<RawFd>().ok());
        let number = number.filter(|number| *number > 2);
        // SAFETY: the caller vouches for the number.
        let pipe = number.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
        if let Some(pipe) = pipe {
            // It fails for a number that is not open, and then so does everything else with it.
            let _ = rustix::io::fcntl_setfd(&pipe, FdFlags::CLOEXEC);
            // Called once, as the caller vouches.
            let _ = PIPE.set(pipe);
        }
        Self(())
    }

    /// Says that the application is loaded.
    pub fn announce(self) {
        write(b"R");
    }

    /// Says why it is not; tells whether there is anybody to hear it.
    pub fn fail(self, reason: &str) -> bool {
        let mut text = vec![b'E'];
        let mut lines = reason.as_bytes();
        // The end of a traceback says what happened, its beginning where.
        if let Some(surplus) = lines.len().checked_sub(REASON_BYTES_MAX).filter(|surplus| *surplus > 0) {
            let (head, rest) = lines.split_at(REASON_HEAD_BYTES);
            text.extend_from_slice(head);
            text.extend_from_slice(b"\n  ...\n");
            lines = rest.get(surplus..).unwrap_or_default();
        }
        text.extend_from_slice(lines);
        text.push(END_OF_REASON);
        write(&text)
    }
}

/// Tells the master a wish, from the zygote or from a worker.
pub fn ask(wish: u8) {
    write(&[wish]);
}

fn write(octets: &[u8]) -> bool {
    // A master that is gone ends this process by itself.
    PIPE.get().is_some_and(|pipe| Pipe(pipe).write_all(octets).is_ok())
}

struct Pipe<'a>(&'a OwnedFd);

impl Write for Pipe<'_> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::write(self.0, octets))?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// `None` when somebody else than the master has started us: nobody waits.
static PIPE: OnceLock<OwnedFd> = OnceLock::new();

/// Ends a reason: the pipe itself stays open as long as any worker lives.
const END_OF_REASON: u8 = 0;

/// Less than the master takes.
const REASON_BYTES_MAX: usize = 30 << 10;

/// What is kept of the beginning of a reason that is longer.
const REASON_HEAD_BYTES: usize = 2 << 10;
