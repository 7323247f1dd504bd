//! The logs of an application: lines of requests beside uWSGI's, where they go, and files that have grown.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use harness::{Address, Application, Port, Process, Request, Scratch, servers, site, wait_until};
use serde_json::Value;

const FORMAT: &str = "%(method) %(uri) %(proto) %(status) %(addr) %(host) %(uagent) %(referer) %(user) %(cl) rsize=%(rsize) \
    %(headers) x=%(var.HTTP_X_ASKED) %(var.NOTHING) %(unset) core=%(core) wid=%(wid) %(modifier1)%(modifier2)";

/// The same options under uWSGI and under daemun; both write requests to `req.log`.
fn both(options: &str) -> [(Scratch, Process, Address, Port); 2] {
    [servers::uwsgi as fn(&Scratch, &str, &Address) -> Process, servers::daemun_app].map(|start| {
        let (scratch, port) = (Scratch::new(), Port::reserve());
        scratch.add_application("pep3333.py");
        let options = format!("http-socket = {}\nreq-logger = file:SCRATCH/req.log\n{options}", port.address());
        scratch.write("app.ini", site::ini("pep3333", &options));
        let process = start(&scratch, "app.ini", &port.address());
        (scratch, process, port.address(), port)
    })
}

#[track_caller]
fn lines(scratch: &Scratch, count: usize) -> Vec<String> {
    wait_until("the lines are there", || scratch.read("req.log").lines().count() >= count);
    scratch.read("req.log").lines().map(str::to_owned).collect()
}

#[test]
fn lines_by_a_format_are_those_of_uwsgi() {
    let requests = [
        Request::get("/hello?a=b").header("User-Agent", "me").header("X-Asked", "1 2"),
        Request::get("/big/10000/1000").header("Referer", "http://a.test/"),
        Request::post("/count_input", "text/plain", b"body".to_vec()),
    ];
    let [theirs, ours] = both(&format!("log-format = {FORMAT}")).map(|(scratch, _process, address, _port)| {
        requests.iter().for_each(|request| drop(request.clone().send(&address)));
        lines(&scratch, requests.len())
    });
    assert_eq!(ours, theirs);
}

/// Where no format is given, uWSGI's own; numbers differ.
#[test]
fn the_usual_line_looks_the_same() {
    let shape = |line: &String| {
        let mut shape: String = line.chars().map(|one| if one.is_ascii_digit() { '0' } else { one }).collect();
        while shape.contains("00") {
            shape = shape.replace("00", "0");
        }
        // A day of one digit has a blank before it.
        shape.replace("  ", " ")
    };
    let [theirs, ours] =
        both("log-x-forwarded-for = true\nlog-micros = true").map(|(scratch, _process, address, _port)| {
            Request::get("/hello").header("X-Forwarded-For", "10.0.0.1, 10.0.0.2").send(&address);
            lines(&scratch, 1)
        });
    assert_eq!(ours.iter().map(shape).collect::<Vec<_>>(), theirs.iter().map(shape).collect::<Vec<_>>());
    assert!(ours[0].contains("] 10.0.0.1, 10.0.0.2 () {"), "{ours:?}");
}

#[test]
fn some_requests_are_logged_alone() {
    for (option, asked, expected) in [
        ("log-4xx = true", vec!["/hello", "/environ_facts", "/no_such_page"], "/no_such_page"),
        ("log-5xx = true", vec!["/hello", "/fail"], "/fail"),
        ("log-big = 5000", vec!["/hello", "/big/10000/1000"], "/big/10000/1000"),
        ("log-slow = 200", vec!["/hello", "/nap?0.3"], "/nap?0.3"),
    ] {
        let scratch = Scratch::new();
        let options =
            format!("disable-logging = true\n{option}\nlog-format = %(uri)\nreq-logger = file:SCRATCH/req.log");
        let application = Application::start(&scratch, "pep3333", &options);
        for target in asked {
            Request::get(target).send(&application.address);
        }
        let logged = match option {
            "log-4xx = true" => scratch.read("req.log").lines().map(str::to_owned).collect(),
            _ => lines(&scratch, 1),
        };
        // The application of the tests answers what it does not know by an error of its own.
        assert!(logged.iter().all(|line| line == expected), "{option}: {logged:?}");
    }
}

/// A line of the application's own as JSON, and one of a request, to a socket and to syslog.
#[test]
fn lines_go_elsewhere_in_other_forms() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    receiver.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    let port = receiver.local_addr().expect("it is bound").port();
    let scratch = Scratch::new();
    let options = format!(
        "logger = file:SCRATCH/app.log\nlog-encoder = json {{\"at\":\"${{unix}}\",\"said\":\"${{msg}}\"}}
req-logger = rsyslog:127.0.0.1:{port},site\nlog-format = %(method) %(uri)\nlog-req-encoder = prefix request:"
    );
    let application = Application::start(&scratch, "pep3333", &options);
    Request::get("/say?\"quoted\"").send(&application.address);
    let mut datagram = [0; 2048];
    let length = receiver.recv(&mut datagram).expect("a datagram");
    let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
    assert!(text.starts_with("<30>site[") && text.contains("]: request:GET /say"), "{text}");
    wait_until("the application's line is there", || scratch.read("app.log").contains("\"said\""));
    for line in scratch.read("app.log").lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["at"].as_str().is_some_and(|at| at.parse::<u64>().is_ok()), "{line}");
    }
}

/// A file that has grown, or that somebody wants anew, is moved away, and everybody writes to the next one.
#[test]
fn files_are_moved_away() {
    let scratch = Scratch::new();
    scratch.write("rotate", "");
    scratch.write("reopen", "");
    let options = "processes = 2\nreq-logger = file:SCRATCH/req.log\nlog-format = %(uri)\nlogger = file:SCRATCH/app.log
log-maxsize = 2000\ntouch-logrotate = SCRATCH/rotate\ntouch-logreopen = SCRATCH/reopen";
    let application = Application::start(&scratch, "pep3333", options);
    let moved = || {
        let names = fs::read_dir(scratch.folder()).into_iter().flatten().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("req.log.")).count()
    };
    let long = format!("/hello?{}", "x".repeat(300));
    wait_until("one is moved away for its size", || {
        Request::get(&long).send(&application.address);
        moved() == 1
    });
    wait_until("the next one is written", || {
        Request::get("/hello?after").send(&application.address);
        scratch.read("req.log").contains("?after")
    });
    scratch.write("rotate", "touched");
    wait_until("another one is moved away", || {
        Request::get("/hello?again").send(&application.address);
        moved() == 2
    });
    wait_until("it takes lines", || {
        Request::get("/hello?third").send(&application.address);
        scratch.read("req.log").contains("?third")
    });
    fs::rename(scratch.path("req.log"), scratch.path("by-hand")).expect("it is there");
    scratch.write("reopen", "touched");
    wait_until("a new one is opened", || {
        Request::get("/hello?fourth").send(&application.address);
        scratch.path("req.log").exists()
    });
}

#[test]
fn the_file_is_as_configured() {
    let scratch = Scratch::new();
    scratch.write("app.log", "from the last time\n");
    let options = "logto = SCRATCH/app.log\nlogfile-chmod = 640\nlog-truncate = true\nlog-date = at %%Y, ";
    let application = Application::start(&scratch, "pep3333", options);
    Request::get("/say").send(&application.address);
    wait_until("something is logged", || scratch.read("app.log").contains("[app]"));
    let text = scratch.read("app.log");
    assert!(!text.contains("from the last time") && text.contains("at 2"), "{text}");
    let mode = fs::metadata(scratch.path("app.log")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}
