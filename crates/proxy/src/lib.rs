//! Requests answered by another server: what `uwsgi_pass` names and this process tree does not run itself.
//!
//! ```text
//!   uwsgi_pass -> upstream (which server) -> exchange (connect, send, read the head) -> answer_body (what follows)
//! ```
//!
//! It leaves to others: the octets of the uwsgi packet (`gateway`), of the answer's head (`http`), and applications of our own
//! ([`daemun_server::Backend`]). This crate starts no process and keeps no connection between requests.

mod answer_body;
mod exchange;
pub mod limits;
pub mod upstream;
pub mod uwsgi_pass;
