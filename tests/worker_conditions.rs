//! What `worker_...` directives make of the edge: its connections, its limits, its place.

use std::fs;

use harness::{Connection, Port, Process, Request, Scratch, servers, wait_until};

/// A server with `main` before everything and `events` in its block.
fn start(scratch: &Scratch, main: &str, connections: u32) -> (Process, Port) {
    let port = Port::reserve();
    let server = format!("server {{ listen {}; location / {{ return 200 \"up\"; }} }}", port.address());
    let conf = servers::nginx_conf(&server);
    let conf = conf.replace("worker_connections 4096;", &format!("worker_connections {connections};"));
    scratch.write("web.conf", format!("{main}\n{conf}"));
    let process = servers::daemun_web(scratch, "web.conf", &port.address());
    (process, port)
}

/// Connections that only wait are closed for new ones, the longest waiting first; where all are at work, the new one is closed.
#[test]
fn idle_connections_make_room() {
    let scratch = Scratch::new();
    let (_process, port) = start(&scratch, "", 3);
    let address = port.address();
    let mut idle: Vec<Connection> = Vec::new();
    for _ in 0..3 {
        wait_until("there is room", || {
            let mut one = Connection::to(&address);
            let is_served = one.try_send(&Request::get("/").octets()).is_ok() && one.try_response().is_ok();
            if is_served {
                idle.push(one);
            }
            is_served
        });
    }
    assert_eq!(Request::get("/").send(&address).text(), "up");
    assert!(idle[0].rest().is_empty(), "the longest waiting is not the one that is closed");
    wait_until("it is said", || {
        scratch.read("error.log").contains("[warn]")
            && scratch.read("error.log").contains("3 worker_connections are not enough, reusing connections")
    });
    assert_eq!(idle[2].exchange(Request::get("/").octets()).text(), "up");
}

#[test]
fn a_connection_too_many_is_closed() {
    let scratch = Scratch::new();
    let (_process, port) = start(&scratch, "", 2);
    let address = port.address();
    let mut busy: Vec<Connection> = Vec::new();
    for _ in 0..2 {
        let mut one = Connection::to(&address);
        one.send(b"GET / HTTP/1.1\r\nHost: a\r\n");
        busy.push(one);
    }
    wait_until("one is turned away", || Request::get("/").try_send(&address).is_err());
    wait_until("it is said", || scratch.read("error.log").contains("[alert]"));
    assert!(scratch.read("error.log").contains(": 2 worker_connections are not enough\n"));
    // Whoever waited for the port may have been served before the two came.
    let served = busy.iter_mut().filter_map(|one| {
        one.try_send(b"\r\n").ok()?;
        one.try_response().ok()
    });
    assert!(served.count() > 0);
}

#[test]
fn the_edge_is_what_it_is_told_to_be() {
    let scratch = Scratch::new();
    let main = "worker_priority 19;\nworker_rlimit_core 1m;\nworker_rlimit_nofile 1234;\nworking_directory SCRATCH;";
    let (process, port) = start(&scratch, main, 100);
    assert_eq!(Request::get("/").send(&port.address()).text(), "up");
    let edge = process.children().first().expect("the edge").pid;
    let own = |pid: i32, name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).expect("the process is there");
    let nice =
        |pid: i32| own(pid, "stat").rsplit(')').next().and_then(|rest| rest.split(' ').nth(17)?.parse::<i32>().ok());
    // The one value that everybody may take, whatever the tests themselves run with.
    assert_eq!(nice(edge), Some(19));
    let limits = own(edge, "limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).expect("a line");
        line[name.len()..].split_whitespace().next().expect("a number").to_owned()
    };
    assert_eq!(limit("Max core file size"), "1048576");
    assert_eq!(limit("Max open files"), "1234");
    assert_eq!(
        fs::read_link(format!("/proc/{edge}/cwd")).expect("a folder"),
        fs::canonicalize(scratch.folder()).expect("it is there")
    );
}

/// `env` gives a variable to all processes: log lines have its time zone.
#[test]
fn variables_of_the_environment_are_given() {
    let scratch = Scratch::new();
    let (_process, port) = start(&scratch, "env TZ=Asia/Kolkata; env PATH;", 8);
    assert_eq!(Request::get("/").send(&port.address()).status, 200);
    wait_until("the request is logged in its time zone", || scratch.read("access.log").contains(" +0530] \"GET / "));
}

/// Applications have it too.
#[test]
fn applications_have_the_variables_of_the_environment() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let server = format!("server {{ listen {}; location / {{ uwsgi_pass unix:SCRATCH/site.sock; }} }}", port.address());
    scratch.write("site.conf", format!("env FLAVOUR=vanilla=sweet;\n{}", servers::nginx_conf(&server)));
    scratch.add_application("pep3333.py");
    scratch.write("site.ini", harness::site::ini("pep3333", "socket = SCRATCH/site.sock\nchmod-socket = 666"));
    let process = servers::daemun_run(&scratch, "site.conf", "site.ini", &port.address());
    let has_variable = || process.descendants().iter().any(|one| one.has_environment("FLAVOUR=vanilla=sweet"));
    wait_until("the application has been started", has_variable);
}
