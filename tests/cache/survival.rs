//! What lives on over a reload and a restart, and what goes: broken, removed, too old, too much.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use harness::{Request, Scratch, Web, servers, wait_until};
use rustix::process::Signal;

use super::{Numbered, files, get};

const FRESH: &str = "Cache-Control: max-age=3600\r\n";

#[test]
fn a_reload_changes_nothing_of_what_is_kept() {
    let server = Numbered::with_fields(FRESH);
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "add_header X-Which old;");
    assert_eq!(get(&web.address, "/"), "MISS 1");
    scratch.write("web.conf", scratch.read("web.conf").replace("X-Which old", "X-Which new"));
    web.process.signal(Signal::HUP);
    let is_new = || Request::get("/").send(&web.address).header("X-Which") == Some("new");
    wait_until("the new configuration is in force", is_new);
    assert_eq!(get(&web.address, "/"), "HIT 1");
    assert_eq!(server.count(), 1);
}

#[test]
fn a_restart_finds_what_was_kept() {
    let server = Numbered::answering(|head, number| match head.contains("/varied") {
        true => super::answer("Cache-Control: max-age=3600\r\nVary: Foo\r\n", &number.to_string()),
        false => super::answer(FRESH, &number.to_string()),
    });
    let scratch = Scratch::new();
    let mut web = server.front(&scratch, "levels=1:2 keys_zone=one:1m", "");
    let varied = |web: &Web, value| Request::get("/varied").header("Foo", value).send(&web.address).text();
    assert_eq!(get(&web.address, "/"), "MISS 1");
    assert_eq!([varied(&web, "a"), varied(&web, "b")], ["2", "3"]);
    web.process.signal(Signal::TERM);
    web.process.wait();
    web.process = servers::daemun_web(&scratch, "web.conf", &web.address);
    assert_eq!(get(&web.address, "/"), "HIT 1");
    assert_eq!([varied(&web, "b"), varied(&web, "a")], ["3", "2"]);
    assert_eq!(server.count(), 3);
}

#[test]
fn drafts_and_broken_files_of_an_earlier_process_are_removed() {
    let server = Numbered::with_fields(FRESH);
    let scratch = Scratch::new();
    scratch.write("cache/.draft-0123456789abcdef-1", "begun");
    let hours_ago = SystemTime::now() - Duration::from_secs(7_200);
    let draft = File::options().write(true).open(scratch.path("cache/.draft-0123456789abcdef-1")).expect("it is there");
    draft.set_modified(hours_ago).expect("it is ours");
    scratch.write("cache/0123456789abcdef0123456789abcdef", "no answer");
    scratch.write("cache/somebody-elses", "file");
    let web = server.front(&scratch, "keys_zone=one:1m", "");
    wait_until("the loader has looked", || files(&scratch).len() == 1);
    assert_eq!(scratch.read("cache/somebody-elses"), "file");
    assert_eq!(get(&web.address, "/"), "MISS 1");
}

#[test]
fn a_file_that_is_removed_or_broken_is_no_answer() {
    let server = Numbered::with_fields(FRESH);
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "");
    assert_eq!([get(&web.address, "/"), get(&web.address, "/")], ["MISS 1", "HIT 1"]);
    let only = || files(&scratch).pop().expect("a file is kept");
    fs::remove_file(only()).expect("removed");
    assert_eq!([get(&web.address, "/"), get(&web.address, "/")], ["MISS 2", "HIT 2"]);
    fs::remove_dir_all(scratch.path("cache")).expect("removed");
    assert_eq!([get(&web.address, "/"), get(&web.address, "/")], ["MISS 3", "HIT 3"]);

    let whole = fs::read(only()).expect("readable");
    let mut changed = whole.clone();
    changed[40] ^= 1;
    for broken in [&whole[..whole.len() - 1], &whole[..20], b"", &changed] {
        let file = only();
        // Another file in its place: nobody writes into one that is in use.
        fs::write(scratch.path("broken"), broken).expect("written");
        fs::rename(scratch.path("broken"), &file).expect("renamed");
        let (first, second) = (get(&web.address, "/"), get(&web.address, "/"));
        assert!(first.starts_with("MISS ") && second == first.replace("MISS", "HIT"), "{first} {second}");
    }
    assert!(scratch.read("error.log").contains("cache file"));
}

#[test]
fn what_nobody_asks_for_goes() {
    let server = Numbered::with_fields(FRESH);
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m inactive=1s", "");
    assert_eq!(get(&web.address, "/"), "MISS 1");
    wait_until("the file is gone", || files(&scratch).is_empty());
    assert_eq!(get(&web.address, "/"), "MISS 2");
}

#[test]
fn what_is_too_much_goes_and_the_least_wanted_first() {
    let server = Numbered::answering(|_, _| super::answer(FRESH, &"x".repeat(100_000)));
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m max_size=500k", "");
    let status = |target: &str| Request::get(target).send(&web.address).header("X-Status").map(str::to_owned);
    for number in 0..12 {
        assert_eq!(status(&format!("/{number}")).as_deref(), Some("MISS"));
        // Asked for again and again: it stays.
        assert_eq!(status("/0").as_deref(), Some("HIT"));
    }
    wait_until("enough is gone", || files(&scratch).len() <= 5);
    assert_eq!(status("/0").as_deref(), Some("HIT"));
    assert_eq!(status("/1").as_deref(), Some("MISS"));
}

/// A zone of 64 keys and a flood of a thousand: memory and files stay within it.
#[test]
fn a_zone_holds_no_more_keys_than_its_size() {
    let server = Numbered::with_fields(FRESH);
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:16k", "");
    let mut connection = harness::Connection::to(&web.address);
    for number in 0..1_000 {
        assert_eq!(connection.exchange(Request::get(&format!("/{number}")).octets()).status, 200);
    }
    assert!(files(&scratch).len() <= 64, "{} files", files(&scratch).len());
    assert_eq!(get(&web.address, "/999"), "HIT 1000");
}
