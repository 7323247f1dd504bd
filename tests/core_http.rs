//! What of nginx's core stands by itself: links that are not followed, names and errors of requests, variables of the connection.

use std::os::unix::fs::symlink;

use harness::{Address, Port, Request, Scratch, Web, servers};

/// A target and the status that must come.
const LINKS: &[(&str, u16)] = &[
    ("/off/link", 200),
    ("/off/folder/file", 200),
    ("/on/file", 200),
    ("/on/link", 403),
    ("/on/folder/file", 404),
    ("/on/none", 404),
    ("/owner/link", 200),
    ("/owner/folder/link", 200),
    ("/owner/foreign", 403),
    ("/from/file", 200),
    ("/from/link", 403),
    ("/try/link", 418),
    ("/if/file", 204),
    ("/if/link", 403),
    ("/cached/file", 200),
    ("/cached-on/link", 403),
    ("/cached/link", 200),
];

const LINKS_SERVER: &str = "
        location /off/ { alias SCRATCH/root/; }
        location /on/ { alias SCRATCH/root/; disable_symlinks on; }
        location /owner/ { alias SCRATCH/root/; disable_symlinks if_not_owner; }
        location /from/ { alias SCRATCH/root/folder/; disable_symlinks on from=SCRATCH/root/folder; }
        location /try/ { root SCRATCH/root; disable_symlinks on; try_files /link /none @teapot; }
        location @teapot { return 418; }
        location /if/ { alias SCRATCH/root/; disable_symlinks on; if (-f $request_filename) { return 204; } }
        open_file_cache max=10;
        open_file_cache_errors on;
        location /cached/ { alias SCRATCH/root/; }
        location /cached-on/ { alias SCRATCH/root/; disable_symlinks on; }
";

/// A file, a link to it, a folder, a link to that, and a link that belongs to somebody else than its file.
fn make_links(scratch: &Scratch) {
    scratch.write("root/file", "text");
    scratch.write("root/real/file", "text");
    for (target, name) in
        [("file", "root/link"), ("real", "root/folder"), ("file", "root/real/link"), ("/proc/version", "root/foreign")]
    {
        symlink(target, scratch.path(name)).expect("linked");
    }
    // Root's own link to root's file would be let pass.
    let nobody = rustix::fs::Uid::from_raw(65_534);
    if servers::is_root() {
        let path = scratch.path("root/foreign");
        rustix::fs::chownat(rustix::fs::CWD, path, Some(nobody), None, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .expect("given away");
    }
}

fn assert_links(address: &Address) {
    for (target, status) in LINKS {
        assert_eq!(Request::get(target).send(address).status, *status, "{target}");
    }
}

#[test]
fn links_are_followed_where_they_may_be() {
    let scratch = Scratch::new();
    make_links(&scratch);
    let web = Web::start(&scratch, LINKS_SERVER);
    assert_links(&web.address);
    assert!(scratch.read("error.log").contains("openat() \""));
}

#[test]
fn nginx_agrees_on_links() {
    let scratch = Scratch::new();
    make_links(&scratch);
    let port = Port::reserve();
    let text = format!("server {{ listen {}; {LINKS_SERVER} }}", port.address());
    scratch.write("web.conf", servers::nginx_conf(&text));
    let _nginx = servers::nginx(&scratch, "web.conf", &port.address());
    assert_links(&port.address());
}

#[test]
fn variables_tell_what_the_connection_said() {
    let scratch = Scratch::new();
    scratch.write("root/file.txt", "x".repeat(1_000));
    let port = Port::reserve();
    let text = format!(
        "log_format sent \"$uri $sent_http_connection $sent_http_content_length $sent_http_transfer_encoding $sent_http_keep_alive\";
        log_format tcp \"$tcpinfo_rtt $tcpinfo_rttvar $tcpinfo_snd_cwnd $tcpinfo_rcv_space\";
        server {{ listen {}; root SCRATCH/root; gzip on; gzip_types *; gzip_comp_level 9; keepalive_timeout 60s 50s;
            access_log SCRATCH/sent.log sent; access_log SCRATCH/tcp.log tcp; }}",
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&text));
    let mut web = servers::daemun_web(&scratch, "web.conf", &port.address());
    Request::get("/file.txt").header("Connection", "close").send(&port.address());
    let mut connection = harness::Connection::to(&port.address());
    connection.exchange(Request::get("/file.txt").octets());
    connection.send(Request::new("HEAD", "/file.txt").octets());
    connection.response_to_head();
    drop(connection);
    web.signal(rustix::process::Signal::QUIT);
    web.wait();
    let lines = scratch.read("sent.log");
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(
        lines,
        [
            "/file.txt close 1000 - -",
            "/file.txt keep-alive 1000 - timeout=50",
            "/file.txt keep-alive 1000 - timeout=50"
        ]
    );
    for line in scratch.read("tcp.log").lines() {
        let numbers: Vec<u32> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
        assert!(numbers.len() == 4 && numbers[2] > 0 && numbers[3] > 0, "{line}");
    }
}

const NAMES: &str = "
    server { listen PORT; server_name first; location / { return 200 \"first $server_name\"; } }
    server { listen PORT; server_name other \"\"; location / { return 200 \"other $server_name\"; } }
    server { listen PORT; server_name .point; location / { return 200 \"point $server_name\"; } }
";

fn assert_names(address: &Address) {
    for (host, expected) in [
        ("Host: unknown\r\n", "first first"),
        ("Host: other\r\n", "other other"),
        ("", "other other"),
        ("Host: point\r\n", "point point"),
        ("Host: below.point\r\n", "point point"),
    ] {
        let mut connection = harness::Connection::to(address);
        connection.send(format!("GET / HTTP/1.0\r\n{host}\r\n"));
        let answer = String::from_utf8(connection.rest()).expect("text");
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{host:?}: {answer}");
    }
}

#[test]
fn a_request_without_a_host_has_the_empty_name() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.write("web.conf", servers::nginx_conf(&NAMES.replace("PORT", &port.address().to_string())));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    assert_names(&port.address());
}

#[test]
fn nginx_agrees_on_names() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.write("web.conf", servers::nginx_conf(&NAMES.replace("PORT", &port.address().to_string())));
    let _nginx = servers::nginx(&scratch, "web.conf", &port.address());
    assert_names(&port.address());
}

/// A target and what must stand in the answer.
const PASSING: &[(&str, &str)] = &[
    ("/app?a=b", "Location: http://ADDRESS/app/?a=b"),
    ("/sp%20ace", "Location: http://ADDRESS/sp%20ace/"),
    ("/file", "HTTP/1.1 200 "),
    ("/exact", "HTTP/1.1 204 "),
    ("/regex", "Location: http://ADDRESS/regex/"),
    ("/rooted", "HTTP/1.1 404 "),
    // An error on the way to the page of an error is the one that is told, and so is a redirect.
    ("/page-missing", "HTTP/1.1 404 "),
    ("/page-folder", "HTTP/1.1 301 "),
    ("/page-there", "HTTP/1.1 403 "),
    ("/page-changed", "HTTP/1.1 404 "),
    ("/bad%", "HTTP/1.1 301 "),
];

const PASSING_SERVER: &str = "
    server {
        listen ADDRESS;
        root SCRATCH/root;
        error_page 400 /bad-page;
        location /app/ { proxy_pass http://ADDRESS/other/; }
        location \"/sp ace/\" { proxy_pass http://ADDRESS/other/; }
        location /file/ { proxy_pass http://ADDRESS/other/; }
        location /file { alias SCRATCH/root/page; }
        location /exact/ { proxy_pass http://ADDRESS/other/; }
        location = /exact { return 204; }
        location /regex/ { proxy_pass http://ADDRESS/other/; }
        location ~ ^/regex$ { return 204; }
        location /rooted/ { }
        location /page-missing { error_page 403 /none; return 403; }
        location /page-folder { error_page 403 /folder; return 403; }
        location /page-there { error_page 403 /page; return 403; }
        location /page-changed { error_page 403 =200 /none; return 403; }
        location /bad-page { return 301 /moved; }
        location /discard { return 200 text; }
    }
";

fn assert_passing(address: &Address) {
    for (target, expected) in PASSING {
        let mut connection = harness::Connection::to(address);
        connection.send(format!("GET {target} HTTP/1.0\r\nHost: {address}\r\n\r\n"));
        let answer = String::from_utf8(connection.rest()).expect("text");
        let expected = expected.replace("ADDRESS", &address.to_string());
        assert!(answer.contains(&expected), "{target}: {answer}");
    }
    // A chunk that is longer than it says, of a body that nobody reads.
    let mut connection = harness::Connection::to(address);
    connection.send("GET /discard HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nSEE-THIS\r\n0\r\n\r\n");
    let answer = String::from_utf8(connection.rest()).expect("text");
    assert!(answer.starts_with("HTTP/1.1 301 "), "the page of 400: {answer}");
    // Whoever expects to be told to go on is told, even with nothing to send.
    let mut connection = harness::Connection::to(address);
    connection.send(
        "POST /app/ HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(connection.interim(), 100);
    assert_eq!(connection.response().status, 404);
}

fn passing(scratch: &Scratch, port: &Port) {
    scratch.write("root/page", "a page");
    scratch.make_folder("root/folder");
    scratch.write("web.conf", servers::nginx_conf(&PASSING_SERVER.replace("ADDRESS", &port.address().to_string())));
}

#[test]
fn paths_without_their_slash_and_errors_of_error_pages() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    passing(&scratch, &port);
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    assert_passing(&port.address());
}

#[test]
fn nginx_agrees_on_paths_and_errors() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    passing(&scratch, &port);
    let _nginx = servers::nginx(&scratch, "web.conf", &port.address());
    assert_passing(&port.address());
}
