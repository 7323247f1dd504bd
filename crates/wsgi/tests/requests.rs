//! What an application is told of a request, and what becomes of its answer.

#![allow(unsafe_code)]

mod site;

use site::{Plan, get};

const HELLO: &str = r#"
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Path", environ["PATH_INFO"])])
    return [b"hello"]
"#;

#[test]
fn a_request_is_answered_on_every_interpreter() {
    for python in site::pythons() {
        let mut site = Plan { python: python.clone(), ..Plan::new(HELLO) }.start();
        for _ in 0..3 {
            let answer = site.ask(get("/a"));
            assert_eq!(
                (answer.status, answer.reason.as_str(), answer.text().as_str()),
                (200, "OK", "hello"),
                "{python:?}"
            );
            assert_eq!(answer.header("X-Path"), Some("/a"));
        }
    }
}
