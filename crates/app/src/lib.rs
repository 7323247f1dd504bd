//! Application pools: what uWSGI's files and options say, and the processes that come of it.

pub mod options;
