//! The cache (RFC 9111): a handler that holds a handler.
//!
//! Whose answers are kept, the cache does not know: a server elsewhere, an application of ours or a program are a
//! [`daemun_server::phase::Step`] with a key and a way to take a head again, and what is wanted of it is said by a
//! [`daemun_server::Fetch`]. It opens no connection and starts no process.
//!
//! ```text
//!   holding::Caching -> search (zone, answers, variant) -> hit: the head through Step::accept, the body from the file
//!                    -> fetching: Step::start with a Fetch -> freshness -> draft, tee (the client gets what is being kept)
//! ```
//!
//! Modules in reading order: [`settings`] and [`directives`], [`path_line`]; [`zone`], [`entry`], [`answers`]; [`freshness`],
//! [`variant`]; [`holding`], [`search`], [`fetching`], [`draft`], [`tee`]; [`manager`], [`loader`]; [`variables`].

pub mod limits;

pub mod settings;

pub mod directives;

pub mod path_line;

pub mod zone;

pub mod entry;

pub mod answers;

pub mod freshness;

pub mod variant;

pub mod holding;

pub mod search;

pub mod fetching;

pub mod draft;

pub mod tee;

pub mod manager;

pub mod loader;

pub mod variables;

pub use directives::{CGI, FASTCGI, PROXY, SCGI, UWSGI};
pub use variables::MODULE as VARIABLES;
