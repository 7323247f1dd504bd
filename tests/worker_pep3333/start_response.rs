//! start_response: when it may be called, with what, and what follows.

use harness::{Connection, Request};

use super::Pages;

#[test]
fn a_second_call_without_exc_info_is_an_error() {
    let mut pages = Pages::start();
    let response = pages.get("/start_twice");
    assert_eq!((response.status, response.text().as_str()), (500, "Internal Server Error"));
    pages.wait_for_log("in start_twice");
    pages.assert_well();
}

#[test]
fn a_second_call_with_exc_info_replaces_the_head() {
    let pages = Pages::start();
    let response = pages.get("/start_again_with_exc_info");
    assert_eq!(response.status, 503);
    assert_eq!(response.text(), "the second answer");
    assert_eq!(response.header("X-First"), None);
    assert_eq!(response.header("X-Second"), Some("1"));
}

#[test]
fn exc_info_after_the_head_was_sent_is_raised_and_cuts_the_answer() {
    let mut pages = Pages::start();
    let mut connection = Connection::to(&pages.application.address);
    connection.send(Request::get("/exc_info_after_body").octets());
    let outcome = connection.try_response();
    assert!(outcome.is_err(), "an answer that is not whole must not look whole: {outcome:?}");
    pages.wait_for_log("found out too late");
    assert_eq!(pages.events(), ["start_response raised what it was given"]);
    pages.assert_well();
}

#[test]
fn no_call_is_an_error() {
    let pages = Pages::start();
    for target in ["/never_started", "/body_before_start", "/returns_none"] {
        let response = pages.get(target);
        assert_eq!((response.status, response.text().as_str()), (500, "Internal Server Error"), "{target}");
    }
    pages.assert_well();
}

#[test]
fn a_generator_may_call_it_late() {
    let pages = Pages::start();
    let response = pages.get("/started_by_generator");
    assert_eq!((response.status, response.text().as_str()), (202, "started late, but in time"));
    assert_eq!(response.reason, "Accepted");
    let response = pages.get("/empty_before_start");
    assert_eq!((response.status, response.text().as_str()), (200, "an empty string is no body"));
}

#[test]
fn write_comes_before_the_iterable() {
    let pages = Pages::start();
    assert_eq!(pages.get("/write").text(), "one two three");
}

#[test]
fn a_head_that_is_not_one_is_refused() {
    let mut pages = Pages::start();
    for name in [
        "status_bytes",
        "status_number",
        "status_short",
        "status_word",
        "status_line_end",
        "name_line_end",
        "value_line_end",
        "value_bare_lf",
        "value_nul",
        "name_colon",
        "name_blank",
        "name_empty",
        "name_bytes",
        "value_number",
        "value_not_latin1",
        "three_items",
        "not_a_pair",
        "hop_by_hop",
        "transfer_encoding",
    ] {
        let response = pages.get(&format!("/bad_head/{name}"));
        assert_eq!((response.status, response.text().as_str()), (500, "Internal Server Error"), "{name}");
        assert_eq!(response.header("X-Injected"), None, "{name}");
    }
    pages.wait_for_log("in bad_head");
    pages.assert_well();
}

#[test]
fn latin1_goes_through() {
    let pages = Pages::start();
    let response = pages.get("/latin1_header");
    assert_eq!(response.reason, "Tr\u{e8}s bien");
    assert_eq!(response.header("X-Latin"), Some("na\u{ef}ve"));
}
