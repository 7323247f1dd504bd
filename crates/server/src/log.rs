//! Log files: error lines at once, access lines at the end of the loop's turn, or later where a buffer is wanted.

mod syslog;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use daemun_http::date;

pub use syslog::Syslog;

use crate::clock;
use crate::limits::LOG_BUFFER_BYTES;

/// Severity, most severe first, as nginx and syslog have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The program cannot go on.
    Emerg,
    /// A bug.
    Alert,
    /// A part of the program failed.
    Crit,
    /// A request failed.
    Error,
    /// Worth a look.
    Warn,
    /// Normal and rare.
    Notice,
    /// Normal.
    Info,
    /// For developers.
    Debug,
}

impl Level {
    /// By nginx's name; of what is for developers, every part is all of it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let level = match text {
            "emerg" => Self::Emerg,
            "alert" => Self::Alert,
            "crit" => Self::Crit,
            "error" => Self::Error,
            "warn" => Self::Warn,
            "notice" => Self::Notice,
            "info" => Self::Info,
            "debug" | "debug_core" | "debug_alloc" | "debug_mutex" | "debug_event" | "debug_http" | "debug_mail"
            | "debug_stream" => Self::Debug,
            _ => return None,
        };
        Some(level)
    }

    /// nginx's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// A log file, opened for appending; all threads write to the same one.
#[derive(Clone, Debug)]
pub struct LogFile {
    inner: Arc<LogFileInner>,
}

#[derive(Debug)]
struct LogFileInner {
    /// `None` is stderr.
    path: Option<PathBuf>,
    /// Shared with the same log of other configurations.
    file: Arc<RwLock<File>>,
    buffering: OnceLock<Buffering>,
}

/// How lines are gathered before they are written, by each thread for itself.
#[derive(Clone, Debug)]
pub struct Buffering {
    /// Octets gathered at most.
    pub octets: usize,
    /// How long a line waits at most; `None`: until there is no room.
    pub flush: Option<Duration>,
    /// What becomes of them.
    pub packing: Option<Packing>,
}

/// Turns gathered lines into what is written.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    /// How hard to try, in the packer's measure.
    pub level: u32,
    /// Packs lines at that level.
    pub pack: fn(&[u8], u32) -> Vec<u8>,
}

impl Buffering {
    /// Whether both say the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let level = |buffering: &Self| buffering.packing.map(|packing| packing.level);
        self.octets == other.octets && self.flush == other.flush && level(self) == level(other)
    }
}

impl LogFile {
    /// Opens `path` for appending and makes it if it is not there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::adopt(path, open_for_append(path)?))
    }

    /// The log at `path`, which somebody else has opened as `file`.
    #[must_use]
    pub fn adopt(path: &Path, file: File) -> Self {
        Self::of(Some(path.to_owned()), Arc::new(RwLock::new(file)))
    }

    /// The same log for another configuration, which may gather lines in another way: it is reopened together with this one.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self::of(self.inner.path.clone(), Arc::clone(&self.inner.file))
    }

    /// The standard error output.
    ///
    /// # Errors
    /// When the descriptor cannot be copied.
    pub fn stderr() -> io::Result<Self> {
        let descriptor = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
        Ok(Self::of(None, Arc::new(RwLock::new(File::from(descriptor)))))
    }

    fn of(path: Option<PathBuf>, file: Arc<RwLock<File>>) -> Self {
        Self { inner: Arc::new(LogFileInner { path, file, buffering: OnceLock::new() }) }
    }

    /// Has lines that are appended be gathered. Whoever says so first decides how.
    pub fn set_buffering(&self, buffering: Buffering) {
        let _ = self.inner.buffering.set(buffering);
    }

    /// Where the file is; `None` for stderr.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// Opens the path anew, after it was moved away.
    ///
    /// # Errors
    /// When the system refuses; the old file stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        let Some(path) = &self.inner.path else { return Ok(()) };
        self.replace(open_for_append(path)?);
        Ok(())
    }

    /// Goes on in another file, which whoever may open the path has opened.
    pub fn replace(&self, file: File) {
        *self.inner.file.write().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// A second descriptor of the file in use.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn try_clone_descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.inner.file.read().unwrap_or_else(PoisonError::into_inner).try_clone()?.into())
    }

    /// Writes whole lines in one call. A full disk loses them: there is nowhere to tell.
    pub fn write(&self, lines: &[u8]) {
        let file = self.inner.file.read().unwrap_or_else(PoisonError::into_inner);
        let _ = (&*file).write_all(lines);
    }

    /// Adds a line that is written when the loop's turn ends, or when the buffering says.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        PENDING.with_borrow_mut(|pending| {
            let known = pending.iter_mut().position(|lines| Arc::ptr_eq(&lines.file.inner, &self.inner));
            let at = known.unwrap_or_else(|| {
                pending.push(PendingLines { file: self.clone(), octets: Vec::new(), has_timer: false });
                pending.len() - 1
            });
            let lines = &mut pending[at];
            let start = lines.octets.len();
            write(&mut lines.octets);
            match self.inner.buffering.get() {
                Some(buffering) => lines.gather(buffering, start),
                None if lines.octets.len() >= LOG_BUFFER_BYTES => lines.write(),
                None => {}
            }
        });
    }
}

/// Lines of one file that a thread has not written yet.
struct PendingLines {
    file: LogFile,
    octets: Vec<u8>,
    /// Whether somebody will write them when their time has come.
    has_timer: bool,
}

impl PendingLines {
    /// Writes everything.
    fn write(&mut self) {
        self.write_front(self.octets.len());
    }

    fn write_front(&mut self, count: usize) {
        let lines = self.octets.get(..count).filter(|lines| !lines.is_empty());
        let Some(lines) = lines else { return };
        match self.file.inner.buffering.get().and_then(|buffering| buffering.packing) {
            Some(packing) => self.file.write(&(packing.pack)(lines, packing.level)),
            None => self.file.write(lines),
        }
        self.octets.drain(..count);
    }

    /// Keeps within the buffer after a line was added that begins at `start`.
    fn gather(&mut self, buffering: &Buffering, start: usize) {
        if self.octets.len() > buffering.octets {
            self.write_front(start);
        }
        if self.octets.len() > buffering.octets {
            self.write(); // A line longer than the buffer.
            return;
        }
        if let (Some(flush), false) = (buffering.flush, self.has_timer) {
            self.has_timer = true;
            let file = self.file.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(flush).await;
                flush_file(&file);
            });
        }
    }
}

/// The time of a gathered line has come.
fn flush_file(file: &LogFile) {
    PENDING.with_borrow_mut(|pending| {
        for lines in pending.iter_mut().filter(|lines| Arc::ptr_eq(&lines.file.inner, &file.inner)) {
            lines.has_timer = false;
            lines.write();
        }
    });
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path)
}

thread_local! {
    /// Lines of this thread that are not written yet, by file.
    static PENDING: RefCell<Vec<PendingLines>> = const { RefCell::new(Vec::new()) };
}

/// Writes the lines that wait for the end of the turn. Called whenever the thread has nothing else to do.
pub fn flush() {
    PENDING.with_borrow_mut(|pending| {
        for lines in pending.iter_mut().filter(|lines| !lines.octets.is_empty()) {
            // What nobody else holds any more belongs to a configuration that is gone.
            if lines.file.inner.buffering.get().is_none() || Arc::strong_count(&lines.file.inner) == 1 {
                lines.write();
            }
        }
        pending.retain(|lines| Arc::strong_count(&lines.file.inner) > 1);
    });
}

/// Writes all lines, gathered ones too. Called before the thread ends.
pub fn flush_all() {
    PENDING.with_borrow_mut(|pending| pending.iter_mut().for_each(PendingLines::write));
}

/// Where errors go, and from which level on.
#[derive(Clone, Debug, Default)]
pub struct ErrorLog {
    targets: Vec<(ErrorTarget, Level)>,
}

/// One place where errors go.
#[derive(Clone, Debug)]
pub enum ErrorTarget {
    /// A file, or stderr.
    File(LogFile),
    /// A syslog server.
    Syslog(Syslog),
}

impl ErrorLog {
    /// Errors go to each of `targets` that wants their level.
    #[must_use]
    pub fn new(targets: Vec<(ErrorTarget, Level)>) -> Self {
        Self { targets }
    }

    /// Whether a line of this level is written anywhere.
    #[must_use]
    pub fn wants(&self, level: Level) -> bool {
        self.targets.iter().any(|(_, least)| level <= *least)
    }

    /// Whether its lines go to the file at `path`, or to stderr where that is `None`.
    #[must_use]
    pub fn writes_to(&self, path: Option<&Path>) -> bool {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let wanted = path.map(real);
        let is_there =
            |target: &ErrorTarget| matches!(target, ErrorTarget::File(file) if file.path().map(real) == wanted);
        self.targets.iter().any(|(target, _)| is_there(target))
    }

    /// Writes a line in nginx's form: `2026/11/21 01:31:50 [error] 12#34: message`.
    pub fn write(&self, level: Level, message: fmt::Arguments<'_>) {
        if !self.wants(level) {
            return;
        }
        let line = format_line(level, message);
        for (target, _) in self.targets.iter().filter(|(_, least)| level <= *least) {
            match target {
                ErrorTarget::File(file) => file.write(line.as_bytes()),
                ErrorTarget::Syslog(server) => {
                    // There is nowhere to tell that it does not listen.
                    let _ = server.send(Some(level), line.trim_end().as_bytes());
                }
            }
        }
    }
}

/// A line of the error log with its time, level and process.
#[must_use]
pub fn format_line(level: Level, message: fmt::Arguments<'_>) -> String {
    let now = clock::unix_seconds();
    let time = date::format_error_log_time(now, clock::utc_offset_minutes(now));
    let time = String::from_utf8_lossy(time.as_ref());
    let process = std::process::id();
    let thread = rustix::thread::gettid().as_raw_nonzero();
    let message = message.to_string();
    let message = printable(&message);
    format!("{time} [{}] {process}#{thread}: {message}\n", level.as_str())
}

/// A line is one line, and moves no cursor, whatever a peer put into its parts.
fn printable(message: &str) -> Cow<'_, str> {
    if !message.contains(|character: char| character.is_control()) {
        return Cow::Borrowed(message);
    }
    let escape = |character: char| match character {
        '\n' => " ".to_owned(),
        other if other.is_control() => other.escape_default().to_string(),
        other => other.to_string(),
    };
    Cow::Owned(message.chars().map(escape).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_log() {
        let line = format_line(Level::Error, format_args!("a\nb\u{1b}[31m\u{7f}\tc é"));
        assert!(line.ends_with(": a b\\u{1b}[31m\\u{7f}\\tc é\n"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }
}
