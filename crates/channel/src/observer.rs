//! The zygote's view of its workers: how long each seat has been busy, and how to stop them.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::time::ClockId;

use crate::error::ChannelError;
use crate::queue;
use crate::segment::Segment;
use crate::wake;
use crate::wiring::{WorkerEnd, duplicates};

/// Reads the seats' state from outside of their workers.
#[derive(Debug)]
pub struct Observer {
    segment: Segment,
    seat_wakes: Vec<OwnedFd>,
}

impl Observer {
    /// Maps the segment for the zygote.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Segment`] if the memory is not as `end` says; [`ChannelError::System`].
    pub fn attach(end: &WorkerEnd) -> Result<Self, ChannelError> {
        let segment = Segment::map(end.segment.as_fd(), &end.layout)?;
        Ok(Self { segment, seat_wakes: duplicates(&end.seat_wakes)? })
    }

    /// The clock of [`Observer::busy_since_ms`]: CLOCK_MONOTONIC in milliseconds, a few of them late.
    pub fn now_ms() -> u64 {
        // The coarse clock takes a quarter of the time, and nobody needs more than milliseconds of it.
        let now = rustix::time::clock_gettime(ClockId::MonotonicCoarse);
        now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
    }

    /// When the request that the seat runs was started, `None` if it runs none.
    pub fn busy_since_ms(&self, seat: u16) -> Option<u64> {
        let is_seat = seat < self.segment.layout().seats();
        let since = if is_seat { self.segment.seat(seat).busy_since_ms.load(Ordering::Relaxed) } else { 0 };
        (since != 0).then_some(since)
    }

    /// Requests the seat has finished since its pool started.
    pub fn served(&self, seat: u16) -> u64 {
        let is_seat = seat < self.segment.layout().seats();
        if is_seat { self.segment.seat(seat).served.load(Ordering::Relaxed) } else { 0 }
    }

    /// Asks the seats of a worker to finish what they run and take no more; wakes them if they sleep.
    pub fn stop(&self, worker: u16) {
        for seat in self.segment.layout().seats_of(worker) {
            self.segment.seat(seat).stop.store(1, Ordering::SeqCst);
            if let Some(descriptor) = self.seat_wakes.get(usize::from(seat)) {
                wake::signal(descriptor);
            }
        }
    }

    /// Takes back [`Observer::stop`] before another worker is forked onto the same seats. With `holds` they take nothing before
    /// [`Observer::release`].
    pub fn prepare(&self, worker: u16, holds: bool) {
        for seat in self.segment.layout().seats_of(worker) {
            let block = self.segment.seat(seat);
            block.stop.store(0, Ordering::SeqCst);
            block.busy_since_ms.store(0, Ordering::Relaxed);
            block.hold.store(u32::from(holds), Ordering::SeqCst);
            block.up.store(0, Ordering::SeqCst);
        }
    }

    /// Lets the seats of a worker take requests.
    pub fn release(&self, worker: u16) {
        for seat in self.segment.layout().seats_of(worker) {
            self.segment.seat(seat).hold.store(0, Ordering::SeqCst);
            if let Some(descriptor) = self.seat_wakes.get(usize::from(seat)) {
                wake::signal(descriptor);
            }
        }
    }

    /// Whether the worker has said that it could serve ([`crate::Seat::mark_up`] of its first seat).
    pub fn is_up(&self, worker: u16) -> bool {
        let first = self.segment.layout().seats_of(worker).start;
        first < self.segment.layout().seats() && self.segment.seat(first).up.load(Ordering::SeqCst) != 0
    }

    /// Requests on the queue, the cancelled ones among them.
    pub fn queued(&self) -> u64 {
        queue::waiting(&self.segment)
    }
}
