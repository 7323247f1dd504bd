//! SCGI as hand-made octets.

use harness::Connection;
use harness::uwsgi_packet::get_variables;

use super::application;

fn block(variables: &[(&str, &str)]) -> Vec<u8> {
    let pairs: String = variables.iter().map(|(name, value)| format!("{name}\0{value}\0")).collect();
    format!("{}:{pairs},", pairs.len()).into_bytes()
}

#[test]
fn requests_are_answered() {
    let application = application("scgi-socket");
    let mut variables = vec![("CONTENT_LENGTH", "15"), ("SCGI", "1"), ("REQUEST_METHOD", "POST")];
    let others = get_variables("/read_input/readlines", "");
    variables.extend(others.into_iter().filter(|(name, _)| !matches!(*name, "CONTENT_LENGTH" | "REQUEST_METHOD")));
    let mut octets = block(&variables);
    octets.extend_from_slice(b"first line\nlast");
    // In one piece, and octet by octet.
    for portion in [octets.len(), 1] {
        let mut connection = Connection::to(&application.port.address());
        octets.chunks(portion).for_each(|part| connection.send(part));
        let rest = String::from_utf8(connection.rest()).expect("ASCII");
        assert!(rest.starts_with("Status: 200 OK\r\n"), "{rest}");
        assert!(rest.ends_with(r#"["first line\n", "last"]"#), "{rest}");
    }
}

#[test]
fn nonsense_is_cut_off() {
    let application = application("scgi-socket");
    let good = block(&get_variables("/hello", ""));
    for (name, octets) in [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice()),
        ("a block that is too large", b"9999999:"),
        ("no comma", b"4:A\x001\x00;"),
        ("a name without value", b"2:A\x00,"),
        ("an empty block", b"0:,"),
        ("half a block", good.get(..good.len() - 3).expect("longer")),
        ("a length that is none", &block(&[("CONTENT_LENGTH", "-1"), ("REQUEST_URI", "/hello")])),
    ] {
        let mut connection = Connection::to(&application.port.address());
        connection.try_send(octets).ok();
        connection.finish_sending();
        assert_eq!(connection.rest(), b"", "{name}");
        let mut connection = Connection::to(&application.port.address());
        connection.send(&good);
        assert!(connection.rest().starts_with(b"Status: 200 OK\r\n"), "after {name}");
    }
}
