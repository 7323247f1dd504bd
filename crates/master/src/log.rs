//! Where the master's lines go: the caller decides.

use std::fmt;

/// How much a line matters, by nginx's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the developer.
    Debug,
    /// Of interest when something is being looked for.
    Info,
    /// Normal and worth a line.
    Notice,
    /// May become a problem.
    Warn,
    /// A request, or a child for a moment, suffered.
    Error,
    /// Part of the service is gone.
    Crit,
    /// Something that must not happen: a bug.
    Alert,
    /// The server cannot go on.
    Emerg,
}

impl Level {
    /// The name as it stands between brackets in a log line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Crit => "crit",
            Self::Alert => "alert",
            Self::Emerg => "emerg",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Takes the master's log lines. Any `FnMut(Level, &str)` is one.
pub trait Log {
    /// Writes one line; `text` has neither time nor level nor line end.
    fn log(&mut self, level: Level, text: &str);

    /// Opens the log files anew (SIGUSR1), since they have been renamed.
    fn reopen(&mut self) {}
}

impl<F: FnMut(Level, &str)> Log for F {
    fn log(&mut self, level: Level, text: &str) {
        self(level, text);
    }
}
