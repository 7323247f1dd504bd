//! What an application is told of a request, and what becomes of its answer.

#![allow(unsafe_code)]

mod site;

use site::{Answer, End, Plan, Request, RequestBody, get, post};

/// Runs one application on one request.
fn ask(source: &str, request: Request) -> (Answer, String) {
    let mut site = Plan::new(source).start();
    let answer = site.ask(request);
    // A second one finds the worker as it should be.
    let again = site.ask(get("/again").with("HTTP_X_AGAIN", "1"));
    assert_ne!(again.end, Some(End::Lost), "{}", site.log());
    (answer, site.log())
}

const HELLO: &str = r#"
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Path", environ["PATH_INFO"])])
    return [b"hello"]
"#;

#[test]
fn a_request_is_answered_on_every_interpreter() {
    for python in site::pythons() {
        let mut site = Plan { python: python.clone(), ..Plan::new(HELLO) }.start();
        for _ in 0..3 {
            let answer = site.ask(get("/a"));
            assert_eq!((answer.status, answer.reason.as_str(), answer.text().as_str()), (200, "OK", "hello"));
            assert_eq!(answer.header("X-Path"), Some("/a"), "{python:?}");
            assert_eq!(answer.end, Some(End::Complete));
        }
        // SAFETY: a signal to our own child.
        unsafe { libc::kill(site.child.id() as i32, libc::SIGTERM) };
        assert!(site.wait_for_end().success(), "{python:?}: {}", site.log());
        assert!(site.log().is_empty(), "{python:?}: {}", site.log());
    }
}

#[test]
fn environ_is_what_pep_3333_says() {
    let source = r#"
import sys
def application(environ, start_response):
    keys = ["REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_X_FOO", "HTTP_HOST", "wsgi.version",
            "wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated", "HTTPS"]
    text = "|".join(repr(environ.get(key)) for key in keys)
    assert type(environ) is dict
    assert environ["wsgi.input"].read() == b""
    start_response("200 OK", [])
    environ.clear()
    return [text.encode()]
"#;
    let request =
        get("/caf\u{e9}?a=%20").with("PATH_INFO", b"/caf\xc3\xa9").with("HTTP_X_FOO", b"\xff").with("HTTPS", "on");
    let (answer, log) = ask(source, request);
    let expected = "'GET'|''|'/cafÃ©'|'a=%20'|'ÿ'|'site.example'|(1, 0)|'https'|False|False|False|True|'on'";
    assert_eq!(answer.text(), expected, "{log}");
}

#[test]
fn the_validator_of_the_standard_library_has_no_complaint() {
    let source = r#"
from wsgiref.validate import validator
@validator
def application(environ, start_response):
    data = environ["wsgi.input"].read(5) + environ["wsgi.input"].readline()
    environ["wsgi.errors"].write("noted\n")
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    return [data]
"#;
    let (answer, log) = ask(source, post("/", RequestBody::Inline(b"helloworld".to_vec())));
    assert_eq!(answer.text(), "helloworld", "{log}");
    assert!(!log.contains("Traceback\n") && log.contains("*17 stderr: noted"), "{log}");
}

#[test]
fn bodies_of_every_form_arrive() {
    for (name, body) in [
        ("tuple", "return (b'he', b'', b'llo')"),
        ("generator", "return (part for part in [b'', b'he', b'llo'])"),
        ("iterator class", "return iter([b'hello'])"),
        ("write", "write(b'he'); write(b'l'); return [b'lo']"),
        ("bytes subclass", "return [type('B', (bytes,), {})(b'hello')]"),
    ] {
        let source = format!(
            "def application(environ, start_response):\n    write = start_response('200 OK', [])\n    {body}\n"
        );
        let (answer, log) = ask(&source, get("/"));
        assert_eq!((answer.text().as_str(), answer.end), ("hello", Some(End::Complete)), "{name}: {log}");
    }
}

#[test]
fn each_chunk_of_unknown_length_goes_at_once() {
    let source = r#"
import time
def application(environ, start_response):
    start_response("200 OK", [])
    for number in range(3):
        yield b"chunk%d" % number
        time.sleep(0.05)
"#;
    let (answer, log) = ask(source, get("/"));
    assert_eq!(answer.arrivals, [6, 6, 6], "{log}");
}

#[test]
fn a_large_body_flows() {
    let source = r#"
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", str(3_000_000))])
    if environ["PATH_INFO"] == "/list":
        return [b"x" * 3_000_000]
    return (b"y" * 30_000 for _ in range(100))
"#;
    let mut site = Plan::new(source).start();
    for path in ["/list", "/generator"] {
        let answer = site.ask(get(path));
        assert_eq!((answer.body.len(), answer.end), (3_000_000, Some(End::Complete)), "{}", site.log());
    }
    assert_eq!(site.pool.chunks_in_use(), 0);
}

#[test]
fn the_body_is_as_long_as_its_content_length() {
    let with = |length: &str, body: &str| {
        format!(
            "def application(environ, start_response):\n    start_response('200 OK', [('Content-Length', '{length}')])\n    return {body}\n"
        )
    };
    for body in ["[b'hello world']", "iter([b'hel', b'lo wor', b'ld'])"] {
        let (answer, log) = ask(&with("5", body), get("/"));
        assert_eq!((answer.text().as_str(), answer.end), ("hello", Some(End::Complete)), "{log}");
        let (answer, log) = ask(&with("50", body), get("/"));
        assert_eq!(answer.end, Some(End::Failed));
        assert!(log.contains("*17 response body is shorter than its Content-Length"), "{log}");
    }
    let (answer, log) = ask(&with("five", "[b'']"), get("/"));
    assert_eq!(answer.status, 500);
    assert!(log.contains("invalid Content-Length"), "{log}");
}

#[test]
fn head_and_304_have_no_body() {
    let source = r#"
def application(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "), [("Content-Length", "5")])
    return iter([b"hello"]) if environ["PATH_INFO"] == "/iter" else [b"hello"]
"#;
    for request in [
        Request::new("HEAD", "/?200+OK"),
        Request::new("HEAD", "/iter?200+OK"),
        get("/?304+Not Modified"),
        get("/iter?204+No Content"),
    ] {
        let (answer, log) = ask(source, request);
        assert_eq!((answer.body.len(), answer.end), (0, Some(End::Complete)), "{log}");
        assert_eq!(answer.header("content-length"), Some("5"));
    }
}

#[test]
fn heads_that_pep_3333_forbids_are_refused() {
    for (call, complaint) in [
        ("start_response(200, [])", "status must be a string, not int"),
        ("start_response(b'200 OK', [])", "status must be a string, not bytes"),
        ("start_response('OK', [])", "is not of the form"),
        ("start_response('2000 OK', [])", "is not of the form"),
        ("start_response('101 Switching', [])", "is not a final status"),
        ("start_response('200 O\\nK', [])", "is not of the form"),
        ("start_response('200 OK', ())", "response headers must be a list, not tuple"),
        ("start_response('200 OK', [('a', 1)])", "must be a tuple of two strings"),
        ("start_response('200 OK', [['a', 'b']])", "must be a tuple of two strings, not list"),
        ("start_response('200 OK', [('a', 'b', 'c')])", "must be a tuple of two strings"),
        ("start_response('200 OK', [('a b', 'c')])", "invalid header name"),
        ("start_response('200 OK', [('', 'c')])", "invalid header name"),
        ("start_response('200 OK', [('a', 'b\\r\\nX: y')])", "control character in the value of header"),
        ("start_response('200 OK', [('a', '\\u20ac')])", "latin-1"),
        ("start_response('200 OK', [('a', '\\ud800')])", "latin-1"),
        ("start_response('200 OK', [('Connection', 'close')])", "hop-by-hop"),
        ("start_response('200 OK', [('Content-Length', '1'), ('content-length', '2')])", "invalid Content-Length"),
        ("start_response('200 OK', []); start_response('200 OK', [])", "called a second time"),
        ("start_response()", "missing"),
        ("pass", "has not called start_response"),
    ] {
        let source = format!("def application(environ, start_response):\n    {call}\n    return [b'x']\n");
        let (answer, log) = ask(&source, get("/"));
        assert_eq!((answer.status, answer.text().as_str()), (500, "Internal Server Error"), "{call}: {log}");
        assert!(log.contains(complaint), "{call}: {log}");
    }
}

#[test]
fn latin_1_headers_arrive_as_octets() {
    let source = "def application(environ, start_response):\n    start_response('200 \\xe9t\\xe9', [('X', 'caf\\xe9')])\n    return []\n";
    let (answer, log) = ask(source, get("/"));
    assert_eq!(
        (answer.status, answer.reason.as_str(), answer.header("x")),
        (200, "\u{fffd}t\u{fffd}", Some("caf\u{fffd}")),
        "{log}"
    );
}

#[test]
fn exc_info_replaces_a_head_that_has_not_gone_and_raises_otherwise() {
    let source = r#"
import sys
def application(environ, start_response):
    start_response("200 OK", [("X", "1")])
    if environ["PATH_INFO"] == "/late":
        yield b"gone"
    try:
        raise KeyError("inner")
    except KeyError:
        start_response("503 Later", [("X", "2")], sys.exc_info())
    yield b"body"
"#;
    let (answer, log) = ask(source, get("/"));
    assert_eq!((answer.status, answer.header("x"), answer.text().as_str()), (503, Some("2"), "body"), "{log}");
    let (answer, log) = ask(source, get("/late"));
    assert_eq!((answer.status, answer.text().as_str(), answer.end), (200, "gone", Some(End::Failed)));
    assert!(log.contains("KeyError: 'inner'"), "{log}");
}

#[test]
fn whatever_an_application_does_the_worker_lives() {
    let source = r#"
import sys
class Bad:
    def __init__(self, what): self.what = what
    def __iter__(self):
        if self.what == "iter": raise RuntimeError("iter")
        return self
    def __next__(self):
        raise RuntimeError("next")
    def close(self):
        raise RuntimeError("close")
class Unprintable(Exception):
    def __str__(self): raise ValueError("no text")
def deep(n): return deep(n + 1)
kept = []
def application(environ, start_response):
    what = environ["PATH_INFO"][1:]
    kept.append((environ, start_response, environ["wsgi.input"]))
    if what == "exit": sys.exit(3)
    if what == "interrupt": raise KeyboardInterrupt
    if what == "unprintable": raise Unprintable()
    if what == "deep": deep(0)
    if what == "none": return None
    if what == "int": return 5
    write = start_response("200 OK", [])
    kept.append(write)
    if what == "iter" or what == "next": return Bad(what)
    if what == "str": return ["text"]
    if what == "bytes": return b"ab"
    if what == "self": return start_response
    if what == "input": return environ["wsgi.input"]
    if what == "late":
        failures = []
        for call in [lambda: kept[0][1]("200 OK", []), lambda: kept[1](b"x"), lambda: kept[0][2].read()]:
            try: call()
            except Exception as error: failures.append(type(error).__name__)
            else: failures.append("-")
        return [" ".join(failures).encode()]
    write("text")
"#;
    let mut site = Plan::new(source).start();
    let mut ask = |path: &str| site.ask(get(path));
    assert_eq!(ask("/iter").status, 500);
    for path in
        ["/exit", "/interrupt", "/unprintable", "/deep", "/none", "/int", "/next", "/str", "/bytes", "/self", "/write"]
    {
        let answer = ask(path);
        assert_eq!((answer.status, answer.end), (500, Some(End::Complete)), "{path}");
    }
    assert_eq!(ask("/input").end, Some(End::Complete));
    assert_eq!(ask("/late").text(), "ValueError ValueError -");
    let log = site.log();
    for text in [
        "application failed: SystemExit: 3",
        "RecursionError",
        "a response body consists of bytes, not of str",
        "close() of the response failed: RuntimeError: close",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
    assert!(site.died.is_empty() && site.born.len() == 1);
}

#[test]
fn close_is_called_once_on_every_path() {
    let source = r#"
class Body:
    def __init__(self, chunks): self.chunks = iter(chunks); self.closed = 0
    def __iter__(self): return self
    def __next__(self):
        chunk = next(self.chunks)
        if chunk is None: raise RuntimeError("broken")
        return chunk
    def close(self): self.closed += 1; print("closed", self.closed)
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path != "/nohead":
        start_response("200 OK", [("Content-Length", "3")] if path == "/long" else [])
    return Body({"/": [b"a"], "/long": [b"abc", b"", b"d", b"e"], "/broken": [b"a", None], "/text": ["a"]}.get(path, []))
"#;
    for path in ["/", "/long", "/broken", "/text", "/nohead"] {
        let mut site = Plan::new(source).start();
        site.ask(get(path));
        site.wait_for("close", |site| site.log().contains("closed"));
        site.ask(get("/other"));
        site.wait_for("second close", |site| site.log().matches("stdout: closed 1").count() == 2);
        assert!(!site.log().contains("closed 2"), "{path}: {}", site.log());
    }
}

#[test]
fn mounts_are_chosen_by_prefix() {
    let source = r#"
def named(name):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [(name + " " + environ["SCRIPT_NAME"] + " " + environ["PATH_INFO"]).encode()]
    return application
one, two = named("one"), named("two")
"#;
    let mut plan = Plan::new(source);
    let mount = |prefix: &str, callable: &str| daemun_channel::handover::Mount {
        script_name: prefix.into(),
        module: Some(format!("site_app:{callable}")),
        ..Default::default()
    };
    plan.application.mounts = vec![mount("/a", "one"), mount("/a/b", "two")];
    plan.application.manage_script_name = true;
    let mut site = plan.start();
    assert_eq!(site.ask(get("/a/x")).text(), "one /a /x");
    assert_eq!(site.ask(get("/a/b")).text(), "two /a/b ");
    let answer = site.ask(get("/ab"));
    assert_eq!(answer.status, 500);
    assert!(site.log().contains("no application is loaded for \"/ab\""), "{}", site.log());
}
