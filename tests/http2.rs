//! HTTP/2 without TLS: what curl is answered, which frames come when, and clients that ask for too much.

use std::process::Command;

use harness::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2Connection, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, literal,
};
use harness::tls::self_signed;
use harness::{Connection, Curl, Port, Request, Scratch, Web, assert_each, servers, wait_until};
use rustix::process::Signal;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

const INITIAL_WINDOW_SIZE: u16 = 4;

/// What curl prints of an answer: head and body.
fn curl(web: &Web, target: &str, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--http2-prior-knowledge", "-s", "-i", "--max-time", "20"])
        .args(arguments)
        .arg(format!("http://{}{target}", web.address))
        .output()
        .expect("curl runs");
    assert!(output.status.success(), "curl {target}: {}", output.status);
    String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
}

#[test]
fn requests_are_those_of_every_protocol() {
    let scratch = Scratch::new();
    scratch.write("root/file.txt", "0123456789".repeat(30_000));
    scratch.write("root/index.html", "hello");
    let web = Web::start_in(
        &scratch,
        "log_format h2 '$server_protocol $request_method $http2 $connection_requests $request_body';
        server { listen unix:SCRATCH/backend.sock; client_body_early_read on; location / { return 200 '$request_method:$content_length:$http_transfer_encoding:$http_cookie'; } }
        ",
        "http2 on;
        root SCRATCH/root;
        access_log SCRATCH/h2.log h2;
        location = /variables { add_header X-Sent $sent_http_content_type; return 200 '$http2|$server_protocol|$scheme|$host|$http_cookie|$arg_a'; }
        location /proxy { proxy_pass http://unix:SCRATCH/backend.sock; }
        location /unbuffered { proxy_pass http://unix:SCRATCH/backend.sock; proxy_http_version 1.1; proxy_request_buffering off; }
        location /small { client_max_body_size 5; proxy_pass http://unix:SCRATCH/backend.sock; }
        location /trailer { add_trailer X-Behind $request_uri; return 200 body; }
        location /denied { deny all; error_page 403 = /variables; }",
    );
    assert_eq!(
        curl(&web, "/variables?a=b", &["-b", "x=y"]).split("\n\n").nth(1),
        Some("h2c|HTTP/2.0|http|127.0.0.1|x=y|b")
    );
    assert!(curl(&web, "/", &[]).ends_with("\n\nhello"));
    assert!(curl(&web, "/file.txt", &[]).ends_with(&"0123456789".repeat(30_000)));
    assert!(curl(&web, "/file.txt", &["-r", "5-7"]).ends_with("\n\n567"));
    assert!(curl(&web, "/missing", &[]).starts_with("HTTP/2 404"));
    assert!(curl(&web, "/denied", &[]).starts_with("HTTP/2 200"));
    let head = curl(&web, "/file.txt", &["-I"]);
    assert!(head.starts_with("HTTP/2 200") && head.contains("\ncontent-length: 300000\n"), "{head}");
    assert!(!head.contains("connection:") && head.contains("\nserver: daemun"), "{head}");
    let mut connection = Http2Connection::to(&web.address, &[]);
    connection.get(1, "/trailer");
    assert_eq!(connection.next_of(DATA).payload, b"body");
    let behind = connection.receive().map(|frame| (frame.kind, frame.flags));
    assert_eq!(behind, Some((HEADERS, END_STREAM | END_HEADERS)), "fields behind the body end the stream");
    for target in ["/proxy", "/unbuffered"] {
        assert!(curl(&web, target, &["-d", "12345"]).ends_with("\n\nPOST:5::"), "{target}");
        let large = "x".repeat(100_000);
        scratch.write("large", &large);
        let path = format!("@{}", scratch.path("large").display());
        assert!(curl(&web, target, &["-d", &path]).ends_with("\n\nPOST:100000::"), "{target}");
    }
    assert!(curl(&web, "/small", &["-d", "123456"]).starts_with("HTTP/2 413"));
    assert_eq!(Request::get("/").send(&web.address).text(), "hello", "HTTP/1 is spoken on the same port");
    let logged = |line| wait_until(line, || scratch.read("h2.log").contains(line));
    logged("HTTP/2.0 POST h2c 1 12345");
    logged("HTTP/1.1 GET - 1 -");
}

#[test]
fn many_requests_share_a_connection() {
    let scratch = Scratch::new();
    scratch.write("root/file.txt", "0123456789".repeat(10_000));
    let web =
        Web::start(&scratch, "http2 on; root SCRATCH/root; http2_chunk_size 4k; location /n/ { return 200 $uri; }");
    let mut connection = Http2Connection::to(&web.address, &[(INITIAL_WINDOW_SIZE, 1 << 20)]);
    connection.frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 24).to_be_bytes());
    for number in 0..100 {
        connection.get(2 * number + 1, "/file.txt");
    }
    let mut octets = vec![0; 100];
    let mut ended = 0;
    while ended < 100 {
        let frame = connection.receive().expect("an answer");
        if frame.kind != DATA {
            continue;
        }
        assert!(frame.payload.len() <= 4_096);
        octets[(frame.stream / 2) as usize] += frame.payload.len();
        ended += usize::from(frame.flags & END_STREAM != 0);
    }
    assert!(octets.iter().all(|octets| *octets == 100_000), "{octets:?}");
    connection.get(201, "/n/last");
    assert_eq!(connection.answer(201), (200, vec![b"/n/last".to_vec()]));
}

#[test]
fn no_octet_leaves_that_the_client_does_not_take() {
    let scratch = Scratch::new();
    scratch.write("root/file.txt", "0123456789".repeat(10_000));
    let web = Web::start(&scratch, "http2 on; root SCRATCH/root; location /n { return 200 n; }");
    let mut connection = Http2Connection::to(&web.address, &[(INITIAL_WINDOW_SIZE, 10)]);
    connection.get(1, "/file.txt");
    assert_eq!(connection.next_of(HEADERS).status(), 200);
    assert_eq!(connection.next_of(DATA).payload, b"0123456789");
    // The connection lives on meanwhile, and other streams have windows of their own.
    connection.frame(PING, 0, 0, b"octets!!");
    assert_eq!(connection.receive().map(|frame| (frame.kind, frame.payload)), Some((PING, b"octets!!".to_vec())));
    connection.get(3, "/n");
    assert_eq!(connection.answer(3), (200, vec![b"n".to_vec()]));
    connection.frame(WINDOW_UPDATE, 0, 1, &5_u32.to_be_bytes());
    assert_eq!(connection.next_of(DATA).payload, b"01234");
    // A window may be made smaller than nothing.
    connection.frame(SETTINGS, 0, 0, &[&[0, 4][..], &0_u32.to_be_bytes()].concat());
    connection.frame(WINDOW_UPDATE, 0, 1, &10_u32.to_be_bytes());
    connection.frame(PING, 0, 0, b"nothing.");
    assert_eq!(connection.next_of(PING).payload, b"nothing.");
    connection.frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
    assert_eq!(connection.next_of(DATA).payload, b"5");
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let scratch = Scratch::new();
    scratch.write("root/file.txt", "0123456789".repeat(10_000));
    let web = Web::start(&scratch, "http2 on; root SCRATCH/root; send_timeout 100ms; location /n { return 200 n; }");
    let mut connection = Http2Connection::to(&web.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    connection.get(1, "/file.txt");
    let reset = connection.next_of(RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, PROTOCOL_ERROR));
    connection.frame(SETTINGS, 0, 0, &[&[0, 4][..], &9_u32.to_be_bytes()].concat());
    connection.get(3, "/n");
    assert_eq!(connection.answer(3), (200, vec![b"n".to_vec()]));
    wait_until("the log tells", || scratch.read("error.log").contains("sending to client failed"));
}

#[test]
fn malformed_requests_are_answered_and_their_streams_reset() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "http2 on; location / { return 200 ok; }");
    let mut connection = Http2Connection::to(&web.address, &[]);
    let mut stream = 1;
    for field in [
        ("Upper", "case"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("host", "other.test"),
        ("content-length", "x"),
        ("content-length", "5"),
        (":path", "/late"),
        ("x", "a\r\nb: c"),
    ] {
        let block = block("GET", "/", &[("x-first", "1"), field]);
        connection.frame(HEADERS, END_STREAM | END_HEADERS, stream, &block);
        assert_eq!(connection.answer(stream).0, 400, "{field:?}");
        assert_eq!(connection.next_of(RST_STREAM).code(), PROTOCOL_ERROR, "{field:?}");
        stream += 2;
    }
    connection.get(stream, "/");
    assert_eq!(connection.answer(stream), (200, vec![b"ok".to_vec()]), "the connection is as good as before");
}

#[test]
fn bodies_are_as_long_as_announced() {
    let scratch = Scratch::new();
    let web = Web::start_in(
        &scratch,
        "server { listen unix:SCRATCH/backend.sock; location / { return 204; } }\n",
        "http2 on; location / { proxy_pass http://unix:SCRATCH/backend.sock; }",
    );
    let mut connection = Http2Connection::to(&web.address, &[]);
    for (stream, body, status) in [(1, "123", 204), (3, "1234", 400), (5, "12", 400)] {
        connection.frame(HEADERS, END_HEADERS, stream, &block("PUT", "/", &[("content-length", "3")]));
        connection.frame(DATA, 0, stream, b"");
        connection.frame(DATA, END_STREAM, stream, body.as_bytes());
        assert_eq!(connection.answer(stream).0, status, "{body}");
    }
    // Fields behind a body end it; what else they say is nobody's business.
    connection.frame(HEADERS, END_HEADERS, 7, &block("PUT", "/", &[]));
    connection.frame(DATA, 0, 7, b"body");
    connection.frame(HEADERS, END_STREAM | END_HEADERS, 7, &literal("x-behind", "1"));
    assert_eq!(connection.answer(7).0, 204);
}

/// What is sent behind the preface, and the code of GOAWAY that it earns.
type Offence = (Vec<u8>, u32);

#[test]
fn frames_that_break_the_protocol_end_the_connection() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "http2 on; location / { return 200 ok; }");
    let get = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block("GET", "/", &[]));
    let behind_get = |octets: Vec<u8>| [get.clone(), octets].concat();
    let cases: Vec<(&str, Offence)> = vec![
        ("DATA on the connection", (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR)),
        ("DATA on an idle stream", (frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR)),
        ("HEADERS with an even number", (frame(HEADERS, 5, 2, &block("GET", "/", &[])), PROTOCOL_ERROR)),
        ("HEADERS with an old number", (behind_get(get.clone()), PROTOCOL_ERROR)),
        ("HEADERS without a block", (frame(HEADERS, 5, 1, b""), FRAME_SIZE_ERROR)),
        ("HEADERS with too much padding", (frame(HEADERS, 13, 1, &[2, 0]), PROTOCOL_ERROR)),
        ("a block that cannot be read", (frame(HEADERS, 5, 1, &[0x80]), COMPRESSION_ERROR)),
        (
            "a frame within a block",
            ([frame(HEADERS, 1, 1, &[0x82]), frame(PING, 0, 0, &[0; 8])].concat(), PROTOCOL_ERROR),
        ),
        (
            "a block that goes on elsewhere",
            ([frame(HEADERS, 1, 1, &[0x82]), frame(CONTINUATION, 4, 3, &[0x84])].concat(), PROTOCOL_ERROR),
        ),
        ("CONTINUATION of nothing", (frame(CONTINUATION, 4, 1, &[0x82]), PROTOCOL_ERROR)),
        ("PUSH_PROMISE", (frame(5, 4, 1, &[0; 4]), PROTOCOL_ERROR)),
        ("PRIORITY of itself", (frame(2, 0, 1, &[0, 0, 0, 1, 0]), PROTOCOL_ERROR)),
        ("PRIORITY of another length", (frame(2, 0, 1, &[0; 4]), FRAME_SIZE_ERROR)),
        ("RST_STREAM of an idle stream", (frame(RST_STREAM, 0, 1, &[0; 4]), PROTOCOL_ERROR)),
        ("SETTINGS of a stream", (frame(SETTINGS, 0, 1, b""), PROTOCOL_ERROR)),
        ("SETTINGS of an odd length", (frame(SETTINGS, 0, 0, &[0; 5]), FRAME_SIZE_ERROR)),
        ("SETTINGS with a window too large", (frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), FLOW_CONTROL_ERROR)),
        ("SETTINGS with frames too small", (frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]), PROTOCOL_ERROR)),
        ("PING of another length", (frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR)),
        ("WINDOW_UPDATE by nothing", (frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL_ERROR)),
        ("WINDOW_UPDATE by too much", (frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), FLOW_CONTROL_ERROR)),
        ("a frame that is too large", (vec![0x10, 0, 1, 0, 0, 0, 0, 0, 1], FRAME_SIZE_ERROR)),
        ("GOAWAY of a stream", (frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL_ERROR)),
    ];
    assert_each(&cases, |(what, (octets, code))| {
        let mut connection = Http2Connection::to(&web.address, &[]);
        connection.0.send(octets);
        let told = connection.next_of(GOAWAY).code();
        connection.0.finish_sending();
        while connection.receive().is_some() {}
        (told != *code).then(|| format!("{what}: {told} where {code} is due"))
    });
    let mut connection = Http2Connection::to(&web.address, &[]);
    connection.get(1, "/");
    assert_eq!(connection.answer(1).0, 200);
    connection.frame(DATA, END_STREAM, 1, b"late");
    assert_eq!(connection.next_of(RST_STREAM).code(), STREAM_CLOSED);
    connection.frame(99, 0, 3, b"a type nobody knows");
    connection.get(3, "/");
    assert_eq!(connection.answer(3).0, 200);
}

#[test]
fn floods_are_bounded_and_logged() {
    let scratch = Scratch::new();
    let web = Web::start_in(
        &scratch,
        "server { listen unix:SCRATCH/silent.sock; location / { limit_rate 1; return 200 'never all of it'; } }\n",
        "http2 on; location / { return 200 ok; } location /slow { proxy_pass http://unix:SCRATCH/silent.sock; }",
    );
    let get = |stream: u32| frame(HEADERS, END_STREAM | END_HEADERS, stream, &block("GET", "/slow", &[]));
    let reset = |stream: u32| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let insert = [&[0x40][..], &literal("x", &"v".repeat(4_000))[1..]].concat();
    let bomb = [block("GET", "/", &[]), insert, vec![0xbe; 60]].concat();
    let one = |kind, flags, stream, payload: &[u8]| frame(kind, flags, stream, payload);
    let cases: Vec<(&str, (Vec<u8>, &str))> = vec![
        (
            "rapid reset",
            ((0..500_u32).flat_map(|at| [get(2 * at + 1), reset(2 * at + 1)].concat()).collect(), "given up"),
        ),
        ("pings", (one(PING, 0, 0, &[0; 8]).repeat(6_000), "no request")),
        ("settings", (one(SETTINGS, 0, 0, &[]).repeat(6_000), "no request")),
        (
            "empty frames of data",
            (
                [one(HEADERS, END_HEADERS, 1, &block("PUT", "/slow", &[])), one(DATA, 0, 1, b"").repeat(6_000)]
                    .concat(),
                "no request",
            ),
        ),
        ("frames of no known type", (one(77, 0, 0, b"").repeat(6_000), "no request")),
        ("priorities", (one(2, 0, 1, &[0, 0, 0, 3, 0]).repeat(200), "too many PRIORITY")),
        (
            "empty continuations",
            ([one(HEADERS, 0, 1, &[0x82]), one(CONTINUATION, 0, 1, &[]).repeat(20)].concat(), "empty CONTINUATION"),
        ),
        (
            "endless continuations",
            (
                [one(HEADERS, 0, 1, &[0x82]), one(CONTINUATION, 0, 1, &literal("x", &"y".repeat(8_000))).repeat(20)]
                    .concat(),
                "too large header",
            ),
        ),
        ("a bomb", (one(HEADERS, END_STREAM | END_HEADERS, 1, &bomb), "too large header")),
        (
            "a field that is too long",
            (
                one(HEADERS, END_STREAM | END_HEADERS, 1, &block("GET", "/", &[("x", &"y".repeat(9_000))])),
                "too large header field",
            ),
        ),
    ];
    assert_each(&cases, |(what, (octets, text))| {
        let mut connection = Http2Connection::to(&web.address, &[]);
        connection.0.send_meanwhile(octets.clone());
        let told = connection.next_of(GOAWAY).code();
        wait_until(what, || scratch.read("error.log").contains(text));
        (told != ENHANCE_YOUR_CALM).then(|| format!("{what}: {told}"))
    });
    assert_eq!(Request::get("/").send(&web.address).text(), "ok");
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let scratch = Scratch::new();
    let web = Web::start_in(
        &scratch,
        "server { listen unix:SCRATCH/slow.sock; location / { limit_rate 1; return 200 slow; } }\n",
        "http2 on; http2_max_concurrent_streams 2; location / { return 200 ok; }
        location /slow { proxy_pass http://unix:SCRATCH/slow.sock; }",
    );
    let mut connection = Http2Connection::to(&web.address, &[]);
    connection.get(1, "/slow");
    connection.get(3, "/slow");
    connection.get(5, "/");
    let refused = connection.next_of(RST_STREAM);
    assert_eq!((refused.stream, refused.code()), (5, REFUSED_STREAM));
    connection.frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    connection.get(7, "/");
    assert_eq!(connection.answer(7).0, 200);
    wait_until("the log tells", || scratch.read("error.log").contains("concurrent streams exceeded 2"));
    wait_until("the request given up is logged", || scratch.read("access.log").contains("\" 499 "));
}

#[test]
fn whoever_is_to_go_is_told() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "http2 on; keepalive_requests 2; location / { return 200 ok; }");
    let mut connection = Http2Connection::to(&web.address, &[]);
    connection.get(1, "/");
    assert_eq!(connection.answer(1).0, 200);
    connection.get(3, "/");
    let goaway = connection.next_of(GOAWAY);
    assert_eq!((goaway.code(), &goaway.payload[..4]), (0, &3_u32.to_be_bytes()[..]));
    assert_eq!(connection.answer(3).0, 200);
    connection.0.finish_sending();
    while connection.receive().is_some() {}

    let mut connections = [Http2Connection::to(&web.address, &[]), Http2Connection::to(&web.address, &[])];
    for connection in &mut connections {
        connection.get(1, "/");
        assert_eq!(connection.answer(1).0, 200);
    }
    web.process.signal(Signal::HUP);
    for connection in &mut connections {
        assert_eq!(connection.next_of(GOAWAY).code(), 0, "the settings of its beginning are no more");
    }
    let mut late = Http2Connection::to(&web.address, &[]);
    late.get(1, "/");
    assert_eq!(late.answer(1).0, 200);
    web.process.signal(Signal::QUIT);
    assert_eq!(late.next_of(GOAWAY).code(), 0);
    late.0.finish_sending();
    while late.receive().is_some() {}
}

#[test]
fn a_websocket_is_opened_by_connect() {
    let scratch = Scratch::new();
    let backend = std::os::unix::net::UnixListener::bind(scratch.path("backend.sock")).expect("a socket");
    let web = Web::start(
        &scratch,
        "http2 on; location / { proxy_pass http://unix:SCRATCH/backend.sock; proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }",
    );
    let mut connection = Http2Connection::to(&web.address, &[]);
    let fields = [literal(":protocol", "websocket"), block("CONNECT", "/chat", &[("sec-websocket-version", "13")])];
    connection.frame(HEADERS, END_HEADERS, 1, &fields.concat());
    let (server, _) = backend.accept().expect("the proxy connects");
    let mut server = std::io::BufReader::new(server);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        std::io::BufRead::read_line(&mut server, &mut head).expect("a line");
    }
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Upgrade: websocket\r\n") && head.contains("sec-websocket-key: "), "{head}");
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nfrom the server";
    std::io::Write::write_all(server.get_mut(), answer).expect("sent");
    assert_eq!(connection.next_of(HEADERS).status(), 200);
    assert_eq!(connection.next_of(DATA).payload, b"from the server");
    connection.frame(DATA, 0, 1, b"from the client");
    let mut octets = [0; 15];
    std::io::Read::read_exact(&mut server, &mut octets).expect("octets");
    assert_eq!(&octets, b"from the client");
    drop(server);
    let end = connection.next_of(DATA);
    assert_eq!((end.payload.len(), end.flags & END_STREAM), (0, END_STREAM));
}

#[test]
fn it_is_chosen_in_the_handshake() {
    let scratch = Scratch::new();
    self_signed(&scratch, "one.test");
    let port = Port::reserve();
    let conf = format!(
        "ssl_certificate one.test.crt; ssl_certificate_key one.test.key;
        server {{ listen {0} ssl; http2 on;
        location / {{ return 200 '$http2|$server_protocol|$scheme|$ssl_server_name'; }}
        location /files/ {{ alias SCRATCH/; }} }}
        server {{ listen {0} ssl; server_name two.test; location / {{ return 200 'never by HTTP/2'; }} }}",
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&conf));
    scratch.write("large", "0123456789".repeat(200_000));
    let _process = servers::daemun_web(&scratch, "web.conf", &port.address());
    let ask = |name: &str, target: &str| Curl::new(&port.address(), name, target);
    assert_eq!(ask("one.test", "/").arg("--http2").text(), "h2|HTTP/2.0|https|one.test");
    assert_eq!(ask("one.test", "/").arg("--http1.1").text(), "|HTTP/1.1|https|one.test");
    assert_eq!(ask("one.test", "/files/large").arg("--http2").text(), "0123456789".repeat(200_000));
    assert_eq!(ask("two.test", "/").arg("--http2").text(), "never by HTTP/2", "it is not offered there");
}

#[test]
fn answers_before_the_answer() {
    let scratch = Scratch::new();
    let backend = std::os::unix::net::UnixListener::bind(scratch.path("backend.sock")).expect("a socket");
    let web = Web::start(
        &scratch,
        "http2 on; location / { proxy_pass http://unix:SCRATCH/backend.sock; early_hints 1; }
        location /continue { client_body_in_file_only on; proxy_pass http://unix:SCRATCH/backend.sock; }",
    );
    let mut connection = Http2Connection::to(&web.address, &[]);
    connection.get(1, "/");
    let (mut server, _) = backend.accept().expect("the proxy connects");
    let answers = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    std::io::Write::write_all(&mut server, answers).expect("sent");
    assert_eq!(connection.next_of(HEADERS).flags, END_HEADERS, "hints end nothing");
    assert_eq!(connection.answer(1), (200, Vec::new()));

    let expects = [("expect", "100-continue"), ("content-length", "4")];
    connection.frame(HEADERS, END_HEADERS, 3, &block("PUT", "/continue", &expects));
    assert_eq!(connection.next_of(HEADERS).flags, END_HEADERS, "100 Continue");
    connection.frame(DATA, END_STREAM, 3, b"body");
    let (mut server, _) = backend.accept().expect("the proxy connects");
    std::io::Write::write_all(&mut server, b"HTTP/1.1 204 No Content\r\n\r\n").expect("sent");
    assert_eq!(connection.answer(3), (204, Vec::new()));
}

#[test]
fn without_the_directive_it_is_no_protocol() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, "location / { return 200 ok; }");
    let mut connection = Connection::to(&web.address);
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let answer = connection.rest();
    assert!(answer.starts_with(b"HTTP/1.1 ") && !answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
}
