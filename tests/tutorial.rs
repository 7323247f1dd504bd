//! `daemun run` on what a reader of a tutorial has: Debian's nginx.conf, a site of sites-enabled, a uwsgi.ini with comments
//! behind its values. Nothing is changed but the folder behind BASE, the port, and the paths in /etc, /run, /var and /tmp.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::uwsgi_packet::{get_variables, packet};
use harness::{Address, Connection, Launch, Port, Process, Request, Scratch, programs, servers, wait_until};
use rustix::process::Signal;

struct Tutorial {
    scratch: Scratch,
    port: Port,
}

impl Tutorial {
    /// The files, as they are but for the places.
    fn write() -> Self {
        let scratch = Scratch::new();
        let port = Port::reserve();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tutorial");
        for (name, target) in [
            ("nginx.conf", "etc/nginx/nginx.conf"),
            ("sites-enabled/server_dev", "etc/nginx/sites-enabled/server_dev"),
            ("uwsgi.ini", "etc/uwsgi/sites/server_dev.ini"),
        ] {
            let text = fs::read_to_string(fixtures.join(name)).expect("the fixture is there");
            scratch.write(target, moved(&text, &port));
        }
        for name in ["mime.types", "uwsgi_params"] {
            let text = fs::read(Path::new("/etc/nginx").join(name)).expect("Debian's nginx is installed");
            scratch.write(&format!("etc/nginx/{name}"), text);
        }
        for folder in ["etc/nginx/conf.d", "etc/nginx/modules-enabled", "run", "tmp", "var/log/nginx"] {
            scratch.make_folder(folder);
        }
        scratch.write("base/server_dev/__init__.py", "");
        scratch.write("base/server_dev/wsgi.py", PROJECT);
        scratch.write("base/static/css/site.css", "a {}\n");
        scratch.write("base/media/text.txt", "a text\n");
        programs::make_virtualenv(&programs::python(), &scratch.path("base/venv"));
        Self { scratch, port }
    }

    fn launch(&self, command: &str) -> Launch {
        let nginx = self.scratch.path("etc/nginx");
        let launch = servers::daemun(&self.scratch)
            .arg(command)
            .arg("-p")
            .arg(nginx.clone())
            .arg("-c")
            .arg(nginx.join("nginx.conf"));
        launch.arg("--ini").arg(self.scratch.path("etc/uwsgi/sites/server_dev.ini"))
    }

    #[track_caller]
    fn start(&self) -> Process {
        let mut process = self.launch("run").start();
        process.wait_for(&self.port.address());
        process
    }

    #[track_caller]
    fn send(&self, request: Request) -> harness::Response {
        request.host("localhost").send(&self.port.address())
    }
}

#[test]
fn the_site_is_there() {
    let tutorial = Tutorial::write();
    let process = tutorial.start();
    let page = tutorial.send(Request::get("/page?x=1"));
    assert_eq!((page.status, page.text().as_str()), (200, "GET /page?x=1 from 127.0.0.1 at localhost\n"));
    assert_eq!(page.header("Server"), Some("daemun"), "server_tokens off");
    assert_eq!(page.header("Content-Type"), Some("text/plain; charset=utf-8"), "charset utf-8");
    let posted = tutorial.send(Request::post("/upload", "application/octet-stream", vec![b'u'; 5_000_000]));
    assert_eq!(posted.text(), "5000000 octets\n", "client_max_body_size 75M");
    let too_large =
        Request::new("POST", "/upload").header("Content-Length", "80000000").header("Expect", "100-continue");
    assert_eq!(tutorial.send(too_large).status, 413);

    let file = tutorial.send(Request::get("/static/css/site.css"));
    assert_eq!((file.text().as_str(), file.header("Content-Type")), ("a {}\n", Some("text/css")));
    let file = tutorial.send(Request::get("/media/text.txt"));
    assert_eq!((file.text().as_str(), file.header("Content-Type")), ("a text\n", Some("text/plain; charset=utf-8")));
    assert_eq!(tutorial.send(Request::get("/static/absent")).status, 404);

    wait_until("requests are in the access log", || {
        tutorial.scratch.read("var/log/nginx/access.log").contains("GET /page?x=1")
    });
    wait_until("the application's log is where uwsgi.ini says", || {
        tutorial.scratch.read("tmp/uwsgi.log").contains("asked for /page")
    });
    assert!(process.children().iter().any(|child| child.state != 'Z'));
}

/// The requests above went by memory; the socket is for everybody else.
#[test]
fn the_socket_serves_others_too() {
    let tutorial = Tutorial::write();
    let mut process = tutorial.start();
    let path = tutorial.scratch.path("tmp/django.sock");
    // It is bound after the port that says the program is there.
    let mode = || fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    wait_until("the socket is open to all", || mode() == 0o666);
    let response = Connection::to(&Address::Unix(path.clone())).exchange(packet(&get_variables("/other", ""), b""));
    assert_eq!((response.status, response.text().contains("GET /other from 192.0.2.7")), (200, true));
    let pid: i32 = tutorial.scratch.read("tmp/django.pid").trim().parse().expect("the pid file holds a number");
    assert!(harness::process::is_alive(pid));

    process.signal(Signal::QUIT);
    assert_eq!(process.wait().code(), Some(0));
    assert!(!path.exists() && !tutorial.scratch.path("tmp/django.pid").exists(), "vacuum");
    assert!(!tutorial.scratch.path("run/nginx.pid").exists());
    wait_until("every process has ended", || tutorial.scratch.processes_left().is_empty());
}

/// uWSGI refuses comments behind values; daemun takes them off, and says so.
#[test]
fn comments_behind_values_are_told() {
    let tutorial = Tutorial::write();
    let ended = tutorial.launch("check").run();
    for (option, line) in [("chdir", 6), ("module", 7), ("chmod-socket", 10)] {
        let place = format!("server_dev.ini:{line}");
        let is_told = ended.output.lines().any(|said| said.contains(&place) && said.contains("comment"));
        assert!(is_told, "no word of the comment behind {option} at {place} in:\n{}", ended.output);
    }
}

#[test]
fn check_tells_what_has_no_effect() {
    let tutorial = Tutorial::write();
    let ended = tutorial.launch("check").run();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    for (name, said) in [
        ("TLSv1", "is not spoken by daemun"),
        ("TLSv1.1", "is not spoken by daemun"),
        ("\"types_hash_max_size\"", "has no effect in daemun"),
    ] {
        let is_listed = ended.output.lines().any(|line| line.contains(&format!("{name} {said}")));
        assert!(is_listed, "{name} is not listed in:\n{}", ended.output);
    }
    for name in [
        "uwsgi_pass",
        "sendfile",
        "keepalive_timeout",
        "client_max_body_size",
        "alias",
        "charset",
        "gzip",
        "gzip_types",
    ] {
        let is_listed =
            ended.output.lines().any(|line| line.contains(&format!("\"{name}\"")) && line.contains("effect"));
        assert!(!is_listed, "{name} must be in effect:\n{}", ended.output);
    }
    assert!(Connection::open(&tutorial.port.address()).is_err());
    assert!(tutorial.scratch.traces_left().is_empty());
}

/// The real pair serves the same files, once uwsgi.ini is free of its comments.
#[test]
fn nginx_and_uwsgi_serve_the_same() {
    let tutorial = Tutorial::write();
    let scratch = &tutorial.scratch;
    let ini = scratch.read("etc/uwsgi/sites/server_dev.ini");
    let bare: Vec<&str> = ini
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default())
        .filter(|line| !line.starts_with("home"))
        .collect();
    scratch.write("bare.ini", bare.join("\n"));
    let _uwsgi = servers::uwsgi(scratch, "bare.ini", &Address::Unix(scratch.path("tmp/django.sock")));
    let nginx = Launch::new(scratch, "nginx", programs::nginx()).arg("-p").arg(scratch.path("etc/nginx"));
    let nginx = nginx
        .arg("-c")
        .arg(scratch.path("etc/nginx/nginx.conf"))
        .arg("-e")
        .arg(scratch.path("var/log/nginx/error.log"));
    let mut nginx = nginx.args(["-g", "daemon off;"]).start();
    nginx.wait_for(&tutorial.port.address());
    assert_eq!(tutorial.send(Request::get("/page?x=1")).text(), "GET /page?x=1 from 127.0.0.1 at localhost\n");
    assert_eq!(tutorial.send(Request::get("/static/css/site.css")).text(), "a {}\n");
}

fn moved(text: &str, port: &Port) -> String {
    let text = text
        .replace("/etc/nginx", "SCRATCH/etc/nginx")
        .replace("/run/", "SCRATCH/run/")
        .replace("/var/", "SCRATCH/var/");
    let text = text.replace("/tmp/", "SCRATCH/tmp/").replace("BASE", "SCRATCH/base");
    text.replace("listen 80;", &format!("listen {};", port.address()))
}

const PROJECT: &str = r#"
import sys


def application(environ, start_response):
    print("asked for " + environ["PATH_INFO"], file=sys.stderr)
    if environ["REQUEST_METHOD"] == "POST":
        text = "%d octets\n" % len(environ["wsgi.input"].read())
    else:
        query = environ["QUERY_STRING"] and "?" + environ["QUERY_STRING"]
        facts = (environ["REQUEST_METHOD"], environ["PATH_INFO"], query, environ["REMOTE_ADDR"], environ["SERVER_NAME"])
        text = "%s %s%s from %s at %s\n" % facts
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode("ascii")]
"#;
