//! uWSGI's configuration: files, command line and `UWSGI_...` environment to [`PoolOptions`].
//!
//! ```text
//! arguments, environment --command_line--> Settings <--ini, yaml, json, xml-- files (magic: %d %n ...)
//!                                             |  logic (if-env, for, ...), reference ($(ENV), @(file), %(name))
//!                                             v
//!                                  table: one entry per option ---> PoolOptions, Diagnostics
//! ```
//!
//! All names of uWSGI are known: built ones are obeyed, the others are named in a message. Nothing is passed over in
//! silence. This module binds nothing, starts nothing and changes no file.

mod address;
mod apply;
mod attendants;
mod command_line;
mod expand;
mod facilities;
mod format;
mod ini;
mod json;
mod known;
mod logic;
mod logs;
mod magic;
mod pool;
mod reader;
mod setters;
mod setting;
mod surroundings;
mod table;
#[cfg(test)]
mod tests;
mod xml;
mod yaml;

pub use address::SocketAddress;
pub use attendants::AttendantOptions;
pub use known::{Known, known, known_names};
pub use logs::LogOptions;
pub use pool::{
    Application, CgiOptions, Command, LogTarget, PoolOptions, PoolSocket, Protocol, StaticMap, StaticOptions,
};
pub use reader::{Reading, read_arguments, read_file, read_only_file};
pub use setting::Value;
pub use surroundings::{Owner, Surroundings};
pub use table::{Argument, OPTIONS, State, UwsgiOption};
