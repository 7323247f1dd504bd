//! The hop: shared memory between the edge, which owns the clients, and the worker processes of one
//! application pool, which run Python.
//!
//! ```text
//!   edge thread 1 ──┐  submission queue   ┌── seat 0 (worker 0, thread 0)
//!   edge thread 2 ──┴────────────────────►├── seat 1 (worker 0, thread 1)
//!        ▲                                └── seat 2 (worker 1, thread 0)
//!        │   one completion queue per (seat, edge thread)  │
//!        └─────────────────────────────────────────────────┘
//!   slots: request record, inline body, response head, inline response body
//!   chunks: rings for what does not fit into a slot
//! ```
//!
//! The edge's side is a [`Pool`] per process and an [`EdgeThread`] per event loop; it never blocks and names
//! no runtime: a loop watches [`EdgeThread::wake_descriptor`], calls [`EdgeThread::arm`] before it sleeps,
//! [`EdgeThread::poll`] after it woke and [`EdgeThread::kick`] once per turn. The workers' side is a
//! [`Worker`] per process and a [`Seat`] per thread, which takes [`Job`]s and blocks where it must.
//!
//! What it promises: a worker may be killed at any instruction, and no slot, chunk or queue entry is lost;
//! each request that it had started is reported [`Completion::Lost`] once, each that it had not is given to
//! another. The edge takes nothing in the segment on trust.
//!
//! It leaves to others: what the bytes of a record and of a response head mean (`gateway`), HTTP, Python,
//! processes (who forks, reaps and replaces workers), time-outs and the limits of queues.
//!
//! Modules in reading order: [`limits`], [`layout`], [`wiring`], [`handover`],
//! [`facilities`], [`control`]; `segment` (the mapped
//! memory), `owner`, `queue`, `completion`, `wake`, `chunk`, `stream`, `passing` (how it is used); [`pool`],
//! [`edge`], `response`, `recovery` (the edge's side); [`worker`], [`job`], [`observer`] (the workers' side).

pub mod control;
pub mod edge;
pub mod error;
pub mod facilities;
pub mod handover;
pub mod job;
pub mod layout;
pub mod limits;
pub mod observer;
pub mod pool;
pub mod wiring;
pub mod worker;

mod chunk;
mod completion;
mod owner;
mod passing;
mod queue;
mod recovery;
mod response;
mod segment;
mod stream;
mod wake;

pub use edge::{Body, BodyGrant, Completion, EdgeThread, Lease, Outcome, Ticket};
pub use error::{ChannelError, JobError, MessageError, SubmitError, Violation};
pub use handover::Handover;
pub use job::{Block, BodyKind, BodySource, Job, RequestBody, Wait};
pub use layout::Layout;
pub use observer::{Observer, SeatCounters};
pub use pool::Pool;
pub use wiring::{EdgeEnd, WorkerEnd, create};
pub use worker::{Seat, Wake, Worker};
