//! `ssi`: commands in pages. Every answer is nginx's too.

use std::io::Read;

use flate2::read::GzDecoder;
use harness::{Address, Beside, Connection, Request, Scratch};

const HTTP: &str = r#"
    include /etc/nginx/mime.types;
    ssi on;
    map $arg_mapped $mapped { default none; yes mapped; }
    server {
        listen LISTEN;
        server_name example.test;
        root SCRATCH/root;
        set $configured "from nginx.conf";
        location /plain/ { ssi off; alias SCRATCH/root/; }
        location /types/ { ssi_types text/plain; alias SCRATCH/root/; }
        location /modified/ { ssi_last_modified on; alias SCRATCH/root/; }
        location /silent/ { ssi_silent_errors on; alias SCRATCH/root/; }
        location /short/ { ssi_value_length 10; alias SCRATCH/root/; }
        location /packed/ { gzip on; gzip_min_length 1; alias SCRATCH/root/; }
        location /substituted/ { sub_filter part PART; sub_filter_once off; alias SCRATCH/root/; }
        location /around/ { add_before_body /part.html; add_after_body /echo.html; alias SCRATCH/root/; }
        location = /own { default_type text/html; return 200 "<!--#echo var='arg_a' -->|$uri"; }
        location = /gone { return 410; }
        location = /paged { error_page 404 /part.html; return 404; }
        location = /nothing { return 204; }
        location = /denied { deny all; return 200 "never asked"; }
        location = /inner { internal; return 200 "inner $request_method $request_uri $args $configured"; }
        location = /sets { set $configured "from a subrequest"; return 200 "set"; }
        location /small/ { subrequest_output_buffer_size 10; alias SCRATCH/root/; }
        location = /error { error_page 404 /error.html; return 404; }
    }
"#;

/// A page of its own for each: its name, what is in it, and the query it is asked with.
const PAGES: &[(&str, &str, &str)] = &[
    (
        "echo",
        "<!--#echo var='arg_a' --> <!--#echo var=\"ARG_B\" default=\"none so far\"-->|<!--#echo var=\"x\" default=''-->",
        "a=1",
    ),
    ("absent", "[<!--#echo var='nowhere'-->]", ""),
    (
        "mapped",
        "<!--#echo var='mapped' --> <!--#echo var='configured'--> <!--#echo var='uri'--> <!--#echo var='host'-->",
        "mapped=yes",
    ),
    (
        "encodings",
        "<!--#set var='v' value='<a href=\"x?y z&é{%}\\'#\">'--><!--#echo var='v'-->|<!--#echo var='v' encoding='url'-->|<!--#echo var='v'-->|<!--#echo var='v' encoding='none'-->|<!--#echo var='v' encoding='other'-->",
        "",
    ),
    (
        "set",
        "<!--#set var='a' value='1'--><!--#set var='b' value='${a}2$a \\$a \\x \\\\ '--><!--#echo var='B' encoding='none'-->",
        "",
    ),
    ("set-wrong", "<!--#set var='b' value='${a'-->|<!--#set var='b' value='$'-->|<!--#echo var='b'-->", ""),
    (
        "include",
        "(<!--#include virtual='/part.html?x=1' -->)(<!--#include virtual=\"part.html\"-->)(<!--#include file='part.html'-->)",
        "",
    ),
    ("include-of", "(<!--#include virtual='/$arg_what' -->)(<!--#include virtual='/inner?b=c' -->)", "what=part.html"),
    (
        "nested",
        "(<!--#include virtual='/include.html' -->)(<!--#include virtual='/own?a=x' -->)(<!--#include virtual='/plain/echo.html'-->)",
        "",
    ),
    (
        "missing",
        "(<!--#include virtual='/absent.html' -->)(<!--#include virtual='/gone'-->)(<!--#include virtual='/paged'-->)",
        "",
    ),
    ("denied", "(<!--#include virtual='/denied' -->)", ""),
    ("nothing", "(<!--#include virtual='/nothing' -->)(<!--#include virtual='/empty.html' -->)", ""),
    (
        "unsafe",
        "(<!--#include virtual='/a/../part.html' -->)(<!--#include virtual='..'-->)(<!--#include virtual=''-->)(<!--#include virtual='/%70art.html'-->)(<!--#include virtual='/a/%2e%2e/part.html'-->)",
        "",
    ),
    (
        "include-wrong",
        "(<!--#include -->)(<!--#include virtual='/part.html' file='a'-->)(<!--#include virtual='/part.html' wait='perhaps'-->)(<!--#include file='part.html' wait='yes'-->)(<!--#include virtual='/part.html' stub='s'-->)(<!--#include virtual='/part.html' set='a' stub='b'-->)",
        "",
    ),
    (
        "waited",
        "(<!--#include virtual='/sets' wait='yes'-->)<!--#echo var='configured'-->(<!--#include virtual='/inner' wait='NO'-->)",
        "",
    ),
    (
        "into",
        "<!--#include virtual='/part.html' set='kept'--><!--#echo var='kept'-->|<!--#include virtual='/gone' set='kept'--><!--#echo var='kept'-->|<!--#include virtual='/gone' set='other'-->[<!--#echo var='other'-->]",
        "",
    ),
    (
        "ifs",
        "<!--#if expr='$arg_a'-->a<!--#elif expr='$arg_b = b' -->b<!--#elif expr='$arg_b != c' -->not c<!--#else-->else<!--#endif-->|",
        "b=b",
    ),
    (
        "ifs2",
        "<!--#if expr='$arg_a'-->a<!--#elif expr='$arg_b = b' -->b<!--#elif expr='$arg_b != c' -->not c<!--#else-->else<!--#endif-->|",
        "b=c",
    ),
    (
        "regex",
        "<!--#if expr='$arg_a = /^(.)(?P<rest>.*)$/' -->1 <!--#echo var='1'--> rest <!--#echo var='rest'--> 0 <!--#echo var='0'--> 3 <!--#echo var='3'--><!--#endif--><!--#if expr='$arg_a = /(/'-->no<!--#endif -->",
        "a=xyz",
    ),
    (
        "ifs-wrong",
        "<!--#else-->1<!--#endif-->2<!--#if expr='$a ~ b'-->3<!--#endif-->4<!--#if expr='$arg_a'--><!--#if expr='x'-->5<!--#endif-->6<!--#else-->7<!--#endif-->",
        "a=1",
    ),
    (
        "blocks",
        "<!--#block name='one'-->stub <!--#echo var='arg_a'--> $arg_a<!--#endblock-->(<!--#include virtual='/absent.html?a=2' stub='one'-->)(<!--#include virtual='/nothing?a=3' stub='one'-->)(<!--#include virtual='/part.html' stub='one'-->)(<!--#include virtual='/gone?a=4' stub='one' wait='yes'-->)",
        "a=1",
    ),
    (
        "blocks-in-ifs",
        "<!--#if expr='$arg_a'--><!--#block name='b'-->yes<!--#endblock--><!--#else--><!--#block name='b'-->no<!--#endblock--><!--#endif-->(<!--#include virtual='/absent.html' stub='b'-->)",
        "a=",
    ),
    (
        "dates",
        "<!--#config timefmt='%Y %B %%'--><!--#echo var='date_gmt'-->|<!--#set var='d' value='$date_local'--><!--#echo var='d'-->",
        "",
    ),
    (
        "messages",
        "<!--#config errmsg='<oops>'--><!--#nothing-->|<!--#echo-->|<!--#echo var='a' var='b'-->|<!--#echo what='a'-->|<!--#echo var=a-->|<!--#echo var='a'x -->|<!-- no command --><!-->|",
        "",
    ),
    (
        "long",
        "<!--#set var='abcdefghijk' value='01234567890'-->|<!--#set var='a' value='0123456789'--><!--#echo var='a'-->",
        "",
    ),
    (
        "shared",
        "<!--#set var='v' value='outer'--><!--#include virtual='/shared-inner.html' wait='yes'--><!--#echo var='v'-->",
        "",
    ),
    ("shared-inner", "[<!--#echo var='v'--><!--#set var='v' value='inner'-->]", ""),
    ("itself", "x<!--#include virtual='/itself.html'-->", ""),
    ("error", "the page of <!--#echo var='request_uri'-->", ""),
    (
        "around-large",
        "<!--#include virtual='/large.html'-->|<!--#include virtual='/plain/large.html'-->|<!--#include virtual='/part.html'-->",
        "",
    ),
];

fn prepare(scratch: &Scratch) {
    let pages = PAGES.iter().map(|(name, page, _)| (format!("{name}.html"), (*page).to_owned()));
    let others = [
        ("part.html", "a part".to_owned()),
        ("note.txt", "<!--#echo var='arg_a'-->".to_owned()),
        ("empty.html", String::new()),
        ("large.html", "0123456789<!-- -->".repeat(30_000)),
    ];
    for (name, content) in pages.chain(others.map(|(name, content)| (name.to_owned(), content))) {
        let path = scratch.write(&format!("root/{name}"), &content);
        let file = std::fs::File::options().write(true).open(path).expect("the file is ours");
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_607_200);
        file.set_modified(time).expect("a time");
    }
}

/// Status, body and what tells of the body.
fn ask(address: &Address, request: Request) -> (u16, String, Vec<Option<String>>) {
    let response = request.send(address);
    let names = ["content-length", "transfer-encoding", "etag", "last-modified", "accept-ranges", "content-range"];
    let fields = names.map(|name| response.header(name).map(str::to_owned)).to_vec();
    let text = response.text().to_string();
    let body = text.replace(concat!("daemun/", env!("CARGO_PKG_VERSION")), "SERVER").replace("nginx/1.22.1", "SERVER");
    (response.status, body, fields)
}

#[test]
fn nginx_agrees_on_every_page() {
    let both = Beside::start(HTTP, prepare);
    for (name, _, query) in PAGES {
        let target = format!("/{name}.html?{query}");
        let (status, body, _) = both.agreed(&target, |address| ask(address, Request::get(&target)));
        assert_eq!(status, 200, "{target}");
        assert!(!body.is_empty(), "{target}");
    }
}

#[test]
fn nginx_agrees_on_settings_and_fields() {
    let both = Beside::start(HTTP, prepare);
    for target in [
        "/types/note.txt?a=1",
        "/note.txt?a=1",
        "/plain/echo.html?a=1",
        "/modified/echo.html?a=1",
        "/silent/messages.html",
        "/silent/ifs-wrong.html?a=1",
        "/short/long.html",
        "/substituted/include.html",
        "/around/echo.html?a=1",
        "/empty.html",
        "/error",
        "/absent.html",
        "/small/into.html",
    ] {
        both.agreed(target, |address| ask(address, Request::get(target)));
    }
    both.agreed("a range", |address| ask(address, Request::get("/echo.html").header("Range", "bytes=0-3")));
    let since = |address: &Address| {
        ask(address, Request::get("/echo.html").header("If-Modified-Since", "Mon, 05 Jan 2026 10:00:00 GMT"))
    };
    assert_eq!(both.agreed("since", since).0, 304);
    both.agreed("HTTP/1.0", |address| ask(address, Request::get("/include.html").version("HTTP/1.0")));
    let head = |address: &Address| {
        let mut connection = Connection::to(address);
        connection.send(Request::new("HEAD", "/include.html").octets());
        let response = connection.response_to_head();
        (response.status, response.header("content-length").map(str::to_owned))
    };
    assert_eq!(both.agreed("HEAD", head), (200, None));
}

#[test]
fn what_is_included_is_compressed_with_the_page() {
    let both = Beside::start(HTTP, prepare);
    let page = |address: &Address| {
        let response = Request::get("/packed/include.html").header("Accept-Encoding", "gzip").send(address);
        let mut text = String::new();
        GzDecoder::new(response.body.as_slice()).read_to_string(&mut text).expect("gzip");
        text
    };
    assert_eq!(both.agreed("packed", page), "(a part)(a part)(a part)");
}

/// nginx ends such a request too: what was to be kept cannot be shown.
#[test]
fn an_answer_too_large_to_keep_ends_the_request() {
    let page = "<!--#include virtual='/small/large.html' set='v'--><!--#echo var='v'-->";
    let both = Beside::start(HTTP, |scratch| {
        prepare(scratch);
        scratch.write("root/keeps.html", page);
    });
    both.agreed("too large", |address| Request::get("/keeps.html").try_send(address).is_err());
    assert!(both.folders().0.read("error.log").contains("too big subrequest response"));
}

#[test]
fn pages_that_include_themselves_twice_do_not_hold_the_server() {
    let scratch = Scratch::new();
    scratch.write("root/twice.html", "<!--#include virtual='/twice.html'--><!--#include virtual='/twice.html'-->");
    scratch.write("root/page.html", "a page");
    let web = harness::Web::start(&scratch, "root SCRATCH/root; default_type text/html; ssi on; ssi_silent_errors on;");
    let mut endless = Connection::to(&web.address);
    endless.send(Request::get("/twice.html").octets());
    for _ in 0..20 {
        assert_eq!(Request::get("/page.html").send(&web.address).text(), "a page");
    }
}
