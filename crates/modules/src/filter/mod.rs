//! What answers go through on their way out. The order is the program's list of modules; see the crate's documentation.

pub mod addition;
pub mod charset;
pub mod compression;
pub mod gunzip;
pub mod headers;
pub mod msie;
pub mod not_modified;
pub mod range;
pub mod slice;
pub mod ssi;
pub mod sub;
pub mod user_id;

mod changed_body;
