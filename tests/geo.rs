//! `geo`: variables by address. Every table is true of nginx too.

use harness::{Address, Beside, Port, Request, Scratch, servers};

const HTTP: &str = r#"
    geo $plain { 127.0.0.0/8 loopback; 192.0.2.0/24 test; 0.0.0.0/0 world; }
    geo $deleted { 127.0.0.0/8 loopback; 0.0.0.0/0 world; delete 127.0.0.0/8; }
    geo $by_include { include SCRATCH/geo.conf; default none; }
    geo $arg_ip $network {
        default default;
        10.0.0.0/8 ten;
        10.1.0.0/16 ten-one;
        10.1.2.3 one;
        192.0.2.0/24 "";
        2001:db8::/32 six;
        2001:db8:1::/48 six-one;
        ::1/128 self;
        255.255.255.255 none;
    }
    geo $arg_ip $bare { 10.0.0.0/8 ten; }
    geo $arg_ip $range {
        ranges;
        default default;
        10.0.0.0-10.0.255.255 wide;
        10.0.1.0-10.0.1.255 narrow;
        10.0.1.7-10.0.1.7 single;
        10.10.3.0-10.11.2.255 gone;
        delete 10.10.3.0-10.11.2.255;
        10.12.0.0-10.14.255.255 three;
        delete 10.13.0.0-10.13.255.255;
        0.0.0.0-0.0.0.255 low;
    }
    geo $proxied { proxy 127.0.0.1; default default; 127.0.0.0/8 loopback; 192.0.2.0/24 test; 2001:db8::/32 six; }
    geo $proxied_twice { proxy_recursive; proxy 127.0.0.0/24; default default; 127.0.0.0/8 loopback; 192.0.2.0/24 test; }
    geo $arg_ip $proxied_arg { proxy 10.0.0.0/8; default default; 10.0.0.0/8 ten; 192.0.2.0/24 test; }
    server {
        listen LISTEN;
        location = /plain { return 200 "$plain $deleted $by_include"; }
        location = /network { return 200 "$network $bare"; }
        location = /range { return 200 $range; }
        location = /proxied { return 200 "$proxied $proxied_twice $proxied_arg"; }
        location = /cached { set $first $network; set $args ip=10.1.2.3; return 200 "$first $network"; }
    }
"#;

/// The target, `X-Forwarded-For`, and the body that must come.
const TABLE: &[(&str, &str, &str)] = &[
    ("/plain", "", "loopback world included"),
    ("/network?ip=10.200.0.1", "", "ten ten"),
    ("/network?ip=10.1.0.1", "", "ten-one ten"),
    ("/network?ip=10.1.2.3", "", "one ten"),
    ("/network?ip=10.1.2.4", "", "ten-one ten"),
    ("/network?ip=192.0.2.9", "", " "),
    ("/network?ip=198.51.100.1", "", "default "),
    ("/network?ip=2001:db8:2::1", "", "six "),
    ("/network?ip=2001:db8:1::1", "", "six-one "),
    ("/network?ip=2001:db9::1", "", "default "),
    ("/network?ip=::1", "", "self "),
    ("/network?ip=::ffff:10.1.2.3", "", "one ten"),
    ("/network?ip=nobody", "", "none "),
    ("/network?ip=10.0.0.1.2", "", "none "),
    ("/network?ip=", "", "none "),
    ("/network", "", "none "),
    ("/range?ip=10.0.0.0", "", "wide"),
    ("/range?ip=10.0.1.6", "", "narrow"),
    ("/range?ip=10.0.1.7", "", "single"),
    ("/range?ip=10.0.1.8", "", "narrow"),
    ("/range?ip=10.0.2.0", "", "wide"),
    ("/range?ip=10.0.255.255", "", "wide"),
    ("/range?ip=10.1.0.0", "", "default"),
    ("/range?ip=10.11.2.1", "", "default"),
    ("/range?ip=10.12.9.9", "", "three"),
    ("/range?ip=10.13.9.9", "", "default"),
    ("/range?ip=10.14.255.255", "", "three"),
    ("/range?ip=0.0.0.255", "", "low"),
    ("/range?ip=::1", "", "default"),
    ("/range?ip=", "", "default"),
    ("/proxied", "", "loopback loopback default"),
    ("/proxied", "192.0.2.1", "test test default"),
    ("/proxied", "2001:db8::1", "six default default"),
    ("/proxied", "10.0.0.1, 192.0.2.1", "test test default"),
    ("/proxied", "192.0.2.1, 127.0.0.1", "loopback test default"),
    ("/proxied", "unknown", "loopback loopback default"),
    ("/proxied?ip=10.0.0.1", "192.0.2.1", "test test test"),
    ("/proxied?ip=10.0.0.1", "", "loopback loopback ten"),
    ("/cached?ip=10.0.0.1", "", "ten ten"),
];

#[test]
fn nginx_agrees() {
    let servers = Beside::start(HTTP, |scratch| {
        scratch.write("geo.conf", "127.0.0.0/8 included;");
    });
    for (target, forwarded, expected) in TABLE {
        let ask = |address: &Address| {
            let request = Request::get(target);
            let request = if forwarded.is_empty() { request } else { request.header("X-Forwarded-For", forwarded) };
            request.send(address).text()
        };
        assert_eq!(servers.agreed(target, ask), *expected, "{target} {forwarded}");
    }
}

#[test]
fn a_volatile_variable_is_looked_up_anew() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let text = format!(
        "geo $arg_ip $fresh {{ volatile; 10.0.0.0/8 ten; 192.0.2.0/24 test; }}
        server {{ listen {}; location / {{ set $first $fresh; set $args ip=192.0.2.1; return 200 \"$first $fresh\"; }} }}",
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&text));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    assert_eq!(Request::get("/?ip=10.0.0.1").send(&port.address()).text(), "ten test");
}

/// What both programs say of wrong entries.
#[test]
fn wrong_entries_are_refused_in_nginx_words() {
    for (block, message) in [
        ("geo $a { 10.0.0.0/33 x; }", "invalid network \"10.0.0.0/33\""),
        ("geo $a { host x; }", "invalid network \"host\""),
        ("geo $a { ranges; 10.0.0.0/8 x; }", "invalid range \"10.0.0.0/8\""),
        ("geo $a { ranges; 10.0.0.2-10.0.0.1 x; }", "invalid range \"10.0.0.2-10.0.0.1\""),
        (
            "geo $a { ranges; 10.0.0.1-10.0.0.2 x; 10.0.0.2-10.0.0.3 y; }",
            "range \"10.0.0.2-10.0.0.3\" overlaps \"10.0.0.1-10.0.0.2\"",
        ),
        (
            "geo $a { 10.0.0.0/8 x; ranges; }",
            "the \"ranges\" directive must be the first directive inside \"geo\" block",
        ),
        ("geo $a { 10.0.0.0/8; }", "invalid number of the geo parameters"),
        ("geo $a { 10.0.0.0/8 x y; }", "invalid number of the geo parameters"),
        ("geo a { default x; }", "invalid variable name \"a\""),
        ("geo a $b { default x; }", "invalid variable name \"a\""),
    ] {
        assert_eq!(said_by_both(block, message), (false, false), "{block}");
    }
    for (block, message) in [
        ("geo $a { 10.0.0.1/8 x; }", "low address bits of 10.0.0.1/8 are meaningless"),
        ("geo $a { 10.0.0.0/8 x; 10.0.0.0/8 y; }", "duplicate network \"10.0.0.0/8\", value: \"y\", old value: \"x\""),
        ("geo $a { delete 10.0.0.0/8; }", "no network \"10.0.0.0/8\" to delete"),
        ("geo $a { ranges; delete 10.0.0.0-10.0.0.1; }", "no address range \"10.0.0.0-10.0.0.1\" to delete"),
    ] {
        assert_eq!(said_by_both(block, message), (true, true), "{block}");
    }
}

/// Whether daemun and nginx take `block`; both must say `message`.
fn said_by_both(block: &str, message: &str) -> (bool, bool) {
    let scratch = Scratch::new();
    scratch.write("web.conf", servers::nginx_conf(block));
    let ours = servers::web(&scratch, "web.conf").arg("-t").run();
    let nginx = servers::nginx_check(&scratch, "web.conf").run();
    for (who, ended) in [("daemun", &ours), ("nginx", &nginx)] {
        assert!(ended.output.contains(message), "{who} of {block}: {}", ended.output);
    }
    (ours.status.success(), nginx.status.success())
}

/// A hundred thousand networks are found by halving: the last as well as the first, in a configuration that loads.
#[test]
fn many_entries() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let entries: String = (0..100_000_u32)
        .map(|number| format!("10.{}.{}.{}-10.{0}.{1}.{2} v{number};\n", number >> 16, number >> 8 & 255, number & 255))
        .collect();
    scratch.write("base.conf", entries);
    let text = format!(
        "geo $arg_ip $value {{ ranges; include SCRATCH/base.conf; }} server {{ listen {}; return 200 \"$value\"; }}",
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&text));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    for (address, expected) in
        [("10.0.0.0", "v0"), ("10.1.134.159", "v99999"), ("10.1.134.160", ""), ("9.255.255.255", "")]
    {
        assert_eq!(Request::get(&format!("/?ip={address}")).send(&port.address()).text(), expected, "{address}");
    }
}
