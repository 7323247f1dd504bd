//! How bodies and answers cross the connection: `limit_rate`, `lingering_close`, `reset_timedout_connection`, request bodies in
//! files, bodies read early.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use harness::{Connection, Request, Scratch, Web, wait_until};

#[test]
fn an_answer_goes_out_as_fast_as_its_rate() {
    let scratch = Scratch::new();
    let text = "0123456789".repeat(3_000);
    scratch.write("root/file.txt", &text);
    scratch.write("root/random.txt", (0..9_000_u32).map(|at| at.wrapping_mul(2_654_435_761) as u8).collect::<Vec<_>>());
    let web = Web::start(
        &scratch,
        "root SCRATCH/root;
        add_header X-Rate $limit_rate;
        location / { limit_rate 100; }
        location /after/ { alias SCRATCH/root/; limit_rate 100; limit_rate_after 50; }
        location /set/ { alias SCRATCH/root/; set $limit_rate 120; }
        location /arg/ { alias SCRATCH/root/; limit_rate $arg_rate; limit_rate_after $arg_after; }
        location /if/ { alias SCRATCH/root/; if ($arg_slow) { limit_rate 130; } }
        location /stream/ { alias SCRATCH/root/; gzip on; gzip_types *; limit_rate 140; }
        location /return { limit_rate 90; return 200 0123456789012345678901234567890123456789; }",
    );
    // What the first second takes goes out at once, head and body together; then nothing for a while.
    for (target, octets) in [
        ("/file.txt", 100),
        ("/after/file.txt", 150),
        ("/set/file.txt", 120),
        ("/arg/file.txt?rate=110", 110),
        ("/arg/file.txt?rate=110&after=5", 115),
        ("/if/file.txt?slow=1", 130),
        ("/stream/random.txt", 140),
        ("/return", 90),
    ] {
        let mut connection = Connection::to(&web.address);
        connection.send(Request::get(target).header("Accept-Encoding", "gzip").octets());
        assert_eq!(connection.more().len(), octets, "{target}");
    }
    for (target, rate) in [("/arg/file.txt", "0"), ("/if/file.txt", "0"), ("/arg/file.txt?rate=20k", "20480")] {
        let answer = Request::get(target).send(&web.address);
        assert_eq!((answer.header("x-rate"), answer.text()), (Some(rate), text.clone()), "{target}");
    }
    assert_eq!(Request::get("/arg/file.txt?rate=fast").send(&web.address).text(), text);
    assert!(scratch.read("error.log").contains("invalid size \"fast\""));
}

/// Connections that the server has, this question's included.
fn active(web: &Web) -> String {
    let text = Request::get("/status").send(&web.address).text();
    text.lines().next().expect("a line").trim().to_owned()
}

#[test]
fn a_connection_lingers_where_something_is_to_be_expected() {
    let scratch = Scratch::new();
    let web = Web::start(
        &scratch,
        "lingering_timeout 60s;
        location /on { return 200; }
        location /always { lingering_close always; return 200; }
        location /off { lingering_close off; return 200; }
        location /short { lingering_close always; lingering_timeout 1ms; return 200; }
        location /status { stub_status; }",
    );
    let finish = |target: &str, body: &str| {
        let mut connection = Connection::to(&web.address);
        let request = Request::get(target).header("Connection", "close");
        let request = if body.is_empty() { request } else { request.header("Content-Length", "1000000") };
        connection.send(request.head());
        connection.send(body);
        let answer = connection.rest();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{target}: {}", String::from_utf8_lossy(&answer));
        connection
    };
    let kept = finish("/on", "");
    wait_until("the connection is closed", || active(&web) == "Active connections: 1");
    drop(kept);
    let kept = finish("/on", "some of the body");
    assert_eq!(active(&web), "Active connections: 2", "the rest of the body is expected");
    drop(kept);
    wait_until("the client has gone", || active(&web) == "Active connections: 1");
    let kept = finish("/always", "");
    assert_eq!(active(&web), "Active connections: 2");
    drop(kept);
    wait_until("the client has gone", || active(&web) == "Active connections: 1");
    let kept = (finish("/off", ""), finish("/short", ""));
    wait_until("the time is over", || active(&web) == "Active connections: 1");
    drop(kept);
}

#[test]
fn a_client_that_goes_away_is_noticed_while_its_answer_waits() {
    let scratch = Scratch::new();
    let web = Web::start(
        &scratch,
        "location /slow { limit_rate 1; return 200 0123456789; } location /status { stub_status; }",
    );
    let mut connection = Connection::to(&web.address);
    connection.send(Request::get("/slow").octets());
    connection.more();
    assert_eq!(active(&web), "Active connections: 2");
    drop(connection);
    wait_until("the connection is closed", || active(&web) == "Active connections: 1");
}

#[test]
fn a_connection_that_is_given_up_is_reset_where_that_is_wanted() {
    let scratch = Scratch::new();
    let web = Web::start(
        &scratch,
        "location /reset { reset_timedout_connection on; return 444; } location /closed { return 444; }",
    );
    let rest = |target: &str| {
        let mut stream = TcpStream::connect(web.address.to_string()).expect("connected");
        stream.write_all(&Request::get(target).octets()).expect("sent");
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).map_err(|error| error.kind())
    };
    assert_eq!(rest("/reset"), Err(ErrorKind::ConnectionReset));
    assert_eq!(rest("/closed"), Ok(0));
}

#[test]
fn bodies_are_read_early_and_put_into_files() {
    let scratch = Scratch::new();
    let web = Web::start(
        &scratch,
        "client_body_early_read $arg_early;
        client_body_temp_path SCRATCH/bodies 1 2;
        client_max_body_size 10k;
        client_body_buffer_size 1k;
        location / { return 200 \"[$request_body] $request_body_file\"; }",
    );
    let post = |target: &str, body: &str| Request::post(target, "text/plain", body).send(&web.address);
    assert_eq!(post("/", "a body").text(), "[] ", "nobody has read it");
    assert_eq!(post("/?early=0", "a body").text(), "[] ");
    assert_eq!(post("/?early=1", "a body").text(), "[a body] ");
    assert_eq!(Request::get("/?early=1").send(&web.address).text(), "[] ");
    let large = "x".repeat(2_000);
    let text = post("/?early=1", &large).text();
    assert!(text.starts_with("[] ") && text.len() > 10, "{text}");
    assert!(!Path::new(&text[3..]).exists(), "nobody wants its name");
    assert_eq!(post("/?early=1", &"x".repeat(20_000)).status, 413);
    let chunked = Request::new("POST", "/?early=1").chunked(&[b"two ", b"chunks"]).send(&web.address);
    assert_eq!(chunked.text(), "[two chunks] ");
}

#[test]
fn every_body_may_be_kept_in_a_file() {
    let scratch = Scratch::new();
    let web = Web::start(
        &scratch,
        "client_body_early_read 1;
        client_body_temp_path SCRATCH/bodies 1 2;
        client_body_in_file_only on;
        location / { return 200 $request_body_file; }",
    );
    for body in ["small", &"large ".repeat(10_000)] {
        let text = Request::post("/", "text/plain", body).send(&web.address).text();
        let path = Path::new(&text);
        assert_eq!(std::fs::read_to_string(path).expect("kept"), body);
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let folders = format!("bodies/{}/{}/{name}", &name[9..], &name[7..9]);
        assert!(path.ends_with(&folders), "{text} ends with {folders}");
    }

    let scratch = Scratch::new();
    let web = Web::start(
        &scratch,
        "client_body_early_read 1; client_body_temp_path SCRATCH/bodies; client_body_in_file_only clean;
        location / { return 200 $request_body_file; }",
    );
    let text = Request::post("/", "text/plain", "a body").send(&web.address).text();
    assert!(text.contains("/bodies/"), "{text}");
    wait_until("the file is removed", || !Path::new(&text).exists());
}

/// A chunk that is larger than `client_max_body_size` is refused by its size: none of its data has been sent.
#[test]
fn a_chunk_that_is_too_large_is_refused_by_its_size() {
    let scratch = Scratch::new();
    let web = Web::start(
        &scratch,
        "client_max_body_size 100; location / { client_body_in_file_only on; proxy_pass http://127.0.0.1:9; }",
    );
    for (chunks, status) in [("65\r\n", 413), ("a\r\n0123456789\r\n5b\r\n", 413), ("ffffffff\r\n", 413), ("64;", 400)] {
        let mut connection = Connection::to(&web.address);
        connection.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        if status == 400 {
            connection.send("\u{1}"); // A size that fits is waited for.
        }
        assert_eq!(connection.response().status, status, "{chunks:?}");
    }
}
