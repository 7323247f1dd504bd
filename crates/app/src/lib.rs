//! Application pools: what uWSGI's files and options say, and the processes that come of it.
//!
//! ```text
//!   uwsgi.ini -> options::PoolOptions -> definition::Definition -> listeners to bind
//!                                                          -> pool::Pool -> a zygote to start, a backend for the edge
//!   request   -> backend (into shared memory) -> worker -> backend (out of it) -> answer
//! ```
//!
//! It leaves to others: how the hop works (`channel`), what happens inside Python (`wsgi`), who watches processes
//! (`master`), and everything about the client (`server`). This crate binds no socket and forks nothing.

pub mod options;

pub mod definition;

pub mod emperor;

pub mod sockets;

pub mod pool;

mod error;

mod backend;

mod body_pipe;

mod environment;

pub mod limits;

mod pump;

mod workers;
