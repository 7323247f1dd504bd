//! One client's connection: requests in, answers out.

mod client;
mod envelope;
mod gateway;
mod gateway_request;
mod http1;
mod http2;
pub(crate) mod input;
mod keep_alive;
mod pace;
mod proxy_header;
mod resting;
mod timer;
mod tls;
mod writer;

pub use client::{AddressText, Client, Remote};
pub(crate) use gateway::{Records, serve as serve_gateway};
pub(crate) use http1::{accept, head_limits, serve as serve_http};
pub(crate) use http2::Http2Stream;
pub use pace::Rate;
pub(crate) use proxy_header::receive as receive_proxy_header;
pub(crate) use resting::Resting;
pub use timer::Deadline;
pub(crate) use timer::clear_spare_timers;
pub use tls::ClientTls;
pub(crate) use tls::shake_hands;
