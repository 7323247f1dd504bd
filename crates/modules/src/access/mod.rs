//! The access phase: who may.

pub mod access;
