//! Children that die: who goes with them, who comes back, and the orphans.
#![allow(clippy::unwrap_used)] // a failing call is a failing test

mod theatre;

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use theatre::{APPLICATION, Theatre};

/// A script that is ready and dies once it is told to.
const MORTAL: &str = "echo R >/proc/self/fd/$DAEMUN_READY; while ! test -e die; do sleep 0.02; done; exit 9";

#[test]
fn a_dead_edge_takes_its_generation_along() {
    let mut theatre =
        Theatre::open(&["--scope", "role", "app", "a", APPLICATION, "app", "b", APPLICATION, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    theatre::kill(theatre.pids("edge")[0], Signal::KILL);
    theatre.await_lines("start edge process", 2);
    for name in ["a", "b", "edge"] {
        let pids = theatre.pids(name);
        assert_eq!(pids.len(), 2, "{name} was started twice");
        assert!(!theatre::is_alive(pids[0]), "the old {name} is gone before the new edge comes");
    }
    let log = theatre.log();
    assert!(log.contains("[alert] edge process") && log.contains("exited on signal 9"), "{log}");
    assert!(log.contains("[notice] edge is started again"), "{log}");
    theatre.send(Signal::TERM);
    theatre.end_well();
}

#[test]
fn a_dead_application_is_replaced_alone_and_its_workers_are_gone() {
    let mut theatre =
        Theatre::open(&["--scope", "role", "app", "a", APPLICATION, "app", "b", APPLICATION, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    let worker = fs::read_to_string(format!("/proc/{0}/task/{0}/children", theatre.pids("a")[0])).unwrap();
    let worker: u32 = worker.trim().parse().unwrap();
    theatre::kill(theatre.pids("a")[0], Signal::KILL);
    theatre.await_lines("start a process", 2);
    assert!(!theatre::is_alive(worker), "the worker went with it");
    assert_eq!((theatre.pids("b").len(), theatre.pids("edge").len()), (1, 1));
    theatre.send(Signal::TERM);
    let log = theatre.end_well();
    assert!(log.contains(&format!("[debug] orphaned process {worker} exited on signal 9")), "{log}");
}

#[test]
fn those_named_go_down_together() {
    let mut theatre =
        Theatre::open(&["--scope", "a,b", "app", "a", APPLICATION, "app", "b", APPLICATION, "app", "c", APPLICATION]);
    theatre.await_line("[test] started");
    theatre::kill(theatre.pids("a")[0], Signal::KILL);
    theatre.await_lines("start a process", 2);
    theatre.await_lines("start b process", 2);
    assert_eq!(theatre.pids("c").len(), 1);
    theatre.send(Signal::TERM);
    theatre.end_well();
}

#[test]
fn one_that_keeps_dying_comes_back_ever_more_slowly() {
    let mut theatre =
        Theatre::open(&["--scope", "alone", "--back-off-ms", "2", "app", "a", MORTAL, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    fs::write(theatre.path("die"), "").unwrap();
    theatre.await_line("[warn] a is started again in 16 ms");
    theatre.send(Signal::TERM);
    let log = theatre.end_well();
    let waits: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("a is started again")).map(|(_, wait)| wait).collect();
    assert!(waits.starts_with(&["", " in 2 ms", " in 4 ms", " in 8 ms", " in 16 ms"]), "{log}");
    assert_eq!(log.matches("start edge").count(), 1, "{log}");
}

#[test]
fn a_generation_that_fails_is_tried_again_as_a_whole() {
    let mut theatre = Theatre::open(&["--scope", "role", "app", "a", APPLICATION, "edge", "edge", "once"]);
    theatre.await_line("[test] started");
    fs::write(theatre.path("broken"), "").unwrap();
    theatre::kill(theatre.pids("edge")[0], Signal::KILL);
    theatre.await_lines("[error] edge did not start: process", 2);
    fs::remove_file(theatre.path("broken")).unwrap();
    // The edge is up when it answers a signal.
    theatre::await_that(
        || {
            theatre.send(Signal::USR1);
            theatre.log().contains("[edge] reopened")
        },
        || format!("an edge in:\n{}", theatre.log()),
    );
    assert_eq!(theatre.pids("a").len(), theatre.pids("edge").len(), "each edge had an application of its own");
    assert_eq!(theatre.pids("a").iter().filter(|pid| theatre::is_alive(**pid)).count(), 1);
    theatre.send(Signal::TERM);
    theatre.end_well();
}

#[test]
fn successors_that_cannot_be_made_are_asked_for_again() {
    let mut theatre = Theatre::open(&["--scope", "role", "--refuse", "1", "app", "a", APPLICATION]);
    theatre.await_line("[test] started");
    theatre::kill(theatre.pids("a")[0], Signal::KILL);
    theatre.await_lines("start a process", 2);
    theatre.send(Signal::TERM);
    let log = theatre.end_well();
    assert!(log.contains("[error] a did not start: no memory for it"), "{log}");
}

#[test]
fn without_successors_a_death_is_the_end() {
    let mut theatre = Theatre::open(&["--pid", "pid", "app", "a", APPLICATION, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    theatre::kill(theatre.pids("a")[0], Signal::KILL);
    let error = theatre.end_badly();
    assert!(!theatre.path("pid").exists());
    assert!(error.ends_with("exited on signal 9, and it is not to be restarted"), "{error}");
}

#[test]
fn a_stop_while_a_generation_waits_is_a_stop() {
    let mut theatre = Theatre::open(&["--scope", "role", "--back-off-ms", "60000", "app", "a", MORTAL]);
    theatre.await_line("[test] started");
    fs::write(theatre.path("die"), "").unwrap();
    theatre.await_line("a is started again in 30000 ms");
    theatre.send(Signal::TERM);
    theatre.end_well();
}

#[test]
fn orphans_are_adopted_and_reaped() {
    let script = "(sleep 0.1 & echo $! >orphan); echo R >/proc/self/fd/$DAEMUN_READY; sleep 1000";
    let mut theatre = Theatre::open(&["app", "a", script]);
    theatre.await_line("[test] started");
    let orphan = fs::read_to_string(theatre.path("orphan")).unwrap();
    theatre.await_line(&format!("[debug] orphaned process {} exited with code 0", orphan.trim()));
    theatre.send(Signal::TERM);
    theatre.end_well();
}

#[test]
fn the_master_may_be_process_one() {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).args(arguments);
        command
    };
    if !unshare(&["true"]).status().is_ok_and(|status| status.success()) {
        return; // Needs root and namespaces.
    }
    let script = "(sleep 0.1 & echo $! >orphan); echo R >/proc/self/fd/$DAEMUN_READY; sleep 1000";
    let stage = env!("CARGO_BIN_EXE_daemun-master-stage");
    let mut theatre = Theatre::run(
        theatre::folder(),
        unshare(&[stage, "--pid", "pid", "--scope", "role", "app", "a", script, "edge", "edge", "serve"]),
    );
    theatre.await_line("[test] started");
    assert_eq!(fs::read_to_string(theatre.path("pid")).unwrap(), "1\n");
    theatre.await_line("[debug] orphaned process");
    let master = fs::read_to_string(format!("/proc/{0}/task/{0}/children", theatre.process.id())).unwrap();
    theatre::kill(master.trim().parse().unwrap(), Signal::TERM);
    theatre.end_well();
}
