//! `memcached_pass`: values as answers.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use harness::{Address, Connection, Launch, Port, Process, Request, Scratch, Web, programs, servers};

struct Memcached {
    port: Port,
    _process: Process,
}

impl Memcached {
    fn start(scratch: &Scratch) -> Self {
        let port = Port::reserve();
        let launch = Launch::new(scratch, "memcached", programs::memcached());
        let launch = launch.args(["-u", "root", "-l", "127.0.0.1", "-U", "0", "-p"]).arg(port.number().to_string());
        let mut process = launch.start();
        process.wait_for(&port.address());
        Self { port, _process: process }
    }

    fn address(&self) -> Address {
        self.port.address()
    }

    fn set(&self, key: &str, flags: u32, value: &[u8]) {
        let mut connection = Connection::to(&self.address());
        let mut command = format!("set {key} {flags} 0 {}\r\n", value.len()).into_bytes();
        command.extend_from_slice(value);
        command.extend_from_slice(b"\r\nquit\r\n");
        connection.send(command);
        assert_eq!(connection.rest(), b"STORED\r\n", "{key}");
    }

    /// Connections it has accepted so far, this one included.
    fn connections(&self) -> u32 {
        let mut connection = Connection::to(&self.address());
        connection.send(b"stats\r\nquit\r\n");
        let text = String::from_utf8(connection.rest()).expect("ASCII");
        let line = text.lines().find_map(|line| line.strip_prefix("STAT total_connections ")).expect("a count");
        line.trim().parse().expect("a number")
    }
}

fn site(scratch: &Scratch, memcached: &Memcached, directives: &str) -> Web {
    let server = format!(
        "root SCRATCH/root; {directives}
         location / {{ set $memcached_key $uri; memcached_pass {}; }}",
        memcached.address()
    );
    Web::start(scratch, &server)
}

#[test]
fn values_are_answers() {
    let scratch = Scratch::new();
    let memcached = Memcached::start(&scratch);
    let large: Vec<u8> = (0..700_000_u32).map(|at| (at % 251) as u8).collect();
    memcached.set("/page.html", 0, b"a page\r\nEND\r\nand more");
    memcached.set("/empty", 0, b"");
    memcached.set("/large", 7, &large);
    memcached.set("/a%20b%25", 0, b"escaped");
    let web = site(&scratch, &memcached, "");
    let page = Request::get("/page.html?x").send(&web.address);
    assert_eq!((page.status, page.text().as_str()), (200, "a page\r\nEND\r\nand more"));
    assert_eq!((page.header("content-type"), page.header("content-length")), (Some("text/html"), Some("21")));
    assert_eq!(Request::get("/empty").send(&web.address).header("content-length"), Some("0"));
    assert_eq!(Request::get("/large").send(&web.address).body, large);
    assert_eq!(Request::get("/a%20b%25").send(&web.address).text(), "escaped");
    let part = Request::get("/page.html").header("Range", "bytes=2-5").send(&web.address);
    assert_eq!((part.status, part.text().as_str()), (206, "page"));
    let mut connection = Connection::to(&web.address);
    connection.send("HEAD /page.html HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.response_to_head().header("content-length"), Some("21"));
    assert_eq!(Request::post("/page.html", "text/x", "x").send(&web.address).status, 405);
}

#[test]
fn what_is_not_there_is_looked_for_elsewhere() {
    let scratch = Scratch::new();
    let memcached = Memcached::start(&scratch);
    scratch.write("root/file", "from a file");
    let web = site(&scratch, &memcached, "error_page 404 502 = @file; location @file { root SCRATCH/root; }");
    assert_eq!(Request::get("/file").send(&web.address).text(), "from a file");
    assert_eq!(Request::get("/absent").send(&web.address).status, 404);
    assert!(scratch.read("error.log").contains("key: \"/absent\" was not found by memcached"));
    let plain = site(&scratch, &memcached, "");
    assert!(Request::get("/absent").send(&plain.address).text().contains("404 Not Found"), "with a page of our own");
}

#[test]
fn compressed_values_are_known_by_their_flag() {
    let scratch = Scratch::new();
    let memcached = Memcached::start(&scratch);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"a text").expect("memory");
    let packed = encoder.finish().expect("memory");
    memcached.set("/packed", 2, &packed);
    memcached.set("/plain", 1, b"plain");
    let web = site(&scratch, &memcached, "memcached_gzip_flag 2; gunzip on;");
    let given = Request::get("/packed").header("Accept-Encoding", "gzip").send(&web.address);
    assert_eq!((given.header("content-encoding"), &given.body), (Some("gzip"), &packed));
    let unpacked = Request::get("/packed").send(&web.address);
    assert_eq!((unpacked.header("content-encoding"), unpacked.text().as_str()), (None, "a text"));
    assert_eq!(Request::get("/plain").send(&web.address).text(), "plain");
}

#[test]
fn connections_are_kept() {
    let scratch = Scratch::new();
    let memcached = Memcached::start(&scratch);
    memcached.set("/a", 0, b"value");
    let port = Port::reserve();
    let http = format!(
        "upstream cache {{ server {}; keepalive 1; }}
         server {{ listen {}; location / {{ set $memcached_key $uri; memcached_pass cache; }} }}",
        memcached.address(),
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&http));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    let before = memcached.connections();
    for path in ["/a", "/absent"].iter().cycle().take(10) {
        assert!(matches!(Request::get(path).send(&port.address()).status, 200 | 404));
    }
    assert!(memcached.connections() <= before + 2, "one for all requests, one for the count");
}

#[test]
fn what_is_no_value_is_a_502() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { set $memcached_key k; memcached_pass 127.0.0.1:1; }");
    assert_eq!(Request::get("/").send(&web.address).status, 502);
    let web = Web::start(&scratch, "set $memcached_key \"\"; location / { memcached_pass 127.0.0.1:1; }");
    assert_eq!(Request::get("/").send(&web.address).status, 500);
    assert!(scratch.read("error.log").contains("the \"$memcached_key\" variable is not set"));
}
