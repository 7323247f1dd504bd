//! Starting and ending: signals, pid files, what is left behind (nothing), what comes back after a death.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use harness::process::{ProcessEntry, is_alive, signal_process};
use harness::uwsgi_packet::{get_variables, packet};
use harness::{Address, Application, Connection, Port, Request, Scratch, Site, Web, servers, site, wait_until};
use rustix::process::Signal;

const OPTIONS: &str = "processes = 2\npidfile = SCRATCH/app.pid\nenv = GO=SCRATCH/go";

/// Everything that may end it: nothing stays, and the status is 0.
#[test]
fn every_end_leaves_nothing_behind() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let scratch = Scratch::new();
        let mut site = Site::start(&scratch, "", "pep3333", OPTIONS);
        assert_eq!(Request::get("/hello").send(&site.address).status, 200);
        assert!(scratch.path("site.sock").exists() && scratch.path("app.pid").exists());
        site.process.signal(signal);
        let status = site.process.wait();
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert!(Connection::open(&site.address).is_err(), "{signal:?}: the port is still bound");
        assert_eq!(scratch.traces_left(), Vec::<std::path::PathBuf>::new(), "{signal:?}");
        assert_nothing_runs(&scratch);
    }
}

#[test]
fn the_application_alone_ends_as_well() {
    for signal in [Signal::INT, Signal::QUIT, Signal::TERM] {
        let scratch = Scratch::new();
        let mut application = Application::start(&scratch, "pep3333", "pidfile = SCRATCH/app.pid\ndie-on-term = true");
        application.process.signal(signal);
        assert_eq!(application.process.wait().code(), Some(0), "{signal:?}");
        assert_eq!(scratch.traces_left(), Vec::<std::path::PathBuf>::new(), "{signal:?}");
        assert_nothing_runs(&scratch);
    }
}

#[test]
fn the_web_server_alone_ends_as_well() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let scratch = Scratch::new();
        let mut web = Web::start(&scratch, "listen unix:SCRATCH/web.sock; location / { return 200 \"up\"; }");
        assert_eq!(Request::get("/").send(&web.address).text(), "up");
        web.process.signal(signal);
        assert_eq!(web.process.wait().code(), Some(0), "{signal:?}");
        assert_eq!(scratch.traces_left(), Vec::<std::path::PathBuf>::new(), "{signal:?}");
        assert_nothing_runs(&scratch);
    }
}

/// QUIT: requests that run are finished, idle connections closed at once, new ones refused.
#[test]
fn quit_drains() {
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "", "pep3333", OPTIONS);
    let mut idle = Connection::to(&site.address);
    assert_eq!(idle.exchange(Request::get("/hello").octets()).status, 200);
    let mut running = Connection::to(&site.address);
    running.send(Request::get("/steps").octets());
    assert!(!running.more().is_empty());

    site.process.signal(Signal::QUIT);
    assert!(idle.rest().is_empty());
    wait_until("new connections are refused", || Connection::open(&site.address).is_err());
    assert!(site.process.is_running(), "it did not wait for the request that runs");

    scratch.write("go", "");
    assert_eq!(running.response().text(), "first piece\nsecond piece\n");
    assert_eq!(site.process.wait().code(), Some(0));
    assert_nothing_runs(&scratch);
}

/// QUIT waits for requests that came by the uwsgi protocol too: behind somebody's nginx, no restart loses any.
#[test]
fn quit_drains_the_socket_of_the_application() {
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "", "pep3333", OPTIONS);
    let mut running = Connection::to(&Address::Unix(scratch.path("site.sock")));
    running.send(packet(&get_variables("/steps", ""), b""));
    assert!(!running.more().is_empty());
    site.process.signal(Signal::QUIT);
    wait_until("new connections are refused", || Connection::open(&site.address).is_err());
    assert!(site.process.is_running(), "it did not wait for the request that runs");
    scratch.write("go", "");
    assert!(running.rest().ends_with(b"second piece\n"));
    assert_eq!(site.process.wait().code(), Some(0));
}

/// A connection on which nothing ever comes, as browsers open them ahead, does not hold a drain.
#[test]
fn silent_connections_do_not_hold_a_drain() {
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "client_header_timeout 1h;", "pep3333", OPTIONS);
    let mut silent = Connection::to(&site.address);
    let mut silent_gateway = Connection::to(&Address::Unix(scratch.path("site.sock")));
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    site.process.signal(Signal::QUIT);
    assert!(silent.rest().is_empty() && silent_gateway.rest().is_empty());
    assert_eq!(site.process.wait().code(), Some(0));
}

/// TERM does not wait for anybody for long.
#[test]
fn term_is_fast() {
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "", "pep3333", &format!("{OPTIONS}\nenv = EVENTS=SCRATCH/events"));
    let mut hanging = Connection::to(&site.address);
    hanging.send(Request::get("/hang").octets());
    wait_until("a worker hangs", || !scratch.read("events").is_empty());
    site.process.signal(Signal::TERM);
    assert_eq!(site.process.wait().code(), Some(0));
    assert_nothing_runs(&scratch);
}

/// Nobody is left when the master is gone without a word.
#[test]
fn children_do_not_outlive_the_master() {
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "", "pep3333", OPTIONS);
    wait_until("all are there", || site.process.descendants().len() == 4); // As below.
    site.process.signal(Signal::KILL);
    site.process.wait();
    assert_nothing_runs(&scratch);
    assert!(Connection::open(&site.address).is_err(), "somebody still listens");

    // What it could not clean up does not stop the next one.
    drop(site);
    let site = Site::start(&scratch, "", "pep3333", OPTIONS);
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
}

#[test]
fn every_child_is_replaced() {
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "", "pep3333", OPTIONS);
    let count = 4; // The edge, the application's first process, two workers.
    wait_until("all are there", || site.process.descendants().len() == count);
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    for index in 0..count {
        let descendants: Vec<ProcessEntry> = site.process.descendants();
        let Some(victim) = descendants.get(index) else { continue };
        signal_process(victim.pid, Signal::KILL);
        wait_until("the dead child is gone", || !is_alive(victim.pid));
        wait_until("it answers again", || {
            Request::get("/hello").try_send(&site.address).is_ok_and(|response| response.status == 200)
        });
        wait_until("the dead child is replaced", || site.process.descendants().len() == count);
    }
    assert!(site.process.is_running());
}

#[test]
fn pid_files_name_the_master() {
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "", "pep3333", OPTIONS);
    let pid = site.process.pid();
    // The port is bound a moment before.
    wait_until("the pid files are written", || {
        !scratch.read("nginx.pid").is_empty() && !scratch.read("app.pid").is_empty()
    });
    assert_eq!(scratch.read("nginx.pid").trim(), pid.to_string());
    let of_application: i32 = scratch.read("app.pid").trim().parse().expect("a number");
    let is_ours =
        of_application == pid || site.process.descendants().iter().any(|process| process.pid == of_application);
    assert!(is_ours, "{of_application} is no process of {pid}");
    site.process.signal(Signal::TERM);
    site.process.wait();
    assert!(!scratch.path("nginx.pid").exists() && !scratch.path("app.pid").exists());
}

/// Without `vacuum`, uWSGI leaves the socket and the pid file, and so does daemun.
#[test]
fn without_vacuum_files_stay() {
    let scratch = Scratch::new();
    scratch.add_application("pep3333.py");
    let text = "[uwsgi]\nchdir = SCRATCH/app\nmodule = pep3333:application\nmaster = true\nsocket = SCRATCH/app.sock\npidfile = SCRATCH/app.pid\n";
    scratch.write("app.ini", text);
    let address = harness::Address::Unix(scratch.path("app.sock"));
    let mut application = servers::daemun_app(&scratch, "app.ini", &address);
    application.signal(Signal::QUIT);
    assert_eq!(application.wait().code(), Some(0));
    assert!(scratch.path("app.sock").exists());

    // The file that nobody serves does not stop the next start.
    let mut again = servers::daemun_app(&scratch, "app.ini", &address);
    again.signal(Signal::QUIT);
    again.wait();
}

#[test]
fn daemonize_returns_when_the_application_answers() {
    let scratch = Scratch::new();
    scratch.add_application("pep3333.py");
    let port = Port::reserve();
    let options = format!(
        "http-socket = {}\ndaemonize = SCRATCH/daemon.log\npidfile = SCRATCH/app.pid\ndie-on-term = true",
        port.address()
    );
    scratch.write("app.ini", site::ini("pep3333", &options));
    let ended = servers::app(&scratch, "app.ini").run();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    wait_until("it answers", || Request::get("/hello").try_send(&port.address()).is_ok());
    let pid: i32 = scratch.read("app.pid").trim().parse().expect("the pid file holds a number");
    assert!(is_alive(pid));
    Request::get("/say?logged").send(&port.address());
    wait_until("the log gets what is printed", || scratch.read("daemon.log").contains("logged by stderr"));
    signal_process(pid, Signal::TERM);
    wait_until("it has ended", || !is_alive(pid));
    assert_nothing_runs(&scratch);
    assert_eq!(scratch.traces_left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn web_goes_to_the_background_and_obeys_s() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let text = format!("server {{ listen {}; location / {{ return 200 \"up\"; }} }}", port.address());
    scratch.write("web.conf", servers::nginx_conf(&text).replace("daemon off;", ""));
    let ended = servers::web(&scratch, "web.conf").run();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    wait_until("the pid file appears", || scratch.path("nginx.pid").exists());
    assert_eq!(Request::get("/").send(&port.address()).text(), "up");
    let pid: i32 = scratch.read("nginx.pid").trim().parse().expect("the pid file holds a number");
    let quit = servers::web(&scratch, "web.conf").args(["-s", "quit"]).run();
    assert_eq!(quit.status.code(), Some(0), "{}", quit.output);
    wait_until("it has ended", || !is_alive(pid));
    assert_nothing_runs(&scratch);
    assert!(!scratch.path("nginx.pid").exists());
}

/// The directives of `-g` are obeyed, and come before those of the file.
#[test]
fn directives_of_the_command_line() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let text = format!("server {{ listen {}; location / {{ return 200 \"up\"; }} }}", port.address());
    let conf = servers::nginx_conf(&text).replace("pid SCRATCH/nginx.pid;\n", "");
    scratch.write("web.conf", conf);
    let pid_file = format!("pid {};", scratch.text_path("other.pid"));
    let mut process = servers::web(&scratch, "web.conf").args(["-g", &pid_file]).start();
    process.wait_for(&port.address());
    wait_until("the pid file appears", || scratch.read("other.pid").trim() == process.pid().to_string());
}

/// After USR1 the log is a new file under the old name.
#[test]
fn usr1_reopens_the_logs() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { return 200 \"up\"; }");
    Request::get("/before").send(&web.address);
    wait_until("the request is logged", || scratch.read("access.log").contains("GET /before"));
    fs::rename(scratch.path("access.log"), scratch.path("old.log")).expect("the log can be renamed");
    web.process.signal(Signal::USR1);
    wait_until("the log is opened anew", || scratch.path("access.log").exists());
    wait_until("the new log is written", || {
        Request::get("/after").send(&web.address);
        scratch.read("access.log").contains("GET /after")
    });
}

/// The edge could not make files in the log folder, nor in the one for large bodies: the master does, while it is root.
#[test]
fn an_edge_without_root_has_its_files() {
    if !servers::is_root() {
        println!("skipped: only root can give up root");
        return;
    }
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.add_application("pep3333.py");
    scratch.write("site.conf", site::conf(&port, "client_max_body_size 0;").replace("user root;", "user www-data;"));
    scratch.write("site.ini", site::ini("pep3333", "socket = SCRATCH/site.sock"));
    let process = servers::daemun_run(&scratch, "site.conf", "site.ini", &port.address());
    let upload = Request::post("/read_input/read_some", "application/octet-stream", vec![b'u'; 1_000_000]);
    assert_eq!(upload.send(&port.address()).status, 200);
    let folder = fs::metadata(scratch.path("temporary-body")).expect("the folder is there");
    assert_eq!((folder.uid(), folder.mode() & 0o777), (33, 0o700));

    fs::rename(scratch.path("access.log"), scratch.path("old.log")).expect("the log can be renamed");
    process.signal(Signal::USR1);
    wait_until("the new log is written", || {
        Request::get("/after").send(&port.address());
        scratch.read("access.log").contains("GET /after")
    });
    assert_eq!(fs::metadata(scratch.path("access.log")).expect("the log is there").uid(), 33);
    assert!(!scratch.read("error.log").contains("[emerg]"), "{}", scratch.read("error.log"));
}

/// Settings of an application that it can see itself.
#[test]
fn options_of_the_application_are_obeyed() {
    let scratch = Scratch::new();
    scratch.write("library/only_here.py", "WORD = 'imported'\n");
    scratch.write("elsewhere/own.py", "import only_here\nfrom pep3333 import application as served\n");
    let options = "[uwsgi]
chdir = SCRATCH/app
pythonpath = SCRATCH/library
pythonpath = SCRATCH/app
wsgi-file = SCRATCH/elsewhere/own.py
callable = served
env = ONE=1
env = TWO=two words
processes = 3
http-socket = ADDRESS
";
    let port = Port::reserve();
    scratch.add_application("pep3333.py");
    scratch.write("app.ini", options.replace("ADDRESS", &port.address().to_string()));
    let mut process = servers::app(&scratch, "app.ini").start();
    process.wait_for(&port.address());
    let page = Request::get("/settings").send(&port.address());
    let settings: serde_json::Value = serde_json::from_slice(&page.body).expect("the page is JSON");
    assert_eq!(settings["folder"], scratch.text_path("app"));
    assert_eq!(settings["environment"]["ONE"], "1");
    assert_eq!(settings["environment"]["TWO"], "two words");
}

#[test]
fn root_is_given_up_for_uid_and_gid() {
    if !servers::is_root() {
        println!("skipped: only root can give up root");
        return;
    }
    let scratch = Scratch::new();
    // An interpreter below /root cannot be run by others.
    let system = std::path::Path::new("/usr/bin/python3");
    harness::programs::make_virtualenv(system, &scratch.path("venv"));
    let application = Application::start(&scratch, "pep3333", "home = SCRATCH/venv\nuid = www-data\ngid = www-data");
    let page = Request::get("/settings").send(&application.address);
    let settings: serde_json::Value = serde_json::from_slice(&page.body).expect("the page is JSON");
    assert_eq!(settings["user"], serde_json::json!([33, 33]));
    assert!(!settings["groups"].as_array().expect("a list").contains(&serde_json::json!(0)), "root's group is kept");
    for child in application.process.children() {
        let owner = fs::metadata(format!("/proc/{}", child.pid)).map(|metadata| metadata.uid());
        assert!(owner.is_ok_and(|uid| uid == 33), "{} runs as somebody else", child.command);
    }
}

#[test]
fn logs_go_where_they_are_sent() {
    for option in ["logger = file:SCRATCH/own.log", "logto = SCRATCH/own.log"] {
        let scratch = Scratch::new();
        let application = Application::start(&scratch, "pep3333", option);
        Request::get("/say?word").send(&application.address);
        wait_until("the log gets it", || scratch.read("own.log").contains("word by wsgi.errors"));
        assert!(
            !application.process.output().contains("word by wsgi.errors"),
            "{option}: it is also written elsewhere"
        );
    }
}

#[track_caller]
fn assert_nothing_runs(scratch: &Scratch) {
    let is_gone = harness::wait_until_within(Duration::from_secs(10), || scratch.processes_left().is_empty());
    assert!(is_gone, "still running: {:?}", scratch.processes_left());
}
