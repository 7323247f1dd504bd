//! Log files: error lines at once, access lines at the end of the loop's turn.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use daemun_http::date;

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
    /// By nginx's name.
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
            "debug" => Self::Debug,
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
    file: RwLock<File>,
}

impl LogFile {
    /// Opens `path` for appending and makes it if it is not there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = RwLock::new(open_for_append(path)?);
        Ok(Self { inner: Arc::new(LogFileInner { path: Some(path.to_owned()), file }) })
    }

    /// The standard error output.
    ///
    /// # Errors
    /// When the descriptor cannot be copied.
    pub fn stderr() -> io::Result<Self> {
        let descriptor = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
        Ok(Self { inner: Arc::new(LogFileInner { path: None, file: RwLock::new(File::from(descriptor)) }) })
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
        let file = open_for_append(path)?;
        *self.inner.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Writes whole lines in one call. A full disk loses them: there is nowhere to tell.
    pub fn write(&self, lines: &[u8]) {
        let file = self.inner.file.read().unwrap_or_else(PoisonError::into_inner);
        let _ = (&*file).write_all(lines);
    }

    /// Adds a line that is written when the loop's turn ends.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        PENDING.with_borrow_mut(|pending| {
            let known = pending.iter_mut().position(|(file, _)| Arc::ptr_eq(&file.inner, &self.inner));
            let at = known.unwrap_or_else(|| {
                pending.push((self.clone(), Vec::new()));
                pending.len() - 1
            });
            let (file, buffer) = &mut pending[at];
            write(buffer);
            if buffer.len() >= LOG_BUFFER_BYTES {
                file.write(buffer);
                buffer.clear();
            }
        });
    }
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path)
}

thread_local! {
    /// Lines of this thread that are not written yet, by file.
    static PENDING: RefCell<Vec<(LogFile, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}

/// Writes the lines that wait. Called whenever the thread has nothing else to do, and before it ends.
pub fn flush() {
    PENDING.with_borrow_mut(|pending| {
        for (file, buffer) in pending.iter_mut().filter(|(_, buffer)| !buffer.is_empty()) {
            file.write(buffer);
            buffer.clear();
        }
    });
}

/// Where errors go, and from which level on.
#[derive(Clone, Debug, Default)]
pub struct ErrorLog {
    targets: Vec<(LogFile, Level)>,
}

impl ErrorLog {
    /// Errors go to each of `targets` that wants their level.
    #[must_use]
    pub fn new(targets: Vec<(LogFile, Level)>) -> Self {
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
        self.targets.iter().any(|(file, _)| file.path().map(real) == wanted)
    }

    /// Writes a line in nginx's form: `2026/11/21 01:31:50 [error] 12#34: message`.
    pub fn write(&self, level: Level, message: fmt::Arguments<'_>) {
        if !self.wants(level) {
            return;
        }
        let line = format_line(level, message);
        for (file, _) in self.targets.iter().filter(|(_, least)| level <= *least) {
            file.write(line.as_bytes());
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
