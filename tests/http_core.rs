//! The http core beyond files: which connections are kept, what of a request head is refused, what clients are told.

use std::time::Duration;

use harness::{Connection, Ended, Port, Process, Request, Scratch, Web, servers, wait_until};

fn start(scratch: &Scratch, port: &Port, server: &str) -> Process {
    let http =
        format!("    server {{\n        listen {};\n        root SCRATCH/root;\n{server}\n    }}", port.address());
    scratch.write("web.conf", servers::nginx_conf(&http));
    scratch.make_folder("root");
    servers::daemun_web(scratch, "web.conf", &port.address())
}

#[test]
fn each_location_says_how_long_a_connection_is_kept() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let _web = start(
        &scratch,
        &port,
        "keepalive_requests 2;
        location = /two { return 200 two; }
        location = /four { keepalive_requests 4; return 200 four; }
        location = /none { keepalive_timeout 0; return 200 none; }
        location = /brief { keepalive_timeout 200ms; return 200 brief; }
        location = /aged { keepalive_requests 9; keepalive_time 300ms; return 200 aged; }",
    );
    for (target, count) in [("/two", 2), ("/four", 4), ("/none", 1)] {
        let mut connection = Connection::to(&port.address());
        for request in 1..=count {
            let expected = if request == count { "close" } else { "keep-alive" };
            let response = connection.exchange(Request::get(target).octets());
            assert_eq!(response.header("Connection"), Some(expected), "{target}, request {request}");
        }
        assert!(connection.rest().is_empty());
    }
    let mut brief = Connection::to(&port.address());
    assert_eq!(brief.exchange(Request::get("/brief").octets()).header("Connection"), Some("keep-alive"));
    assert!(brief.rest().is_empty());
    let mut aged = Connection::to(&port.address());
    assert_eq!(aged.exchange(Request::get("/aged").octets()).header("Connection"), Some("keep-alive"));
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(aged.exchange(Request::get("/aged").octets()).header("Connection"), Some("close"));
}

#[test]
fn browsers_that_get_kept_connections_wrong_are_let_go() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let _web = start(
        &scratch,
        &port,
        "location = /default { return 200; }
        location = /safari { keepalive_disable safari; return 200; }
        location = /none { keepalive_disable none; return 200; }",
    );
    let old = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.0)";
    let safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_6_8) Version/5.1 Safari/534.59";
    for (target, method, agent, expected) in [
        ("/default", "POST", old, "close"),
        ("/default", "GET", old, "keep-alive"),
        ("/default", "POST", safari, "keep-alive"),
        ("/safari", "GET", safari, "close"),
        ("/safari", "POST", old, "keep-alive"),
        ("/none", "POST", old, "keep-alive"),
    ] {
        let request = Request::new(method, target).header("Content-Length", "0").header("User-Agent", agent);
        let response = Connection::to(&port.address()).exchange(request.octets());
        assert_eq!(response.header("Connection"), Some(expected), "{method} {target} {agent}");
    }
}

#[test]
fn header_fields_are_counted_and_judged_as_the_server_says() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let _web = start(
        &scratch,
        &port,
        "max_headers 4;
        underscores_in_headers on;
        location / { return 200 \"$http_x_under\"; }",
    );
    let ask = |extra: &str| {
        let mut connection = Connection::to(&port.address());
        connection.exchange(format!("GET / HTTP/1.1\r\nHost: a.test\r\nX_Under: 1\r\nConnection: close\r\n{extra}\r\n"))
    };
    let fits = ask("A: 1\r\n");
    assert_eq!((fits.status, fits.text().as_str()), (200, "1"));
    assert_eq!(ask("A: 1\r\nB: 2\r\n").status, 400);
}

/// `merge_slashes`, here and in nginx.
#[test]
fn slashes_are_merged_unless_they_are_not_to_be() {
    let scratch = Scratch::new();
    for (setting, answers) in [("", ["/a/b", "/a/b/"]), ("merge_slashes off;", ["/a//b", "///a///b//"])] {
        let server = format!("{setting} location / {{ return 200 $uri; }} location = /a/c {{ return 200 found; }}");
        for web in [Web::start(&scratch, &server), Web::nginx(&scratch, &server)] {
            for (target, answer) in ["/a//b", "///a///b//"].into_iter().zip(answers) {
                assert_eq!(Request::get(target).send(&web.address).text(), answer, "{setting} {target}");
            }
            let expected = if setting.is_empty() { "found" } else { "/a//c" };
            assert_eq!(Request::get("/a//c").send(&web.address).text(), expected, "{setting}");
        }
    }
}

#[test]
fn trace_and_connect_are_refused_at_once() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let _web = start(&scratch, &port, "location / { return 200 reached; }");
    for head in ["TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"] {
        let mut connection = Connection::to(&port.address());
        let response = connection.exchange(head);
        assert_eq!((response.status, response.header("Connection")), (405, Some("close")), "{head}");
        assert!(connection.rest().is_empty());
    }
}

#[test]
fn variables_of_connection_port_and_pipelining() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let _web = start(
        &scratch,
        &port,
        "location = /port { return 200 \"$host$is_request_port$request_port\"; }
        location = /pipe { return 200 \"$pipe$connection_requests\"; }
        location = /time { return 200 \"$connection_time\"; }",
    );
    for (host, expected) in [("a.test", "a.test"), ("a.test:81", "a.test:81"), ("a.test:", "a.test")] {
        assert_eq!(Request::get("/port").host(host).send(&port.address()).text(), expected);
    }
    let mut connection = Connection::to(&port.address());
    connection.send([Request::get("/pipe").octets(), Request::get("/pipe").octets()].concat());
    assert_eq!((connection.response().text(), connection.response().text()), (".1".to_owned(), "p2".to_owned()));
    std::thread::sleep(Duration::from_millis(150));
    let text = connection.exchange(Request::get("/time").octets()).text();
    let seconds: f64 = text.parse().expect("seconds with a point");
    assert!((0.1..60.0).contains(&seconds), "{text}");
}

#[test]
fn empty_gif_is_a_picture() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let _web = start(&scratch, &port, "location = /dot { empty_gif; }");
    let response = Request::get("/dot").send(&port.address());
    assert_eq!((response.status, response.header("Content-Type")), (200, Some("image/gif")));
    assert_eq!(response.header("Content-Length"), Some("43"));
    assert_eq!(Request::new("POST", "/dot").header("Content-Length", "0").send(&port.address()).status, 405);
    let time = response.header("Last-Modified").expect("a time").to_owned();
    assert_eq!(Request::get("/dot").header("If-Modified-Since", &time).send(&port.address()).status, 304);
}

#[test]
fn random_index_shows_every_file_of_a_folder_and_no_hidden_one() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    for name in ["a", "b", ".hidden"] {
        scratch.write(&format!("root/any/{name}"), name);
    }
    scratch.make_folder("root/any/folder");
    scratch.make_folder("root/none");
    let _web = start(&scratch, &port, "location / { random_index on; }");
    let mut seen = std::collections::BTreeSet::new();
    wait_until("both files have been shown", || {
        let response = Request::get("/any/").send(&port.address());
        assert_eq!(response.status, 200);
        seen.insert(response.text());
        seen.len() == 2
    });
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(Request::get("/none/").send(&port.address()).status, 403);
    assert_eq!(Request::get("/absent/").send(&port.address()).status, 404);
}

#[test]
fn stub_status_counts_connections_by_what_they_are_at() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let _web = start(
        &scratch,
        &port,
        "location = /status { stub_status; }
        location = /variables { return 200 \"$connections_active $connections_reading $connections_writing $connections_waiting\"; }",
    );
    let mut connection = Connection::to(&port.address());
    let mut ask = |target: &str| connection.exchange(Request::get(target).octets()).text();
    wait_until("the probe of the start is gone", || ask("/variables") == "1 0 1 0");
    let numbers = |text: &str| -> Vec<u64> { text.split_whitespace().filter_map(|word| word.parse().ok()).collect() };
    let first = numbers(&ask("/status"));
    let second = ask("/status");
    assert!(second.starts_with("Active connections: 1 \nserver accepts handled requests\n "), "{second}");
    assert!(second.ends_with(" \nReading: 0 Writing: 1 Waiting: 0 \n"), "{second}");
    let [active, accepted, handled, requests, ..] = numbers(&second)[..] else { panic!("{second}") };
    assert_eq!((active, accepted, handled, requests), (1, first[1], first[2], first[3] + 1));

    let mut other = Connection::to(&port.address());
    wait_until("the other connection waits", || ask("/variables") == "2 0 1 1");
    other.send("GET /status HTTP/1.1\r\n");
    wait_until("its head is being read", || ask("/variables") == "2 1 1 0");
    other.send("Host: a.test\r\n\r\n");
    assert_eq!(other.response().header("Content-Type"), Some("text/plain"));
    wait_until("it waits again", || ask("/variables") == "2 0 1 1");
    drop(other);
    wait_until("it has gone", || ask("/variables") == "1 0 1 0");
}

#[test]
fn a_range_of_ports_is_a_listener_each() {
    let scratch = Scratch::new();
    let mut first = Port::reserve();
    let mut second = Port::reserve();
    while second.number() != first.number() + 1 {
        first = std::mem::replace(&mut second, Port::reserve());
    }
    let number = first.number();
    let listen = format!("listen 127.0.0.1:{number}-{}; return 200 $server_port;", number + 1);
    scratch.write("web.conf", servers::nginx_conf(&format!("server {{ {listen} }}")));
    let _web = servers::daemun_web(&scratch, "web.conf", &first.address());
    for port in [&first, &second] {
        assert_eq!(Request::get("/").send(&port.address()).text(), port.number().to_string());
    }
}

#[test]
fn version_tells_what_is_built() {
    let scratch = Scratch::new();
    let Ended { output, .. } = harness::servers::daemun(&scratch).arg("web").arg("-V").run();
    assert!(output.starts_with("nginx version: nginx/1."), "{output}");
    let arguments = output.lines().find(|line| line.starts_with("configure arguments: ")).expect("the line");
    assert!(arguments.contains(" --with-http_random_index_module"), "{arguments}");
    assert!(!arguments.contains("uwsgi"), "{arguments}");
}

#[test]
fn the_edge_may_open_as_many_files_as_asked_for() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let http = format!("    server {{\n        listen {};\n    }}", port.address());
    scratch.write("web.conf", format!("worker_rlimit_nofile 777;\n{}", servers::nginx_conf(&http)));
    let web = servers::daemun_web(&scratch, "web.conf", &port.address());
    wait_until("the edge has its limit", || {
        let limits = |pid| std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
        let is_limited =
            |text: String| text.lines().any(|line| line.starts_with("Max open files") && line.contains(" 777 "));
        web.descendants().iter().any(|process| is_limited(limits(process.pid)))
    });
}

/// A field may tell of those before it, all of a name joined.
#[test]
fn fields_of_the_answer_so_far_are_variables() {
    let scratch = Scratch::new();
    let server = "location / { add_header Link one; add_header Link two; add_header X-Seen $sent_http_link; add_header X-Type $content_type;
        add_header X-Later $sent_http_x_last; add_header X-Last last; return 204; }";
    let web = Web::start(&scratch, server);
    let response = Request::get("/").header("Content-Type", "a").header("Content-Type", "b").send(&web.address);
    assert_eq!(response.header("X-Seen"), Some("one, two"));
    assert_eq!(response.header("X-Type"), Some("a, b"));
    assert_eq!((response.header("X-Later"), response.header("X-Last")), (None, Some("last")));
}

/// Once the answer is out, another location hears of it; the client does not.
#[test]
fn a_post_action_follows_the_answer() {
    let http = r#"
    log_format uri "$request_method $request_uri $http_x_seen";
    server {
        listen LISTEN;
        root SCRATCH/root;
        access_log SCRATCH/uri.log uri;
        location / { post_action /done; }
        location = /done { proxy_pass http://LISTEN/counted; proxy_set_header X-Seen $request_uri; }
        location = /counted { return 204; }
        location = /quiet { return 200 quiet; }
    }"#;
    let servers = harness::Beside::start(http, |scratch| {
        scratch.write("root/page", "page");
    });
    for target in ["/page", "/absent", "/quiet"] {
        let seen = servers.agreed(target, |address| Request::get(target).send(address).status);
        assert_eq!(seen, if target == "/absent" { 404 } else { 200 });
    }
    for scratch in [servers.folders().0, servers.folders().1] {
        let counted = || scratch.read("uri.log").lines().filter(|line| line.starts_with("GET /counted /")).count();
        wait_until("both are counted", || counted() == 2 && scratch.read("uri.log").contains("GET /quiet"));
    }
}
