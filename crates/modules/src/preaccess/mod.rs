//! Limits, before anybody asks who may.

pub mod limit_conn;

pub mod limit_req;

mod limit;
