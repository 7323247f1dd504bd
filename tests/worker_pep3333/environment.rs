//! What stands in environ.

use harness::Request;
use serde_json::{Value, json};

use super::Pages;

#[test]
fn environ_has_what_the_specification_asks_for() {
    let pages = Pages::start();
    let request =
        Request::get("/environ_facts/a%20b/%EB%8C%80?x=%20&y").header("X-Own", "na\u{ef}ve").host("example.test:81");
    let facts: Value =
        serde_json::from_slice(&request.send(&pages.application.address).body).expect("the page is JSON");
    for (name, expected) in [
        ("is_dict", json!(true)),
        ("missing", json!([])),
        ("keys_are_strings", json!(true)),
        ("cgi_values_are_strings", json!(true)),
        ("values_are_latin1", json!(true)),
        ("version", json!([1, 0])),
        ("version_is_tuple", json!(true)),
        ("multithread", json!(false)),
        ("multiprocess", json!(false)),
        ("run_once", json!(false)),
        ("input", json!([])),
        ("errors", json!([])),
    ] {
        assert_eq!(facts[name], expected, "{name}");
    }
    for (name, expected) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/environ_facts/a b/\u{eb}\u{8c}\u{80}"),
        ("QUERY_STRING", "x=%20&y"),
        ("REQUEST_URI", "/environ_facts/a%20b/%EB%8C%80?x=%20&y"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("HTTP_HOST", "example.test:81"),
        ("HTTP_X_OWN", "na\u{c3}\u{af}ve"),
        ("wsgi.url_scheme", "http"),
    ] {
        assert_eq!(facts["strings"][name], expected, "{name}");
    }
}

#[test]
fn content_headers_have_their_own_names() {
    let pages = Pages::start();
    let request = Request::post("/environ_facts", "text/x-own; charset=utf-8", "body");
    let facts: Value =
        serde_json::from_slice(&request.send(&pages.application.address).body).expect("the page is JSON");
    assert_eq!(facts["strings"]["CONTENT_TYPE"], "text/x-own; charset=utf-8");
    assert_eq!(facts["strings"]["CONTENT_LENGTH"], "4");
}

#[test]
fn a_proxy_header_does_not_become_http_proxy() {
    let pages = Pages::start();
    let request = Request::get("/environ_facts").header("Proxy", "http://evil.test/").header("X_Under_Score", "1");
    let facts: Value =
        serde_json::from_slice(&request.send(&pages.application.address).body).expect("the page is JSON");
    assert_eq!(facts["strings"]["HTTP_PROXY"], Value::Null);
    assert_eq!(facts["strings"]["HTTP_X_UNDER_SCORE"], Value::Null);
}

#[test]
fn flags_tell_of_processes_and_threads() {
    let pages = Pages::with("processes = 2\nthreads = 3");
    let facts: Value = serde_json::from_slice(&pages.get("/environ_facts").body).expect("the page is JSON");
    assert_eq!(facts["multithread"], true);
    assert_eq!(facts["multiprocess"], true);
}

#[test]
fn a_change_of_environ_does_not_reach_the_next_request() {
    let pages = Pages::start();
    for _ in 0..3 {
        assert_eq!(pages.get("/change_environ").text(), "clean");
    }
    pages.assert_well();
}

#[test]
fn threads_take_requests_at_the_same_time() {
    let pages = Pages::with("threads = 4");
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut connection = harness::Connection::to(&pages.application.address);
        connection.send(Request::get("/meet").octets());
        waiting.push(connection);
    }
    for mut connection in waiting {
        let response = connection.response();
        assert_eq!((response.status, response.text().as_str()), (200, "met"));
    }
}

#[test]
fn threads_of_the_application_run_between_requests() {
    let pages = Pages::with("enable-threads = true");
    pages.get("/threads_work");
    harness::wait_until("the application's own thread has run", || {
        pages.get("/threads_work").text().parse::<u32>().expect("a number") > 10
    });
}
