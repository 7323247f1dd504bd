//! The rewrite phases, of the server and of the location.

pub mod return_code;
