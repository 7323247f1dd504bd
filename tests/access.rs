//! Who may: `allow` and `deny`, `satisfy`, `limit_except`. The table is true of nginx too: see `nginx_agrees`.

use harness::{Address, Request, Scratch, Web, servers};

/// A method, a path, the status that must come.
const TABLE: &[(&str, &str, u16)] = &[
    ("GET", "/open/", 200),
    ("GET", "/all/", 403),
    ("GET", "/one/", 403),
    ("GET", "/other/", 200),
    ("GET", "/network/", 403),
    ("GET", "/v6/", 200),
    ("GET", "/unix/", 200),
    ("GET", "/first/", 200),
    ("GET", "/inner/", 403),
    ("GET", "/inner/again/", 403),
    ("GET", "/inner/own/", 200),
    ("GET", "/any/", 200),
    ("GET", "/any/none/", 403),
    ("GET", "/page/", 418),
    ("GET", "/except/", 200),
    ("HEAD", "/except/", 200),
    ("POST", "/except/", 403),
    ("DELETE", "/except/", 403),
    ("OTHER", "/except/", 403),
    ("GET", "/except-post/", 403),
    ("HEAD", "/except-post/", 403),
    ("POST", "/except-post/", 405),
    ("PUT", "/except-post/", 405),
];

const SERVER: &str = "
        root SCRATCH/root;
        try_files /file.txt =404;
        location /open/ { }
        location /all/ { deny all; }
        location /one/ { deny 127.0.0.1; }
        location /other/ { deny 127.0.0.2; }
        location /network/ { deny 127.0.0.0/8; allow all; }
        location /v6/ { deny ::1; deny 2001:db8::/32; }
        location /unix/ { deny unix:; }
        location /first/ { allow 127.0.0.1; deny all; }
        location /inner/ {
            deny all;
            location /inner/again/ { }
            location /inner/own/ { deny 192.0.2.0/24; }
        }
        location /any/ {
            satisfy any;
            allow 127.0.0.0/8;
            deny all;
            location /any/none/ { deny all; }
        }
        location /page/ { deny all; error_page 403 = @teapot; }
        location @teapot { allow all; return 418; }
        location /except/ { limit_except GET { deny all; } }
        location /except-post/ { limit_except POST PUT { deny 127.0.0.1; } }
";

#[test]
fn the_table_holds() {
    let scratch = Scratch::new();
    scratch.write("root/file.txt", "a file");
    let web = Web::start(&scratch, &server());
    assert_table(&web.address);
    assert!(scratch.read("error.log").contains("[error]"));
    assert!(scratch.read("error.log").contains("access forbidden by rule, client: 127.0.0.1"));
}

#[test]
fn nginx_agrees() {
    let scratch = Scratch::new();
    scratch.write("root/file.txt", "a file");
    assert_table(&Web::nginx(&scratch, &server()).address);
}

#[test]
fn what_is_wrong_is_said() {
    for (line, expected) in [
        ("deny host.test;", "invalid parameter \"host.test\""),
        ("allow 192.0.2.0/33;", "invalid parameter \"192.0.2.0/33\""),
        ("location /x { limit_except FETCH { deny all; } }", "invalid method \"FETCH\""),
        ("location /x { limit_except GET { root /x; } }", "\"root\" directive is not allowed here"),
        ("satisfy some;", "invalid value \"some\""),
    ] {
        let scratch = Scratch::new();
        let text = format!("    server {{\n        listen 127.0.0.1:1;\n        {line}\n    }}");
        scratch.write("web.conf", servers::nginx_conf(&text));
        let ended = servers::web(&scratch, "web.conf").arg("-t").run();
        assert!(!ended.status.success(), "{line}");
        assert!(ended.output.contains(expected), "{line}: {}", ended.output);
    }
}

/// Each location has the file for content: what a directory would answer is no part of this.
fn server() -> String {
    SERVER.replace("/ {", "/ { try_files /file.txt =404;")
}

#[track_caller]
fn assert_table(address: &Address) {
    harness::assert_each(TABLE, |(method, target, status)| {
        let mut request = Request::new(method, target);
        if *method != "GET" && *method != "HEAD" {
            request = request.header("Content-Length", "0");
        }
        let connection = &mut harness::Connection::to(address);
        connection.send(request.octets());
        let response = if *method == "HEAD" { connection.response_to_head() } else { connection.response() };
        let is_right = response.status == *status;
        (!is_right).then(|| format!("{method} {target}: {} instead of {status}", response.status))
    });
}
