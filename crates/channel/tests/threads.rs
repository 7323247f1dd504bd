//! Edge threads and seats as threads of one process: every answer is checked, whatever the interleaving.

mod hop;

use std::time::Duration;

use daemun_channel::{Body, Layout, Observer, SubmitError, Wake, Worker};
use hop::{Edge, Fate, Random, Task};

const LAYOUT: Layout = Layout { sides: 1, processes: 2, threads: 2, edge_threads: 2, slots_per_thread: 16, chunks: 3 };

/// Runs `edges` against seats of their own threads, then stops the seats.
fn with_workers(layout: Layout, edge_main: impl Fn(&mut Edge, u64) + Sync) {
    let (pool, end) = hop::create(layout);
    let observer = Observer::attach(&end).expect("an observer");
    let mut seats = Vec::new();
    for process in 0..layout.processes {
        let mut worker = Worker::attach(end.try_clone().expect("cloned"), process).expect("attached");
        seats.extend((0..layout.threads).map(|thread| worker.seat(thread).expect("a seat")));
    }
    std::thread::scope(|scope| {
        for mut seat in seats {
            scope.spawn(move || hop::run_seat(&mut seat, None, |_| {}));
        }
        let edges: Vec<_> = (0..layout.edge_threads)
            .map(|index| {
                let (pool, edge_main) = (&pool, &edge_main);
                scope.spawn(move || {
                    let mut edge = Edge::new(pool.thread(index).expect("an edge thread"));
                    edge_main(&mut edge, u64::from(index) + 1);
                    edge.finish();
                    edge.assert_nothing_lost();
                    edge.fates
                })
            })
            .collect();
        let results: Vec<_> = edges.into_iter().map(|edge| edge.join()).collect();
        (0..layout.processes).for_each(|process| observer.stop(process));
        for fates in results {
            let fates = fates.expect("no panic in the edge thread");
            assert!(fates.iter().all(|(_, fate)| *fate == Fate::Answered));
        }
        assert_eq!(pool.chunks_in_use(), 0);
    });
}

#[test]
fn every_request_of_every_thread_is_answered() {
    with_workers(LAYOUT, |edge, index| {
        let mut random = Random(index * 7919);
        for seed in 0..4_000 {
            let (task, body) = random.task();
            while edge.submit(seed, task, &body).is_none() {
                edge.turn(Duration::from_secs(1));
            }
            if random.below(3) == 0 {
                edge.turn(Duration::ZERO);
            }
        }
        edge.finish();
        assert_eq!(edge.fates.len(), 4_000);
    });
}

#[test]
fn aborted_requests_give_everything_back() {
    with_workers(LAYOUT, |edge, index| {
        let mut random = Random(index * 104_729);
        for seed in 0..6_000 {
            let (task, body) = random.task();
            while edge.submit(seed, task, &body).is_none() {
                edge.turn(Duration::from_millis(100));
            }
            if random.below(2) == 0 {
                edge.turn(Duration::ZERO);
            }
            if random.below(3) == 0 {
                let victim = edge.running.keys().nth(random.below(16) as usize).copied();
                victim.into_iter().for_each(|ticket| edge.abort(ticket));
            }
        }
    });
}

#[test]
fn a_lone_request_never_sleeps_through() {
    // One request at a time, so that both sides fall asleep and are woken each time.
    let layout = Layout { edge_threads: 1, ..LAYOUT };
    with_workers(layout, |edge, _| {
        for seed in 0..20_000 {
            edge.submit(seed, Task::Echo, b"").expect("a slot");
            let start = std::time::Instant::now();
            edge.finish();
            assert!(start.elapsed() < Duration::from_secs(5), "request {seed} took {:?}", start.elapsed());
        }
    });
}

#[test]
fn limits_of_a_submission_are_said() {
    let (pool, _worker) = hop::create(LAYOUT);
    let mut edge = pool.thread(0).expect("an edge thread");
    assert!(pool.thread(0).is_err(), "taken already");
    assert!(pool.thread(2).is_err(), "there are two");
    let record = vec![0; daemun_channel::limits::REQUEST_BYTES_MAX + 1];
    assert_eq!(edge.submit(&record, Body::None), Err(SubmitError::TooLarge(record.len())));
    for _ in 0..16 {
        edge.submit(&record[1..], Body::None).expect("a slot");
    }
    assert_eq!(edge.submit(b"", Body::None), Err(SubmitError::NoSlot));
}

#[test]
fn a_stopped_seat_wakes_and_says_so() {
    let (_pool, end) = hop::create(LAYOUT);
    let observer = Observer::attach(&end).expect("an observer");
    let mut worker = Worker::attach(end, 1).expect("attached");
    let mut seat = worker.seat(1).expect("a seat");
    assert_eq!(seat.index(), 3);
    assert!(worker.seat(1).is_err(), "taken already");
    assert_eq!(seat.wait(Some(Duration::from_millis(1))), Wake::TimedOut);
    let sleeper = std::thread::spawn(move || seat.wait(None));
    std::thread::sleep(Duration::from_millis(20));
    observer.stop(1);
    assert_eq!(sleeper.join().expect("no panic"), Wake::Stop);
}

#[test]
fn a_seat_that_leaves_passes_its_wake_up_on() {
    let layout = Layout { sides: 1, processes: 2, threads: 1, edge_threads: 1, slots_per_thread: 4, chunks: 1 };
    let (pool, end) = hop::create(layout);
    let mut edge = Edge::new(pool.thread(0).expect("an edge thread"));
    let mut seats = (0..2).map(|index| {
        let mut worker = Worker::attach(end.try_clone().expect("cloned"), index).expect("attached");
        worker.seat(0).expect("a seat")
    });
    let (mut leaving, mut staying) = (seats.next().expect("two"), seats.next().expect("two"));
    let leaver = std::thread::spawn(move || {
        leaving.wait(None);
        // Woken for the request, it goes without having looked.
    });
    while pool.idle_seats() < 1 {
        std::thread::yield_now();
    }
    let stayer = std::thread::spawn(move || {
        staying.wait(None);
        staying.try_take().map(hop::serve)
    });
    while pool.idle_seats() < 2 {
        std::thread::yield_now();
    }
    edge.submit(1, Task::Echo, b"for whoever stays").expect("a slot");
    edge.finish();
    leaver.join().expect("no panic");
    assert!(stayer.join().expect("no panic").is_some());
}

#[test]
fn the_zygote_sees_how_long_a_seat_has_been_busy() {
    let layout = Layout { sides: 1, processes: 1, threads: 1, edge_threads: 1, slots_per_thread: 4, chunks: 1 };
    let (pool, end) = hop::create(layout);
    let observer = Observer::attach(&end).expect("an observer");
    let mut edge = Edge::new(pool.thread(0).expect("an edge thread"));
    let mut seat = Worker::attach(end, 0).and_then(|mut worker| worker.seat(0)).expect("a seat");
    let ticket = edge.submit(1, Task::Echo, b"").expect("a slot");
    let mut job = seat.try_take().expect("a job");
    assert_eq!(observer.busy_since_ms(0), None);
    assert_eq!(edge.thread.seat(ticket), Some(0));
    assert_eq!(edge.thread.started_ms(ticket), None);
    job.mark_started();
    let since = observer.busy_since_ms(0).expect("busy");
    assert!(Observer::now_ms() - since < 1_000);
    assert_eq!(edge.thread.started_ms(ticket), Some(since));
    hop::serve(job);
    edge.finish();
    assert_eq!((observer.busy_since_ms(0), observer.served(0)), (None, 1));
}
