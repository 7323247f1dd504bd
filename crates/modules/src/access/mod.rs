//! The access phase: who may.

pub mod address;

pub mod auth_basic;

mod password;
