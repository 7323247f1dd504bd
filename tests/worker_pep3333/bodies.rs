//! The iterable: closed exactly once, sent piece by piece, never more than was announced.

use std::fs;
use std::time::Duration;

use harness::{Connection, Framing, Request, wait_until};

use super::Pages;

#[test]
fn close_is_called_exactly_once() {
    let pages = Pages::start();
    assert_eq!(pages.get("/closing/whole").text(), "onetwo");
    assert_eq!(pages.get("/closing/empty").text(), "");
    assert_eq!(pages.get("/closing/at_once").status, 500);
    let broken = Request::get("/closing/breaks").try_send(&pages.application.address);
    assert!(broken.is_err(), "an answer that is not whole must not look whole");
    let head = Request::new("HEAD", "/closing/head").send(&pages.application.address);
    assert_eq!((head.status, head.body.len()), (200, 0));
    pages.assert_well();
    let expected = ["closed whole", "closed empty", "closed at_once", "closed breaks", "closed head"];
    assert_eq!(pages.events(), expected);
}

#[test]
fn close_is_called_when_the_client_goes_away() {
    let pages = Pages::start();
    let mut connection = Connection::to(&pages.application.address);
    connection.send(Request::get("/closing/endless").octets());
    assert!(!connection.more().is_empty());
    drop(connection);
    wait_until("the body is closed", || pages.events() == ["closed endless"]);
    pages.assert_well();
    assert_eq!(pages.events(), ["closed endless"]);
}

#[test]
fn a_generator_is_closed_too() {
    let pages = Pages::start();
    assert_eq!(pages.get("/generator_with_finally").text(), "piece");
    pages.assert_well();
    assert_eq!(pages.events(), ["closed generator"]);
}

#[test]
fn text_is_no_body() {
    let mut pages = Pages::start();
    assert_eq!(pages.get("/text_body").status, 500);
    pages.wait_for_log("bytes");
    pages.assert_well();
}

#[test]
fn octets_beyond_the_announced_length_are_not_sent() {
    let pages = Pages::start();
    let mut connection = Connection::to(&pages.application.address);
    let response = connection.exchange(Request::get("/too_long").octets());
    assert_eq!(response.text(), "12345");
    // The connection may be closed or go on, but there is no second answer in it.
    assert!(connection.stays_open(Duration::from_millis(300)) || connection.rest().is_empty());
    pages.assert_well();
}

#[test]
fn fewer_octets_than_announced_do_not_look_whole() {
    let pages = Pages::start();
    let mut connection = Connection::to(&pages.application.address);
    connection.send(Request::get("/too_short").octets());
    // Nothing has been sent when the worker notices: the client is told. Else the connection is cut.
    if let Ok(response) = connection.try_response() {
        assert_eq!(response.status, 500);
    }
    pages.assert_well();
}

#[test]
fn a_piece_is_sent_before_the_next_exists() {
    let pages = Pages::start();
    let mut connection = Connection::to(&pages.application.address);
    connection.send(Request::get("/steps").octets());
    let mut seen = Vec::new();
    while !seen.windows(11).any(|window| window == b"first piece") {
        seen = connection.more().to_vec();
    }
    assert!(!seen.windows(12).any(|window| window == b"second piece"));
    fs::write(pages.scratch.path("go"), "").expect("a file can be written");
    let response = connection.response();
    assert_eq!(response.text(), "first piece\nsecond piece\n");
    assert_eq!((response.framing, response.chunks.len()), (Framing::Chunked, 2));
}

#[test]
fn bodies_of_every_size_arrive_whole() {
    let pages = Pages::start();
    for (total, piece) in [
        (0, 1),
        (1, 1),
        (4096, 1),
        (65_535, 1000),
        (65_536, 65_536),
        (65_537, 65_537),
        (300_000, 300_000),
        (10_000_000, 7_777),
    ] {
        let response = pages.get(&format!("/big/{total}/{piece}"));
        let expected: Vec<u8> = (0..total).map(|index: usize| (index / piece % 256) as u8).collect();
        assert!(response.body == expected, "{total} octets in pieces of {piece} came as {}", response.body.len());
    }
}

#[test]
fn a_slow_reader_gets_everything() {
    let pages = Pages::with("processes = 1");
    let mut slow = Connection::to(&pages.application.address);
    slow.send(Request::get("/big/20000000/100000").octets());
    assert!(!slow.more().is_empty());
    let response = slow.response();
    assert_eq!(response.body.len(), 20_000_000);
}

#[test]
fn files_are_wrapped() {
    let pages = Pages::start();
    let file: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for (kind, expected) in [
        ("whole", file.as_slice()),
        ("length", file.get(..100).expect("the file is longer")),
        ("seeked", file.get(1000..).expect("the file is longer")),
        ("iterated", file.as_slice()),
        ("memory", b"in memory".as_slice()),
    ] {
        let response = pages.get(&format!("/file_wrapper/{kind}"));
        assert!(response.body == expected, "{kind}: {} octets", response.body.len());
    }
    pages.assert_well();
    // The iterator of a wrapper is not the wrapper: nobody but the collector closes that one.
    let closed = pages.events().len();
    assert!((3..=4).contains(&closed), "{closed} files of 4 were closed: {:?}", pages.events());
}

#[test]
fn head_of_a_file_sends_no_body() {
    let pages = Pages::start();
    let mut connection = Connection::to(&pages.application.address);
    connection.send(Request::new("HEAD", "/file_wrapper/length").octets());
    let response = connection.response_to_head();
    assert_eq!(response.header("Content-Length"), Some("100"));
    assert_eq!(connection.exchange(Request::get("/hello").octets()).status, 200);
}
