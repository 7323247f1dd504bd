//! brotli and zstd beside gzip: who gets which, and that it is whole. Debian's nginx has neither; `gzip` compares gzip with it.

use std::io::Read;

use harness::{Address, Connection, Request, Response, Scratch, Site, Web, servers, wait_until};

const SERVER: &str = r#"
        root SCRATCH/root;
        types { text/html html; text/css css; }
        default_type text/plain;
        gzip_vary on;
        brotli_buffers 32 4k;
        zstd_buffers 32 4k;
        location / { gzip on; brotli on; zstd on; brotli_types text/css; gzip_types text/css; }
        location /brotli/ { alias SCRATCH/root/; brotli on; brotli_comp_level 11; brotli_window 1m; brotli_min_length 1000; }
        location /zstd/ { alias SCRATCH/root/; zstd on; zstd_comp_level 19; zstd_window 8m; zstd_types *; }
        location /gzip-brotli/ { alias SCRATCH/root/; gzip on; brotli on; }
        location /off/ { alias SCRATCH/root/; }
        location /static/ { alias SCRATCH/root/packed/; gzip_static on; brotli_static on; zstd_static on; gzip_vary on; }
        location /static-brotli/ { alias SCRATCH/root/packed/; gzip_static always; brotli_static on; gzip_vary off; }
        location /always/ { alias SCRATCH/root/packed/; zstd_static always; }
"#;

fn page() -> Vec<u8> {
    (0..500).flat_map(|number| format!("<p>line {number} of the page</p>\n").into_bytes()).collect()
}

fn fill(scratch: &Scratch) {
    scratch.write("root/page.html", page());
    scratch.write("root/large.html", page().repeat(40));
    scratch.write("root/style.css", "a { color: red }\n".repeat(20));
    scratch.write("root/short.html", "short");
    for (name, content) in [
        ("all.html", "plain"),
        ("all.html.gz", "gz"),
        ("all.html.br", "br"),
        ("all.html.zst", "zst"),
        ("gz.html", "plain"),
        ("gz.html.gz", "gz"),
        ("none.html", "plain"),
    ] {
        scratch.write(&format!("root/packed/{name}"), content);
    }
}

fn ask(address: &Address, target: &str, accept: &str) -> Response {
    Request::get(target).header("Accept-Encoding", accept).send(address)
}

fn coding(response: &Response) -> &str {
    response.header("Content-Encoding").unwrap_or("none")
}

fn unpacked(response: &Response) -> Vec<u8> {
    let mut all = Vec::new();
    let body = response.body.as_slice();
    let read = match coding(response) {
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut all),
        "zstd" => zstd::stream::read::Decoder::new(body).and_then(|mut decoder| decoder.read_to_end(&mut all)),
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut all),
        _ => return response.body.clone(),
    };
    read.unwrap_or_else(|error| panic!("{}: {error}", coding(response)));
    all
}

/// Target, `Accept-Encoding`, what comes.
const TABLE: &[(&str, &str, &str)] = &[
    ("/page.html", "gzip, deflate, br, zstd", "zstd"),
    ("/page.html", "gzip, deflate, br", "br"),
    ("/page.html", "gzip", "gzip"),
    ("/page.html", "BR", "br"),
    ("/page.html", "", "none"),
    ("/page.html", "deflate, identity", "none"),
    ("/page.html", "gzip;q=1.0, br;q=0.9, zstd;q=0.8", "gzip"),
    ("/page.html", "gzip;q=0.5, br;q=0.9, zstd;q=0.8", "br"),
    ("/page.html", "gzip;q=0.5, br;q=0, zstd;q=0", "gzip"),
    ("/page.html", "zstd;q=0", "none"),
    ("/page.html", "br;q=2", "none"),
    ("/page.html", "brotli, zstandard", "none"),
    ("/style.css", "gzip, br, zstd", "br"),
    ("/style.css", "zstd", "none"),
    ("/short.html", "gzip, br, zstd", "none"),
    ("/absent.html", "gzip, br, zstd", "zstd"),
    ("/large.html", "zstd", "zstd"),
    ("/large.html", "br", "br"),
    ("/brotli/page.html", "gzip, br, zstd", "br"),
    ("/brotli/style.css", "gzip, br, zstd", "none"),
    ("/zstd/page.html", "gzip, br, zstd", "zstd"),
    ("/zstd/style.css", "gzip, br, zstd", "zstd"),
    ("/gzip-brotli/page.html", "gzip, br, zstd", "br"),
    ("/gzip-brotli/page.html", "zstd", "none"),
    ("/off/page.html", "gzip, br, zstd", "none"),
];

#[test]
fn each_client_gets_what_it_wants_most() {
    let scratch = Scratch::new();
    fill(&scratch);
    let web = Web::start(&scratch, SERVER);
    for (target, accept, expected) in TABLE {
        // Twice: the second answer of a small file may be one that was kept.
        for _ in 0..2 {
            let response = ask(&web.address, target, accept);
            assert_eq!(coding(&response), *expected, "{target} for {accept:?}");
            let plain = ask(&web.address, target, "");
            assert!(unpacked(&response) == plain.body, "{target} for {accept:?}");
            if *expected != "none" {
                assert!(response.body.len() < plain.body.len(), "{target} for {accept:?}");
                assert!(response.header("Accept-Ranges").is_none());
            }
        }
    }
    let vary = |target| ask(&web.address, target, "").header("Vary").map(str::to_owned);
    assert_eq!(vary("/page.html").as_deref(), Some("Accept-Encoding"));
    assert_eq!(vary("/off/page.html"), None);
    let proxied =
        Request::get("/page.html").header("Accept-Encoding", "br").header("Via", "1.1 proxy.test").send(&web.address);
    assert_eq!(coding(&proxied), "none", "gzip_proxied holds for all codings");
    let part =
        Request::get("/page.html").header("Accept-Encoding", "br").header("Range", "bytes=0-9").send(&web.address);
    assert_eq!((part.status, coding(&part)), (200, "br"));
}

#[test]
fn files_that_are_packed_already() {
    let scratch = Scratch::new();
    fill(&scratch);
    let web = Web::start(&scratch, SERVER);
    for (target, accept, body, expected) in [
        ("/static/all.html", "gzip, br, zstd", "br", "br"),
        ("/static/all.html", "gzip, zstd", "zst", "zstd"),
        ("/static/all.html", "gzip;q=1, br;q=0.5", "gz", "gzip"),
        ("/static/all.html", "deflate", "plain", "none"),
        ("/static/gz.html", "gzip;q=0.1, br, zstd", "gz", "gzip"),
        ("/static/none.html", "gzip, br, zstd", "plain", "none"),
        ("/static-brotli/all.html", "br, gzip", "br", "br"),
        ("/static-brotli/all.html", "deflate", "gz", "gzip"),
        ("/always/all.html", "", "zst", "zstd"),
        ("/always/none.html", "zstd", "plain", "none"),
    ] {
        let response = ask(&web.address, target, accept);
        assert_eq!((response.text().as_str(), coding(&response)), (body, expected), "{target} for {accept:?}");
        assert_eq!(response.header("Content-Type"), Some("text/html"), "{target}");
    }
    let vary = |target| ask(&web.address, target, "").header("Vary").map(str::to_owned);
    assert_eq!(vary("/static/all.html").as_deref(), Some("Accept-Encoding"));
    assert_eq!(vary("/static/none.html"), None);
}

/// What an application has said reaches the client before it says more.
#[test]
fn a_stream_is_not_held_back() {
    for coding_asked in ["br", "zstd"] {
        let scratch = Scratch::new();
        let server = "brotli on; zstd on; brotli_types text/event-stream; zstd_types text/event-stream;";
        let site = Site::start(&scratch, server, "events", "");
        let mut connection = Connection::to(&site.address);
        connection.send(Request::get("/").header("Accept-Encoding", coding_asked).octets());
        let mut seen = 0;
        wait_until("the first event is here", || {
            let octets = connection.more();
            let head = octets.windows(4).position(|four| four == b"\r\n\r\n").map_or(octets.len(), |at| at + 4);
            seen = octets.len() - head;
            // A chunk's line, and more of the body than a coding's own beginning.
            seen > 20
        });
        scratch.write("go", "");
        assert_eq!(unpacked(&connection.response()), b"data: first\n\ndata: second\n\n");
    }
}

#[test]
fn wrong_windows_and_levels_are_refused() {
    for (directive, message) in [
        ("brotli_window 500k;", "invalid value \"500k\" in \"brotli_window\" directive"),
        ("brotli_window 32m;", "invalid value \"32m\" in \"brotli_window\" directive"),
        ("zstd_window 16m;", "invalid value \"16m\" in \"zstd_window\" directive"),
        ("brotli_comp_level 12;", "\"brotli_comp_level\" directive value must be equal to or less than 11"),
        ("zstd_comp_level 0;", "\"zstd_comp_level\" directive value must be equal to or greater than 1"),
    ] {
        let scratch = Scratch::new();
        scratch.write("web.conf", servers::nginx_conf(&format!("server {{ listen 127.0.0.1:1; {directive} }}")));
        let ended = servers::web(&scratch, "web.conf").arg("-t").run();
        assert!(!ended.status.success() && ended.output.contains(message), "{directive}: {}", ended.output);
    }
}
