//! The zygote's view of its workers: how long each seat has been busy, and how to stop them.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

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

/// What a seat has counted since its pool started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeatCounters {
    /// Requests it has finished.
    pub served: u64,
    /// Microseconds that they took together.
    pub running_us: u64,
    /// What one took lately, in microseconds.
    pub average_us: u64,
    /// Octets of their answers' bodies.
    pub sent: u64,
    /// Those of them that ended in an exception.
    pub exceptions: u64,
}

impl SeatCounters {
    /// Of two seats, or of two times one after the other. The average is the later one's.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            served: self.served + other.served,
            running_us: self.running_us + other.running_us,
            average_us: if other.average_us == 0 { self.average_us } else { other.average_us },
            sent: self.sent + other.sent,
            exceptions: self.exceptions + other.exceptions,
        }
    }

    /// Since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            served: self.served.saturating_sub(before.served),
            running_us: self.running_us.saturating_sub(before.running_us),
            average_us: if self.served == before.served { 0 } else { self.average_us },
            sent: self.sent.saturating_sub(before.sent),
            exceptions: self.exceptions.saturating_sub(before.exceptions),
        }
    }
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

    /// CLOCK_MONOTONIC in microseconds.
    pub fn now_us() -> u64 {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
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

    /// The counters of a seat; zeros for a seat that does not exist.
    pub fn counters(&self, seat: u16) -> SeatCounters {
        if seat >= self.segment.layout().seats() {
            return SeatCounters::default();
        }
        let block = self.segment.seat(seat);
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SeatCounters {
            served: of(&block.served),
            running_us: of(&block.running_us),
            average_us: of(&block.average_us),
            sent: of(&block.sent),
            exceptions: of(&block.exceptions),
        }
    }

    /// A request that the worker ran has ended in an exception.
    pub fn note_exception(&self, worker: u16) {
        let seat = self.segment.layout().seats_of(worker).start;
        if seat < self.segment.layout().seats() {
            self.segment.seat(seat).exceptions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets the seats of a worker take no more requests, until [`Observer::release`].
    pub fn hold(&self, worker: u16) {
        for seat in self.segment.layout().seats_of(worker) {
            self.segment.seat(seat).hold.store(1, Ordering::SeqCst);
            if let Some(descriptor) = self.seat_wakes.get(usize::from(seat)) {
                wake::signal(descriptor);
            }
        }
    }

    /// Stands in for a worker that is not there: the returned descriptor becomes readable when a request wants one. `None`: one
    /// does already, or there is no such worker.
    pub fn stand_in(&self, worker: u16) -> Option<&OwnedFd> {
        let seat = self.segment.layout().seats_of(worker).start;
        let descriptor = self.seat_wakes.get(usize::from(seat))?;
        // What was left there by the worker before.
        let _ = rustix::io::read(descriptor, &mut [0; 8]);
        wake::prepare_sleep(&self.segment, seat).then_some(descriptor)
    }

    /// Ends [`Observer::stand_in`].
    pub fn stand_down(&self, worker: u16) {
        let seat = self.segment.layout().seats_of(worker).start;
        if seat < self.segment.layout().seats() {
            wake::mark_awake(&self.segment, seat);
        }
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

    /// The seats of a worker.
    pub fn seats_of(&self, worker: u16) -> std::ops::Range<u16> {
        self.segment.layout().seats_of(worker)
    }

    /// Wakes a worker's seats, if they sleep, to look for something other than requests.
    pub fn nudge(&self, worker: u16) {
        for seat in self.segment.layout().seats_of(worker) {
            self.seat_wakes.get(usize::from(seat)).into_iter().for_each(wake::signal);
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
