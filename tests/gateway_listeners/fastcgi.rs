//! FastCGI as hand-made records.

use std::time::Duration;

use harness::fastcgi_records::{answer, begin, padded, pairs, record, request};
use harness::uwsgi_packet::get_variables;
use harness::{Connection, Port, Request, Scratch, Web};

use super::application;

#[test]
fn a_connection_carries_requests_one_after_the_other() {
    let application = application("fastcgi-socket");
    let mut connection = Connection::to(&application.port.address());
    for id in [1, 1, 7, 65_535] {
        connection.send(request(id, true, &get_variables("/hello", ""), b""));
        let answer = answer(&mut connection, id);
        let (head, body) = answer.parts();
        assert!(head.starts_with("Status: 200 OK\r\n"), "{head}");
        assert!(body.starts_with(b"hello from "));
        assert_eq!((answer.protocol_status, answer.others.len()), (0, 0));
    }
    // Two sent at once are answered in turn, where each is complete.
    let mut both = request(3, true, &get_variables("/hello", ""), b"");
    both.extend(request(4, false, &get_variables("/big/70000/70000", ""), b""));
    connection.send(both);
    answer(&mut connection, 3);
    assert_eq!(answer(&mut connection, 4).parts().1.len(), 70_000);
    assert_eq!(connection.rest(), b"", "closed where the web server does not keep it");
}

#[test]
fn requests_at_once_are_refused_and_harm_nobody() {
    let application = application("fastcgi-socket");
    let mut connection = Connection::to(&application.port.address());
    let body = b"first line\nlast";
    let mut variables = get_variables("/read_input/readlines", "");
    variables.retain(|(name, _)| !matches!(*name, "REQUEST_METHOD" | "CONTENT_LENGTH"));
    variables.extend([("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", "15")]);
    connection.send(begin(1, true));
    connection.send(record(4, 1, &pairs(&variables)));
    connection.send(begin(2, true));
    connection.send(record(4, 1, b""));
    connection.send(padded(5, 1, &body[..6], 200));
    connection.send(record(4, 2, &pairs(&get_variables("/hello", ""))));
    connection.send(padded(5, 1, &body[6..], 1));
    connection.send(record(5, 1, b""));
    let first = answer(&mut connection, 1);
    assert_eq!(first.parts().1, br#"["first line\n", "last"]"#);
    assert_eq!(first.others, [(3, 2, vec![0, 0, 0, 0, 1, 0, 0, 0])], "FCGI_CANT_MPX_CONN");
    connection.send(request(2, true, &get_variables("/hello", ""), b""));
    assert!(answer(&mut connection, 2).parts().1.starts_with(b"hello from "));
}

#[test]
fn what_a_web_server_asks_is_answered() {
    let application = application("fastcgi-socket");
    let mut connection = Connection::to(&application.port.address());
    connection.send(record(9, 0, &pairs(&[("FCGI_MPXS_CONNS", ""), ("FCGI_OTHER", "")])));
    connection.send(record(42, 0, b""));
    connection.send(request(1, false, &get_variables("/hello", ""), b""));
    let answer = answer(&mut connection, 1);
    let values = (10, 0, pairs(&[("FCGI_MPXS_CONNS", "0")]));
    assert_eq!(answer.others, [values, (11, 0, vec![42, 0, 0, 0, 0, 0, 0, 0])]);
}

/// Without a length, the stream's own end is the body's; and what is longer than announced is not the application's.
#[test]
fn bodies_end_where_their_stream_does() {
    let application = application("fastcgi-socket");
    for (length, expected) in [("", "20 20"), ("20", "20 20"), ("5", "5 5")] {
        let mut connection = Connection::to(&application.port.address());
        let mut variables = get_variables("/count_input", "");
        variables.retain(|(name, _)| !matches!(*name, "REQUEST_METHOD" | "CONTENT_LENGTH"));
        variables.extend([("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", length)]);
        connection.send(request(1, true, &variables, &[b'x'; 20]));
        let body = String::from_utf8(answer(&mut connection, 1).parts().1).expect("ASCII");
        assert!(body == expected || length.is_empty() && body.starts_with("20 "), "{length}: {body}");
    }
    let mut connection = Connection::to(&application.port.address());
    let mut variables = get_variables("/count_input", "");
    variables.retain(|(name, _)| *name != "CONTENT_LENGTH");
    variables.push(("CONTENT_LENGTH", "30"));
    connection.send(request(1, true, &variables, &[b'x'; 20]));
    assert_eq!(connection.rest(), b"", "a body shorter than announced is answered by nobody");
}

#[test]
fn nonsense_is_cut_off() {
    let application = application("fastcgi-socket");
    let address = application.port.address();
    let mut early = begin(1, false);
    early.extend(record(5, 1, b"body before the variables"));
    let mut endless = begin(1, false);
    for _ in 0..3 {
        endless.extend(record(4, 1, &[0; 60_000]));
    }
    let mut outside = begin(1, false);
    outside.extend(record(4, 1, &[200, 200, 200, 200, 1, b'x']));
    outside.extend(record(4, 1, b""));
    for (name, octets) in [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a body before its variables", early),
        ("variables without an end", endless),
        ("a length that points outside", outside),
        ("no variables", request(1, false, &[], b"")),
        ("a request id of zero", begin(0, false)),
        ("half a record", record(4, 1, b"abc").into_iter().take(9).collect()),
    ] {
        let mut connection = Connection::to(&address);
        connection.try_send(&octets).ok();
        connection.finish_sending();
        assert_eq!(connection.rest(), b"", "{name}");
        let mut good = Connection::to(&address);
        good.send(request(1, false, &get_variables("/hello", ""), b""));
        assert!(answer(&mut good, 1).parts().1.starts_with(b"hello from "), "after {name}");
    }
    assert!(application.scratch.read("daemun.out").contains("invalid fastcgi request"), "it is in the log");
}

/// A web server may give a request up, and take the connection for the next.
#[test]
fn aborted_requests_leave_the_connection() {
    let application = application("fastcgi-socket");
    let mut connection = Connection::to(&application.port.address());
    connection.send(begin(1, true));
    connection.send(record(4, 1, &pairs(&get_variables("/hello", ""))));
    connection.send(record(2, 1, b""));
    connection.send(request(2, true, &get_variables("/hello", ""), b""));
    assert!(answer(&mut connection, 2).parts().1.starts_with(b"hello from "));
}

#[test]
fn a_kept_connection_may_wait() {
    let application = application("fastcgi-socket");
    let mut connection = Connection::to(&application.port.address());
    connection.send(request(1, true, &get_variables("/hello", ""), b""));
    answer(&mut connection, 1);
    assert!(connection.stays_open(Duration::from_millis(200)));
    connection.send(request(1, true, &get_variables("/hello", ""), b""));
    answer(&mut connection, 1);
}

#[test]
fn one_address_speaks_one_protocol() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let address = port.address();
    let http = format!("server {{ listen {address} fastcgi; }} server {{ listen {address} scgi; server_name b; }}");
    scratch.write("web.conf", harness::servers::nginx_conf(&http));
    let ended = harness::servers::web(&scratch, "web.conf").arg("-t").run();
    assert!(
        !ended.status.success() && ended.output.contains("speaks fastcgi and cannot speak scgi too"),
        "{}",
        ended.output
    );
    let both = format!("server {{ listen {address} fastcgi scgi; }}");
    scratch.write("web.conf", harness::servers::nginx_conf(&both));
    assert!(!harness::servers::web(&scratch, "web.conf").arg("-t").run().status.success());
    // And HTTP is what is spoken where nothing is said.
    let web = Web::start(&scratch, "return 200 http;");
    assert_eq!(Request::get("/").send(&web.address).text(), "http");
}
