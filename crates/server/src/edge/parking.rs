//! Connections that have waited for a while: without a task, a timer or a buffer, until they have something to say.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use daemun_net::WaitingSockets;

use super::EdgeThread;
use crate::clock;
use crate::connection::{Client, Resting};
use crate::log::Level;
use crate::runtime::ThreadRuntime;

/// The parked connections of a thread. They count as its connections in every respect.
pub(super) struct Parking {
    sockets: WaitingSockets,
    /// By number. A place that is free is taken before the list grows: a list, as it costs the least.
    places: RefCell<Vec<Option<Resting>>>,
    free: RefCell<Vec<u32>>,
}

impl Parking {
    /// Nobody is parked. Must be called within the thread's event loop.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { sockets: WaitingSockets::new()?, places: RefCell::default(), free: RefCell::default() })
    }

    pub(super) fn len(&self) -> usize {
        self.places.borrow().len() - self.free.borrow().len()
    }

    /// Closes all.
    pub(super) fn clear(&self) {
        self.retain(|_| false);
    }

    /// Closes the one that has waited for the longest time; false where there is none.
    pub(super) fn close_first(&self) -> bool {
        let places = self.places.borrow();
        let waiting =
            (0..).zip(places.iter()).filter_map(|(number, place)| Some((number, place.as_ref()?.idle_since_ms())));
        let first = waiting.min_by_key(|(_, since_ms)| *since_ms);
        drop(places);
        first.and_then(|(number, _)| self.take(number)).is_some()
    }

    /// Goes over to another configuration; those whose listener is no part of it are closed.
    pub(super) fn take_over(&self, next: &Rc<ThreadRuntime>) {
        self.retain(|resting| resting.go_over_to(next));
    }

    fn close_overdue(&self) {
        let now_ms = clock::monotonic_ms();
        self.retain(|resting| !resting.is_over(now_ms));
    }

    /// Closes those for which `is_kept` is false.
    fn retain(&self, mut is_kept: impl FnMut(&mut Resting) -> bool) {
        let mut free = self.free.borrow_mut();
        for (number, place) in (0..).zip(self.places.borrow_mut().iter_mut()) {
            if place.as_mut().is_some_and(|resting| !is_kept(resting)) {
                *place = None;
                free.push(number);
            }
        }
    }

    fn park(&self, resting: Resting) -> io::Result<()> {
        let mut places = self.places.borrow_mut();
        let free = self.free.borrow_mut().pop();
        let number = free.unwrap_or_else(|| {
            places.push(None);
            u32::try_from(places.len() - 1).unwrap_or(u32::MAX) // More descriptors than that has no process.
        });
        let watched = self.sockets.watch(&resting.socket, u64::from(number));
        match places.get_mut(number as usize).filter(|_| watched.is_ok()) {
            Some(place) => *place = Some(resting),
            None => self.free.borrow_mut().push(number),
        }
        watched
    }

    fn take(&self, number: u64) -> Option<Resting> {
        let number = u32::try_from(number).ok()?;
        let resting = self.places.borrow_mut().get_mut(number as usize)?.take()?;
        self.free.borrow_mut().push(number);
        self.sockets.forget(&resting.socket);
        Some(resting)
    }
}

/// Parks the connections that have waited for long enough, and closes those that have waited for too long.
pub(super) async fn sweep(edge: Rc<EdgeThread>) {
    let mut memory_due_ms = None;
    loop {
        if edge.len() == 0 {
            edge.began.notified().await;
        }
        let is_crowded = edge.connections.borrow().len() > CROWD;
        let pause = if is_crowded { SWEEP_OF_CROWD } else { SWEEP };
        tokio::time::sleep(pause).await;
        edge.parking.close_overdue();
        let now_ms = clock::monotonic_ms();
        if edge.park_waiting(pause) {
            memory_due_ms = Some(now_ms + ALLOCATOR_WAITS_MS);
        } else if let Some(due_ms) = memory_due_ms.filter(|due_ms| *due_ms < now_ms) {
            give_memory_back();
            memory_due_ms = memory_due_ms.filter(|_| now_ms < due_ms + ALLOCATOR_WAITS_MS);
        }
        edge.ended.notify_waiters();
    }
}

/// Takes up the connections that have something to say.
pub(super) async fn attend(edge: Rc<EdgeThread>) {
    let mut numbers = Vec::new();
    loop {
        if let Err(error) = edge.parking.sockets.ready(&mut numbers).await {
            let log = &edge.runtime().shared.error_log;
            log.write(Level::Alert, format_args!("waiting connections cannot be watched ({error})"));
            tokio::time::sleep(SWEEP).await;
        }
        for number in numbers.drain(..) {
            // One that the event loop does not take is closed, as one that cannot be accepted.
            if let Some(client) = edge.parking.take(number).and_then(|resting| Client::resume(resting).ok()) {
                edge.serve(Rc::new(client), false, false);
            }
        }
    }
}

impl EdgeThread {
    /// Parks those that have waited for longer than `pause`; false where there are none.
    fn park_waiting(&self, pause: Duration) -> bool {
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let since_ms = clock::monotonic_ms().saturating_sub(pause_ms);
        let connections = self.connections.borrow();
        let waiting: Vec<_> = connections.values().filter(|(client, _)| client.can_rest(since_ms)).cloned().collect();
        drop(connections);
        let is_any = !waiting.is_empty();
        for (client, task) in waiting {
            if let (Some(task), Some(resting)) = (task, client.rest()) {
                task.abort();
                let _ = self.parking.park(resting); // Without room in the kernel it is closed.
            }
        }
        is_any
    }
}

/// The allocator returns to the system what nobody has used for a while, but looks for it only when something large is freed.
fn give_memory_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(ALLOCATOR_LOOKS_BYTES)));
}

/// What the allocator gets from the system by itself, not out of what it has.
const ALLOCATOR_LOOKS_BYTES: usize = 1024 * 1024;

/// How long the allocator keeps what is not used.
const ALLOCATOR_WAITS_MS: u64 = 1_500;

/// How often is looked for connections to park, and how long they must have waited: parking and taking up cost about as much as half
/// a request.
const SWEEP: Duration = Duration::from_millis(200);

/// The same where there are many connections: their memory is not given back to the system at once.
const SWEEP_OF_CROWD: Duration = Duration::from_millis(50);

/// Many connections.
const CROWD: usize = 512;
