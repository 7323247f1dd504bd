//! `return`.

use crate::site::{Site, errors};

#[test]
fn a_request_ends_with_what_is_returned() {
    let site = Site::start(
        &[("www/404.html", "custom")],
        "default_type text/x-test;
         server {
             listen 8080; root ROOT/www; error_page 404 /404.html; error_page 403 =200 /404.html;
             location = /text { return 200 \"uri $uri\"; }
             location = /empty { return 204; }
             location = /nothing { return 200; }
             location = /custom { return 404; }
             location = /own { return 404 \"own\"; }
             location = /replaced { return 403; }
             location = /there { return 301 /here?a=$arg_a; }
             location = /far { return https://example.org$uri; }
             location = /teapot { return 418 teapot; }
             location = /twice { return 200 first; return 200 second; }
         }",
    );
    let text = site.get("/text");
    assert_eq!((text.status, text.body.as_str()), (200, "uri /text"));
    assert_eq!(text.field("Content-Type"), Some("text/x-test"));
    let empty = site.get("/empty");
    assert_eq!((empty.status, empty.field("Content-Type"), empty.field("Content-Length")), (204, None, None));
    assert_eq!((site.get("/nothing").status, site.get("/nothing").body.as_str()), (200, ""));
    let custom = site.get("/custom");
    assert_eq!((custom.status, custom.body.as_str(), custom.field("Last-Modified")), (404, "custom", None));
    assert_eq!((site.get("/own").status, site.get("/own").body.as_str()), (404, "own"));
    assert_eq!((site.get("/replaced").status, site.get("/replaced").body.as_str()), (200, "custom"));
    let there = site.get("/there?a=b");
    assert_eq!((there.status, there.field("Location")), (301, Some("http://site.test:8080/here?a=b")));
    assert!(there.body.contains("301 Moved Permanently"));
    assert_eq!(site.get("/far").field("Location"), Some("https://example.org/far"));
    assert_eq!(site.get("/far").status, 302);
    assert_eq!((site.get("/teapot").status, site.get("/teapot").body.as_str()), (418, "teapot"));
    assert_eq!(site.get("/twice").body, "first");
}

#[test]
fn the_connection_is_closed_without_an_answer() {
    let site = Site::start(
        &[],
        "log_format short $status; access_log logs/short.log short;
         server { listen 8080; location / { return 444; } }",
    );
    assert_eq!(site.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), b"");
    assert_eq!(site.log_lines("logs/short.log", 1), ["444"]);
}

#[test]
fn a_server_returns_before_its_locations_are_looked_at() {
    let site = Site::start(
        &[("www/sorry.html", "sorry")],
        "server {
             listen 8080; root ROOT/www; error_page 503 /sorry.html;
             return 503;
             location /a { return 200 a; }
             location = /sorry.html { }
         }",
    );
    // As in nginx: the error page's redirect runs into the server's `return` again, and the program's own page remains.
    let answer = site.get("/a");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("503 Service Temporarily Unavailable"), "{}", answer.body);
    assert_eq!(site.get("/").status, 503);
}

#[test]
fn it_holds_for_its_own_block_alone() {
    let site = Site::start(
        &[("www/outer/inner/file", "file")],
        "server { listen 8080; root ROOT/www; location /outer/ { return 403; location /outer/inner/ { } } }",
    );
    assert_eq!(site.get("/outer/x").status, 403);
    assert_eq!(site.get("/outer/inner/file").body, "file");
}

#[test]
fn wrong_arguments_are_told() {
    let within = |text: &str| errors(&format!("server {{ listen 8080; {text} }}"));
    assert_eq!(within("return 1000;"), ["invalid return code \"1000\""]);
    assert_eq!(within("return ftp://a;"), ["invalid return code \"ftp://a\""]);
    assert_eq!(within("return http://a b;"), ["invalid return code \"http://a\""]);
    assert_eq!(within("return 200 $nothing;"), ["unknown \"nothing\" variable"]);
}
