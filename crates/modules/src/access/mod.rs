//! The access phase: who may.

pub mod address;

pub mod auth_basic;

pub mod auth_request;

mod des_crypt;

mod password;
