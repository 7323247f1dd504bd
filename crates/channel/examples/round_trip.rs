//! What the hop costs: nanoseconds of CPU per request, edge and worker together, on one core.
//!
//! `cargo run --release -p daemun-channel --example round_trip`
//!
//! The worker is a forked process that answers at once; the edge keeps a number of requests in flight and
//! copies head and body out. Both are pinned to one core, so that time is CPU time.

#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use daemun_channel::{Body, Completion, EdgeThread, Layout, Pool, Wait, Worker, WorkerEnd};
use rustix::event::{PollFd, PollFlags};

/// Bytes of a typical request record.
const RECORD_BYTES: usize = 700;
/// Bytes of a typical response head.
const HEAD_BYTES: usize = 180;

fn main() {
    let edge_core = core_from(1, 0);
    let worker_core = core_from(2, edge_core);
    println!("edge on core {edge_core}, worker on core {worker_core}");
    println!("{:>10} {:>10} {:>12} {:>12}", "in flight", "body", "ns/request", "requests");
    for body in [1_000, 50_000, 1_000_000] {
        for in_flight in [1, 8, 32, 256] {
            let bytes_most = 2_000_000_000 / u64::try_from(body).unwrap_or(1);
            let requests = (1_000_000_u64).min(bytes_most).min(if in_flight == 1 { 200_000 } else { u64::MAX });
            let elapsed = measure(in_flight, body, requests, edge_core, worker_core);
            let each = elapsed.as_nanos() / u128::from(requests);
            println!("{in_flight:>10} {body:>10} {each:>12} {requests:>12}");
        }
    }
}

fn core_from(argument: usize, default: usize) -> usize {
    std::env::args().nth(argument).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn measure(in_flight: usize, body: usize, requests: u64, edge_core: usize, worker_core: usize) -> Duration {
    let layout = Layout { sides: 1, processes: 1, threads: 1, edge_threads: 1, slots_per_thread: 256, chunks: 8 };
    let (edge_end, worker_end) = daemun_channel::create(layout).expect("a hop");
    // SAFETY: this program has one thread.
    let pid = match unsafe { libc::fork() } {
        0 => worker_main(worker_end, body, worker_core),
        pid => pid,
    };
    pin(edge_core);
    let pool = Pool::open(edge_end).expect("a pool");
    let mut edge = pool.thread(0).expect("an edge thread");
    run(&mut edge, in_flight, requests / 10 + 1);
    let start = Instant::now();
    run(&mut edge, in_flight, requests);
    let elapsed = start.elapsed();
    // SAFETY: plain system calls on a child of ours.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
    elapsed
}

fn pin(core: usize) {
    // SAFETY: an all-zero set is valid, and outlives the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}

fn worker_main(end: WorkerEnd, body: usize, core: usize) -> ! {
    pin(core);
    let mut seat = Worker::attach(end, 0).and_then(|mut worker| worker.seat(0)).expect("a seat");
    let (head, body) = (vec![b'h'; HEAD_BYTES], vec![b'b'; body]);
    let mut run_wait = |wait: Wait<'_>| {
        wait.run();
        Ok(())
    };
    loop {
        while let Some(mut job) = seat.try_take() {
            assert_eq!(job.record().len(), RECORD_BYTES);
            job.mark_started();
            job.respond(&head, &body, &mut run_wait).expect("answered");
        }
        seat.wait(None);
    }
}

/// As an edge's loop does it: take what came, submit what there is room for, wake, sleep.
fn run(edge: &mut EdgeThread, in_flight: usize, requests: u64) {
    let record = [b'r'; RECORD_BYTES];
    let mut out = Vec::with_capacity(2_000_000);
    let (mut submitted, mut ended, mut running) = (0, 0, 0);
    while ended < requests {
        while running < in_flight && submitted < requests {
            edge.submit(&record, Body::None).expect("a slot");
            running += 1;
            submitted += 1;
        }
        edge.kick();
        if edge.arm() {
            sleep_on(edge);
        }
        while let Some(completion) = edge.next_completion() {
            match completion {
                Completion::Head { ticket } => drop(edge.copy_head(ticket, &mut out)),
                Completion::Data { ticket } => drop(edge.copy_body(ticket, &mut out, usize::MAX)),
                Completion::End { ticket, .. } => {
                    let _ = edge.copy_head(ticket, &mut out);
                    let _ = edge.copy_body(ticket, &mut out, usize::MAX);
                    edge.release(ticket);
                    running -= 1;
                    ended += 1;
                }
                other => panic!("{other:?}"),
            }
            out.clear();
        }
    }
}

fn sleep_on(edge: &EdgeThread) {
    let descriptor = edge.wake_descriptor();
    let _ = rustix::event::poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None);
    let _ = rustix::io::read(descriptor, &mut [0; 8]);
}
