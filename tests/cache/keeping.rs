//! What is kept and under which key, beside nginx; and what of an answer its client gets.

use std::sync::mpsc;
use std::thread;

use harness::{Address, Beside, Connection, Port, Request, Response, Scratch, Web, assert_each, servers, wait_until};

use super::{Numbered, answer, files, get, seen};

const HTTP: &str = r#"
    proxy_cache_path SCRATCH/cache levels=1:2 keys_zone=one:1m;
    proxy_cache_key $uri$is_args$args;
    server {
        listen LISTEN;
        add_header X-Status $upstream_cache_status always;
        location / { proxy_pass http://unix:SCRATCH/back.sock:; proxy_cache one; proxy_cache_valid 200 1h; }
        location /only-said/ { proxy_pass http://unix:SCRATCH/back.sock:/; proxy_cache one; }
        location /ignored/ {
            proxy_pass http://unix:SCRATCH/back.sock:/; proxy_cache one; proxy_cache_valid any 1h;
            proxy_ignore_headers Cache-Control Expires X-Accel-Expires Set-Cookie Vary;
        }
        location /refused/ { proxy_pass http://unix:SCRATCH/back.sock:/; proxy_cache one; proxy_cache_valid any 1h; proxy_no_cache $arg_no; proxy_cache_bypass $arg_anew; }
        location /twice/ { proxy_pass http://unix:SCRATCH/back.sock:/; proxy_cache one; proxy_cache_valid any 1h; proxy_cache_min_uses 2; }
        location /posted/ { proxy_pass http://unix:SCRATCH/back.sock:/; proxy_cache one; proxy_cache_valid any 1h; proxy_cache_methods POST; }
        location /intercepted/ {
            proxy_pass http://unix:SCRATCH/back.sock:/; proxy_cache one; proxy_cache_valid any 1h;
            proxy_intercept_errors on; error_page 404 =410 /gone;
        }
        location = /gone { return 200 "gone"; }
        location /dead/ { proxy_pass http://unix:SCRATCH/nobody.sock:/; proxy_cache one; proxy_cache_valid 502 1h; }
        location /hidden/ { proxy_pass http://unix:SCRATCH/back.sock:/; proxy_cache one; proxy_cache_valid any 1h; proxy_hide_header X-Field; add_header X-Told $upstream_http_x_field; add_header X-Status $upstream_cache_status; }
        location /asked/ { proxy_pass http://unix:SCRATCH/back.sock:/asked; proxy_cache one; proxy_cache_valid any 1h; }
        location /redirected/ { proxy_pass http://unix:SCRATCH/back.sock:/redirect; proxy_cache one; proxy_cache_valid any 1h; proxy_redirect http://elsewhere/ /$arg_to/; proxy_cache_key fixed; }
    }
    server {
        listen unix:SCRATCH/back.sock;
        root SCRATCH/root;
        default_type text/plain;
        add_header Cache-Control $arg_cc;
        add_header X-Accel-Expires $arg_xa;
        add_header Set-Cookie $arg_cookie;
        add_header Vary $arg_vary;
        add_header X-Field field;
        location = /asked { return 200 "$request_method|$http_range|$http_if_none_match|$http_if_modified_since|$http_x_own"; }
        location = /redirect { return 302 http://elsewhere/place; }
    }
"#;

fn prepare(scratch: &Scratch) {
    scratch.write("root/page", "0123456789");
    scratch.write("root/other", "the other");
}

struct Asked {
    method: &'static str,
    target: &'static str,
    fields: &'static [(&'static str, &'static str)],
    /// What must be seen: status of the answer, `X-Status`.
    expected: (u16, &'static str),
}

const fn asked(target: &'static str, status: u16, cache: &'static str) -> Asked {
    Asked { method: "GET", target, fields: &[], expected: (status, cache) }
}

const fn with(
    fields: &'static [(&'static str, &'static str)],
    target: &'static str,
    status: u16,
    cache: &'static str,
) -> Asked {
    Asked { method: "GET", target, fields, expected: (status, cache) }
}

/// In this order; later ones find what earlier ones have left.
const ASKED: &[Asked] = &[
    asked("/page", 200, "MISS"),
    asked("/page", 200, "HIT"),
    Asked { method: "HEAD", target: "/page", fields: &[], expected: (200, "HIT") },
    with(&[("Range", "bytes=2-4")], "/page", 206, "HIT"),
    with(&[("Range", "bytes=0-1,8-")], "/page", 206, "HIT"),
    with(&[("Range", "bytes=50-")], "/page", 416, "HIT"),
    with(&[("If-None-Match", "*")], "/page", 304, "HIT"),
    with(&[("If-Match", "\"none\"")], "/page", 412, "HIT"),
    Asked { method: "HEAD", target: "/page?head", fields: &[], expected: (200, "MISS") },
    asked("/page?head", 200, "HIT"),
    with(&[("Range", "bytes=2-4")], "/page?range", 206, "MISS"),
    asked("/page?range", 200, "HIT"),
    with(&[("If-None-Match", "*")], "/page?none-match", 304, "MISS"),
    asked("/page?none-match", 200, "HIT"),
    asked("/none", 404, "MISS"),
    asked("/none", 404, "MISS"),
    Asked { method: "POST", target: "/page", fields: &[], expected: (405, "-") },
    asked("/only-said/page", 200, "MISS"),
    asked("/only-said/page", 200, "MISS"),
    asked("/only-said/page?cc=max-age=60", 200, "MISS"),
    asked("/only-said/page?cc=max-age=60", 200, "HIT"),
    asked("/page?cc=no-store", 200, "MISS"),
    asked("/page?cc=no-store", 200, "MISS"),
    asked("/page?xa=0", 200, "MISS"),
    asked("/page?xa=0", 200, "MISS"),
    asked("/page?cookie=a", 200, "MISS"),
    asked("/page?cookie=a", 200, "MISS"),
    asked("/page?vary=*", 200, "MISS"),
    asked("/page?vary=*", 200, "MISS"),
    with(&[("Foo", "a")], "/page?vary=Foo", 200, "MISS"),
    with(&[("Foo", "b")], "/page?vary=Foo", 200, "MISS"),
    with(&[("Foo", "a")], "/page?vary=Foo", 200, "HIT"),
    with(&[("Foo", "b")], "/page?vary=Foo", 200, "HIT"),
    asked("/page?vary=Foo", 200, "MISS"),
    asked("/ignored/page?cc=no-store&xa=0&cookie=a&vary=*", 200, "MISS"),
    asked("/ignored/page?cc=no-store&xa=0&cookie=a&vary=*", 200, "HIT"),
    asked("/refused/page?no=1", 200, "MISS"),
    asked("/refused/page?no=1", 200, "MISS"),
    asked("/refused/page?no=0", 200, "MISS"),
    asked("/refused/page?no=0", 200, "HIT"),
    asked("/refused/page?anew=1", 200, "BYPASS"),
    asked("/refused/page?anew=1", 200, "BYPASS"),
    asked("/twice/page", 200, "MISS"),
    asked("/twice/page", 200, "MISS"),
    asked("/twice/page", 200, "HIT"),
    Asked { method: "POST", target: "/posted/asked", fields: &[], expected: (200, "MISS") },
    Asked { method: "POST", target: "/posted/asked", fields: &[], expected: (200, "HIT") },
    asked("/intercepted/none", 410, "MISS"),
    asked("/intercepted/none", 410, "HIT"),
    asked("/dead/page", 502, "MISS"),
    asked("/dead/page", 502, "HIT"),
    asked("/hidden/page", 200, "MISS"),
    asked("/hidden/page", 200, "HIT"),
    with(&[("Range", "bytes=1-2"), ("If-None-Match", "x"), ("X-Own", "own")], "/asked/", 200, "MISS"),
    asked("/asked/", 200, "HIT"),
    asked("/redirected/?to=one", 302, "MISS"),
    asked("/redirected/?to=two", 302, "HIT"),
];

/// Status, cache status, fields that matter and body of an answer.
fn view(response: &Response, is_multipart: bool) -> String {
    let field = |name| response.header(name).unwrap_or("-").to_owned();
    let location = field("Location").replace(|letter: char| letter.is_ascii_digit(), "0");
    let body = if is_multipart { String::new() } else { response.text() };
    let fields = ["X-Field", "X-Told", "Content-Range", "Accept-Ranges", "Vary"].map(field).join(" ");
    format!("{} {} [{fields} {location}] {body}", response.status, field("X-Status"))
}

#[test]
fn what_nginx_keeps_is_kept() {
    let both = Beside::start(HTTP, prepare);
    assert_each(ASKED, |asked| {
        let ask = |address: &Address| {
            let mut request = Request::new(asked.method, asked.target);
            if asked.method == "POST" {
                request = request.header("Content-Length", "0");
            }
            let request = asked.fields.iter().fold(request, |request, (name, value)| request.header(name, value));
            request.send(address)
        };
        let (ours, nginx) = (ask(&both.ours), ask(&both.nginx));
        let is_multipart = asked.fields.iter().any(|(_, value)| value.contains(','));
        // An own page names its server.
        let is_page = ours.status >= 400 && ours.status != 410;
        let (mut our_view, mut nginx_view) =
            (view(&ours, is_multipart || is_page), view(&nginx, is_multipart || is_page));
        // Of a redirect's page, too, the server's name is not to be compared.
        if ours.status == 302 {
            (our_view, nginx_view) = (
                our_view.lines().next().unwrap_or_default().to_owned(),
                nginx_view.lines().next().unwrap_or_default().to_owned(),
            );
        }
        let cache = ours.header("X-Status").unwrap_or("-");
        let is_right = (ours.status, cache) == asked.expected && our_view == nginx_view;
        let (method, target, fields) = (asked.method, asked.target, asked.fields);
        (!is_right).then(|| {
            format!("{method} {target} {fields:?}:\n  ours  {our_view}\n  nginx {nginx_view}\n  {:?}", asked.expected)
        })
    });
    assert!(both.folders().0.read("error.log").lines().all(|line| !line.contains("cache file")));
}

/// A server that answers once it is let, and who lets it.
fn held_back() -> (Numbered, mpsc::Sender<()>) {
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Numbered::answering(move |_, number| {
        let _ = wait.lock().expect("no panic").recv();
        answer("Cache-Control: max-age=60\r\n", &number.to_string())
    });
    (server, release)
}

/// Many clients ask for the same; the server hears of one.
fn assert_one_asks_for_all(address: &Address, server: &Numbered, release: &mpsc::Sender<()>) {
    const CLIENTS: usize = 40;
    let mut clients: Vec<Connection> = (0..CLIENTS).map(|_| Connection::to(address)).collect();
    for client in &mut clients {
        client.send(Request::get("/").octets());
    }
    wait_until("the server is asked", || server.count() == 1);
    release.send(()).expect("the server waits");
    let answers: Vec<String> = clients.iter_mut().map(|client| client.response().text()).collect();
    assert_eq!(answers, vec!["1"; CLIENTS]);
    assert_eq!(server.count(), 1);
}

#[test]
fn many_requests_for_what_is_not_there_are_one_to_the_server() {
    let (server, release) = held_back();
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", LOCKED);
    assert_one_asks_for_all(&web.address, &server, &release);
}

/// Clients of all event loops wait for the same answer.
#[test]
fn threads_wait_for_one_another() {
    let (server, release) = held_back();
    let scratch = Scratch::new();
    let port = Port::reserve();
    let (listen, backend) = (port.address(), server.backend.address());
    let http = format!(
        "proxy_cache_path SCRATCH/cache keys_zone=one:1m;
        server {{
            listen {listen};
            location / {{ proxy_pass http://{backend}; proxy_cache one; {LOCKED} }}
        }}"
    );
    let text = servers::nginx_conf(&http).replace("worker_processes 1;", "worker_processes 4;");
    scratch.write("web.conf", text);
    let _process = servers::daemun_web(&scratch, "web.conf", &listen);
    assert_one_asks_for_all(&listen, &server, &release);
}

const LOCKED: &str = "proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;";

#[test]
fn whoever_gets_an_answer_for_others_and_fails_is_followed_by_another() {
    let server = Numbered::answering(|_, number| match number {
        1 => "HTTP/1.1 500 Wrong\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => answer("Cache-Control: max-age=60\r\n", &number.to_string()),
    });
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", LOCKED);
    let mut clients: Vec<Connection> = (0..10).map(|_| Connection::to(&web.address)).collect();
    for client in &mut clients {
        client.send(Request::get("/").octets());
    }
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.response().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 500).count(), 1, "{statuses:?}");
    assert_eq!(server.count(), 2);
}

#[test]
fn an_answer_that_breaks_off_is_not_kept() {
    let server = Numbered::answering(|_, number| match number {
        1 => {
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-Then: close\r\nContent-Length: 10\r\n\r\nhalf".to_owned()
        }
        2 => "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf".to_owned(),
        _ => answer("Cache-Control: max-age=60\r\n", &number.to_string()),
    });
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "");
    assert!(Request::get("/").try_send(&web.address).is_err());
    assert!(Request::get("/").try_send(&web.address).is_err());
    assert_eq!(get(&web.address, "/"), "MISS 3");
    assert_eq!(get(&web.address, "/"), "HIT 3");
    assert_eq!(files(&scratch).len(), 1, "drafts are left: {:?}", files(&scratch));
}

#[test]
fn a_client_that_goes_away_does_not_keep_others_from_the_answer() {
    const LENGTH: usize = 20 << 20;
    let server = Numbered::answering(|_, _| answer("Cache-Control: max-age=60\r\n", &"x".repeat(LENGTH)));
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "");
    let mut hasty = Connection::to(&web.address);
    hasty.send(Request::get("/").octets());
    assert!(!hasty.more().is_empty());
    drop(hasty);
    let is_kept = || {
        files(&scratch).iter().any(|file| {
            file.metadata().is_ok_and(|facts| facts.len() > LENGTH as u64) && !file.to_string_lossy().contains(".draft")
        })
    };
    wait_until("the answer is kept", is_kept);
    let response = Request::get("/").send(&web.address);
    assert_eq!((response.header("X-Status"), response.body.len()), (Some("HIT"), LENGTH));
    let part = Request::get("/").header("Range", "bytes=5000000-5000009").send(&web.address);
    assert_eq!(part.body.len(), LENGTH, "a server that does not say Accept-Ranges has none");
    assert_eq!(server.count(), 1);
}

#[test]
fn head_is_asked_for_as_get_and_its_answer_serves_both() {
    let server = Numbered::answering(|head, number| {
        let method = head.split(' ').next().unwrap_or_default();
        answer("Cache-Control: max-age=60\r\n", &format!("{number} {method}"))
    });
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "");
    let mut connection = Connection::to(&web.address);
    connection.send(Request::new("HEAD", "/").octets());
    assert_eq!(connection.response_to_head().header("Content-Length"), Some("5"));
    wait_until("the answer is kept", || files(&scratch).iter().any(|file| !file.to_string_lossy().contains(".draft")));
    assert_eq!(seen(&connection.exchange(Request::get("/").octets())), "HIT 1 GET");
}

#[test]
fn a_compressed_answer_of_a_kept_one_is_what_it_was() {
    let server = Numbered::with_fields("Cache-Control: max-age=60\r\nContent-Type: text/html\r\n");
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "gzip on; gzip_min_length 0; gzip_proxied any;");
    for status in ["MISS", "HIT", "HIT"] {
        let response = Request::get("/").header("Accept-Encoding", "gzip").send(&web.address);
        assert_eq!((response.header("X-Status"), response.header("Content-Encoding")), (Some(status), Some("gzip")));
        assert_eq!(&response.body[..2], b"\x1f\x8b");
    }
    assert_eq!(get(&web.address, "/"), "HIT 1");
}

#[test]
fn subrequests_are_answered_from_the_cache_too() {
    let server = Numbered::with_fields("Cache-Control: max-age=60\r\n");
    let scratch = Scratch::new();
    let http = "    proxy_cache_path SCRATCH/cache keys_zone=one:1m;\n";
    let locations = format!(
        "location /part {{ proxy_pass http://{}; proxy_cache one; proxy_cache_lock on; }}
         location = /page.html {{ root SCRATCH/root; ssi on; default_type text/html; }}",
        server.backend.address()
    );
    scratch.write("root/page.html", "<!--# include virtual=\"/part\" --> <!--# include virtual=\"/part\" -->");
    let web = Web::start_in(&scratch, http, &locations);
    assert_eq!(Request::get("/page.html").send(&web.address).text(), "1 1");
    assert_eq!(server.count(), 1);
}

/// What a configuration may not say; nginx's words where nginx has the directive.
const WRONG: &[(&str, &str)] = &[
    ("proxy_cache_path SCRATCH/cache;", "invalid number of arguments in \"proxy_cache_path\" directive"),
    ("proxy_cache_path SCRATCH/cache levels=1:2;", "\"proxy_cache_path\" must have \"keys_zone\" parameter"),
    ("proxy_cache_path SCRATCH/cache levels=3 keys_zone=one:1m;", "invalid \"levels\" \"levels=3\""),
    ("proxy_cache_path SCRATCH/cache keys_zone=one;", "invalid keys zone size \"keys_zone=one\""),
    ("proxy_cache_path SCRATCH/cache keys_zone=one:4k;", "keys zone \"one\" is too small"),
    ("proxy_cache_path SCRATCH/cache keys_zone=one:1m inactive=soon;", "invalid inactive value \"inactive=soon\""),
    ("proxy_cache_path SCRATCH/cache keys_zone=one:1m max_size=much;", "invalid max_size value \"max_size=much\""),
    ("proxy_cache_path SCRATCH/cache keys_zone=one:1m colour=red;", "invalid parameter \"colour=red\""),
    (
        "proxy_cache_path SCRATCH/cache keys_zone=one:1m; proxy_cache_path SCRATCH/cache2 keys_zone=one:1m;",
        "duplicate zone \"one\"",
    ),
    ("proxy_cache nobody;", "\"proxy_cache\" zone \"nobody\" is unknown"),
    ("proxy_cache_valid soon;", "invalid time value \"soon\""),
    ("proxy_cache_valid 99 1m;", "invalid status \"99\""),
    ("proxy_cache_use_stale sometimes;", "invalid value \"sometimes\""),
    ("proxy_cache_methods PUT;", "invalid value \"PUT\""),
    ("proxy_cache off; proxy_cache off;", "\"proxy_cache\" directive is duplicate"),
    (
        "server { listen 1; proxy_cache_path SCRATCH/cache keys_zone=one:1m; }",
        "\"proxy_cache_path\" directive is not allowed here",
    ),
];

#[test]
fn a_wrong_configuration_is_refused_in_nginxs_words() {
    assert_each(WRONG, |(http, message)| {
        let scratch = Scratch::new();
        let port = Port::reserve();
        scratch.write("web.conf", servers::nginx_conf(&format!("{http} server {{ listen {}; }}", port.address())));
        let ours = servers::web(&scratch, "web.conf").arg("-t").run();
        let nginx = servers::nginx_check(&scratch, "web.conf").run();
        // Some words nginx says of a directive's argument without telling it.
        let agrees = nginx.output.contains(message) || !nginx.status.success();
        let is_right = !ours.status.success() && ours.output.contains(message) && agrees;
        (!is_right).then(|| format!("{http}: {message}\n{}\n{}", ours.output, nginx.output))
    });
}

#[test]
fn parameters_for_a_purger_are_refused_by_name() {
    let scratch = Scratch::new();
    let http = "proxy_cache_path SCRATCH/cache keys_zone=one:1m purger=on;";
    scratch.write("web.conf", servers::nginx_conf(http));
    let ended = servers::web(&scratch, "web.conf").arg("-t").run();
    assert!(
        !ended.status.success() && ended.output.contains("\"purger\" is not supported by daemun yet"),
        "{}",
        ended.output
    );
}

#[test]
fn an_explanation_names_cache_and_key_and_touches_nothing() {
    let server = Numbered::with_fields("Cache-Control: max-age=60\r\n");
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "");
    let port = web.address.port();
    let launch = servers::daemun(&scratch).arg("explain").arg("--prefix").arg(scratch.folder());
    let ended = launch.arg("-c").arg("web.conf").arg(format!("http://127.0.0.1:{port}/page?x")).run();
    let key = format!("in the cache \"one\" by the key \"http://{}/page?x\"", server.backend.address());
    assert!(ended.output.contains(&key), "{}", ended.output);
    assert_eq!((server.count(), files(&scratch).len()), (0, 0));
}

/// The thread that serves hits is not kept by one that waits.
#[test]
fn a_hit_waits_for_nobody() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Numbered::answering(move |head, number| {
        if head.contains("/slow") {
            let _ = wait.lock().expect("no panic").recv();
        }
        answer("Cache-Control: max-age=60\r\n", &number.to_string())
    });
    let scratch = Scratch::new();
    let web = server.front(&scratch, "keys_zone=one:1m", "proxy_cache_lock on;");
    assert_eq!(get(&web.address, "/fast"), "MISS 1");
    let address = web.address.clone();
    let slow = thread::spawn(move || get(&address, "/slow"));
    wait_until("the server is asked", || server.count() == 2);
    assert_eq!(get(&web.address, "/fast"), "HIT 1");
    release.send(()).expect("the server waits");
    assert_eq!(slow.join().expect("no panic"), "MISS 2");
}
