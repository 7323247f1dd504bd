//! The access phase: who may.

pub mod access;

pub mod auth_basic;

mod password;
