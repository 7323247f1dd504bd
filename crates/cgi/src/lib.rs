//! Requests answered by a program that is started for each of them: CGI.
//!
//! ```text
//!   cgi_pass ─▶ script (which program, and what of the path is its own) ─▶ places (how many at once)
//!            ─▶ environment (RFC 3875's variables, nothing else) ─▶ process (started without a shell, in a group of its own)
//!            ─▶ conversation (body in, answer and log lines out) ─▶ answer (document, redirect, nph)
//! ```
//!
//! It leaves to others: the spelling of variables (`gateway`) and the grammar of an answer's head (`http`). A program gets no
//! descriptor but its three pipes and no variable of ours, and none is started that its location does not name.

mod answer;
pub mod cgi_pass;
mod conversation;
mod environment;
pub mod limits;
pub mod mounts;
mod places;
mod process;
mod script;
