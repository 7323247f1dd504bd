//! Hand-made servers: records that are none, answers that break off, complaints, the next server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use harness::fastcgi_records::{padded, record};
use harness::{Connection, Port, Request, Response, Scratch, Web, servers, wait_until};

/// A server that answers each connection with the next of `answers`, once a whole request has come.
fn server(answers: Vec<Vec<u8>>) -> (String, thread::JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let handle = thread::spawn(move || {
        let mut seen = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a request");
            seen.push(read_request(&mut stream));
            stream.write_all(&answer).ok();
        }
        seen
    });
    (address, handle)
}

/// Reads up to the empty STDIN record.
fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut buffer = [0; 65_536];
    while !octets.ends_with(&record(5, 1, b"")) {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => octets.extend_from_slice(&buffer[..count]),
        }
    }
    octets
}

fn good(body: &str) -> Vec<u8> {
    [
        record(6, 1, format!("Content-Type: text/plain\r\n\r\n{body}").as_bytes()),
        record(6, 1, b""),
        record(3, 1, &[0; 8]),
    ]
    .concat()
}

fn ask(scratch: &Scratch, address: &str, directives: &str, request: Request) -> Response {
    let web = Web::start(scratch, &format!("location / {{ fastcgi_pass {address}; {directives} }}"));
    request.send(&web.address)
}

#[test]
fn what_is_no_answer_is_a_502_and_in_the_log() {
    for (answer, log) in [
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "unsupported FastCGI protocol version: 72"),
        (record(5, 1, b"x"), "invalid FastCGI record type: 5"),
        (record(6, 2, b"x"), "unexpected FastCGI request id low byte: 2"),
        (record(6, 513, b"x"), "unexpected FastCGI request id high byte: 2"),
        (record(3, 1, &[0; 8]), "upstream sent unexpected FastCGI record: 3"),
        ([record(6, 1, b"Status: 200\r\n"), record(6, 1, b"")].concat(), "upstream prematurely closed FastCGI stdout"),
        (record(6, 1, b"no header at all\r\n\r\n"), "upstream sent invalid header"),
        (record(6, 1, b"X: y\r\n"), "upstream prematurely closed connection while reading response header"),
        (Vec::new(), "upstream prematurely closed connection while reading response header"),
    ] {
        let scratch = Scratch::new();
        let (address, handle) = server(vec![answer]);
        assert_eq!(ask(&scratch, &address, "", Request::get("/")).status, 502, "{log}");
        handle.join().expect("one request");
        let text = scratch.read("error.log");
        assert!(text.contains(log) && text.contains(&format!("upstream: \"fastcgi://{address}\"")), "{log} in {text}");
    }
}

#[test]
fn an_answer_in_many_records_is_one() {
    let head = b"Status: 201 Made\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nsome body";
    let mut answer: Vec<u8> =
        head.iter().enumerate().flat_map(|(at, octet)| padded(6, 1, &[*octet], (at % 9) as u8)).collect();
    answer.extend([record(7, 1, b"a complaint"), record(6, 1, b""), record(3, 1, &[0; 8])].concat());
    let scratch = Scratch::new();
    let (address, handle) = server(vec![answer]);
    let response = ask(&scratch, &address, "", Request::get("/"));
    assert_eq!((response.status, response.reason.as_str(), response.text().as_str()), (201, "Made", "some body"));
    handle.join().expect("one request");
    wait_until("the complaint is in the log", || {
        scratch.read("error.log").contains("FastCGI sent in stderr: \"a complaint\"")
    });
}

#[test]
fn answers_are_as_long_as_they_say() {
    let scratch = Scratch::new();
    let head = b"Content-Length: 4\r\n\r\n";
    let longer =
        [record(6, 1, head), record(6, 1, b"body and more"), record(6, 1, b""), record(3, 1, &[0; 8])].concat();
    let shorter =
        [record(6, 1, b"Content-Length: 40\r\n\r\n"), record(6, 1, b"body"), record(6, 1, b""), record(3, 1, &[0; 8])]
            .concat();
    let (address, handle) = server(vec![longer, shorter]);
    let web = Web::start(&scratch, &format!("location / {{ fastcgi_pass {address}; }}"));
    let response = Request::get("/").send(&web.address);
    assert_eq!((response.text().as_str(), response.header("content-length")), ("body", Some("4")));
    let mut connection = Connection::to(&web.address);
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(connection.try_response().is_err(), "an answer that breaks off is not made to look whole");
    handle.join().expect("two requests");
    let log = scratch.read("error.log");
    assert!(log.contains("upstream sent more data than specified in \"Content-Length\" header"), "{log}");
    assert!(log.contains("upstream prematurely closed FastCGI"), "{log}");
}

#[test]
fn connections_are_kept_where_both_sides_say_so() {
    for (directive, flag) in [("on", 1), ("off", 0)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let handle = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let first = read_request(&mut stream);
            stream.write_all(&good("one")).expect("an answer");
            let mut stream = if flag == 1 { stream } else { listener.accept().expect("another connection").0 };
            let second = read_request(&mut stream);
            stream.write_all(&good("two")).expect("an answer");
            [first, second].map(|octets| octets.get(10).copied())
        });
        let scratch = Scratch::new();
        let port = Port::reserve();
        let http = format!(
            "upstream kept {{ server {address}; keepalive 1; }}
             server {{ listen {}; location / {{ fastcgi_pass kept; fastcgi_keep_conn {directive}; }} }}",
            port.address()
        );
        scratch.write("web.conf", servers::nginx_conf(&http));
        let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
        assert_eq!(Request::get("/").send(&port.address()).text(), "one");
        assert_eq!(Request::get("/").send(&port.address()).text(), "two");
        assert_eq!(handle.join().expect("two requests"), [Some(flag); 2], "the flag of BEGIN_REQUEST");
    }
}

#[test]
fn a_caught_complaint_sends_the_request_on() {
    let spoilt = [record(7, 1, b"PHP Fatal error: all is lost"), good("never seen")].concat();
    let (first, first_handle) = server(vec![spoilt]);
    let (second, second_handle) = server(vec![good("the other")]);
    let scratch = Scratch::new();
    let port = Port::reserve();
    let http = format!(
        "upstream both {{ server {first}; server {second} backup; }}
         server {{ listen {}; location / {{
             fastcgi_pass both; fastcgi_catch_stderr \"Fatal error\"; fastcgi_next_upstream error invalid_header;
             fastcgi_param CONTENT_LENGTH $content_length;
         }} }}",
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&http));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    let mut connection = Connection::to(&port.address());
    let mut octets = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n".to_vec();
    octets.extend_from_slice(&[b'x'; 40_000]);
    assert_eq!(connection.exchange(octets).text(), "the other");
    let (first, second) = (first_handle.join().expect("a request"), second_handle.join().expect("a request"));
    assert_eq!(first, second, "the other server gets all of the request");
    assert!(second.iter().any(|octets| octets.windows(9).any(|part| part == b"xxxxxxxxx")));
}

#[test]
fn servers_come_of_variables() {
    let (address, handle) = server(vec![good("by address"), good("by name")]);
    let scratch = Scratch::new();
    let port = Port::reserve();
    let http = format!(
        "upstream named {{ server {address}; }}
         server {{ listen {}; location / {{ fastcgi_pass $arg_to; }} }}",
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&http));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    let get = |to: &str| Request::get(&format!("/?to={to}")).send(&port.address());
    assert_eq!(get(&address).text(), "by address");
    assert_eq!(get("named").text(), "by name");
    assert_eq!(get("nobody.invalid:9000").status, 502);
    assert_eq!(get("").status, 500);
    handle.join().expect("two requests");
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    for (directives, message) in [
        ("fastcgi_pass 127.0.0.1;", "no port in upstream \"127.0.0.1\""),
        ("fastcgi_pass a:1; fastcgi_pass b:1;", "\"fastcgi_pass\" directive is duplicate"),
        ("fastcgi_split_path_info ^(.*)$;", "must have 2 captures"),
        ("fastcgi_param A b c;", "invalid parameter \"c\""),
        ("fastcgi_cache x;", "\"fastcgi_cache\" zone \"x\" is unknown"),
    ] {
        let scratch = Scratch::new();
        scratch.write("web.conf", servers::nginx_conf(&format!("server {{ location / {{ {directives} }} }}")));
        let ended = servers::web(&scratch, "web.conf").arg("-t").run();
        assert!(!ended.status.success() && ended.output.contains(message), "{directives}: {}", ended.output);
    }
}
