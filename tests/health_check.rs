//! Servers that are asked whether they are well, whether or not there are requests for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::{Address, Backend, Connection, Launch, Port, Process, Request, Scratch, programs, servers, wait_until};

#[test]
fn a_server_that_is_not_well_gets_no_requests() {
    let (is_well, well) = switch();
    let sick = Backend::answering(move |_| answer(well.load(Ordering::SeqCst), "sick"));
    let sound = Backend::start("sound");
    let block = format!("server {}; server {};", sick.address(), sound.address());
    let site = Site::start(&block, "health_check interval=100ms fails=2 passes=2;", "");
    site.wait_for(&["200 sick", "200 sound"]);

    is_well.store(false, Ordering::SeqCst);
    site.wait_for_log("is unhealthy: unexpected status 500");
    assert_eq!(site.ask(6), ["200 sound"]);
    is_well.store(true, Ordering::SeqCst);
    site.wait_for_log("is healthy");
    site.wait_for(&["200 sick", "200 sound"]);
}

/// One failed check among good ones is none of two in a row, nor one good check among failed ones.
#[test]
fn only_checks_in_a_row_count() {
    for (check, is_well, unhealthy, healthy) in [
        ("fails=2", [false, true, false, true, false, true, false, true], 0, 0),
        ("passes=2", [false, true, false, true, false, true, false, true], 1, 1),
    ] {
        let checks = AtomicUsize::new(0);
        let server = Backend::answering(move |_| {
            answer(is_well.get(checks.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or(true), "there")
        });
        let site =
            Site::start(&format!("server {};", server.address()), &format!("health_check interval=20ms {check};"), "");
        wait_until("all checks are over", || server.connections() > is_well.len() + 4);
        let log = site.scratch.read("error.log");
        assert_eq!(log.matches("is unhealthy").count(), unhealthy, "{check}: {log}");
        assert_eq!(log.matches("is healthy").count(), healthy, "{check}: {log}");
    }
}

/// Without a server that may be asked there is no answer, and no attempt at one.
#[test]
fn no_request_comes_before_the_first_check() {
    let (is_well, well) = switch();
    is_well.store(false, Ordering::SeqCst);
    let server = Backend::answering(move |_| answer(well.load(Ordering::SeqCst), "there"));
    let block = format!("server {};", server.address());
    let site = Site::start(&block, "health_check interval=100ms mandatory;", "");
    assert_eq!(site.ask(2), ["502"]);
    is_well.store(true, Ordering::SeqCst);
    site.wait_for(&["200 there"]);
}

#[test]
fn an_answer_is_judged_by_its_status_fields_and_body() {
    let (is_well, well) = switch();
    let server = Backend::answering(move |head| match head.contains("/state?of=all") {
        true if well.load(Ordering::SeqCst) => "HTTP/1.1 203 OK\r\nX-State: good\r\n\r\nall is well".to_owned(),
        true => "HTTP/1.1 203 OK\r\nX-State: good\r\n\r\nnearly all".to_owned(),
        false => answer(true, "page"),
    });
    let check = "health_check uri=/state?of=all interval=100ms match=good;";
    let expected =
        "match good { status 200-203; header X-State = good; header ! X-Error; body ~ \"^all is (well|fine)$\"; }";
    let site = Site::start(&format!("server {};", server.address()), check, expected);
    wait_until("it has been checked", || server.connections() > 2);
    assert_eq!(site.ask(2), ["200 page"]);
    is_well.store(false, Ordering::SeqCst);
    site.wait_for_log("is unhealthy: unexpected body");
    assert_eq!(site.ask(2), ["502"]);
}

/// A server that nobody listens at is found out before a request is lost to it.
#[test]
fn what_cannot_be_reached_is_not_well_and_backups_step_in() {
    let (dead, backup) = (Port::reserve(), Backend::start("backup"));
    let block = format!("server 127.0.0.1:{}; server {} backup;", dead.number(), backup.address());
    let site = Site::start(&block, "health_check interval=100ms jitter=10ms;", "");
    site.wait_for_log("is unhealthy: Connection refused");
    let refused = || site.scratch.read("error.log").matches("connect() to").count();
    let before = refused();
    assert_eq!(site.ask(4), ["200 backup"]);
    assert_eq!(refused(), before);
}

#[test]
fn servers_that_speak_http_are_asked_by_http() {
    let (is_well, well) = switch();
    let server = Backend::answering(move |head| match head.starts_with("GET /ping HTTP/1.0\r\nHost: group\r\n") {
        true => answer(well.load(Ordering::SeqCst), "pong"),
        false => answer(true, "page"),
    });
    let check = "health_check uri=/ping interval=100ms fails=1 passes=1;";
    let site = Site::passing("proxy_pass http://group;", &format!("server {};", server.address()), check, "");
    assert_eq!(site.ask(2), ["200 page"]);
    is_well.store(false, Ordering::SeqCst);
    site.wait_for(&["502"]);
    is_well.store(true, Ordering::SeqCst);
    site.wait_for(&["200 page"]);
}

/// By FastCGI, SCGI and memcached's own protocol; the servers are daemun's listeners and the real memcached.
#[test]
fn servers_are_asked_in_the_protocol_of_their_group() {
    for protocol in ["fastcgi", "scgi"] {
        let (scratch, port) = (Scratch::new(), Port::reserve());
        let path =
            if protocol == "fastcgi" { "fastcgi_param SCRIPT_NAME $uri;" } else { "scgi_param DOCUMENT_URI $uri;" };
        let server = format!(
            "server {{ listen {} {protocol}; root SCRATCH;
                location = /state {{ if (-f SCRATCH/sick) {{ return 500; }} return 200 \"well by {protocol}\"; }}
                location / {{ return 200 page; }} }}",
            port.address()
        );
        scratch.write("nginx.conf", servers::nginx_conf(&server));
        let _server = servers::daemun_web(&scratch, "nginx.conf", &port.address());
        let pass = format!(
            "{protocol}_pass group; {path} {protocol}_param REQUEST_METHOD $request_method; {protocol}_param REQUEST_URI $request_uri;"
        );
        let check = "health_check uri=/state?x=1 interval=100ms match=good;";
        let expected = format!("match good {{ status 200; body ~ \"^well by {protocol}$\"; }}");
        let site = Site::passing(&pass, &format!("server {};", port.address()), check, &expected);
        assert_eq!(site.ask(2), ["200 page"], "{protocol}");
        scratch.write("sick", "");
        site.wait_for_log("is unhealthy: unexpected status 500");
        site.wait_for(&["502"]);
        std::fs::remove_file(scratch.path("sick")).expect("it is there");
        site.wait_for(&["200 page"]);
    }
}

#[test]
fn a_memcached_is_asked_for_its_version_or_for_a_value() {
    let scratch = Scratch::new();
    let start = |port: &Port| {
        let launch = Launch::new(&scratch, "memcached", programs::memcached()).args([
            "-u",
            "root",
            "-l",
            "127.0.0.1",
            "-U",
            "0",
            "-p",
        ]);
        let mut process = launch.arg(port.number().to_string()).start();
        process.wait_for(&port.address());
        process
    };
    let port = Port::reserve();
    let memcached = start(&port);
    let pass = "set $memcached_key $uri; error_page 404 =200 /none; memcached_pass group;";
    let group = format!("server {};", port.address());
    let none = "interval=100ms";
    let site = Site::passing(
        pass,
        &group,
        &format!("health_check {none} match=version;"),
        "match version { body ~ \"^VERSION 1\"; }",
    );
    let keyed =
        Site::passing(pass, &group, &format!("health_check {none} uri=/state match=up;"), "match up { body ~ ^up$; }");
    keyed.wait_for_log("is unhealthy: unexpected status 404");
    let mut client = Connection::to(&port.address());
    client.send("set /state 0 0 2\r\nup\r\n");
    keyed.wait_for_log("is healthy");
    assert!(!site.scratch.read("error.log").contains("is unhealthy"));
    drop(memcached);
    site.wait_for_log("is unhealthy: Connection refused");
    let _memcached = start(&port);
    site.wait_for_log("is healthy");
}

#[test]
fn wrong_checks_are_refused() {
    let pass = "uwsgi_pass group; health_check";
    for (location, http, message) in [
        ("health_check;", "", "needs a location that passes requests on to an upstream group"),
        (&*format!("{pass} interval=0;"), "", "invalid parameter \"interval=0\""),
        (&*format!("{pass} fails=0;"), "", "invalid parameter \"fails=0\""),
        (&*format!("{pass} uri=a;"), "", "invalid parameter \"uri=a\""),
        (&*format!("{pass} persistent;"), "", "\"persistent\" requires \"mandatory\""),
        (&*format!("{pass} type=grpc;"), "", "is not supported by daemun yet"),
        (&*format!("{pass} match=none;"), "", "match \"none\" is not found"),
        (
            "uwsgi_pass group; health_check; } location /b { uwsgi_pass group; health_check;",
            "",
            "a second \"health_check\" of upstream \"group\" is not supported by daemun yet",
        ),
        ("", "match a { status x; }", "invalid value \"x\" in \"status\" directive"),
        ("", "match a { header X ? y; }", "invalid parameter \"?\""),
        ("", "match a { require $host; }", "\"require\" is not supported by daemun yet"),
        ("", "match a { body ~ (; }", "a { body ~ (; }"),
        ("", "match a { } match a { }", "duplicate match \"a\""),
    ] {
        let scratch = Scratch::new();
        let text = format!("{http} upstream group {{ server 127.0.0.1:1; }} server {{ location / {{ {location} }} }}");
        scratch.write("nginx.conf", servers::nginx_conf(&text));
        let ended = servers::web(&scratch, "nginx.conf").arg("-t").run();
        assert!(!ended.status.success() && ended.output.contains(message), "{location} {http}: {}", ended.output);
    }
}

fn switch() -> (Arc<AtomicBool>, Arc<AtomicBool>) {
    let switch = Arc::new(AtomicBool::new(true));
    (Arc::clone(&switch), switch)
}

fn answer(is_well: bool, body: &str) -> String {
    let status = if is_well { "200 OK" } else { "500 Internal Server Error" };
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// daemun with a group that it checks.
struct Site {
    scratch: Scratch,
    address: Address,
    _process: Process,
    _port: Port,
}

impl Site {
    #[track_caller]
    fn start(block: &str, check: &str, http: &str) -> Self {
        Self::passing("uwsgi_pass group;", block, check, http)
    }

    #[track_caller]
    fn passing(pass: &str, block: &str, check: &str, http: &str) -> Self {
        let (scratch, port) = (Scratch::new(), Port::reserve());
        let address = port.address();
        let http = format!(
            "{http} upstream group {{ {block} }}
             server {{ listen {address}; location / {{ {pass} {check} }} }}"
        );
        scratch.write("nginx.conf", servers::nginx_conf(&http));
        let process = servers::daemun_web(&scratch, "nginx.conf", &address);
        Self { scratch, address, _process: process, _port: port }
    }

    /// The different answers to `count` requests, sorted.
    fn ask(&self, count: usize) -> Vec<String> {
        let answer = |_| {
            let response = Request::get("/").send(&self.address);
            if response.status == 200 { format!("200 {}", response.text()) } else { response.status.to_string() }
        };
        let mut answers: Vec<_> = (0..count).map(answer).collect();
        answers.sort();
        answers.dedup();
        answers
    }

    #[track_caller]
    fn wait_for(&self, wanted: &[&str]) {
        wait_until(&format!("{wanted:?} answer"), || self.ask(2 * wanted.len()) == wanted);
    }

    #[track_caller]
    fn wait_for_log(&self, text: &str) {
        wait_until(&format!("the log says {text}"), || self.scratch.read("error.log").contains(text));
    }
}
