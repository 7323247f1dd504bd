//! Connections to servers that wait for the next request.

use harness::{Address, Backend, Port, Process, Request, Scratch, servers, wait_until};

/// mainline keeps connections of every named group, each for the location that made it.
#[test]
fn a_named_groups_connections_are_kept_for_their_location() {
    let site = Site::start("");
    assert_eq!(site.connections_of(&["/", "/", "/other/", "/", "/other/"]), 2);
}

#[test]
fn a_group_shares_its_connections_where_it_says_so() {
    assert_eq!(Site::start("keepalive 4;").connections_of(&["/", "/other/", "/", "/other/"]), 1);
    assert_eq!(Site::start("keepalive 4 local;").connections_of(&["/", "/other/", "/", "/other/"]), 2);
}

#[test]
fn connections_are_not_kept_where_the_group_says_so_or_there_is_none() {
    assert_eq!(Site::start("keepalive 0;").connections_of(&["/"; 3]), 3);
    assert_eq!(Site::start("").connections_of(&["/nameless/"; 3]), 3);
}

#[test]
fn a_connection_serves_so_many_requests_and_waits_so_long() {
    assert_eq!(Site::start("keepalive_requests 2;").connections_of(&["/"; 6]), 3);

    let site = Site::start("keepalive_timeout 100ms;");
    assert_eq!(site.connections_of(&["/"]), 1);
    wait_until("the connection has been closed", || site.backend.open() == 0);
    assert_eq!(site.connections_of(&["/"]), 2);
}

/// The server closes after each answer, and says so to nobody.
#[test]
fn a_connection_that_the_server_closes_is_no_use_and_no_harm() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Then: close\r\n\r\nok";
    let site = Site::of(Backend::answering(|_| text.to_owned()), "keepalive 4;");
    for request in 1..=5 {
        assert_eq!(site.connections_of(&["/"]), request);
        wait_until("it is closed here too", || site.backend.open() == 0);
    }
    let log = site.scratch.read("error.log");
    assert!(!log.contains("[error]"), "{log}");
}

#[test]
fn no_more_connections_are_kept_than_the_group_says() {
    let site = Site::start("server S2; server S3; keepalive 1;");
    site.connections_of(&["/"; 3]);
    let open = || site.backend.open() + site.others.iter().map(Backend::open).sum::<usize>();
    wait_until("one is kept", || open() == 1);
}

/// daemun with a group of one server or more, and locations that pass requests on to it.
struct Site {
    scratch: Scratch,
    address: Address,
    backend: Backend,
    others: [Backend; 2],
    _process: Process,
    _port: Port,
}

impl Site {
    #[track_caller]
    fn start(block: &str) -> Self {
        Self::of(Backend::start("ok"), block)
    }

    #[track_caller]
    fn of(backend: Backend, block: &str) -> Self {
        let (scratch, port) = (Scratch::new(), Port::reserve());
        let others = ["ok", "ok"].map(Backend::start);
        let (address, server) = (port.address(), backend.address());
        let block = block.replace("S2", &others[0].address()).replace("S3", &others[1].address());
        let http = format!(
            "upstream group {{ server {server}; {block} }}
             server {{
                 listen {address};
                 location / {{ proxy_pass http://group; }}
                 location /other/ {{ proxy_pass http://group; }}
                 location /nameless/ {{ proxy_pass http://{server}; }}
             }}"
        );
        scratch.write("nginx.conf", servers::nginx_conf(&http));
        let process = servers::daemun_web(&scratch, "nginx.conf", &address);
        Self { scratch, address, backend, others, _process: process, _port: port }
    }

    /// The connections to the first server so far, once these requests have been answered.
    #[track_caller]
    fn connections_of(&self, targets: &[&str]) -> usize {
        for target in targets {
            assert_eq!(Request::get(target).send(&self.address).text(), "ok");
        }
        self.backend.connections()
    }
}
