//! What two readers could understand differently is refused and the connection closed; the application never hears of it.

use harness::{Connection, Request};

use super::site;

struct Refusal {
    name: &'static str,
    octets: &'static [u8],
    status: u16,
}

const fn refusal(name: &'static str, status: u16, octets: &'static [u8]) -> Refusal {
    Refusal { name, octets, status }
}

/// The body of each would be another request, which must not be answered.
const REFUSALS: &[Refusal] = &[
    refusal(
        "a length beside chunks",
        400,
        b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /say?y HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refusal(
        "chunks beside a length",
        400,
        b"POST /say?x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /say?y HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refusal(
        "two lengths",
        400,
        b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\nGET /say?y HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refusal("a list of lengths", 400, b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 30\r\n\r\n"),
    refusal("a signed length", 400, b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
    refusal("a negative length", 400, b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
    refusal("an endless length", 400, b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    refusal("a hexadecimal length", 400, b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
    refusal("an empty length", 400, b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"),
    refusal("chunked twice", 400, b"POST /say?x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    refusal("an unknown coding", 501, b"POST /say?x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    refusal("codings upon codings", 501, b"POST /say?x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    refusal("chunks in HTTP/1.0", 400, b"POST /say?x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    refusal("a folded header", 400, b"GET /say?x HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n two\r\n\r\n"),
    refusal("a folded length", 400, b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\nhello"),
    refusal("a blank before the colon", 400, b"POST /say?x HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello"),
    refusal("a bare CR in a value", 400, b"GET /say?x HTTP/1.1\r\nHost: a\r\nX-One: 1\rX-Two: 2\r\n\r\n"),
    refusal("a bare CR as a line end", 400, b"GET /say?x HTTP/1.1\rHost: a\r\n\r\n"),
    refusal("NUL in a value", 400, b"GET /say?x HTTP/1.1\r\nHost: a\r\nX-One: 1\x002\r\n\r\n"),
    refusal("NUL in a name", 400, b"GET /say?x HTTP/1.1\r\nHost: a\r\nX-\x00One: 1\r\n\r\n"),
    refusal("NUL in the target", 400, b"GET /say?\x00 HTTP/1.1\r\nHost: a\r\n\r\n"),
    refusal("no host", 400, b"GET /say?x HTTP/1.1\r\nX-One: 1\r\n\r\n"),
    refusal("two hosts", 400, b"GET /say?x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    refusal("a host with a slash", 400, b"GET /say?x HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    refusal("a method in small letters", 400, b"get /say?x HTTP/1.1\r\nHost: a\r\n\r\n"),
    refusal("a method with a colon", 400, b"GE:T /say?x HTTP/1.1\r\nHost: a\r\n\r\n"),
    refusal("no target", 400, b"GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
    refusal("a target that is no path", 400, b"GET say?x HTTP/1.1\r\nHost: a\r\n\r\n"),
    refusal("two targets", 400, b"GET /say?x /say?y HTTP/1.1\r\nHost: a\r\n\r\n"),
    refusal("no protocol", 400, b"GET /say?x HTTQ/1.1\r\nHost: a\r\n\r\n"),
    refusal("a version from the future", 505, b"GET /say?x HTTP/3.1\r\nHost: a\r\n\r\n"),
    refusal("a bad escape", 400, b"GET /say%4 HTTP/1.1\r\nHost: a\r\n\r\n"),
    refusal("a path above the root", 400, b"GET /../say HTTP/1.1\r\nHost: a\r\n\r\n"),
    refusal("a method that echoes", 405, b"TRACE /say?x HTTP/1.1\r\nHost: a\r\n\r\n"),
    refusal("a tunnel", 405, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    refusal("TLS", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
];

#[test]
fn ambiguous_heads_are_refused() {
    let (scratch, site) = site("");
    for refusal in REFUSALS {
        let mut connection = Connection::to(&site.address);
        connection.send(refusal.octets);
        let response = connection.try_response().unwrap_or_else(|error| panic!("{}: {error}", refusal.name));
        assert_eq!(response.status, refusal.status, "{}", refusal.name);
        assert_eq!(connection.rest(), b"", "{}: there is more than one answer", refusal.name);
    }
    assert_unheard(&scratch, &site);
}

#[test]
fn ambiguous_chunks_are_refused() {
    let (scratch, site) = site("");
    for body in [
        b"x\r\nhello\r\n0\r\n\r\n".as_slice(),
        b"\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello world\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
    ] {
        let mut connection = Connection::to(&site.address);
        connection.send(Request::new("POST", "/say?x").header("Transfer-Encoding", "chunked").head());
        connection.send(body);
        let text = String::from_utf8_lossy(body);
        let response = connection.try_response().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert!(matches!(response.status, 400 | 413), "{text:?}: {}", response.status);
        assert_eq!(connection.rest(), b"", "{text:?}: there is more than one answer");
    }
    assert_unheard(&scratch, &site);
}

#[test]
fn limits_are_kept() {
    let (scratch, site) = site("client_max_body_size 1k;");
    let many_headers =
        (0..2000).fold(Request::get("/say?x"), |request, index| request.header(&format!("X-{index}"), "1"));
    let mut endless_extension = Request::new("POST", "/say?x").header("Transfer-Encoding", "chunked").head();
    endless_extension.extend_from_slice(b"5;");
    endless_extension.extend(vec![b'e'; 1_000_000]);
    for (name, octets, statuses) in [
        ("a target of 9 KB", Request::get(&format!("/say?{}", "x".repeat(9_000))).octets(), [414, 414]),
        ("a header of 9 KB", Request::get("/say?x").header("X-Long", &"x".repeat(9_000)).octets(), [400, 431]),
        (
            "a head of 40 KB",
            (0..10).fold(Request::get("/say?x"), |request, _| request.header("X", &"x".repeat(4_000))).octets(),
            [400, 431],
        ),
        ("2,000 headers", many_headers.octets(), [400, 431]),
        ("a body over the limit", Request::post("/say?x", "text/plain", vec![b'x'; 2_000]).octets(), [413, 413]),
        ("chunks over the limit", Request::new("POST", "/say?x").chunked(&[&[b'x'; 2_000]]).octets(), [413, 413]),
        ("an endless chunk extension", endless_extension, [400, 413]),
    ] {
        let mut connection = Connection::to(&site.address);
        connection.send_meanwhile(octets);
        let response = connection.try_response().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(statuses.contains(&response.status), "{name}: {}", response.status);
    }
    assert_unheard(&scratch, &site);
}

/// Bare LF ends a line of a head, as in nginx: it is not ambiguous together with the rules above.
#[test]
fn bare_line_feeds_are_line_ends() {
    let (_scratch, site) = site("");
    let mut connection = Connection::to(&site.address);
    let response = connection.exchange("\n\r\nGET /hello HTTP/1.1\nHost: example.test\n\n");
    assert_eq!(response.status, 200);
}

/// `error_page` counts for heads that are refused, too: in nginx as here.
#[test]
fn error_pages_stand_for_bad_heads() {
    let server = "root SCRATCH/root; error_page 400 /bad.txt; error_page 405 =403 @method; error_page 414 =200 /long.txt;
        error_page 505 http://elsewhere.test/; location = /long.txt { internal; } location @method { return 403 \"no $request_method\"; }";
    let scratch = harness::Scratch::new();
    scratch.write("root/bad.txt", "our 400\n");
    scratch.write("root/long.txt", "our 414\n");
    for web in [harness::Web::start(&scratch, server), harness::Web::nginx(&scratch, server)] {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9_000));
        for (head, status, body) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "our 400\n"),
            ("nonsense\r\n\r\n", 400, "our 400\n"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                400,
                "our 400\n",
            ),
            ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "our 400\n"),
            (long.as_str(), 200, "our 414\n"),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 403, "no TRACE"),
            ("GET / HTTP/9.0\r\nHost: a\r\n\r\n", 302, ""),
        ] {
            let mut connection = Connection::to(&web.address);
            connection.send(head);
            let response = connection.try_response().unwrap_or_else(|error| panic!("{head:?}: {error}"));
            let text = if status == 302 { String::new() } else { response.text() };
            assert_eq!((response.status, text.as_str()), (status, body), "{head:?}");
            assert_eq!(connection.rest(), b"", "{head:?}: there is more than one answer");
        }
    }
}

/// The error log tells why, with the client's address.
#[test]
fn a_refusal_is_logged() {
    let (scratch, site) = site("");
    Connection::to(&site.address).exchange("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    harness::wait_until("the refusal is logged", || {
        let log = scratch.read("error.log");
        log.lines().any(|line| {
            line.contains("[info]") && line.contains("client: 127.0.0.1") && line.to_lowercase().contains("host")
        })
    });
}

#[track_caller]
fn assert_unheard(scratch: &harness::Scratch, site: &harness::Site) {
    assert_eq!(Request::get("/say?heard").send(&site.address).status, 200);
    let output = || [site.process.output(), scratch.read("error.log")].join("\n");
    harness::wait_until("what is printed reaches the log", || output().contains("heard by stderr"));
    for word in ["x by", "y by"] {
        assert!(!output().contains(word), "the application has heard a refused request:\n{}", output());
    }
}
