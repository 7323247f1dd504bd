//! How many workers there are: by load, by command, none while nobody asks; and how long a request may wait for one.

use std::fs;

use harness::{Application, Connection, Request, Scratch, servers, site, wait_until};

const OPTIONS: &str = "env = VERSION=SCRATCH/version\nenv = GO=SCRATCH/go\nenv = EVENTS=SCRATCH/events";

fn start(options: &str) -> (Scratch, Application) {
    let scratch = Scratch::new();
    scratch.write("version", "1");
    let application = Application::start(&scratch, "versioned", &format!("{OPTIONS}\n{options}"));
    // With `cheap`, the first request is the test's own.
    if !options.contains("cheap = ") {
        assert_eq!(Request::get("/").send(&application.address).text(), "1");
    }
    (scratch, application)
}

/// Requests that last until the file `go` is there.
fn slow_ones(scratch: &Scratch, application: &Application, count: usize) -> Vec<Connection> {
    let _ = fs::remove_file(scratch.path("go"));
    let mut all: Vec<Connection> = (0..count).map(|_| Connection::to(&application.address)).collect();
    all.iter_mut().for_each(|connection| connection.send(Request::get("/slow").octets()));
    all
}

#[track_caller]
fn finish(scratch: &Scratch, slow: Vec<Connection>) {
    scratch.write("go", "");
    for mut connection in slow {
        assert_eq!(connection.response().text(), "1");
    }
}

/// Whatever the algorithm: all busy or many waiting brings more, idleness takes them away again, and nothing is lost.
#[test]
fn workers_come_and_go_with_the_load() {
    let algorithms = [
        "cheaper-algo = spare\ncheaper-overload = 1",
        "cheaper-algo = spare2\ncheaper-idle = 1",
        "cheaper-algo = backlog\ncheaper-overload = 1",
        "cheaper-algo = busyness\ncheaper-overload = 1\ncheaper-busyness-multiplier = 1",
    ];
    for algorithm in algorithms {
        let (scratch, application) = start(&format!("processes = 3\ncheaper = 1\n{algorithm}"));
        wait_until("one worker", || application.workers().len() == 1);
        let slow = slow_ones(&scratch, &application, 4);
        wait_until(algorithm, || application.workers().len() == 3);
        finish(&scratch, slow);
        wait_until("they go again", || application.workers().len() == 1);
        assert_eq!(Request::get("/").send(&application.address).text(), "1");
    }
}

#[test]
fn the_beginning_and_the_steps_are_as_configured() {
    let (scratch, application) =
        start("processes = 5\ncheaper = 1\ncheaper-initial = 2\ncheaper-step = 3\ncheaper-overload = 1");
    wait_until("two workers", || application.workers().len() == 2);
    let slow = slow_ones(&scratch, &application, 3);
    wait_until("three more", || application.workers().len() == 5);
    assert!(!application.process.output().contains("is let go"), "{}", application.process.output());
    finish(&scratch, slow);
}

#[test]
fn commands_change_their_number() {
    let (scratch, application) = start("processes = 3\ncheaper = 1\ncheaper-algo = manual\nmaster-fifo = SCRATCH/fifo");
    wait_until("one worker", || application.workers().len() == 1);
    let say = |letter: &str| fs::write(scratch.path("fifo"), letter).expect("the pipe is there");
    say("+");
    wait_until("one more", || application.workers().len() == 2);
    say("-");
    wait_until("one less", || application.workers().len() == 1);
    say("C");
    wait_until("none", || application.workers().is_empty());
    assert_eq!(Request::get("/").send(&application.address).text(), "1");
}

/// A pause: what runs is finished, the rest waits.
#[test]
fn workers_pause() {
    let (scratch, application) = start("processes = 2\nmaster-fifo = SCRATCH/fifo");
    assert_eq!(Request::get("/").send(&application.address).text(), "1");
    let say = |letter: &str| fs::write(scratch.path("fifo"), letter).expect("the pipe is there");
    let slow = slow_ones(&scratch, &application, 1);
    wait_until("it runs", || !scratch.read("events").is_empty());
    say("p");
    wait_until("they pause", || application.process.output().contains("workers pause"));
    finish(&scratch, slow);
    scratch.write("events", "");
    let waiting = slow_ones(&scratch, &application, 3);
    say("p");
    wait_until("they go on", || application.process.output().contains("workers go on"));
    let output = application.process.output();
    assert!(output.find("workers pause") < output.find("workers go on"));
    finish(&scratch, waiting);
}

#[test]
fn nobody_works_while_nobody_asks() {
    let (_scratch, application) = start("processes = 2\nidle = 1");
    for _ in 0..2 {
        assert_eq!(Request::get("/").send(&application.address).text(), "1");
        wait_until("all are let go", || application.workers().is_empty());
    }
    assert_eq!(Request::get("/").send(&application.address).text(), "1");
    assert_eq!(application.workers().len(), 2);

    let (_scratch, application) = start("processes = 2\ncheap = true");
    assert!(application.workers().is_empty());
    assert_eq!(Request::get("/").send(&application.address).text(), "1");

    let (_scratch, mut application) = start("processes = 2\nidle = 1\ndie-on-idle = true");
    assert_eq!(Request::get("/").send(&application.address).text(), "1");
    assert_eq!(application.process.wait().code(), Some(0));
}

/// The deadline holds for the one that runs, whose place is logged, and for the one that waits.
#[test]
fn a_deadline_covers_waiting_and_running() {
    let (scratch, application) = start("processes = 1\nrequest-deadline = 1");
    assert_eq!(Request::get("/").send(&application.address).text(), "1");
    for mut connection in slow_ones(&scratch, &application, 2) {
        assert_eq!(connection.response().status, 504);
    }
    scratch.write("go", "");
    wait_until("it is free again", || Request::get("/").send(&application.address).status == 200);
    let output = application.process.output();
    assert!(output.contains("was free for the request in 1 s"), "{output}");
    assert!(output.contains("has not answered within 1 s of the request"), "{output}");
    assert!(output.contains("versioned.py\", line "), "the stack is not there: {output}");
}

#[test]
fn what_cannot_be_is_refused() {
    for (options, said) in [
        ("processes = 2\ncheaper = 2", "`cheaper` (2) must be lower than `processes` (2)"),
        ("processes = 3\ncheaper = 1\ncheaper-initial = 4", "`cheaper-initial` (4) is more than `processes` (3)"),
        ("processes = 3\ncheaper = 1\ncheaper-algo = magic", "it must be spare, spare2, backlog, busyness or manual"),
    ] {
        let scratch = Scratch::new();
        scratch.write("version", "1");
        scratch.add_application("versioned.py");
        scratch.write("app.ini", site::ini("versioned", &format!("{OPTIONS}\n{options}")));
        let ended = servers::app(&scratch, "app.ini").run();
        assert!(!ended.status.success());
        assert!(ended.output.contains(said), "{}", ended.output);
    }
}
