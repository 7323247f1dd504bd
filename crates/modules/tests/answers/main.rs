//! Whole requests through the server with the modules of this crate, in one process: configuration text in, octets on a
//! socket, answers out. One file per group of features.

mod conditional;
mod fields;
mod files;
mod logs;
mod returns;
mod site;
mod trying;
