//! wsgi.input: every way to read it, beyond its end, before its end has arrived.

use harness::{Connection, Request, Response, Site};
use serde_json::{Value, json};

use super::{Pages, Scratch};

const BODY: &str = "first line\nsecond line\nlast";

#[test]
fn every_way_to_read() {
    let pages = Pages::start();
    for (way, expected) in [
        ("read", json!([BODY])),
        ("read_minus_one", json!([BODY])),
        ("read_some", json!(["fir", "", "st line\nsecond line\nlast"])),
        ("lines", json!(["first line\n", "se", "cond line\n", "last"])),
        ("readlines", json!(["first line\n", "second line\n", "last"])),
        ("iteration", json!(["first line\n", "second line\n", "last"])),
        ("beyond", json!([BODY, "", "", ""])),
        ("nothing", json!([])),
    ] {
        let target = format!("/read_input/{way}");
        assert_eq!(
            pieces(&Request::post(&target, "text/plain", BODY).send(&pages.application.address)),
            expected,
            "{way}"
        );
        let (start, end) = BODY.as_bytes().split_at(7);
        let chunked = Request::new("POST", &target).chunked(&[start, end]);
        assert_eq!(pieces(&chunked.send(&pages.application.address)), expected, "{way}, chunked");
    }
}

#[test]
fn no_body_reads_as_nothing() {
    let pages = Pages::start();
    assert_eq!(pieces(&pages.get("/read_input/beyond")), json!(["", "", "", ""]));
    assert_eq!(pieces(&pages.get("/read_input/readlines")), json!([]));
}

#[test]
fn large_bodies_arrive_whole() {
    let pages = Pages::start();
    for length in [16_000, 16_384, 60_000, 65_536, 1_000_000, 30_000_000] {
        let response = Request::post("/count_input", "text/plain", vec![b'x'; length]).send(&pages.application.address);
        assert_eq!(response.text(), format!("{length} {length}"));
    }
}

#[test]
fn a_body_left_unread_does_not_disturb_the_next_request() {
    let pages = Pages::start();
    for length in [10, 100_000, 3_000_000] {
        let mut connection = Connection::to(&pages.application.address);
        let body = vec![b'G'; length];
        connection.send_meanwhile(Request::post("/read_input/nothing", "text/plain", body).octets());
        assert_eq!(connection.response().text(), "[]", "{length}");
        if connection.try_send(&Request::get("/hello").octets()).is_ok()
            && let Ok(next) = connection.try_response()
        {
            assert_eq!(next.status, 200, "{length}");
        }
        pages.assert_well();
    }
}

/// With buffering off, the application sees the beginning of a body whose end has not been sent.
#[test]
fn a_body_streams_into_the_application() {
    let scratch = Scratch::new();
    let server = "uwsgi_request_buffering off;\nuwsgi_buffering off;";
    let site = Site::start(&scratch, server, "pep3333", "");
    for chunked in [false, true] {
        let mut connection = Connection::to(&site.address);
        let (head, first, rest) = if chunked {
            let head = Request::new("POST", "/talk").header("Transfer-Encoding", "chunked").head();
            (head, "5\r\nhello\r\n", "6\r\n world\r\n0\r\n\r\n")
        } else {
            (Request::new("POST", "/talk").header("Content-Length", "11").head(), "hello", " world")
        };
        connection.send(head);
        connection.send(first);
        let mut seen = Vec::new();
        while !contains(&seen, b"first: hello\n") {
            seen = connection.more().to_vec();
        }
        assert!(!contains(&seen, b"rest"));
        connection.send(rest);
        assert_eq!(connection.response().text(), "first: hello\nrest:  world\n");
    }
}

/// A client that leaves in the middle of its body is no whole body.
#[test]
fn a_body_cut_short_does_not_read_as_whole() {
    let scratch = Scratch::new();
    let server = "uwsgi_request_buffering off;";
    let site = Site::start(&scratch, server, "pep3333", "env = EVENTS=SCRATCH/events");
    let mut connection = Connection::to(&site.address);
    connection.send(Request::new("POST", "/input_cut").header("Content-Length", "1000").head());
    connection.send("only this");
    drop(connection);
    // The request may also never have reached the worker.
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    let events = scratch.read("events");
    assert!(events.is_empty() || events.starts_with("OSError"), "{events}");
}

fn pieces(response: &Response) -> Value {
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).expect("the page is JSON")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
