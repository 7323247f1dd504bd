//! Files from disk, and what the web server answers by itself. Every table is true of nginx too: see `nginx_agrees`.

use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, SystemTime};

use harness::{Address, Connection, Port, Request, Response, Scratch, Web, servers, wait_until};

/// A request and what must come.
struct Asked {
    target: &'static str,
    header: Option<(&'static str, &'static str)>,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const fn asked(
    target: &'static str,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Asked {
    Asked { target, header: None, status, headers, body }
}

const fn with(header: (&'static str, &'static str), asked: Asked) -> Asked {
    Asked { header: Some(header), ..asked }
}

const TIME: &str = "Mon, 05 Jan 2026 10:00:00 GMT";
const TAG: &str = "\"695b8ba0-a\"";

const TABLE: &[Asked] = &[
    asked(
        "/files/ten.txt",
        200,
        &[
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", "10"),
            ("Last-Modified", TIME),
            ("ETag", TAG),
            ("Accept-Ranges", "bytes"),
        ],
        "0123456789",
    ),
    asked("/files/style.css", 200, &[("Content-Type", "text/css")], "a {}\n"),
    asked("/files/page.html", 200, &[("Content-Type", "text/html; charset=utf-8")], "<p>page</p>\n"),
    asked("/files/data.json", 200, &[("Content-Type", "application/json")], "{}\n"),
    asked("/files/unknown.zzz", 200, &[("Content-Type", "application/octet-stream")], "zzz"),
    asked("/files/own.own", 200, &[("Content-Type", "application/octet-stream")], "own"),
    asked("/types/own.own", 200, &[("Content-Type", "text/x-own")], "own"),
    asked("/types/ten.txt", 200, &[("Content-Type", "text/x-default")], "0123456789"),
    asked("/files/a%20b.txt", 200, &[], "blank\n"),
    asked("/files/./x/../ten.txt", 200, &[], "0123456789"),
    asked("/files/ten.txt/", 404, &[], ""),
    asked("/files/absent", 404, &[("Content-Type", "text/html; charset=utf-8")], ""),
    asked("/files/link.txt", 200, &[], "0123456789"),
    asked("/folder", 301, &[], ""),
    asked("/folder/", 200, &[], "the index\n"),
    asked("/folder/second/", 200, &[], "another index\n"),
    asked("/folder/none/", 403, &[], ""),
    asked("/aliased/ten.txt", 200, &[], "0123456789"),
    asked("/aliased/", 403, &[], ""),
    asked("/exactly", 200, &[], "0123456789"),
    asked("/tried/ten.txt", 200, &[], "0123456789"),
    asked("/tried/other", 200, &[], "named /tried/other"),
    asked("/tried-status/other", 418, &[], ""),
    asked("/returned/302", 302, &[("Location", "http://elsewhere.test/x")], ""),
    asked("/returned/200", 200, &[("Content-Type", "text/x-own")], "text of /returned/200"),
    asked("/returned/204", 204, &[], ""),
    asked("/returned/path", 301, &[("Location", "http://example.test:PORT/there?x=1")], ""),
    asked("/page/absent", 404, &[("Content-Type", "text/html; charset=utf-8")], "our 404\n"),
    asked("/page-ok/absent", 200, &[], "our 404\n"),
    asked("/page-away/absent", 302, &[("Location", "http://elsewhere.test/")], ""),
    asked("/internal/ten.txt", 404, &[], ""),
    asked("/precedence/exact", 200, &[], "exact"),
    asked("/precedence/exact/more", 200, &[], "prefix"),
    asked("/precedence/longer/x", 200, &[], "longer prefix"),
    asked("/precedence/longer/x.php", 200, &[], "regular expression"),
    asked("/precedence/X.PHP", 200, &[], "regular expression without case"),
    asked("/precedence/first/x.php", 200, &[], "first prefix"),
    asked("/precedence/outer/inner/x", 200, &[], "nested"),
    with(
        ("Range", "bytes=2-4"),
        asked("/files/ten.txt", 206, &[("Content-Range", "bytes 2-4/10"), ("Content-Length", "3")], "234"),
    ),
    with(("Range", "bytes=7-"), asked("/files/ten.txt", 206, &[("Content-Range", "bytes 7-9/10")], "789")),
    with(("Range", "bytes=-3"), asked("/files/ten.txt", 206, &[("Content-Range", "bytes 7-9/10")], "789")),
    with(("Range", "bytes=-30"), asked("/files/ten.txt", 206, &[("Content-Range", "bytes 0-9/10")], "0123456789")),
    with(("Range", "bytes=5-100"), asked("/files/ten.txt", 206, &[("Content-Range", "bytes 5-9/10")], "56789")),
    with(("Range", "bytes=10-"), asked("/files/ten.txt", 416, &[("Content-Range", "bytes */10")], "")),
    with(("Range", "bytes=4-2"), asked("/files/ten.txt", 416, &[], "")),
    with(("Range", "bytes=0-9,0-9"), asked("/files/ten.txt", 200, &[("Content-Length", "10")], "0123456789")),
    with(("Range", "pages=1"), asked("/files/ten.txt", 200, &[], "0123456789")),
    with(("If-Modified-Since", TIME), asked("/files/ten.txt", 304, &[("ETag", TAG), ("Last-Modified", TIME)], "")),
    with(("If-Modified-Since", "Mon, 05 Jan 2026 10:00:01 GMT"), asked("/files/ten.txt", 200, &[], "0123456789")),
    with(("If-Modified-Since", "Mon, 05 Jan 2026 10:00:01 GMT"), asked("/before/ten.txt", 304, &[], "")),
    with(("If-Unmodified-Since", TIME), asked("/files/ten.txt", 200, &[], "0123456789")),
    with(("If-Unmodified-Since", "Sun, 04 Jan 2026 10:00:00 GMT"), asked("/files/ten.txt", 412, &[], "")),
    with(("If-None-Match", TAG), asked("/files/ten.txt", 304, &[], "")),
    with(("If-None-Match", "\"a\", W/\"695b8ba0-a\""), asked("/files/ten.txt", 304, &[], "")),
    with(("If-None-Match", "\"a\""), asked("/files/ten.txt", 200, &[], "0123456789")),
    with(("If-Match", TAG), asked("/files/ten.txt", 200, &[], "0123456789")),
    with(("If-Match", "\"a\""), asked("/files/ten.txt", 412, &[], "")),
];

const SERVER: &str = r#"
        server_name example.test;
        root SCRATCH/root;
        charset utf-8;
        include /etc/nginx/mime.types;
        default_type application/octet-stream;

        location /types/ {
            alias SCRATCH/root/files/;
            types { text/x-own own; }
            default_type text/x-default;
        }
        location /folder/ { index absent.html index.txt; }
        location /aliased/ { alias SCRATCH/root/files/; }
        location = /exactly { alias SCRATCH/root/files/ten.txt; }
        location /tried/ { root SCRATCH/root/tried-root; try_files $uri $uri/ @named; }
        location @named { default_type text/plain; return 200 "named $uri"; }
        location /tried-status/ { try_files $uri =418; }
        location /returned/302 { return 302 http://elsewhere.test/x; }
        location /returned/200 { default_type text/x-own; return 200 "text of $request_uri"; }
        location /returned/204 { return 204; }
        location /returned/path { return 301 /there?x=1; }
        location /page/ { error_page 404 /own/404.html; }
        location /page-ok/ { error_page 404 =200 /own/404.html; }
        location /page-away/ { error_page 404 http://elsewhere.test/; }
        location /own/ { internal; }
        location /internal/ { internal; alias SCRATCH/root/files/; }
        location /before/ { alias SCRATCH/root/files/; if_modified_since before; }

        location = /precedence/exact { return 200 "exact"; }
        location /precedence/ { return 200 "prefix"; }
        location /precedence/longer/ { return 200 "longer prefix"; }
        location ^~ /precedence/first/ { return 200 "first prefix"; }
        location ~ \.php$ { return 200 "regular expression"; }
        location ~* \.php$ { return 200 "regular expression without case"; }
        location /precedence/outer/ {
            location /precedence/outer/inner/ { return 200 "nested"; }
            return 200 "outer";
        }
        location /silent { return 444; }
"#;

#[test]
fn the_table_holds_and_nginx_agrees() {
    harness::site::ask_both(SERVER, write_files, assert_table);
}

#[test]
fn a_large_file_reaches_slow_and_fast_readers() {
    let scratch = Scratch::new();
    let large: Vec<u8> = (0..40_000_000_u32).map(|index| (index / 1000) as u8).collect();
    scratch.write("root/files/large.bin", &large);
    let web = Web::start(&scratch, SERVER);
    let mut slow = Connection::to(&web.address);
    slow.send(Request::get("/files/large.bin").octets());
    assert!(Request::get("/files/large.bin").send(&web.address).body == large);
    let range = Request::get("/files/large.bin").header("Range", "bytes=30000000-39999999");
    assert!(range.send(&web.address).body == large[30_000_000..]);
    assert!(slow.response().body == large);
    // The connection is as good as before.
    assert_eq!(slow.exchange(Request::get("/precedence/exact").octets()).text(), "exact");
}

/// Without sendfile() a file goes through memory, and is the same.
#[test]
fn sendfile_may_be_switched_off() {
    let scratch = Scratch::new();
    let large: Vec<u8> = (0..5_000_000_u32).map(|index| (index / 1000) as u8).collect();
    scratch.write("root/files/large.bin", &large);
    let web = Web::start(&scratch, &format!("{SERVER}\nsendfile off;"));
    let mut connection = Connection::to(&web.address);
    for _ in 0..2 {
        assert!(connection.exchange(Request::get("/files/large.bin").octets()).body == large);
        let ranges = Request::get("/files/large.bin").header("Range", "bytes=0-99999,4000000-");
        assert!(connection.exchange(ranges.octets()).body.windows(999_000).any(|window| window == &large[4_001_000..]));
    }
    connection.send(Request::get("/files/large.bin").octets());
    connection.more();
    let path = scratch.path("root/files/large.bin");
    let mut file = File::options().append(true).open(&path).expect("the file is ours");
    file.write_all(&vec![b'x'; 25_000_000]).expect("the file is ours");
    assert!(connection.response().body.len() == large.len(), "a file that grows is sent as far as was announced");
    connection.send(Request::get("/files/large.bin").octets());
    connection.more();
    file.set_len(1000).expect("the file is ours");
    assert!(connection.try_response().is_err(), "fewer octets than announced must not look whole");
}

/// A file that grows or shrinks while it is sent does not spoil the framing.
#[test]
fn a_file_that_shrinks_is_cut_off() {
    let scratch = Scratch::new();
    let path = scratch.write("root/files/large.bin", vec![b'x'; 40_000_000]);
    let web = Web::start(&scratch, SERVER);
    let mut connection = Connection::to(&web.address);
    connection.send(Request::get("/files/large.bin").octets());
    connection.more();
    File::options().write(true).open(&path).and_then(|file| file.set_len(1000)).expect("the file is ours");
    assert!(connection.try_response().is_err(), "fewer octets than announced must not look whole");
}

#[test]
fn paths_stay_below_the_root() {
    let scratch = Scratch::new();
    write_files(&scratch);
    scratch.write("secret.txt", "secret");
    scratch.write("root/files-secret/x.txt", "secret");
    let web = Web::start(&scratch, SERVER);
    for target in [
        "/../secret.txt",
        "/files/../../secret.txt",
        "/files/%2e%2e/%2e%2e/secret.txt",
        "/files/..%2f..%2fsecret.txt",
        "/aliased/../../secret.txt",
        "/aliased/..%2f..%2fsecret.txt",
        "/aliased%2f../../secret.txt",
        "//../secret.txt",
        "/files/ten.txt%00.html",
        "/files/..\\..\\secret.txt",
    ] {
        let response = Request::get(target).send(&web.address);
        assert!((400..500).contains(&response.status), "{target}: {}", response.status);
        assert!(!response.text().contains("secret"), "{target}");
    }
}

#[test]
fn other_methods_are_not_allowed() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let web = Web::start(&scratch, SERVER);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let response = Request::new(method, "/files/ten.txt").header("Content-Length", "0").send(&web.address);
        assert_eq!(response.status, 405, "{method}");
    }
    let response = Request::new("HEAD", "/files/ten.txt").send(&web.address);
    assert_eq!((response.status, response.header("Content-Length")), (200, Some("10")));
}

#[test]
fn return_444_says_nothing() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, SERVER);
    let mut connection = Connection::to(&web.address);
    connection.send(Request::get("/silent").octets());
    assert_eq!(connection.rest(), b"");
}

#[test]
fn access_log_is_combined() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let web = Web::start(&scratch, SERVER);
    let request =
        Request::get("/files/ten.txt?q=\"1\"").header("Referer", "http://a.test/").header("User-Agent", "agent \"x\"");
    request.header("Authorization", "Basic dXNlcjpwYXNz").send(&web.address);
    Request::new("HEAD", "/files/absent").send(&web.address);
    wait_until("both are logged", || scratch.read("access.log").lines().count() == 2);
    let log = scratch.read("access.log");
    let lines: Vec<&str> = log.lines().collect();
    let (start, end) = lines[0].split_once(" [").expect("the time stands in brackets");
    assert_eq!(start, "127.0.0.1 - user");
    let (time, end) = end.split_once("] ").expect("the time stands in brackets");
    assert_eq!((time.len(), time.matches('/').count()), (26, 2), "{time}");
    let expected = r#""GET /files/ten.txt?q=\x221\x22 HTTP/1.1" 200 10 "http://a.test/" "agent \x22x\x22""#;
    assert_eq!(end, expected);
    assert!(lines[1].ends_with(r#""HEAD /files/absent HTTP/1.1" 404 0 "-" "-""#), "{}", lines[1]);
}

#[test]
fn error_log_tells_which_file_is_missing() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let web = Web::start(&scratch, SERVER);
    Request::get("/files/absent.txt").header("Referer", "http://a.test/").send(&web.address);
    let path = scratch.text_path("root/files/absent.txt");
    wait_until("the file is named", || {
        scratch.read("error.log").lines().any(|line| {
            line.contains("[error]")
                && line.contains(&format!("open() \"{path}\" failed (2: No such file or directory)"))
                && line.contains("client: 127.0.0.1")
                && line.contains("request: \"GET /files/absent.txt HTTP/1.1\"")
                && line.contains("host: \"example.test\"")
        })
    });
}

#[test]
fn servers_are_told_apart_by_name() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let address = port.address().to_string();
    let server = |names: &str, option: &str, word: &str| {
        format!("server {{ listen {address}{option}; server_name {names}; location / {{ return 200 \"{word}\"; }} }}\n")
    };
    let http = [
        server("first.test", "", "first"),
        server("exact.test www.exact.test", "", "exact"),
        server("*.wild.test", "", "wild"),
        server("tail.*", "", "tail"),
        server(".dot.test", "", "dot"),
        server("~^number[0-9]+\\.test$", "", "number"),
        server("_", " default_server", "default"),
    ];
    scratch.write("web.conf", servers::nginx_conf(&http.concat()));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    for (host, expected) in [
        ("first.test", "first"),
        ("exact.test", "exact"),
        ("WWW.Exact.Test:80", "exact"),
        ("a.wild.test", "wild"),
        ("a.b.wild.test", "wild"),
        ("wild.test", "default"),
        ("tail.org", "tail"),
        ("dot.test", "dot"),
        ("x.dot.test", "dot"),
        ("number42.test", "number"),
        ("number.test", "default"),
        ("127.0.0.1", "default"),
    ] {
        assert_eq!(Request::get("/").host(host).send(&port.address()).text(), expected, "{host}");
    }
}

fn write_files(scratch: &Scratch) {
    for (name, content) in [
        ("root/files/ten.txt", "0123456789"),
        ("root/files/style.css", "a {}\n"),
        ("root/files/page.html", "<p>page</p>\n"),
        ("root/files/data.json", "{}\n"),
        ("root/files/unknown.zzz", "zzz"),
        ("root/files/own.own", "own"),
        ("root/files/a b.txt", "blank\n"),
        ("root/folder/index.txt", "the index\n"),
        ("root/folder/second/index.txt", "another index\n"),
        ("root/tried-root/tried/ten.txt", "0123456789"),
        ("root/own/404.html", "our 404\n"),
    ] {
        let path = scratch.write(name, content);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_607_200);
        File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("the file is ours");
    }
    scratch.make_folder("root/folder/none");
    let link = scratch.path("root/files/link.txt");
    std::os::unix::fs::symlink("ten.txt", &link).expect("a link can be made");
    assert!(fs::metadata(link).is_ok());
}

#[track_caller]
fn assert_table(address: &Address) {
    let port = address.port();
    harness::assert_each(TABLE, |asked| {
        let request = Request::get(asked.target);
        let request = asked.header.iter().fold(request, |request, (name, value)| request.header(name, value));
        let why = disagreement(asked, &request.send(address), &port)?;
        Some(format!("{} {:?}: {why}", asked.target, asked.header))
    });
}

/// What is otherwise than the table says. An empty body in the table says nothing of an error page.
fn disagreement(asked: &Asked, response: &Response, port: &str) -> Option<String> {
    if response.status != asked.status {
        return Some(format!("status {} instead of {}", response.status, asked.status));
    }
    for (name, expected) in asked.headers {
        let expected = expected.replace("PORT", port);
        if response.header(name) != Some(&expected) {
            return Some(format!("{name}: {:?} instead of {expected:?}", response.header(name)));
        }
    }
    let has_page = asked.body.is_empty() && response.status >= 300;
    (!has_page && response.text() != asked.body)
        .then(|| format!("body {:?} instead of {:?}", response.text(), asked.body))
}
