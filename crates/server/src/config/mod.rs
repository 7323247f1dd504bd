//! From the syntax tree to typed settings, and from those to the runtime.
//!
//! Four stages, four types: text (`conf`), tree ([`daemun_conf::Node`]), typed settings ([`Typed`]), runtime
//! ([`crate::runtime::Runtime`]). Only the last opens a log or resolves a path against the prefix.

mod build;
mod core;
mod gzip_clients;
pub mod listen;
mod main_block;
mod server_block;
pub mod setter;
mod table;
mod walk;

pub use build::{Build, BuildInput, LogAccess, PoolListener, build};
pub(crate) use core::size_of;
pub use core::{
    CORE, Core, DisableSymlinks, ErrorPage, Http2, IfModifiedSince, KeepAliveDisable, LingeringClose, LinkMode,
    OpenFileCache, Satisfy, ServerTokens, Transfer, WHOLE_PATH,
};
pub use gzip_clients::GzipClients;
pub use main_block::{Main, WorkerProcesses};
pub use table::{DirectiveTable, Effect, Reader, Structure, TableEntry};
pub use walk::{HttpBlock, LimitExcept, LocationBlock, Scope, ServerScope, Typed, read_matcher, walk};

use daemun_conf::Context;

pub use crate::inherit;

/// The contexts most directives of the http core and its modules may stand in.
pub const HTTP_SERVER_LOCATION: Context = Context::HTTP.or(Context::SERVER).or(Context::LOCATION);
