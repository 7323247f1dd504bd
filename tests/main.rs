//! Black-box tests, one file per feature: real processes, real sockets, real peers.

mod app_start_errors;
mod compare;
mod config_errors;
mod crash;
mod edge_http;
mod example_site;
mod lifecycle;
mod pythons;
mod static_files;
mod tutorial;
mod uwsgi_socket;
mod worker_pep3333;
