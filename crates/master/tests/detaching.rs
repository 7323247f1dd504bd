//! Daemons: the caller's terminal learns how the start went, and is then left alone.
#![allow(clippy::unwrap_used)] // a failing call is a failing test

mod theatre;

use std::fs;
use std::process::{Command, Output};

use rustix::process::{Signal, getsid};
use theatre::APPLICATION;

/// Runs the stage as a daemon in `folder` and waits for its launcher.
fn launch(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_daemun-master-stage"))
        .args(["--daemonize", "log", "--pid", "pid"])
        .args(arguments)
        .current_dir(folder.path())
        .env("STAGE_FOLDER", folder.path())
        .output() // Ends only when nobody holds the pipes any more: the daemon and its children have let go.
        .unwrap()
}

/// The session's id as the kernel tells it: 0, which is no process id, where its leader is outside our namespace, as in a container.
fn our_session() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which is in parentheses: state, parent, group, session.
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned()
}

#[test]
fn the_launcher_exits_when_everything_is_ready() {
    let folder = theatre::folder();
    let output = launch(&folder, &["app", "a", APPLICATION, "edge", "edge", "serve"]);
    assert!(output.status.success(), "{output:?}");
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap().trim().parse().unwrap();
    let daemon = theatre::pid(pid);
    let session = getsid(Some(daemon)).unwrap();
    assert_ne!(session.to_string(), our_session(), "a session of its own");
    assert_ne!(session, daemon, "not its leader");
    let input = fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
    assert_eq!(input.to_str(), Some("/dev/null"));
    let error = fs::read_link(format!("/proc/{pid}/fd/2")).unwrap();
    assert_eq!(error, fs::canonicalize(folder.path().join("log")).unwrap());
    theatre::kill(pid, Signal::TERM);
    theatre::await_that(
        || theatre::relatives(folder.path()).is_empty(),
        || format!("the end of {:?}", theatre::relatives(folder.path())),
    );
    assert!(!folder.path().join("pid").exists());
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("[notice] exit"), "{log}");
}

#[test]
fn a_failed_start_reaches_the_terminal() {
    let folder = theatre::folder();
    let output = launch(&folder, &["app", "good", APPLICATION, "app", "a", "exit 3"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("[emerg] a did not start: process") && text.contains("exited with code 3"), "{text}");
    assert!(theatre::relatives(folder.path()).is_empty());
    assert!(!folder.path().join("pid").exists());
}
