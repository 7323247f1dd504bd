//! The requests, as a table. A case is played on one connection.
//!
//! Not in the table, since uWSGI's answer is none or a matter of luck: an exception in the application (it closes without a
//! word, so nginx says 502; daemun says 500) and a body that the application leaves unread (uWSGI resets the connection).

use harness::Request;

/// What the client does or waits for.
pub(super) enum Step {
    Send(Vec<u8>),
    /// A 1xx answer.
    Interim,
    /// The answer to any method but HEAD.
    Answer,
    AnswerToHead,
    /// The end of the connection.
    Closed,
}

/// One line of the table: the steps, and the statuses that the reference is known to answer with.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) steps: Vec<Step>,
    pub(super) statuses: Vec<u16>,
    /// Of a repeated request header: the line of the environ behind nginx before 1.23, which hands on each of them, so that uWSGI
    /// keeps the last; and the line behind later ones, which join them as daemun does.
    pub(super) joined: Option<(&'static str, &'static str)>,
}

/// The table.
pub(super) fn all() -> Vec<Case> {
    let mut cases = application_gets();
    cases.extend(application_targets());
    cases.extend(application_answers());
    cases.extend(bodies());
    cases.extend(connections());
    cases.extend(ends_of_connections());
    cases.extend(static_files());
    cases.extend(ranges_and_conditions());
    cases.extend(web_server_answers());
    cases.extend(refusals());
    cases
}

fn application_gets() -> Vec<Case> {
    let long_cookie = format!("session={}", "0123456789".repeat(200));
    vec![
        one("GET", Request::get("/"), 200),
        one("GET with a query", Request::get("/echo/page?one=1&two=%20+&three"), 200),
        one("GET with an empty query", Request::get("/echo?"), 200),
        one("Host with a port", Request::get("/echo").host("example.test:8080"), 200),
        one("Host in capitals", Request::get("/echo").host("EXAMPLE.test"), 200),
        one("cookies", Request::get("/cookies").header("Cookie", "a=1; b=2"), 200),
        joined(
            "two Cookie headers",
            Request::get("/echo").header("Cookie", "a=1").header("Cookie", "b=2"),
            ("'HTTP_COOKIE'='b=2'", "'HTTP_COOKIE'='a=1; b=2'"),
        ),
        one("a long cookie", Request::get("/echo").header("Cookie", &long_cookie), 200),
        joined(
            "repeated headers",
            Request::get("/echo").header("X-Many", "one").header("X-Many", "two"),
            ("'HTTP_X_MANY'='two'", "'HTTP_X_MANY'='one, two'"),
        ),
        joined(
            "repeated Accept",
            Request::get("/echo").header("Accept", "text/html").header("Accept", "text/plain"),
            ("'HTTP_ACCEPT'='text/plain'", "'HTTP_ACCEPT'='text/html, text/plain'"),
        ),
        joined(
            "X-Forwarded-For",
            Request::get("/echo").header("X-Forwarded-For", "192.0.2.1").header("X-Forwarded-For", "192.0.2.2"),
            ("'HTTP_X_FORWARDED_FOR'='192.0.2.2'", "'HTTP_X_FORWARDED_FOR'='192.0.2.1, 192.0.2.2'"),
        ),
        one("a header with an underscore", Request::get("/echo").header("X_Under", "1").header("X-Dash", "2"), 200),
        one("an empty header", Request::get("/echo").header("X-Empty", ""), 200),
        one(
            "octets above 127 in a header",
            raw(b"GET /echo HTTP/1.1\r\nHost: example.test\r\nX-Latin: \xe9\xff\r\nConnection: close\r\n\r\n"),
            200,
        ),
        one(
            "Authorization",
            Request::get("/echo").header("Authorization", "Basic dTpw").header("Referer", "http://example.test/"),
            200,
        ),
        one("another method", Request::new("OPTIONS", "/echo"), 200),
        one("DELETE", Request::new("DELETE", "/echo/42"), 200),
        one("an unknown method", Request::new("PURGE", "/echo"), 200),
        head("HEAD", Request::new("HEAD", "/echo"), 200),
        head("HEAD with the application's length", Request::new("HEAD", "/head_headers"), 200),
        head("HEAD of a stream", Request::new("HEAD", "/stream"), 200),
    ]
}

fn application_targets() -> Vec<Case> {
    let mut query = String::from("/echo?all=");
    (0..=255).for_each(|octet| query.push_str(&format!("%{octet:02x}")));
    let mut path = String::from("/echo/");
    (1..=255).for_each(|octet| path.push_str(&format!("%{octet:02X}")));
    vec![
        one("every octet in a query", Request::get(&query), 200),
        one("every octet but NUL in a path", Request::get(&path), 200),
        one("a non-ASCII path, encoded", Request::get("/echo/%EB%8C%80%EB%AC%B8/na%C3%AFve?q=%ED%95%9C"), 200),
        one(
            "a non-ASCII path, raw",
            raw("GET /echo/대문?q=한 HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n".as_bytes()),
            200,
        ),
        one("dot segments", Request::get("/echo/a/b/../c/./d"), 200),
        one("encoded dot segments", Request::get("/echo/a/%2e%2e/b"), 200),
        one("merged slashes", Request::get("/echo//a///b?x=//"), 200),
        one("a fragment", Request::get("/echo/a#part"), 200),
        one("reserved characters", Request::get("/echo/;p=1/a:b@c,d=e&f+g!$'()*~?/?;:@"), 200),
        one("absolute form", Request::get("http://example.test/echo/absolute?x=1"), 200),
        one("absolute form beside another Host", Request::get("http://example.test/echo").host("other.test"), 200),
    ]
}

fn application_answers() -> Vec<Case> {
    vec![
        one("404", Request::get("/status/404/Not%20Found"), 404),
        one("500", Request::get("/status/500/Internal%20Server%20Error"), 500),
        one("a reason of its own", Request::get("/status/200/Rather%20Good"), 200),
        one("204", Request::get("/status/204/No%20Content"), 204),
        one("410", Request::get("/status/410/Gone"), 410),
        one("an unregistered status", Request::get("/status/599/Own"), 599),
        one("200 with an ETag", Request::get("/not_modified"), 200),
        one("304", Request::get("/not_modified").header("If-None-Match", "\"v1\""), 304),
        one("redirect to a path", Request::get("/redirect?/elsewhere"), 302),
        one("redirect to another host", Request::get("/redirect?https://elsewhere.test/x%20y"), 302),
        one("repeated headers of the application", Request::get("/cookies"), 200),
        one("a stream without length", Request::get("/stream"), 200),
        one("empty pieces", Request::get("/empty_pieces"), 200),
        one("3 MB with a length", Request::get("/large"), 200),
        one("3 MB without a length", Request::get("/large_without_length"), 200),
        one("write()", Request::get("/write"), 200),
        one("wsgi.file_wrapper", Request::get("/file_wrapper"), 200),
        one("X-Accel headers", Request::get("/accel"), 200),
        one("unbuffered", Request::get("/unbuffered/stream"), 200),
    ]
}

fn bodies() -> Vec<Case> {
    let form = "application/x-www-form-urlencoded";
    let parts: [&[u8]; 3] = [b"first=", b"1&second", &[b'='; 5000]];
    vec![
        one("POST of a form", Request::post("/echo", form, "name=daemun&x=%EB%AC%B8"), 200),
        one("POST without a body", Request::post("/echo", form, ""), 200),
        one("POST without a length", Request::new("POST", "/echo"), 200),
        one("POST that comes back", Request::post("/mirror", "text/plain", "the very same octets"), 200),
        one("POST of 10 MB of multipart", multipart(10 * 1024 * 1024), 200),
        one(
            "POST of 100 KB that comes back",
            Request::post("/mirror", "application/octet-stream", vec![7; 100_000]),
            200,
        ),
        one("PUT", Request::new("PUT", "/echo").header("Content-Length", "0"), 200),
        one("GET with a body", Request::get("/echo").chunked(&[b"unusual"]), 200),
        one("chunked request body", Request::new("POST", "/echo").header("Content-Type", form).chunked(&parts), 200),
        one("chunked request body that comes back", Request::new("POST", "/mirror").chunked(&parts), 200),
        one("empty chunked request body", Request::new("POST", "/echo").chunked(&[]), 200),
        one("a body over the limit", Request::post("/small-body", "text/plain", "eleven octets or more"), 413),
        one(
            "a chunked body over the limit",
            Request::new("POST", "/small-body").chunked(&[b"eleven octets or more"]),
            413,
        ),
        Case {
            name: "Expect: 100-continue",
            steps: vec![
                Step::Send(expecting("/mirror").head()),
                Step::Interim,
                Step::Send(expecting("/mirror").body().to_vec()),
                Step::Answer,
            ],
            statuses: vec![200],
            joined: None,
        },
        Case {
            name: "Expect: 100-continue of a body over the limit",
            steps: vec![Step::Send(expecting("/small-body").head()), Step::Answer],
            statuses: vec![413],
            joined: None,
        },
    ]
}

fn connections() -> Vec<Case> {
    let first = Request::get("/echo/first").octets();
    let second = Request::post("/mirror", "text/plain", "second").octets();
    let third = Request::get("/static/style.css").octets();
    let last = Request::get("/stream").header("Connection", "close").octets();
    let pipelined = [first.clone(), second.clone(), third.clone(), last.clone()].concat();
    vec![
        Case {
            name: "keep-alive",
            steps: vec![
                Step::Send(first),
                Step::Answer,
                Step::Send(second),
                Step::Answer,
                Step::Send(third),
                Step::Answer,
                Step::Send(last),
                Step::Answer,
                Step::Closed,
            ],
            statuses: vec![200; 4],
            joined: None,
        },
        Case {
            name: "pipelined",
            steps: vec![Step::Send(pipelined), Step::Answer, Step::Answer, Step::Answer, Step::Answer, Step::Closed],
            statuses: vec![200; 4],
            joined: None,
        },
    ]
}

fn ends_of_connections() -> Vec<Case> {
    let old = |target: &str| Request::get(target).version("HTTP/1.0");
    let kept = old("/head_headers").header("Connection", "keep-alive").octets();
    let bare = b"\r\nGET /echo HTTP/1.1\nHost: example.test\nConnection: close\n\n";
    let unread = Request::post("/static/style.css", "text/plain", "GET /stolen HTTP/1.1\r\n\r\n").octets();
    let followed = [unread, Request::get("/echo").octets()].concat();
    vec![
        closing("HTTP/1.0", old("/echo"), 200),
        closing("HTTP/1.0 and a stream", old("/stream"), 200),
        closing("HTTP/1.0 without Host", raw(b"GET /echo HTTP/1.0\r\n\r\n"), 200),
        closing("Connection: close", Request::get("/echo").header("Connection", "close"), 200),
        Case {
            name: "HTTP/1.0 with keep-alive",
            steps: vec![Step::Send(kept), Step::Answer, Step::Send(old("/echo").octets()), Step::Answer, Step::Closed],
            statuses: vec![200, 200],
            joined: None,
        },
        Case {
            name: "empty lines and bare LF before and in a head",
            steps: vec![Step::Send(bare.to_vec()), Step::Answer, Step::Closed],
            statuses: vec![200],
            joined: None,
        },
        Case {
            name: "an unread body does not become the next request",
            steps: vec![Step::Send(followed), Step::Answer, Step::Answer],
            statuses: vec![405, 200],
            joined: None,
        },
    ]
}

fn static_files() -> Vec<Case> {
    vec![
        one("a static file", Request::get("/static/style.css"), 200),
        one("a static page", Request::get("/static/page.html?query=1"), 200),
        head("HEAD of a static file", Request::new("HEAD", "/static/bytes.bin"), 200),
        one("an empty file", Request::get("/static/empty.txt"), 200),
        one("a file without extension", Request::get("/static/no-extension"), 200),
        one("an extension in capitals", Request::get("/static/UPPER.PNG"), 200),
        one("a file name that is not ASCII", Request::get("/static/na%C3%AFve%20%EB%8C%80%EB%AC%B8.txt"), 200),
        one("a large file", Request::get("/static/large.bin"), 200),
        one("no such file", Request::get("/static/missing.css"), 404),
        one("a file below a file", Request::get("/static/style.css/below"), 404),
        one("a folder without slash", Request::get("/docs/deeper"), 301),
        one("a folder without slash, with a query", Request::get("/docs/deeper?x=1"), 301),
        one("index", Request::get("/docs/"), 200),
        one("a folder without index", Request::get("/docs/deeper/"), 403),
        one("an empty folder", Request::get("/nothing-here/"), 403),
        one("alias", Request::get("/pictures/picture.svg"), 200),
        one("try_files", Request::get("/fallback/no-such"), 200),
        one("POST to a file", Request::post("/static/style.css", "text/plain", "no"), 405),
        one("climbing out", Request::get("/static/../../elsewhere/picture.svg"), 400),
        one("climbing within", Request::get("/static/../docs/index.html"), 200),
    ]
}

fn ranges_and_conditions() -> Vec<Case> {
    let file = || Request::get("/static/bytes.bin");
    let time = "Mon, 05 Jan 2026 10:00:00 GMT";
    vec![
        one("a range", file().header("Range", "bytes=10-19"), 206),
        one("an open range", file().header("Range", "bytes=99990-"), 206),
        one("a suffix range", file().header("Range", "bytes=-5"), 206),
        one("a range over the end", file().header("Range", "bytes=99990-200000"), 206),
        one("several ranges", file().header("Range", "bytes=0-3,10-13,-2"), 206),
        one("a range that cannot be", file().header("Range", "bytes=200000-"), 416),
        one("no range at all", file().header("Range", "bytes=zero"), 416),
        one("ranges of another unit", file().header("Range", "lines=1-2"), 200),
        one("If-Range that holds", file().header("Range", "bytes=0-3").header("If-Range", time), 206),
        one("If-Range that does not", file().header("Range", "bytes=0-3").header("If-Range", "\"other\""), 200),
        head("HEAD of a range", Request::new("HEAD", "/static/bytes.bin").header("Range", "bytes=0-3"), 206),
        one("If-Modified-Since the same time", file().header("If-Modified-Since", time), 304),
        one("If-Modified-Since another time", file().header("If-Modified-Since", "Mon, 05 Jan 2026 09:00:00 GMT"), 200),
        one("If-Modified-Since nonsense", file().header("If-Modified-Since", "yesterday"), 200),
        one("If-Unmodified-Since before", file().header("If-Unmodified-Since", "Mon, 05 Jan 2026 09:00:00 GMT"), 412),
        one("If-None-Match another tag", file().header("If-None-Match", "\"other\""), 200),
        one("If-None-Match anything", file().header("If-None-Match", "*"), 304),
        one("If-Match another tag", file().header("If-Match", "\"other\""), 412),
    ]
}

fn web_server_answers() -> Vec<Case> {
    vec![
        one("return with a path", Request::get("/returned"), 301),
        one("return with a text", Request::get("/teapot"), 418),
        one("return 403 of a regular expression", Request::get("/echo/x.hidden"), 403),
        one("error_page", Request::get("/own-errors/missing"), 404),
        one("an internal location", Request::get("/error/404.html"), 404),
        one("another server by name", Request::get("/").host("other.test"), 200),
        one("the first server for an unknown name", Request::get("/static/style.css").host("unknown.test"), 200),
    ]
}

fn refusals() -> Vec<Case> {
    let close = "Connection: close\r\n\r\n";
    vec![
        one("NUL in a path", Request::get("/echo/%00"), 400),
        one("a bad escape in a path", Request::get("/echo/%zz"), 400),
        one("no Host", raw(format!("GET / HTTP/1.1\r\n{close}").as_bytes()), 400),
        one(
            "two Hosts",
            raw(format!("GET / HTTP/1.1\r\nHost: example.test\r\nHost: other.test\r\n{close}").as_bytes()),
            400,
        ),
        one("no request line", raw(b"nonsense\r\n\r\n"), 400),
        one("a bad Content-Length", Request::new("POST", "/echo").header("Content-Length", "ten"), 400),
        one("an unknown Transfer-Encoding", Request::new("POST", "/echo").header("Transfer-Encoding", "gzip"), 501),
        one("a request line over 8 KB", Request::get(&format!("/echo?{}", "q".repeat(9000))), 414),
        one("a header over 8 KB", Request::get("/echo").header("X-Long", &"v".repeat(9000)), 400),
        one("HTTP/3.0 in the request line", Request::get("/").version("HTTP/3.0"), 505),
    ]
}

/// A request of its own connection.
fn one(name: &'static str, request: impl Into<Octets>, status: u16) -> Case {
    Case { name, steps: vec![Step::Send(request.into().0), Step::Answer], statuses: vec![status], joined: None }
}

/// A request with a repeated header.
fn joined(name: &'static str, request: Request, lines: (&'static str, &'static str)) -> Case {
    Case { joined: Some(lines), ..one(name, request, 200) }
}

/// A HEAD request: octets behind the head would be taken for the next answer, so the connection must be seen to end.
fn head(name: &'static str, request: Request, status: u16) -> Case {
    let octets = request.header("Connection", "close").octets();
    Case {
        name,
        steps: vec![Step::Send(octets), Step::AnswerToHead, Step::Closed],
        statuses: vec![status],
        joined: None,
    }
}

/// A request after whose answer the server closes.
fn closing(name: &'static str, request: impl Into<Octets>, status: u16) -> Case {
    let steps = vec![Step::Send(request.into().0), Step::Answer, Step::Closed];
    Case { name, steps, statuses: vec![status], joined: None }
}

struct Octets(Vec<u8>);

impl From<Request> for Octets {
    fn from(request: Request) -> Self {
        Self(request.octets())
    }
}

impl From<&[u8]> for Octets {
    fn from(octets: &[u8]) -> Self {
        Self(octets.to_vec())
    }
}

fn raw(octets: &[u8]) -> &[u8] {
    octets
}

fn expecting(target: &str) -> Request {
    Request::post(target, "text/plain", "sent after the 100").header("Expect", "100-continue")
}

fn multipart(length: usize) -> Request {
    let mut body = b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n".to_vec();
    body.extend((0..length).map(|index| (index % 251) as u8));
    body.extend_from_slice(b"\r\n--edge--\r\n");
    Request::post("/echo", "multipart/form-data; boundary=edge", body)
}
