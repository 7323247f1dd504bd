//! A hop with a worker that does as the request says, and an edge that checks what comes back.

#![allow(unsafe_code, dead_code)] // Each test file uses a part of it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use daemun_channel::{
    Body, BodyGrant, BodyKind, Completion, EdgeThread, Job, JobError, Layout, Outcome, Pool, RequestBody, Seat, Ticket,
    Wait, Wake, WorkerEnd,
};
use rustix::event::{PollFd, PollFlags, Timespec};

/// What a request asks of the worker; written into its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Answer with the inline body.
    Echo,
    /// Answer with that many bytes of the pattern.
    Large(usize),
    /// The same, telling the edge of every piece.
    Stream(usize),
    /// Answer with the deferred body.
    Upload,
    /// Answer with a file of that many bytes of the pattern, but for the first 10.
    File(usize),
    /// Sleep that many milliseconds, then echo.
    Sleep(u64),
    /// Drop the job.
    Drop,
    /// Have the worker killed at a stage (see `Stage`), if the shared counter is 0; otherwise echo.
    Die(u64),
}

impl Task {
    fn to_bytes(self) -> [u8; 9] {
        let (kind, number) = match self {
            Self::Echo => (0, 0),
            Self::Large(bytes) => (1, bytes as u64),
            Self::Stream(bytes) => (2, bytes as u64),
            Self::Upload => (3, 0),
            Self::File(bytes) => (4, bytes as u64),
            Self::Sleep(milliseconds) => (5, milliseconds),
            Self::Drop => (6, 0),
            Self::Die(stage) => (7, stage),
        };
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let number = u64::from_le_bytes(bytes[1..9].try_into().expect("nine bytes"));
        match bytes[0] {
            0 => Self::Echo,
            1 => Self::Large(number as usize),
            2 => Self::Stream(number as usize),
            3 => Self::Upload,
            4 => Self::File(number as usize),
            5 => Self::Sleep(number),
            6 => Self::Drop,
            _ => Self::Die(number),
        }
    }
}

/// The bytes of a large body: no piece of it looks like another.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    const BYTES: usize = 11_200_000;
    let noise = NOISE.get_or_init(|| {
        let mut random = Random(88_172_645_463_325_252);
        (0..BYTES / 8).flat_map(|_| random.below(u64::MAX).to_le_bytes()).collect()
    });
    let from = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize % 1_000_000;
    noise[from..from + length].to_vec()
}

pub fn create(layout: Layout) -> (Arc<Pool>, WorkerEnd) {
    let (edge, worker) = daemun_channel::create(layout).expect("a hop");
    (Pool::open(edge).expect("a pool"), worker)
}

pub fn memory_file(bytes: &[u8]) -> OwnedFd {
    let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).expect("a file");
    let mut file = std::fs::File::from(file);
    file.write_all(bytes).expect("written");
    file.into()
}

// ---- the worker ----

/// Runs requests until the zygote says stop.
pub fn run_seat(seat: &mut Seat, timeout: Option<Duration>, mut before: impl FnMut(&mut Job)) {
    loop {
        while let Some(mut job) = seat.try_take() {
            before(&mut job);
            serve(job);
        }
        if seat.wait(timeout) == Wake::Stop {
            return;
        }
    }
}

/// Does what a request's record says. Errors mean that the client is gone.
pub fn serve(mut job: Job) {
    let (seed, task) = (seed_of(&job), task_of(&job));
    job.mark_started();
    let _ = match task {
        Task::Echo | Task::Die(_) => echo(job, seed),
        Task::Large(bytes) => large(job, seed, bytes, false),
        Task::Stream(bytes) => large(job, seed, bytes, true),
        Task::Upload => upload(job, seed),
        Task::File(bytes) => file(job, seed, bytes),
        Task::Sleep(milliseconds) => {
            std::thread::sleep(Duration::from_millis(milliseconds));
            echo(job, seed)
        }
        Task::Drop => Ok(()),
    };
}

pub fn seed_of(job: &Job) -> u64 {
    u64::from_le_bytes(job.record()[..8].try_into().expect("eight bytes"))
}

pub fn task_of(job: &Job) -> Task {
    Task::from_bytes(&job.record()[8..])
}

pub fn run_wait(wait: Wait<'_>) -> Result<(), ()> {
    wait.run();
    Ok(())
}

fn echo(job: Job, seed: u64) -> Result<(), JobError> {
    let body = job.inline_body().to_vec();
    job.respond(format!("head {seed}").as_bytes(), &body, &mut run_wait)
}

fn large(mut job: Job, seed: u64, bytes: usize, flush: bool) -> Result<(), JobError> {
    job.write_head(format!("head {seed}").as_bytes())?;
    let body = pattern(seed, bytes);
    // Pieces of all sizes, small and larger than any ring.
    let mut rest = body.as_slice();
    let mut step = 1 + (seed % 100) as usize;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(step.min(rest.len()));
        job.write(piece, &mut run_wait)?;
        if flush {
            job.flush()?;
        }
        rest = later;
        step = (step * 7) % 600_011 + 1;
    }
    job.finish(true);
    Ok(())
}

fn upload(mut job: Job, seed: u64) -> Result<(), JobError> {
    let RequestBody::Deferred { .. } = job.body() else { panic!("no deferred body") };
    let source = job.need_body(&mut run_wait)?;
    let mut body = Vec::new();
    match source.kind {
        BodyKind::File => {
            body.resize(source.length.expect("files have a length") as usize, 0);
            let read = rustix::io::pread(&source.descriptor, &mut body, 0).expect("read");
            assert_eq!(read, body.len());
        }
        BodyKind::Pipe => {
            std::fs::File::from(source.descriptor).read_to_end(&mut body).expect("read");
            assert!(job.is_body_whole());
        }
    }
    job.respond(format!("head {seed}").as_bytes(), &body, &mut run_wait)
}

fn file(mut job: Job, seed: u64, bytes: usize) -> Result<(), JobError> {
    let file = memory_file(&pattern(seed, bytes));
    job.write_head(format!("head {seed}").as_bytes())?;
    job.send_file(file.as_fd(), 10, bytes as u64 - 10, &mut run_wait)?;
    job.finish(true);
    Ok(())
}

// ---- the edge ----

/// A request under way, as its client sees it.
#[derive(Debug)]
pub struct Expected {
    pub seed: u64,
    pub task: Task,
    pub request_body: Vec<u8>,
    head: Vec<u8>,
    body: Vec<u8>,
}

/// How a request came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    Failed,
    Lost(u16),
}

/// An edge thread whose clients check every byte.
pub struct Edge {
    pub thread: EdgeThread,
    pub running: HashMap<Ticket, Expected>,
    pub fates: Vec<(u64, Fate)>,
    /// Seats that were reported clean.
    pub cleaned: Vec<std::ops::Range<u16>>,
    /// Most body bytes that are taken at a time.
    pub sip: usize,
}

impl Edge {
    pub fn new(thread: EdgeThread) -> Self {
        Self { thread, running: HashMap::new(), fates: Vec::new(), cleaned: Vec::new(), sip: usize::MAX }
    }

    pub fn submit(&mut self, seed: u64, task: Task, request_body: &[u8]) -> Option<Ticket> {
        let record = [seed.to_le_bytes().as_slice(), &task.to_bytes()].concat();
        let body = match task {
            Task::Upload => Body::Deferred { length: seed.is_multiple_of(2).then_some(request_body.len() as u64) },
            _ if request_body.is_empty() => Body::None,
            _ => Body::Inline(request_body),
        };
        let ticket = self.thread.submit(&record, body).ok()?;
        let request_body = request_body.to_vec();
        let expected = Expected { seed, task, request_body, head: Vec::new(), body: Vec::new() };
        assert!(self.running.insert(ticket, expected).is_none(), "the slot was in use");
        Some(ticket)
    }

    pub fn abort(&mut self, ticket: Ticket) {
        self.thread.abort(ticket);
        self.running.remove(&ticket);
    }

    /// One turn of the loop: sleeps at most `timeout`, then takes everything that was reported.
    pub fn turn(&mut self, timeout: Duration) -> usize {
        self.thread.kick();
        if self.thread.arm() {
            sleep_on(&self.thread, timeout);
        }
        let mut count = 0;
        while let Some(completion) = self.thread.next_completion() {
            self.take(completion);
            count += 1;
        }
        count
    }

    /// Turns until nothing runs.
    pub fn finish(&mut self) {
        let start = Instant::now();
        while !self.running.is_empty() {
            self.turn(Duration::from_millis(100));
            let stuck: Vec<_> = self.running.values().map(|expected| expected.task).collect();
            assert!(start.elapsed() < Duration::from_secs(60), "stuck with {stuck:?}");
        }
    }

    fn take(&mut self, completion: Completion) {
        match completion {
            Completion::NeedBody { ticket } => self.upload(ticket),
            Completion::Head { ticket } => self.read(ticket),
            Completion::Data { ticket } => self.read(ticket),
            Completion::File { ticket, file, offset, length } => {
                self.read(ticket);
                let mut part = vec![0; length as usize];
                assert_eq!(rustix::io::pread(&file, &mut part, offset), Ok(part.len()));
                self.running.get_mut(&ticket).expect("running").body.extend(part);
            }
            Completion::End { ticket, outcome } => {
                self.read(ticket);
                match outcome {
                    Outcome::Complete => self.check(ticket),
                    Outcome::Failed => self.end(ticket, Fate::Failed),
                }
            }
            Completion::Lost { ticket, seat } => self.end(ticket, Fate::Lost(seat)),
            Completion::Cleaned { seats, .. } => self.cleaned.push(seats),
            Completion::Misbehaved { seat, violation } => panic!("seat {seat}: {violation}"),
        }
    }

    fn read(&mut self, ticket: Ticket) {
        let expected = self.running.get_mut(&ticket).expect("reported for a request that runs");
        if expected.head.is_empty() {
            self.thread.copy_head(ticket, &mut expected.head).expect("a head");
        }
        while self.thread.copy_body(ticket, &mut expected.body, self.sip).expect("a body") > 0 {}
    }

    fn upload(&mut self, ticket: Ticket) {
        let expected = &self.running[&ticket];
        if expected.seed.is_multiple_of(2) {
            let file = memory_file(&expected.request_body);
            let length = expected.request_body.len() as u64;
            self.thread.grant_body(ticket, BodyGrant::File { file: file.as_fd(), length }).expect("granted");
            return;
        }
        // A socket and no pipe: workers forked meanwhile inherit its ends, and only a shutdown ends it nevertheless.
        let (read, mut write) = UnixStream::pair().expect("a pair");
        self.thread.grant_body(ticket, BodyGrant::Pipe { pipe: read.as_fd(), length: None }).expect("granted");
        drop(read);
        let body = expected.request_body.clone();
        self.thread.end_body(ticket);
        // The worker may be killed before it has read all of it.
        std::thread::spawn(move || write.write_all(&body).and_then(|()| write.shutdown(Shutdown::Write)));
    }

    fn check(&mut self, ticket: Ticket) {
        let expected = &self.running[&ticket];
        assert_eq!(expected.head, format!("head {}", expected.seed).into_bytes(), "{:?}", expected.task);
        let wanted = match expected.task {
            Task::Large(bytes) | Task::Stream(bytes) => pattern(expected.seed, bytes),
            Task::File(bytes) => pattern(expected.seed, bytes).split_off(10),
            _ => expected.request_body.clone(),
        };
        assert!(expected.body == wanted, "{:?}: {} bytes of {}", expected.task, expected.body.len(), wanted.len());
        self.end(ticket, Fate::Answered);
    }

    fn end(&mut self, ticket: Ticket, fate: Fate) {
        let expected = self.running.remove(&ticket).expect("ended twice or never submitted");
        self.thread.release(ticket);
        self.fates.push((expected.seed, fate));
    }

    pub fn count(&self, wanted: impl Fn(&Fate) -> bool) -> usize {
        self.fates.iter().filter(|(_, fate)| wanted(fate)).count()
    }

    /// Every slot and queue entry is there again, and every chunk if no other edge thread uses some.
    pub fn assert_nothing_lost(&mut self) {
        let slots = self.thread.pool().layout().slots_per_thread as usize;
        let start = Instant::now();
        while self.thread.free_slots() < slots || self.thread.pool().queued() > 0 {
            self.turn(Duration::from_millis(10));
            let (free, queued) = (self.thread.free_slots(), self.thread.pool().queued());
            assert!(start.elapsed() < Duration::from_secs(20), "{free} of {slots} slots free, {queued} queued");
        }
        if self.thread.pool().layout().edge_threads == 1 {
            assert_eq!(self.thread.pool().chunks_in_use(), 0);
        }
    }
}

pub fn sleep_on(thread: &EdgeThread, timeout: Duration) {
    let descriptor = thread.wake_descriptor();
    let timeout = Timespec::try_from(timeout).expect("short");
    let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
    let _ = rustix::event::poll(&mut polled, Some(&timeout));
    let _ = rustix::io::read(descriptor, &mut [0; 8]);
}

/// A small generator of random numbers.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Any task that ends by itself, with a request body.
    pub fn task(&mut self) -> (Task, Vec<u8>) {
        let size = self.below(3_000) as usize;
        let body = pattern(self.0, size);
        match self.below(12) {
            0 => (Task::Large(self.below(70_000) as usize), body),
            1 => (Task::Large(self.below(1_500_000) as usize), body),
            2 => (Task::Stream(self.below(900_000) as usize), body),
            3 => (Task::Upload, pattern(self.0, 200_000)),
            4 => (Task::File(10 + self.below(100_000) as usize), body),
            5 => (Task::Echo, pattern(self.0, 50_000)),
            6 => (Task::Sleep(self.below(2)), body),
            _ => (Task::Echo, body),
        }
    }
}
