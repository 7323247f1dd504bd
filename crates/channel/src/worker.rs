//! The workers' side of a hop: a [`Worker`] per process, a [`Seat`] per thread that takes requests.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::completion::{self, Entry};
use crate::error::ChannelError;
use crate::job::Job;
use crate::layout::Layout;
use crate::queue;
use crate::segment::{SeatBlock, Segment};
use crate::wake;
use crate::wiring::WorkerEnd;

/// A worker process' hold on the hop.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<WorkerShared>,
    first_seat: u16,
    /// By thread: the socket of its seat, until the seat is taken.
    sockets: Vec<Option<OwnedFd>>,
}

/// What the seats of one process share.
#[derive(Debug)]
struct WorkerShared {
    segment: Segment,
    seat_wakes: Vec<OwnedFd>,
    edge_wakes: Vec<OwnedFd>,
}

impl Worker {
    /// Maps the segment for worker `index`, `0..processes`. Call in the worker, after it was forked.
    ///
    /// Closes what belongs to other workers and to the zygote, which is this process' parent. Waits until
    /// the edge has taken back what the workers of an earlier zygote had ([`crate::Pool::reset`]).
    ///
    /// # Errors
    ///
    /// [`ChannelError::Segment`] if the memory is not as `end` says, or after ten seconds of that wait;
    /// [`ChannelError::Index`]; [`ChannelError::System`].
    pub fn attach(end: WorkerEnd, index: u16) -> Result<Self, ChannelError> {
        if index >= end.layout.processes {
            return Err(ChannelError::Index { what: "worker", index });
        }
        let segment = Segment::map(end.segment.as_fd(), &end.layout)?;
        wait_for_admission(&segment, end.side)?;
        let seats = end.layout.seats_of(index);
        let mine = end.seat_sockets.into_iter().skip(usize::from(seats.start)).take(seats.len());
        Ok(Self {
            sockets: mine.map(Some).collect(),
            shared: Arc::new(WorkerShared { segment, seat_wakes: end.seat_wakes, edge_wakes: end.edge_wakes }),
            first_seat: seats.start,
        })
    }

    /// The size of the hop.
    pub fn layout(&self) -> &Layout {
        self.shared.segment.layout()
    }

    /// Requests of the pool that nobody has taken yet; a few of them may be given up by now.
    pub fn waiting(&self) -> u64 {
        queue::waiting(&self.shared.segment)
    }

    /// The seat of thread `thread`, `0..threads`, to be moved into that thread. Each can be taken once.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Index`] if there is no such thread or it was taken before; [`ChannelError::System`].
    pub fn seat(&mut self, thread: u16) -> Result<Seat, ChannelError> {
        let socket = self.sockets.get_mut(usize::from(thread)).and_then(Option::take);
        let socket = socket.ok_or(ChannelError::Index { what: "seat", index: thread })?;
        let seat = self.first_seat + thread;
        let edge_threads = 0..self.layout().edge_threads;
        let counter = |edge_thread| self.shared.segment.completions(seat, edge_thread).produced.load(Ordering::Acquire);
        Ok(Seat {
            shared: Arc::new(SeatShared {
                produced: Mutex::new(edge_threads.map(counter).collect()),
                sleep: sleeping_place(&self.shared.seat_wakes[usize::from(seat)], &socket)?,
                worker: self.shared.clone(),
                index: seat,
                socket,
                latest_chunk: AtomicU32::new(u32::from(seat) % self.layout().chunks),
                is_edge_gone: AtomicBool::new(false),
            }),
        })
    }
}

/// Returns when the seats are free of the workers of an earlier zygote.
///
/// Process ids tell zygotes apart: whichever zygote's worker comes first after a reset has the seats for its kin.
fn wait_for_admission(segment: &Segment, side: u16) -> Result<(), ChannelError> {
    const STEP: Duration = Duration::from_millis(2);
    let zygote = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    for _ in 0..5_000 {
        if segment.is_admitted(side, zygote) {
            return Ok(());
        }
        std::thread::sleep(STEP);
    }
    Err(ChannelError::Segment("the edge has not given up the workers of an earlier zygote"))
}

/// An epoll that shows, each once, wake-ups by the seat's eventfd and events on its socket.
///
/// One system call to sleep, with a time limit, and none to take the wake-up off the eventfd; the eventfd
/// itself stays non-blocking, so that nothing a worker does to it can make the edge wait.
fn sleeping_place(wake: &OwnedFd, socket: &OwnedFd) -> Result<OwnedFd, ChannelError> {
    let place = epoll::create(CreateFlags::CLOEXEC).map_err(ChannelError::system("epoll"))?;
    let once = EventFlags::ET;
    epoll::add(&place, wake, EventData::new_u64(WAKE), once | EventFlags::IN).map_err(ChannelError::system("epoll"))?;
    let incoming = once | EventFlags::IN | EventFlags::RDHUP;
    epoll::add(&place, socket, EventData::new_u64(SOCKET), incoming).map_err(ChannelError::system("epoll"))?;
    Ok(place)
}

/// How long a seat that waits for its release sleeps before it looks again, whatever it has missed.
const RELEASE_LOOK: Duration = Duration::from_secs(1);

const WAKE: u64 = 0;
const SOCKET: u64 = 1;

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
///
/// Dropping it leaves the seat: what it was woken for is passed on to another.
#[derive(Debug)]
pub struct Seat {
    shared: Arc<SeatShared>,
}

/// What a seat and its jobs share.
#[derive(Debug)]
pub(crate) struct SeatShared {
    worker: Arc<WorkerShared>,
    pub index: u16,
    pub socket: OwnedFd,
    sleep: OwnedFd,
    /// Entries produced so far, by edge thread. The lock is for a job that the application's own threads end.
    produced: Mutex<Vec<u64>>,
    /// Where to look for a free chunk first.
    pub latest_chunk: AtomicU32,
    is_edge_gone: AtomicBool,
}

impl Seat {
    /// Its index in the pool.
    pub fn index(&self) -> u16 {
        self.shared.index
    }

    /// Takes the next request of the pool, if there is one. Never blocks.
    ///
    /// One at a time: the earlier job must have ended, since both would wait on the same eventfd.
    pub fn try_take(&mut self) -> Option<Job> {
        loop {
            let (slot, generation) = queue::claim(self.shared.segment(), self.shared.index)?;
            // A request whose client went away while it was queued ends here, when the job is dropped.
            let job = Job::new(self.shared.clone(), slot, generation);
            if !job.is_aborted() {
                return Some(job);
            }
        }
    }

    /// Sleeps until there may be a request. Release the interpreter's lock around it.
    ///
    /// With `None` there is no time limit: a signal that arrives just before the sleep is then noticed only
    /// after the next request.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Wake {
        let (segment, seat) = (self.shared.segment(), self.shared.index);
        if self.is_stopping() {
            return Wake::Stop;
        }
        let mut reason = Wake::Request;
        // After the idle bit is set, since `stop` sets its mark and then wakes whoever sleeps.
        if wake::prepare_sleep(segment, seat) && !self.is_stopping() {
            reason = self.shared.sleep(timeout);
        }
        wake::mark_awake(segment, seat);
        if self.is_stopping() { Wake::Stop } else { reason }
    }

    /// Says that this seat's process could serve; see [`crate::Observer::is_up`].
    pub fn mark_up(&self) {
        self.shared.block().up.store(1, Ordering::SeqCst);
    }

    /// Whether it is to take no request for now.
    pub fn is_held(&self) -> bool {
        self.shared.block().hold.load(Ordering::SeqCst) != 0
    }

    /// Sleeps while [`crate::Observer::prepare`] has told the seat to wait; returns at once without that.
    pub fn wait_for_release(&self) {
        let block = self.shared.block();
        while block.hold.load(Ordering::SeqCst) != 0 && !self.is_stopping() {
            if self.shared.sleep(Some(RELEASE_LOOK)) == Wake::EdgeGone {
                return;
            }
        }
    }

    /// Whether [`crate::Observer::stop`] was called for this seat's worker.
    pub fn is_stopping(&self) -> bool {
        self.shared.block().stop.load(Ordering::SeqCst) != 0
    }

    /// Requests finished by this seat since its pool started.
    pub fn served(&self) -> u64 {
        self.shared.block().served.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let segment = self.shared.segment();
        wake::mark_awake(segment, self.shared.index);
        wake::wake_for_queued(segment, &self.shared.worker.seat_wakes);
    }
}

impl SeatShared {
    pub fn segment(&self) -> &Segment {
        &self.worker.segment
    }

    pub fn block(&self) -> &SeatBlock {
        self.segment().seat(self.index)
    }

    /// Reports something to an edge thread and wakes it if it sleeps.
    pub fn report(&self, edge_thread: u16, entry: Entry) {
        let queue = self.segment().completions(self.index, edge_thread);
        let mut produced = self.produced.lock().unwrap_or_else(PoisonError::into_inner);
        let is_queued = match produced.get_mut(usize::from(edge_thread)) {
            Some(produced) => completion::push(&queue, produced, entry),
            None => false,
        };
        drop(produced);
        debug_assert!(is_queued, "the queue has room for everything that its slots can report");
        if completion::ring(self.segment(), self.index, edge_thread)
            && let Some(wake) = self.worker.edge_wakes.get(usize::from(edge_thread))
        {
            wake::signal(wake);
        }
    }

    /// Whether a sleep has seen the edge's end of the socket closed.
    pub fn is_edge_gone(&self) -> bool {
        self.is_edge_gone.load(Ordering::Relaxed)
    }

    /// Lets sleeps end, from now on, also when the socket has room again. Seldom needed, hence not from the start.
    pub fn watch_writable(&self) {
        let flags = EventFlags::ET | EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP;
        // If this fails, the wait's own time limit ends it.
        let _ = epoll::modify(&self.sleep, &self.socket, EventData::new_u64(SOCKET), flags);
    }

    /// Sleeps until the seat's eventfd is written or something happens on its socket.
    pub fn sleep(&self, timeout: Option<Duration>) -> Wake {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = [MaybeUninit::<Event>::uninit(); 2];
        match epoll::wait(&self.sleep, &mut events, timeout.as_ref()) {
            Ok(([], _)) => Wake::TimedOut,
            Ok((events, _)) => {
                let gone = EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR;
                // The kernel's struct is packed, hence the copies.
                let is_gone = |Event { flags, data }: Event| data.u64() == SOCKET && flags.intersects(gone);
                if events.iter().copied().any(is_gone) {
                    self.is_edge_gone.store(true, Ordering::Relaxed);
                    return Wake::EdgeGone;
                }
                Wake::Request
            }
            Err(_) => Wake::Interrupted,
        }
    }
}
