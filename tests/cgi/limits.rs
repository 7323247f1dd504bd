//! Time, number, and what is left behind.

use std::thread;

use harness::process::is_alive;
use harness::{Connection, Request, Scratch, wait_until};

use super::{script, site};

/// Notes its own process id and that of a child in its group, and waits for ever.
const HANG: &str = "#!/bin/sh\nsleep 1000 &\necho \"$$ $!\" > SCRATCH/pids\nwait\n";

fn noted(scratch: &Scratch) -> Vec<i32> {
    wait_until("the script has begun", || scratch.read("pids").ends_with('\n'));
    scratch.read("pids").split_whitespace().map(|pid| pid.parse().expect("a process id")).collect()
}

#[test]
fn a_program_that_says_nothing_is_ended_with_its_children() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/hang", HANG);
    let web = site(&scratch, "cgi_read_timeout 500ms;");
    assert_eq!(Request::get("/cgi/hang").send(&web.address).status, 504);
    for pid in noted(&scratch) {
        wait_until("the process is gone", || !is_alive(pid));
    }
    assert!(scratch.read("error.log").contains("CGI script timed out while its response header was read"));
    wait_until("nothing is left unreaped", || web.process.descendants().iter().all(|process| process.state != 'Z'));
}

#[test]
fn a_program_that_hears_no_signal_is_killed() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/hang", "#!/bin/sh\ntrap '' TERM\necho $$ > SCRATCH/pids\nwhile :; do sleep 1000; done\n");
    let web = site(&scratch, "cgi_read_timeout 200ms;");
    assert_eq!(Request::get("/cgi/hang").send(&web.address).status, 504);
    for pid in noted(&scratch) {
        wait_until("the process is gone", || !is_alive(pid));
    }
}

#[test]
fn a_client_that_leaves_ends_its_program() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/hang", HANG);
    let web = site(&scratch, "");
    let mut connection = Connection::to(&web.address);
    connection.send("GET /cgi/hang HTTP/1.1\r\nHost: a\r\n\r\n");
    let pids = noted(&scratch);
    drop(connection);
    for pid in pids {
        wait_until("the process is gone", || !is_alive(pid));
    }
}

/// In the middle of its answer too.
#[test]
fn a_client_that_leaves_during_the_answer_ends_its_program() {
    let scratch = Scratch::new();
    let text = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nbegun'\necho $$ > SCRATCH/pids\nsleep 1000\n";
    script(&scratch, "cgi/begin", text);
    let web = site(&scratch, "");
    let mut connection = Connection::to(&web.address);
    connection.send("GET /cgi/begin HTTP/1.1\r\nHost: a\r\n\r\n");
    while !String::from_utf8_lossy(connection.more()).contains("begun") {}
    let pids = noted(&scratch);
    drop(connection);
    for pid in pids {
        wait_until("the process is gone", || !is_alive(pid));
    }
}

#[test]
fn no_more_run_at_once_than_may() {
    let scratch = Scratch::new();
    let text = "#!/bin/sh\necho begun >> SCRATCH/events\nwhile [ ! -e SCRATCH/go ]; do sleep 0.01; done\n\
        printf 'Content-Type: text/plain\\n\\ndone'\n";
    script(&scratch, "cgi/wait", text);
    let web = site(&scratch, "cgi_max_processes 2;");
    let requests: Vec<_> = (0..4)
        .map(|_| {
            let address = web.address.clone();
            thread::spawn(move || Request::get("/cgi/wait").send(&address).status)
        })
        .collect();
    wait_until("two have begun", || scratch.read("events").lines().count() == 2);
    scratch.write("go", "");
    for request in requests {
        assert_eq!(request.join().expect("an answer"), 200);
    }
    assert_eq!(scratch.read("events").lines().count(), 4);
}

#[test]
fn who_waits_too_long_for_a_place_is_told() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/hang", HANG);
    let web = site(&scratch, "cgi_max_processes 1; cgi_queue_timeout 100ms;");
    let mut first = Connection::to(&web.address);
    first.send("GET /cgi/hang HTTP/1.1\r\nHost: a\r\n\r\n");
    noted(&scratch);
    assert_eq!(Request::get("/cgi/hang").send(&web.address).status, 503);
    assert!(scratch.read("error.log").contains("all CGI processes are busy"));
}

/// A log is not what a program may fill.
#[test]
fn complaints_are_limited() {
    let scratch = Scratch::new();
    let text = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nbody'\ni=0\n\
        while [ $i -lt 500 ]; do echo \"complaint $i\" >&2; i=$((i+1)); done\n\
        head -c 100000 /dev/zero | tr '\\0' x >&2\n";
    script(&scratch, "cgi/complain", text);
    let web = site(&scratch, "");
    assert_eq!(Request::get("/cgi/complain").send(&web.address).text(), "body");
    wait_until("the last line is there", || scratch.read("error.log").contains("wrote more to stderr"));
    assert_eq!(scratch.read("error.log").matches("sent in stderr").count(), 100);
}

#[test]
fn large_answers_arrive_whole() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/large", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nhead -c 5000000 /dev/zero\n");
    let web = site(&scratch, "");
    let response = Request::get("/cgi/large").send(&web.address);
    assert_eq!((response.body.len(), response.body.iter().all(|octet| *octet == 0)), (5_000_000, true));
}
