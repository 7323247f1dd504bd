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

/// With `cgi_request_buffering off` a program reads while the client still sends, and answers when it likes.
#[test]
fn a_body_goes_into_a_program_as_it_comes() {
    let scratch = Scratch::new();
    let head = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n";
    script(&scratch, "cgi/parrot", &format!("{head}echo \"$CONTENT_LENGTH\"\nhead -c 5\necho\nexec cat\n"));
    script(&scratch, "cgi/count", &format!("{head}echo \"$CONTENT_LENGTH\"\nwc -c\n"));
    script(&scratch, "cgi/deaf", &format!("{head}echo deaf\n"));
    let web = site(
        &scratch,
        "client_max_body_size 4m; cgi_request_buffering off; cgi_read_timeout 300ms; client_body_timeout 5s;",
    );
    let mut connection = Connection::to(&web.address);
    connection.send("POST /cgi/parrot HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nfirst");
    wait_until("the program has answered what came", || String::from_utf8_lossy(connection.more()).contains("first"));
    // A client that is slow to send is not a program that says nothing.
    thread::sleep(std::time::Duration::from_millis(700));
    connection.send("second");
    assert_eq!(connection.response().text(), "11\nfirst\nsecond");
    let large = vec![b'x'; 3_000_000];
    assert_eq!(Request::post("/cgi/count", "text/x", large.clone()).send(&web.address).text(), "3000000\n3000000\n");
    assert_eq!(Request::new("POST", "/cgi/count").chunked(&[b"ab", b"c"]).send(&web.address).text(), "3\n3\n");
    let mut refusing = Connection::to(&web.address);
    refusing.send_meanwhile(Request::post("/cgi/deaf", "text/x", large).octets());
    assert_eq!(refusing.response().text(), "deaf\n");
    let too_large = "POST /cgi/count HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n";
    let mut connection = Connection::to(&web.address);
    connection.send(too_large);
    assert_eq!(connection.response().status, 413);
}

/// A client that goes in the middle of its body takes the program with it.
#[test]
fn a_client_that_leaves_with_its_body_ends_its_program() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/hang", "#!/bin/sh\necho $$ > SCRATCH/pids\nexec cat > SCRATCH/body\n");
    let web = site(&scratch, "cgi_request_buffering off;");
    let mut connection = Connection::to(&web.address);
    connection.send("POST /cgi/hang HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
    let pids = noted(&scratch);
    wait_until("half of it is there", || scratch.read("body") == "half");
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
