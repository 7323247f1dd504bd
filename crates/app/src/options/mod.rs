//! uWSGI's configuration: ini files, command line and `UWSGI_...` environment to [`PoolOptions`].
//!
//! ```text
//! arguments, environment --command_line--> Settings <--ini-- files (magic: %d %n ...)
//!                                             |  logic (if-env, for, ...), reference ($(ENV), @(file), %(name))
//!                                             v
//!                                  table: one entry per option ---> PoolOptions, Diagnostics
//! ```
//!
//! All names of uWSGI are known: built ones are obeyed, the others are named in a message. Nothing is passed over in
//! silence. This module binds nothing, starts nothing and changes no file.

mod address;
mod apply;
mod command_line;
mod expand;
mod ini;
mod known;
mod logic;
mod magic;
mod pool;
mod reader;
mod setting;
mod surroundings;
mod table;
#[cfg(test)]
mod tests;

pub use address::SocketAddress;
pub use known::{Known, known, known_names};
pub use pool::{Application, CgiOptions, Command, LogTarget, PoolOptions, PoolSocket, Protocol};
pub use reader::{Reading, read_arguments, read_file};
pub use setting::Value;
pub use surroundings::{Owner, Surroundings};
pub use table::{Argument, OPTIONS, State, UwsgiOption};
