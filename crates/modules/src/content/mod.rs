//! The content phase: who answers.

pub mod gzip_static;
pub mod index;
pub mod static_file;
