//! Bodies in both directions: read ahead or not, kept as files, cut in parts, and given up when the client goes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use harness::{Backend, Connection, Port, Request, Scratch, Web, wait_until};

/// More than all sockets on the way hold.
const LARGE: usize = 24 * 1024 * 1024;

/// A server that a slow client does not hold up: its answer is read ahead, into memory and then a file.
#[test]
fn a_slow_client_holds_up_no_server_whose_answer_is_buffered() {
    let scratch = Scratch::new();
    let (address, _port, done) = large_answer("");
    let web = Web::start(&scratch, &format!("location / {{ proxy_pass http://{address}; }}"));
    let mut client = Connection::to(&web.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    done.recv().expect("all of it was taken before the client read anything");
    let answer = client.rest();
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(answer.len() - head, LARGE);
}

/// Without buffering, by the configuration or by the answer's own word, the server waits for the client.
#[test]
fn a_server_whose_answer_is_not_buffered_waits_for_the_client() {
    for (settings, field) in
        [("proxy_buffering off;", ""), ("", "X-Accel-Buffering: no\r\n"), ("proxy_max_temp_file_size 0;", "")]
    {
        let scratch = Scratch::new();
        let (address, _port, done) = large_answer(field);
        let web = Web::start(&scratch, &format!("location / {{ proxy_pass http://{address}; {settings} }}"));
        let mut client = Connection::to(&web.address);
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(!client.more().is_empty());
        assert!(done.try_recv().is_err(), "{settings}{field}: the answer was taken without the client");
        let length = client.rest().len();
        assert!(length > LARGE, "{settings}{field}: {length}");
        done.recv().expect("then all of it is taken");
    }
}

/// Each piece of an answer reaches the client when it has come, not when there is more.
#[test]
fn events_are_passed_one_by_one() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let listener = TcpListener::bind(port.address().to_string()).expect("the port is free");
    let (next, nexts) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let mut stream = accept(&listener);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").expect("a head");
        for number in 0..3 {
            nexts.recv().expect("the client has the one before");
            stream.write_all(format!("data: {number}\n\n").as_bytes()).expect("an event");
        }
    });
    let web = Web::start(&scratch, &format!("location / {{ proxy_pass http://{}; }}", port.address()));
    let mut client = Connection::to(&web.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for number in 0..3 {
        next.send(()).expect("the server waits");
        let event = format!("data: {number}\n\n\r\n");
        while !String::from_utf8_lossy(client.more()).contains(&event) {}
    }
    server.join().expect("all events are sent");
}

/// A client that goes takes its request along, unless the configuration says otherwise.
#[test]
fn a_client_that_goes_ends_its_request() {
    for (settings, ends) in [("", true), ("proxy_ignore_client_abort on;", false)] {
        let scratch = Scratch::new();
        let port = Port::reserve();
        let listener = TcpListener::bind(port.address().to_string()).expect("the port is free");
        let (began, begins) = mpsc::channel();
        let (goes_on, may_go_on) = mpsc::channel::<()>();
        let server = thread::spawn(move || {
            let mut stream = accept(&listener);
            began.send(()).expect("the test waits");
            if ends {
                return stream.read(&mut [0; 16]).map(|count| count == 0).unwrap_or(true);
            }
            may_go_on.recv().expect("the client is gone");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_ok()
        });
        let pass = format!("location / {{ proxy_pass http://{}; {settings} }}", port.address());
        let web = Web::start(&scratch, &pass);
        let mut client = Connection::to(&web.address);
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        begins.recv().expect("the request is with the server");
        drop(client);
        if !ends {
            // The other end has gone when its next request is served.
            let _ = goes_on.send(());
        }
        assert!(server.join().expect("the server is done"), "{settings}");
        let status = if ends { " 499 " } else { " 200 " };
        wait_until("the request is logged", || scratch.read("access.log").contains(status));
    }
}

/// `proxy_store`: the file has body, time and permissions; a client that goes is no reason not to keep it.
#[test]
fn answers_are_kept_as_files() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let backend = Backend::answering(|_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nLast-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\n\r\nwell".to_owned()
    });
    let pass = format!(
        "root {root}; proxy_store on; proxy_store_access user:rw group:r all:r;
        location / {{ proxy_pass http://{address}; }}
        location /named {{ proxy_pass http://{address}; proxy_store {root}/other$uri.txt; }}",
        root = scratch.make_folder("root").display(),
        address = backend.address()
    );
    let web = Web::start(&scratch, &pass);
    for (target, file) in [("/deep/file", "root/deep/file"), ("/named", "root/other/named.txt")] {
        assert_eq!(Request::get(target).send(&web.address).text(), "well");
        wait_until("the file is in its place", || scratch.path(file).exists());
        let metadata = scratch.path(file).metadata().expect("it is there");
        assert_eq!(scratch.read(file), "well");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o644);
        let modified = metadata.modified().expect("a time").duration_since(std::time::UNIX_EPOCH).expect("later");
        assert_eq!(modified.as_secs(), 1_767_607_200);
    }
}

/// `proxy_force_ranges`: a part is cut out of what comes, be it in one piece or in many.
#[test]
fn parts_are_cut_out_of_answers() {
    let scratch = Scratch::new();
    let body: String = (0..40_000).map(|number| format!("{:05}\n", number % 100_000)).collect();
    let whole = body.clone();
    let backend = Backend::answering(move |head| {
        let body = if head.starts_with("GET /short") { "0123456789" } else { &body };
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"a\"\r\n\r\n{body}", body.len())
    });
    let pass = format!("location / {{ proxy_pass http://{}; proxy_force_ranges on; }}", backend.address());
    let web = Web::start(&scratch, &pass);
    let part = |target: &str, range: &str| {
        let response = Request::get(target).header("Range", range).send(&web.address);
        (response.status, response.header("content-range").map(str::to_owned), response.text())
    };
    let expected = |start: usize, end: usize, text: &str| {
        (206, Some(format!("bytes {start}-{end}/{}", text.len())), text[start..=end].to_owned())
    };
    assert_eq!(part("/short", "bytes=2-4"), expected(2, 4, "0123456789"));
    assert_eq!(part("/long", "bytes=100000-200009"), expected(100_000, 200_009, &whole));
    assert_eq!(part("/long", "bytes=-7"), expected(239_993, 239_999, &whole));
    assert_eq!(part("/long", "bytes=240000-").0, 416);
    assert_eq!(part("/long", "bytes=0-1,5-6").0, 200, "a stream is gone through once");
}

/// A server that sends [`LARGE`] octets, with `field` in its head, and says when the last of them has been taken.
fn large_answer(field: &'static str) -> (String, Port, Receiver<()>) {
    let port = Port::reserve();
    let address = port.address().to_string();
    let listener = TcpListener::bind(&address).expect("the port is free");
    let (done, is_done) = mpsc::channel();
    let _serving: JoinHandle<()> = thread::spawn(move || {
        let mut stream = accept(&listener);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n{field}\r\n");
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![b'x'; LARGE])).is_ok() {
            let _ = done.send(());
        }
        let _ = stream.read(&mut [0; 16]);
    });
    (address, port, is_done)
}

/// A connection whose request's head has been read.
fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().expect("a request");
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).expect("more of its head");
        assert!(count > 0, "the request ended early");
        head.extend_from_slice(&buffer[..count]);
    }
    stream
}
