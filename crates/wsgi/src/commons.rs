//! What the processes of a pool have in common besides the hop: locks, caches, signals, queues, and who is who.
//!
//! Made once, by the zygote, before the application is loaded and before anybody is forked; everybody finds it by
//! [`commons`]. Where nothing of it is asked for it is a few pages that nobody touches.

use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use daemun_channel::facilities::Facilities;
use daemun_channel::{Handover, Observer, SeatCounters, WorkerEnd};
use rustix::event::Timespec;
use rustix::thread::futex;

use crate::application_signals::Switchboard;
use crate::cache::Cache;
use crate::shared::message_queue::MessageQueue;
use crate::shared::mutex::SharedMutex;
use crate::shared::{Shared, zeroed};
use crate::signals;

/// Everything that the processes of a pool share.
pub struct Commons {
    /// What was configured.
    pub facilities: Facilities,
    /// The pool's name.
    pub name: String,
    /// How many there may be of each kind of process.
    pub numbers: Numbers,
    /// The application's locks, by number.
    pub locks: &'static [SharedMutex],
    /// In the order in which they were configured.
    pub caches: Vec<Cache>,
    /// Signals of the application's.
    pub switchboard: Switchboard,
    /// Messages for mules: the first queue is for whichever mule comes first, then one for each.
    pub mule_messages: Vec<MessageQueue>,
    /// Messages for farms.
    pub farm_messages: Vec<MessageQueue>,
    /// The state of each process's place: workers, mules, spoolers.
    places: &'static [PlaceBlock],
    /// Seats of the pool, of all its sides.
    seats: u16,
    /// By seat, then mules and spoolers: until when, in milliseconds of [`Observer::now_ms`]; 0 for no limit.
    deadlines: &'static [AtomicU64],
    /// Looks after the workers' seats.
    pub observer: Observer,
    /// The process that started the zygote.
    pub master: u32,
    /// When the pool was started, in seconds since 1970.
    pub started: u64,
    /// Another zygote serves while this one gets ready.
    pub is_reload: bool,
    /// Seconds between two looks for tasks, should the application have said; 0 for what was configured.
    pub spooler_frequency: &'static AtomicU64,
}

/// How many processes of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Workers.
    pub workers: u16,
    /// Threads of each worker.
    pub threads: u16,
    /// Mules.
    pub mules: u16,
    /// Processes that run spooled tasks, all folders together.
    pub spoolers: u16,
}

/// Which process of a pool this is; numbers begin with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// Loads the application and forks the others.
    Zygote,
    /// Runs requests.
    Worker(u16),
    /// Takes messages, or runs a program of its own.
    Mule(u16),
    /// Runs spooled tasks.
    Spooler(u16),
}

/// What is known of a process and of those that had its place before.
#[repr(C)]
#[derive(Debug)]
pub struct PlaceBlock {
    /// Its process id; 0 for none.
    pub pid: AtomicU32,
    /// Changes when there is something to look at.
    bell: AtomicU32,
    /// Of a worker: its index in the pool, by which its seats are found.
    worker: AtomicU32,
    /// What those who had the place before have counted.
    past: Counters,
    /// What its seats had counted when it was forked.
    before: Counters,
    /// Signals of the application's that were handled.
    pub signals: AtomicU64,
    /// When it was forked, in seconds since 1970.
    pub forked: AtomicU64,
    /// How often.
    pub forks: AtomicU64,
}

// SAFETY: numbers, all of them atomic.
unsafe impl Shared for PlaceBlock {}

/// [`SeatCounters`] that all may look at.
#[repr(C)]
#[derive(Debug)]
struct Counters {
    served: AtomicU64,
    running_us: AtomicU64,
    average_us: AtomicU64,
    sent: AtomicU64,
    exceptions: AtomicU64,
}

impl Counters {
    fn read(&self) -> SeatCounters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SeatCounters {
            served: of(&self.served),
            running_us: of(&self.running_us),
            average_us: of(&self.average_us),
            sent: of(&self.sent),
            exceptions: of(&self.exceptions),
        }
    }

    fn write(&self, counters: SeatCounters) {
        self.served.store(counters.served, Ordering::Relaxed);
        self.running_us.store(counters.running_us, Ordering::Relaxed);
        self.average_us.store(counters.average_us, Ordering::Relaxed);
        self.sent.store(counters.sent, Ordering::Relaxed);
        self.exceptions.store(counters.exceptions, Ordering::Relaxed);
    }
}

/// A worker as those see it who ask for all of them.
#[derive(Clone, Copy, Debug)]
pub struct WorkerState {
    /// Its process; 0 for none.
    pub pid: u32,
    /// It runs a request.
    pub is_busy: bool,
    /// What all who had its place have counted.
    pub all: SeatCounters,
    /// What this process has.
    pub own: SeatCounters,
}

impl std::fmt::Display for Member {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Zygote => write!(formatter, "zygote"),
            Self::Worker(number) => write!(formatter, "worker {}", number + 1),
            Self::Mule(number) => write!(formatter, "mule {}", number + 1),
            Self::Spooler(number) => write!(formatter, "spooler {}", number + 1),
        }
    }
}

static COMMONS: OnceLock<Commons> = OnceLock::new();
static MEMBER: AtomicU32 = AtomicU32::new(0);
static WORKER: AtomicU32 = AtomicU32::new(0);

/// What the pool has in common; `None` before the zygote has made it.
#[inline]
pub fn commons() -> Option<&'static Commons> {
    COMMONS.get()
}

/// Which process this is.
#[inline]
pub fn member() -> Member {
    let code = MEMBER.load(Ordering::Relaxed);
    let number = (code & 0xffff) as u16;
    match code >> 16 {
        1 => Member::Worker(number),
        2 => Member::Mule(number),
        3 => Member::Spooler(number),
        _ => Member::Zygote,
    }
}

impl std::fmt::Debug for Commons {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Commons").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Commons {
    /// Makes it, once in a zygote.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn establish(handover: &Handover, end: &WorkerEnd) -> io::Result<&'static Self> {
        let facilities = handover.facilities.clone();
        let small = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let numbers = Numbers {
            workers: match handover.workers.count {
                0 => small(end.layout().workers_of(end.side()).len()),
                count => count,
            },
            threads: handover.layout.threads,
            mules: small(facilities.mules.len()),
            spoolers: small(facilities.spoolers.len().saturating_mul(facilities.spooling.processes as usize)),
        };
        let locks = zeroed::<SharedMutex>(facilities.locks as usize + 1)?;
        locks.iter().try_for_each(SharedMutex::prepare)?;
        let queue = || MessageQueue::new(facilities.mule_queue_bytes);
        let seats = handover.layout.seats();
        let frequency = zeroed::<AtomicU64>(1)?.first().ok_or(io::ErrorKind::OutOfMemory)?;
        let commons = Self {
            name: handover.application.name.clone(),
            numbers,
            locks,
            caches: facilities.caches.iter().map(Cache::new).collect::<io::Result<_>>()?,
            switchboard: Switchboard::new(&numbers, facilities.farms.len())?,
            mule_messages: (0..=numbers.mules).map(|_| queue()).collect::<io::Result<_>>()?,
            farm_messages: facilities.farms.iter().map(|_| queue()).collect::<io::Result<_>>()?,
            places: zeroed(numbers.all())?,
            seats,
            deadlines: zeroed(usize::from(seats) + usize::from(numbers.mules) + usize::from(numbers.spoolers))?,
            observer: Observer::attach(end).map_err(io::Error::other)?,
            master: rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs()),
            started: unix_seconds(),
            is_reload: handover.workers.is_successor,
            spooler_frequency: frequency,
            facilities,
        };
        Ok(COMMONS.get_or_init(|| commons))
    }

    /// The block of a process; `None` for the zygote.
    pub fn place(&self, member: Member) -> Option<&PlaceBlock> {
        self.places.get(self.numbers.index(member)?)
    }

    /// Says in a process that was just forked which one it is; `worker` is a worker's index in the pool.
    pub fn become_member(&self, member: Member, worker: u16) {
        let code = match member {
            Member::Zygote => 0,
            Member::Worker(number) => 1 << 16 | u32::from(number),
            Member::Mule(number) => 2 << 16 | u32::from(number),
            Member::Spooler(number) => 3 << 16 | u32::from(number),
        };
        MEMBER.store(code, Ordering::Relaxed);
        WORKER.store(worker.into(), Ordering::Relaxed);
        if let Some(place) = self.place(member) {
            place.before.write(self.counters(worker));
            place.worker.store(worker.into(), Ordering::SeqCst);
            place.pid.store(std::process::id(), Ordering::SeqCst);
            place.forked.store(unix_seconds(), Ordering::Relaxed);
            place.forks.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A worker has ended. Its successor may have its place by now.
    pub fn worker_died(&self, number: u16, worker: u16, pid: u32, counted: SeatCounters) {
        let Some(place) = self.place(Member::Worker(number)) else { return };
        place.past.write(place.past.read().plus(counted));
        self.leave(place, pid);
        self.deadlines_of(self.observer.seats_of(worker)).for_each(|deadline| deadline.store(0, Ordering::SeqCst));
    }

    /// A mule or a spooler has ended.
    pub fn companion_died(&self, member: Member, pid: u32) {
        let Some(place) = self.place(member) else { return };
        self.leave(place, pid);
        self.deadlines_of(self.rows_of(member)).for_each(|deadline| deadline.store(0, Ordering::SeqCst));
    }

    fn leave(&self, place: &PlaceBlock, pid: u32) {
        // Fails where somebody else has the place already.
        let _ = place.pid.compare_exchange(pid, 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// How a worker is.
    pub fn worker_state(&self, number: u16) -> Option<WorkerState> {
        let place = self.place(Member::Worker(number))?;
        let worker = self.seats_of(number);
        let own = worker.map(|worker| self.counters(worker).since(place.before.read())).unwrap_or_default();
        let is_busy = |worker| self.observer.seats_of(worker).any(|seat| self.observer.busy_since_ms(seat).is_some());
        Some(WorkerState {
            pid: place.pid.load(Ordering::SeqCst),
            is_busy: worker.is_some_and(is_busy),
            all: place.past.read().plus(own),
            own,
        })
    }

    /// The index in the pool of the worker that is called so, while it lives.
    fn seats_of(&self, number: u16) -> Option<u16> {
        let place = self.place(Member::Worker(number))?;
        let is_there = place.pid.load(Ordering::SeqCst) != 0;
        u16::try_from(place.worker.load(Ordering::SeqCst)).ok().filter(|_| is_there)
    }

    fn counters(&self, worker: u16) -> SeatCounters {
        let seats = self.observer.seats_of(worker);
        seats.map(|seat| self.observer.counters(seat)).fold(SeatCounters::default(), SeatCounters::plus)
    }

    /// Has a process look at what there is for it, if it sleeps.
    pub fn wake(&self, member: Member) {
        match member {
            Member::Zygote => signals::ring(),
            // Who is not there is not to be taken for somebody who wants a worker.
            Member::Worker(number) => self.seats_of(number).into_iter().for_each(|worker| self.observer.nudge(worker)),
            Member::Mule(_) | Member::Spooler(_) => {}
        }
        if let Some(place) = self.place(member) {
            place.bell.fetch_add(1, Ordering::SeqCst);
            // Fails only for an address that is no memory.
            let _ = futex::wake(&place.bell, futex::Flags::empty(), u32::MAX >> 1);
        }
    }

    /// What to give to [`Commons::sleep`] after having looked at everything.
    pub fn bell(&self, member: Member) -> u32 {
        self.place(member).map_or(0, |place| place.bell.load(Ordering::SeqCst))
    }

    /// Sleeps until somebody wakes this process after `bell` was read, a signal comes or the time is over.
    pub fn sleep(&self, member: Member, bell: u32, limit: Duration) {
        let limit = Timespec::try_from(limit).ok();
        match self.place(member) {
            // Whatever ends it, the caller looks again.
            Some(place) => drop(futex::wait(&place.bell, futex::Flags::empty(), bell, limit.as_ref())),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }

    /// Sets until when the request that this thread runs, or the task of this process, may take; `None`: as long as it likes.
    pub fn set_deadline(&self, member: Member, thread: u16, seconds: Option<u64>) {
        let due = seconds.map_or(0, |seconds| Observer::now_ms().saturating_add(seconds.saturating_mul(1000)));
        if let Some(deadline) = self.deadlines_of(self.rows_of(member)).nth(usize::from(thread)) {
            deadline.store(due, Ordering::SeqCst);
        }
        if due != 0 {
            self.wake(Member::Zygote);
        }
    }

    /// The next time at which a mule or a spooler is to be killed, in milliseconds of [`Observer::now_ms`].
    pub fn deadline(&self, member: Member) -> Option<u64> {
        self.deadlines_of(self.rows_of(member)).map(|due| due.load(Ordering::SeqCst)).filter(|due| *due != 0).min()
    }

    /// The same for a worker, by its index in the pool.
    pub fn worker_deadline(&self, worker: u16) -> Option<u64> {
        let seats = self.observer.seats_of(worker);
        self.deadlines_of(seats).map(|due| due.load(Ordering::SeqCst)).filter(|due| *due != 0).min()
    }

    fn deadlines_of(&self, rows: Range<u16>) -> impl Iterator<Item = &AtomicU64> {
        self.deadlines.iter().skip(usize::from(rows.start)).take(rows.len())
    }

    /// The rows of [`Commons::deadlines`] that are a companion's, or those of the worker that this process is.
    fn rows_of(&self, member: Member) -> Range<u16> {
        let one = |row: u16| row..row.saturating_add(1);
        match member {
            Member::Zygote => 0..0,
            Member::Worker(_) => self.observer.seats_of(WORKER.load(Ordering::Relaxed) as u16), // Written from one.
            Member::Mule(mule) => one(self.seats.saturating_add(mule)),
            Member::Spooler(spooler) => one(self.seats.saturating_add(self.numbers.mules).saturating_add(spooler)),
        }
    }
}

impl Numbers {
    /// How many processes there may be, the zygote left out.
    pub fn all(&self) -> usize {
        usize::from(self.workers) + usize::from(self.mules) + usize::from(self.spoolers)
    }

    /// The place of a process among all of them.
    pub fn index(&self, member: Member) -> Option<usize> {
        let (workers, mules) = (usize::from(self.workers), usize::from(self.mules));
        match member {
            Member::Zygote => None,
            Member::Worker(number) => Some(usize::from(number)),
            Member::Mule(number) => Some(workers + usize::from(number)),
            Member::Spooler(number) => Some(workers + mules + usize::from(number)),
        }
    }
}

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    u64::try_from(rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse).tv_sec).unwrap_or(0)
}
