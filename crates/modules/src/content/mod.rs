//! The content phase: who answers.

pub mod index;
pub mod static_file;
