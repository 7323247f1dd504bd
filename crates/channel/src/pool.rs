//! The edge's side of a hop, once per process: what its event-loop threads share.

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::edge::EdgeThread;
use crate::error::ChannelError;
use crate::layout::Layout;
use crate::wiring::EdgeEnd;

/// A pool of workers as the edge sees it. Shared by the edge's threads; every method may be called from any.
#[derive(Debug)]
pub struct Pool {}

impl Pool {
    /// Maps the segment and takes the edge's end over. Call after the edge was forked.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Segment`] if the memory is not as `end` says; [`ChannelError::System`].
    pub fn open(end: EdgeEnd) -> Result<Arc<Self>, ChannelError> {
        let _ = end;
        unimplemented!()
    }

    /// The size of the hop.
    pub fn layout(&self) -> &Layout {
        unimplemented!()
    }

    /// The handle of edge thread `index`, to be moved into that thread. Each can be taken once.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Index`] if there is no such thread or it was taken before.
    pub fn thread(self: &Arc<Self>, index: u16) -> Result<EdgeThread, ChannelError> {
        let _ = index;
        unimplemented!()
    }

    /// The edge's end of the control channel; see [`crate::control::receive`] and [`crate::control::send`].
    pub fn control(&self) -> BorrowedFd<'_> {
        unimplemented!()
    }

    /// Says that the process behind these seats is dead (reaped, or its pidfd is readable), whatever it died of.
    ///
    /// Wakes every edge thread; each takes its requests back at its next [`EdgeThread::poll`]: started ones
    /// as [`crate::Completion::Lost`], the others go to another worker. The thread that is last is given
    /// [`crate::Completion::Cleaned`]; until then no process may use the seats.
    pub fn worker_died(&self, seats: Range<u16>) {
        let _ = seats;
        unimplemented!()
    }

    /// As [`Pool::worker_died`] for all seats, after the zygote and with it every worker died.
    ///
    /// Also rebuilds the submission queue, so that requests wait for the workers of the next zygote.
    pub fn reset(&self) {
        unimplemented!()
    }

    /// Requests that no worker has taken yet.
    pub fn queued(&self) -> usize {
        unimplemented!()
    }

    /// Seats that sleep, waiting for a request.
    pub fn idle_seats(&self) -> usize {
        unimplemented!()
    }

    /// Requests a seat has finished since its pool started.
    pub fn served(&self, seat: u16) -> u64 {
        let _ = seat;
        unimplemented!()
    }
}
