//! Features of the edge: one file, one feature, with its directives and its handler or filter.
//!
//! The folders are the phases of a request. A file here knows the server crate's [`Module`](daemun_server::Module) and
//! nothing of its neighbours; all of them meet in one list of the program. What passes a request on to another server
//! or an application is in crates of its own.
//!
//! # Order
//!
//! The program's list decides, within each phase and for the filters. What the files here count on:
//!
//! | phase | order | reason |
//! |---|---|---|
//! | rewrite | `rewrite` | one program per block: its directives run in the order in which they stand |
//! | preaccess | `limit_req`, `limit_conn` | nginx's order: a request that waits for its turn takes no place meanwhile |
//! | access | `address`, `auth_basic`, `auth_request` | an address is judged before anything dearer |
//! | precontent | `try_files`, `mirror` | nginx's order |
//! | content | whatever passes requests on, `empty_gif`, `stub_status`, `random_index`, `index`, `autoindex`, `dav`, `precompressed`, `static_file` | a location with `uwsgi_pass` has no files; `static_file` refuses directories that nobody else answered for |
//! | filters | `msie`, `not_modified`, `headers`, `user_id`, `gunzip`, `sub`, `charset`, `ssi`, `addition`, `compression`, `range` | compressed answers have no ranges; 304 has lost its `Content-Type` before `charset` looks for it and gets `expires` like a 200; parts of several ranges name the whole type, and 206 has the fields of a 200 |
//! | log | `access_log`, `post_action` | |
//!
//! Modules in reading order: [`variable`], [`post_read`], [`rewrite`], [`preaccess`], [`access`], [`precontent`], [`content`], [`filter`], [`log`];
//! [`open_file`] is what several of them stand on.

pub mod tls;
pub mod variable;

pub mod post_read;

pub mod rewrite;

pub mod preaccess;

pub mod access;

pub mod precontent;

pub mod content;

pub mod filter;

pub mod log;

pub mod open_file;

mod network;

mod forwarded;

mod escape;

mod user_agent;

mod open_file_cache;

pub mod mime_types;

pub mod coded_body;
mod coded_files;

mod small_files;

mod symbolic_links;

mod keyed_zone;

// The modules know it by their own name.
use daemun_server::recency;
