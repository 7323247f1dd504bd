//! HUP: a new configuration without a connection lost, and an old one that stays when the new one is none.

use std::fs;

use harness::process::{ProcessEntry, resident_kb, signal_process};
use harness::{
    Address, Application, Backend, Connection, Load, Port, Process, Request, Scratch, Site, Web, servers, wait_until,
};
use rustix::process::Signal;

/// Rewrites a file of the scratch folder.
fn change(scratch: &Scratch, name: &str, from: &str, to: &str) {
    let text = scratch.read(name);
    assert!(text.contains(from), "{from:?} is not in {name}:\n{text}");
    scratch.write(name, text.replace(from, to));
}

fn get(address: &Address) -> String {
    Request::get("/").send(address).text()
}

/// The processes of the application.
fn python(process: &Process) -> Vec<i32> {
    let is_python = |entry: &ProcessEntry| entry.command.contains("python");
    process.descendants().into_iter().filter(is_python).map(|entry| entry.pid).collect()
}

/// Reloads and waits until the answer to `/` is `text`.
fn reload_to(process: &Process, address: &Address, text: &str) {
    process.signal(Signal::HUP);
    wait_until("the new configuration is in force", || get(address) == text);
}

#[test]
fn requests_that_have_begun_keep_their_configuration() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { return 200 \"old\"; }");
    let mut kept = Connection::to(&web.address);
    assert_eq!(kept.exchange(Request::get("/").octets()).text(), "old");
    let mut begun = Connection::to(&web.address);
    begun.send(b"GET / HTTP/1.1\r\nHost: a\r\n");
    let mut silent = Connection::to(&web.address);
    // The edge has seen the half head: an answer to somebody who came later is here.
    assert_eq!(get(&web.address), "old");

    change(&scratch, "web.conf", "\"old\"", "\"new\"");
    reload_to(&web.process, &web.address, "new");
    assert_eq!(kept.exchange(Request::get("/").octets()).text(), "new");
    assert_eq!(silent.exchange(Request::get("/").octets()).text(), "new");
    begun.send(b"\r\n");
    assert_eq!(begun.response().text(), "old");
    // Without any further request: nothing that is kept for later may hold it.
    wait_until("the old configuration has drained", || scratch.read("error.log").contains("exited with code 0"));
    assert_eq!(begun.exchange(Request::get("/").octets()).text(), "new");
    assert_eq!(scratch.read("error.log").matches("start edge process").count(), 1, "another edge was started");
}

/// Whatever is wrong with the new one: the log says what and where, and nothing has changed.
#[test]
fn a_wrong_configuration_leaves_the_old_one() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { return 200 \"old\"; }");
    let good = scratch.read("web.conf");
    let taken = Port::reserve();
    let holder = std::net::TcpListener::bind(taken.address().to_string()).expect("a port of ours");
    let busy = format!("location / {{ return 200 \"new\"; }} listen {};", taken.address());
    let wrong = [
        ("location / { return 200 \"new\"; } nonsense on;", "unknown directive \"nonsense\" in "),
        ("location / { return 200 \"new\"; } access_log /nowhere/access.log;", "open() \"/nowhere/access.log\" failed"),
        ("location / { return 200 \"$no_such\"; }", "unknown \"no_such\" variable"),
        (&*busy, "bind() to "),
    ];
    for (text, said) in wrong {
        scratch.write("web.conf", good.replace("location / { return 200 \"old\"; }", text));
        web.process.signal(Signal::HUP);
        wait_until("the error is logged", || scratch.read("error.log").contains(said));
        assert_eq!(get(&web.address), "old", "{text}");
    }
    drop(holder);
    scratch.write("web.conf", good.replace("\"old\"", "\"new\""));
    reload_to(&web.process, &web.address, "new");
}

#[test]
fn listeners_come_and_go() {
    let scratch = Scratch::new();
    let (first, second) = (Port::reserve(), Port::reserve());
    let conf = |listens: &str, text: &str| {
        let server = format!("server {{ {listens} location / {{ return 200 {text}; }} }}");
        servers::nginx_conf(&server)
    };
    let unix = Address::Unix(scratch.path("web.sock"));
    let listens = format!("listen {}; listen unix:SCRATCH/web.sock;", first.address());
    scratch.write("web.conf", conf(&listens, "one"));
    let process = servers::daemun_web(&scratch, "web.conf", &first.address());
    let mut idle = Connection::to(&unix);
    assert_eq!(idle.exchange(Request::get("/").octets()).text(), "one");

    // In another order, so that numbers of listeners change.
    scratch.write("web.conf", conf(&format!("listen {}; listen {};", second.address(), first.address()), "two"));
    let mut kept = Connection::to(&first.address());
    assert_eq!(kept.exchange(Request::get("/").octets()).text(), "one");
    reload_to(&process, &first.address(), "two");
    assert_eq!(kept.exchange(Request::get("/").octets()).text(), "two");
    assert_eq!(get(&second.address()), "two");
    assert!(idle.rest().is_empty(), "a connection of the dropped listener is still there");
    wait_until("the dropped socket is gone", || !scratch.path("web.sock").exists());

    scratch.write("web.conf", conf(&format!("listen {};", second.address()), "three"));
    reload_to(&process, &second.address(), "three");
    wait_until("the dropped port is closed", || Connection::open(&first.address()).is_err());
}

/// What a process is once it has started takes another process: the old one drains.
#[test]
fn what_the_edge_cannot_change_takes_another_edge() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { return 200 \"old\"; }");
    let before = web.process.children();
    let mut begun = Connection::to(&web.address);
    begun.send(b"GET / HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(get(&web.address), "old");
    change(&scratch, "web.conf", "worker_processes 1", "worker_processes 2");
    change(&scratch, "web.conf", "\"old\"", "\"new\"");
    reload_to(&web.process, &web.address, "new");
    begun.send(b"\r\n");
    assert_eq!(begun.response().text(), "old");
    let pids = |list: &[ProcessEntry]| list.iter().map(|process| process.pid).collect::<Vec<_>>();
    wait_until("the old edge has ended", || web.process.children().len() == 1);
    assert_ne!(pids(&before), pids(&web.process.children()));
    assert!(scratch.read("error.log").contains("exited with code 0"));
}

/// Logs are new files if the old ones were moved away, and the pid file is where the configuration wants it.
#[test]
fn logs_and_pid_file_follow() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { return 200 \"old\"; }");
    fs::rename(scratch.path("access.log"), scratch.path("moved.log")).expect("the log can be renamed");
    change(&scratch, "web.conf", "/nginx.pid", "/other.pid");
    change(&scratch, "web.conf", "\"old\"", "\"new\"");
    reload_to(&web.process, &web.address, "new");
    wait_until("the new log is written", || scratch.read("access.log").contains("GET /"));
    wait_until("the pid file has moved", || !scratch.path("nginx.pid").exists() && scratch.path("other.pid").exists());
    assert_eq!(scratch.read("other.pid").trim(), web.process.pid().to_string());
}

/// USR1 after a reload finds everybody who writes to a log: master and edge, by whatever configuration.
#[test]
fn logs_are_reopened_after_a_reload() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { return 200 \"old\"; }");
    let mut begun = Connection::to(&web.address);
    begun.send(b"GET /begun HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(get(&web.address), "old");
    change(&scratch, "web.conf", "\"old\"", "\"new\"");
    reload_to(&web.process, &web.address, "new");
    for name in ["access.log", "error.log"] {
        fs::rename(scratch.path(name), scratch.path(&format!("moved-{name}"))).expect("the log can be renamed");
    }
    web.process.signal(Signal::USR1);
    wait_until("the edge writes to the new log", || {
        get(&web.address);
        scratch.read("access.log").contains("GET / ")
    });
    begun.send(b"\r\n");
    assert_eq!(begun.response().text(), "old");
    wait_until("the old configuration writes to it, too", || scratch.read("access.log").contains("GET /begun "));
    wait_until("so does what is said of its end", || scratch.read("error.log").contains("exited with code 0"));
    web.process.signal(Signal::HUP);
    wait_until("and the master", || scratch.read("error.log").contains("reconfiguring"));
}

#[test]
fn limits_remember_over_a_reload() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let text = format!(
        "limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;
        server {{ listen {}; location / {{ return 200 \"old\"; }} location /limited {{ limit_req zone=one; }} }}",
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&text));
    let process = servers::daemun_web(&scratch, "web.conf", &port.address());
    assert_eq!(Request::get("/limited").send(&port.address()).status, 404);
    change(&scratch, "web.conf", "\"old\"", "\"new\"");
    reload_to(&process, &port.address(), "new");
    assert_eq!(Request::get("/limited").send(&port.address()).status, 503);
}

/// An application is what it was, unless its own file has changed: then others take its place.
#[test]
fn applications_live_on_until_their_file_changes() {
    let scratch = Scratch::new();
    let site = Site::start(
        &scratch,
        "location = /which { return 200 \"old\"; }",
        "pep3333",
        "processes = 1\nthreads = 2\nenv = GO=SCRATCH/go",
    );
    let which = || Request::get("/which").send(&site.address).text();
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    let before = python(&site.process);
    change(&scratch, "site.conf", "\"old\"", "\"new\"");
    site.process.signal(Signal::HUP);
    wait_until("the new configuration is in force", || which() == "new");
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    assert_eq!(python(&site.process), before, "the application was started again");

    let mut running = Connection::to(&site.address);
    running.send(Request::get("/steps").octets());
    assert!(!running.more().is_empty());
    scratch.write("site.ini", format!("{}env = ADDED=1\n", scratch.read("site.ini")));
    change(&scratch, "site.conf", "\"new\"", "\"newer\"");
    site.process.signal(Signal::HUP);
    wait_until("the new configuration is in force", || which() == "newer");
    // For a moment, old and new processes answer side by side.
    wait_until("the old ones take no more", || {
        let page = Request::get("/settings").send(&site.address);
        let settings: serde_json::Value = serde_json::from_slice(&page.body).expect("the page is JSON");
        settings["environment"]["ADDED"] == "1"
    });
    assert_eq!(scratch.read("error.log").matches("start edge process").count(), 1, "another edge was started");
    assert!(
        before.iter().all(|pid| python(&site.process).contains(pid)),
        "the old application did not wait for its request"
    );
    scratch.write("go", "");
    assert_eq!(running.response().text(), "first piece\nsecond piece\n");
    wait_until("the old application has ended", || !before.iter().any(|pid| python(&site.process).contains(pid)));
}

/// One that does not start changes nothing.
#[test]
fn an_application_that_does_not_start_leaves_the_old_one() {
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", "processes = 1");
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    let now = python(&site.process);
    change(&scratch, "site.ini", "pep3333:application", "no_such_module:application");
    site.process.signal(Signal::HUP);
    wait_until("it is given up", || scratch.read("error.log").contains("the new configuration is given up"));
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    assert!(now.iter().all(|pid| python(&site.process).contains(pid)));
}

/// The edge has no right to read what the master reads, nor to make logs and sockets where the master does.
#[test]
fn an_edge_without_rights_gets_what_it_needs() {
    if !servers::is_root() {
        println!("skipped: only root can give up root");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let port = Port::reserve();
    let text = format!("server {{ listen {}; include SCRATCH/secret/*.conf; }}", port.address());
    scratch.write("secret/site.conf", "location / { return 200 \"old\"; }");
    scratch.write("web.conf", servers::nginx_conf(&text).replace("user root;", "user www-data;"));
    fs::set_permissions(scratch.path("secret"), fs::Permissions::from_mode(0o700)).expect("it is ours");
    let process = servers::daemun_web(&scratch, "web.conf", &port.address());
    let own_log = "location / { access_log SCRATCH/secret/own.log; return 200 \"new\"; }";
    scratch.write("secret/site.conf", own_log);
    reload_to(&process, &port.address(), "new");
    wait_until("the new log is written", || scratch.read("secret/own.log").contains("GET /"));
    assert!(!scratch.read("error.log").contains("[emerg]"), "{}", scratch.read("error.log"));
    assert_eq!(scratch.read("error.log").matches("start edge process").count(), 1);
}

/// What is left open after `worker_shutdown_timeout` is closed.
#[test]
fn connections_of_old_are_closed_in_time() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let text = format!("server {{ listen {}; location / {{ return 200 \"old\"; }} }}", port.address());
    let conf = format!("worker_shutdown_timeout 10ms;\n{}", servers::nginx_conf(&text));
    scratch.write("web.conf", conf);
    let process = servers::daemun_web(&scratch, "web.conf", &port.address());
    let mut begun = Connection::to(&port.address());
    begun.send(b"GET / HTTP/1.1\r\nHost: a\r\n");
    let mut idle = Connection::to(&port.address());
    assert_eq!(idle.exchange(Request::get("/").octets()).text(), "old");
    change(&scratch, "web.conf", "\"old\"", "\"new\"");
    reload_to(&process, &port.address(), "new");
    assert!(begun.rest().is_empty());
    assert_eq!(idle.exchange(Request::get("/").octets()).text(), "new");
}

/// A hundred reloads under load: every request is answered, and nothing piles up.
#[test]
fn a_hundred_reloads_lose_no_request() {
    assert_nothing_lost(1, 30, 70);
}

#[test]
fn several_threads_go_over_together() {
    assert_nothing_lost(3, 10, 20);
}

/// The first reloads show what is needed anyway, the later ones must not add to it.
#[track_caller]
fn assert_nothing_lost(threads: u32, first: u32, later: u32) {
    let scratch = Scratch::new();
    scratch.write("files/page.html", "a page");
    let server = "location /files/ { root SCRATCH; }\n location = / { return 200 \"round 0\"; }";
    let site = Site::start(&scratch, server, "pep3333", "processes = 2");
    if threads > 1 {
        change(&scratch, "site.conf", "worker_processes 1", &format!("worker_processes {threads}"));
        site.process.signal(Signal::HUP);
        wait_until("the old edge has ended", || {
            scratch.read("error.log").matches("start edge process").count() == 2 && site.process.children().len() == 2
        });
    }
    let load = Load::start(&site.address, &["/files/page.html", "/hello"]);
    let mut round = 0;
    let mut reload = |count: u32| {
        for _ in 0..count {
            change(&scratch, "site.conf", &format!("\"round {round}\""), &format!("\"round {}\"", round + 1));
            round += 1;
            reload_to(&site.process, &site.address, &format!("round {round}"));
        }
    };
    reload(first);
    let drained =
        |rounds: usize| scratch.read("error.log").matches("has drained and exited with code 0").count() >= rounds;
    wait_until("the old ones have drained", || drained(first as usize - 1));
    let edge =
        site.process.children().into_iter().find(|child| !child.command.contains("python")).expect("the edge").pid;
    let master = site.process.pid();
    let descriptors = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there").count();
    let before = [resident_kb(edge), resident_kb(master)];
    let open_before = descriptors(master);
    reload(later);
    wait_until("the old ones have drained", || drained((first + later) as usize - 1));
    let (requests, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {requests} requests failed, such as {:?}", failures.len(), &failures[0]);
    assert!(requests > 200, "{requests} requests are no load");
    assert_eq!(descriptors(master), open_before);
    let after = [resident_kb(edge), resident_kb(master)];
    // A configuration that stayed would be some 100 KB each time.
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + 4096, "{before} KB have become {after} KB");
    }
    wait_until("the edge has no more descriptors than it needs", || descriptors(edge) < 64);
    assert!(!scratch.read("error.log").contains("[alert]"), "{}", scratch.read("error.log"));
}

/// Who runs an application alone wants its code loaded anew by HUP, as with uWSGI; nothing that runs is lost.
#[test]
fn an_application_alone_is_loaded_anew() {
    let scratch = Scratch::new();
    let options = "processes = 1\nthreads = 2\npidfile = SCRATCH/app.pid\nenv = GO=SCRATCH/go";
    let application = Application::start(&scratch, "pep3333", options);
    let mut running = Connection::to(&application.address);
    running.send(Request::get("/steps").octets());
    assert!(!running.more().is_empty());
    let code =
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'new code']\n";
    scratch.write("app/pep3333.py", code);
    let ended = servers::daemun(&scratch).arg("app").arg("--reload").arg(scratch.path("app.pid")).run();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    wait_until("the new code answers", || get(&application.address) == "new code");
    scratch.write("go", "");
    assert_eq!(running.response().text(), "first piece\nsecond piece\n");

    scratch.write("app/pep3333.py", "no python\n");
    application.process.signal(Signal::HUP);
    wait_until("it is given up", || application.process.output().contains("the new configuration is given up"));
    assert_eq!(get(&application.address), "new code");
}

/// An edge that dies is replaced by one of the configuration in force.
#[test]
fn a_dead_edge_comes_back_as_it_was_last() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { return 200 \"old\"; }");
    change(&scratch, "web.conf", "\"old\"", "\"new\"");
    reload_to(&web.process, &web.address, "new");
    let edge = web.process.children().first().expect("the edge").pid;
    signal_process(edge, Signal::KILL);
    wait_until("another one answers", || {
        Request::get("/").try_send(&web.address).is_ok_and(|answer| answer.text() == "new")
    });
    change(&scratch, "web.conf", "\"new\"", "\"newer\"");
    reload_to(&web.process, &web.address, "newer");
}

/// Another user is another process; root's rights are not needed by who serves.
#[test]
fn another_user_takes_another_edge() {
    if !servers::is_root() {
        println!("skipped: only root can give up root");
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { return 200 \"old\"; }");
    change(&scratch, "web.conf", "user root;", "user www-data;");
    change(&scratch, "web.conf", "\"old\"", "\"new\"");
    reload_to(&web.process, &web.address, "new");
    wait_until("the old edge has ended", || web.process.children().len() == 1);
    let edge = web.process.children().first().expect("the edge").pid;
    assert_eq!(fs::metadata(format!("/proc/{edge}")).expect("it is there").uid(), 33);
}

/// A connection that is kept to a server behind us holds no configuration.
#[test]
fn kept_connections_to_others_hold_nothing() {
    let scratch = Scratch::new();
    let (port, backend) = (Port::reserve(), Backend::start("behind"));
    let text = format!(
        "upstream behind {{ server {}; keepalive 4; }}
        server {{ listen {}; location = / {{ return 200 \"old\"; }} location /behind {{ proxy_pass http://behind; }} }}",
        backend.address(),
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&text));
    let process = servers::daemun_web(&scratch, "web.conf", &port.address());
    assert_eq!(Request::get("/behind").send(&port.address()).text(), "behind");
    change(&scratch, "web.conf", "\"old\"", "\"new\"");
    reload_to(&process, &port.address(), "new");
    wait_until("the old configuration has drained", || scratch.read("error.log").contains("exited with code 0"));
    assert_eq!(Request::get("/behind").send(&port.address()).text(), "behind");
}
