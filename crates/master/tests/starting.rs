//! What children get at their start, and starts that fail without leaving anything.
#![allow(clippy::unwrap_used)] // a failing call is a failing test

mod theatre;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use rustix::process::Signal;
use theatre::{APPLICATION, Theatre};

/// Checks that a failed start left neither pid file nor socket, and returns its error.
fn failure(arguments: &[&str]) -> String {
    let mut all = vec!["--pid", "pid", "--socket", "x.sock"];
    all.extend(arguments);
    let mut theatre = Theatre::open(&all);
    let error = theatre.end_badly();
    assert!(!theatre.path("pid").exists() && !theatre.path("x.sock").exists(), "files are left");
    error
}

#[test]
fn an_application_that_exits_fails_the_start() {
    let error = failure(&["app", "good", APPLICATION, "app", "site", "exit 3", "edge", "edge", "serve"]);
    let (head, tail) = error.split_once(" process ").unwrap();
    assert_eq!(head, "site did not start:");
    assert!(tail.ends_with(" exited with code 3"), "{error}");
}

#[test]
fn an_application_may_say_why() {
    let script = "printf 'Eno module named shop\\n' >/proc/self/fd/$DAEMUN_READY; exit 1";
    assert_eq!(failure(&["app", "site", script]), "site did not start: no module named shop");
}

#[test]
fn an_application_that_says_nothing_in_time_is_killed() {
    let error = failure(&["--ready-ms", "100", "app", "site", "sleep 1000"]);
    assert!(error.ends_with("exited on signal 9"), "{error}");
}

#[test]
fn an_application_that_closes_its_pipe_and_stays_is_killed() {
    let script = "import os, time; os.close(int(os.environ['DAEMUN_READY'])); time.sleep(1000)";
    let script = format!("exec python3 -c \"{script}\"");
    let error = failure(&["--fast-ms", "100", "app", "site", &script]);
    assert!(error.ends_with("exited on signal 9"), "{error}");
}

#[test]
fn a_program_that_is_missing_is_named() {
    let error = failure(&["app", "good", APPLICATION, "run", "site", "/no/python"]);
    assert_eq!(error, "cannot start site: \"/no/python\" cannot be run (2: No such file or directory)");
    let error = failure(&["--directory", "/no/folder", "app", "site", APPLICATION]);
    assert_eq!(error, "cannot start site: \"/no/folder\" is not a directory to start in");
}

#[test]
fn an_edge_that_fails_takes_the_applications_down() {
    let error = failure(&["app", "a", APPLICATION, "edge", "edge", "refuse no thread left"]);
    assert_eq!(error, "edge did not start: no thread left");
    let error = failure(&["app", "a", APPLICATION, "edge", "edge", "exit 5"]);
    assert!(error.ends_with("exited with code 5"), "{error}");
    let error = failure(&["edge", "edge", "panic"]);
    assert!(error.ends_with("exited with code 101"), "{error}");
}

#[test]
fn a_pid_file_that_cannot_be_written_fails_the_start() {
    let mut theatre = Theatre::open(&["--pid", "good.pid", "--pid", "/no/folder/pid", "edge", "edge", "serve"]);
    let error = theatre.end_badly();
    assert_eq!(error, "cannot write pid file \"/no/folder/pid\" (2: No such file or directory)");
    assert!(!theatre.path("good.pid").exists());
}

#[test]
fn a_start_may_go_on_without_one_that_is_tried_again() {
    let script = "test -e repaired || exit 4; echo R >/proc/self/fd/$DAEMUN_READY; sleep 1000";
    let mut theatre = Theatre::open(&["--retry", "", "--scope", "alone", "app", "a", script, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    theatre.await_lines("[error] a did not start: process", 2);
    fs::write(theatre.path("repaired"), "").unwrap();
    theatre.send(Signal::USR1);
    theatre.await_line("log reopened");
    theatre.send(Signal::TERM);
    theatre.end_well();
}

#[test]
fn a_child_inherits_what_is_listed_and_nothing_else() {
    let list =
        "import os; print(*[n for n in map(int, os.listdir('/proc/self/fd')) if os.path.exists(f'/proc/self/fd/{n}')])";
    let script = format!(
        "python3 -c \"{list}\" >found; echo $INHERITED $DAEMUN_READY >wanted; cat >stdin; echo ${{UNWANTED-unset}} >environment; \
         cat /proc/self/fd/$INHERITED >content; {APPLICATION}"
    );
    let folder = theatre::folder();
    fs::write(folder.path().join("shared"), "shared words").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_daemun-master-stage"));
    command.args(["--inherit", "shared", "app", "a", &script, "edge", "edge", "serve"]);
    let mut theatre = Theatre::run(folder, command);
    theatre.await_line("[test] started");
    let read = |name: &str| fs::read_to_string(theatre.path(name)).unwrap();
    let numbers =
        |name: &str| read(name).split_whitespace().map(|number| number.parse().unwrap()).collect::<BTreeSet<u32>>();
    let wanted = &numbers("wanted") | &BTreeSet::from([0, 1, 2]);
    assert_eq!(numbers("found"), wanted);
    assert_eq!(read("content"), "shared words");
    assert_eq!(read("environment"), "unset\n");
    assert_eq!(read("stdin"), "", "standard input is empty");
    theatre.send(Signal::TERM);
    theatre.end_well();
}

#[test]
fn children_have_groups_of_their_own_and_write_where_they_are_told() {
    let script = "echo to standard output; echo to standard error >&2; echo R >/proc/self/fd/$DAEMUN_READY; sleep 1000";
    let mut theatre = Theatre::open(&["--output", "output", "app", "a", script, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    for name in ["a", "edge"] {
        let child = theatre::pid(theatre.pids(name)[0]);
        assert_eq!(rustix::process::getpgid(Some(child)).unwrap(), child);
    }
    let output = fs::read_to_string(theatre.path("output")).unwrap();
    assert_eq!(output, "to standard output\nto standard error\n");
    theatre.send(Signal::TERM);
    theatre.end_well();
}

#[test]
fn children_become_the_user_asked_for() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can.
    }
    // The pipe is root's, so it cannot be opened anew through /proc; the descriptor itself can be written to.
    let script = "id -u >id; id -g >>id; id -G >>id; eval \"echo R >&$DAEMUN_READY\"; sleep 1000";
    let theatre = Theatre::open(&["--user", "nobody", "app", "a", script, "edge", "edge", "serve"]);
    theatre.await_line("[test] started");
    let nobody = daemun_master::Identity::look_up("nobody", None).unwrap();
    let groups = nobody.groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let expected = format!("{}\n{}\n{groups}\n", nobody.user, nobody.group);
    assert_eq!(fs::read_to_string(theatre.path("id")).unwrap(), expected);
    let edge = theatre.pids("edge")[0];
    let status = fs::read_to_string(format!("/proc/{edge}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{0}\t{0}\t{0}\t{0}\n", nobody.user)), "{status}");
    theatre.send(Signal::KILL); // The wish to die with the master outlives the change of user.
    theatre::await_that(|| !theatre::is_alive(edge), || "the end of the edge".to_owned());
}
