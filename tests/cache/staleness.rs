//! Answers that are no longer fresh: given all the same, got anew, or asked about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Connection, Request, Scratch, Web, wait_until};

use super::{Numbered, answer, get};

/// Stale as soon as the clock's second is over; `X-Accel-Expires: @1` is stale at once.
const STALE: &str = "X-Accel-Expires: @1\r\n";

fn failing(fields: &'static str) -> (Numbered, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let is_failing = Arc::clone(&fails);
    let server = Numbered::answering(move |_, number| match is_failing.load(Ordering::SeqCst) {
        true => "HTTP/1.1 503 Down\r\nContent-Length: 4\r\n\r\ndown".to_owned(),
        false => answer(fields, &number.to_string()),
    });
    (server, fails)
}

#[test]
fn a_stale_answer_stands_for_a_status_that_is_named() {
    let (server, fails) = failing(STALE);
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "proxy_cache_use_stale http_503;");
    assert_eq!(get(&web.address, "/"), "MISS 1");
    assert_eq!(get(&web.address, "/"), "EXPIRED 2");
    fails.store(true, Ordering::SeqCst);
    assert_eq!(get(&web.address, "/"), "STALE 2");
    assert_eq!(get(&web.address, "/other"), "MISS down");
    fails.store(false, Ordering::SeqCst);
    assert_eq!(get(&web.address, "/"), "EXPIRED 5");
}

#[test]
fn without_leave_a_stale_answer_stands_for_nothing() {
    let (server, fails) = failing(STALE);
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "");
    assert_eq!(get(&web.address, "/"), "MISS 1");
    fails.store(true, Ordering::SeqCst);
    assert_eq!(get(&web.address, "/"), "EXPIRED down");
}

#[test]
fn a_stale_answer_stands_for_a_server_that_is_gone() {
    for (fields, settings, expected) in [
        (STALE, "proxy_cache_use_stale error;", ("STALE", 200)),
        ("X-Accel-Expires: @1\r\nCache-Control: stale-if-error=4000000000\r\n", "", ("STALE", 200)),
        (STALE, "proxy_cache_use_stale timeout;", ("EXPIRED", 502)),
    ] {
        let server = Numbered::with_fields(fields);
        let scratch = Scratch::new();
        let web = server.front(&scratch, "keys_zone=one:1m", settings);
        assert_eq!(get(&web.address, "/"), "MISS 1");
        drop(server);
        let response = Request::get("/").send(&web.address);
        assert_eq!(
            (response.header("X-Status"), response.status),
            (Some(expected.0), expected.1),
            "{fields:?} {settings}"
        );
    }
}

/// A server whose first answer is stale at once, and a cache that gives it all the same.
fn got_anew(scratch: &Scratch) -> (Numbered, Web) {
    let server = Numbered::answering(|_, number| match number {
        1 => answer(STALE, "1"),
        _ => answer("Cache-Control: max-age=60\r\n", &number.to_string()),
    });
    let settings = "proxy_cache_use_stale updating; proxy_cache_background_update on;";
    let web = server.front(scratch, "keys_zone=one:1m", settings);
    (server, web)
}

#[test]
fn a_stale_answer_is_given_and_got_anew_behind_the_clients_back() {
    let scratch = Scratch::new();
    let (server, web) = got_anew(&scratch);
    let mut connection = Connection::to(&web.address);
    let mut next = || {
        let response = connection.exchange(Request::get("/").octets());
        format!("{} {}", response.header("X-Status").unwrap_or("-"), response.text())
    };
    assert_eq!([next(), next(), next()], ["MISS 1", "STALE 1", "HIT 2"], "a connection waits for what it has begun");
    assert_eq!(server.count(), 2);
}

#[test]
fn a_client_that_leaves_does_not_end_what_it_has_begun() {
    let scratch = Scratch::new();
    let (_server, web) = got_anew(&scratch);
    assert_eq!(get(&web.address, "/"), "MISS 1");
    let mut connection = Connection::to(&web.address);
    connection.send(Request::get("/").octets());
    assert_eq!(connection.response().text(), "1");
    drop(connection);
    wait_until("the answer has been got anew", || get(&web.address, "/") == "HIT 2");
}

#[test]
fn while_one_gets_it_anew_the_others_have_the_stale_one() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Numbered::answering(move |_, number| {
        if number == 2 {
            let _ = wait.lock().expect("no panic").recv();
        }
        answer(STALE, &number.to_string())
    });
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "proxy_cache_use_stale updating;");
    assert_eq!(get(&web.address, "/"), "MISS 1");
    let mut first = Connection::to(&web.address);
    first.send(Request::get("/").octets());
    wait_until("the server is asked", || server.count() == 2);
    assert_eq!(get(&web.address, "/"), "UPDATING 1");
    release.send(()).expect("the server waits");
    assert_eq!(first.response().text(), "2");
}

#[test]
fn an_answer_that_still_holds_is_asked_about_and_kept() {
    let server = Numbered::answering(|head, number| {
        let is_known = head.to_ascii_lowercase().contains("if-none-match: \"tag\"");
        match (number, is_known) {
            (1, _) => answer("X-Accel-Expires: @1\r\nETag: \"tag\"\r\n", "1"),
            (_, true) => "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\n\r\n".to_owned(),
            (_, false) => answer("", "unknown"),
        }
    });
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "proxy_cache_revalidate on;");
    assert_eq!(get(&web.address, "/"), "MISS 1");
    // The client's own condition is about the client's own copy.
    let own = Request::get("/").header("If-None-Match", "\"other\"").send(&web.address);
    assert_eq!((own.header("X-Status"), own.status), (Some("REVALIDATED"), 200));
    assert_eq!(get(&web.address, "/"), "HIT 1");
    assert_eq!(server.count(), 2);
}
