//! Requests answered by another server: what a `..._pass` names and this process tree does not run itself.
//!
//! ```text
//!   proxy_pass, uwsgi_pass,   what one protocol alone has: its directives, its handler
//!   fastcgi_pass, scgi_pass,
//!   memcached_pass, tunnel_pass
//!     servers, parameters     what those of the CGI family share besides
//!     pass                    the settings that all of them share
//!     exchange                the one engine: choose, connect, send, read, retry, hand over
//!       upstream              which server, and its kept connections
//!       transport             one protocol's octets
//! ```
//!
//! It leaves to others: the octets of uwsgi, SCGI and FastCGI (`gateway`), of an answer's head (`http`), and applications of our own
//! ([`daemun_server::Backend`]). This crate starts no process.

pub mod exchange;
pub mod fastcgi_pass;
pub mod health_check;
pub mod limits;
pub mod memcached_pass;
pub mod parameters;
pub mod pass;
pub mod proxy_pass;
pub mod resolver;
pub mod scgi_pass;
pub mod servers;
pub mod transport;
pub mod tunnel_pass;
pub mod upstream;
pub mod uwsgi_pass;
