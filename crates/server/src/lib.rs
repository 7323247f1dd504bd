//! A request's life: configuration in, connections in, answers out.
//!
//! ```text
//!   listener -> connection/http1 -> engine::handle -> phases of server and location -> filters -> connection/writer -> log
//! ```
//!
//! This crate knows no feature: what answers, limits, rewrites or logs is a [`Module`] of another crate, and meets the
//! others in one list of the program. It starts no process and names no Python; an application is a [`Backend`].
//!
//! Modules in reading order: [`phase`], [`module`], [`request`], [`response`], [`engine`], [`subrequest`], [`connection`], [`edge`];
//! [`config`] and [`runtime`] for the way of a directive.

pub mod phase;

pub mod module;

pub mod request;

pub mod response;

pub mod engine;

pub mod subrequest;

pub mod error_page;

pub mod explain;

pub mod extensions;

pub mod redirect;

pub mod tls;

pub mod route;

pub mod pattern;

pub mod host_names;

pub mod variable;

pub mod body;

pub mod connection;

pub mod edge;

pub mod accel;
pub mod backend;

pub mod condition;

pub mod fetch;

pub mod background;

pub mod config;

pub mod runtime;

pub mod zone;

pub mod recency;

pub mod listener;

pub mod log;

pub mod statistics;

pub mod clock;

pub mod thread;

pub mod limits;

pub use backend::Backend;
pub use connection::Deadline;
pub use fetch::Fetch;
pub use module::{AnyModule, Module};
pub use pattern::{Expression, Pattern};
pub use phase::{Handler, LocalFuture, Outcome, Phase};
pub use request::Request;
pub use response::{Body, Response};
pub use variable::Template;
