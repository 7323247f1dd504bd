//! What the black-box tests stand on: real processes in a scratch folder, a client that sees every octet, waits with limits.
//!
//! A test makes a [`Scratch`], writes its configuration and application into it, takes a [`Port`] for each listener, starts
//! servers with [`servers`] and talks to them with [`Connection`] or [`Request`]. Whatever happens, the servers are killed by
//! process id when the test ends, and when it fails their logs are printed.
//!
//! It asserts nothing about daemun itself: that is the business of the test files beside `main.rs`.

pub mod apache;
pub mod backend;
pub mod beside;
pub mod browser;
pub mod client;
pub mod fastcgi_records;
pub mod http2;
pub mod lighttpd;
pub mod load;
pub mod mariadb;
pub mod name_server;
pub mod php_fpm;
pub mod port;
pub mod process;
pub mod programs;
pub mod request;
pub mod response;
pub mod scratch;
pub mod servers;
pub mod site;
pub mod table;
pub mod tls;
pub mod uwsgi_packet;
pub mod waiting;

pub use backend::Backend;
pub use beside::Beside;
pub use browser::Browser;
pub use client::{Address, ClientError, Connection};
pub use load::Load;
pub use mariadb::MariaDb;
pub use name_server::NameServer;
pub use port::Port;
pub use process::{Ended, Launch, Process};
pub use request::Request;
pub use response::{Framing, Response};
pub use scratch::Scratch;
pub use site::{Application, Site, Web};
pub use table::assert_each;
pub use tls::Curl;
pub use waiting::{LIMIT, wait_until, wait_until_within};
