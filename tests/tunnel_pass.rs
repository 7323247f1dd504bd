//! `tunnel_pass`: connections that `CONNECT` asks for.

use harness::{Backend, Connection, Port, Request, Scratch, Web};

fn connect(web: &Web, to: &str, fields: &str) -> Connection {
    let mut connection = Connection::to(&web.address);
    connection.send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{fields}\r\n"));
    connection
}

/// The status of an answer that is no tunnel.
fn refused(web: &Web, to: &str, fields: &str) -> u16 {
    connect(web, to, fields).response().status
}

#[test]
fn whoever_is_named_is_reached() {
    let (scratch, backend) = (Scratch::new(), Backend::start("there"));
    let format = "log_format way '$request_method $upstream_addr $status $upstream_bytes_received';";
    let locations = "access_log SCRATCH/way.log way;
         location / { if ($request_method = CONNECT) { tunnel_pass; break; } return 200 own; }";
    let web = Web::start_in(&scratch, format, locations);
    let mut tunnel = connect(&web, &backend.address(), "");
    let head = tunnel.response_to_head();
    assert_eq!((head.status, head.header("connection")), (200, Some("close")));
    assert_eq!((head.header("transfer-encoding"), head.header("content-length")), (None, None));
    assert_eq!(tunnel.exchange("GET /through HTTP/1.1\r\nHost: a\r\n\r\n").text(), "there");
    drop(tunnel);
    let line = format!("CONNECT {} 200 ", backend.address());
    harness::wait_until("the tunnel is in the log", || scratch.read("way.log").contains(&line));
    assert_eq!(Request::get("/").send(&web.address).text(), "own");
    // What is sent with the head is the tunnel's.
    let mut eager = connect(&web, &backend.address(), "\r\nGET /early HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(eager.response_to_head().status, 200);
    assert_eq!(eager.response().text(), "there");
}

#[test]
fn what_is_no_tunnel_is_refused() {
    let (scratch, backend) = (Scratch::new(), Backend::start("there"));
    let web = Web::start(&scratch, "tunnel_pass;");
    let to = backend.address();
    assert_eq!(Request::get("/").send(&web.address).status, 405);
    assert_eq!(refused(&web, &to, "Content-Length: 1\r\n"), 400);
    assert_eq!(refused(&web, &to, "Transfer-Encoding: chunked\r\n"), 400);
    for wrong in ["127.0.0.1", "127.0.0.1:", ":80", "a:99999", "a:80/", "http://a:80"] {
        assert_eq!(refused(&web, wrong, ""), 400, "{wrong}");
    }
    let mut old = Connection::to(&web.address);
    old.send(format!("CONNECT {to} HTTP/1.0\r\n\r\n"));
    assert_eq!(old.response().status, 405);
    assert_eq!(backend.connections(), 0);

    let (scratch, none) = (Scratch::new(), "location / { return 200; }");
    let web = Web::start(&scratch, none);
    assert_eq!(refused(&web, &to, ""), 405, "without tunnel_pass there are no tunnels");
}

#[test]
fn another_server_is_tried_and_the_last_failure_told() {
    let (scratch, backend, dead) = (Scratch::new(), Backend::start("there"), Port::reserve());
    let groups = format!(
        "upstream pair {{ server {}; server {}; }} upstream none {{ server {}; }}",
        dead.address(),
        backend.address(),
        dead.address()
    );
    let locations = "location / { error_page 502 /page; tunnel_pass $group; } location = /page { return 200 page; }
        set $group pair; if ($http_x_group) { set $group $http_x_group; }";
    let web = Web::start_in(&scratch, &groups, locations);
    for _ in 0..2 {
        assert_eq!(connect(&web, "any:1", "").response_to_head().status, 200);
    }
    let failed = connect(&web, "any:1", "X-Group: none\r\n").response();
    assert_eq!((failed.status, failed.text().as_str()), (502, "page"));
    let line = "connect() failed (111: Connection refused) while connecting to upstream";
    let log = scratch.read("error.log");
    assert!(log.contains(line) && log.contains(&format!("upstream: \"{}\"", dead.address())), "{log}");
}

#[test]
fn a_closed_proxy_asks_for_a_password() {
    let (scratch, backend) = (Scratch::new(), Backend::start("there"));
    scratch.write("users", "plain:{PLAIN}password\n");
    let web = Web::start(&scratch, "tunnel_pass; auth_basic closed; auth_basic_user_file SCRATCH/users;");
    let to = backend.address();
    let asked = connect(&web, &to, "").response();
    assert_eq!((asked.status, asked.header("proxy-authenticate")), (407, Some("Basic realm=\"closed\"")));
    // cGxhaW46cGFzc3dvcmQ= is plain:password; the field of a server that is no proxy says nothing here.
    assert_eq!(refused(&web, &to, "Authorization: Basic cGxhaW46cGFzc3dvcmQ=\r\n"), 407);
    let mut tunnel = connect(&web, &to, "Proxy-Authorization: Basic cGxhaW46cGFzc3dvcmQ=\r\n");
    assert_eq!(tunnel.response_to_head().status, 200);
    assert_eq!(tunnel.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "there");
}
