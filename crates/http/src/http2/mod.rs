//! HTTP/2 as octets: frames, and header compression. Which frame may come when, and what follows, is for the connection to say.

pub mod frame;
pub mod hpack;
