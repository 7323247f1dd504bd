//! The workers' side of a hop: a [`Worker`] per process, a [`Seat`] per thread that takes requests.

use std::time::Duration;

use crate::error::ChannelError;
use crate::job::Job;
use crate::layout::Layout;
use crate::wiring::WorkerEnd;

/// A worker process' hold on the hop.
#[derive(Debug)]
pub struct Worker {}

impl Worker {
    /// Maps the segment for worker `index`, `0..processes`. Call in the worker, after it was forked.
    ///
    /// Closes what belongs to other workers and to the zygote.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Segment`] if the memory is not as `end` says; [`ChannelError::System`].
    pub fn attach(end: WorkerEnd, index: u16) -> Result<Self, ChannelError> {
        let _ = (end, index);
        unimplemented!()
    }

    /// The size of the hop.
    pub fn layout(&self) -> &Layout {
        unimplemented!()
    }

    /// The seat of thread `thread`, `0..threads`, to be moved into that thread. Each can be taken once.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Index`] if there is no such thread or it was taken before.
    pub fn seat(&mut self, thread: u16) -> Result<Seat, ChannelError> {
        let _ = thread;
        unimplemented!()
    }
}

/// Why [`Seat::wait`] returned. None promises a request: [`Seat::try_take`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// There may be a request.
    Request,
    /// [`crate::Observer::stop`] was called: finish.
    Stop,
    /// Nothing came within the time.
    TimedOut,
    /// A signal arrived.
    Interrupted,
    /// The edge is gone: nobody is left to answer to.
    EdgeGone,
}

/// One thread of a worker that takes requests.
#[derive(Debug)]
pub struct Seat {}

impl Seat {
    /// Its index in the pool.
    pub fn index(&self) -> u16 {
        unimplemented!()
    }

    /// Takes the next request of the pool, if there is one. Never blocks; holds nothing.
    pub fn try_take(&mut self) -> Option<Job> {
        unimplemented!()
    }

    /// Sleeps until there may be a request. Release the interpreter's lock around it.
    ///
    /// With `None`, one system call, and a signal that arrives just before it is noticed only after the next request.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Wake {
        let _ = timeout;
        unimplemented!()
    }

    /// Whether [`crate::Observer::stop`] was called for this seat's worker.
    pub fn is_stopping(&self) -> bool {
        unimplemented!()
    }

    /// Requests finished by this seat since its pool started.
    pub fn served(&self) -> u64 {
        unimplemented!()
    }
}
