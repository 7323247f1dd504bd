//! `add_header`, `expires`, `charset`.

use crate::site::{Site, errors};

#[test]
fn fields_are_added() {
    let site = Site::start(
        &[("www/f", "x")],
        "add_header X-Http http;
         server {
             listen 8080; root ROOT/www;
             location /inherits/ { alias ROOT/www/; }
             location /own/ { alias ROOT/www/; add_header X-Own \"$uri\"; add_header X-Own 2; add_header X-Empty $arg_a; }
             location /merge/ { alias ROOT/www/; add_header_inherit merge; add_header X-Own 1; }
             location /off/ { alias ROOT/www/; add_header_inherit off; }
             location /validators/ { alias ROOT/www/; add_header ETag own; add_header Last-Modified \"\"; }
             location /always { add_header X-Always 1 always; add_header X-Some 1; return 403; }
         }",
    );
    let inherits = site.get("/inherits/f");
    assert_eq!((inherits.status, inherits.field("X-Http")), (200, Some("http")));
    let own = site.get("/own/f");
    assert_eq!((own.fields("X-Own"), own.field("X-Http")), (vec!["/own/f", "2"], None));
    assert_eq!(own.field("X-Empty"), None);
    let merge = site.get("/merge/f");
    assert_eq!((merge.field("X-Own"), merge.field("X-Http")), (Some("1"), Some("http")));
    assert_eq!(site.get("/off/f").field("X-Http"), None);
    let validators = site.get("/validators/f");
    assert_eq!((validators.fields("ETag"), validators.field("Last-Modified")), (vec!["own"], None));
    let refused = site.get("/always");
    assert_eq!((refused.status, refused.field("X-Always"), refused.field("X-Some")), (403, Some("1"), None));
}

#[test]
fn a_value_cannot_add_a_field() {
    let site =
        Site::start(&[("www/f", "x")], "add_header X-Uri $uri; server { listen 8080; root ROOT/www; return 200; }");
    let answer = site.get("/%0d%0aX-Evil:%201");
    assert_eq!((answer.status, answer.field("X-Evil")), (200, None));
}

#[test]
fn answers_expire() {
    let site = Site::start(
        &[("www/f", "x")],
        "expires 1h;
         server {
             listen 8080; root ROOT/www;
             location /off/ { alias ROOT/www/; expires off; }
             location /max/ { alias ROOT/www/; expires max; add_header Cache-Control public; }
             location /variable/ { alias ROOT/www/; expires $arg_for; }
         }",
    );
    assert_eq!(site.get("/f").field("Cache-Control"), Some("max-age=3600"));
    assert_eq!(site.get("/missing").field("Cache-Control"), None);
    assert_eq!(site.get("/off/f").field("Expires"), None);
    assert_eq!(site.get("/max/f").fields("Cache-Control"), ["max-age=315360000", "public"]);
    assert_eq!(site.get("/variable/f?for=epoch").field("Cache-Control"), Some("no-cache"));
    assert_eq!(site.get("/variable/f?for=1m").field("Cache-Control"), Some("max-age=60"));
    assert_eq!(site.get("/variable/f?for=x").field("Cache-Control"), None);
}

#[test]
fn texts_tell_their_charset() {
    let site = Site::start(
        &[("www/a.html", "x"), ("www/a.css", "x"), ("www/a.txt", "x"), ("www/a.json", "{}")],
        "types { text/html html; text/css css; text/plain txt; application/json json; } charset utf-8;
         server {
             listen 8080; root ROOT/www;
             location /off/ { alias ROOT/www/; charset off; }
             location /types/ { alias ROOT/www/; charset_types application/json; charset $arg_charset; }
             location /all/ { alias ROOT/www/; charset_types *; }
             location /given { default_type \"text/html; charset=koi8-r\"; return 200 x; }
         }",
    );
    for (target, content_type) in [
        ("/a.html", "text/html; charset=utf-8"),
        ("/a.txt", "text/plain; charset=utf-8"),
        ("/a.css", "text/css"),
        ("/a.json", "application/json"),
        ("/missing", "text/html; charset=utf-8"),
        ("/off/a.html", "text/html"),
        ("/types/a.json?charset=x", "application/json; charset=x"),
        ("/types/a.html?charset=x", "text/html; charset=x"),
        ("/types/a.txt?charset=x", "text/plain"),
        ("/types/a.json", "application/json"),
        ("/all/a.css", "text/css; charset=utf-8"),
        ("/given", "text/html; charset=koi8-r"),
    ] {
        assert_eq!(site.get(target).field("Content-Type"), Some(content_type), "{target}");
    }
}

#[test]
fn wrong_arguments_are_told() {
    let within = |text: &str| errors(&format!("server {{ listen 8080; {text} }}"));
    assert_eq!(within("add_header A b never;"), ["invalid parameter \"never\""]);
    assert_eq!(within("expires soon;"), ["\"expires\" directive invalid value"]);
    assert_eq!(within("expires modified @1h;").len(), 1);
    assert_eq!(within("expires 1h; expires 2h;"), ["\"expires\" directive is duplicate"]);
    assert_eq!(within("charset utf-8; charset off;"), ["\"charset\" directive is duplicate"]);
}
