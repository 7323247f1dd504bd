//! What a visitor and a keeper do on the example site.

use harness::{Address, Browser, Connection, Framing, Request, Scratch};
use serde_json::Value;

/// What the visitor writes into the book.
pub(super) const LINE: &str = "A line with \u{2018}quotes\u{2019} & <angles> \u{b300}\u{bb38}";

/// Every page and every form.
pub(super) fn everything(scratch: &Scratch, address: &Address) {
    let mut visitor = Browser::new(address);
    front_page(&mut visitor);
    static_files(scratch, &mut visitor);
    visitors_book(&mut visitor);
    upload(&mut visitor);
    streaming(address);
    environ(&mut visitor);
    absent_pages(&mut visitor);
    keeper(&mut Browser::new(address));
}

fn front_page(visitor: &mut Browser) {
    let page = visitor.get("/");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    let text = page.text();
    assert_eq!(text.matches("class=\"card").count() - text.matches("class=\"cards").count(), 8, "{text}");
    for word in ["Sungnyemun", "\u{c22d}\u{b840}\u{bb38}", "Found the phoenix", "/static/gates/site.css"] {
        assert!(text.contains(word), "{word} is not on the front page");
    }
    let head = visitor.send(Request::new("HEAD", "/"));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

fn static_files(scratch: &Scratch, visitor: &mut Browser) {
    for (target, content_type) in [
        ("/static/gates/site.css", "text/css"),
        ("/static/gates/gate.svg", "image/svg+xml"),
        ("/static/admin/css/base.css", "text/css"),
    ] {
        let file = visitor.get(target);
        assert_eq!((file.status, file.header("Content-Type")), (200, Some(content_type)), "{target}");
        assert_eq!(file.text(), scratch.read(&format!("site{target}")), "{target}");
        let tag = file.header("ETag").expect("files have a tag").to_owned();
        let again = visitor.send(Request::get(target).header("If-None-Match", &tag));
        assert_eq!(again.status, 304, "{target}");
    }
}

fn visitors_book(visitor: &mut Browser) {
    let page = "/gates/sungnyemun/";
    let without_token = visitor.send(Request::post(page, "application/x-www-form-urlencoded", "author=x&text=y"));
    assert_eq!(without_token.status, 403);
    let incomplete = visitor.submit(page, &[("author", "Visitor"), ("text", "")]);
    assert_eq!((incomplete.status, incomplete.text().contains("This field is required")), (200, true));

    let written = visitor.submit(page, &[("author", "Visitor \u{ac00}"), ("text", LINE)]);
    assert_eq!((written.status, written.header("Location")), (302, Some(page)));
    let text = visitor.get(page).text();
    assert!(text.contains("&amp; &lt;angles&gt; \u{b300}\u{bb38}"), "the line is not in the book: {text}");
    assert!(text.contains("your line is in the book"), "the message of the session is missing");
    assert!(text.contains("value=\"Visitor \u{ac00}\""), "the session has forgotten the name");
}

fn upload(visitor: &mut Browser) {
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    picture.extend((0..5_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8));
    let fields = [("title", "A picture of noise")];
    let refused = visitor.upload("/album/", &fields, "picture", "fake.png", b"no picture");
    assert_eq!((refused.status, refused.text().contains("this is not a GIF")), (200, true));

    let hung = visitor.upload("/album/", &fields, "picture", "noise.png", &picture);
    assert_eq!((hung.status, hung.header("Location")), (302, Some("/album/")), "{}", hung.text());
    let album = visitor.get("/album/").text();
    assert!(album.contains("A picture of noise"), "{album}");
    let (_, link) = album.split_once("<a href=\"/media/").expect("the album links the picture");
    let (name, _) = link.split_once('"').expect("the link ends");
    let file = visitor.get(&format!("/media/{name}"));
    assert_eq!((file.status, file.header("Content-Type")), (200, Some("image/png")));
    assert!(file.body == picture, "{} octets came back", file.body.len());
}

/// The first stroke arrives before the last is struck.
fn streaming(address: &Address) {
    let mut connection = Connection::to(address);
    connection.send(Request::get("/bells/dawn.txt?pause=0.05").host("localhost").octets());
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("stroke 1 of 33") {
        seen = connection.more().to_vec();
    }
    assert!(!String::from_utf8_lossy(&seen).contains("stroke 33"));
    let response = connection.response();
    assert_eq!((response.status, response.framing), (200, Framing::Chunked));
    assert_eq!(response.text().lines().count(), 33);

    let page = Request::get("/bells/?pause=0").host("localhost").send(address);
    assert_eq!((page.status, page.text().matches("class=\"stroke\"").count()), (200, 33));
}

fn environ(visitor: &mut Browser) {
    let page = visitor.get("/environ.json?q=%EB%AC%B8");
    assert_eq!(page.header("Content-Type"), Some("application/json"));
    let shown: Value = serde_json::from_slice(&page.body).expect("the page is JSON");
    for (name, expected) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/environ.json"),
        ("QUERY_STRING", "q=%EB%AC%B8"),
        ("REQUEST_URI", "/environ.json?q=%EB%AC%B8"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("wsgi.url_scheme", "http"),
    ] {
        assert_eq!(shown[name], expected, "{name}");
    }
}

fn absent_pages(visitor: &mut Browser) {
    assert_eq!(visitor.get("/no/such/page").status, 404);
    assert_eq!(visitor.get("/static/no-such-file.css").status, 404);
    assert_eq!(visitor.get("/gates/sungnyemun").status, 301);
}

fn keeper(keeper: &mut Browser) {
    let closed = keeper.get("/admin/");
    assert_eq!((closed.status, closed.header("Location")), (302, Some("/admin/login/?next=/admin/")));
    let login = "/admin/login/?next=/admin/";
    let wrong = keeper.submit(login, &[("username", "keeper"), ("password", "wrong")]);
    assert_eq!(wrong.status, 200);
    let right = keeper.submit(login, &[("username", "keeper"), ("password", "open-the-gate"), ("next", "/admin/")]);
    assert_eq!((right.status, right.header("Location")), (302, Some("/admin/")));
    let admin = keeper.get("/admin/").text();
    assert!(admin.contains("Site administration"), "{admin}");

    let page = "/gates/heunginjimun/";
    assert_eq!(keeper.submit(page, &[("author", "Keeper"), ("text", "All is well.")]).status, 302);
    assert!(keeper.get("/admin/gates/note/").text().contains("Keeper: All is well."));
}
