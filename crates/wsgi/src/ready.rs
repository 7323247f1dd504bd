//! Tells the master that the pool can be used, or why it cannot.
//!
//! The master's pipe is named by `DAEMUN_READY`: a first octet `R` means ready, `E` is followed by the reason.

use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::FdFlags;

/// The master's pipe; what is said through it is said once.
#[derive(Debug)]
pub struct Ready {
    /// `None` when somebody else than the master has started us: nobody waits.
    pipe: Option<OwnedFd>,
}

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
        if let Some(pipe) = &pipe {
            // It fails for a number that is not open, and then so does everything else with it.
            let _ = rustix::io::fcntl_setfd(pipe, FdFlags::CLOEXEC);
        }
        Self { pipe }
    }

    /// Says that the application is loaded.
    pub fn announce(self) {
        self.write(b"R");
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
        self.write(&text)
    }

    fn write(self, octets: &[u8]) -> bool {
        // A master that is gone ends this process by itself.
        self.pipe.is_some_and(|pipe| File::from(pipe).write_all(octets).is_ok())
    }
}

/// Less than the master takes.
const REASON_BYTES_MAX: usize = 30 << 10;

/// What is kept of the beginning of a reason that is longer.
const REASON_HEAD_BYTES: usize = 2 << 10;
