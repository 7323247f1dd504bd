//! Workers as processes that are killed: no slot, chunk or queue entry is lost, and each started request
//! is reported lost once.

#![allow(unsafe_code)]

mod hop;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use daemun_channel::{Job, Layout, Pool, Worker, WorkerEnd};
use hop::{Edge, Fate, Random, Task};

/// Forks a worker process whose seats call `before` with each job and then run it.
fn fork_worker(end: &WorkerEnd, index: u16, before: impl FnMut(&mut Job) + Copy + Send) -> i32 {
    // SAFETY: the child uses nothing that another thread of the test program could have left locked but
    // the allocator, which the C library keeps usable after fork.
    match unsafe { libc::fork() } {
        0 => {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker_main(end, index, before)));
            // SAFETY: no destructor of the test program may run in the child.
            unsafe { libc::_exit(i32::from(result.is_err())) }
        }
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        pid => pid,
    }
}

fn worker_main(end: &WorkerEnd, index: u16, before: impl FnMut(&mut Job) + Copy + Send) {
    // SAFETY: plain system call; a failed test must not leave its workers behind.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let mut worker = Worker::attach(end.try_clone().expect("cloned"), index).expect("attached");
    let threads = worker.layout().threads;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let mut seat = worker.seat(thread).expect("a seat");
            scope.spawn(move || hop::run_seat(&mut seat, None, before));
        }
    });
}

fn kill(pid: i32) {
    // SAFETY: plain system calls on a child of ours.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    reap(pid, libc::SIGKILL);
}

fn reap(pid: i32, signal: i32) {
    let mut status = 0;
    // SAFETY: as above; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal, "ended with status {status:#x}");
}

fn shared_counter() -> &'static AtomicU32 {
    use rustix::mm::{MapFlags, ProtFlags};
    let (bytes, protection) = (4096, ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a fresh, zeroed, never unmapped page, used as an atomic by every process.
    unsafe {
        let page = rustix::mm::mmap_anonymous(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED);
        &*page.expect("a page").cast::<AtomicU32>()
    }
}

/// Where a worker dies that is asked to.
const STAGES: [(u64, &str, Fate); 5] = [
    (0, "claimed and not started", Fate::Answered),
    (1, "started", Fate::Lost(0)),
    (2, "told of a head and a part of the body", Fate::Lost(0)),
    (3, "took a chunk, waits for room", Fate::Lost(0)),
    (4, "ended", Fate::Answered),
];

fn die_at(stage: u64, job: &mut Job) {
    let mut wait_is_death = |_: daemun_channel::Wait<'_>| die();
    match stage {
        0 => die(),
        1 => {
            job.mark_started();
            die()
        }
        2 => {
            job.write_head(b"head").expect("written");
            job.write(&[1; 1000], &mut wait_is_death).expect("written");
            job.flush().expect("flushed");
            die()
        }
        _ => {
            job.write_head(b"head").expect("written");
            let _ = job.write(&vec![1; 10_000_000], &mut wait_is_death);
        }
    }
}

fn die() -> ! {
    // SAFETY: kills this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::thread::park();
    }
}

#[test]
fn a_death_at_each_stage_has_its_due_consequence() {
    let layout = Layout { sides: 1, processes: 1, threads: 1, edge_threads: 1, slots_per_thread: 8, chunks: 2 };
    for (stage, name, fate) in STAGES {
        let (pool, end) = hop::create(layout);
        let mut edge = Edge::new(pool.thread(0).expect("an edge thread"));
        let deaths = shared_counter();
        let before = move |job: &mut Job| {
            let Task::Die(stage) = hop::task_of(job) else { return };
            if stage < 4 && deaths.fetch_add(1, Ordering::SeqCst) == 0 {
                die_at(stage, job);
            }
        };
        let pid = fork_worker(&end, 0, before);
        edge.submit(1, Task::Die(stage), b"body").expect("a slot");
        edge.submit(2, Task::Echo, b"waits behind it").expect("a slot");
        edge.thread.kick();
        if stage == 4 {
            // Both are answered before the edge looks; then the worker dies.
            while pool.served(0) < 2 {
                std::thread::yield_now();
            }
            kill(pid);
        } else {
            // The reports before the death reach the edge or not, as it happens.
            reap(pid, libc::SIGKILL);
        }
        pool.worker_died(0..1, pid as u32);
        while edge.cleaned.is_empty() {
            edge.turn(Duration::from_secs(1));
        }
        let pid = fork_worker(&end, 0, before);
        edge.finish();
        edge.fates.sort_by_key(|(seed, _)| *seed);
        assert_eq!(edge.fates, [(1, fate), (2, Fate::Answered)], "worker died when it {name}");
        edge.assert_nothing_lost();
        kill(pid);
    }
}

struct Killer {
    random: Random,
    pids: Vec<i32>,
    kills: usize,
}

impl Killer {
    fn new(end: &WorkerEnd, processes: u16) -> Self {
        let pids = (0..processes).map(|index| fork_worker(end, index, |_| {})).collect();
        Self { random: Random(0x2545_f491_4f6c_dd1d), pids, kills: 0 }
    }

    fn kill_one(&mut self, pool: &Pool) -> u16 {
        let victim = self.random.below(self.pids.len() as u64) as usize;
        if self.pids[victim] != 0 {
            let pid = std::mem::take(&mut self.pids[victim]);
            kill(pid);
            self.kills += 1;
            pool.worker_died(pool.layout().seats_of(victim as u16), pid as u32);
        }
        victim as u16
    }

    fn replace(&mut self, end: &WorkerEnd, seats: &std::ops::Range<u16>) {
        let worker = seats.start / end.layout().threads;
        assert_eq!(*seats, end.layout().seats_of(worker));
        assert_eq!(self.pids[usize::from(worker)], 0, "cleaned while alive");
        self.pids[usize::from(worker)] = fork_worker(end, worker, |_| {});
    }
}

fn assert_fates(edge: &Edge, submitted: u64, aborted: usize, most_lost: usize) {
    let ended: HashSet<_> = edge.fates.iter().map(|(seed, _)| *seed).collect();
    assert_eq!(ended.len(), edge.fates.len(), "no request ended twice");
    assert_eq!(edge.fates.len() + aborted, submitted as usize, "every request ended");
    assert_eq!(edge.count(|fate| *fate == Fate::Failed), 0);
    let lost = edge.count(|fate| matches!(fate, Fate::Lost(_)));
    assert!(lost <= most_lost, "{lost} requests lost where at most {most_lost} could be running");
    println!("{submitted} submitted, {aborted} aborted, {lost} lost");
}

#[test]
fn four_hundred_kills_at_random_times_lose_nothing() {
    let layout = Layout { sides: 1, processes: 3, threads: 2, edge_threads: 1, slots_per_thread: 24, chunks: 3 };
    let (pool, end) = hop::create(layout);
    let mut edge = Edge::new(pool.thread(0).expect("an edge thread"));
    let mut killer = Killer::new(&end, layout.processes);
    let mut random = Random(88_172_645_463_325_252);
    let (mut seed, mut aborted) = (0, 0);
    let mut next_kill = Instant::now();
    while killer.kills < 400 {
        let (task, body) = random.task();
        if edge.submit(seed, task, &body).is_some() {
            seed += 1;
        } else {
            edge.turn(Duration::from_millis(5));
        }
        if random.below(4) == 0 {
            edge.turn(Duration::ZERO);
        }
        if random.below(20) == 0
            && let Some(victim) = edge.running.keys().next().copied()
        {
            edge.abort(victim);
            aborted += 1;
        }
        if Instant::now() >= next_kill {
            killer.kill_one(&pool);
            next_kill = Instant::now() + Duration::from_micros(random.below(4_000));
        }
        edge.turn(Duration::ZERO);
        for seats in std::mem::take(&mut edge.cleaned) {
            killer.replace(&end, &seats);
        }
    }
    while killer.pids.contains(&0) {
        edge.turn(Duration::from_millis(10));
        for seats in std::mem::take(&mut edge.cleaned) {
            killer.replace(&end, &seats);
        }
    }
    edge.finish();
    assert_fates(&edge, seed, aborted, 400 * usize::from(layout.threads));
    edge.assert_nothing_lost();
    killer.pids.iter().for_each(|pid| kill(*pid));
}

#[test]
fn several_edge_threads_recover_together() {
    let layout = Layout { sides: 1, processes: 3, threads: 1, edge_threads: 2, slots_per_thread: 12, chunks: 2 };
    let (pool, end) = hop::create(layout);
    let mut killer = Killer::new(&end, layout.processes);
    let is_over = AtomicBool::new(false);
    let (cleaned_sender, cleaned) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let edges: Vec<_> = (0..2)
            .map(|index| {
                let (pool, is_over, sender) = (&pool, &is_over, cleaned_sender.clone());
                scope.spawn(move || edge_main(pool, index, is_over, &sender))
            })
            .collect();
        while killer.kills < 200 {
            std::thread::sleep(Duration::from_micros(killer.random.below(4_000)));
            killer.kill_one(&pool);
            while let Ok(seats) = cleaned.try_recv() {
                killer.replace(&end, &seats);
            }
        }
        while killer.pids.contains(&0) {
            let seats = cleaned.recv_timeout(Duration::from_secs(20)).expect("every death is cleaned up after");
            killer.replace(&end, &seats);
        }
        is_over.store(true, Ordering::SeqCst);
        let lost: usize = edges.into_iter().map(|edge| edge.join().expect("no panic in the edge thread")).sum();
        assert!(lost <= 200, "{lost} requests lost by 200 kills");
        assert_eq!(pool.chunks_in_use(), 0);
    });
    killer.pids.iter().for_each(|pid| kill(*pid));
}

fn edge_main(
    pool: &Arc<Pool>,
    index: u16,
    is_over: &AtomicBool,
    cleaned: &std::sync::mpsc::Sender<std::ops::Range<u16>>,
) -> usize {
    let mut edge = Edge::new(pool.thread(index).expect("an edge thread"));
    let mut random = Random(u64::from(index) + 77);
    let mut seed = 0;
    while !is_over.load(Ordering::SeqCst) {
        let (task, body) = random.task();
        if edge.submit(seed, task, &body).is_some() {
            seed += 1;
            edge.turn(Duration::ZERO);
        } else {
            edge.turn(Duration::from_millis(5));
        }
        edge.cleaned.drain(..).for_each(|seats| cleaned.send(seats).expect("the killer listens"));
    }
    edge.finish();
    assert_fates(&edge, seed, 0, 200);
    edge.assert_nothing_lost();
    edge.count(|fate| matches!(fate, Fate::Lost(_)))
}

#[test]
fn a_new_zygote_takes_over_what_was_queued() {
    let layout = Layout { sides: 1, processes: 2, threads: 2, edge_threads: 1, slots_per_thread: 16, chunks: 2 };
    let (pool, end) = hop::create(layout);
    let mut edge = Edge::new(pool.thread(0).expect("an edge thread"));
    let mut random = Random(4_242);
    let mut seed = 0;
    for round in 0..40 {
        let pids: Vec<_> = (0..2).map(|index| fork_worker(&end, index, |_| {})).collect();
        let until = Instant::now() + Duration::from_micros(random.below(15_000));
        while Instant::now() < until {
            let (task, body) = random.task();
            seed += u64::from(edge.submit(seed, task, &body).is_some());
            edge.turn(Duration::ZERO);
        }
        pids.into_iter().for_each(kill);
        if round % 2 == 0 {
            // What a mad worker could do to the others on its way out is repaired too.
            scribble_on_queue(&end);
        }
        pool.reset(0, true);
        while edge.cleaned.is_empty() {
            edge.turn(Duration::from_secs(1));
        }
        assert_eq!(std::mem::take(&mut edge.cleaned).as_slice(), std::slice::from_ref(&(0..4)));
    }
    let pids: Vec<_> = (0..2).map(|index| fork_worker(&end, index, |_| {})).collect();
    edge.finish();
    assert_fates(&edge, seed, 0, 40 * 4);
    edge.assert_nothing_lost();
    pids.into_iter().for_each(kill);
}

#[test]
fn workers_of_a_new_zygote_wait_until_the_edge_has_given_up_the_old() {
    let layout = Layout { sides: 1, processes: 1, threads: 1, edge_threads: 2, slots_per_thread: 4, chunks: 1 };
    let (pool, end) = hop::create(layout);
    let mut edges = [0, 1].map(|index| Edge::new(pool.thread(index).expect("an edge thread")));
    let pid = fork_worker(&end, 0, |_| {});
    edges[0].submit(1, Task::Echo, b"").expect("a slot");
    edges[0].finish();
    kill(pid);
    // The worker's zygote was this process; this process' own parent stands for another one.
    let successor = std::thread::spawn({
        let end = end.try_clone().expect("cloned");
        move || Worker::attach(end, 0).map(drop)
    });
    pool.reset(0, true);
    for edge in &mut edges {
        std::thread::sleep(Duration::from_millis(20));
        assert!(!successor.is_finished(), "not every edge thread has seen the death");
        edge.turn(Duration::ZERO);
    }
    assert_eq!(edges[1].cleaned.len(), 1);
    successor.join().expect("no panic").expect("attached");
}

/// Overwrites the head and the tail of the submission queue, which begin on the segment's second page.
fn scribble_on_queue(end: &WorkerEnd) {
    let numbers = daemun_channel::Handover::new(end, Default::default(), Default::default()).descriptors;
    // SAFETY: the segment's descriptor is open as long as `end`.
    let segment = unsafe { std::os::fd::BorrowedFd::borrow_raw(numbers.segment) };
    for place in [4096, 4096 + 64] {
        assert_eq!(rustix::io::pwrite(segment, &u64::MAX.wrapping_sub(12_345).to_ne_bytes(), place), Ok(8));
    }
}
