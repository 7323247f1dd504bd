//! Many clients that are slow on purpose: each costs a bounded amount of memory and its time-out, and the others are served.

use std::io::{Read, Write};
use std::net::TcpStream;

use harness::process::resident_kb;
use harness::{Address, Backend, Connection, LIMIT, Request, Scratch, Web, wait_until};
use rustix::net::{self, AddressFamily, SocketType};

/// Slow clients of each kind.
const CLIENTS: usize = 300;

/// What one of them may cost while it waits, kernel memory aside, in kilobytes. The edge of a debug build needs more than half of it
/// for a connection with a task.
const CLIENT_KB_MAX: u64 = 64;

/// Octets of the files that slow readers ask for: more than sockets hold.
const LARGE: usize = 8 * 1024 * 1024;

const SERVER: &str = "
    root SCRATCH/root;
    client_header_timeout 2s;
    client_body_timeout 2s;
    send_timeout 2s;
    reset_timedout_connection on;
    location /upload { proxy_pass http://127.0.0.1:9; }
    location /passed { proxy_pass http://OTHER; proxy_max_temp_file_size 0; }";

/// A server that all are slow with, and its edge's memory before.
struct Attacked {
    web: Web,
    scratch: Scratch,
    before_kb: u64,
    _other: Backend,
}

impl Attacked {
    fn start() -> Self {
        let scratch = Scratch::new();
        scratch.write("root/small.txt", "small");
        scratch.write("root/large.bin", vec![b'x'; LARGE]);
        let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n{}", "x".repeat(LARGE));
        let other = Backend::answering(move |_| large.clone());
        let web = Web::start(&scratch, &SERVER.replace("OTHER", &other.address()));
        // What is allocated once is there before.
        for _ in 0..50 {
            assert_eq!(Request::get("/small.txt").send(&web.address).status, 200);
        }
        let before_kb = edge_kb(&web);
        Self { web, scratch, before_kb, _other: other }
    }

    /// Connections that have each sent `octets`.
    fn clients(&self, octets: &str) -> Vec<Connection> {
        (0..CLIENTS)
            .map(|_| {
                let mut connection = Connection::to(&self.web.address);
                connection.send(octets);
                connection
            })
            .collect()
    }

    /// The others are served meanwhile, and nobody has cost too much.
    #[track_caller]
    fn assert_unharmed(&self) {
        for _ in 0..20 {
            assert_eq!(Request::get("/small.txt").send(&self.web.address).text(), "small");
        }
        let grown_kb = edge_kb(&self.web).saturating_sub(self.before_kb);
        assert!(grown_kb < CLIENT_KB_MAX * CLIENTS as u64, "{CLIENTS} slow clients cost {grown_kb} KB");
    }

    fn log_lines(&self, text: &str) -> usize {
        self.scratch.read("error.log").lines().filter(|line| line.contains(text)).count()
    }
}

/// Resident memory of the edge.
fn edge_kb(web: &Web) -> u64 {
    resident_kb(web.process.children().first().expect("an edge").pid)
}

/// As nginx: whoever sends no whole head gets no answer.
#[test]
fn slow_heads_end_by_client_header_timeout() {
    let attacked = Attacked::start();
    let clients = attacked.clients("GET /small.txt HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    attacked.assert_unharmed();
    for mut client in clients {
        let _ = client.try_send(b"x"); // The time is the whole head's: an octet now and then does not prolong it.
        assert_eq!(client.rest(), b"");
    }
    wait_until("all are logged", || attacked.log_lines("client timed out while its request head was read") == CLIENTS);
    attacked.assert_unharmed();
}

#[test]
fn slow_bodies_get_a_408_by_client_body_timeout() {
    let attacked = Attacked::start();
    for framing in ["Content-Length: 100000\r\n\r\n0123456789", "Transfer-Encoding: chunked\r\n\r\n3e8\r\n0123456789"] {
        let clients = attacked.clients(&format!("POST /upload HTTP/1.1\r\nHost: a\r\n{framing}"));
        attacked.assert_unharmed();
        for mut client in clients {
            let answer = client.response();
            assert_eq!((answer.status, answer.header("Connection")), (408, Some("close")));
            assert_eq!(client.rest(), b"");
        }
    }
    assert_eq!(attacked.log_lines("client timed out while its request body was read"), 2 * CLIENTS);
}

/// Clients that ask for much and read nothing: what their sockets hold has been sent, and send_timeout ends them.
#[test]
fn slow_readers_end_by_send_timeout() {
    // What another server answers is read ahead of them, as far as its buffers go.
    for (target, count) in [("/large.bin", CLIENTS), ("/passed", CLIENTS / 10)] {
        let attacked = Attacked::start();
        // Several requests at once: the second is not looked at before the first is answered.
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(3);
        let clients: Vec<_> = (0..count).map(|_| small_window(&attacked.web.address, &request)).collect();
        attacked.assert_unharmed();
        wait_until("all have been given up", || attacked.log_lines("sending to client failed: timed out") == count);
        for mut client in clients {
            let mut octets = Vec::new();
            client.read_to_end(&mut octets).expect_err("the connection is reset");
            assert!(octets.len() < LARGE, "it did not get the whole file");
        }
    }
}

/// A client whose socket takes a few kilobytes.
fn small_window(address: &Address, request: &str) -> TcpStream {
    let Address::Tcp(address) = address else { panic!("TCP") };
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    net::sockopt::set_socket_recv_buffer_size(&socket, 4096).expect("a small buffer");
    net::connect(&socket, address).expect("it listens");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("the request is small");
    stream
}

/// A thousand ranges of one file cost no more than the file.
#[test]
fn many_ranges_are_one_file() {
    let attacked = Attacked::start();
    let ranges: Vec<_> = (1..1_300).map(|end| format!("5-{end}")).collect();
    let request = Request::get("/large.bin").header("Range", &format!("bytes=0-,{}", ranges.join(",")));
    let octets = request.octets();
    let text = String::from_utf8_lossy(&octets).into_owned();
    let clients = attacked.clients(&text.replace("GET", "HEAD"));
    for mut client in clients {
        let answer = client.response_to_head();
        assert_eq!((answer.status, answer.header("Content-Length")), (200, Some("8388608")));
    }
    attacked.assert_unharmed();
}
