//! The precontent phase: what is looked at before the content is made.

pub mod try_files;
