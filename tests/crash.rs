//! A worker that dies costs exactly the requests it was running.

use std::collections::BTreeSet;

use harness::process::{is_alive, signal_process};
use harness::{Connection, Request, Scratch, Site, wait_until};
use rustix::process::Signal;

const OPTIONS: &str = "processes = 4\nenv = EVENTS=SCRATCH/events\nlogger = file:SCRATCH/app.log";

#[test]
fn a_killed_worker_costs_its_request_and_no_other() {
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", OPTIONS);
    let before = worker_pids(&site);
    let (mut hanging, pid) = hang(&scratch, &site, 1);

    let mut others: Vec<Connection> = (0..1000).map(|_| Connection::to(&site.address)).collect();
    for (index, connection) in others.iter_mut().enumerate() {
        if index == 500 {
            signal_process(pid, Signal::KILL);
        }
        connection.send(Request::get("/nap?0.002").octets());
    }
    let answer = hanging.response();
    assert_eq!(answer.status, 502, "the request of the killed worker: {}", answer.text());
    for (index, connection) in others.iter_mut().enumerate() {
        let answer = connection.response();
        assert_eq!(answer.status, 200, "request {index}: {}", answer.text());
    }

    assert_death_is_logged(&scratch, &site, pid);
    let after = worker_pids(&site);
    assert_eq!(after.len(), 4, "the worker is replaced");
    assert!(!after.contains(&pid));
    assert_eq!(before.intersection(&after).count(), 3, "no other worker is touched: {before:?}, then {after:?}");
}

#[test]
fn every_worker_may_die_at_once() {
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", OPTIONS);
    let mut hanging = Vec::new();
    for count in 1..=4 {
        hanging.push(hang(&scratch, &site, count));
    }
    let mut waiting: Vec<Connection> = (0..100).map(|_| Connection::to(&site.address)).collect();
    waiting.iter_mut().for_each(|connection| connection.send(Request::get("/hello").octets()));
    for (_, pid) in &hanging {
        signal_process(*pid, Signal::KILL);
    }
    for (mut connection, _) in hanging {
        assert_eq!(connection.response().status, 502);
    }
    // They had no worker yet, so the new ones take them.
    for mut connection in waiting {
        assert_eq!(connection.response().status, 200);
    }
}

#[test]
fn workers_that_die_again_and_again_leak_nothing() {
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", OPTIONS);
    for count in 1..=40 {
        let (mut hanging, pid) = hang(&scratch, &site, count);
        signal_process(pid, Signal::KILL);
        assert_eq!(hanging.response().status, 502, "round {count}");
        let uploaded = Request::post("/count_input", "text/plain", vec![b'x'; 200_000]).send(&site.address);
        assert_eq!(uploaded.text(), "200000 200000", "round {count}");
    }
    assert_eq!(worker_pids(&site).len(), 4);
}

/// Killed between pieces of a body that is partly sent: the client must see that it is not whole.
#[test]
fn an_answer_cut_by_a_crash_does_not_look_whole() {
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", &format!("{OPTIONS}\nenv = GO=SCRATCH/never"));
    let pids = worker_pids(&site);
    let mut connection = Connection::to(&site.address);
    connection.send(Request::get("/steps").octets());
    assert!(!connection.more().is_empty());
    pids.iter().for_each(|&pid| signal_process(pid, Signal::KILL));
    let outcome = connection.try_response();
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
}

/// Other deaths than SIGKILL: a fault in native code, and an exit without a word.
#[test]
fn faults_and_exits_are_told_apart() {
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", OPTIONS);
    for (count, signal) in [(1, Signal::SEGV), (2, Signal::ABORT)] {
        let (mut hanging, pid) = hang(&scratch, &site, count);
        signal_process(pid, signal);
        assert_eq!(hanging.response().status, 502);
        let number = format!("signal {}", signal.as_raw());
        wait_until("the signal is logged", || {
            log_of(&scratch, &site).lines().any(|line| names(line, pid) && line.contains(&number))
        });
    }
    assert_eq!(Request::get("/vanish").send(&site.address).status, 502);
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
}

/// A worker that takes too long is ended by harakiri; the log says that it was, and who.
#[test]
fn harakiri_ends_a_request() {
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", &format!("{OPTIONS}\nharakiri = 1"));
    let (mut hanging, pid) = hang(&scratch, &site, 1);
    let answer = hanging.response();
    assert!(matches!(answer.status, 502 | 504), "{}", answer.status);
    wait_until("the worker is gone", || !is_alive(pid));
    wait_until("harakiri is logged", || {
        log_of(&scratch, &site).lines().any(|line| names(line, pid) && line.to_lowercase().contains("harakiri"))
    });
    wait_until("the worker is replaced", || worker_pids(&site).len() == 4);
}

/// Starts a request that never ends, the `count`-th of the test; the id of the process that runs it.
#[track_caller]
fn hang(scratch: &Scratch, site: &Site, count: usize) -> (Connection, i32) {
    let mut connection = Connection::to(&site.address);
    connection.send(Request::get("/hang").octets());
    wait_until("a worker hangs", || scratch.read("events").lines().count() == count);
    let events = scratch.read("events");
    let line = events.lines().last().expect("there is a line");
    let pid = line.strip_prefix("hanging ").and_then(|pid| pid.parse().ok()).expect("the line names a process");
    (connection, pid)
}

/// The ids of all processes that answer. A round of concurrent naps reaches every idle worker.
fn worker_pids(site: &Site) -> BTreeSet<i32> {
    let mut pids = BTreeSet::new();
    wait_until("four workers answer", || {
        let mut naps: Vec<Connection> = (0..8).map(|_| Connection::to(&site.address)).collect();
        naps.iter_mut().for_each(|nap| nap.send(Request::get("/nap?0.05").octets()));
        let answers = naps.iter_mut().map(Connection::response);
        pids = answers.map(|answer| answer.text().parse().expect("the page is a number")).collect();
        pids.len() == 4
    });
    pids
}

#[track_caller]
fn assert_death_is_logged(scratch: &Scratch, site: &Site, pid: i32) {
    let says = |line: &str| names(line, pid) && (line.contains("signal 9") || line.contains("SIGKILL"));
    wait_until("the log names the worker and the signal", || log_of(scratch, site).lines().any(says));
}

fn names(line: &str, pid: i32) -> bool {
    line.split(|character: char| !character.is_ascii_digit()).any(|word| word == pid.to_string())
}

fn log_of(scratch: &Scratch, site: &Site) -> String {
    [scratch.read("error.log"), scratch.read("app.log"), site.process.output()].join("\n")
}
