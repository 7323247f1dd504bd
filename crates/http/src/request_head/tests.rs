//! Request heads, right and wrong, whole and in pieces.

use proptest::prelude::*;

use super::*;

/// Small limits, so that tests can pass them.
const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 100,
    header_line_bytes: 120,
    head_bytes: 300,
    headers: 6,
    underscores_in_headers: false,
    ignore_invalid_headers: true,
};

fn parse(input: &str) -> Result<RequestHead, HeadError> {
    let mut head = RequestHead::new();
    match head.parse(input.as_bytes(), &LIMITS)? {
        Parsed::Complete { taken } => assert_eq!(taken, input.len(), "{input:?}"),
        Parsed::Incomplete => panic!("incomplete: {input:?}"),
    }
    Ok(head)
}

fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).expect("a test's text")
}

#[test]
fn a_request_is_read() {
    let head = parse("POST /a/b?c=d HTTP/1.1\r\nHost: Example.ORG:8080\r\ncontent-length: 5\r\nX-A:\t b c \t\r\n\r\n")
        .expect("right");
    assert_eq!((&head.method, head.version), (&Method::Post, Version::Http11));
    assert_eq!(text(head.request_line()), "POST /a/b?c=d HTTP/1.1");
    assert_eq!(text(head.target()), "/a/b?c=d");
    assert_eq!(text(head.protocol()), "HTTP/1.1");
    assert_eq!((head.host(), head.port()), (Some(&b"example.org"[..]), Some(8080)));
    assert_eq!((head.scheme(), head.authority()), (None, None));
    assert_eq!(head.framing(), Framing::Length(5));
    assert_eq!(head.headers.first(HeaderId::Host), Some(&b"Example.ORG:8080"[..]));
    assert_eq!(head.headers.first_by_name(b"x-a"), Some(&b"b c"[..]));
    assert_eq!(
        head.headers.iter().map(|header| text(header.name)).collect::<Vec<_>>(),
        ["Host", "content-length", "X-A"]
    );
    assert!(head.keep_alive() && !head.expects_continue() && head.upgrade().is_none());
}

#[test]
fn targets_come_in_three_forms() {
    for (line, target, scheme, authority, host) in [
        ("GET / HTTP/1.1", "/", None, None, "h"),
        ("GET http://A.b HTTP/1.1", "/", Some("http"), Some("A.b"), "a.b"),
        ("GET http://a.b/ HTTP/1.1", "/", Some("http"), Some("a.b"), "a.b"),
        ("GET http://a.b:81/c?d HTTP/1.1", "/c?d", Some("http"), Some("a.b:81"), "a.b"),
        ("GET http://a.b?d#e HTTP/1.1", "/?d#e", Some("http"), Some("a.b"), "a.b"),
        ("GET HTTPS://[::1]:81?/ HTTP/1.1", "/?/", Some("HTTPS"), Some("[::1]:81"), "[::1]"),
        ("GET a+b-c.1://a_b/ HTTP/1.1", "/", Some("a+b-c.1"), Some("a_b"), "a_b"),
        ("CONNECT a.b:443 HTTP/1.1", "/", None, Some("a.b:443"), "a.b"),
        ("GET /http://x/ HTTP/1.1", "/http://x/", None, None, "h"),
        ("GET //a HTTP/1.1", "//a", None, None, "h"),
        ("GET /\u{e9} HTTP/1.1", "/\u{e9}", None, None, "h"),
    ] {
        let head = parse(&format!("{line}\r\nHost: h\r\n\r\n")).expect(line);
        assert_eq!(text(head.request_line()), line);
        assert_eq!(text(head.target()), target, "{line}");
        assert_eq!(head.scheme().map(text), scheme, "{line}");
        assert_eq!(head.authority().map(text), authority, "{line}");
        assert_eq!(head.host().map(text), Some(host), "{line}");
    }
}

#[test]
fn what_nginx_lets_pass_passes() {
    for (input, target) in [
        ("\r\n\n\r\nGET / HTTP/1.0\r\n\r\n", "/"),
        ("GET / HTTP/1.0\n\n", "/"),
        ("GET / HTTP/1.0\nA: b\r\n\n", "/"),
        ("GET   /a   HTTP/1.0  \r\n\r\n", "/a"),
        ("GET /a|b\"<>^`{} HTTP/1.0\r\n\r\n", "/a|b\"<>^`{}"),
        ("M-SEARCH /a HTTP/1.0\r\n\r\n", "/a"),
        ("GET / HTTP/1.00\r\n\r\n", "/"),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "/"),
        ("GET / HTTP/1.999\r\nHost: a\r\n\r\n", "/"),
        ("GET / HTTP/1.0\r\nEmpty:\r\nBlank:  \r\n\r\n", "/"),
        ("GET / HTTP/1.0\r\nA: \u{e9}\tb\r\n\r\n", "/"),
        ("GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "/"),
    ] {
        assert_eq!(text(parse(input).expect(input).target()), target, "{input:?}");
    }
}

#[test]
fn odd_names_are_left_out_or_kept_as_told() {
    let input = b"GET / HTTP/1.0\r\nx_foo: a\r\n_bar: b\r\nx.baz: c\r\n</kie>: d\r\n\xe9: e\r\n\r\n";
    for (underscores_in_headers, ignore_invalid_headers, names) in [
        (false, true, &[][..]),
        (true, true, &["x_foo", "_bar"]),
        (false, false, &["x_foo", "_bar", "x.baz", "</kie>", "\\xe9"]),
    ] {
        let mut head = RequestHead::new();
        let limits = HeadLimits { underscores_in_headers, ignore_invalid_headers, ..LIMITS };
        assert_eq!(head.parse(input, &limits), Ok(Parsed::Complete { taken: input.len() }));
        assert_eq!(head.headers.iter().map(|header| header.name.escape_ascii().to_string()).collect::<Vec<_>>(), names);
    }
}

#[test]
fn framing_follows_the_fields() {
    for (fields, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::Length(0)),
        ("Content-Length: 9223372036854775807\r\n", Framing::Length(i64::MAX as u64)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("Transfer-Encoding: CHUNKED\r\n", Framing::Chunked),
    ] {
        let head = parse(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).expect(fields);
        assert_eq!(head.framing(), framing, "{fields:?}");
    }
}

#[test]
fn connections_stay_open_by_version_and_option() {
    for (version, fields, keep_alive) in [
        ("1.1", "", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: x, Keep-Alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: close\r\nConnection: keep-alive\r\n", false),
        ("1.1", "Connection: not-closed\r\n", true),
        ("1.0", "Connection: keep-alive-not\r\n", false),
    ] {
        let head = parse(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n")).expect(fields);
        assert_eq!(head.keep_alive(), keep_alive, "{version} {fields:?}");
    }
}

#[test]
fn expectations_and_upgrades_need_http_11() {
    let fields = "Host: a\r\nExpect: 100-Continue\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n";
    let head = parse(&format!("GET / HTTP/1.1\r\n{fields}")).expect("right");
    assert!(head.expects_continue());
    assert_eq!(head.upgrade(), Some(&b"websocket"[..]));
    let head = parse(&format!("GET / HTTP/1.0\r\n{fields}")).expect("right");
    assert!(!head.expects_continue());
    assert_eq!(head.upgrade(), None);
    let head = parse("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nUpgrade: websocket\r\n\r\n").expect("right");
    assert!(!head.expects_continue());
    assert_eq!(head.upgrade(), None);
}

/// Statuses of requests that are wrong in one way each; `~` stands for `HTTP/1.1\r\nHost: a\r\n`.
const WRONG: &[(&str, u16)] = &[
    // The request line.
    ("get / ~\r\n", 400),
    ("GET1 / ~\r\n", 400),
    ("G\tET / ~\r\n", 400),
    ("\tGET / ~\r\n", 400),
    (" GET / ~\r\n", 400),
    ("\r\rGET / ~\r\n", 400),
    ("\0GET / ~\r\n", 400),
    ("GET\r\n\r\n", 400),
    ("GET\t/\tHTTP/1.1\r\n\r\n", 400),
    ("\u{16}\u{3}\u{1}\u{2}", 400),
    ("GET * ~\r\n", 400),
    ("OPTIONS * ~\r\n", 400),
    ("GET a ~\r\n", 400),
    ("GET ?a ~\r\n", 400),
    ("GET 1 ~\r\n", 400),
    ("GET ../a ~\r\n", 400),
    ("GET / / ~\r\n", 400),
    ("GET /a b ~\r\n", 400),
    ("GET /\t ~\r\n", 400),
    ("GET /\u{2} ~\r\n", 400),
    ("GET /\u{7f} ~\r\n", 400),
    ("GET /\0 ~\r\n", 400),
    ("GET /\r ~\r\n", 400),
    ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
    ("GET http: ~\r\n", 400),
    ("GET http:/a ~\r\n", 400),
    ("GET http:// ~\r\n", 400),
    ("GET http:///a ~\r\n", 400),
    ("GET http://:80/ ~\r\n", 400),
    ("GET http://a:b/ ~\r\n", 400),
    ("GET http://a:65536/ ~\r\n", 400),
    ("GET http://user@a/ ~\r\n", 400),
    ("GET http://a\\b/ ~\r\n", 400),
    ("GET http://a..b/ ~\r\n", 400),
    ("GET http://[::1/ ~\r\n", 400),
    ("GET http://a#b ~\r\n", 400),
    ("GET http://a%2fb ~\r\n", 400),
    ("GET http://a,b/ ~\r\n", 400),
    ("CONNECT / ~\r\n", 400),
    ("CONNECT a ~\r\n", 400),
    ("CONNECT a: ~\r\n", 400),
    ("CONNECT a:b ~\r\n", 400),
    ("CONNECT http://a:1/ ~\r\n", 400),
    ("CONNECT a:1 ~Content-Length: 1\r\n\r\n", 400),
    ("CONNECT a:1 ~Transfer-Encoding: chunked\r\n\r\n", 400),
    // The version.
    ("GET /\r\n", 400),
    ("GET / \r\n", 400),
    ("POST /\r\n", 400),
    ("GET / HTTP\r\n\r\n", 400),
    ("GET / HTTP/\r\n\r\n", 400),
    ("GET / HTTP/1\r\n\r\n", 400),
    ("GET / HTTP/1.\r\n\r\n", 400),
    ("GET / HTTP/.1\r\n\r\n", 400),
    ("GET / HTTP/1.1x\r\n\r\n", 400),
    ("GET / HTTP/1.1 x\r\n\r\n", 400),
    ("GET / HTTP/1.1111\r\n\r\n", 400),
    ("GET / HTTP/0.9\r\n\r\n", 400),
    ("GET / HTTP/01.1\r\n\r\n", 400),
    ("GET / http/1.1\r\n\r\n", 400),
    ("GET / XTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/2.0\r\n\r\n", 505),
    ("GET / HTTP/3\r\n\r\n", 505),
    ("GET / HTTP/11.1\r\n\r\n", 505),
    // Field lines.
    ("GET / ~no-colon\r\n\r\n", 400),
    ("GET / ~: no-name\r\n\r\n", 400),
    ("GET / ~:foo: bar\r\n\r\n", 400),
    ("GET / ~A : b\r\n\r\n", 400),
    ("GET / ~A\t: b\r\n\r\n", 400),
    ("GET / ~A B: c\r\n\r\n", 400),
    ("GET / ~ folded\r\n\r\n", 400),
    ("GET / ~A: b\r\n c\r\n\r\n", 400),
    ("GET / ~A: b\r\n\tc\r\n\r\n", 400),
    ("GET / ~A: b\n c\n\n", 400),
    ("GET / ~A: b\rC: d\r\n\r\n", 400),
    ("GET / ~A: b\r\r\n\r\n", 400),
    ("GET / ~A\r: b\r\n\r\n", 400),
    ("GET / ~\rA: b\r\n\r\n", 400),
    ("GET / ~\r\r\n\n", 400),
    ("GET / ~A: \0\r\n\r\n", 400),
    ("GET / ~A: b\0c\r\n\r\n", 400),
    ("GET / ~A: b\u{1}\r\n\r\n", 400),
    ("GET / ~A: b\u{7f}\r\n\r\n", 400),
    ("GET / ~A\u{2}: b\r\n\r\n", 400),
    ("GET / ~A\0: b\r\n\r\n", 400),
    ("GET / ~A\u{7f}: b\r\n\r\n", 400),
    // Host.
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: .\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    ("GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("GET / ~Host: a\r\n\r\n", 400),
    ("GET / ~hOST: b\r\n\r\n", 400),
    ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    // The body's length.
    ("POST / ~Content-Length:\r\n\r\n", 400),
    ("POST / ~Content-Length: x\r\n\r\n", 400),
    ("POST / ~Content-Length: +1\r\n\r\n", 400),
    ("POST / ~Content-Length: -1\r\n\r\n", 400),
    ("POST / ~Content-Length: 1 1\r\n\r\n", 400),
    ("POST / ~Content-Length: 1,1\r\n\r\n", 400),
    ("POST / ~Content-Length: 0x1\r\n\r\n", 400),
    ("POST / ~Content-Length: 1.0\r\n\r\n", 400),
    ("POST / ~Content-Length: 9223372036854775808\r\n\r\n", 400),
    ("POST / ~Content-Length: 18446744073709551617\r\n\r\n", 400),
    ("POST / ~Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
    ("POST / ~Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ("POST / ~Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / ~Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400),
    ("POST / ~Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / ~Transfer-Encoding:\r\n\r\n", 501),
    ("POST / ~Transfer-Encoding: identity\r\n\r\n", 501),
    ("POST / ~Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("POST / ~Transfer-Encoding: chunked, identity\r\n\r\n", 501),
    ("POST / ~Transfer-Encoding: \u{b}chunked\r\n\r\n", 400),
    ("POST / ~Transfer-Encoding: xchunked\r\n\r\n", 501),
    ("POST / ~Transfer-Encoding: \"chunked\"\r\n\r\n", 501),
    ("POST / ~Transfer-Encoding: chunked;a\r\n\r\n", 501),
    // Fields that come once.
    ("GET / ~Authorization: a\r\nAuthorization: a\r\n\r\n", 400),
    ("GET / ~Proxy-Authorization: a\r\nProxy-Authorization: a\r\n\r\n", 400),
    ("GET / ~Expect: a\r\nExpect: a\r\n\r\n", 400),
    ("GET / ~If-Match: a\r\nIf-Match: a\r\n\r\n", 400),
    ("GET / ~If-None-Match: a\r\nIf-None-Match: a\r\n\r\n", 400),
    ("GET / ~If-Range: a\r\nIf-Range: a\r\n\r\n", 400),
    ("GET / ~If-Modified-Since: a\r\nIf-Modified-Since: a\r\n\r\n", 400),
    ("GET / ~If-Unmodified-Since: a\r\nIf-Unmodified-Since: a\r\n\r\n", 400),
    ("GET / ~Content-Range: a\r\nContent-Range: a\r\n\r\n", 400),
    // Too much.
    ("GET / ~A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\n\r\n", 494),
];

#[test]
fn wrong_requests_are_refused() {
    for (template, status) in WRONG {
        let input = template.replacen('~', "HTTP/1.1\r\nHost: a\r\n", 1);
        match RequestHead::new().parse(input.as_bytes(), &LIMITS) {
            Err(error) => assert_eq!(error.status().as_u16(), *status, "{input:?}: {error}"),
            Ok(parsed) => panic!("{input:?}: {parsed:?}"),
        }
    }
    assert!(WRONG.len() >= 60);
}

#[test]
fn lines_and_heads_have_limits() {
    let request_line = |length: usize| format!("GET /{} HTTP/1.0\r\n", "a".repeat(length - 16));
    let field = |length: usize| format!("A: {}\r\n", "b".repeat(length - 5));
    assert_eq!(request_line(100).len(), 100);
    assert_eq!(field(120).len(), 120);
    assert!(parse(&format!("{}\r\n", request_line(100))).is_ok());
    assert!(parse(&format!("{}{}\r\n", request_line(50), field(120))).is_ok());
    assert!(parse(&format!("{}{}{}\r\n", request_line(80), field(120), field(98))).is_ok());

    let error = parse(&format!("{}\r\n", request_line(101))).expect_err("long line");
    assert_eq!(error.status(), crate::StatusCode::URI_TOO_LONG);
    let error = parse(&format!("{}{}\r\n", request_line(50), field(121))).expect_err("long field");
    assert!(matches!(error, HeadError::HeaderLineTooLong { limit: 120, .. }), "{error}");
    let error = parse(&format!("{}{}{}\r\n", request_line(80), field(120), field(99))).expect_err("large head");
    assert_eq!(error, HeadError::HeadTooLarge { limit: 300, largest: Excerpt::of(b"A"), size: 115 });
    // A body behind the head does not count.
    let input = format!("{}\r\n{}", request_line(50), "x".repeat(1000));
    assert_eq!(RequestHead::new().parse(input.as_bytes(), &LIMITS), Ok(Parsed::Complete { taken: 52 }));
    // A line without end is refused as soon as it is too long, not when it ends.
    let input = format!("GET /{}", "a".repeat(95));
    assert!(RequestHead::new().parse(input.as_bytes(), &LIMITS).is_err());
    assert_eq!(RequestHead::new().parse(&input.as_bytes()[..99], &LIMITS), Ok(Parsed::Incomplete));
    assert!(RequestHead::new().parse("\r\n".repeat(50).as_bytes(), &LIMITS).is_ok());
    assert!(RequestHead::new().parse("\r\n".repeat(60).as_bytes(), &LIMITS).is_err());
}

#[test]
fn after_an_error_the_rest_stays_readable() {
    let mut head = RequestHead::new();
    head.parse(b"HEAD /a HTTP/1.1\r\nHost: .\r\n\r\n", &LIMITS).expect_err("bad host");
    assert_eq!((&head.method, text(head.target()), head.host()), (&Method::Head, "/a", None));
    head.parse(b"HEAD /a b HTTP/1.1\r\n\r\n", &LIMITS).expect_err("bad line");
    assert_eq!((&head.method, text(head.request_line())), (&Method::Head, "HEAD /a b HTTP/1.1"));
    head.parse(b"GET /a HTTP/1.1\r\nA: b\r\nbad\r\n\r\n", &LIMITS).expect_err("bad field");
    assert_eq!(head.headers.first_by_name(b"a"), Some(&b"b"[..]));
}

#[test]
fn errors_name_what_was_seen() {
    let error = parse("GET / HTTP/1.0\r\nfoo\u{2}: x\r\n\r\n").expect_err("wrong");
    assert_eq!(error.to_string(), "client sent invalid header line: \"foo\\x02: x\"");
    let error = parse("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").expect_err("wrong");
    assert_eq!(error.to_string(), "client sent duplicate \"Host\" header: \"Host: b\"");
}

#[test]
fn one_object_reads_many_requests_without_growing() {
    let first = b"GET /a?b HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
    let second = b"GET / HTTP/1.1\r\nHost: b\r\n\r\n";
    let mut head = RequestHead::new();
    assert_eq!(head.parse(first, &LIMITS), Ok(Parsed::Complete { taken: first.len() }));
    let capacities = |head: &RequestHead| (head.line.capacity(), head.host.capacity(), head.headers.capacities());
    let before = capacities(&head);
    for _ in 0..3 {
        assert_eq!(head.parse(second, &LIMITS), Ok(Parsed::Complete { taken: second.len() }));
        assert_eq!((text(head.target()), head.host(), head.headers.len()), ("/", Some(&b"b"[..]), 1));
        assert!(head.keep_alive());
        assert_eq!(head.framing(), Framing::None);
        assert_eq!(head.octets(), second.len());
        assert_eq!(head.parse(first, &LIMITS), Ok(Parsed::Complete { taken: first.len() }));
    }
    assert_eq!(capacities(&head), before);
}

#[test]
fn a_request_begins_with_its_first_octet() {
    let mut head = RequestHead::new();
    assert_eq!(head.parse(b"\r\n\r", &LIMITS), Ok(Parsed::Incomplete));
    assert!(!head.has_begun());
    assert_eq!(head.parse(b"\r\n\r\nG", &LIMITS), Ok(Parsed::Incomplete));
    assert!(head.has_begun());
    head.clear();
    assert!(!head.has_begun());
}

/// Everything a head says, for comparison.
#[derive(Debug, PartialEq)]
struct Said {
    parsed: Result<Parsed, HeadError>,
    line: Vec<u8>,
    target: Vec<u8>,
    host: Option<Vec<u8>>,
    framing: Framing,
    keep_alive: bool,
    headers: Headers,
}

/// Parses `input` as it would arrive in pieces that end at `cuts`.
fn parse_cut(input: &[u8], cuts: &[usize]) -> Said {
    let mut head = RequestHead::new();
    let mut parsed = Ok(Parsed::Incomplete);
    for &cut in cuts.iter().chain([&input.len()]) {
        parsed = head.parse(&input[..cut], &LIMITS);
        if parsed != Ok(Parsed::Incomplete) {
            break;
        }
    }
    Said {
        parsed,
        line: head.request_line().to_vec(),
        target: head.target().to_vec(),
        host: head.host().map(<[u8]>::to_vec),
        framing: head.framing(),
        keep_alive: head.keep_alive(),
        headers: head.headers,
    }
}

#[test]
fn wrong_requests_are_refused_in_pieces_too() {
    for (template, _) in WRONG {
        let input = template.replacen('~', "HTTP/1.1\r\nHost: a\r\n", 1);
        let octets: Vec<usize> = (0..input.len()).collect();
        assert_eq!(parse_cut(input.as_bytes(), &octets), parse_cut(input.as_bytes(), &[]), "{input:?}");
    }
}

/// Heads made of lines that matter and of what breaks them.
fn head_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just("GET /a?b HTTP/1.1\r\n"),
        1 => Just("POST http://x/y HTTP/1.0\n"),
        2 => Just("Host: a\r\n"),
        2 => Just("X-A: b c\r\n"),
        1 => Just("Content-Length: 7\r\n"),
        1 => Just("Transfer-Encoding: chunked\r\n"),
        1 => Just("Connection: close\n"),
        1 => Just("x_y: z\r\n"),
        3 => Just("\r\n"),
        1 => Just("\n"),
        1 => Just("\r"),
        1 => Just(" "),
        1 => Just("\t"),
        1 => Just(":"),
        1 => Just("\0"),
        1 => Just("abc"),
        1 => Just("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn cuts_change_nothing(input in head_text(), cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8)) {
        let whole = parse_cut(&input, &[]);
        let octets: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&parse_cut(&input, &octets), &whole);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        places.sort_unstable();
        prop_assert_eq!(&parse_cut(&input, &places), &whole);
    }

    #[test]
    fn what_follows_a_head_does_not_matter(input in head_text(), rest in proptest::collection::vec(any::<u8>(), 0..20)) {
        let whole = parse_cut(&input, &[]);
        if let Ok(Parsed::Complete { taken }) = whole.parsed {
            let mut longer = input[..taken].to_vec();
            longer.extend_from_slice(&rest);
            prop_assert_eq!(parse_cut(&longer, &[]), parse_cut(&input[..taken], &[]));
        }
    }

    #[test]
    fn any_octets_are_survived(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_cut(&input, &[]);
        let mut line = b"GET /".to_vec();
        line.extend_from_slice(&input);
        let _ = parse_cut(&line, &[]);
    }

    #[test]
    fn no_control_character_gets_into_a_field(input in head_text()) {
        for header in parse_cut(&input, &[]).headers.iter() {
            let is_plain = |octet: &u8| (*octet >= 0x20 && *octet != 0x7f) || *octet == b'\t';
            prop_assert!(header.name.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-'));
            prop_assert!(header.value.iter().all(is_plain));
        }
    }
}
