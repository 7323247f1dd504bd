//! The content phase: who answers.

pub mod autoindex;
pub mod dav;
pub mod empty_gif;
pub mod index;
pub mod precompressed;
pub mod random_index;
pub mod static_file;
pub mod static_map;
pub mod stub_status;
