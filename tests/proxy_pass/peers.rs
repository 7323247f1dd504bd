//! Real servers behind `proxy_pass`: Gunicorn, Granian, and a WebSocket server.

use std::process::Command;

use harness::{Connection, Launch, Port, Process, Request, Scratch, Web, programs};

/// An application server that speaks HTTP, on a port or on the unix socket `site.sock` in the application's folder.
struct Peer {
    name: &'static str,
    program: &'static str,
    arguments: fn(Option<&Port>) -> Vec<String>,
}

const PEERS: &[Peer] = &[
    Peer {
        name: "Gunicorn",
        program: "gunicorn",
        arguments: |port| {
            let bind = port.map_or("unix:site.sock".to_owned(), |port| port.address().to_string());
            ["--threads", "4", "--keep-alive", "30", "--bind", &bind, "pep3333:application"].map(str::to_owned).to_vec()
        },
    },
    Peer {
        name: "Granian",
        program: "granian",
        arguments: |port| {
            let place = match port {
                Some(port) => {
                    vec!["--host".to_owned(), "127.0.0.1".to_owned(), "--port".to_owned(), port.number().to_string()]
                }
                None => vec!["--uds".to_owned(), "site.sock".to_owned()],
            };
            let usual = ["--interface", "wsgi", "--blocking-threads", "4", "pep3333:application"].map(str::to_owned);
            place.into_iter().chain(usual).collect()
        },
    },
];

/// Runs `check` with each peer, on both kinds of socket, buffered and not.
fn with_each(check: impl Fn(&str, &Web)) {
    for peer in PEERS {
        for is_unix in [false, true] {
            for buffering in ["on", "off"] {
                let (scratch, port) = (Scratch::new(), Port::reserve());
                scratch.add_application("pep3333.py");
                let arguments = (peer.arguments)((!is_unix).then_some(&port));
                let launch = Launch::new(&scratch, peer.name, programs::peer(peer.program)).args(arguments);
                let launch = launch.working_folder(&scratch.path("app")).env("EVENTS", scratch.path("events"));
                let launch = launch.env("HOME", scratch.folder());
                let mut server = launch.start();
                let socket = scratch.path("app/site.sock");
                let address = if is_unix { harness::Address::Unix(socket.clone()) } else { port.address() };
                server.wait_for(&address);
                let place = if is_unix { format!("unix:{}", socket.display()) } else { address.to_string() };
                let http = format!("upstream application {{ server {place}; keepalive 4; }}");
                let location = format!(
                    "client_max_body_size 10m; location / {{ proxy_pass http://application; proxy_set_header Host $http_host;
                        proxy_buffering {buffering}; proxy_request_buffering {buffering}; }}"
                );
                let web = Web::start_in(&scratch, &http, &location);
                check(&format!("{}, unix: {is_unix}, buffering {buffering}", peer.name), &web);
            }
        }
    }
}

#[test]
fn application_servers_are_reached() {
    with_each(|name, web| {
        let mut connection = Connection::to(&web.address);
        for _ in 0..3 {
            let response = connection.exchange(Request::get("/hello").octets());
            assert!(response.status == 200 && response.text().starts_with("hello from "), "{name}: {response:?}");
        }
        for size in [0, 1, 65_536, 1_000_000] {
            let posted = Request::post("/count_input", "text/x", vec![b'b'; size]).send(&web.address);
            assert_eq!(posted.text(), format!("{size} {size}"), "{name}, {size} octets in");
            if size > 0 {
                let large = Request::get(&format!("/big/{size}/7000")).send(&web.address);
                assert_eq!(large.body.len(), size, "{name}, {size} octets out");
            }
        }
        let facts = Request::get("/environ_facts/a%20b?x=1").header("X-Own", "own").send(&web.address);
        let facts: serde_json::Value = serde_json::from_slice(&facts.body).expect("the page is JSON");
        for (variable, expected) in [
            ("PATH_INFO", "/environ_facts/a b"),
            ("QUERY_STRING", "x=1"),
            ("HTTP_X_OWN", "own"),
            ("HTTP_HOST", "example.test"),
        ] {
            assert_eq!(facts["strings"][variable], expected, "{name}: {variable} of {facts}");
        }
    });
}

/// `websockets` at both ends: the handshake, texts and octets of many sizes, a ping, and the end by either side.
#[test]
fn websockets_pass_through() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    scratch.write("echo.py", ECHO);
    scratch.write("ask.py", ASK);
    let python = programs::peer("python");
    let launch = Launch::new(&scratch, "echo", &python).arg(scratch.path("echo.py")).arg(port.number().to_string());
    let mut echo: Process = launch.start();
    echo.wait_for(&port.address());
    let location = format!(
        "location / {{ proxy_pass http://{}; proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}",
        port.address()
    );
    let web = Web::start(&scratch, &location);
    let asked =
        Command::new(&python).arg(scratch.path("ask.py")).arg(web.address.to_string()).output().expect("python");
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{said}{}", String::from_utf8_lossy(&asked.stderr));
    assert_eq!(said, "all came back\n1000 bye\n");
}

const ECHO: &str = r#"
import sys
from websockets.sync.server import serve

def echo(connection):
    for message in connection:
        if message == "end":
            return connection.close(1000, "bye")
        connection.send(message)

with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None) as server:
    server.serve_forever()
"#;

const ASK: &str = r#"
import sys
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

with connect(f"ws://{sys.argv[1]}/", max_size=None) as first, connect(f"ws://{sys.argv[1]}/", max_size=None) as second:
    for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
        for message in ("t" * size, b"\xff" * size):
            first.send(message)
            assert first.recv() == message, size
    first.ping().wait(10)
    second.send("still there")
    assert second.recv() == "still there"
    print("all came back")
    first.send("end")
    try:
        first.recv()
    except ConnectionClosed as closed:
        print(closed.rcvd.code, closed.rcvd.reason)
"#;
