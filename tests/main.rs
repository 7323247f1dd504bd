//! Black-box tests, one file per feature: real processes, real sockets, real peers.

mod compare;
mod config_errors;
mod worker_pep3333;
