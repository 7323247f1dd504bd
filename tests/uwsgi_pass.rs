//! What `uwsgi_pass` makes of an application's answers, and of those that do not come.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use harness::{Request, Scratch, Site, Web};

#[test]
fn an_application_that_does_not_answer_in_time_is_a_504() {
    let scratch = Scratch::new();
    let options = "processes = 1\nthreads = 2\nenv = EVENTS=SCRATCH/events";
    let site = Site::start(&scratch, "uwsgi_read_timeout 1s;", "pep3333", options);
    assert_eq!(Request::get("/hang").send(&site.address).status, 504);
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    assert!(scratch.read("error.log").contains("uwsgi_read_timeout"));
}

/// How an upstream frames its connection is its own business, and an interim answer is none.
#[test]
fn fields_of_the_upstreams_connection_stay_there() {
    let framed = "HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: timeout=9\r\nX-Own: 1\r\n\r\nbody";
    let response = answer_with(framed);
    assert_eq!((response.status, response.text().as_str()), (200, "body"));
    assert_eq!(response.header("x-own"), Some("1"));
    assert_eq!(response.header("keep-alive"), None);
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer_with("HTTP/1.1 101 Switching Protocols\r\n\r\n").status, 502);
}

/// What a client gets when the upstream answers with these octets.
fn answer_with(octets: &'static str) -> harness::Response {
    let scratch = Scratch::new();
    let listener = UnixListener::bind(scratch.path("upstream.sock")).expect("a socket");
    let upstream = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let _ = stream.read(&mut [0; 65536]).expect("its packet");
        stream.write_all(octets.as_bytes()).expect("an answer");
    });
    let pass = format!("location / {{ uwsgi_pass unix:{}; }}", scratch.text_path("upstream.sock"));
    let web = Web::start(&scratch, &pass);
    let response = Request::get("/").send(&web.address);
    upstream.join().expect("the upstream is done");
    response
}
