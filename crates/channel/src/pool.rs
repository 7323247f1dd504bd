//! The edge's side of a hop, once per process: what its event-loop threads share.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::edge::EdgeThread;
use crate::error::ChannelError;
use crate::layout::Layout;
use crate::passing::{self, Brings, Packet, Received};
use crate::queue::{self, Producer};
use crate::segment::Segment;
use crate::wake;
use crate::wiring::EdgeEnd;

/// A pool of workers as the edge sees it. Shared by the edge's threads; every method may be called from any.
#[derive(Debug)]
pub struct Pool {
    pub(crate) segment: Segment,
    pub(crate) seat_wakes: Vec<OwnedFd>,
    pub(crate) seat_sockets: Vec<OwnedFd>,
    pub(crate) edge_wakes: Vec<OwnedFd>,
    controls: Vec<OwnedFd>,
    producer: Mutex<Producer>,
    /// Which edge threads' handles have been given out.
    taken: Mutex<Vec<bool>>,
    /// Response files, by seat, that were received while another edge thread looked for its own.
    strays: Vec<Strays>,
    deaths: Mutex<Deaths>,
    /// Number of the latest death: what edge threads compare with, without the lock.
    latest_death: AtomicU64,
}

type Strays = Mutex<Vec<(Packet, OwnedFd)>>;

/// The deaths that some edge thread has not seen yet, oldest first.
#[derive(Debug, Default)]
struct Deaths {
    count: u64,
    pending: VecDeque<Death>,
}

/// The death of the process behind some seats.
#[derive(Debug, Clone)]
pub(crate) struct Death {
    /// 1, 2, ... in the order of their reports.
    pub number: u64,
    pub seats: Range<u16>,
    /// The submission queue was cleared: what is queued must be put in again.
    pub requeue_all: bool,
    pub who: Dead,
    threads_left: u16,
}

/// Who died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dead {
    /// The worker with this process id.
    Worker(u32),
    /// A zygote with all workers of its side.
    Side(u16),
}

impl Death {
    /// Whether a whole side died.
    pub fn is_reset(&self) -> bool {
        matches!(self.who, Dead::Side(_))
    }

    /// The process, if it was a worker alone.
    pub fn pid(&self) -> Option<u32> {
        match self.who {
            Dead::Worker(pid) => Some(pid),
            Dead::Side(_) => None,
        }
    }
}

impl Pool {
    /// Maps the segment and takes the edge's end over. Call after the edge was forked.
    ///
    /// The segment must be fresh ([`crate::create`]) or formatted ([`EdgeEnd::format`]).
    ///
    /// # Errors
    ///
    /// [`ChannelError::Segment`] if the memory is not as `end` says; [`ChannelError::System`].
    pub fn open(end: EdgeEnd) -> Result<Arc<Self>, ChannelError> {
        let segment = Segment::map(end.segment.as_fd(), &end.layout)?;
        Ok(Arc::new(Self {
            segment,
            strays: end.seat_sockets.iter().map(|_| Mutex::default()).collect(),
            seat_wakes: end.seat_wakes,
            seat_sockets: end.seat_sockets,
            edge_wakes: end.edge_wakes,
            controls: end.controls,
            producer: Mutex::default(),
            taken: Mutex::new(vec![false; usize::from(end.layout.edge_threads)]),
            deaths: Mutex::default(),
            latest_death: AtomicU64::new(0),
        }))
    }

    /// The size of the hop.
    pub fn layout(&self) -> &Layout {
        self.segment.layout()
    }

    /// The handle of edge thread `index`, to be moved into that thread. Each can be taken once.
    ///
    /// All must be taken and polled: a dead worker's seats are free when every thread has seen the death.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Index`] if there is no such thread or it was taken before.
    pub fn thread(self: &Arc<Self>, index: u16) -> Result<EdgeThread, ChannelError> {
        match locked(&self.taken).get_mut(usize::from(index)) {
            Some(taken) if !*taken => *taken = true,
            _ => return Err(ChannelError::Index { what: "edge thread", index }),
        }
        Ok(EdgeThread::new(self.clone(), index))
    }

    /// The edge's end of the control channel of a side, the last one's if there are fewer; see
    /// [`crate::control::receive`] and [`crate::control::send`].
    pub fn control(&self, side: u16) -> BorrowedFd<'_> {
        // There is one for each side, and at least one side.
        self.controls[usize::from(side).min(self.controls.len() - 1)].as_fd()
    }

    /// Says that the process behind these seats is dead (reaped, or its pidfd is readable), whatever it died of.
    ///
    /// Wakes every edge thread; each takes its requests back at its next [`EdgeThread::poll`]: started ones
    /// as [`crate::Completion::Lost`], the others go to another worker. The thread that is last is given
    /// [`crate::Completion::Cleaned`]; until then no process may use the seats. `pid` comes back with it.
    pub fn worker_died(&self, seats: Range<u16>, pid: u32) {
        let mut producer = self.producer();
        let requeue_all = producer.is_damaged(&self.segment);
        if requeue_all {
            producer.clear(&self.segment);
        }
        drop(producer);
        self.report_death(seats, requeue_all, Dead::Worker(pid));
    }

    /// As [`Pool::worker_died`] for all seats of a side, after its zygote and with it every worker of it died.
    ///
    /// Also rebuilds the submission queue if nobody else takes from it (`is_alone`: no worker of the other side lives), so that
    /// requests wait for the workers of the next zygote. Those
    /// may be forked at any time: until every edge thread has taken its requests back, they wait in
    /// [`crate::Worker::attach`]. Read what the dead zygote has left on the control channel first: a late
    /// [`Pool::worker_died`] would hit its successor's workers.
    pub fn reset(&self, side: u16, is_alone: bool) {
        let mut producer = self.producer();
        let requeue_all = is_alone || producer.is_damaged(&self.segment);
        if requeue_all {
            producer.clear(&self.segment);
        }
        drop(producer);
        let workers = self.layout().workers_of(side);
        let seats = self.layout().seats_of(workers.start).start..self.layout().seats_of(workers.end.max(1) - 1).end;
        self.report_death(seats, requeue_all, Dead::Side(side));
    }

    fn report_death(&self, seats: Range<u16>, requeue_all: bool, who: Dead) {
        let all = self.layout().seats();
        let seats = seats.start.min(all)..seats.end.min(all);
        let mut deaths = locked(&self.deaths);
        deaths.count += 1;
        let number = deaths.count;
        deaths.pending.push_back(Death { number, seats, requeue_all, who, threads_left: self.layout().edge_threads });
        drop(deaths);
        self.latest_death.store(number, Ordering::SeqCst);
        self.edge_wakes.iter().for_each(wake::signal);
    }

    /// Whether there is a death that a thread which has seen those up to `seen` has not.
    pub(crate) fn has_deaths_after(&self, seen: u64) -> bool {
        self.latest_death.load(Ordering::SeqCst) > seen
    }

    /// The first death after number `seen`.
    pub(crate) fn death_after(&self, seen: u64) -> Option<Death> {
        locked(&self.deaths).pending.iter().find(|death| death.number > seen).cloned()
    }

    /// One more thread has taken back what it had at the dead seats. `true`: it was the last.
    pub(crate) fn death_seen(&self, number: u64) -> bool {
        let mut deaths = locked(&self.deaths);
        let Some(index) = deaths.pending.iter().position(|death| death.number == number) else {
            return false;
        };
        match deaths.pending.get_mut(index) {
            Some(death) if death.threads_left > 1 => {
                death.threads_left -= 1;
                return false;
            }
            _ => deaths.pending.remove(index),
        };
        true
    }

    /// Clears what dead processes left beside the requests, when every edge thread has seen the death.
    pub(crate) fn clean_seats(&self, death: &Death) {
        for seat in death.seats.clone() {
            wake::mark_awake(&self.segment, seat);
            self.segment.seat(seat).busy_since_ms.store(0, Ordering::Relaxed);
            let Some((socket, strays)) = self.socket_of(seat) else { continue };
            let mut strays = locked(strays);
            strays.clear();
            while matches!(passing::receive(socket), Received::Packet(..) | Received::Nonsense) {}
        }
        if let Dead::Side(side) = death.who {
            self.segment.admit_next(side);
        }
    }

    /// The producers' side of the submission queue.
    pub(crate) fn producer(&self) -> MutexGuard<'_, Producer> {
        locked(&self.producer)
    }

    /// The response file that `seat` has passed for a request.
    pub(crate) fn take_file(&self, seat: u16, slot: u32, generation: u32) -> Option<(OwnedFd, Packet)> {
        let (socket, strays) = self.socket_of(seat)?;
        let mut strays = locked(strays);
        let wanted = |packet: &Packet| packet.slot == slot && packet.generation == generation;
        if let Some(index) = strays.iter().position(|(packet, _)| wanted(packet)) {
            let (packet, file) = strays.swap_remove(index);
            return Some((file, packet));
        }
        let most = self.layout().slots() as usize;
        // Bounded, so that a mad worker cannot keep an edge thread here.
        for _ in 0..2 * most + 64 {
            match passing::receive(socket) {
                Received::Packet(packet, Some(file)) if packet.brings == Brings::ResponseFile => {
                    if wanted(&packet) {
                        return Some((file, packet));
                    }
                    // Of another edge thread, which will ask for it; what exceeds the bound is dropped and closed.
                    if strays.len() < most {
                        strays.push((packet, file));
                    }
                }
                Received::Packet(..) | Received::Nonsense => {}
                Received::Empty | Received::Closed => break,
            }
        }
        None
    }

    fn socket_of(&self, seat: u16) -> Option<(BorrowedFd<'_>, &Strays)> {
        let seat = usize::from(seat);
        Some((self.seat_sockets.get(seat)?.as_fd(), self.strays.get(seat)?))
    }

    /// Requests that no worker has taken yet; cancelled ones count until a worker has stepped over them.
    pub fn queued(&self) -> usize {
        queue::waiting(&self.segment) as usize
    }

    /// Seats that sleep, waiting for a request.
    pub fn idle_seats(&self) -> usize {
        wake::count(self.segment.idle_seats()) as usize
    }

    /// Chunks that serve a response now.
    pub fn chunks_in_use(&self) -> usize {
        let is_used = |chunk: &u32| self.segment.chunk_owner(*chunk).load(Ordering::Relaxed) != 0;
        (0..self.layout().chunks).filter(is_used).count()
    }

    /// Requests a seat has finished since its pool started; 0 for a seat that does not exist.
    pub fn served(&self, seat: u16) -> u64 {
        match seat < self.layout().seats() {
            true => self.segment.seat(seat).served.load(Ordering::Relaxed),
            false => 0,
        }
    }
}

/// Every critical section leaves its data whole, so a panic elsewhere in one is no reason to stop.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
