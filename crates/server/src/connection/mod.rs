//! One client's connection: requests in, answers out.

mod client;
mod http1;
pub(crate) mod input;
mod keep_alive;
mod proxy_header;
mod timer;
mod uwsgi;
mod writer;

pub use client::{AddressText, Client, Remote};
pub(crate) use http1::serve as serve_http;
pub(crate) use proxy_header::receive as receive_proxy_header;
pub(crate) use timer::Deadline;
pub(crate) use uwsgi::serve as serve_uwsgi;
