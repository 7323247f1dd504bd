//! The first phase: the head has been read, nothing has been decided.

pub mod real_ip;
