//! Workers that have had their time: by requests, age and memory, one at a time, without a request lost.

use harness::process::is_alive;
use harness::{Application, Connection, Load, Request, Scratch, wait_until};

const OPTIONS: &str = "processes = 2\nenv = VERSION=SCRATCH/version\nenv = GO=SCRATCH/go\nenv = EVENTS=SCRATCH/events";

fn start(options: &str) -> (Scratch, Application) {
    let scratch = Scratch::new();
    scratch.write("version", "1");
    let application = Application::start(&scratch, "versioned", &format!("{OPTIONS}\n{options}"));
    (scratch, application)
}

fn replaced(application: &Application) -> usize {
    application.process.output().lines().filter(|line| line.contains("is replaced: ")).count()
}

#[test]
fn a_hundred_recyclings_under_load_lose_nothing() {
    let (_scratch, application) = start("max-requests = 10\nmax-requests-delta = 3\nmin-worker-lifetime = 0");
    let load = Load::start(&application.address, &["/", "/pid"]);
    wait_until("a hundred workers have had their time", || replaced(&application) >= 100);
    let (requests, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {requests} requests failed, such as {:?}", failures.len(), &failures[0]);
    let output = application.process.output();
    assert!(output.contains("requests (max-requests)"), "{output}");
}

/// What it runs is finished by the old one, while the new one is there already.
#[test]
fn a_request_that_runs_is_finished() {
    let (scratch, application) = start("threads = 2\nmax-requests = 3\nmin-worker-lifetime = 0\nprocesses = 1");
    let mut slow = Connection::to(&application.address);
    slow.send(Request::get("/slow").octets());
    wait_until("it runs", || scratch.read("events").lines().count() == 1);
    let old = Request::get("/pid").send(&application.address).text();
    wait_until("another one answers", || Request::get("/pid").send(&application.address).text() != old);
    assert!(is_alive(old.parse().expect("a number")), "the old one did not wait for its request");
    scratch.write("go", "");
    assert_eq!(slow.response().text(), "1");
    wait_until("the old one ends", || !is_alive(old.parse().expect("a number")));
}

#[test]
fn nobody_is_replaced_too_young() {
    let (_scratch, application) = start("max-requests = 1\nmin-worker-lifetime = 3600\nprocesses = 1");
    let pid = Request::get("/pid").send(&application.address).text();
    for _ in 0..20 {
        assert_eq!(Request::get("/pid").send(&application.address).text(), pid);
    }
    assert_eq!(replaced(&application), 0);
}

#[test]
fn the_large_and_the_old_are_replaced() {
    for (options, path, said) in [
        ("reload-on-rss = 60\nmin-worker-lifetime = 0", "/grow", "(reload-on-rss)"),
        ("max-worker-lifetime = 1\nmax-worker-lifetime-delta = 1", "/pid", "(max-worker-lifetime)"),
        ("evil-reload-on-rss = 60", "/grow", "(reload-on-rss), evil"),
    ] {
        let (_scratch, application) = start(&format!("{options}\nprocesses = 1"));
        let pid = Request::get(path).send(&application.address).text().parse().expect("a number");
        wait_until("it is gone", || !is_alive(pid));
        assert!(application.process.output().contains(said), "{options}: {}", application.process.output());
        assert_eq!(Request::get("/").send(&application.address).text(), "1");
    }
}

/// The log says where every thread of the worker was.
#[test]
fn harakiri_shows_where_it_hangs() {
    let (_scratch, application) = start("harakiri = 1\nharakiri-verbose = true\nprocesses = 1\nthreads = 2");
    let mut slow = Connection::to(&application.address);
    slow.send(Request::get("/slow").octets());
    assert_eq!(slow.response().status, 502);
    let output = application.process.output();
    let places = output.matches("versioned.py\", line ").count();
    assert!(places >= 1 && output.contains("in application"), "{output}");
    assert!(output.matches("hread 0x").count() >= 2, "not every thread is told of:\n{output}");
    assert!(output.contains("wchan"), "{output}");
}
