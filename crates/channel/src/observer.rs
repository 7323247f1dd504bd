//! The zygote's view of its workers: how long each seat has been busy, and how to stop them.

use crate::error::ChannelError;
use crate::wiring::WorkerEnd;

/// Reads the seats' state from outside of their workers.
#[derive(Debug)]
pub struct Observer {}

impl Observer {
    /// Maps the segment for the zygote.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Segment`] if the memory is not as `end` says; [`ChannelError::System`].
    pub fn attach(end: &WorkerEnd) -> Result<Self, ChannelError> {
        let _ = end;
        unimplemented!()
    }

    /// The clock of [`Observer::busy_since_ms`]: CLOCK_MONOTONIC in milliseconds, a few of them late.
    pub fn now_ms() -> u64 {
        unimplemented!()
    }

    /// When the request that the seat runs was started, `None` if it runs none.
    pub fn busy_since_ms(&self, seat: u16) -> Option<u64> {
        let _ = seat;
        unimplemented!()
    }

    /// Requests the seat has finished since its pool started.
    pub fn served(&self, seat: u16) -> u64 {
        let _ = seat;
        unimplemented!()
    }

    /// Asks the seats of a worker to finish what they run and take no more; wakes them if they sleep.
    pub fn stop(&self, worker: u16) {
        let _ = worker;
        unimplemented!()
    }

    /// Takes back [`Observer::stop`] and the dead worker's marks before another worker is forked onto the same seats.
    pub fn prepare(&self, worker: u16) {
        let _ = worker;
        unimplemented!()
    }
}
