//! Requests answered by another server: what `uwsgi_pass` names and this process tree does not run itself.
//!
//! ```text
//!   uwsgi_pass -> upstream (which server) -> exchange (connect, read the head) -> answer_body (what follows)
//!                                 conversation (the request goes out by `sending` while the answer comes in)
//! ```
//!
//! It leaves to others: the octets of the uwsgi packet (`gateway`), of the answer's head (`http`), and applications of our own
//! ([`daemun_server::Backend`]). This crate starts no process.

mod answer_body;
mod conversation;
mod exchange;
pub mod limits;
mod sending;
pub mod upstream;
pub mod uwsgi_pass;
