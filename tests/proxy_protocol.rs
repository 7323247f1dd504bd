//! `listen ... proxy_protocol`: who the client is by a proxy's header, versions 1 and 2, and what is no such header.

use harness::{Address, Beside, Connection, Port, Request, Scratch, servers, wait_until};

const SHOWN: &str =
    r#""$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port""#;

/// What is answered by a file would be real_ip's; `return` shows the header itself.
const HTTP: &str = r#"
    server {
        listen LISTEN proxy_protocol;
        server_name shown;
        location / { return 200 SHOWN; }
    }
    server {
        listen LISTEN;
        server_name real;
        set_real_ip_from 127.0.0.0/8;
        real_ip_header proxy_protocol;
        location / { try_files /absent @shown; }
        location @shown { return 200 "$remote_addr:$remote_port"; }
        location /denied { deny 192.0.2.1; try_files /absent @shown; }
    }
"#;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn version_2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[command, family], &length, content].concat()
}

fn inet() -> Vec<u8> {
    vec![192, 0, 2, 1, 192, 0, 2, 2, 0, 123, 22, 46]
}

fn inet6() -> Vec<u8> {
    let address = |last| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    [&address(1)[..], &address(2), &[0, 123, 22, 46]].concat()
}

/// A header, and what both servers make of it: the body, or nothing where the connection is closed.
fn table() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let with_tlv = [inet(), vec![1, 0, 2, b'h', b'2']].concat();
    let line = |text: &str| format!("{text}\r\n").into_bytes();
    vec![
        (line("PROXY TCP4 192.0.2.1 192.0.2.2 123 5678"), Some("192.0.2.1 123 192.0.2.2 5678")),
        (line("PROXY TCP4 192.0.2.1 192.0.2.2 0 5678"), Some("192.0.2.1  192.0.2.2 5678")),
        (line("PROXY TCP6 2001:Db8::1 2001:Db8::2 123 5678"), Some("2001:Db8::1 123 2001:Db8::2 5678")),
        (line("PROXY UNKNOWN"), Some("   ")),
        (line("PROXY UNKNOWN what ever"), Some("   ")),
        (version_2(0x21, 0x11, &inet()), Some("192.0.2.1 123 192.0.2.2 5678")),
        (version_2(0x21, 0x21, &inet6()), Some("2001:db8::1 123 2001:db8::2 5678")),
        (version_2(0x21, 0x11, &with_tlv), Some("192.0.2.1 123 192.0.2.2 5678")),
        (version_2(0x20, 0, &[]), Some("   ")),
        (version_2(0x21, 0x31, &[0; 216]), Some("   ")),
        (version_2(0x21, 0x12, &inet()), Some("   ")),
        (Vec::new(), None),
        (line("PROXY TCP4 192.0.2.1 192.0.2.2 123"), None),
        (line("PROXY TCP4 192.0.2.1 192.0.2.2 123 65536"), None),
        (line("PROXY TCP4 192.0.2.1 192.0.2.g 123 5678"), None),
        (line("PROXY TCP5 192.0.2.1 192.0.2.2 123 5678"), None),
        (line("PROXY"), None),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\n".to_vec(), None),
        (version_2(0x31, 0x11, &inet()), None),
        (version_2(0x21, 0x11, &inet()[..11]), None),
        (version_2(0x21, 0x21, &inet()), None),
    ]
}

/// The body that a request for `host` gets behind `header`; nothing where the connection is closed without a word.
fn behind(header: &[u8], host: &str, target: &str, address: &Address) -> Option<String> {
    let mut connection = Connection::to(address);
    connection.send([header, &Request::get(target).host(host).octets()].concat());
    let answer = connection.try_response().ok()?;
    Some(if answer.status == 200 { answer.text() } else { answer.status.to_string() })
}

#[test]
fn nginx_agrees() {
    let servers = Beside::start(&HTTP.replace("SHOWN", SHOWN), |_| {});
    for (header, expected) in table() {
        let shown = header.escape_ascii().to_string();
        let seen = servers.agreed(&shown, |address| behind(&header, "shown", "/", address));
        assert_eq!(seen.as_deref(), expected, "{shown}");
    }
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\n";
    for (target, header, expected) in [
        ("/", &header[..], "192.0.2.1:123"),
        ("/denied", header, "403"),
        ("/denied", b"PROXY TCP4 192.0.2.3 192.0.2.2 123 5678\r\n", "192.0.2.3:123"),
    ] {
        let seen = servers.agreed(target, |address| behind(header, "real", target, address));
        assert_eq!(seen.as_deref(), Some(expected), "{target}");
    }
    let unknown = servers.agreed("no address", |address| {
        behind(b"PROXY UNKNOWN\r\n", "real", "/", address).and_then(|text| Some(text.split_once(':')?.0.to_owned()))
    });
    assert_eq!(unknown.as_deref(), Some("127.0.0.1"));
}

/// `daemun web` alone, with `server` beside `listen`.
fn alone(scratch: &Scratch, server: &str) -> (harness::Process, Port) {
    let port = Port::reserve();
    let text = format!("server {{ listen {} proxy_protocol; {server} }}", port.address());
    scratch.write("web.conf", servers::nginx_conf(&text));
    (servers::daemun_web(scratch, "web.conf", &port.address()), port)
}

/// nginx takes what one read gives; a header may well come in pieces.
#[test]
fn a_header_may_come_octet_by_octet() {
    let scratch = Scratch::new();
    let (_web, port) = alone(&scratch, &format!("return 200 {SHOWN};"));
    for header in [b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\n".to_vec(), version_2(0x21, 0x11, &inet())] {
        let mut connection = Connection::to(&port.address());
        for octet in header {
            connection.send([octet]);
        }
        let request = Request::get("/").octets();
        assert_eq!(connection.exchange(&request).text(), "192.0.2.1 123 192.0.2.2 5678");
        // The header holds for all requests of the connection, and stands before the first alone.
        assert_eq!(connection.exchange(&request).text(), "192.0.2.1 123 192.0.2.2 5678");
    }
}

#[test]
fn what_nginx_would_take_for_an_address_is_none() {
    let scratch = Scratch::new();
    let (_web, port) = alone(&scratch, "return 200 taken;");
    for text in ["TCP4 1:2 3:4 1 2", "TCP4 2001:db8::1 2001:db8::2 1 2", "TCP6 192.0.2.1 192.0.2.2 1 2", "TCP4 . . 1 2"]
    {
        let header = format!("PROXY {text}\r\n");
        assert_eq!(behind(header.as_bytes(), "any", "/", &port.address()), None, "{text}");
    }
    let endless = b"PROXY UNKNOWN ".iter().copied().chain(std::iter::repeat_n(b'x', 10_000)).collect::<Vec<_>>();
    assert_eq!(behind(&endless, "any", "/", &port.address()), None);
    assert_eq!(behind(&version_2(0x21, 0x11, &[0; 60_000]), "any", "/", &port.address()), None);
    wait_until("the log says why", || {
        scratch.read("error.log").contains("header is too large while reading PROXY protocol")
    });
    assert!(
        scratch.read("error.log").contains("broken header: \"PROXY TCP4 1:2 3:4 1 2\" while reading PROXY protocol")
    );
}

#[test]
fn a_header_must_come_in_time() {
    let scratch = Scratch::new();
    let (_web, port) = alone(&scratch, "client_header_timeout 200ms; return 200 taken;");
    for begun in [&b""[..], b"PROXY ", &SIGNATURE[..5]] {
        let mut connection = Connection::to(&port.address());
        connection.send(begun);
        assert!(connection.rest().is_empty());
    }
}

/// Newer than Debian's nginx.
#[test]
fn tlvs_are_variables() {
    let scratch = Scratch::new();
    let shown = "$proxy_protocol_tlv_alpn $proxy_protocol_tlv_0xea $proxy_protocol_tlv_ssl_verify $proxy_protocol_tlv_ssl_cn \
                 [$proxy_protocol_tlv_netns] [$proxy_protocol_tlv_ssl_0x23]";
    let (_web, port) = alone(&scratch, &format!("return 200 \"{shown}\";"));
    let tlv = |number: u8, value: &[u8]| [&[number, 0, value.len() as u8], value].concat();
    let ssl = [vec![1, 0, 0, 0, 7], tlv(0x22, b"example.test")].concat();
    let content = [inet(), tlv(1, b"h2"), tlv(0x20, &ssl), tlv(0xea, b"own")].concat();
    let header = version_2(0x21, 0x11, &content);
    assert_eq!(behind(&header, "any", "/", &port.address()).as_deref(), Some("h2 own 7 example.test [] []"));
}

#[test]
fn a_listener_of_another_server_asks_for_it_too() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let text =
        format!("server {{ listen {0}; return 200 one; }} server {{ listen {0} proxy_protocol; }}", port.address());
    scratch.write("web.conf", servers::nginx_conf(&text));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    assert_eq!(behind(b"", "any", "/", &port.address()), None);
    assert_eq!(behind(b"PROXY UNKNOWN\r\n", "any", "/", &port.address()).as_deref(), Some("one"));
}
