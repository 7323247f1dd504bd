//! Why the tree could not be started, or a user not be found.

use std::io;
use std::path::PathBuf;

use daemun_net::SystemCause;

use crate::{Death, Level};

/// Why [`crate::run`] ended otherwise than by a stop. Everything it had started is gone by then.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// A child could not even be started.
    #[error("cannot start {name}: {reason}")]
    Spawn {
        /// The child's name.
        name: String,
        /// What failed.
        reason: String,
    },

    /// A child ended, or gave up, before it was ready.
    #[error("{} did not start: {}", .0.name, .0.reason())]
    NotReady(Box<Death>),

    /// A child died later and is not to be replaced.
    #[error("{}: {}, and it is not to be restarted", .0.name, .0.reason())]
    Died(Box<Death>),

    /// A pid file could not be written.
    #[error("cannot write pid file \"{}\" ({})", path.display(), SystemCause(.source))]
    PidFile {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A system call of the master itself failed.
    #[error("{call}() failed ({})", SystemCause(.source))]
    System {
        /// The call's name.
        call: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl MasterError {
    pub(crate) fn system(call: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::System { call, source }
    }
}

/// Why a master could not be sent a signal. The texts are nginx's.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// There is no pid file, or it cannot be read.
    #[error("open() \"{}\" failed ({})", path.display(), SystemCause(.source))]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// It holds something else.
    #[error("invalid PID number \"{text}\" in \"{}\"", path.display())]
    NoPid {
        /// Its path.
        path: PathBuf,
        /// What it holds.
        text: String,
    },

    /// There is no such process, or it is not ours.
    #[error("kill({pid}, {signal}) failed ({})", SystemCause(.source))]
    Kill {
        /// The process.
        pid: i32,
        /// The signal's number.
        signal: i32,
        /// What the system said.
        source: io::Error,
    },
}

impl SignalError {
    /// How bad it is, as nginx has it.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Open { .. } | Self::NoPid { .. } => Level::Error,
            Self::Kill { .. } => Level::Alert,
        }
    }
}

/// Why a user or group could not be resolved.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No such user. The text is nginx's.
    #[error("getpwnam(\"{0}\") failed")]
    NoUser(String),

    /// No such group. The text is nginx's.
    #[error("getgrnam(\"{0}\") failed")]
    NoGroup(String),

    /// The name cannot be looked up at all, such as one with a NUL in it.
    #[error("\"{0}\" is not a name")]
    NotAName(String),
}
