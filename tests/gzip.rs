//! Compressed answers. Every request of the table is put to nginx too: status, fields and the body once unpacked must agree.

use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use harness::{Address, Connection, Port, Request, Response, Scratch, Site, Web, servers, wait_until};

/// A request: its target and its fields.
type Asked = (&'static str, &'static [(&'static str, &'static str)]);

const GZIP: (&str, &str) = ("Accept-Encoding", "gzip");
const VIA: (&str, &str) = ("Via", "1.1 proxy.test");
const TAG: &str = "\"695b8ba0-4e20\"";

const TABLE: &[Asked] = &[
    ("/page.html", &[]),
    ("/page.html", &[GZIP]),
    ("/page.html", &[("Accept-Encoding", "deflate, gzip;q=0.5")]),
    ("/page.html", &[("Accept-Encoding", "gzip;q=0")]),
    ("/page.html", &[("Accept-Encoding", "gzip;q=0.000, deflate")]),
    ("/page.html", &[("Accept-Encoding", "GZIP ; q=1.000")]),
    ("/page.html", &[("Accept-Encoding", "x-gzip")]),
    ("/page.html", &[("Accept-Encoding", "*")]),
    ("/style.css", &[GZIP]),
    ("/note.txt", &[GZIP]),
    ("/short.html", &[GZIP]),
    ("/large.html", &[GZIP]),
    ("/absent.html", &[GZIP]),
    ("/page.html", &[GZIP, ("Range", "bytes=0-9")]),
    ("/page.html", &[GZIP, ("Range", "bytes=90000-")]),
    ("/page.html", &[("Range", "bytes=0-9")]),
    ("/page.html", &[GZIP, ("If-None-Match", TAG)]),
    ("/page.html", &[GZIP, ("If-None-Match", "W/\"695b8ba0-4e20\"")]),
    ("/page.html", &[GZIP, ("If-Modified-Since", "Mon, 05 Jan 2026 10:00:00 GMT")]),
    ("/all/note.txt", &[GZIP]),
    ("/all/short.html", &[GZIP]),
    ("/off/page.html", &[GZIP]),
    ("/text", &[GZIP]),
    ("/moved", &[GZIP]),
    ("/forbidden", &[GZIP]),
    ("/gone", &[GZIP]),
    ("/page.html", &[GZIP, VIA]),
    ("/proxied/any/page.html", &[GZIP, VIA]),
    ("/proxied/expired/page.html", &[GZIP, VIA]),
    ("/proxied/expired-not/page.html", &[GZIP, VIA]),
    ("/proxied/no-cache/page.html", &[GZIP, VIA]),
    ("/proxied/no-store/page.html", &[GZIP, VIA]),
    ("/proxied/private/page.html", &[GZIP, VIA]),
    ("/proxied/private-not/page.html", &[GZIP, VIA]),
    ("/proxied/no_last_modified/page.html", &[GZIP, VIA]),
    ("/proxied/no_etag/page.html", &[GZIP, VIA]),
    ("/proxied/no_etag/text", &[GZIP, VIA]),
    ("/proxied/auth/page.html", &[GZIP, VIA, ("Authorization", "Basic dXNlcjpwYXNz")]),
    ("/page.html", &[GZIP, ("User-Agent", "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)")]),
    ("/page.html", &[GZIP, ("User-Agent", "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)")]),
    ("/page.html", &[GZIP, ("User-Agent", "an OLD-agent/1")]),
];

/// Files that stand there in gzip already, and clients that cannot read them.
const STATIC_TABLE: &[Asked] = &[
    ("/packed.html", &[GZIP]),
    ("/packed.html", &[]),
    ("/packed.html", &[GZIP, VIA]),
    ("/packed.html", &[GZIP, ("If-Modified-Since", "Mon, 05 Jan 2026 10:00:00 GMT")]),
    ("/page.html", &[GZIP]),
    ("/page.html", &[]),
    ("/absent.html", &[GZIP]),
    ("/always/packed.html", &[]),
    ("/always/packed.html", &[GZIP]),
    ("/always/page.html", &[]),
    ("/unpacked/packed.html", &[]),
    ("/unpacked/packed.html", &[GZIP]),
    ("/unpacked/packed.html", &[("Range", "bytes=0-9")]),
    ("/unpacked/only.txt", &[]),
    ("/unpacked/only.txt", &[GZIP]),
    ("/unpacked/only.txt", &[("Accept-Encoding", "gzip;q=0")]),
    ("/folder.html", &[GZIP]),
    ("/folder.html", &[]),
];

/// Debian's nginx has no ranges of such files yet, the newest has.
const STATIC_SERVER: &str = r#"
        root SCRATCH/root;
        include /etc/nginx/mime.types;
        charset utf-8;
        gzip_static on;
        max_ranges 0;
        gzip_vary on;

        location /always/ { alias SCRATCH/root/; gzip_static always; gzip_vary off; }
        location /unpacked/ { alias SCRATCH/root/; gzip_static always; gunzip on; }
"#;

const SERVER: &str = r#"
        root SCRATCH/root;
        include /etc/nginx/mime.types;
        charset utf-8;
        server_tokens off;
        gzip on;
        gzip_comp_level 5;
        gzip_types text/css;
        gzip_vary on;
        gzip_disable msie6 "old-agent";
        gzip_buffers 16 8k;

        location /all/ { alias SCRATCH/root/; gzip_types *; gzip_min_length 0; gzip_vary off; }
        location /off/ { alias SCRATCH/root/; gzip off; }
        location /old/ { alias SCRATCH/root/; gzip_http_version 1.0; }
        location = /text { default_type text/html; return 200 "more than twenty octets of text"; }
        location = /moved { return 302 /text; }
        location = /forbidden { return 403; }
        location = /gone { return 410; }
        location /proxied/any/ { alias SCRATCH/root/; gzip_proxied any; }
        location /proxied/expired/ { alias SCRATCH/root/; gzip_proxied expired; expires epoch; }
        location /proxied/expired-not/ { alias SCRATCH/root/; gzip_proxied expired; expires max; }
        location /proxied/no-cache/ { alias SCRATCH/root/; gzip_proxied no-cache; add_header Cache-Control "a, No-Cache"; }
        location /proxied/no-store/ { alias SCRATCH/root/; gzip_proxied no-store; add_header Cache-Control no-store; }
        location /proxied/private/ { alias SCRATCH/root/; gzip_proxied no-store private; add_header Cache-Control private; }
        location /proxied/private-not/ { alias SCRATCH/root/; gzip_proxied no-store; add_header Cache-Control private; }
        location /proxied/no_last_modified/ { alias SCRATCH/root/; gzip_proxied no_last_modified; }
        location /proxied/no_etag/ { alias SCRATCH/root/; gzip_proxied no_etag; }
        location = /proxied/no_etag/text { gzip_proxied no_etag; default_type text/html; return 200 "more than twenty octets"; }
        location /proxied/auth/ { alias SCRATCH/root/; gzip_proxied auth; }
"#;

#[test]
fn nginx_agrees() {
    let (compressed, plain) = compare(SERVER, TABLE);
    assert!(compressed > 12 && plain > 12, "{compressed} compressed, {plain} not");
}

#[test]
fn nginx_agrees_on_what_is_packed_already() {
    compare(STATIC_SERVER, STATIC_TABLE);
}

#[test]
fn parts_of_what_is_packed_already() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let web = Web::start(&scratch, &STATIC_SERVER.replace("max_ranges 0;", ""));
    let whole = ask("/packed.html", &[GZIP], &web.address);
    assert_eq!((whole.header("Content-Encoding"), whole.header("Accept-Ranges")), (Some("gzip"), Some("bytes")));
    let part = ask("/packed.html", &[GZIP, ("Range", "bytes=2-11")], &web.address);
    assert_eq!((part.status, part.header("Content-Encoding")), (206, Some("gzip")));
    assert!(part.body == whole.body[2..12]);
    let refused = ask("/packed.html", &[GZIP, ("Range", "bytes=90000-")], &web.address);
    assert_eq!((refused.status, refused.header("Content-Encoding")), (416, None), "the page is not packed");
}

/// Asks both servers everything in `table`. How many answers were compressed, and how many not.
#[track_caller]
fn compare(server: &str, table: &[Asked]) -> (u32, u32) {
    let scratch = Scratch::new();
    write_files(&scratch);
    let web = Web::start(&scratch, server);
    let theirs = Scratch::new();
    write_files(&theirs);
    let nginx_web = Web::nginx(&theirs, server);
    let mut failures = Vec::new();
    let (mut compressed, mut plain) = (0, 0);
    for (target, fields) in table {
        let (ours, nginx) = (ask(target, fields, &web.address), ask(target, fields, &nginx_web.address));
        *(if ours.header("Content-Encoding").is_some() { &mut compressed } else { &mut plain }) += 1;
        if facts(&ours) != facts(&nginx) {
            failures.push(format!("{target} {fields:?}:\n  {:?}\n  {:?}", told(&ours), told(&nginx)));
        }
    }
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), table.len(), failures.join("\n"));
    (compressed, plain)
}

#[test]
fn head_and_old_clients() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let web = Web::start(&scratch, SERVER);
    let head = Request::new("HEAD", "/page.html").header("Accept-Encoding", "gzip").send(&web.address);
    assert_eq!((head.header("Content-Encoding"), head.header("Content-Length")), (Some("gzip"), None));
    let old = |target| Request::get(target).version("HTTP/1.0").header("Accept-Encoding", "gzip").send(&web.address);
    assert_eq!(old("/page.html").header("Content-Encoding"), None);
    let answer = old("/old/page.html");
    assert_eq!((answer.header("Content-Encoding"), answer.header("Connection")), (Some("gzip"), Some("close")));
    assert!(unpacked(&answer) == page(20_000));
}

/// A file of 30 MB, whose reader lets it wait, holds nobody up and is whole in the end.
#[test]
fn a_large_file_lets_others_pass() {
    let scratch = Scratch::new();
    let large: Vec<u8> = (0..30_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    scratch.write("root/noise.html", &large);
    scratch.write("root/short.html", "short");
    let web = Web::start(&scratch, SERVER);
    let mut slow = Connection::to(&web.address);
    slow.send(Request::get("/noise.html").header("Accept-Encoding", "gzip").octets());
    for _ in 0..20 {
        assert_eq!(Request::get("/short.html").send(&web.address).text(), "short");
    }
    let answer = slow.response();
    assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
    assert!(unpacked(&answer) == large);
    assert_eq!(slow.exchange(Request::get("/short.html").octets()).text(), "short");
}

/// What an application has said reaches the client before it says more.
#[test]
fn a_stream_is_not_held_back() {
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "gzip on; gzip_types text/event-stream;", "events", "");
    let mut connection = Connection::to(&site.address);
    connection.send(Request::get("/").header("Accept-Encoding", "gzip").octets());
    let mut seen = Vec::new();
    wait_until("the first event is here", || {
        seen = connection.more().to_vec();
        seen.windows(4).any(|octets| octets == b"\x00\x00\xff\xff")
    });
    assert!(seen.windows(22).any(|octets| octets == b"Content-Encoding: gzip"), "{}", seen.escape_ascii());
    scratch.write("go", "");
    assert_eq!(unpacked(&connection.response()), b"data: first\n\ndata: second\n\n");
}

#[test]
fn the_ratio_is_logged() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let port = Port::reserve();
    let text = format!(
        "    log_format ratio \"$gzip_ratio\";\n    server {{\n        listen {};\n        access_log SCRATCH/ratio.log ratio;\n{SERVER}\n    }}",
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&text));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    ask("/page.html", &[GZIP], &port.address());
    ask("/page.html", &[], &port.address());
    wait_until("both are logged", || scratch.read("ratio.log").lines().count() == 2);
    let log = scratch.read("ratio.log");
    let lines: Vec<&str> = log.lines().collect();
    let ratio: f64 = lines[0].parse().expect("a number");
    assert!(ratio > 10.0 && lines[0].split('.').nth(1).is_some_and(|digits| digits.len() == 2), "{ratio}");
    assert_eq!(lines[1], "-");
}

fn ask(target: &str, fields: &[(&str, &str)], address: &Address) -> Response {
    fields.iter().fold(Request::get(target), |request, (name, value)| request.header(name, value)).send(address)
}

fn write_files(scratch: &Scratch) {
    let files = [
        ("root/page.html", page(20_000)),
        ("root/large.html", page(1_000_000)),
        ("root/style.css", b"a { color: red }\n".repeat(10)),
        ("root/note.txt", b"a note\n".repeat(10)),
        ("root/packed.html", b"the plain file\n".to_vec()),
        ("root/packed.html.gz", packed(&page(300_000))),
        ("root/only.txt.gz", [packed(b"first\n"), packed(b"second\n")].concat()),
        ("root/folder.html", b"beside a folder\n".to_vec()),
        ("root/folder.html.gz/file", b"in it\n".to_vec()),
        ("root/short.html", b"19 octets of a page".to_vec()),
    ];
    for (name, content) in files {
        let path = scratch.write(name, content);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_607_200);
        File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("the file is ours");
    }
}

/// A text of so many octets.
fn page(octets: usize) -> Vec<u8> {
    (0..).flat_map(|number: u32| format!("<p>line {number} of the page</p>\n").into_bytes()).take(octets).collect()
}

fn packed(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(octets).expect("memory has room");
    encoder.finish().expect("memory has room")
}

fn unpacked(response: &Response) -> Vec<u8> {
    if response.header("Content-Encoding") != Some("gzip") || response.status == 206 {
        return response.body.clone();
    }
    let mut all = Vec::new();
    MultiGzDecoder::new(response.body.as_slice()).read_to_end(&mut all).expect("a whole gzip body");
    all
}

/// What must agree; the text of error pages is each server's own.
fn facts(response: &Response) -> (Vec<String>, Vec<u8>) {
    let body = if response.status < 300 { unpacked(response) } else { Vec::new() };
    (told(response), body)
}

fn told(response: &Response) -> Vec<String> {
    const FIELDS: [&str; 12] = [
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Transfer-Encoding",
        "Accept-Ranges",
        "ETag",
        "Last-Modified",
        "Vary",
        "Cache-Control",
        "Expires",
        "Connection",
        "Content-Length",
    ];
    // The text of a page is each server's own; what is kept in its coded form has a length, where nginx has chunks.
    let is_framing_own = response.status >= 300 || response.header("Content-Encoding").is_some();
    let is_framing = |name: &str| matches!(name, "Content-Length" | "Transfer-Encoding");
    let fields = FIELDS.iter().filter(|name| !(is_framing_own && is_framing(name)));
    let values =
        fields.flat_map(|name| response.headers_named(name).into_iter().map(move |value| format!("{name}: {value}")));
    std::iter::once(response.status.to_string()).chain(values).collect()
}
