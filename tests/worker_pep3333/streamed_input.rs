//! `uwsgi_request_buffering off`: bodies that are read while they arrive, by a worker of ours and by the real uWSGI.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use harness::{Address, Connection, Port, Process, Request, Site, servers, site, wait_until};

use super::Scratch;

const OFF: &str = "uwsgi_request_buffering off;\nclient_max_body_size 100m;";

/// `daemun run`, and a file in which the application notes what it read.
fn streaming(scratch: &Scratch, server: &str) -> Site {
    scratch.write("events", "");
    Site::start(scratch, &format!("{OFF}\n{server}"), "pep3333", "env = EVENTS=SCRATCH/events")
}

fn chunked_head(target: &str) -> Vec<u8> {
    Request::new("POST", target).header("Transfer-Encoding", "chunked").head()
}

#[test]
fn large_bodies_arrive_whole() {
    let scratch = Scratch::new();
    let site = streaming(&scratch, "");
    let mut connection = Connection::to(&site.address);
    for length in [10, 60_000, 1_000_000, 30_000_000] {
        let body = vec![b'x'; length];
        let announced = Request::post("/count_input", "text/plain", body.clone());
        connection.send_meanwhile(announced.octets());
        assert_eq!(connection.response().text(), format!("{length} {length}"));
        let chunked = Request::new("POST", "/count_input").chunked(&[&body[..length / 3], &body[length / 3..]]);
        connection.send_meanwhile(chunked.octets());
        // It has a length only where all of it was there before anybody asked, as may be with the smallest.
        let text = connection.response().text();
        let is_counted = text == format!("{length} ") || (length == 10 && text == "10 10");
        assert!(is_counted, "{length}: {text}");
    }
}

/// The application writes all the while it reads, more than any buffer between the two holds.
#[test]
fn answers_flow_while_the_body_does() {
    let scratch = Scratch::new();
    let site = streaming(&scratch, "");
    let body: Vec<u8> = (0..20_000_000_u32).map(|index| (index / 1000) as u8).collect();
    let mut connection = Connection::to(&site.address);
    connection.send_meanwhile(Request::post("/parrot", "text/plain", body.clone()).octets());
    assert!(connection.response().body == body);
    connection.send_meanwhile(Request::new("POST", "/parrot").chunked(&[&body]).octets());
    assert!(connection.response().body == body);
    assert_eq!(connection.exchange(Request::get("/hello").octets()).status, 200);
}

#[test]
fn a_body_cut_short_is_an_error_whether_or_not_its_length_was_known() {
    for chunked in [false, true] {
        let scratch = Scratch::new();
        let site = streaming(&scratch, "");
        let mut connection = Connection::to(&site.address);
        match chunked {
            true => connection.send([&chunked_head("/input_watched")[..], b"9\r\nonly this\r\n"].concat()),
            false => connection.send(
                [&Request::new("POST", "/input_watched").header("Content-Length", "1000").head()[..], b"only this"]
                    .concat(),
            ),
        }
        wait_until("the worker reads", || scratch.read("events").contains("begins"));
        drop(connection);
        wait_until("the application hears of it", || scratch.read("events").contains("OSError"));
        assert!(!scratch.read("events").contains("read "), "chunked: {chunked}");
        assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    }
}

#[test]
fn bad_chunks_and_large_bodies_are_refused_in_the_middle() {
    let small = "location /input_watched {
        client_max_body_size 10;
        uwsgi_pass unix:SCRATCH/site.sock;
        include /etc/nginx/uwsgi_params;
    }";
    for (server, second, status) in
        [("", "nonsense\r\n", 400), (small, "9\r\nand that \r\n", 413), ("client_body_timeout 1s;", "", 408)]
    {
        let scratch = Scratch::new();
        let site = streaming(&scratch, server);
        let mut connection = Connection::to(&site.address);
        connection.send(chunked_head("/input_watched"));
        connection.send("9\r\nonly this\r\n");
        wait_until("the worker reads", || scratch.read("events").contains("begins"));
        connection.send(second);
        assert_eq!(connection.response().status, status);
        wait_until("the application hears of it", || scratch.read("events").contains("OSError"));
        assert!(!scratch.read("events").contains("read "), "{status}");
        assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    }
}

#[test]
fn interim_answers_are_sent_when_the_body_is_asked_for() {
    let scratch = Scratch::new();
    let site = streaming(&scratch, "");
    let asking = |target: &str| Request::post(target, "text/plain", "the body").header("Expect", "100-continue");

    let mut connection = Connection::to(&site.address);
    connection.send(asking("/count_input").head());
    assert_eq!(connection.interim(), 100);
    connection.send(asking("/count_input").body());
    assert_eq!(connection.response().text(), "8 8");

    let mut connection = Connection::to(&site.address);
    connection.send(asking("/read_input/nothing").head());
    assert_eq!(connection.response().text(), "[]", "an application that does not ask gets no body");
    assert!(connection.rest().is_empty(), "whether the client sends it now, nobody knows");

    // The answer has begun when the body is asked for: no interim answer may stand within it.
    let mut connection = Connection::to(&site.address);
    connection.send(asking("/early").head());
    while !connection.more().ends_with(b"begun\n\r\n") {}
    connection.send(asking("/early").body());
    assert_eq!(connection.response().text(), "begun\n8\n");
}

#[test]
fn a_body_left_unread_does_not_disturb_the_next_request() {
    let scratch = Scratch::new();
    let site = streaming(&scratch, "");
    for length in [10, 100_000, 3_000_000] {
        let mut connection = Connection::to(&site.address);
        let body = vec![b'G'; length];
        connection.send_meanwhile(Request::post("/read_input/nothing", "text/plain", body).octets());
        assert_eq!(connection.response().text(), "[]", "{length}");
        if connection.try_send(&Request::get("/hello").octets()).is_ok()
            && let Ok(next) = connection.try_response()
        {
            assert_eq!(next.status, 200, "{length}");
        }
        assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    }
}

/// `daemun web` before the real uWSGI.
fn before_uwsgi(scratch: &Scratch) -> (Port, [Process; 2]) {
    let port = Port::reserve();
    scratch.add_application("pep3333.py");
    scratch.write("site.conf", site::conf(&port, OFF));
    scratch.write("site.ini", site::ini("pep3333", "socket = SCRATCH/site.sock"));
    let uwsgi = servers::uwsgi(scratch, "site.ini", &Address::Unix(scratch.path("site.sock")));
    let web = servers::daemun_web(scratch, "site.conf", &port.address());
    (port, [web, uwsgi])
}

#[test]
fn bodies_stream_into_uwsgi() {
    let scratch = Scratch::new();
    let (port, _processes) = before_uwsgi(&scratch);
    let mut connection = Connection::to(&port.address());
    connection.send(Request::new("POST", "/talk").header("Content-Length", "11").head());
    connection.send("hello");
    while !connection.more().windows(13).any(|window| window == b"first: hello\n") {}
    connection.send(" world");
    assert_eq!(connection.response().text(), "first: hello\nrest:  world\n");

    let body: Vec<u8> = (0..20_000_000_u32).map(|index| (index / 1000) as u8).collect();
    let mut connection = Connection::to(&port.address());
    connection.send_meanwhile(Request::post("/parrot", "text/plain", body.clone()).octets());
    assert!(connection.response().body == body);
    // The uwsgi protocol has no chunks: such a body is read before, and has a length then.
    let mut connection = Connection::to(&port.address());
    connection.send_meanwhile(Request::new("POST", "/count_input").chunked(&[&body]).octets());
    assert_eq!(connection.response().text(), "20000000 20000000");
}

/// An upstream that answers and closes before it has the body has answered.
#[test]
fn an_early_answer_of_an_upstream_counts() {
    for server in ["client_max_body_size 100m;", OFF] {
        let scratch = Scratch::new();
        let port = Port::reserve();
        scratch.write("site.conf", site::conf(&port, server));
        let listener = UnixListener::bind(scratch.path("site.sock")).expect("a free path");
        let upstream = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut octets = [0; 1000];
            stream.read_exact(&mut octets[..100]).expect("some of the packet");
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").expect("written");
        });
        let _web = servers::daemun_web(&scratch, "site.conf", &port.address());
        let mut connection = Connection::to(&port.address());
        connection.send_meanwhile(Request::post("/", "text/plain", vec![b'x'; 5_000_000]).octets());
        let response = connection.response();
        assert_eq!((response.status, response.text()), (403, "no".to_owned()));
        upstream.join().expect("the upstream has no complaint");
    }
}
