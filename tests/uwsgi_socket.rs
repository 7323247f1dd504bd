//! The socket of an application speaks the uwsgi protocol to anybody, whoever runs in front of it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use harness::uwsgi_packet::{get_variables, packet};
use harness::{Address, Connection, Port, Response, Scratch, Site, servers, site};

#[test]
fn requests_are_answered() {
    let scratch = Scratch::new();
    let _site = Site::start(&scratch, "", "pep3333", "");
    let address = Address::Unix(scratch.path("site.sock"));
    let response = ask(&address, &packet(&get_variables("/hello", "x=1"), b""));
    assert_eq!((response.status, response.version.as_str()), (200, "HTTP/1.1"));
    assert!(response.text().starts_with("hello from "));

    let body = "first line\nlast";
    let response = ask(&address, &packet(&post_variables("/read_input/readlines", body.len()), body.as_bytes()));
    assert_eq!(response.text(), r#"["first line\n", "last"]"#);
}

#[test]
fn variables_are_the_environ() {
    let scratch = Scratch::new();
    let _site = Site::start(&scratch, "", "pep3333", "");
    let mut variables = get_variables("/environ_facts/x", "q=1");
    variables.extend([("HTTPS", "on"), ("REMOTE_USER", "somebody"), ("HTTP_X_OWN", "1"), ("OWN_VARIABLE", "own")]);
    // nginx sends these beside CONTENT_TYPE and CONTENT_LENGTH; PEP 3333 has no such names.
    variables.extend([("HTTP_CONTENT_TYPE", "text/plain"), ("HTTP_CONTENT_LENGTH", "0")]);
    // And this of a client's `Proxy` header, which programs would take for their own proxy's address.
    variables.push(("HTTP_PROXY", "192.0.2.66:80"));
    let response = ask(&Address::Unix(scratch.path("site.sock")), &packet(&variables, b""));
    let facts: serde_json::Value = serde_json::from_slice(&response.body).expect("the page is JSON");
    for (name, expected) in [
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "4711"),
        ("SERVER_NAME", "example.test"),
        ("QUERY_STRING", "q=1"),
        ("REMOTE_USER", "somebody"),
        ("HTTP_X_OWN", "1"),
        ("OWN_VARIABLE", "own"),
        ("HTTPS", "on"),
        ("wsgi.url_scheme", "https"),
    ] {
        assert_eq!(facts["strings"][name], expected, "{name}");
    }
    assert_eq!(facts["strings"]["HTTP_CONTENT_TYPE"], serde_json::Value::Null);
    assert_eq!(facts["strings"]["HTTP_CONTENT_LENGTH"], serde_json::Value::Null);
    assert_eq!(facts["strings"]["HTTP_PROXY"], serde_json::Value::Null);
}

#[test]
fn the_mode_is_the_one_asked_for() {
    for (option, mode) in [("chmod-socket = 666", 0o666), ("chmod-socket = 660", 0o660), ("chmod-socket = 1", 0o666)] {
        let scratch = Scratch::new();
        scratch.add_application("pep3333.py");
        scratch.write("app.ini", site::ini("pep3333", &format!("socket = SCRATCH/app.sock\n{option}")));
        let path = scratch.path("app.sock");
        let _application = servers::daemun_app(&scratch, "app.ini", &Address::Unix(path.clone()));
        let metadata = fs::symlink_metadata(&path).expect("the socket is there");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{option}");
    }
}

#[test]
fn tcp_sockets_speak_it_too() {
    let scratch = Scratch::new();
    scratch.add_application("pep3333.py");
    let (uwsgi, http) = (Port::reserve(), Port::reserve());
    let options = format!("socket = {}\nhttp-socket = {}\nsocket = SCRATCH/app.sock", uwsgi.address(), http.address());
    scratch.write("app.ini", site::ini("pep3333", &options));
    let _application = servers::daemun_app(&scratch, "app.ini", &uwsgi.address());
    assert_eq!(ask(&uwsgi.address(), &packet(&get_variables("/hello", ""), b"")).status, 200);
    assert_eq!(ask(&Address::Unix(scratch.path("app.sock")), &packet(&get_variables("/hello", ""), b"")).status, 200);
    assert_eq!(harness::Request::get("/hello").send(&http.address()).status, 200);
}

/// Sixteen bits of size: the whole of it is taken, where uWSGI stops at 4,096 unless told otherwise.
#[test]
fn large_blocks_are_taken() {
    let scratch = Scratch::new();
    let _site = Site::start(&scratch, "", "pep3333", "");
    let address = Address::Unix(scratch.path("site.sock"));
    let cookie = "c".repeat(15_000);
    let names = ["HTTP_X_ONE", "HTTP_X_TWO", "HTTP_X_THREE", "HTTP_X_FOUR"];
    let mut variables = get_variables("/hello", "");
    variables.extend(names.iter().map(|&name| (name, cookie.as_str())));
    assert_eq!(ask(&address, &packet(&variables, b"")).status, 200);
}

#[test]
fn nonsense_is_cut_off() {
    let scratch = Scratch::new();
    let _site = Site::start(&scratch, "", "pep3333", "");
    let address = Address::Unix(scratch.path("site.sock"));
    let good = packet(&get_variables("/hello", ""), b"");
    let beyond = [0, 4, 0, 0, 0xff, 0xff, b'a', b'b'];
    let half = good.get(..good.len() - 3).expect("the packet is longer");
    for (name, octets) in [
        ("HTTP on a uwsgi socket", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice()),
        ("a name beyond the block", beyond.as_slice()),
        ("half a packet", half),
        ("an empty block", &[0, 0, 0, 0]),
    ] {
        let mut connection = Connection::to(&address);
        connection.send(octets);
        connection.finish_sending();
        let rest = connection.rest();
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{name} was answered");
        assert_eq!(ask(&address, &good).status, 200, "after {name}");
    }
}

/// A peer that takes its time holds a connection, not a worker.
#[test]
fn slow_packets_do_not_hold_a_worker() {
    let scratch = Scratch::new();
    let _site = Site::start(&scratch, "", "pep3333", "processes = 1");
    let address = Address::Unix(scratch.path("site.sock"));
    let good = packet(&get_variables("/hello", ""), b"");
    let (start, end) = good.split_at(40);
    let mut slow: Vec<Connection> = (0..20).map(|_| Connection::to(&address)).collect();
    slow.iter_mut().for_each(|connection| connection.send(start));
    for _ in 0..20 {
        assert_eq!(ask(&address, &good).status, 200);
    }
    for mut connection in slow {
        connection.send(end);
        assert_eq!(connection.response().status, 200);
    }
}

fn post_variables(path: &str, length: usize) -> Vec<(&str, &str)> {
    let mut variables = get_variables(path, "");
    variables.retain(|(name, _)| !matches!(*name, "REQUEST_METHOD" | "CONTENT_LENGTH" | "CONTENT_TYPE"));
    let text: &'static str = Box::leak(length.to_string().into_boxed_str());
    variables.extend([("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", text), ("CONTENT_TYPE", "text/plain")]);
    variables
}

#[track_caller]
fn ask(address: &Address, octets: &[u8]) -> Response {
    Connection::to(address).exchange(octets)
}
