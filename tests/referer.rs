//! `valid_referers` and `$invalid_referer`. The table is true of nginx too.

use harness::{Address, Beside, Request, Scratch, servers};

const HTTP: &str = r#"
    server {
        listen LISTEN;
        server_name one.test ~^two ~^three$ *.four.test;
        location /none { valid_referers none www.example.org; return 200 "[$invalid_referer]"; }
        location /blocked { valid_referers blocked www.example.org; return 200 "[$invalid_referer]"; }
        location /simple { valid_referers www.example.org; return 200 "[$invalid_referer]"; }
        location /expression { valid_referers ~example.org/uri ~(?-i)example.net$; return 200 "[$invalid_referer]"; }
        location /path { valid_referers www.example.org/uri *.example.com/all; return 200 "[$invalid_referer]"; }
        location /names { valid_referers server_names; return 200 "[$invalid_referer]"; }
        location /wild { valid_referers *.example.com www.example.* .dot.net; return 200 "[$invalid_referer]"; }
        location /quoted { valid_referers ~^\Qa.b*c\E; return 200 "[$invalid_referer]"; }
        location /nothing { return 200 "[$invalid_referer]"; }
        location /outer {
            valid_referers ~outer www.example.org;
            location /outer/inner { valid_referers www.example.net; return 200 "[$invalid_referer]"; }
            location /outer/same { return 200 "[$invalid_referer]"; }
        }
    }
"#;

/// The target, the page (`-` is none), and whether it may refer to it.
const TABLE: &[(&str, &str, bool)] = &[
    ("/none", "-", true),
    ("/none", "", false),
    ("/none", "http://www.example.org", true),
    ("/none", "http://www.example.com", false),
    ("/blocked", "www.example.com", true),
    ("/blocked", "http://su", true),
    ("/blocked", "", true),
    ("/blocked", "-", false),
    ("/blocked", "http://www.example.com", false),
    ("/simple", "http://www.example.org", true),
    ("/simple", "HTTPS://WWW.Example.org/uri", true),
    ("/simple", "http://www.example.org:8080/uri", true),
    ("/simple", "www.example.org", false),
    ("/simple", "ftp://www.example.org", false),
    ("/simple", "-", false),
    ("/expression", "http://www.Example.org/URI", true),
    ("/expression", "http://www.example.org", false),
    ("/expression", "http://www.example.net", true),
    ("/expression", "http://www.Example.net", false),
    ("/path", "http://www.example.org/urii", true),
    ("/path", "http://www.example.org:80/uri", true),
    ("/path", "http://www.example.org/uRi", false),
    ("/path", "http://www.example.org/ur", false),
    ("/path", "http://www.example.org", false),
    ("/path", "http://a.example.com/all", true),
    ("/path", "http://a.example.com/", false),
    ("/names", "http://one.test/", true),
    ("/names", "http://ONE.test", true),
    ("/names", "http://twofold", true),
    ("/names", "http://threefold", false),
    ("/names", "http://three/x", true),
    ("/names", "http://a.four.test", true),
    ("/names", "http://four.test", false),
    ("/names", "one.test", false),
    ("/wild", "http://www.example.com", true),
    ("/wild", "http://www.example.net", true),
    ("/wild", "http://example.com", false),
    ("/wild", "http://dot.net", true),
    ("/wild", "http://a.dot.net", true),
    ("/quoted", "http://a.b*c/page", true),
    ("/quoted", "http://aXbbc/page", false),
    ("/nothing", "http://anybody.test", true),
    ("/nothing", "-", true),
    ("/outer/inner", "http://www.example.net", true),
    ("/outer/inner", "http://www.example.org", false),
    ("/outer/inner", "http://www.outer.org", true),
    ("/outer/same", "http://www.example.org", true),
];

#[test]
fn nginx_agrees() {
    let servers = Beside::start(HTTP, |_| {});
    let long = format!("http://{}", "a".repeat(256));
    let longer = format!("http://{}", "a".repeat(257));
    let table = TABLE.iter().copied().chain([("/wild", long.as_str(), false), ("/quoted", longer.as_str(), false)]);
    for (target, page, is_valid) in table {
        let ask = |address: &Address| {
            let request = Request::get(target);
            let request = if page == "-" { request } else { request.header("Referer", page) };
            request.send(address).text()
        };
        let expected = if is_valid { "[]" } else { "[1]" };
        assert_eq!(servers.agreed(&format!("{target} {page}"), ask), expected, "{target} {page}");
    }
}

#[test]
fn none_and_blocked_need_a_name() {
    for server in ["valid_referers none;", "valid_referers blocked ~x;", "valid_referers a*b;", "valid_referers a a;"] {
        let scratch = Scratch::new();
        scratch.write("web.conf", servers::nginx_conf(&format!("server {{ listen 127.0.0.1:1; {server} }}")));
        let nginx = servers::nginx_check(&scratch, "web.conf").run();
        let ours = servers::web(&scratch, "web.conf").arg("-t").run();
        assert!(!nginx.status.success() && !ours.status.success(), "{server}");
        let line = nginx.output.lines().find(|line| line.contains("[emerg]")).expect("a reason");
        let said = line.split_once(": ").map_or(line, |(_, text)| text);
        let words = said.split(" in /").next().unwrap_or(said).split(": ").last().unwrap_or(said);
        assert!(ours.output.contains(words), "{words}: {}", ours.output);
    }
}
