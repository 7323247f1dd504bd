//! What `uwsgi_pass` makes of an application's answers, and of those that do not come.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use harness::{Connection, Request, Scratch, Site, Web, wait_until};

#[test]
fn an_application_that_does_not_answer_in_time_is_a_504() {
    let scratch = Scratch::new();
    let options = "processes = 1\nthreads = 2\nenv = EVENTS=SCRATCH/events";
    let site = Site::start(&scratch, "uwsgi_read_timeout 1s;", "pep3333", options);
    assert_eq!(Request::get("/hang").send(&site.address).status, 504);
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    assert!(scratch.read("error.log").contains("uwsgi_read_timeout"));
}

#[test]
fn a_body_that_is_not_passed_on_is_read_and_kept_back() {
    let scratch = Scratch::new();
    let server = "client_max_body_size 2m; uwsgi_pass_request_body off;";
    let site = Site::start(&scratch, server, "pep3333", "processes = 1");
    let mut connection = Connection::to(&site.address);
    for length in [0, 10, 100_000, 1_500_000] {
        let request = Request::post("/count_input", "text/plain", vec![b'x'; length]);
        connection.send_meanwhile(request.octets());
        assert_eq!(connection.response().text(), format!("0 {length}"), "the application reads nothing");
    }
    let large = Request::post("/count_input", "text/plain", vec![b'x'; 3_000_000]);
    connection.send_meanwhile(large.octets());
    assert_eq!(connection.response().status, 413);
}

/// An answer larger than memory and file may hold of it: the application waits for its reader, and nothing is lost.
#[test]
fn an_answer_beyond_the_limit_of_the_temporary_file_arrives_whole() {
    for (limit, most) in [("4m", 6_u64 << 20), ("0", 0)] {
        let scratch = Scratch::new();
        let server = format!("uwsgi_max_temp_file_size {limit};");
        let site = Site::start(&scratch, &server, "pep3333", "processes = 1\nenv = EVENTS=SCRATCH/events");
        let mut slow = Connection::to(&site.address);
        slow.send(Request::get("/counted/60000000/100000").octets());
        let largest = || site.process.descendants().iter().map(|process| largest_unnamed_file(process.pid)).max();
        if most > 0 {
            wait_until("the file is as large as it may be", || largest().is_some_and(|size| size >= 4 << 20));
        }
        let mut received = 0;
        while received < 20_000_000 {
            received = slow.more().len();
            assert!(largest().is_some_and(|size| size <= most), "{limit}: {:?}", largest());
            // Beside the file: the heap, what is in the hop, and the kernel's buffers on either side.
            let made = made(&scratch);
            assert!(made < received + (24 << 20), "{limit}: {made} octets made, {received} received");
        }
        let body = slow.response().body;
        assert_eq!(body.len(), 60_000_000);
        let is_piece = |(index, piece): (usize, &[u8])| piece.iter().all(|&octet| octet == (index % 256) as u8);
        assert!(body.chunks(100_000).enumerate().all(is_piece));
        assert_eq!(slow.exchange(Request::get("/hello").octets()).status, 200);
    }
}

/// Octets that the application says it has made.
fn made(scratch: &Scratch) -> usize {
    let events = scratch.read("events");
    let whole_lines = events.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole_lines.lines().last().and_then(|line| line.strip_prefix("made ")?.parse().ok()).unwrap_or(0)
}

/// Octets of the largest temporary file of a process that has no name.
fn largest_unnamed_file(pid: i32) -> u64 {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let is_temporary = |path: &std::path::Path| {
        let target = std::fs::read_link(path).unwrap_or_default();
        let target = target.to_string_lossy();
        target.contains("/temporary-") && target.ends_with("(deleted)")
    };
    let files = entries.map(|entry| entry.path()).filter(|path| is_temporary(path));
    files.filter_map(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.len()).max().unwrap_or(0)
}

/// `X-Accel-...` of an application of ours, obeyed as one of somebody else's is.
#[test]
fn orders_of_applications_are_obeyed() {
    let scratch = Scratch::new();
    scratch.write("root/inner/a b.txt", "a file that only the application may give");
    let server = "root SCRATCH/root; location /inner/ { internal; }
        location @named { return 202 \"named $request_method\"; }
        location /ignored/ { uwsgi_pass unix:SCRATCH/site.sock; include /etc/nginx/uwsgi_params;
            uwsgi_param PATH_INFO /orders; uwsgi_ignore_headers X-Accel-Redirect; }";
    let site = Site::start(&scratch, server, "pep3333", "processes = 1");
    let get = |target: &str| Request::get(target).send(&site.address);
    let redirect = "X-Accel-Redirect=/inner/a%2520b.txt&Set-Cookie=a%3D1&X-Lost=1&Content-Disposition=inline";
    let file = get(&format!("/orders?{redirect}"));
    assert_eq!((file.status, file.text().as_str()), (200, "a file that only the application may give"));
    assert_eq!((file.header("set-cookie"), file.header("content-disposition")), (Some("a=1"), Some("inline")));
    assert_eq!((file.header("x-lost"), file.header("x-accel-redirect")), (None, None));
    assert!(file.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let posted = Request::post("/orders?X-Accel-Redirect=@named", "text/x", "a body").send(&site.address);
    assert_eq!((posted.status, posted.text().starts_with("named")), (202, true));
    assert_eq!(get("/orders?X-Accel-Redirect=/inner/%252e%252e/x").status, 404);
    assert_eq!(get("/inner/a%20b.txt").status, 404);
    let ignored = get(&format!("/ignored/?{redirect}"));
    assert_eq!((ignored.text().as_str(), ignored.header("x-accel-redirect")), ("the application's own", None));
    let others =
        get("/orders?X-Accel-Buffering=no&X-Accel-Expires=1&X-Accel-Limit-Rate=1000000&X-Accel-Charset=koi8-r");
    assert_eq!(others.text(), "the application's own");
    assert!(others.headers.iter().all(|(name, _)| !name.to_ascii_lowercase().starts_with("x-accel")), "{others:?}");
}

/// More requests than there are slots: some wait, some of those give up, and every other one is answered.
#[test]
fn whoever_waits_for_a_slot_gets_one() {
    for server in ["", "uwsgi_request_buffering off;"] {
        let scratch = Scratch::new();
        let options = "processes = 2\nthreads = 8\nenv = GO=SCRATCH/go";
        let site = Site::start(&scratch, server, "pep3333", options);
        let ask = |target: &str| {
            let mut connection = Connection::to(&site.address);
            connection.send(Request::new("POST", target).header("Content-Length", "1").head());
            connection
        };
        let mut first: Vec<Connection> = (0..600).map(|_| ask("/steps")).collect();
        let leaving: Vec<Connection> = (0..100).map(|_| ask("/steps")).collect();
        let mut last: Vec<Connection> = (0..200).map(|_| ask("/hello")).collect();
        for connection in first.iter_mut().chain(&mut last) {
            connection.send("x");
        }
        drop(leaving);
        scratch.write("go", "");
        for (index, connection) in first.iter_mut().enumerate() {
            assert_eq!(connection.response().text(), "first piece\nsecond piece\n", "{index}");
        }
        for (index, connection) in last.iter_mut().enumerate() {
            assert_eq!(connection.response().status, 200, "{index}");
        }
    }
}

/// It is off the list before a slot comes free, whether or not its body is due.
#[test]
fn who_leaves_while_it_waits_for_a_slot_is_noticed() {
    let scratch = Scratch::new();
    let options = "processes = 1\nenv = EVENTS=SCRATCH/events";
    let server = "uwsgi_request_buffering off; location = /status { stub_status; }";
    let site = Site::start(&scratch, server, "pep3333", options);
    let slots = 512;
    let hanging: Vec<Connection> = (0..slots)
        .map(|_| {
            let mut connection = Connection::to(&site.address);
            connection.send(Request::get("/hang").octets());
            connection
        })
        .collect();
    wait_until("they have all slots", || {
        Request::get("/status").send(&site.address).text().contains(&format!("Writing: {}", slots + 1))
    });
    for (target, body) in [("/leaves-before", ""), ("/leaves-within", "some")] {
        let mut leaving = Connection::to(&site.address);
        let head = Request::new("POST", target).header("Content-Length", "10").head();
        leaving.send([&head[..], body.as_bytes()].concat());
        drop(leaving);
        wait_until("it is logged", || scratch.read("access.log").contains(&format!("POST {target} HTTP/1.1\" 499")));
    }
    drop(hanging);
}

/// How an upstream frames its connection is its own business, and an interim answer is none.
#[test]
fn fields_of_the_upstreams_connection_stay_there() {
    let framed = "HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: timeout=9\r\nX-Own: 1\r\n\r\nbody";
    let response = answer_with(framed);
    assert_eq!((response.status, response.text().as_str()), (200, "body"));
    assert_eq!(response.header("x-own"), Some("1"));
    assert_eq!(response.header("keep-alive"), None);
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer_with("HTTP/1.1 101 Switching Protocols\r\n\r\n").status, 502);
}

/// What an upstream says of its answer's length holds, whatever it sends: the next answer begins where it says.
#[test]
fn an_answer_is_as_long_as_its_upstream_has_said() {
    let long = answer_with("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345HTTP/1.1 200 OK\r\n\r\nsmuggled");
    assert_eq!((long.status, long.text().as_str()), (200, "12345"));
    let short = asked_of_upstream("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n12345", |connection| {
        connection.try_response().map(|response| response.text())
    });
    assert!(short.is_err(), "fewer octets than announced must not look whole: {short:?}");
}

/// What a client gets when the upstream answers with these octets.
fn answer_with(octets: &'static str) -> harness::Response {
    asked_of_upstream(octets, Connection::response)
}

/// What `read` finds on a connection whose request the upstream answers with these octets; nothing may come after it.
fn asked_of_upstream<T>(octets: &'static str, read: impl FnOnce(&mut Connection) -> T) -> T {
    let scratch = Scratch::new();
    let listener = UnixListener::bind(scratch.path("upstream.sock")).expect("a socket");
    let upstream = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let _ = stream.read(&mut [0; 65536]).expect("its packet");
        stream.write_all(octets.as_bytes()).expect("an answer");
    });
    let pass = format!("location / {{ uwsgi_pass unix:{}; }}", scratch.text_path("upstream.sock"));
    let web = Web::start(&scratch, &pass);
    let mut connection = Connection::to(&web.address);
    connection.send(Request::get("/").header("Connection", "close").octets());
    let answer = read(&mut connection);
    assert_eq!(connection.rest(), b"", "there is more than one answer");
    upstream.join().expect("the upstream is done");
    answer
}
