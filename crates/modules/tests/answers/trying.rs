//! `try_files`.

use crate::site::{Site, errors};

const FILES: &[(&str, &str)] = &[
    ("www/a.html", "a"),
    ("www/dir/index.html", "dir"),
    ("www/front", "front"),
    ("other/x.html", "x"),
    ("secret.html", "secret"),
];

#[test]
fn the_first_that_is_there_answers() {
    let site = Site::start(
        FILES,
        "server {
             listen 8080; root ROOT/www;
             location / { try_files $uri $uri.html $uri/ /front?from=$uri; }
             location /code { try_files $uri =410; }
             location /named { try_files $uri @named; }
             location @named { return 200 \"named $uri\"; }
             location = /front { add_header X-Arguments $args; }
             location /open { try_files $arg_file.html =404; }
         }",
    );
    assert_eq!(site.get("/a.html").body, "a");
    assert_eq!(site.get("/a").body, "a");
    assert_eq!(site.get("/dir/").body, "dir");
    assert_eq!(site.get("/dir").status, 301);
    let front = site.get("/nothing?own=1");
    assert_eq!(front.body, "front");
    assert_eq!(front.field("X-Arguments"), Some("from=/nothing"));
    assert_eq!(site.get("/code/x").status, 410);
    assert_eq!(site.get("/named/x").body, "named /named/x");
    assert_eq!(site.get("/open?file=/a").body, "a");
    assert_eq!(site.get("/open?file=/../secret").status, 404);
}

#[test]
fn names_are_relative_to_an_alias() {
    let site = Site::start(
        FILES,
        "server {
             listen 8080;
             location /assets/ { alias ROOT/other/; try_files $uri.html x.html =404; }
             location /plain/ { alias ROOT/other/; try_files $arg_name.html =404; }
         }",
    );
    assert_eq!(site.get("/assets/x").body, "x");
    assert_eq!(site.get("/assets/y").body, "x");
    assert_eq!(site.get("/plain/?name=x").body, "x");
    assert_eq!(site.get("/plain/?name=../secret").status, 404);
}

#[test]
fn it_holds_for_its_own_block_alone() {
    let site = Site::start(
        FILES,
        "server {
             listen 8080; root ROOT/www; try_files /a.html =404;
             location /dir/ { location /dir/inner { } try_files /front =404; }
         }",
    );
    assert_eq!(site.get("/anything").body, "a");
    assert_eq!(site.get("/dir/anything").body, "front");
    assert_eq!(site.get("/dir/inner").status, 404);
}

#[test]
fn a_circle_ends() {
    let site = Site::start(FILES, "server { listen 8080; root ROOT/www; location / { try_files $uri /nowhere; } }");
    assert_eq!(site.get("/x").status, 500);
    let lines = site.log_lines("logs/error.log", 1);
    assert!(lines[0].contains("rewrite or internal redirection cycle"), "{lines:?}");
}

#[test]
fn wrong_arguments_are_told() {
    let within = |text: &str| errors(&format!("server {{ listen 8080; location / {{ {text} }} }}"));
    assert_eq!(within("try_files $uri =40x;"), ["invalid code \"=40x\""]);
    assert_eq!(within("try_files $nothing =404;"), ["unknown \"nothing\" variable"]);
    assert_eq!(within("try_files a =404; try_files b =404;"), ["\"try_files\" directive is duplicate"]);
    assert_eq!(within("try_files a;"), ["invalid number of arguments in \"try_files\" directive"]);
}
