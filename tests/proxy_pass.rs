//! `proxy_pass`: what another server gets of a request, what the client gets of its answer, and what of one that does not come.

mod bodies;
mod orders;
mod peers;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use harness::{Backend, Beside, Connection, Port, Request, Scratch, Web};

/// What a server does with a connection once a request's head is there.
enum Then {
    /// It says this and closes.
    Say(&'static str),
    /// It says this and is silent until the connection is closed.
    Stall(&'static str),
    /// It resets the connection.
    Reset,
    /// It takes no more, and says nothing until the test is over.
    Block,
}

/// One way in which a server fails: what the client gets, what the log says, and whether another server is asked.
struct Failure {
    what: &'static str,
    then: Then,
    /// Beside `proxy_pass`.
    settings: &'static str,
    /// The client's status; 0 for an answer that is cut off.
    status: u16,
    log: &'static str,
    /// Whether the next server of the group answers, for a GET.
    is_repeated: bool,
}

const FAILURES: &[Failure] = &[
    Failure {
        what: "nothing is said",
        then: Then::Say(""),
        settings: "",
        status: 502,
        log: "upstream prematurely closed connection while reading response header from upstream",
        is_repeated: true,
    },
    Failure {
        what: "a reset",
        then: Then::Reset,
        settings: "",
        status: 502,
        log: "recv() failed (104: Connection reset by peer) while reading response header from upstream",
        is_repeated: true,
    },
    Failure {
        what: "silence before the head",
        then: Then::Stall(""),
        settings: "proxy_read_timeout 200ms;",
        status: 504,
        log: "upstream timed out (110: Connection timed out) while reading response header from upstream",
        is_repeated: true,
    },
    Failure {
        what: "silence within the head",
        then: Then::Stall("HTTP/1.1 200 OK\r\nX-"),
        settings: "proxy_read_timeout 200ms;",
        status: 504,
        log: "upstream timed out (110: Connection timed out) while reading response header from upstream",
        is_repeated: true,
    },
    Failure {
        what: "half a head",
        then: Then::Say("HTTP/1.1 200 OK\r\nX-Half"),
        settings: "",
        status: 502,
        log: "upstream prematurely closed connection while reading response header from upstream",
        is_repeated: true,
    },
    Failure {
        what: "a line that is no field",
        then: Then::Say("HTTP/1.1 200 OK\r\nno field\r\n\r\n"),
        settings: "proxy_next_upstream error invalid_header;",
        status: 502,
        log: "upstream sent invalid header",
        is_repeated: true,
    },
    Failure {
        what: "an invalid head, for which no other server is asked unless the configuration says so",
        then: Then::Say("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
        settings: "",
        status: 502,
        log: "upstream sent invalid \"Content-Length\" header",
        is_repeated: false,
    },
    Failure {
        what: "two lengths",
        then: Then::Say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        settings: "",
        status: 502,
        log: "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
        is_repeated: false,
    },
    Failure {
        what: "a head without an end",
        then: Then::Say(LONG_HEAD),
        settings: "proxy_buffer_size 1k; proxy_buffers 8 1k; proxy_busy_buffers_size 2k;",
        status: 502,
        log: "upstream sent too big header",
        is_repeated: false,
    },
    Failure {
        what: "half a body",
        then: Then::Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        settings: "",
        status: 0,
        log: "upstream prematurely closed connection while reading upstream",
        is_repeated: false,
    },
    Failure {
        what: "half a body in chunks",
        then: Then::Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf"),
        settings: "",
        status: 0,
        log: "upstream prematurely closed connection while reading upstream",
        is_repeated: false,
    },
    Failure {
        what: "chunks that are none",
        then: Then::Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n"),
        settings: "",
        status: 0,
        log: "upstream sent invalid chunked response while reading upstream",
        is_repeated: false,
    },
    Failure {
        what: "silence within the body",
        then: Then::Stall("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        settings: "proxy_read_timeout 200ms;",
        status: 0,
        log: "upstream timed out (110: Connection timed out) while reading upstream",
        is_repeated: false,
    },
    Failure {
        what: "more than was declared",
        then: Then::Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"),
        settings: "",
        status: 200,
        log: "upstream sent more data than specified in \"Content-Length\" header while reading upstream",
        is_repeated: false,
    },
    Failure {
        what: "no head at all, as in HTTP/0.9",
        then: Then::Say("plain"),
        settings: "",
        status: 200,
        log: "upstream sent no valid HTTP/1.0 header while reading response header from upstream",
        is_repeated: false,
    },
    Failure {
        what: "a status that another server is asked for",
        then: Then::Say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
        settings: "proxy_next_upstream http_503;",
        status: 503,
        log: "",
        is_repeated: true,
    },
];

const LONG_HEAD: &str = concat!(
    "HTTP/1.1 200 OK\r\nX-Long: ",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
);

/// Every failure with its status, its log line with the server's address, and whether another server is asked.
#[test]
fn each_failure_has_its_status_its_log_line_and_its_retry_rule() {
    for failure in FAILURES {
        let what = failure.what;
        let scratch = Scratch::new();
        let broken = Broken::start(&failure.then);
        let pass = format!("location / {{ proxy_pass http://{}; {} }}", broken.address, failure.settings);
        let web = Web::start(&scratch, &pass);
        let response = Request::get("/place?x").try_send(&web.address);
        match (failure.status, response) {
            (0, response) => assert!(response.is_err(), "{what}: {response:?}"),
            (status, Ok(response)) => assert_eq!(response.status, status, "{what}"),
            (_, Err(error)) => panic!("{what}: {error}"),
        }
        let log = scratch.read("error.log");
        let upstream = format!("upstream: \"http://{}/place?x\"", broken.address);
        let has_line = log.lines().any(|line| line.contains(failure.log) && line.contains(&upstream));
        assert!(failure.log.is_empty() || has_line, "{what}: {log}");
    }
}

#[test]
fn another_server_is_asked_where_the_rules_say_so() {
    for failure in FAILURES {
        for (request, may_repeat) in [(Request::get("/"), true), (Request::post("/", "text/plain", "body"), false)] {
            let what = failure.what;
            let scratch = Scratch::new();
            let (broken, well) = (Broken::start(&failure.then), Backend::start("well"));
            let group = format!(
                "upstream group {{ server {}; server {}; }}\nserver {{ listen LISTEN; location / {{ proxy_pass http://group; {} }} }}",
                broken.address,
                well.address(),
                failure.settings
            );
            let web = start(&scratch, &group);
            let response = request.try_send(&web.address);
            let is_repeated = response.is_ok_and(|response| response.text() == "well");
            assert_eq!(is_repeated, failure.is_repeated && may_repeat, "{what}, idempotent: {may_repeat}");
        }
    }
}

/// A server that takes no more of a body has its time too, and an address that is none is no server.
#[test]
fn what_fails_before_the_answer_has_its_status_and_line_too() {
    let scratch = Scratch::new();
    let stalled = Broken::start(&Then::Block);
    let pass = format!(
        "client_max_body_size 0;
        location / {{ proxy_pass http://{}; proxy_send_timeout 300ms; proxy_read_timeout 20s; }}
        location /name {{ proxy_pass http://$arg_host; }}",
        stalled.address
    );
    let web = Web::start(&scratch, &pass);
    let log = |line: &str| assert!(scratch.read("error.log").contains(line), "{line}: {}", scratch.read("error.log"));
    let large = vec![b'x'; 16 * 1024 * 1024];
    assert_eq!(Request::post("/", "text/plain", large).send(&web.address).status, 504);
    log("upstream timed out (110: Connection timed out) while sending request to upstream");
    assert_eq!(Request::get("/name?host=absent.test").send(&web.address).status, 502);
    log("no resolver defined to resolve absent.test");
    assert_eq!(Request::get("/name?host=").send(&web.address).status, 500);
    log("no host in upstream \"\"");
    let refused = |text: &str| {
        scratch.write("refused.conf", harness::servers::nginx_conf(text));
        let ended = harness::servers::web(&scratch, "refused.conf").arg("-t").run();
        ended.output
    };
    let output = refused("server { location / { proxy_pass http://absent.invalid; } }");
    assert!(output.contains("host not found in upstream \"absent.invalid\""), "{output}");
}

/// A server that takes no connection has its time too; since nothing was sent, even a POST goes to another one.
#[test]
fn a_connection_that_is_not_made_in_time_is_a_504() {
    let full = full_listener();
    let address = full.0.local_addr().expect("it is bound");
    let (scratch, well) = (Scratch::new(), Backend::start("well"));
    let http = format!(
        "proxy_connect_timeout 300ms; upstream pair {{ server {address}; server {}; }}
         server {{ listen LISTEN; location / {{ proxy_pass http://{address}; }} location /pair {{ proxy_pass http://pair; }} }}",
        well.address()
    );
    let web = start(&scratch, &http);
    assert_eq!(Request::get("/").send(&web.address).status, 504);
    let log = scratch.read("error.log");
    let line = "upstream timed out (110: Connection timed out) while connecting to upstream";
    let upstream = format!("upstream: \"http://{address}/\"");
    assert!(log.lines().any(|text| text.contains(line) && text.contains(&upstream)), "{log}");
    assert_eq!(Request::post("/pair", "text/plain", "body").send(&web.address).text(), "well");
}

/// A socket that takes no further connection: nobody accepts, and as many wait as may.
fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    rustix::net::listen(&listener, 0).expect("it listens already");
    let address = listener.local_addr().expect("it is bound");
    let limit = std::time::Duration::from_millis(200);
    let waiting: Vec<_> = std::iter::from_fn(|| TcpStream::connect_timeout(&address, limit).ok()).take(64).collect();
    assert!(waiting.len() < 64, "it never is full");
    (listener, waiting)
}

/// A connection that was not made has sent nothing: even a POST may go to another server.
#[test]
fn a_server_that_refuses_costs_no_request() {
    let scratch = Scratch::new();
    let (dead, well) = (Port::reserve(), Backend::start("well"));
    let group = format!(
        "upstream group {{ server {}; server {}; }}\nserver {{ listen LISTEN;
            location / {{ proxy_pass http://group; }}
            location /alone {{ proxy_pass http://{}; }}
            location /never {{ proxy_pass http://group; proxy_next_upstream off; }} }}",
        dead.address(),
        well.address(),
        dead.address()
    );
    let web = start(&scratch, &group);
    let post = |target: &str| Request::post(target, "text/plain", "body").send(&web.address);
    assert_eq!(post("/").text(), "well");
    assert_eq!(post("/alone").status, 502);
    let log = scratch.read("error.log");
    let line = "connect() failed (111: Connection refused) while connecting to upstream";
    assert!(log.contains(line) && log.contains(&format!("upstream: \"http://{}/alone\"", dead.address())), "{log}");
}

/// What a server gets: our own fields, the client's, and the body.
#[test]
fn requests_arrive_as_nginx_passes_them() {
    let http = "server { listen LISTEN;
        location /plain { proxy_pass http://BACKEND; proxy_http_version 1.1; proxy_set_header Connection ''; }
        location /replaced/ { proxy_pass http://BACKEND/other/; proxy_http_version 1.1; proxy_set_header Connection ''; }
        location /set { proxy_pass http://BACKEND; proxy_http_version 1.1; proxy_set_header Connection '';
            proxy_set_header Host $host:81; proxy_set_header X-Empty ''; proxy_set_header Accept-Encoding '';
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Port $proxy_port; }
        location /body { proxy_pass http://BACKEND; proxy_http_version 1.1; proxy_set_header Connection '';
            proxy_method PUT; proxy_set_body \"[$request_uri]\"; }
        location /less { proxy_pass http://BACKEND; proxy_http_version 1.1; proxy_set_header Connection '';
            proxy_pass_request_headers off; proxy_pass_request_body off; proxy_set_header Content-Length ''; }
    }";
    let backend = Backend::answering(|head| {
        let body = head.to_owned();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let beside = Beside::start(&http.replace("BACKEND", &backend.address()), |_| {});
    for target in ["/plain/a%20b?c=d", "/replaced/x%2fy?z", "/replaced/", "/set", "/body?q", "/less"] {
        beside.agreed(target, |address| {
            let request = Request::get(target)
                .header("X-Own", "1")
                .header("X-Empty", "2")
                .header("Accept-Encoding", "gzip")
                .header("X-Forwarded-For", "192.0.2.1")
                .host("example.test");
            sorted_lines(&request.send(address).text())
        });
    }
}

/// What a client has encoded ends no line of the request to the server, whatever variables it goes through.
#[test]
fn no_line_of_a_request_is_the_clients_to_end() {
    let scratch = Scratch::new();
    let backend = Backend::answering(|head| {
        let body = head.to_owned();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let pass = format!(
        "location / {{ proxy_pass http://{address}$uri; proxy_set_header X-Path $uri; }}
        location /rewritten {{ rewrite ^/rewritten(.*)$ /new$1 break; proxy_pass http://{address}; }}
        location /method {{ proxy_pass http://{address}; proxy_method $uri; }}",
        address = backend.address()
    );
    let web = Web::start(&scratch, &pass);
    for place in ["", "rewritten/", "method/"] {
        let target = format!("/{place}a%20HTTP/1.1%0d%0aX-Evil:%201%0a%0a");
        let head = Request::get(&target).send(&web.address).text();
        assert!(!head.lines().any(|line| line.starts_with("X-Evil")), "{head}");
        assert!(head.lines().next().is_some_and(|line| line.split(' ').count() == 3), "{head}");
    }
}

/// What the client gets: fields that are the server's connection's own stay there, places and cookies are rewritten.
#[test]
fn answers_arrive_as_nginx_passes_them() {
    let http = "server { listen LISTEN; absolute_redirect off;
        location / { proxy_pass http://BACKEND; }
        location /under/ { proxy_pass http://BACKEND/deep/; proxy_cookie_path /deep/ /under/;
            proxy_cookie_domain .inner.test outer.test; proxy_cookie_flags sid secure samesite=lax; }
        location /hide { proxy_pass http://BACKEND; proxy_hide_header X-Own; proxy_pass_header X-Accel-Expires; }
        location /off/ { proxy_pass http://BACKEND/deep/; proxy_redirect off; }
        location /regex { proxy_pass http://BACKEND; proxy_redirect ~^http://[^/]+/deep/(.*)$ /found/$1; }
    }";
    let backend = Backend::answering(|head| {
        let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap_or_default();
        format!(
            "HTTP/1.1 201 Made\r\nContent-Length: 2\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nX-Own: 1\r\nX-Pad: x\r\n\
             X-Accel-Expires: 5\r\nLocation: http://{host}/deep/place?x\r\nRefresh: 3; url=http://{host}/deep/next\r\n\
             Set-Cookie: sid=1; Path=/deep/a; Domain=.inner.test\r\nSet-Cookie: other=2; path=/deep/\r\n\r\nok"
        )
    });
    let beside = Beside::start(&http.replace("BACKEND", &backend.address()), |_| {});
    for target in ["/x", "/under/x", "/hide", "/off/x", "/regex"] {
        beside.agreed(target, |address| {
            let response = Request::get(target).send(address);
            let names = ["location", "refresh", "x-own", "x-pad", "x-accel-expires", "keep-alive"];
            let values = names.map(|name| response.header(name).map(str::to_owned));
            let cookies: Vec<_> = response.headers_named("set-cookie").into_iter().map(str::to_owned).collect();
            (response.status, response.text(), values, cookies)
        });
    }
}

/// As nginx: `/under` is no place of its own where `location /under/` is passed on.
#[test]
fn names_of_passed_locations_want_their_slash() {
    let http = "server { listen LISTEN; absolute_redirect off;
        location /under/ { proxy_pass http://BACKEND; }
        location /exact/ { proxy_pass http://BACKEND; }
        location = /exact { return 204; }
        location ~ a$ { return 202; }
    }";
    let backend = Backend::start("well");
    let beside = Beside::start(&http.replace("BACKEND", &backend.address()), |_| {});
    for target in ["/under", "/under?x=%20y", "/under/", "/exact", "/unde", "/under/a"] {
        beside.agreed(target, |address| {
            let response = Request::get(target).send(address);
            (response.status, response.header("location").map(str::to_owned))
        });
    }
    assert_eq!(Request::get("/under?x").send(&beside.ours).status, 301);
}

/// Fields behind a body: the configuration's, as nginx sends them, and a server's where they are passed.
#[test]
fn trailers_stand_behind_the_body() {
    let http = "server { listen LISTEN;
        location / { proxy_pass http://BACKEND; add_trailer X-Status $status; add_trailer X-Empty ''; }
        location /always { return 404; add_trailer X-No 1; add_trailer X-Yes 2 always; }
    }";
    let backend = Backend::start("well");
    let beside = Beside::start(&http.replace("BACKEND", &backend.address()), |_| {});
    for target in ["/", "/always"] {
        beside.agreed(target, |address| body_and_trailers(address, target));
    }
    assert!(body_and_trailers(&beside.ours, "/").ends_with("4\r\nwell\r\n0\r\nX-Status: 200\r\n\r\n"));

    let scratch = Scratch::new();
    let backend = Backend::answering(|_| {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Hidden: 2\r\n\r\n"
            .to_owned()
    });
    let pass = format!(
        "proxy_pass_trailers on; proxy_hide_header X-Hidden;
        location / {{ proxy_pass http://{address}; }}
        location /no {{ proxy_pass http://{address}; proxy_pass_trailers off; }}",
        address = backend.address()
    );
    let web = Web::start(&scratch, &pass);
    assert!(body_and_trailers(&web.address, "/").ends_with("2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"));
    assert!(body_and_trailers(&web.address, "/no").ends_with("2\r\nok\r\n0\r\n\r\n"));
}

/// What follows the head of an answer, as it came.
fn body_and_trailers(address: &harness::Address, target: &str) -> String {
    let mut client = Connection::to(address);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    let answer = String::from_utf8_lossy(&client.rest()).into_owned();
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    body.replace("daemun/0.1.0", "nginx/1.22.1").to_owned()
}

/// The connection is kept when all was read, and several requests go over it.
#[test]
fn connections_to_servers_are_kept() {
    let scratch = Scratch::new();
    let backend = Backend::answering(|head| {
        if head.starts_with("GET /chunked") {
            // The word is in a field of ours alone, so that the harness keeps the connection.
            return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 0\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                .to_owned();
        }
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned()
    });
    let group = format!(
        "upstream group {{ server {}; keepalive 4; }}\nserver {{ listen LISTEN; location / {{ proxy_pass http://group; }} }}",
        backend.address()
    );
    let web = start(&scratch, &group);
    let mut client = Connection::to(&web.address);
    for target in ["/", "/chunked", "/", "/chunked", "/"] {
        let response = client.exchange(Request::get(target).octets());
        assert_eq!((response.status, response.text().as_str()), (200, "ok"), "{target}");
    }
    assert_eq!(backend.connections(), 1);
}

/// A body in chunks is passed on as it comes, in chunks, when it is not read ahead.
#[test]
fn a_streamed_body_arrives_while_it_is_sent() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let listener = TcpListener::bind(port.address().to_string()).expect("the port is free");
    let (heard, hears) = mpsc::channel();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut octets = Vec::new();
        while !octets.ends_with(b"0\r\n\r\n") {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).expect("more of it");
            assert!(count > 0, "the request ended early");
            octets.extend_from_slice(&buffer[..count]);
            let _ = heard.send(String::from_utf8_lossy(&octets).into_owned());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("an answer");
    });
    let pass = format!("location / {{ proxy_pass http://{}; proxy_request_buffering off; }}", port.address());
    let web = Web::start(&scratch, &pass);
    let mut client = Connection::to(&web.address);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    let first = loop {
        let text = hears.recv().expect("the first chunk");
        if text.contains("one") {
            break text;
        }
    };
    assert!(first.contains("Transfer-Encoding: chunked"), "{first}");
    client.send("3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "ok");
    server.join().expect("the server saw all of it");
}

/// After `101` octets go both ways until one side ends.
#[test]
fn an_upgraded_connection_is_a_tunnel() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let listener = TcpListener::bind(port.address().to_string()).expect("the port is free");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut octets = [0; 4096];
        let count = stream.read(&mut octets).expect("its head");
        let head = String::from_utf8_lossy(&octets[..count]).into_owned();
        stream
            .write_all(b"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhello")
            .expect("an answer");
        while let Ok(count @ 1..) = stream.read(&mut octets) {
            stream.write_all(&octets[..count]).expect("an echo");
        }
        head
    });
    let pass = format!(
        "location / {{ proxy_pass http://{}; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}",
        port.address()
    );
    let web = Web::start(&scratch, &pass);
    let mut client = Connection::to(&web.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n");
    let until = |client: &mut Connection, end: &str| {
        while !String::from_utf8_lossy(client.more()).ends_with(end) {}
    };
    until(&mut client, "\r\n\r\nhello");
    for word in ["one", "two and more"] {
        client.send(word);
        until(&mut client, word);
    }
    drop(client);
    let head = server.join().expect("the server ends with the client");
    assert!(head.contains("Upgrade: echo\r\n"), "{head}");
}

fn sorted_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// daemun on `http`, in which `LISTEN` stands for its address.
fn start(scratch: &Scratch, http: &str) -> Started {
    let port = Port::reserve();
    scratch.write("web.conf", harness::servers::nginx_conf(&http.replace("LISTEN", &port.address().to_string())));
    let process = harness::servers::daemun_web(scratch, "web.conf", &port.address());
    Started { address: port.address(), _process: process, _port: port }
}

struct Started {
    address: harness::Address,
    _process: harness::Process,
    _port: Port,
}

/// Takes connections and nothing that is sent on them.
fn block(listener: &TcpListener) {
    let mut taken = Vec::new();
    for stream in listener.incoming() {
        taken.push(stream);
    }
}

/// A server that fails each request.
struct Broken {
    address: String,
    _port: Port,
    _serving: JoinHandle<()>,
}

impl Broken {
    fn start(then: &Then) -> Self {
        let port = Port::reserve();
        let address = port.address().to_string();
        let listener = TcpListener::bind(&address).expect("the port is free");
        let (octets, stalls, resets) = match then {
            Then::Say(octets) => (*octets, false, false),
            Then::Stall(octets) => (*octets, true, false),
            Then::Reset => ("", false, true),
            Then::Block => return Self { address, _serving: thread::spawn(move || block(&listener)), _port: port },
        };
        let serving = thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut buffer = [0; 65536];
                if resets {
                    // Closing with octets unread resets the connection.
                    let _ = stream.peek(&mut buffer);
                    continue;
                }
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(octets.as_bytes());
                if stalls {
                    while matches!(stream.read(&mut buffer), Ok(1..)) {}
                }
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Self { address, _port: port, _serving: serving }
    }
}
