//! An application that is loaded anew: whoever asks for it, without a request lost, and not at all if it does not load.

use std::fs;

use harness::process::{ProcessEntry, is_alive, signal_process};
use harness::{Address, Application, Connection, Load, Request, Scratch, Site, wait_until};
use rustix::process::Signal;

const OPTIONS: &str = "processes = 2\nenv = VERSION=SCRATCH/version\nenv = GO=SCRATCH/go\nenv = EVENTS=SCRATCH/events
touch-reload = SCRATCH/touch-reload\ntouch-chain-reload = SCRATCH/touch-chain-reload
fs-reload = SCRATCH/folder\nmaster-fifo = SCRATCH/fifo";

fn start(scratch: &Scratch, version: &str, options: &str) -> Application {
    prepare(scratch, version);
    let application = Application::start(scratch, "versioned", &format!("{OPTIONS}\n{options}"));
    assert_eq!(self::version(&application.address), version);
    application
}

fn prepare(scratch: &Scratch, version: &str) {
    scratch.write("version", version);
    scratch.write("touch-reload", "");
    scratch.write("touch-chain-reload", "");
    scratch.write("folder/file", "");
}

fn version(address: &Address) -> String {
    Request::get("/").send(address).text()
}

fn edge_of(application: &Application) -> i32 {
    let is_edge = |entry: &ProcessEntry| !entry.command.contains("python");
    application.process.children().into_iter().find(is_edge).expect("an edge").pid
}

/// Everybody who may ask for it. The edge stays the same, and a request that runs is finished by who has begun it.
#[test]
fn whoever_asks_gets_the_new_code() {
    let scratch = Scratch::new();
    let application = start(&scratch, "0", "");
    let edge = edge_of(&application);
    let fifo = scratch.path("fifo");
    let wishes: [(&str, &dyn Fn()); 6] = [
        ("HUP", &|| application.process.signal(Signal::HUP)),
        ("touch-reload", &|| drop(scratch.write("touch-reload", "touched"))),
        ("fs-reload, a change", &|| drop(scratch.write("folder/file", "changed"))),
        ("fs-reload, a new file", &|| drop(scratch.write("folder/another", ""))),
        ("master-fifo", &|| fs::write(&fifo, "r").expect("the pipe is there")),
        ("the application", &|| drop(Request::get("/reload").send(&application.address))),
    ];
    for (round, (name, ask)) in wishes.into_iter().enumerate() {
        let _ = fs::remove_file(scratch.path("go"));
        let mut slow = Connection::to(&application.address);
        slow.send(Request::get("/slow").octets());
        wait_until("a request runs", || scratch.read("events").lines().count() == round + 1);
        let new = (round + 1).to_string();
        wait_until("it takes commands", || fifo.exists());
        scratch.write("version", &new);
        ask();
        wait_until(name, || version(&application.address) == new);
        scratch.write("go", "");
        assert_eq!(slow.response().text(), round.to_string(), "{name}: the old one did not finish its request");
        wait_until("the old one is gone", || application.process.children().len() == 2);
        assert_eq!(edge_of(&application), edge, "{name}: another edge was started");
    }
}

/// A version that does not load, or does not answer as it should, takes nobody's place.
#[test]
fn a_broken_version_leaves_the_old_one() {
    for lazy in ["", "lazy-apps = true"] {
        let scratch = Scratch::new();
        let application = start(&scratch, "1", &format!("reload-probe = /health\n{lazy}"));
        let before = application.workers();
        for (round, broken) in ["broken", "unwell"].into_iter().enumerate() {
            scratch.write("version", broken);
            application.process.signal(Signal::HUP);
            wait_until("it is given up", || {
                application.process.output().matches("the new configuration is given up").count() == round + 1
            });
            assert_eq!(version(&application.address), "1");
        }
        let output = application.process.output();
        assert!(output.contains("RuntimeError: this version is broken"), "{output}");
        assert!(output.contains("the probe of /health was answered ['503 Service Unavailable']"), "{output}");
        assert_eq!(application.workers(), before);
        scratch.write("version", "2");
        application.process.signal(Signal::HUP);
        wait_until("a good one takes over", || version(&application.address) == "2");
    }
}

/// Under `daemun run`, an application's wish is its own: nothing else is touched.
#[test]
fn an_application_behind_a_site_renews_itself() {
    let scratch = Scratch::new();
    prepare(&scratch, "1");
    let site = Site::start(&scratch, "location = /which { return 200 old; }", "versioned", OPTIONS);
    assert_eq!(version(&site.address), "1");
    scratch.write("version", "2");
    scratch.write("site.conf", scratch.read("site.conf").replace("200 old", "200 new"));
    scratch.write("touch-reload", "touched");
    wait_until("the new code answers", || version(&site.address) == "2");
    assert_eq!(Request::get("/which").send(&site.address).text(), "old");
    fs::write(scratch.path("fifo"), "q").expect("the pipe is there");
    wait_until("the end is refused", || scratch.read("error.log").contains("asks for the end"));
    site.process.signal(Signal::HUP);
    wait_until("the site is read anew", || Request::get("/which").send(&site.address).text() == "new");
    assert_eq!(version(&site.address), "2");
}

/// One worker after the other, each replaced by one that is up: there are never fewer than before.
#[test]
fn a_chain_reload_goes_worker_by_worker() {
    let scratch = Scratch::new();
    let application = start(&scratch, "1", "lazy-apps = true\nprocesses = 3");
    let before = application.workers();
    assert_eq!(before.len(), 3);
    let load = Load::start(&application.address, &["/"]);
    scratch.write("version", "2");
    scratch.write("touch-chain-reload", "touched");
    wait_until("all are replaced", || before.iter().all(|pid| !is_alive(*pid)));
    assert_eq!(version(&application.address), "2");
    let (_, failures) = load.stop();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(application.process.output().matches("is replaced").count(), 3);
}

#[test]
fn the_named_pipe_stops_it() {
    for letter in ["q", "Q"] {
        let scratch = Scratch::new();
        let mut application = start(&scratch, "1", "");
        wait_until("it takes commands", || scratch.path("fifo").exists());
        fs::write(scratch.path("fifo"), letter).expect("the pipe is there");
        assert_eq!(application.process.wait().code(), Some(0));
        assert!(!scratch.path("fifo").exists(), "the pipe is left behind");
    }
}

#[test]
fn a_hundred_reloads_under_load_lose_nothing() {
    let scratch = Scratch::new();
    let application = start(&scratch, "0", "");
    let load = Load::start(&application.address, &["/", "/pid"]);
    for round in 1..=100 {
        scratch.write("version", round.to_string());
        application.process.signal(Signal::HUP);
        wait_until("the new code answers", || version(&application.address) == round.to_string());
    }
    let (requests, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {requests} requests failed, such as {:?}", failures.len(), &failures[0]);
    assert!(requests > 1000, "{requests} requests are no load");
    wait_until("the old ones are gone", || application.process.children().len() == 2);
}

/// The first process of the pool dies again and again: what a worker ran is lost with it, and nothing else.
#[test]
fn a_killed_zygote_costs_what_its_workers_ran() {
    let scratch = Scratch::new();
    let application = start(&scratch, "1", "");
    let load = Load::start(&application.address, &["/", "/pid"]);
    let rounds = 5; // The master waits longer and longer before it starts another one.
    for _ in 0..rounds {
        let is_zygote = |entry: &ProcessEntry| entry.command.contains("python");
        let mut zygote = None;
        wait_until("there is one", || {
            zygote = application.process.children().into_iter().find(is_zygote).map(|entry| entry.pid);
            zygote.is_some()
        });
        let before = load.requests();
        signal_process(zygote.expect("it is there"), Signal::KILL);
        wait_until("requests go on", || load.requests() > before + 20);
    }
    let (requests, failures) = load.stop();
    // Two workers run two requests at most when they die.
    assert!(failures.len() <= rounds * 2, "{} of {requests} requests failed", failures.len());
    assert!(failures.iter().all(|failure| failure.ends_with(": 502")), "{failures:?}");
}

/// Who has connected before the end is answered; nobody else gets in.
#[test]
fn the_end_under_load_loses_nothing() {
    let scratch = Scratch::new();
    let mut application = start(&scratch, "1", "");
    let mut waiting: Vec<Connection> = (0..200).map(|_| Connection::to(&application.address)).collect();
    waiting.iter_mut().for_each(|connection| connection.send(Request::get("/").octets()));
    application.process.signal(Signal::TERM);
    for connection in &mut waiting {
        assert_eq!(connection.response().text(), "1");
    }
    assert_eq!(application.process.wait().code(), Some(0));
}
