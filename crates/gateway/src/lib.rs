//! The CGI family: how a request becomes variables, and how variables and answers travel.
//!
//! ```text
//!  request head ──environment──▶ variables ──record──▶ the hop to our own workers
//!                                    └─uwsgi, scgi, fastcgi─▶ a server that speaks it, or from a client that does
//!  the worker's answer ──answer──▶ response head
//! ```
//!
//! It encodes and decodes octets that somebody else moves: no socket, no clock, no shared memory
//! is known here. Which variables a location sends (`uwsgi_param`) is the caller's to decide.

pub mod variable;

pub mod environment;

pub mod record;

pub mod answer;

pub mod uwsgi;

pub mod scgi;

pub mod fastcgi;

mod cursor;
