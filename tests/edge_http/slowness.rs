//! Clients that take their time hold a connection and nothing else.

use harness::{Connection, Request};

use super::site;

#[test]
fn slow_heads_and_bodies_do_not_hold_the_worker() {
    let (_scratch, site) = site("");
    let body = vec![b'x'; 100_000];
    let request = Request::post("/count_input", "text/plain", body.clone());
    let mut heads: Vec<Connection> = (0..40).map(|_| Connection::to(&site.address)).collect();
    heads.iter_mut().for_each(|connection| connection.send("POST /count_input HTTP/1.1\r\nHo"));
    let mut bodies: Vec<Connection> = (0..40).map(|_| Connection::to(&site.address)).collect();
    for connection in &mut bodies {
        connection.send(request.head());
        connection.send(&body[..50_000]);
    }

    for _ in 0..50 {
        assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    }

    for mut connection in heads {
        connection.send("st: example.test\r\nContent-Length: 2\r\n\r\nxx");
        assert_eq!(connection.response().text(), "2 2");
    }
    for mut connection in bodies {
        connection.send(&body[50_000..]);
        assert_eq!(connection.response().text(), "100000 100000");
    }
}

#[test]
fn slow_readers_do_not_hold_the_worker() {
    let (_scratch, site) = site("");
    let mut readers: Vec<Connection> = (0..10).map(|_| Connection::to(&site.address)).collect();
    readers.iter_mut().for_each(|connection| connection.send(Request::get("/big/8000000/50000").octets()));
    for _ in 0..20 {
        assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    }
    for mut connection in readers {
        assert_eq!(connection.response().body.len(), 8_000_000);
    }
}

#[test]
fn idle_connections_are_no_load() {
    let (_scratch, site) = site("");
    let mut idle: Vec<Connection> = (0..500).map(|_| Connection::to(&site.address)).collect();
    for _ in 0..50 {
        assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    }
    for connection in &mut idle {
        assert_eq!(connection.exchange(Request::get("/hello").octets()).status, 200);
    }
}

#[test]
fn time_outs_end_what_stands_still() {
    let (_scratch, site) = site("client_header_timeout 1s; client_body_timeout 1s;");
    let mut head = Connection::to(&site.address);
    head.send("GET /hello HTTP/1.1\r\nHo");
    assert!(head.rest().is_empty(), "a head that does not end is closed without a word");

    let mut body = Connection::to(&site.address);
    body.send(Request::new("POST", "/count_input").header("Content-Length", "10").head());
    body.send("half");
    let rest = body.rest();
    let text = String::from_utf8_lossy(&rest);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408 "), "{text}");
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
}

/// The worker is not kept by a client that is gone.
#[test]
fn a_client_that_leaves_frees_the_worker() {
    let (_scratch, site) = site("");
    for _ in 0..10 {
        let mut connection = Connection::to(&site.address);
        connection.send(Request::get("/big/50000000/100000").octets());
        connection.more();
        drop(connection);
        assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    }
}
