//! Blocks of `http` that declare variables computed from others.

pub mod map;

pub mod split_clients;
