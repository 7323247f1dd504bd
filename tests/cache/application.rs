//! `uwsgi_cache` before an application of ours: its answers are kept like anybody's.

use harness::{Address, Connection, Port, Process, Request, Scratch, servers, site, wait_until};

use super::get;

struct Cached {
    _process: Process,
    address: Address,
    _port: Port,
}

/// The application `counting` behind a cache, with `settings` in its location.
fn start(scratch: &Scratch, settings: &str) -> Cached {
    let port = Port::reserve();
    scratch.add_application("counting.py");
    let options = "socket = SCRATCH/site.sock\nchmod-socket = 666\nprocesses = 1\nenv = FAILS=SCRATCH/fails";
    scratch.write("site.ini", site::ini("counting", options));
    let http = format!(
        "uwsgi_cache_path SCRATCH/cache keys_zone=one:1m;
        server {{
            listen {};
            location / {{
                uwsgi_pass unix:SCRATCH/site.sock;
                include /etc/nginx/uwsgi_params;
                uwsgi_cache one;
                add_header X-Status $upstream_cache_status always;
                {settings}
            }}
        }}",
        port.address()
    );
    scratch.write("site.conf", servers::nginx_conf(&http));
    let process = servers::daemun_run(scratch, "site.conf", "site.ini", &port.address());
    Cached { _process: process, address: port.address(), _port: port }
}

#[test]
fn answers_of_an_application_of_ours_are_kept() {
    let scratch = Scratch::new();
    let site = start(&scratch, "");
    let address = &site.address;
    assert_eq!(get(address, "/a?max-age=60"), "MISS 1 GET -");
    assert_eq!(get(address, "/a?max-age=60"), "HIT 1 GET -");
    let mut connection = Connection::to(address);
    connection.send(Request::new("HEAD", "/b?max-age=60").octets());
    assert_eq!(connection.response_to_head().header("Content-Length"), Some("7"));
    assert_eq!(get(address, "/b?max-age=60"), "HIT 2 GET -", "HEAD is asked for as GET");
    let response = Request::get("/a?max-age=60").header("If-None-Match", "\"/a\"").send(address);
    assert_eq!(response.status, 304);
    assert_eq!(get(address, "/a"), "MISS 3 GET -");
    assert_eq!(get(address, "/a"), "MISS 4 GET -", "an answer that says nothing is not kept");
    for status in ["MISS", "HIT"] {
        let response = Request::get("/streamed?max-age=60").send(address);
        assert_eq!(response.header("X-Status"), Some(status));
        assert!(response.text().starts_with("5 GET") && response.text().ends_with("end"));
        assert_eq!(response.body.len(), 200_010);
    }
}

#[test]
fn an_application_that_fails_is_stood_in_for() {
    let scratch = Scratch::new();
    let site = start(&scratch, "uwsgi_cache_use_stale http_500;");
    assert_eq!(get(&site.address, "/a?max-age=1"), "MISS 1 GET -");
    scratch.write("fails", "");
    let is_stale = || get(&site.address, "/a?max-age=1") == "STALE 1 GET -";
    wait_until("the answer is stale, and stands for the application's failure", is_stale);
    assert_eq!(get(&site.address, "/b"), "MISS failed");
}
