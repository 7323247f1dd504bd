//! Keep-alive, pipelining, chunked bodies, Expect.

use harness::{Connection, Framing, Request};

use super::site;

#[test]
fn a_connection_serves_many_requests() {
    let (_scratch, site) = site("");
    let mut connection = Connection::to(&site.address);
    for index in 0..200 {
        let response = connection.exchange(Request::get(&format!("/environ_facts?{index}")).octets());
        assert_eq!(response.status, 200);
        assert!(response.text().contains(&format!("\"QUERY_STRING\": \"{index}\"")));
    }
}

#[test]
fn keepalive_requests_and_timeout_are_obeyed() {
    let (_scratch, site) = site("keepalive_requests 3; keepalive_timeout 1s;");
    let mut connection = Connection::to(&site.address);
    for header in ["keep-alive", "keep-alive", "close"] {
        let response = connection.exchange(Request::get("/hello").octets());
        assert_eq!(response.header("Connection"), Some(header));
    }
    assert!(connection.rest().is_empty());

    let mut idle = Connection::to(&site.address);
    assert_eq!(idle.exchange(Request::get("/hello").octets()).status, 200);
    assert!(idle.rest().is_empty(), "an idle connection is closed without a word");
}

#[test]
fn keepalive_timeout_zero_closes() {
    let (_scratch, site) = site("keepalive_timeout 0;");
    let mut connection = Connection::to(&site.address);
    assert_eq!(connection.exchange(Request::get("/hello").octets()).header("Connection"), Some("close"));
    assert!(connection.rest().is_empty());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_scratch, site) = site("location = /fixed { return 200 \"fixed\"; }");
    let mut octets = Vec::new();
    for index in 0..60 {
        octets.extend(match index % 3 {
            0 => Request::get("/fixed").octets(),
            1 => Request::post("/read_input/read", "text/plain", format!("number {index}")).octets(),
            _ => Request::new("POST", "/read_input/read").chunked(&[format!("number {index}").as_bytes()]).octets(),
        });
    }
    let mut connection = Connection::to(&site.address);
    connection.send_meanwhile(octets);
    for index in 0..60 {
        let expected = if index % 3 == 0 { "fixed".to_owned() } else { format!("[\"number {index}\"]") };
        assert_eq!(connection.response().text(), expected);
    }
}

#[test]
fn a_head_may_arrive_in_any_pieces() {
    let (_scratch, site) = site("");
    let octets = Request::post("/read_input/read", "text/plain", "body").octets();
    let mut connection = Connection::to(&site.address);
    for octet in &octets {
        connection.send([*octet]);
    }
    assert_eq!(connection.response().text(), "[\"body\"]");
    for cut in (1..octets.len()).step_by(7) {
        let (start, end) = octets.split_at(cut);
        connection.send(start);
        connection.send(end);
        assert_eq!(connection.response().text(), "[\"body\"]", "cut after {cut} octets");
    }
}

#[test]
fn chunks_come_in_every_form() {
    let (_scratch, site) = site("");
    let mut connection = Connection::to(&site.address);
    let head = "POST /read_input/read HTTP/1.1\r\nHost: example.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "4\r\nbody\r\n0\r\n\r\n",
        "1\r\nb\r\n1\r\no\r\n2\r\ndy\r\n0\r\n\r\n",
        "0004\r\nbody\r\n0000\r\n\r\n",
        "4;name=value\r\nbody\r\n0;last\r\n\r\n",
        "4\r\nbody\r\n0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n",
    ] {
        connection.send(head);
        connection.send(body);
        let response = connection.response();
        assert_eq!((response.status, response.text().as_str()), (200, "[\"body\"]"), "{body:?}");
    }
    let upper = format!("A\r\n0123456789\r\n1a\r\n{}\r\n0\r\n\r\n", "x".repeat(26));
    connection.send(head);
    connection.send(upper);
    assert_eq!(connection.response().text(), format!("[\"0123456789{}\"]", "x".repeat(26)));
}

#[test]
fn answers_without_length_are_chunked_or_closed_by_version() {
    let (_scratch, site) = site("");
    let response = Request::get("/big/100000/1000").send(&site.address);
    assert_eq!((response.framing, response.body.len()), (Framing::Chunked, 100_000));
    let response = Request::get("/big/100000/1000").version("HTTP/1.0").send(&site.address);
    assert_eq!((response.framing, response.body.len()), (Framing::Close, 100_000));
    assert_eq!(response.header("Transfer-Encoding"), None);
}

#[test]
fn http_1_0_keeps_a_connection_when_asked_to() {
    let (_scratch, site) = site("");
    let mut connection = Connection::to(&site.address);
    for _ in 0..3 {
        let request = Request::get("/hello").version("HTTP/1.0").header("Connection", "keep-alive");
        let response = connection.exchange(request.octets());
        assert_eq!((response.header("Connection"), response.framing), (Some("keep-alive"), Framing::Length));
    }
    connection.send(Request::get("/hello").version("HTTP/1.0").octets());
    assert_eq!(connection.response().header("Connection"), Some("close"));
    assert!(connection.rest().is_empty());
}

#[test]
fn expect_is_answered_once_and_only_when_the_body_is_wanted() {
    let (_scratch, site) = site("client_max_body_size 1k;");
    let request = Request::post("/read_input/read", "text/plain", "body").header("Expect", "100-continue");
    let mut connection = Connection::to(&site.address);
    for _ in 0..2 {
        connection.send(request.head());
        assert_eq!(connection.interim(), 100);
        connection.send(request.body());
        let response = connection.response();
        assert_eq!((response.text().as_str(), response.interim.len()), ("[\"body\"]", 0));
    }

    // A body that is there already needs no invitation, though one does no harm.
    let response = connection.exchange(request.octets());
    assert_eq!(response.text(), "[\"body\"]");
    assert!(response.interim.len() <= 1);

    let too_large =
        Request::new("POST", "/read_input/read").header("Content-Length", "5000").header("Expect", "100-continue");
    let mut connection = Connection::to(&site.address);
    connection.send(too_large.octets());
    let response = connection.response();
    assert_eq!((response.status, response.interim.len()), (413, 0));
    assert!(connection.rest().is_empty());

    let old =
        Request::post("/read_input/read", "text/plain", "body").version("HTTP/1.0").header("Expect", "100-continue");
    assert!(old.send(&site.address).interim.is_empty(), "HTTP/1.0 knows no interim answers");
}

#[test]
fn head_has_no_body_and_does_not_disturb_the_next() {
    let (_scratch, site) = site("location = /fixed { return 200 \"fixed\"; }");
    let mut connection = Connection::to(&site.address);
    for target in ["/hello", "/big/1000/10", "/fixed", "/hello"] {
        connection.send(Request::new("HEAD", target).octets());
        assert_eq!(connection.response_to_head().status, 200, "{target}");
        assert_eq!(connection.exchange(Request::get("/fixed").octets()).text(), "fixed", "after {target}");
    }
}

#[test]
fn date_and_server_are_said() {
    let (_scratch, site) = site("");
    let response = Request::get("/hello").send(&site.address);
    let date = response.header("Date").expect("every answer has a date");
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    let server = response.header("Server").expect("every answer names its server");
    assert!(server.starts_with("daemun/"), "{server}");

    let (_scratch, site) = super::site("server_tokens off;");
    assert_eq!(Request::get("/hello").send(&site.address).header("Server"), Some("daemun"));
}

#[test]
fn headers_with_underscores_are_known_where_that_is_wanted() {
    let octets = "GET /index.txt HTTP/1.1\r\nHost: a\r\nX_Own: 1\r\n\r\n";
    let line = "location = /index.txt { return 200 \"[$http_x_own]\"; }";
    for (directive, expected) in [("", "[]"), ("underscores_in_headers on;", "[1]")] {
        let (_scratch, site) = site(&format!("{directive} {line}"));
        assert_eq!(Connection::to(&site.address).exchange(octets).text(), expected, "{directive}");
    }
}
