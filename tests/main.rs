//! Black-box tests, one file per feature: real processes, real sockets, real peers.

mod compare;
