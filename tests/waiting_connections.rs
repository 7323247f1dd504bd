//! Connections that wait for a while are laid aside; what their clients see is the same.

use std::fs;

use harness::{Connection, Request, Scratch, Web, wait_until};
use rustix::process::Signal;

const SERVER: &str = "
    location / { return 200 \"$connection $connection_requests $remote_port\"; }
    location /brief { keepalive_timeout 1s; return 200 brief; }";

/// Connections with one answer each, all laid aside, and those answers.
fn laid_aside(web: &Web, target: &str, count: usize) -> Vec<(Connection, String)> {
    let connections: Vec<_> = (0..count)
        .map(|_| {
            let mut connection = Connection::to(&web.address);
            let text = connection.exchange(Request::get(target).octets()).text();
            (connection, text)
        })
        .collect();
    wait_until("all connections are laid aside", || sockets_laid_aside(web) == count);
    connections
}

/// Sockets in the epoll instance that watches nothing else: its numbers are its own, those of the event loop are addresses.
fn sockets_laid_aside(web: &Web) -> usize {
    let edge = web.process.children().into_iter().next().expect("an edge");
    let folder = format!("/proc/{}/fdinfo", edge.pid);
    let instances =
        fs::read_dir(folder).expect("fdinfo").filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let numbers = |text: String| -> Vec<u64> {
        let watched = text.lines().filter(|line| line.starts_with("tfd:"));
        watched
            .map(|line| u64::from_str_radix(line.split_whitespace().nth(5).unwrap_or("f"), 16).expect("data"))
            .collect()
    };
    let own = instances.map(numbers).filter(|numbers| numbers.iter().all(|number| *number < 1_000));
    own.map(|numbers| numbers.len()).max().unwrap_or(0)
}

fn next_text(connection: &mut Connection) -> String {
    connection.exchange(Request::get("/").octets()).text()
}

/// The answer before, as the next request of the same connection has it.
fn follower(text: &str, requests: u32) -> String {
    text.replace(" 1 ", &format!(" {requests} "))
}

#[test]
fn a_connection_is_taken_up_as_it_was() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, SERVER);
    let mut connections = laid_aside(&web, "/", 5);
    for (connection, text) in &mut connections {
        assert_eq!(next_text(connection), follower(text, 2));
        assert_eq!(next_text(connection), follower(text, 3), "at once again");
    }
    wait_until("all are laid aside again", || sockets_laid_aside(&web) == 5);
    let (connection, text) = &mut connections[0];
    connection.send(b"GET / HT");
    wait_until("half a head takes it up", || sockets_laid_aside(&web) == 4);
    connection.send(b"TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.response().text(), follower(text, 4));
}

#[test]
fn one_that_ends_or_has_waited_too_long_is_closed() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, SERVER);
    let mut connections = laid_aside(&web, "/brief", 2);
    drop(connections.pop());
    wait_until("the end of a client is seen", || sockets_laid_aside(&web) < 2);
    let (mut connection, _) = connections.pop().expect("the other one");
    assert!(connection.rest().is_empty(), "closed without a word");
}

#[test]
fn signals_reach_those_that_wait() {
    let scratch = Scratch::new();
    let mut web = Web::start(&scratch, SERVER);
    let mut connections = laid_aside(&web, "/", 3);
    let conf = scratch.read("web.conf");
    scratch.write("web.conf", conf.replace("200 \"$connection", "200 \"new $connection"));
    web.process.signal(Signal::HUP);
    wait_until("the old configuration has drained", || scratch.read("error.log").contains("exited with code 0"));
    let (connection, text) = &mut connections[0];
    assert_eq!(next_text(connection), format!("new {}", follower(text, 2)));
    web.process.signal(Signal::QUIT);
    for (connection, _) in &mut connections {
        assert!(connection.rest().is_empty());
    }
    assert!(web.process.wait().success());
}
