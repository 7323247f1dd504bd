//! `wsgi.input`, `wsgi.file_wrapper`, the streams of the application, and clients that go away.

#![allow(unsafe_code)]

mod site;

use site::{End, Plan, RequestBody, get, post};

const READER: &str = r#"
def application(environ, start_response):
    stream = environ["wsgi.input"]
    how = environ["PATH_INFO"][1:]
    if how == "all": parts = [stream.read()]
    elif how == "minus": parts = [stream.read(-1), stream.read(), stream.read(5)]
    elif how == "pieces": parts = iter(lambda: stream.read(3), b"")
    elif how == "lines": parts = stream.readlines()
    elif how == "hint": parts = stream.readlines(2)
    elif how == "iterate": parts = list(stream)
    elif how == "short": parts = [stream.readline(2), stream.readline(), stream.read(1), stream.readline(0), stream.read()]
    elif how == "count": parts = [str(len(stream.read())).encode()]
    elif how == "none": parts = []
    parts = list(parts)
    start_response("200 OK", [])
    return [b"|".join(parts)]
"#;

fn pipe(pieces: &[&[u8]], announced: bool, missing: u64) -> RequestBody {
    RequestBody::Pipe { pieces: pieces.iter().map(|piece| piece.to_vec()).collect(), announced, missing }
}

#[test]
fn the_body_is_read_in_every_way_from_every_source() {
    let body = b"ab\ncdef\n\ngh";
    let sources = [
        RequestBody::Inline(body.to_vec()),
        RequestBody::File(body.to_vec()),
        pipe(&[b"ab\nc", b"def", b"\n\n", b"gh"], true, 0),
        pipe(&[b"a", b"b\ncdef\n\ng", b"h"], false, 0),
    ];
    for (number, source) in sources.into_iter().enumerate() {
        let mut site = Plan::new(READER).start();
        for (how, expected) in [
            ("all", "ab\ncdef\n\ngh"),
            ("minus", "ab\ncdef\n\ngh||"),
            ("pieces", "ab\n|cde|f\n\n|gh"),
            ("lines", "ab\n|cdef\n|\n|gh"),
            ("hint", "ab\n"),
            ("iterate", "ab\n|cdef\n|\n|gh"),
            ("short", "ab|\n|c||def\n\ngh"),
            ("none", ""),
        ] {
            let answer = site.ask(post(&format!("/{how}"), source.clone()));
            assert_eq!(answer.text(), expected, "{how} from source {number}: {}", site.log());
        }
    }
}

#[test]
fn large_bodies_are_read_whole() {
    let body = vec![b'x'; 10_000_000];
    let mut site = Plan::new(READER).start();
    assert_eq!(site.ask(post("/count", RequestBody::File(body.clone()))).text(), "10000000");
    assert_eq!(site.ask(post("/count", pipe(&[&body], true, 0))).text(), "10000000");
    assert_eq!(site.ask(post("/count", pipe(&[&body], false, 0))).text(), "10000000");
}

#[test]
fn a_body_that_breaks_off_is_an_error_to_the_application() {
    let mut site = Plan::new(READER).start();
    for announced in [true, false] {
        let before = site.log().len();
        let answer = site.ask(post("/all", pipe(&[b"abc"], announced, 5)));
        assert_eq!(answer.status, 500, "announced: {announced}");
        assert!(site.log()[before..].contains("the client broke off its request body"), "{}", site.log());
    }
    assert_eq!(site.ask(get("/all")).status, 200);
}

#[test]
fn files_go_by_descriptor_and_other_things_by_reading() {
    let source = r#"
import gzip, io, tempfile
file = tempfile.NamedTemporaryFile(); file.write(b"0123456789"); file.flush()
packed = tempfile.NamedTemporaryFile()
with gzip.open(packed.name, "wb") as out: out.write(b"unpacked")
class Logged(io.BytesIO):
    def close(self): print("closed"); super().close()
def application(environ, start_response):
    how = environ["PATH_INFO"][1:]
    headers = [("Content-Length", "3")] if how == "part" else [("Content-Length", "99")] if how == "short" else []
    opened = {"memory": lambda: Logged(b"memory"), "gzip": lambda: gzip.open(packed.name), "text": lambda: open(__file__)}
    handle = opened.get(how, lambda: open(file.name, "rb"))()
    if how == "offset": assert handle.read(2) == b"01"
    if how == "raw": handle = handle.detach()
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](handle, 4)
"#;
    let mut site = Plan::new(source).start();
    for (path, text, from_file) in [
        ("/whole", "0123456789", 10),
        ("/raw", "0123456789", 10),
        ("/offset", "23456789", 8),
        ("/part", "012", 3),
        ("/memory", "memory", 0),
        ("/gzip", "unpacked", 0),
    ] {
        let answer = site.ask(get(path));
        assert_eq!(
            (answer.text().as_str(), answer.from_file, answer.end),
            (text, from_file, Some(End::Complete)),
            "{path}: {}",
            site.log()
        );
    }
    assert_eq!(site.ask(get("/short")).end, Some(End::Failed));
    assert_eq!(site.ask(get("/text")).status, 500, "str is no body");
    assert_eq!(site.ask(site::Request::new("HEAD", "/whole")).body, b"");
    assert!(site.log().contains("stdout: closed"), "{}", site.log());
}

#[test]
fn what_the_application_prints_is_in_the_log_with_the_request() {
    let source = r#"
import sys, logging
print("while loading")
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
def application(environ, start_response):
    print("one", end="")
    print(" line\nno end", end="")
    sys.stdout.buffer.write(b"\xff raw\n")
    print("caf\u00e9", file=environ["wsgi.errors"])
    environ["wsgi.errors"].writelines(["a", "b"])
    logging.info("logged")
    start_response("200 OK", [])
    return [b""]
"#;
    let mut site = Plan::new(source).start();
    let mut request = get("/");
    request.id = 4711;
    site.ask(request);
    site.wait_for("lines", |site| site.log().contains("logged"));
    site.ask(get("/"));
    let log = String::from_utf8_lossy(&std::fs::read(site.child_log()).expect("a log")).into_owned();
    let pid = site.born[0].1;
    for line in [
        format!("[app] {}#0: stdout: while loading\n", site.child.id()),
        format!("[app] {pid}#0: *4711 stdout: one line\n"),
        format!("[app] {pid}#0: *4711 stdout: no end\u{fffd} raw\n"),
        format!("[app] {pid}#0: *4711 stderr: caf\u{e9}\n"),
        format!("[app] {pid}#0: *4711 stderr: abINFO:root:logged\n"),
        format!("[app] {pid}#0: *17 stdout: one line\n"),
    ] {
        assert!(log.contains(&line), "{line:?}: {log}");
    }
    let first = log.lines().next().unwrap_or_default().as_bytes();
    assert!(first[4] == b'/' && first[7] == b'/' && first[13] == b':', "{log}");
}

#[test]
fn a_client_that_goes_away_ends_the_application_without_noise() {
    let source = r#"
def application(environ, start_response):
    write = start_response("200 OK", [])
    if environ["PATH_INFO"] == "/write":
        try:
            while True: write(b"x" * 100_000)
        except OSError as error:
            print("write:", error)
            return []
    if environ["PATH_INFO"] == "/fine": return [b"fine"]
    def forever():
        try:
            while True: yield b"x" * 100_000
        finally:
            print("generator closed")
    return forever()
"#;
    let mut site = Plan::new(source).start();
    for (path, line) in [("/stream", "generator closed"), ("/write", "write: the client is gone")] {
        let ticket = site.submit(get(path));
        site.wait_for("body", |site| site.answer(ticket).is_some_and(|answer| !answer.body.is_empty()));
        site.edge.abort(ticket);
        site.forget(ticket);
        site.wait_for(line, |site| site.log().contains(line));
    }
    assert_eq!(site.ask(get("/fine")).text(), "fine");
    assert!(!site.log().contains("[error]"), "{}", site.log());
}

#[test]
fn threads_run_requests_side_by_side() {
    let source = r#"
import threading, time
together = threading.Barrier(4, timeout=10)
def application(environ, start_response):
    together.wait()
    print("in", threading.current_thread().name)
    start_response("200 OK", [])
    return [str(environ["wsgi.multithread"]).encode()]
"#;
    let mut site = Plan::new(source).threads(4).start();
    for _ in 0..3 {
        let tickets: Vec<_> = (0..4).map(|_| site.submit(get("/"))).collect();
        for ticket in tickets {
            site.wait_for("answer", |site| site.answer(ticket).is_some_and(|answer| answer.end.is_some()));
            assert_eq!(site.take(ticket).text(), "True");
        }
    }
    assert!(site.log().contains("in daemun-thread-3"), "{}", site.log());
}
