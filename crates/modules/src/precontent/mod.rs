//! The precontent phase: what is looked at before the content is made.

pub mod mirror;
pub mod try_files;
