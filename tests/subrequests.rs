//! Requests made from requests: `auth_request`, `add_before_body` and `add_after_body`, `mirror`. Every answer is nginx's too.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;

use harness::{Address, Backend, Connection, Request, Response, Scratch, Site, Web, wait_until};

/// What of an answer is compared.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    body: String,
    fields: Vec<Option<String>>,
}

const FIELDS: [&str; 9] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "etag",
    "last-modified",
    "accept-ranges",
    "www-authenticate",
    "x-user",
    "content-range",
];

fn seen(response: &Response) -> Seen {
    let fields = FIELDS.map(|name| response.header(name).map(str::to_owned)).to_vec();
    let text = response.text().to_string();
    // Pages of errors name the server.
    let body = text.replace("daemun/0.1.0", "SERVER").replace("nginx/1.22.1", "SERVER");
    Seen { status: response.status, body, fields }
}

fn get(target: &'static str) -> impl Fn(&Address) -> Seen {
    move |address| seen(&Request::get(target).send(address))
}

const HTTP: &str = r#"
    include /etc/nginx/mime.types;
    log_format subrequest "$uri $args $status $request_method $request_uri";
    server {
        listen LISTEN;
        root SCRATCH/root;
        SERVER
    }
"#;

fn http() -> String {
    HTTP.replace("SERVER", SERVER)
}

const SERVER: &str = r#"
        location /auth/ { return 500; }
        location = /auth/204 { return 204; }
        location = /auth/401 { return 401; }
        location = /auth/403 { return 403; }
        location = /auth/404 { return 404; }
        location = /auth/302 { return 302 /login; }
        location = /auth/page { error_page 401 =200 /auth/204; return 401; }
        location = /auth/inner { internal; deny all; return 204; }
        location = /auth/method { if ($request_method = POST) { return 204; } return 403; }
        location = /auth/shared { set $user "from-$arg_name-$uri"; return 204; }

        location /let-in/ { auth_request /auth/204; alias SCRATCH/root/; }
        location /unauthorized/ { auth_request /auth/401; }
        location /forbidden/ { auth_request /auth/403; error_page 403 /refused.html; }
        location /unexpected/ { auth_request /auth/404; }
        location /redirected/ { auth_request /auth/302; }
        location /paged/ { auth_request /auth/page; alias SCRATCH/root/; }
        location /inner/ { auth_request /auth/inner; alias SCRATCH/root/; }
        location /method/ { auth_request /auth/method; return 200 never; }
        location /off/ { auth_request /auth/403; location /off/on/ { auth_request off; return 204; } }
        location /any/ { satisfy any; auth_request /auth/204; deny all; alias SCRATCH/root/; }
        location /any-refused/ { satisfy any; auth_request /auth/403; deny all; alias SCRATCH/root/; }
        location /set/ {
            auth_request /auth/shared;
            auth_request_set $seen "$uri-$user";
            auth_request_set $args replaced;
            add_header X-User "$seen $user $args" always;
        }

        location /part/ { alias SCRATCH/root/parts/; }
        location = /part/none { return 204; }
        location = /part/denied { deny all; }
        location = /part/uri { return 200 "[$uri $args $request_uri]"; }
        location /before/ { add_before_body /part/head.html; alias SCRATCH/root/; }
        location /after/ { add_after_body /part/foot.html; alias SCRATCH/root/; }
        location /both/ { add_before_body /part/head.html; add_after_body /part/foot.html; alias SCRATCH/root/; }
        location /missing/ { add_before_body /part/missing.html; alias SCRATCH/root/; }
        location /empty/ { add_before_body /part/none; add_after_body ""; alias SCRATCH/root/; }
        location /open-to-parts/ { add_before_body /part/denied; alias SCRATCH/root/; }
        location /about/ { default_type text/html; add_after_body /part/uri; return 200 "about "; }
        location /types/ { addition_types text/plain; add_after_body /part/foot.html; alias SCRATCH/root/; }
        location /large/ { add_before_body /large.html; add_after_body /large.html; alias SCRATCH/root/; }

        location /mirrored/ {
            mirror /copy; mirror /copy/second;
            alias SCRATCH/root/;
            location /mirrored/not/ { mirror off; return 200 alone; }
        }
        location /copy { internal; log_subrequest on; access_log SCRATCH/copies.log subrequest; return 500; }
"#;

fn prepare(scratch: &Scratch) {
    for (name, content) in [
        ("page.html", "the page\n"),
        ("note.txt", "a note\n"),
        ("refused.html", "refused\n"),
        ("parts/head.html", "head\n"),
        ("parts/foot.html", "foot\n"),
    ] {
        write(scratch, name, content.to_owned());
    }
    write(scratch, "large.html", "0123456789".repeat(30_000));
}

/// The validators of both servers' files are the same.
fn write(scratch: &Scratch, name: &str, content: String) {
    let path = scratch.write(&format!("root/{name}"), &content);
    let file = std::fs::File::options().write(true).open(path).expect("the file is ours");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_607_200))
        .expect("a time");
}

#[test]
fn nginx_agrees_on_who_may() {
    let both = harness::Beside::start(&http(), prepare);
    for (target, status) in [
        ("/let-in/page.html", 200),
        ("/unauthorized/page.html", 401),
        ("/forbidden/page.html", 403),
        ("/unexpected/page.html", 500),
        ("/redirected/page.html", 500),
        ("/paged/page.html", 200),
        ("/inner/page.html", 200),
        ("/off/page.html", 403),
        ("/off/on/page.html", 204),
        ("/any/page.html", 200),
        ("/any-refused/page.html", 403),
        ("/set/absent?name=ann", 404),
        ("/auth/inner", 404),
    ] {
        assert_eq!(both.agreed(target, get(target)).status, status, "{target}");
    }
    let posted =
        both.agreed("a POST", |address| seen(&Request::post("/method/", "text/plain", "some octets").send(address)));
    assert_eq!(posted.body, "never", "the method that is asked for is the client's");
    let set = both.agreed("/set/", get("/set/absent?name=ann"));
    assert!(set.fields.iter().flatten().any(|field| field.contains("from-")), "variables are shared: {set:?}");
    for scratch in [both.folders().0, both.folders().1] {
        assert!(scratch.read("error.log").contains("auth request unexpected status: 404"));
    }
}

#[test]
fn nginx_agrees_on_what_is_added() {
    let both = harness::Beside::start(&http(), prepare);
    for (target, body) in [
        ("/before/page.html", "head\nthe page\n"),
        ("/after/page.html", "the page\nfoot\n"),
        ("/both/page.html", "head\nthe page\nfoot\n"),
        ("/both/note.txt", "a note\n"),
        ("/types/note.txt", "a note\nfoot\n"),
        ("/empty/page.html", "the page\n"),
        ("/open-to-parts/page.html", ""),
        ("/about/?a=b", "about [/part/uri  /about/?a=b]"),
        ("/both/absent.html", ""),
        ("/missing/page.html", ""),
    ] {
        let seen = both.agreed(target, get(target));
        assert!(body.is_empty() || seen.body == body, "{target}: {seen:?}");
    }
    let large = both.agreed("/large/", get("/large/page.html"));
    assert_eq!(large.body.len(), 600_009);
    let head = |address: &Address| {
        let mut connection = Connection::to(address);
        connection.send(Request::new("HEAD", "/both/page.html").octets());
        seen(&connection.response_to_head())
    };
    assert_eq!(both.agreed("HEAD", head).body, "");
    let ranged = |address: &Address| seen(&Request::get("/both/page.html").header("Range", "bytes=0-3").send(address));
    assert_eq!(both.agreed("no ranges", ranged).status, 200);
}

#[test]
fn who_may_have_a_subrequest_is_not_asked() {
    let scratch = Scratch::new();
    prepare(&scratch);
    let web = Web::start(&scratch, "root SCRATCH/root; location = /page.html { auth_request /page.html; }");
    assert_eq!(Request::get("/page.html").send(&web.address).text(), "the page\n");
}

#[test]
fn nginx_agrees_on_mirrors() {
    let both = harness::Beside::start(&http(), prepare);
    let lines = "/copy x=1 500 GET /mirrored/page.html?x=1\n/copy/second x=1 500 GET /mirrored/page.html?x=1\n";
    let asked = |address: &Address| {
        let mut connection = Connection::to(address);
        let first = seen(&connection.exchange(Request::get("/mirrored/page.html?x=1").octets()));
        (first, seen(&connection.exchange(Request::get("/mirrored/not/").octets())))
    };
    let (first, second) = both.agreed("mirrored", asked);
    assert_eq!((first.body.as_str(), second.body.as_str()), ("the page\n", "alone"));
    for scratch in [both.folders().0, both.folders().1] {
        wait_until("both copies are logged", || scratch.read("copies.log") == lines);
    }
}

/// The copy has the body, unless `mirror_request_body` is off.
#[test]
fn mirrors_get_the_body_or_none() {
    let scratch = Scratch::new();
    let server = "location / { mirror /copy; uwsgi_pass unix:SCRATCH/nobody.sock; }
        location /alone { mirror /copy; mirror_request_body off; uwsgi_pass unix:SCRATCH/nobody.sock; }
        location = /copy { internal; log_subrequest on; access_log SCRATCH/copies.log body; return 204; }";
    let http = "log_format body '$request_uri [$http_content_length] [$request_body]';";
    let web = Web::start_in(&scratch, http, server);
    for target in ["/", "/alone"] {
        assert_eq!(Request::post(target, "text/plain", "four").send(&web.address).status, 502);
    }
    wait_until("both copies are logged", || scratch.read("copies.log") == "/ [4] [four]\n/alone [4] [-]\n");
}

/// The client has its answer while the mirror has none yet, and the next one once it has.
#[test]
fn a_slow_mirror_keeps_nobody_waiting_for_the_answer() {
    let scratch = Scratch::new();
    let listener = UnixListener::bind(scratch.path("copy.sock")).expect("a socket");
    let (release, released) = mpsc::channel::<()>();
    let copy = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a copy");
        let mut packet = vec![0; 65536];
        let count = stream.read(&mut packet).expect("its packet");
        released.recv().expect("the client has its answer");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nnobody reads this").expect("an answer");
        packet.truncate(count);
        packet
    });
    let server = "root SCRATCH/root; location / { mirror /copy; }
        location /quick { return 204; }
        location = /copy { internal; uwsgi_pass unix:SCRATCH/copy.sock; uwsgi_param METHOD $request_method; }";
    prepare(&scratch);
    let web = Web::start(&scratch, server);
    let mut connection = Connection::to(&web.address);
    let response = connection.exchange(Request::get("/page.html").octets());
    assert_eq!(response.text(), "the page\n");
    release.send(()).expect("the copy waits");
    assert!(copy.join().expect("a copy came").windows(3).any(|octets| octets == b"GET"));
    assert_eq!(connection.exchange(Request::get("/quick").octets()).status, 204);
}

/// Parts of a page that workers make at the same time, in one piece and in many, sent and kept.
#[test]
fn an_application_answers_subrequests() {
    let scratch = Scratch::new();
    scratch.write("go", "");
    let page = "<!--#include virtual='/steps'-->|<!--#include virtual='/big/300000/1000'-->|<!--#include virtual='/hello'-->|\
        <!--#include virtual='/hello' set='kept'--><!--#echo var='kept'-->";
    scratch.write("root/page.html", page);
    let server = "location = /page.html {
            ssi on; root SCRATCH/root; auth_request /hello; auth_request_set $type $sent_http_content_type;
            add_header X-Type $type;
        }";
    let options = "processes = 2\nenv = GO=SCRATCH/go\nenv = EVENTS=SCRATCH/events";
    let site = Site::start(&scratch, server, "pep3333", options);
    let response = Request::get("/page.html").send(&site.address);
    assert_eq!((response.status, response.header("x-type")), (200, Some("text/plain")));
    let parts: Vec<&[u8]> = response.body.split(|octet| *octet == b'|').collect();
    assert_eq!(parts.first(), Some(&&b"first piece\nsecond piece\n"[..]));
    assert!(response.body.len() > 300_000, "{}", response.body.len());
    let last: Vec<_> = parts.iter().rev().take(2).map(|part| String::from_utf8_lossy(part)).collect();
    assert!(last.iter().all(|text| text.starts_with("hello from ")), "{last:?}");
}

/// What is between an upstream and a client's own request alone stays there.
#[test]
fn a_subrequest_neither_hints_nor_takes_the_connection_over() {
    let upstream = Backend::answering(|head| {
        let answer = if head.starts_with("GET /upgrade") { "101 Switching Protocols" } else { "204 No Content" };
        format!("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 {answer}\r\nX-Status: seen\r\n\r\n")
    });
    let scratch = Scratch::new();
    prepare(&scratch);
    scratch.write("root/upstream.html", "[<!--#echo var='upstream_status'-->]");
    let server = format!(
        "root SCRATCH/root; early_hints 1; proxy_http_version 1.1;
        location = /page.html {{ auth_request /asked; auth_request_set $seen $upstream_http_x_status; add_header X-Seen $seen; }}
        location = /note.txt {{ auth_request /upgrade; }}
        location = /asked {{ proxy_pass http://{0}; }}
        location = /upgrade {{ proxy_pass http://{0}; proxy_set_header Upgrade x; proxy_set_header Connection upgrade; }}
        location = /through {{ ssi on; ssi_types *; proxy_pass http://127.0.0.1:$server_port/upstream.html; }}",
        upstream.address()
    );
    let web = Web::start(&scratch, &server);
    let response = Request::get("/page.html").send(&web.address);
    assert_eq!((response.status, response.header("x-seen")), (200, Some("seen")));
    assert!(response.interim.is_empty(), "{:?}", response.interim);
    let upgrading = Request::get("/note.txt").header("Upgrade", "x").header("Connection", "upgrade");
    assert!(upgrading.try_send(&web.address).is_err(), "nothing can be said of who may");
    assert!(scratch.read("error.log").contains("connection upgrade in subrequest"));
    assert_eq!(Request::get("/through").send(&web.address).text(), "[200]");
}

#[test]
fn a_setting_given_twice_is_refused() {
    let scratch = Scratch::new();
    let port = harness::Port::reserve();
    let server = format!("server {{ listen {}; auth_request /a; auth_request /a; }}", port.address());
    scratch.write("web.conf", harness::servers::nginx_conf(&server));
    let ended = harness::servers::web(&scratch, "web.conf").run();
    assert!(ended.output.contains("\"auth_request\" directive is duplicate"), "{}", ended.output);
}
