//! The log phase: it sees every request, however it ended.

pub mod access_log;
pub mod console;
pub mod format;

pub mod post_action;
