//! Signals to the master, and what is left afterwards: nothing.
#![allow(clippy::unwrap_used)] // a failing call is a failing test

mod theatre;

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use theatre::{APPLICATION, DEAF, Theatre};

#[test]
fn sigterm_ends_everything_and_removes_its_files() {
    let mut theatre = Theatre::open(&[
        "--pid",
        "one.pid",
        "--pid",
        "two.pid",
        "--socket",
        "x.sock",
        "app",
        "a",
        APPLICATION,
        "app",
        "b",
        APPLICATION,
        "edge",
        "edge",
        "serve",
    ]);
    theatre.await_line("[test] started");
    let pid = format!("{}\n", theatre.process.id());
    assert_eq!(fs::read_to_string(theatre.path("one.pid")).unwrap(), pid);
    assert_eq!(fs::read_to_string(theatre.path("two.pid")).unwrap(), pid);
    assert!(theatre.path("x.sock").exists());
    let log = theatre.log();
    let position = |text: &str| log.find(text).unwrap();
    assert!(position("start edge") > position("start b"), "the edge starts last:\n{log}");
    theatre.send(Signal::TERM);
    let log = theatre.end_well();
    for name in ["one.pid", "two.pid", "x.sock"] {
        assert!(!theatre.path(name).exists(), "{name} is left");
    }
    assert!(log.contains("[notice] SIGTERM received, exiting"), "{log}");
    assert!(log.contains("edge process") && log.contains("exited with code 0"), "{log}");
}

#[test]
fn sigint_ends_everything() {
    let mut theatre = Theatre::open(&["app", "a", APPLICATION, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    theatre.send(Signal::INT);
    theatre.end_well();
}

#[test]
fn sigquit_drains_the_edge_before_applications_end() {
    let mut theatre = Theatre::open(&["app", "a", APPLICATION, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    theatre.send(Signal::QUIT);
    theatre.await_line("[edge] draining");
    assert!(theatre::is_alive(theatre.pids("a")[0]), "the application still answers");
    fs::write(theatre.path("drained"), "").unwrap();
    let log = theatre.end_well();
    let position = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text:?} in:\n{log}"));
    assert!(position("[notice] a process") > position("[edge] drained"), "{log}");
}

#[test]
fn sigterm_drains_where_it_is_told_to_and_hurries_a_drain_otherwise() {
    let mut theatre = Theatre::open(&["--terminate", "graceful", "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    theatre.send(Signal::TERM);
    theatre.await_line("[edge] draining");
    fs::write(theatre.path("drained"), "").unwrap();
    theatre.end_well();

    let mut theatre = Theatre::open(&["edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    theatre.send(Signal::QUIT);
    theatre.await_line("[edge] draining");
    theatre.send(Signal::TERM);
    let log = theatre.end_well();
    assert!(!log.contains("drained"), "{log}");
}

#[test]
fn a_drain_has_a_limit_and_so_has_a_fast_stop() {
    let mut theatre =
        Theatre::open(&["--graceful-ms", "100", "--fast-ms", "100", "app", "a", DEAF, "edge", "edge", "deaf"]);
    theatre.await_line("[test] started");
    theatre.send(Signal::QUIT);
    let log = theatre.end_well();
    assert!(log.contains("the time for a graceful shutdown is over"), "{log}");
    assert_eq!(log.matches("did not end in time and is killed").count(), 2, "{log}");
    let killed = |line: &&str| line.starts_with("[notice]") && line.ends_with("exited on signal 9");
    assert_eq!(log.lines().filter(killed).count(), 2, "{log}");
}

#[test]
fn a_second_interrupt_kills_and_a_second_sigterm_does_not() {
    let mut theatre = Theatre::open(&["app", "a", DEAF, "edge", "edge", "deaf"]);
    theatre.await_line("[test] started");
    theatre.send(Signal::TERM);
    theatre.await_line("SIGTERM received");
    theatre.send(Signal::TERM);
    theatre.send(Signal::INT);
    theatre.send(Signal::USR1); // Answered after the others, so they have been seen.
    theatre.await_line("log reopened");
    assert!(theatre::is_alive(theatre.pids("edge")[0]));
    theatre.send(Signal::INT);
    let log = theatre.end_well();
    assert!(log.contains("SIGINT received again, killing what is left"), "{log}");
}

#[test]
fn usr1_reopens_logs_here_and_in_the_edge() {
    let mut theatre = Theatre::open(&["app", "a", APPLICATION, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    theatre.send(Signal::USR1);
    theatre.await_line("[info] log reopened");
    theatre.await_line("[edge] reopened");
    theatre.send(Signal::TERM);
    let log = theatre.end_well();
    assert!(!log.contains("signal 10"), "the application, which knows no SIGUSR1, got none:\n{log}");
}

/// A master that knows no other configuration or program.
#[test]
fn signals_that_change_nothing_are_survived() {
    let mut theatre = Theatre::open(&["edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    theatre.send(Signal::HUP);
    theatre.await_line("[notice] SIGHUP received, reconfiguring");
    theatre.send(Signal::USR2);
    theatre.await_line("[alert] the new binary cannot be started: it is not known how");
    assert_eq!(theatre.pids("edge").len(), 1);
    theatre.send(Signal::TERM);
    theatre.end_well();
}

#[test]
fn a_signal_during_the_start_ends_it() {
    let mut theatre = Theatre::open(&["--pid", "pid", "app", "a", "sleep 1000", "edge", "edge", "serve"]);
    theatre.await_line("start a process");
    theatre.send(Signal::TERM);
    let log = theatre.end_well();
    assert!(!log.contains("start edge") && !log.contains("started"), "{log}");
}

#[test]
fn a_shells_ignored_interrupt_is_heard_all_the_same() {
    let mut shell = Command::new("sh");
    let stage = env!("CARGO_BIN_EXE_daemun-master-stage");
    shell.args(["-c", "trap '' INT QUIT; exec \"$0\" app a \"$1\"", stage, APPLICATION]);
    let mut theatre = Theatre::run(theatre::folder(), shell);
    theatre.await_line("[test] started");
    let status = fs::read_to_string(format!("/proc/{}/status", theatre.pids("a")[0])).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 0b110, 0, "the child ignores neither INT nor QUIT");
    theatre.send(Signal::INT);
    theatre.end_well();
}

#[test]
fn a_pid_file_of_somebody_else_stays() {
    let mut theatre = Theatre::open(&["--pid", "pid", "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    let file = theatre.path("pid");
    fs::write(&file, "1\n").unwrap();
    theatre.send(Signal::TERM);
    theatre.end_well();
    assert_eq!(fs::read_to_string(&file).unwrap(), "1\n");
}

#[test]
fn a_killed_master_takes_its_children_along() {
    let theatre =
        Theatre::open(&["app", "a", "echo R >/proc/self/fd/$DAEMUN_READY; exec sleep 1000", "edge", "edge", "deaf"]);
    theatre.await_line("[test] started");
    theatre.send(Signal::KILL);
    let folder = theatre.folder.path().to_path_buf();
    theatre::await_that(
        || theatre::relatives(&folder).is_empty(),
        || format!("the end of {:?}", theatre::relatives(&folder)),
    );
}
