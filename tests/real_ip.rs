//! `real_ip_header`: whom a trusted proxy speaks for. The table is true of nginx too: see `nginx_agrees`.

use harness::{Address, Port, Request, Scratch, servers};

/// A path, a field, the address that must come out.
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("/", "X-Real-IP", "192.0.2.1", "192.0.2.1 127.0.0.1"),
    ("/", "X-Real-IP", "nobody", "127.0.0.1 127.0.0.1"),
    ("/", "X-Forwarded-For", "192.0.2.1", "127.0.0.1 127.0.0.1"),
    ("/", "X-Real-IP", "2001:db8::1", "2001:db8::1 127.0.0.1"),
    ("/last", "X-Forwarded-For", "192.0.2.1, 127.0.0.2", "127.0.0.2 127.0.0.1"),
    ("/recursive", "X-Forwarded-For", "198.51.100.1, 192.0.2.1, 127.0.0.2", "192.0.2.1 127.0.0.1"),
    ("/untrusted", "X-Real-IP", "192.0.2.1", "127.0.0.1 127.0.0.1"),
    ("/denied", "X-Real-IP", "192.0.2.1", "denied"),
    ("/denied", "X-Real-IP", "192.0.2.2", "192.0.2.2 127.0.0.1"),
];

#[test]
fn the_table_holds() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.write("web.conf", configuration(&port));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    assert_table(&port.address());
    assert!(scratch.read("access.log").contains("192.0.2.1 - - ["));
}

#[test]
fn nginx_agrees() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.write("web.conf", configuration(&port));
    let _nginx = servers::nginx(&scratch, "web.conf", &port.address());
    assert_table(&port.address());
}

/// What is answered by a file: `return` would come before the location's own settings count.
fn configuration(port: &Port) -> String {
    let listen = port.address();
    let server = |name: &str, settings: &str| {
        format!(
            "    server {{ listen {listen}; server_name {name}.test; {settings} error_page 403 = @denied;
        location / {{ try_files /absent @shown; }}
        location @shown {{ return 200 \"$remote_addr $realip_remote_addr\"; }}
        location @denied {{ return 200 denied; }} }}\n"
        )
    };
    let trusted = "set_real_ip_from 127.0.0.0/8;";
    let http = [
        server("root", trusted),
        server("last", &format!("{trusted} real_ip_header X-Forwarded-For;")),
        server("recursive", &format!("{trusted} real_ip_header X-Forwarded-For; real_ip_recursive on;")),
        server("untrusted", "set_real_ip_from 192.0.2.0/24;"),
        server("denied", &format!("{trusted} deny 192.0.2.1;")),
    ];
    servers::nginx_conf(&http.concat())
}

#[track_caller]
fn assert_table(address: &Address) {
    for (target, name, value, expected) in TABLE {
        let server = if *target == "/" { "root" } else { target.trim_start_matches('/') };
        let response = Request::get(target).host(&format!("{server}.test")).header(name, value).send(address);
        assert_eq!(response.text(), *expected, "{target} {name}: {value}");
    }
}
