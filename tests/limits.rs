//! `limit_req`, `limit_conn` and their neighbours. The tables are true of nginx too.

use harness::{Address, Connection, Port, Request, Scratch, servers, wait_until};

/// Rates so slow that nothing runs out within a test.
const ZONES: &str = "
    limit_req_zone $arg_key zone=slow:64k rate=1r/m;
    limit_req_zone $arg_other zone=other:64k rate=1r/m;
    limit_req_zone $arg_key zone=fast:64k rate=100r/s;
    limit_conn_zone $arg_key zone=places:64k;
    log_format statuses \"$uri $limit_req_status $limit_conn_status\";
";

const SERVER: &str = "
        access_log SCRATCH/statuses.log statuses;
        root SCRATCH/root;
        location /burst { FILE limit_req zone=slow burst=2 nodelay; }
        location /status { FILE limit_req zone=slow; limit_req_status 429; limit_req_log_level info; error_page 429 /page; }
        location /page { FILE limit_req zone=slow; }
        location /both { FILE limit_req zone=other burst=1 nodelay; limit_req zone=slow; }
        location /other { FILE limit_req zone=other burst=1 nodelay; }
        location /dry { FILE limit_req zone=slow; limit_req_dry_run on; }
        location /wait { FILE limit_req zone=fast burst=1000; }
        location /big { limit_conn places 1; }
        location /place { FILE limit_conn places 1; }
        location /place-status { FILE limit_conn places 1; limit_conn_status 429; }
        location /place-dry { FILE limit_conn places 1; limit_conn_dry_run on; }
        location /places { FILE limit_conn places 2; }
";

/// A target and the status that must come, one after the other.
const TABLE: &[(&str, u16)] = &[
    ("/burst?key=a", 200),
    ("/burst?key=a", 200),
    ("/burst?key=a", 200),
    ("/burst?key=a", 503),
    ("/burst?key=a", 503),
    ("/burst?key=b", 200),
    ("/burst", 200),
    ("/burst", 200),
    ("/burst", 200),
    ("/burst", 200),
    ("/status?key=c", 200),
    ("/status?key=c", 429), // The page of 429, which the limit does not hold up again.
    ("/both?key=d&other=d", 200),
    ("/both?key=d&other=d", 503),
    ("/both?key=d&other=d", 503),
    ("/other?other=d", 200), // What one limit refused, the other has not counted.
    ("/other?other=d", 503),
    ("/dry?key=e", 200),
    ("/dry?key=e", 200),
    ("/place?key=x", 200),
    ("/place?key=x", 200),
];

fn configuration(address: &Address) -> String {
    let server = SERVER.replace("FILE", "alias SCRATCH/root/file.txt;");
    servers::nginx_conf(&format!("{ZONES}    server {{\n        listen {address};\n{server}\n    }}"))
}

fn write_files(scratch: &Scratch) {
    scratch.write("root/file.txt", "a file");
    scratch.write("root/big", vec![b'x'; BIG_FILE_OCTETS]);
}

/// More than the buffers of two sockets take.
const BIG_FILE_OCTETS: usize = 32 * 1024 * 1024;

fn get(address: &Address, target: &str) -> u16 {
    Request::get(target).send(address).status
}

fn assert_table(address: &Address) {
    for (number, (target, status)) in TABLE.iter().enumerate() {
        assert_eq!(get(address, target), *status, "request {number}: {target}");
    }
}

fn assert_places(address: &Address) {
    // A request is under way while its client does not read the answer.
    let mut reads_nothing = Connection::to(address);
    reads_nothing.send(Request::get("/big?key=p").octets());
    wait_until("the place is taken", || get(address, "/place?key=p") == 503);
    assert_eq!(get(address, "/place-status?key=p"), 429);
    assert_eq!(get(address, "/place-dry?key=p"), 200);
    assert_eq!(get(address, "/places?key=p"), 200);
    assert_eq!(get(address, "/place?key=q"), 200);
    drop(reads_nothing);
    wait_until("the place is free", || get(address, "/place?key=p") == 200);
}

#[test]
fn the_tables_hold() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let port = Port::reserve();
    scratch.write("web.conf", configuration(&port.address()));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    assert_table(&port.address());
    assert_places(&port.address());
    for number in 0..20 {
        assert_eq!(get(&port.address(), "/wait?key=w"), 200, "request {number}");
    }
    let log = scratch.read("error.log");
    for line in [
        "[error]",
        "limiting requests, excess: ",
        " by zone \"slow\", client: 127.0.0.1",
        "limiting requests, dry run, excess: ",
        "limiting connections by zone \"places\"",
        "limiting connections, dry run, by zone \"places\"",
        "[warn]",
        "delaying request, excess: ",
    ] {
        assert!(log.contains(line), "{line} in {log}");
    }
    let statuses = scratch.read("statuses.log");
    for line in [
        "/burst PASSED -",
        "/burst REJECTED -",
        "/burst - -",
        "/page REJECTED -",
        "/dry REJECTED_DRY_RUN -",
        "/place - PASSED",
        "/place - REJECTED",
        "/place-dry - REJECTED_DRY_RUN",
        "/wait DELAYED -",
    ] {
        assert!(statuses.lines().any(|other| other == line), "{line} in {statuses}");
    }
}

#[test]
fn nginx_agrees() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let port = Port::reserve();
    scratch.write("web.conf", configuration(&port.address()));
    let _nginx = servers::nginx(&scratch, "web.conf", &port.address());
    assert_table(&port.address());
    assert_places(&port.address());
}

#[test]
fn what_a_zone_knows_lives_on_over_a_reload() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let port = Port::reserve();
    scratch.write("web.conf", configuration(&port.address()));
    let web = servers::daemun_web(&scratch, "web.conf", &port.address());
    let address = port.address();
    assert_eq!([1, 2, 3, 4].map(|_| get(&address, "/burst?key=r")), [200, 200, 200, 503]);
    let mut reads_nothing = Connection::to(&address);
    reads_nothing.send(Request::get("/big?key=r").octets());
    wait_until("the place is taken", || get(&address, "/place?key=r") == 503);
    // The same zones, and a location that tells that the new configuration is in force.
    let changed = configuration(&address).replace("location /big", "location /new { return 204; } location /big");
    scratch.write("web.conf", changed);
    web.signal(rustix::process::Signal::HUP);
    wait_until("the new configuration is in force", || get(&address, "/new") == 204);
    assert_eq!(get(&address, "/burst?key=r"), 503);
    assert_eq!(get(&address, "/place?key=r"), 503);
    drop(reads_nothing);
    wait_until("the place is free", || get(&address, "/place?key=r") == 200);
}

#[test]
fn what_is_wrong_is_said_in_nginx_words() {
    for (http, message) in [
        ("limit_req_zone $uri rate=1r/s zone=a;", "invalid zone size \"zone=a\""),
        ("limit_req_zone $uri rate=1r/s zone=a:1k;", "zone \"zone=a:1k\" is too small"),
        ("limit_req_zone $uri rate=0r/s zone=a:1m;", "invalid rate \"rate=0r/s\""),
        ("limit_req_zone $uri rate=1r/s size=1m;", "invalid parameter \"size=1m\""),
        ("limit_req zone=none;", "zero size shared memory zone \"none\""),
        ("limit_req burst=1;", "\"limit_req\" must have \"zone\" parameter"),
        ("limit_req zone=a burst=x;", "invalid burst value \"burst=x\""),
        (
            "limit_req_zone $uri zone=a:1m rate=1r/s; limit_req zone=a; limit_req zone=a;",
            "\"limit_req\" directive is duplicate",
        ),
        (
            "limit_req_zone $uri zone=a:1m rate=1r/s; limit_req_zone $host zone=a:1m rate=1r/s;",
            "limit_req_zone \"a\" is already bound to key \"$uri\"",
        ),
        (
            "limit_req_zone $uri zone=a:1m rate=1r/s; limit_conn_zone $uri zone=a:1m;",
            "the shared memory zone \"a\" is already declared for a different use",
        ),
        ("limit_conn_zone $uri zone=a:1m; limit_conn a 0;", "invalid number of connections \"0\""),
        ("limit_conn_zone $uri zone=a:1m; limit_conn a 65536;", "connection limit must be less 65536"),
        ("limit_conn_status 200;", "must be equal to or greater than 400"),
    ] {
        let scratch = Scratch::new();
        scratch.write("web.conf", format!("events {{ }} http {{ {http} server {{ }} }}"));
        let ended = servers::web(&scratch, "web.conf").arg("-t").run();
        assert!(ended.output.contains(message), "{http}: {}", ended.output);
    }
}
