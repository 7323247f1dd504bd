//! A graceful end: who is still served, and how long that may take.

use harness::process::signal_process;
use harness::{Address, Connection, Request, Scratch, Site, wait_until};
use rustix::process::Signal;

const OPTIONS: &str = "processes = 2\nenv = EVENTS=SCRATCH/events";

/// Whoever has a connection, be it only in the kernel's queue, is answered and not reset.
#[test]
fn who_has_connected_is_served() {
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "", "pep3333", OPTIONS);
    let edge = stopped_edge(&site);
    let waiting: Vec<Connection> = (0..100)
        .map(|_| {
            let mut connection = Connection::to(&site.address);
            connection.send(Request::get("/hello").octets());
            connection
        })
        .collect();
    site.process.signal(Signal::QUIT);
    // The master has passed it on once it says so; it is pending until the edge goes on.
    wait_until("the edge has been told", || has_pending_signal(edge));
    signal_process(edge, Signal::CONT);
    for (index, mut connection) in waiting.into_iter().enumerate() {
        let answer = connection.try_response().unwrap_or_else(|error| panic!("connection {index}: {error}"));
        assert_eq!(answer.status, 200, "connection {index}");
    }
    assert_eq!(site.process.wait().code(), Some(0));
    assert!(Connection::open(&site.address).is_err());
}

/// The same on the application's own socket.
#[test]
fn who_has_connected_to_the_application_is_served() {
    use harness::uwsgi_packet::{get_variables, packet};
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "", "pep3333", OPTIONS);
    let edge = stopped_edge(&site);
    let socket = Address::Unix(scratch.path("site.sock"));
    let waiting: Vec<Connection> = (0..50)
        .map(|_| {
            let mut connection = Connection::to(&socket);
            connection.send(packet(&get_variables("/hello", ""), b""));
            connection
        })
        .collect();
    site.process.signal(Signal::QUIT);
    wait_until("the edge has been told", || has_pending_signal(edge));
    signal_process(edge, Signal::CONT);
    for mut connection in waiting {
        assert_eq!(connection.response().status, 200);
    }
    assert_eq!(site.process.wait().code(), Some(0));
}

/// `worker_shutdown_timeout`: a request that never ends does not hold a drain for longer.
#[test]
fn a_drain_takes_no_longer_than_it_may() {
    let scratch = Scratch::new();
    scratch.add_application("pep3333.py");
    let port = harness::Port::reserve();
    let conf = format!("worker_shutdown_timeout 1s;\n{}", harness::site::conf(&port, ""));
    scratch.write("site.conf", conf);
    scratch.write("site.ini", harness::site::ini("pep3333", &format!("socket = SCRATCH/site.sock\n{OPTIONS}")));
    let mut process = harness::servers::daemun_run(&scratch, "site.conf", "site.ini", &port.address());
    let mut hanging = Connection::to(&port.address());
    hanging.send(Request::get("/hang").octets());
    wait_until("a worker hangs", || !scratch.read("events").is_empty());
    process.signal(Signal::QUIT);
    assert_eq!(process.wait().code(), Some(0));
    assert!(hanging.rest().is_empty());
    wait_until("nobody is left", || scratch.processes_left().is_empty());
}

/// The edge, once it stands still: until then, it would take a signal that comes after.
fn stopped_edge(site: &Site) -> i32 {
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    let edge = || site.process.children().into_iter().find(|child| child.command.contains("daemun run"));
    let pid = edge().expect("the edge is forked from the master").pid;
    signal_process(pid, Signal::STOP);
    wait_until("it stands still", || edge().is_some_and(|edge| edge.state == 'T'));
    pid
}

/// Whether a signal waits for the process, which is stopped.
fn has_pending_signal(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    pending.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << 2) != 0))
}

/// `keepalive_min_timeout`: for so long a connection that waits is nobody else's to close, the end of the edge included.
#[test]
fn a_connection_in_its_least_time_is_served_once_more() {
    use harness::Web;
    let scratch = Scratch::new();
    let mut web = Web::start(
        &scratch,
        "location /kept { keepalive_min_timeout 10m; return 200 kept; }
        location /brief { keepalive_min_timeout 10ms; keepalive_timeout 10m; return 200 brief; }
        location / { return 200 plain; }",
    );
    let open = |target: &str| {
        let mut connection = Connection::to(&web.address);
        assert_eq!(connection.exchange(Request::get(target).octets()).status, 200);
        connection
    };
    let (mut kept, mut brief, mut plain) = (open("/kept"), open("/brief"), open("/"));
    web.process.signal(Signal::QUIT);
    assert_eq!(brief.rest(), b"", "its least time has passed");
    assert_eq!(plain.rest(), b"", "it has none");
    let answer = kept.exchange(Request::get("/").octets());
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    assert_eq!(web.process.wait().code(), Some(0));
}

/// Nor is it closed to make room for others.
#[test]
fn a_connection_in_its_least_time_makes_no_room() {
    use harness::{Port, servers};
    let scratch = Scratch::new();
    let port = Port::reserve();
    let server = format!(
        "server {{ listen {}; location /kept {{ keepalive_min_timeout 10m; return 200 kept; }} location / {{ return 200 plain; }} }}",
        port.address()
    );
    let text = servers::nginx_conf(&server).replace("worker_connections 4096", "worker_connections 8");
    scratch.write("web.conf", text);
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    let mut kept = Connection::to(&port.address());
    assert_eq!(kept.exchange(Request::get("/kept").octets()).status, 200);
    let mut others = Vec::new();
    for number in 0..20 {
        let mut connection = Connection::to(&port.address());
        assert_eq!(connection.exchange(Request::get("/").octets()).status, 200, "connection {number}");
        others.push(connection);
    }
    assert_eq!(kept.exchange(Request::get("/kept").octets()).status, 200);
}
