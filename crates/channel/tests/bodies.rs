//! Bodies in both directions: larger than any ring, slowly read, by descriptor, broken off; and a worker
//! that writes nonsense.

#![allow(unsafe_code)]

mod hop;

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use daemun_channel::{
    Body, BodyGrant, Completion, EdgeThread, JobError, Layout, Outcome, RequestBody, Seat, Ticket, Worker, WorkerEnd,
};
use hop::{Edge, Fate, Task};

const LAYOUT: Layout = Layout { sides: 1, processes: 1, threads: 1, edge_threads: 1, slots_per_thread: 4, chunks: 1 };

fn hop_with(layout: Layout) -> (EdgeThread, Seat, WorkerEnd) {
    let (pool, end) = hop::create(layout);
    let mut worker = Worker::attach(end.try_clone().expect("cloned"), 0).expect("attached");
    (pool.thread(0).expect("an edge thread"), worker.seat(0).expect("a seat"), end)
}

/// Waits for one completion.
fn next(edge: &mut EdgeThread) -> Completion {
    let start = Instant::now();
    loop {
        if let Some(completion) = edge.next_completion() {
            return completion;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "nothing was reported");
        edge.kick();
        if edge.arm() {
            hop::sleep_on(edge, Duration::from_millis(100));
        }
    }
}

fn serve_in_thread(mut seat: Seat) -> std::thread::JoinHandle<Seat> {
    std::thread::spawn(move || {
        loop {
            if let Some(job) = seat.try_take() {
                hop::serve(job);
                return seat;
            }
            seat.wait(None);
        }
    })
}

#[test]
fn a_body_of_ten_megabytes_passes_a_slow_reader() {
    for sip in [1_000, 65_536, 300_000] {
        let (edge, seat, _end) = hop_with(LAYOUT);
        let mut edge = Edge::new(edge);
        edge.sip = sip;
        let worker = serve_in_thread(seat);
        edge.submit(5, Task::Large(10_000_000), b"").expect("a slot");
        edge.finish();
        assert_eq!(edge.fates, [(5, Fate::Answered)]);
        worker.join().expect("no panic");
        edge.assert_nothing_lost();
    }
}

#[test]
fn without_a_free_chunk_the_slot_is_the_ring() {
    let layout = Layout { sides: 1, processes: 2, threads: 1, ..LAYOUT };
    let (pool, end) = hop::create(layout);
    let mut edge = pool.thread(0).expect("an edge thread");
    let seat = |index| Worker::attach(end.try_clone().expect("cloned"), index).and_then(|mut worker| worker.seat(0));
    let (mut hoarder, other) = (seat(0).expect("a seat"), seat(1).expect("a seat"));
    let hoarded = edge.submit(b"", Body::None).expect("a slot");
    let mut job = hoarder.try_take().expect("a job");
    job.write_head(b"head").expect("written");
    job.write(&[0; 100_000], &mut hop::run_wait).expect("fits into slot and chunk");
    assert_eq!(pool.chunks_in_use(), 1);

    let worker = serve_in_thread(other);
    let mut edge = Edge::new(edge);
    edge.submit(9, Task::Large(3_000_000), &[7; 30_000]).expect("a slot");
    edge.finish();
    worker.join().expect("no panic");
    job.finish(true);
    edge.thread.abort(hoarded);
    edge.assert_nothing_lost();
}

#[test]
fn what_is_flushed_is_told_at_once() {
    let (mut edge, mut seat, _end) = hop_with(LAYOUT);
    let ticket = edge.submit(b"events", Body::None).expect("a slot");
    let mut job = seat.try_take().expect("a job");
    job.write_head(b"200").expect("written");
    job.write(b"one", &mut hop::run_wait).expect("written");
    assert!(edge.next_completion().is_none(), "it fits into the slot and nobody asked for haste");
    job.flush().expect("flushed");
    assert!(matches!(edge.next_completion(), Some(Completion::Head { .. })));
    let mut body = Vec::new();
    assert_eq!(edge.copy_body(ticket, &mut body, 100), Ok(3));
    for _ in 0..100_000 {
        // Read as they come, events never need more than the slot.
        job.write(b"event", &mut hop::run_wait).expect("written");
        job.flush().expect("flushed");
        job.flush().expect("nothing to tell");
        assert!(matches!(edge.next_completion(), Some(Completion::Data { .. })));
        assert!(edge.next_completion().is_none());
        assert_eq!(edge.copy_body(ticket, &mut body, 100), Ok(5));
    }
    assert_eq!(edge.pool().chunks_in_use(), 0);
    job.write(b"last", &mut hop::run_wait).expect("written");
    job.finish(true);
    assert!(matches!(edge.next_completion(), Some(Completion::End { outcome: Outcome::Complete, .. })));
    assert_eq!(edge.body_available(ticket), Ok(4));
    edge.release(ticket);
    assert_eq!(edge.body_available(ticket), Ok(0), "a released ticket finds nothing");
}

#[test]
fn body_bytes_go_to_a_socket_straight_from_shared_memory() {
    let (mut edge, seat, _end) = hop_with(LAYOUT);
    let (client, server) = UnixStream::pair().expect("a pair");
    server.set_nonblocking(true).expect("non-blocking");
    let record = [7u64.to_le_bytes().as_slice(), &[1], &5_000_000u64.to_le_bytes()].concat();
    let ticket = edge.submit(&record, Body::None).expect("a slot");
    let worker = serve_in_thread(seat);
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        (&client).read_to_end(&mut received).expect("read");
        received
    });
    let mut before = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let mut is_over = false;
    while !is_over {
        is_over = matches!(next(&mut edge), Completion::End { .. });
        while edge.body_available(ticket).expect("a body") > 0 {
            match edge.send_body(ticket, server.as_fd(), &before, usize::MAX) {
                Ok(sent) => drop(before.drain(..sent.min(before.len()))),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
        }
    }
    drop(server);
    let received = reader.join().expect("no panic");
    assert!(received.strip_prefix(b"HTTP/1.1 200 OK\r\n\r\n") == Some(&hop::pattern(7, 5_000_000)));
    worker.join().expect("no panic");
    edge.release(ticket);
}

#[test]
fn a_lease_shows_the_bytes_that_lie_together() {
    let (mut edge, mut seat, _end) = hop_with(LAYOUT);
    let ticket = edge.submit(b"", Body::None).expect("a slot");
    let mut job = seat.try_take().expect("a job");
    job.head_room()[..4].copy_from_slice(b"head");
    job.commit_head(4).expect("committed");
    assert!(matches!(job.commit_head(4), Err(JobError::Order(_))));
    job.write(b"body", &mut hop::run_wait).expect("written");
    job.finish(true);
    assert!(matches!(edge.next_completion(), Some(Completion::End { .. })));
    let mut head = Vec::new();
    assert_eq!((edge.copy_head(ticket, &mut head), head.as_slice()), (Ok(4), b"head".as_slice()));
    let lease = edge.lease(ticket).expect("a lease");
    assert_eq!(lease.length, 4);
    // SAFETY: the worker of this test has ended the request.
    assert_eq!(unsafe { std::slice::from_raw_parts(lease.pointer, lease.length) }, b"body");
    edge.consume(ticket, 3);
    assert_eq!(edge.lease(ticket).expect("a lease").length, 1);
    edge.consume(ticket, 100);
    assert_eq!(edge.lease(ticket).expect("a lease").length, 0);
}

#[test]
fn heads_have_a_limit_and_an_order() {
    let (mut edge, mut seat, _end) = hop_with(LAYOUT);
    edge.submit(&[0; 1000], Body::None).expect("a slot");
    let mut job = seat.try_take().expect("a job");
    assert!(matches!(job.write(b"early", &mut hop::run_wait), Err(JobError::Order(_))));
    let most = job.head_room().len();
    assert!(most > 60_000);
    let error = job.write_head(&vec![0; most + 1]).expect_err("too large");
    assert!(matches!(error, JobError::HeadTooLarge { length, most: said } if length == most + 1 && said == most));
    job.write_head(&vec![1; most]).expect("the largest head");
    job.write(&[2; 260_000], &mut |_| panic!("fits into slot and chunk")).expect("written");
    job.finish(true);
    let Some(Completion::Head { ticket }) = edge.next_completion() else { panic!("no head") };
    let (mut head, mut body) = (Vec::new(), Vec::new());
    assert_eq!(edge.copy_head(ticket, &mut head), Ok(most));
    assert!(matches!(edge.next_completion(), Some(Completion::Data { .. } | Completion::End { .. })));
    assert_eq!(edge.copy_body(ticket, &mut body, usize::MAX), Ok(260_000));
    edge.release(ticket);
}

#[test]
fn a_job_without_an_answer_fails() {
    let (mut edge, mut seat, _end) = hop_with(LAYOUT);
    for finish in [true, false] {
        let ticket = edge.submit(b"", Body::None).expect("a slot");
        let job = seat.try_take().expect("a job");
        if finish {
            job.finish(true)
        } else {
            drop(job)
        }
        assert!(matches!(edge.next_completion(), Some(Completion::End { outcome: Outcome::Failed, .. })));
        assert_eq!(edge.copy_head(ticket, &mut Vec::new()), Ok(0));
        edge.release(ticket);
    }
}

/// Runs `work` on a claimed job in a thread and aborts the request once `is_reached`.
fn abort_while(
    body: Body<'_>,
    work: impl FnOnce(daemun_channel::Job) -> Result<(), JobError> + Send + 'static,
    mut is_reached: impl FnMut(Completion) -> bool,
) {
    let (mut edge, mut seat, _end) = hop_with(LAYOUT);
    let ticket = edge.submit(b"record", body).expect("a slot");
    let worker = std::thread::spawn(move || {
        let job = seat.try_take().expect("a job");
        work(job)
    });
    while !is_reached(next(&mut edge)) {}
    std::thread::sleep(Duration::from_millis(20)); // Until it sleeps; either way it must come out.
    let start = Instant::now();
    edge.abort(ticket);
    assert!(matches!(worker.join().expect("no panic"), Err(JobError::Aborted)));
    assert!(start.elapsed() < Duration::from_millis(500), "the abort wakes it: {:?}", start.elapsed());
    while edge.free_slots() < 4 {
        assert!(edge.next_completion().is_none(), "nobody waits for it");
    }
    assert_eq!(edge.pool().chunks_in_use(), 0);
}

#[test]
fn an_abort_wakes_a_worker_that_waits_for_room() {
    let work = |mut job: daemun_channel::Job| {
        job.write_head(b"head")?;
        job.write(&vec![0; 10_000_000], &mut hop::run_wait)
    };
    abort_while(Body::None, work, |completion| matches!(completion, Completion::Data { .. }));
}

#[test]
fn an_abort_wakes_a_worker_that_waits_for_a_body() {
    let work = |mut job: daemun_channel::Job| job.need_body(&mut hop::run_wait).map(drop);
    let body = Body::Deferred { length: Some(5) };
    abort_while(body, work, |completion| matches!(completion, Completion::NeedBody { .. }));
}

#[test]
fn an_abort_shows_at_the_next_write() {
    let work = |mut job: daemun_channel::Job| {
        job.write_head(b"head")?;
        job.flush()?;
        loop {
            job.write(b"x", &mut hop::run_wait)?;
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    abort_while(Body::None, work, |completion| matches!(completion, Completion::Head { .. }));
}

#[test]
fn an_aborted_request_in_the_queue_never_runs() {
    let (mut edge, mut seat, _end) = hop_with(LAYOUT);
    let doomed = edge.submit(b"doomed", Body::None).expect("a slot");
    edge.submit(b"kept", Body::None).expect("a slot");
    edge.abort(doomed);
    assert_eq!(edge.free_slots(), 3, "free at once");
    edge.abort(doomed);
    let again = edge.submit(b"again", Body::None).expect("a slot");
    assert_eq!(again, doomed, "the slot freed last is used first");
    assert_eq!(seat.try_take().expect("a job").record(), b"kept");
    assert_eq!(seat.try_take().expect("a job").record(), b"again");
    assert!(seat.try_take().is_none());
}

#[test]
fn a_body_is_asked_for_once_and_only_if_there_is_one() {
    let (mut edge, mut seat, _end) = hop_with(LAYOUT);
    let ticket = edge.submit(b"", Body::Deferred { length: None }).expect("a slot");
    assert!(edge.grant_body(ticket, BodyGrant::Refused).is_err(), "nobody has asked");
    let worker = std::thread::spawn(move || {
        let mut job = seat.try_take().expect("a job");
        assert_eq!(job.body(), RequestBody::Deferred { length: None });
        assert!(matches!(job.need_body(&mut hop::run_wait), Err(JobError::Aborted)));
        assert!(matches!(job.need_body(&mut hop::run_wait), Err(JobError::Order(_))));
        drop(job);
        seat
    });
    assert!(matches!(next(&mut edge), Completion::NeedBody { .. }));
    edge.grant_body(ticket, BodyGrant::Refused).expect("sent");
    let mut seat = worker.join().expect("no panic");
    edge.release(ticket);
    edge.submit(b"", Body::Inline(b"all there")).expect("a slot");
    let mut job = seat.try_take().expect("a job");
    assert_eq!((job.body(), job.inline_body()), (RequestBody::Inline, b"all there".as_slice()));
    assert!(matches!(job.need_body(&mut hop::run_wait), Err(JobError::Order(_))));
}

#[test]
fn a_worker_that_scribbles_everywhere_cannot_hurt_the_edge() {
    let layout = Layout { sides: 1, processes: 2, threads: 2, edge_threads: 1, slots_per_thread: 8, chunks: 2 };
    let (pool, end) = hop::create(layout);
    let mut edge = pool.thread(0).expect("an edge thread");
    let segment = segment_of(&end);
    let size = segment.metadata().expect("its size").len();
    let mut random = hop::Random(987_654_321);
    let mut live: Vec<Ticket> = Vec::new();
    for round in 0..30_000 {
        scribble(&segment, size, &mut random);
        if let Ok(ticket) = edge.submit(b"record", Body::Deferred { length: None }) {
            live.push(ticket);
        }
        edge.kick();
        edge.arm();
        edge.poll(100, |edge, completion| {
            if let Completion::NeedBody { ticket } = completion {
                let _ = edge.grant_body(ticket, BodyGrant::Refused);
            }
        });
        for ticket in &live {
            let _ = edge.copy_head(*ticket, &mut Vec::new());
            let _ = edge.copy_body(*ticket, &mut Vec::new(), 1 << 20);
            let _ = (edge.lease(*ticket), edge.seat(*ticket), edge.started_ms(*ticket));
            edge.consume(*ticket, 10);
        }
        if random.below(4) == 0 && !live.is_empty() {
            edge.abort(live.swap_remove(random.below(live.len() as u64) as usize));
        }
        if round % 100 == 99 {
            pool.worker_died(0..random.below(5) as u16, 1);
        }
    }
    // The edge gets rid of such workers and starts again on the same memory.
    live.drain(..).for_each(|ticket| edge.abort(ticket));
    pool.reset(0, true);
    while edge.next_completion().is_some() {}
    assert_eq!((edge.free_slots(), pool.chunks_in_use()), (8, 0));
    let mut edge = Edge::new(edge);
    let mut seat = Worker::attach(end, 0).and_then(|mut worker| worker.seat(0)).expect("a seat");
    for seed in 0..100 {
        edge.submit(seed, Task::Large(100_000), b"").expect("a slot");
        let job = seat.try_take().expect("a job");
        hop::serve(job);
        edge.finish();
    }
    edge.assert_nothing_lost();
}

fn segment_of(end: &WorkerEnd) -> std::fs::File {
    let numbers = daemun_channel::Handover::new(end, Default::default(), Default::default()).descriptors;
    // SAFETY: the segment's descriptor is open as long as `end`.
    let segment = unsafe { std::os::fd::BorrowedFd::borrow_raw(numbers.segment) };
    segment.try_clone_to_owned().expect("cloned").into()
}

/// Writes a few random words, some of them plausible, anywhere but into the header and the seats' blocks.
fn scribble(segment: &std::fs::File, size: u64, random: &mut hop::Random) {
    use std::os::unix::fs::FileExt;
    for _ in 0..random.below(12) {
        // Mostly into the queues, maps and slot headers, which come first.
        let end = if random.below(3) == 0 { size } else { 60_000.min(size) };
        let place = (4096 + random.below(end - 4096 - 8)) & !7;
        let word = match random.below(5) {
            0 => random.below(16),
            1 => u64::MAX - random.below(100),
            2 => random.below(4) << 32 | random.below(4) << 16 | random.below(5),
            3 => (1 + random.below(6)) << 56 | random.below(9) << 32 | random.below(50),
            _ => random.below(u64::MAX),
        };
        segment.write_all_at(&word.to_ne_bytes(), place).expect("written");
    }
}
