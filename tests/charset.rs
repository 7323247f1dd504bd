//! `charset` and its maps: names added, texts recoded. Every request is put to nginx too.

use harness::{Address, Beside, Request, Response, Scratch, Web, servers};

const HTTP: &str = r#"
    types { text/html html; text/plain txt; text/foo foo; image/png png; }
    default_type text/plain;
    charset_map one two { 58 59; e0 e1; }
    charset_map windows-1251 utf-8 { C0 D090; E0 D0B0; 88 E282AC; 98 C2A0; }
    charset_map koi8-r windows-1251 { E1 C0; C1 E0; }
    server {
        listen LISTEN;
        root SCRATCH/root;
        location /named/ { alias SCRATCH/root/; charset utf-8; }
        location /types/ { alias SCRATCH/root/; charset utf-8; charset_types text/foo; }
        location /all/ { alias SCRATCH/root/; charset utf-8; charset_types *; }
        location /variable/ { alias SCRATCH/root/; charset $arg_c; }
        location /octets/ { alias SCRATCH/root/; charset two; source_charset one; }
        location /back/ { alias SCRATCH/root/; charset one; source_charset two; }
        location /to-utf8/ { alias SCRATCH/root/; charset utf-8; source_charset windows-1251; }
        location /from-utf8/ { alias SCRATCH/root/; charset windows-1251; source_charset utf-8; }
        location /asked/ { alias SCRATCH/root/; charset $arg_c; source_charset $arg_s; }
        location /same/ { alias SCRATCH/root/; charset two; source_charset TWO; }
        location /packed/ { alias SCRATCH/root/; charset two; source_charset one; gzip_static on; }
        location /moved { charset utf-8; return 302 /x; }
        location /fixed { charset utf-8; default_type "text/html; charset=koi8-r"; return 200 text; }
        location /other { charset utf-8; default_type "text/html; a=b"; return 200 text; }
        location /over { charset windows-1251; override_charset on; default_type "text/html; charset=koi8-r"; return 200 "A \xE1"; }
        location /over-unknown { charset windows-1251; override_charset on; default_type "text/html; charset=none"; return 200 text; }
    }
"#;

fn fill(scratch: &Scratch) {
    scratch.write("root/t.html", b"XYZ \xe0\xe1\xff X".repeat(20));
    scratch.write("root/large.html", b"XYZ \xe0\xe1\xc0\x88\x98\x99 X".repeat(20_000));
    scratch.write("root/t.txt", "XX");
    scratch.write("root/t.foo", "XX");
    scratch.write("root/t.png", "XX");
    scratch.write("root/utf8.html", "A А а € \u{a0} ф 日本 𝄞 end".repeat(10));
    scratch.write("root/large-utf8.html", "А€ф日𝄞".repeat(20_000));
    scratch.write("root/packed.html", "X plain");
    scratch.write("root/packed.html.gz", "no gzip at all, but named so");
}

const TARGETS: &[&str] = &[
    "/named/t.html",
    "/named/t.txt",
    "/named/t.foo",
    "/named/t.png",
    "/named/absent.html",
    "/types/t.foo",
    "/types/t.txt",
    "/types/t.html",
    "/all/t.png",
    "/variable/t.html?c=utf-8",
    "/variable/t.html?c=unknown",
    "/octets/t.html",
    "/octets/t.png",
    "/octets/large.html",
    "/back/t.html",
    "/to-utf8/t.html",
    "/to-utf8/large.html",
    "/from-utf8/utf8.html",
    "/from-utf8/large-utf8.html",
    "/asked/t.html?c=two&s=one",
    "/asked/t.html?c=one&s=koi8-r",
    "/asked/t.html?c=what&s=what",
    "/asked/t.html?c=what&s=one",
    "/asked/large.html?c=koi8-r&s=windows-1251",
    "/same/t.html",
    "/packed/packed.html",
    "/moved",
    "/fixed",
    "/other",
    "/over",
    "/over-unknown",
];

fn told(response: &Response) -> (u16, Vec<String>, Vec<u8>) {
    let names = ["Content-Type", "Content-Encoding", "Content-Range", "Location"];
    let fields = names
        .iter()
        .filter_map(|name| response.header(name))
        .map(|value| value.replace(|c: char| c.is_ascii_digit(), "0"));
    let body = if response.status < 300 { response.body.clone() } else { Vec::new() };
    (response.status, fields.collect(), body)
}

#[test]
fn nginx_agrees() {
    let servers = Beside::start(HTTP, fill);
    for target in TARGETS {
        servers.agreed(target, |address: &Address| told(&Request::get(target).send(address)));
        let gzip = format!("{target} in gzip");
        servers.agreed(&gzip, |address: &Address| {
            let response = Request::get(target).header("Accept-Encoding", "gzip").send(address);
            (
                response.status,
                response.header("Content-Type").map(str::to_owned),
                response.header("Content-Encoding").map(str::to_owned),
            )
        });
    }
    let seen = |target: &str| Request::get(target).send(&servers.ours);
    assert_eq!(seen("/octets/t.html").header("Content-Type"), Some("text/html; charset=two"));
    assert!(seen("/octets/t.html").body.starts_with(b"YYZ \xe1?? Y"));
    assert!(
        seen("/from-utf8/utf8.html").body.starts_with(b"A \xc0 \xe0 \x88 \x98 &#1092; &#26085;&#26412; &#119070; end")
    );
    assert_eq!(seen("/octets/large.html").framing, harness::Framing::Length);
    let log = servers.folders().0.read("error.log");
    assert!(log.contains("no \"charset_map\" between the charsets \"one\" and \"what\""), "{log}");
}

/// Parts, and a part that is not there.
#[test]
fn ranges() {
    let servers = Beside::start(HTTP, fill);
    for (target, range) in [
        ("/octets/t.html", "bytes=0-3"),
        ("/octets/t.html", "bytes=0-3,8-9"),
        ("/octets/t.html", "bytes=90000-"),
        ("/named/t.png", "bytes=90000-"),
        ("/types/t.txt", "bytes=90000-"),
        ("/to-utf8/t.html", "bytes=0-3"),
    ] {
        servers.agreed(&format!("{target} {range}"), |address: &Address| {
            let response = Request::get(target).header("Range", range).send(address);
            let (status, mut fields, body) = told(&response);
            let boundary = response.header("Content-Type").and_then(|value| Some(value.split_once("boundary=")?.1));
            if let Some(boundary) = boundary {
                fields.remove(0);
                let text = String::from_utf8_lossy(&body).replace(boundary, "BOUNDARY");
                return (status, fields, vec![text]);
            }
            (status, fields, vec![String::from_utf8_lossy(&body).into_owned()])
        });
    }
}

/// What is recoded is compressed afterwards.
#[test]
fn gzip_stands_behind() {
    let scratch = Scratch::new();
    fill(&scratch);
    let port = harness::Port::reserve();
    let text = HTTP
        .replace("LISTEN", &port.address().to_string())
        .replace("charset two; source_charset one;", "charset two; source_charset one; gzip on;");
    scratch.write("web.conf", servers::nginx_conf(&text));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    for target in ["/octets/t.html", "/octets/large.html"] {
        let plain = Request::get(target).send(&port.address());
        let packed = Request::get(target).header("Accept-Encoding", "gzip").send(&port.address());
        assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.body.as_slice()), &mut unpacked)
            .expect("gzip");
        assert!(unpacked == plain.body && plain.body.starts_with(b"YYZ"), "{target}");
    }
}

#[test]
fn wrong_maps_are_refused_in_nginx_words() {
    for (http, message) in [
        ("charset_map a A { }", "\"charset_map\" between the same charsets \"a\" and \"A\""),
        ("charset_map utf-8 a { }", "\"charset_map\" with \"utf-8\" charset should be given in the second column"),
        ("charset_map a b { } charset_map B A { }", "duplicate \"charset_map\" between \"B\" and \"A\""),
        ("charset_map a b { 100 20; }", "invalid value \"100\""),
        ("charset_map a b { 20 zz; }", "invalid value \"zz\""),
        ("charset_map a b { 20; }", "invalid parameters number"),
        ("charset_map a utf-8 { 80 F09D849E; }", "invalid value \"F09D849E\""),
        (
            "server { listen 127.0.0.1:1; charset a; source_charset b; }",
            "no \"charset_map\" between the charsets \"b\" and \"a\"",
        ),
    ] {
        let scratch = Scratch::new();
        scratch.write("web.conf", servers::nginx_conf(http));
        let ours = servers::web(&scratch, "web.conf").arg("-t").run();
        let nginx = servers::nginx_check(&scratch, "web.conf").run();
        let is_newer = http.starts_with("charset_map utf-8"); // Debian's nginx takes it.
        for (who, ended) in [("daemun", &ours), ("nginx", &nginx)].into_iter().take(if is_newer { 1 } else { 2 }) {
            assert!(!ended.status.success() && ended.output.contains(message), "{who} of {http}: {}", ended.output);
        }
    }
}

/// A part of a page is recoded to the page's set, and once.
#[test]
fn a_subrequest_takes_on_the_set_of_the_page() {
    let http = r#"
    types { text/html html; }
    charset_map one two { 58 59; 59 5a; }
    server {
        listen LISTEN;
        root SCRATCH/root;
        charset two;
        source_charset two;
        location /part/ { source_charset one; }
        location /added/ { alias SCRATCH/root/; add_after_body /part/part.html; }
        location /both/ { alias SCRATCH/root/; source_charset one; add_after_body /part/part.html; }
        location /included/ { alias SCRATCH/root/; ssi on; }
        location /included-both/ { alias SCRATCH/root/; source_charset one; ssi on; }
    }"#;
    let servers = Beside::start(http, |scratch| {
        scratch.write("root/page.html", "XY page ");
        scratch.write("root/ssi.html", "XY <!--#include virtual=\"/part/part.html\" --> XY");
        scratch.write("root/part/part.html", "XY part");
    });
    for (target, expected) in [
        ("/added/page.html", "XY page YZ part"),
        ("/both/page.html", "YZ page YZ part"),
        ("/included/ssi.html", "XY YZ part XY"),
        ("/included-both/ssi.html", "YZ YZ part YZ"),
    ] {
        let seen = servers.agreed(target, |address: &Address| Request::get(target).send(address).text());
        assert_eq!(seen, expected, "{target}");
    }
}

#[test]
fn without_a_map_nothing_changes() {
    let scratch = Scratch::new();
    fill(&scratch);
    let web = Web::start(&scratch, "root SCRATCH/root; types { text/html html; } charset koi8-r;");
    let response = Request::get("/t.html").send(&web.address);
    assert_eq!(response.header("Content-Type"), Some("text/html; charset=koi8-r"));
    assert!(response.body.starts_with(b"XYZ \xe0\xe1\xff X"));
}

/// `X-Accel-Charset` of a server's answer: any character set that the configuration names somewhere.
#[test]
fn a_server_names_the_character_set() {
    let server = harness::Backend::answering(|head| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let argument = |name: &str| {
            let pairs = target.split_once('?').map_or("", |(_, arguments)| arguments);
            pairs.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        let (kind, charset) = (argument("t="), argument("c="));
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nX-Accel-Charset: {charset}\r\nContent-Length: 2\r\n\r\nа")
    });
    let address = server.address();
    let http = format!(
        "charset_map koi8-r utf-8 {{ C1 D0B0; }}
        server {{
            listen LISTEN;
            location /plain {{ proxy_pass http://{address}; }}
            location /named {{ charset utf-8; proxy_pass http://{address}; }}
            location /source {{ source_charset utf-8; proxy_pass http://{address}; }}
            location /off {{ charset off; source_charset koi8-r; proxy_pass http://{address}; }}
            location /ignored {{ proxy_ignore_headers X-Accel-Charset; charset utf-8; proxy_pass http://{address}; }}
        }}"
    );
    let servers = Beside::start(&http, |_| {});
    for location in ["plain", "named", "source", "off", "ignored"] {
        for arguments in [
            "t=text/html&c=koi8-r",
            "t=text/html&c=KOI8-R",
            "t=text/html&c=off",
            "t=text/html&c=latin9",
            "t=image/png&c=koi8-r",
            "t=text/html;charset=utf-8&c=koi8-r",
            "t=text/html;charset=utf-8&c=utf-8",
            "t=text/html;charset=latin9&c=utf-8",
        ] {
            let target = format!("/{location}?{arguments}");
            servers.agreed(&target, |address: &Address| told(&Request::get(&target).send(address)));
        }
    }
    let recoded = Request::get("/source?t=text/html&c=koi8-r").send(&servers.ours);
    assert_eq!((recoded.header("Content-Type"), &recoded.body[..]), (Some("text/html; charset=koi8-r"), &b"\xc1"[..]));
}
