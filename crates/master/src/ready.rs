//! How a child says that it is ready, or why it will not be.
//!
//! A pipe: the child writes one byte when it can serve. [`READY_FAILED`] as the first byte says that it cannot, and the rest, up to the end, says
//! why, up to a zero byte or the end. The end without any byte is a failure without a word. Behind "ready", every byte is a wish of the child's: see [`Wish`].

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// The environment variable that tells an executed child the number of its descriptor for the notice.
pub const READY_VARIABLE: &str = "DAEMUN_READY";

/// The first byte of a notice of failure; every other first byte means "ready".
pub const READY_FAILED: u8 = b'E';

/// The child's end.
#[derive(Debug)]
pub struct ReadyNotice {
    descriptor: OwnedFd,
    /// What the system refused of a forked child's [`crate::Conditions`], in words, for the child's own log.
    pub refused: Vec<String>,
}

impl ReadyNotice {
    /// The notice that whoever has started this program waits for, if anybody does. Call once, before anything else is opened or
    /// started.
    #[must_use]
    #[allow(unsafe_code)] // a number that names what is inherited
    pub fn inherit() -> Option<Self> {
        let number = std::env::var(READY_VARIABLE).ok()?.parse::<RawFd>().ok().filter(|number| *number > 2)?;
        // SAFETY: only asked, for a moment, whether it is open: where it is not, nobody waits.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC).ok()?;
        // SAFETY: the number was written for this program by who has started it; nothing else has been opened.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        Some(Self { descriptor, refused: Vec::new() })
    }

    /// Says that the child serves from now on.
    pub fn announce(self) {
        // The master may be gone; the parent-death signal then says so.
        let _ = rustix::io::write(&self.descriptor, b"R");
    }

    /// Says why the child cannot serve; the caller then exits.
    pub fn fail(self, reason: &str) {
        let mut text = vec![READY_FAILED];
        text.extend_from_slice(reason.as_bytes());
        text.truncate(MESSAGE_BYTES_MAX);
        // What does not fit into the pipe waits until the master has read.
        let _ = rustix::io::write(&self.descriptor, &text);
    }
}

impl AsRawFd for ReadyNotice {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

/// The master's end.
#[derive(Debug)]
pub(crate) struct ReadyPipe {
    descriptor: OwnedFd,
    text: Vec<u8>,
}

/// What a child wants of the master once it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// `r`: a successor, with its program loaded anew.
    Reload,
    /// `q`: the graceful end of everything.
    Stop,
    /// `Q`: the end of everything.
    StopAtOnce,
    /// `l`: logs opened anew.
    Reopen,
}

impl Wish {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            b'r' => Some(Self::Reload),
            b'q' => Some(Self::Stop),
            b'Q' => Some(Self::StopAtOnce),
            b'l' => Some(Self::Reopen),
            _ => None,
        }
    }
}

/// What the pipe has told so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadyState {
    Waiting,
    Ready,
    /// The child has closed its end; the reason if it gave one.
    Failed(Option<String>),
}

/// Makes the two ends; both are close-on-exec.
pub(crate) fn ready_pipe() -> io::Result<(ReadyPipe, ReadyNotice)> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((
        ReadyPipe { descriptor: reader.into(), text: Vec::new() },
        ReadyNotice { descriptor: writer.into(), refused: Vec::new() },
    ))
}

impl ReadyPipe {
    /// Reads what has arrived.
    pub(crate) fn read(&mut self) -> ReadyState {
        let mut buffer = [0; 1024];
        loop {
            match rustix::io::read(&self.descriptor, &mut buffer) {
                Ok(0) => return self.end(),
                Ok(length) => self.text.extend(buffer.iter().take(length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return ReadyState::Waiting,
                Err(_) => return self.end(),
            }
            if self.text.first().is_some_and(|first| *first != READY_FAILED) {
                return ReadyState::Ready;
            }
            if self.text.len() >= MESSAGE_BYTES_MAX || self.text.contains(&END_OF_REASON) {
                return self.end();
            }
        }
    }

    /// What has come behind "ready"; `None` when the child has closed its end.
    pub(crate) fn wishes(&mut self) -> Option<Vec<Wish>> {
        let mut wishes: Vec<Wish> = self.text.drain(..).skip(1).filter_map(Wish::of).collect();
        let mut buffer = [0; 64];
        loop {
            match rustix::io::read(&self.descriptor, &mut buffer) {
                Ok(length @ 1..) => wishes.extend(buffer.iter().take(length).copied().filter_map(Wish::of)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Ok(_) | Err(_) if wishes.is_empty() => return None,
                Ok(_) | Err(_) => break,
            }
            if wishes.len() >= WISHES_MAX {
                break; // What is left is read in the next turn.
            }
        }
        Some(wishes)
    }

    fn end(&self) -> ReadyState {
        let reason = self.text.split(|byte| *byte == END_OF_REASON).next().unwrap_or_default();
        let text = reason.get(1..).map(|text| String::from_utf8_lossy(text).trim().to_owned());
        ReadyState::Failed(text.filter(|text| !text.is_empty()))
    }
}

impl AsFd for ReadyPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for ReadyPipe {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

/// Ends a reason before the pipe ends.
const END_OF_REASON: u8 = 0;

/// Wishes that are taken in one go.
const WISHES_MAX: usize = 256;

/// The longest notice. A traceback's last lines are worth having.
const MESSAGE_BYTES_MAX: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_means_ready_and_the_end_means_failure() {
        let (mut pipe, notice) = ready_pipe().expect("a pipe");
        assert_eq!(pipe.read(), ReadyState::Waiting);
        notice.announce();
        assert_eq!(pipe.read(), ReadyState::Ready);

        let (mut pipe, notice) = ready_pipe().expect("a pipe");
        drop(notice);
        assert_eq!(pipe.read(), ReadyState::Failed(None));
    }

    #[test]
    fn wishes_come_behind_the_notice() {
        let (mut pipe, notice) = ready_pipe().expect("a pipe");
        rustix::io::write(&notice.descriptor, b"Rr").expect("written");
        assert_eq!(pipe.read(), ReadyState::Ready);
        assert_eq!(pipe.wishes(), Some(vec![Wish::Reload]));
        assert_eq!(pipe.wishes(), Some(Vec::new()));
        rustix::io::write(&notice.descriptor, b"?q").expect("written");
        drop(notice);
        assert_eq!(pipe.wishes(), Some(vec![Wish::Stop]));
        assert_eq!(pipe.wishes(), None);
    }

    #[test]
    fn a_reason_may_end_before_the_pipe() {
        let (mut pipe, notice) = ready_pipe().expect("a pipe");
        rustix::io::write(&notice.descriptor, b"Eno module\0").expect("written");
        assert_eq!(pipe.read(), ReadyState::Failed(Some("no module".to_owned())));
    }

    #[test]
    fn a_failure_has_its_reason_up_to_the_limit() {
        let (mut pipe, notice) = ready_pipe().expect("a pipe");
        notice.fail("no module named \"x\"\n");
        assert_eq!(pipe.read(), ReadyState::Failed(Some("no module named \"x\"".to_owned())));

        let (mut pipe, notice) = ready_pipe().expect("a pipe");
        notice.fail(&"x".repeat(MESSAGE_BYTES_MAX * 2));
        assert_eq!(pipe.read(), ReadyState::Failed(Some("x".repeat(MESSAGE_BYTES_MAX - 1))));
    }
}
