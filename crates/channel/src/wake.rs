//! Waking seats: a bit per sleeping seat, an eventfd per seat, and as few writes to it as will do.
//!
//! A seat that finds nothing sets its idle bit, looks again and sleeps. The edge, once per turn, wakes as
//! many idle seats as there are queued requests beyond what the seats already woken will take: it sets a
//! seat's *woken* bit, takes its idle bit away and writes its eventfd. A seat that wakes, for whatever
//! reason, clears both bits before it looks at the queue. So a set woken bit always stands for a look at
//! the queue that is still to come, and every queued request finds a seat that looks after it was queued.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::layout::Layout;
use crate::queue;
use crate::segment::Segment;

/// The seats' bits in the order in which they are woken: the first thread of every process before the second
/// of any, since the threads of one process share an interpreter lock.
fn bit_of(layout: &Layout, seat: u16) -> usize {
    usize::from(seat % layout.threads) * usize::from(layout.processes) + usize::from(seat / layout.threads)
}

fn seat_of(layout: &Layout, bit: usize) -> usize {
    let processes = usize::from(layout.processes);
    (bit % processes) * usize::from(layout.threads) + bit / processes
}

/// Announces that `seat` is about to sleep. `false`: do not, there is something on the queue.
pub(crate) fn prepare_sleep(segment: &Segment, seat: u16) -> bool {
    let bit = bit_of(segment.layout(), seat);
    segment.idle_seats()[bit / 64].fetch_or(1 << (bit % 64), Ordering::SeqCst);
    fence(Ordering::SeqCst);
    queue::waiting(segment) == 0
}

/// Takes both bits of a seat away: it is awake and about to look, or gone.
pub(crate) fn mark_awake(segment: &Segment, seat: u16) {
    let bit = bit_of(segment.layout(), seat);
    segment.idle_seats()[bit / 64].fetch_and(!(1 << (bit % 64)), Ordering::SeqCst);
    segment.woken_seats()[bit / 64].fetch_and(!(1 << (bit % 64)), Ordering::SeqCst);
}

/// Wakes idle seats for the queued requests. Any process that has the seats' eventfds may call it.
pub(crate) fn wake_for_queued(segment: &Segment, seat_wakes: &[OwnedFd]) {
    let queued = queue::waiting(segment);
    if queued == 0 {
        return;
    }
    // Against `prepare_sleep`: either that sees the request, or this sees the idle bit.
    fence(Ordering::SeqCst);
    let idle_seats = segment.idle_seats();
    if idle_seats.iter().all(|word| word.load(Ordering::Relaxed) == 0) {
        return;
    }
    let mut wanted = queued.saturating_sub(count_awaited(segment));
    for (index, word) in idle_seats.iter().enumerate() {
        let mut idle = word.load(Ordering::Relaxed);
        while idle != 0 && wanted > 0 {
            let bit = index * 64 + idle.trailing_zeros() as usize;
            idle &= idle - 1;
            if wake(segment, seat_wakes, bit) {
                wanted -= 1;
            }
        }
    }
}

fn wake(segment: &Segment, seat_wakes: &[OwnedFd], bit: usize) -> bool {
    let Some(descriptor) = seat_wakes.get(seat_of(segment.layout(), bit)) else {
        return false; // A bit beyond the seats: some worker's nonsense.
    };
    let (index, mask) = (bit / 64, 1 << (bit % 64));
    // Woken before idle: were it the other way round, a seat that wakes by itself in between would run on with a woken bit.
    segment.woken_seats()[index].fetch_or(mask, Ordering::SeqCst);
    if segment.idle_seats()[index].fetch_and(!mask, Ordering::SeqCst) & mask == 0 {
        segment.woken_seats()[index].fetch_and(!mask, Ordering::SeqCst);
        return false;
    }
    signal(descriptor);
    true
}

/// Wakes again whoever counts as woken: a worker killed while it woke another may have marked it only.
pub(crate) fn wake_again(segment: &Segment, seat_wakes: &[OwnedFd]) {
    for (index, word) in segment.woken_seats().iter().enumerate() {
        let mut woken = word.load(Ordering::SeqCst);
        while woken != 0 {
            let bit = index * 64 + woken.trailing_zeros() as usize;
            woken &= woken - 1;
            seat_wakes.get(seat_of(segment.layout(), bit)).into_iter().for_each(signal);
        }
    }
}

/// How many seats were woken and have not looked yet.
///
/// A woken bit beside an idle bit does not count: its waker has not finished, and may never do if it is a
/// worker that was killed there.
fn count_awaited(segment: &Segment) -> u64 {
    let words = segment.woken_seats().iter().zip(segment.idle_seats());
    let awaited = |(woken, idle): (&AtomicU64, &AtomicU64)| {
        let idle = idle.load(Ordering::Relaxed);
        u64::from((woken.load(Ordering::Relaxed) & !idle).count_ones())
    };
    words.map(awaited).sum()
}

/// How many bits are set.
pub(crate) fn count(words: &[AtomicU64]) -> u64 {
    words.iter().map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum()
}

/// Adds one to an eventfd, which wakes whoever sleeps on it.
pub(crate) fn signal(descriptor: &OwnedFd) {
    // Can only fail by a signal handler's interruption, or on a counter near 2^64, where the sleeper is awake anyway.
    let _ = rustix::io::retry_on_intr(|| rustix::io::write(descriptor, &1u64.to_ne_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_threads_come_first() {
        let layout = Layout { sides: 1, processes: 3, threads: 2, edge_threads: 1, slots_per_thread: 1, chunks: 1 };
        let order: Vec<_> = (0..6).map(|bit| seat_of(&layout, bit)).collect();
        assert_eq!(order, [0, 2, 4, 1, 3, 5]);
        for seat in 0..6 {
            assert_eq!(seat_of(&layout, bit_of(&layout, seat)), usize::from(seat));
        }
    }
}
