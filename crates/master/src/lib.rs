//! The process tree: starts children, watches them, ends them, and leaves nothing behind.
//!
//! ```text
//! master            single thread, usually root; its sockets were bound by `net` before
//!   app "site"      Program::Exec: an interpreter of its own, started first
//!   app "blog"
//!   edge            Program::Fork: a closure in a copy of this process, started once every application is ready
//! ```
//!
//! A [`MasterPlan`] says what runs; [`run`] returns when all of it has ended:
//!
//! ```no_run
//! use daemun_master::{ChildPlan, Level, MasterPlan, NoSuccessors, Role};
//!
//! let edge = ChildPlan::fork("edge", Role::Edge, |notice| {
//!     notice.announce(); // "I serve now"
//!     0
//! });
//! let log = |level: Level, text: &str| eprintln!("[{level}] {text}");
//! daemun_master::run(MasterPlan::new(vec![edge], Box::new(NoSuccessors), Box::new(log)))?;
//! # Ok::<(), daemun_master::MasterError>(())
//! ```
//!
//! Left to others: binding sockets (`net`), what a child does and how it drains (`server`, `wsgi`), what the children of a
//! new generation share (the caller's [`Successors`]). This crate speaks no HTTP, starts no thread and reads no configuration.
//!
//! Reading order: [`plan`] is what is wanted, `supervisor` is the loop, `launch`, `revival`, `reload`, `upgrade` and `stop` are its
//! long-running affairs, `spawn` and `reap` are the birth and the death of a process.

mod accounts;
mod back_off;
mod child;
mod detach;
mod emperor;
mod environment;
mod error;
mod identity;
mod launch;
mod log;
mod pid_file;
pub mod plan;
mod ready;
mod reap;
mod reload;
mod revival;
mod signals;
mod spawn;
mod stop;
mod supervisor;
mod upgrade;

pub use back_off::BackOff;
pub use detach::{Detached, daemonize};
pub use emperor::{EmperorPlan, Realm, VassalState, reign};
pub use environment::set_variables;
pub use error::{IdentityError, MasterError, SignalError};
pub use identity::Identity;
pub use log::{Level, Log};
pub use pid_file::{PidFile, signal_by_pid_file};
pub use plan::{
    ChildPlan, Circumstances, Conditions, Death, Executable, MasterPlan, NoSuccessors, Output, Program, Role, Scope,
    StartFailure, StopKind, Successors, Timings,
};
pub use ready::{READY_FAILED, READY_VARIABLE, ReadyNotice};
pub use reap::Ending;
pub use reload::{Reload, ReloadFacts};
pub use rustix::process::{Pid, Signal};
pub use signals::{SignalInbox, hold_signals};
pub use supervisor::run;
pub use upgrade::{Predecessor, Upgrade};
