//! Why a pool cannot be started.

use std::io;
use std::path::PathBuf;

use daemun_channel::ChannelError;
use daemun_master::IdentityError;

/// Why a pool cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The virtualenv has no interpreter.
    #[error("virtualenv \"{}\" has no bin/python: is it a virtualenv, and complete?", .0.display())]
    Virtualenv(PathBuf),
    /// Nothing says what to load.
    #[error("no application: set `module = package.wsgi:application` or `wsgi-file = path`")]
    NoApplication,
    /// An address that cannot be listened on.
    #[error("socket \"{address}\": {reason}")]
    Address {
        /// As written.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The log file cannot be opened.
    #[error("log file {}: {source}", path.display())]
    Log {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The extension module is not there.
    #[error("extension module {}: {source}", path.display())]
    Extension {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `uid` or `gid` names nobody.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A setting that needs more than this build has.
    #[error("{0}")]
    Unsupported(String),
    /// The folder of `chdir` is not there.
    #[error("chdir \"{}\": {source}", path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Shared memory or descriptors cannot be had.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}
