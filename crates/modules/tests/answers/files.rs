//! `root`, `alias`, `index`: files and directories.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::site::Site;

const FILES: &[(&str, &str)] = &[
    ("www/index.html", "home"),
    ("www/a.txt", "text"),
    ("www/empty", ""),
    ("www/page.html", "<p>"),
    ("www/sub/index.html", "sub"),
    ("www/bare/x", ""),
    ("www/with space/y", ""),
    ("other/b.css", "css"),
    ("other/deep/c.css", "deep"),
    ("secret", "secret"),
];

fn site() -> Site {
    Site::start(
        FILES,
        "types { text/plain txt; text/css css; text/html html; } default_type application/octet-stream;
         server {
             listen 8080; root ROOT/www;
             location /static { alias ROOT/other; }
             location /slash { alias ROOT/other/; }
             location = /one { alias ROOT/www/page.html; }
             location /relative { absolute_redirect off; root ROOT/www; }
             location /nest/ { alias ROOT/other/; location ~ css$ { add_header X-Nested 1; } location /nest/in/ { } }
             location ~ ^/whole/ { alias ROOT/www/page.html; }
             location /named { server_name_in_redirect on; port_in_redirect off; alias ROOT/www; }
             server_name main.test;
         }",
    )
}

#[test]
fn a_file_is_sent_with_its_fields() {
    let site = site();
    let file = std::fs::File::options().append(true).open(site.path("www/a.txt")).expect("opened");
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(784_111_777)).expect("set");
    let answer = site.get("/a.txt");
    assert_eq!((answer.status, answer.body.as_str()), (200, "text"));
    assert_eq!(answer.field("Content-Type"), Some("text/plain"));
    assert_eq!(answer.field("Content-Length"), Some("4"));
    assert_eq!(answer.field("Last-Modified"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(answer.field("ETag"), Some("\"2ebc98a1-4\""));
    assert_eq!(answer.field("Accept-Ranges"), Some("bytes"));
    let head = site.ask("HEAD", "/a.txt", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.field("Content-Length"), Some("4"));
    let empty = site.get("/empty");
    assert_eq!((empty.status, empty.field("Content-Length")), (200, Some("0")));
    assert_eq!(empty.field("Content-Type"), Some("application/octet-stream"));
}

#[test]
fn other_methods_are_refused() {
    let site = site();
    for (method, target, status) in [
        ("POST", "/a.txt", 405),
        ("POST", "/missing", 404),
        ("POST", "/sub", 301),
        ("POST", "/", 405),
        ("PUT", "/a.txt", 405),
        ("DELETE", "/", 405),
        ("OPTIONS", "/missing", 405),
    ] {
        assert_eq!(site.ask(method, target, "").status, status, "{method} {target}");
    }
}

#[test]
fn directories_are_found_by_their_slash() {
    let site = site();
    assert_eq!(site.get("/").body, "home");
    assert_eq!(site.get("/sub/").body, "sub");
    assert_eq!(site.get("/bare/").status, 403);
    assert_eq!(site.get("/nowhere/").status, 404);
    assert_eq!(site.get("/a.txt/").status, 404);
    let location = |target: &str| {
        let answer = site.get(target);
        assert_eq!(answer.status, 301, "{target}");
        answer.field("Location").map(str::to_owned)
    };
    assert_eq!(location("/sub").as_deref(), Some("http://site.test:8080/sub/"));
    assert_eq!(location("/sub?a=b").as_deref(), Some("http://site.test:8080/sub/?a=b"));
    assert_eq!(location("/with%20space").as_deref(), Some("http://site.test:8080/with%20space/"));
    assert_eq!(location("/static/deep").as_deref(), Some("http://site.test:8080/static/deep/"));
    assert_eq!(location("/named/sub").as_deref(), Some("http://main.test/named/sub/"));
    std::fs::create_dir_all(site.path("www/relative/d")).expect("made");
    assert_eq!(location("/relative/d").as_deref(), Some("/relative/d/"));
}

#[test]
fn a_redirect_without_a_host_names_the_address() {
    let site = site();
    let answer = site.send(b"GET /sub HTTP/1.0\r\n\r\n");
    let answer = crate::site::Answer::read(&answer);
    assert_eq!(answer.field("Location"), Some("http://127.0.0.1:8080/sub/"));
}

#[test]
fn an_alias_stands_for_the_prefix() {
    let site = site();
    assert_eq!(site.get("/static/b.css").body, "css");
    assert_eq!(site.get("/static/b.css").field("Content-Type"), Some("text/css"));
    assert_eq!(site.get("/slash/deep/c.css").body, "deep");
    let nested = site.get("/nest/deep/c.css");
    assert_eq!((nested.body.as_str(), nested.field("X-Nested")), ("deep", Some("1")));
    std::fs::create_dir(site.path("other/in")).expect("made");
    std::fs::write(site.path("other/in/d"), "within").expect("written");
    assert_eq!(site.get("/nest/in/d").body, "within");
    assert_eq!(site.get("/whole/x").body, "<p>");
    assert_eq!(site.get("/one").body, "<p>");
    assert_eq!(site.get("/one").field("Content-Type"), Some("application/octet-stream"), "by the path, as in nginx");
}

#[test]
fn nothing_outside_the_root_is_sent() {
    let site = site();
    for target in ["/../secret", "/%2e%2e/secret", "/slash../secret", "/slash%2e%2e/secret", "/sub/../../secret"] {
        let answer = site.get(target);
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.status);
    }
    assert_eq!(site.get("/a.txt%00.html").status, 400);
}

#[test]
fn what_is_no_regular_file_is_not_sent() {
    let site = site();
    let made = Command::new("mkfifo").arg(site.path("www/pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    assert_eq!(site.get("/pipe").status, 404);
    symlink("loop", site.path("www/loop")).expect("linked");
    assert_eq!(site.get("/loop").status, 403);
    let long = "x".repeat(300);
    assert_eq!(site.get(&format!("/{long}")).status, 404);
    std::fs::set_permissions(site.path("www/a.txt"), std::fs::Permissions::from_mode(0o000)).expect("set");
    if std::fs::File::open(site.path("www/a.txt")).is_err() {
        assert_eq!(site.get("/a.txt").status, 403); // Root may read it all the same.
    }
    let errors = site.log_lines("logs/error.log", 3);
    assert!(errors[0].contains("is not a regular file"), "{errors:?}");
    assert!(errors[1].contains("[error]") && errors[1].contains("open() \""), "{errors:?}");
    assert!(errors[1].contains("failed (40: Too many levels of symbolic links), client: 127.0.0.1"), "{errors:?}");
}

#[test]
fn index_takes_the_first_file_that_is_there() {
    let site = Site::start(
        &[
            ("www/a/two.html", "two"),
            ("www/b/one.html", "one"),
            ("www/b/two.html", "two"),
            ("www/fallback", "fallback"),
        ],
        "server { listen 8080; root ROOT/www; index $arg_name.html one.html two.html /fallback; }",
    );
    assert_eq!(site.get("/a/").body, "two");
    assert_eq!(site.get("/b/").body, "one");
    assert_eq!(site.get("/b/?name=two").body, "two");
    assert_eq!(site.get("/b/?name=../a/two").status, 404, "out of the root");
    std::fs::create_dir(site.path("www/c")).expect("made");
    assert_eq!(site.get("/c/").body, "fallback");
    assert_eq!(site.get("/d/").status, 404);
}

#[test]
fn cached_files_are_sent_as_they_were() {
    let site = Site::start(
        &[("www/a", "one"), ("www/b", "two"), ("www/index.html", "home")],
        "open_file_cache max=2 inactive=10s; open_file_cache_valid 1h; open_file_cache_errors on;
         server { listen 8080; root ROOT/www; }",
    );
    assert_eq!(site.get("/a").body, "one");
    std::fs::remove_file(site.path("www/a")).expect("removed");
    let answer = site.get("/a");
    assert_eq!((answer.status, answer.body.as_str()), (200, "one"));
    assert_eq!(answer.field("ETag"), site.get("/a").field("ETag"));
    assert_eq!(site.get("/later").status, 404);
    std::fs::write(site.path("www/later"), "x").expect("written");
    assert_eq!(site.get("/later").status, 404);
    assert_eq!(site.get("/").body, "home");
    assert_eq!(site.get("/b").body, "two");
    assert_eq!(site.get("/later").body, "x", "the cache holds two");
}
