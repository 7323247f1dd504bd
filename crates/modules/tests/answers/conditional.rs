//! Conditions and ranges.

use crate::site::{Answer, Site};

fn site() -> Site {
    let site = Site::start(
        &[("www/f.html", "0123456789"), ("www/large", &"x".repeat(100_000))],
        "types { text/html html; } charset utf-8; etag on;
         server {
             listen 8080; root ROOT/www;
             expires 1h; add_header X-Always yes always; add_header X-Some yes;
             location /none/ { alias ROOT/www/; max_ranges 0; if_modified_since off; etag off; }
             location /two/ { alias ROOT/www/; max_ranges 2; if_modified_since before; }
             location /text { return 200 0123456789; }
         }",
    );
    let file = std::fs::File::options().append(true).open(site.path("www/f.html")).expect("opened");
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(784_111_777)).expect("set");
    site
}

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const ETAG: &str = "\"2ebc98a1-a\"";

#[test]
fn a_client_that_has_the_file_gets_304() {
    let site = site();
    for field in
        [format!("If-Modified-Since: {DATE}"), format!("If-None-Match: \"x\", {ETAG}"), "If-None-Match: *".into()]
    {
        let answer = site.get_with("/f.html", &format!("{field}\r\n"));
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{field}");
        assert_eq!(answer.field("ETag"), Some(ETAG));
        assert_eq!(answer.field("Last-Modified"), Some(DATE));
        assert_eq!((answer.field("Content-Type"), answer.field("Content-Length")), (None, None));
        assert_eq!((answer.field("Cache-Control"), answer.field("X-Some")), (Some("max-age=3600"), Some("yes")));
    }
    let status = |target: &str, field: String| site.get_with(target, &format!("{field}\r\n")).status;
    assert_eq!(status("/f.html", format!("If-Modified-Since: {LATER}")), 200);
    assert_eq!(status("/two/f.html", format!("If-Modified-Since: {LATER}")), 304);
    assert_eq!(status("/none/f.html", format!("If-Modified-Since: {DATE}")), 200);
    assert_eq!(status("/f.html", "If-None-Match: \"x\"".to_owned()), 200);
}

#[test]
fn a_client_that_means_another_file_gets_412() {
    let site = site();
    for field in ["If-Match: \"x\"", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT"] {
        let answer = site.get_with("/f.html", &format!("{field}\r\n"));
        assert_eq!(answer.status, 412, "{field}");
        assert!(answer.body.contains("412 Precondition Failed"));
        assert_eq!(answer.fields("X-Always"), ["yes"]);
        assert_eq!((answer.field("X-Some"), answer.field("ETag")), (None, None));
    }
    assert_eq!(site.get_with("/f.html", &format!("If-Match: {ETAG}\r\n")).status, 200);
}

fn range(site: &Site, target: &str, range: &str) -> Answer {
    site.get_with(target, &format!("Range: bytes={range}\r\n"))
}

#[test]
fn one_part_is_206() {
    let site = site();
    for (asked, place, body) in [
        ("0-3", "bytes 0-3/10", "0123"),
        ("-3", "bytes 7-9/10", "789"),
        ("8-", "bytes 8-9/10", "89"),
        ("5-100", "bytes 5-9/10", "56789"),
    ] {
        let answer = range(&site, "/f.html", asked);
        assert_eq!((answer.status, answer.body.as_str()), (206, body), "{asked}");
        assert_eq!(answer.field("Content-Range"), Some(place));
        assert_eq!(answer.field("Content-Length"), Some(body.len().to_string().as_str()));
        assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!((answer.field("ETag"), answer.field("Accept-Ranges")), (Some(ETAG), None));
        assert_eq!(answer.field("X-Some"), Some("yes"));
    }
    let large = range(&site, "/large", "100-80000");
    assert_eq!((large.status, large.body.len()), (206, 79_901));
}

#[test]
fn several_parts_are_multipart() {
    let site = site();
    let answer = range(&site, "/f.html", "0-1,-2");
    assert_eq!(answer.status, 206);
    let content_type = answer.field("Content-Type").expect("a type");
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
    let part = |place: &str| {
        format!("\r\n--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Range: bytes {place}/10\r\n\r\n")
    };
    assert_eq!(answer.body, format!("{}01{}89\r\n--{boundary}--\r\n", part("0-1"), part("8-9")));
    assert_eq!(answer.field("Content-Length"), Some(answer.body.len().to_string().as_str()));
}

#[test]
fn ranges_that_do_not_fit() {
    let site = site();
    let answer = range(&site, "/f.html", "10-");
    assert_eq!((answer.status, answer.field("Content-Range")), (416, Some("bytes */10")));
    assert!(answer.body.contains("416 Requested Range Not Satisfiable"));
    assert_eq!((answer.field("ETag"), answer.field("Last-Modified")), (None, None));
    assert_eq!(range(&site, "/f.html", "5-x").status, 416);
    assert_eq!(range(&site, "/none/f.html", "0-1").status, 200);
    assert_eq!(site.get("/none/f.html").field("Accept-Ranges"), None);
    assert_eq!(range(&site, "/two/f.html", "0-1,2-3,4-5").status, 200);
    assert_eq!(range(&site, "/two/f.html", "0-1,4-5").status, 206);
    assert_eq!(range(&site, "/text", "0-1").status, 200);
    assert_eq!(site.get_with("/f.html", "Range: items=0-1\r\n").status, 200);
}

#[test]
fn a_refusal_has_its_error_page() {
    let site = Site::start(
        &[("www/f", "0123456789"), ("www/e.html", "page")],
        "server { listen 8080; root ROOT/www; error_page 412 416 /e.html; }",
    );
    let answer = range(&site, "/f", "10-");
    assert_eq!((answer.status, answer.body.as_str()), (416, "page"));
    let answer = site.get_with("/f", "If-Match: \"x\"\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (412, "page"));
}

#[test]
fn if_range_must_name_the_file() {
    let site = site();
    for (value, status) in [(ETAG, 206), (DATE, 206), ("\"x\"", 200), (LATER, 200)] {
        let answer = site.get_with("/f.html", &format!("Range: bytes=0-1\r\nIf-Range: {value}\r\n"));
        assert_eq!(answer.status, status, "{value}");
    }
}
