//! `userid`: cookies by which a browser is known again. What is of the moment apart, both servers set and see the same.

use harness::{Address, Beside, Request, Response};

const HTTP: &str = r#"
    map $arg_reset $uid_reset { default 0; yes 1; log log; }
    server {
        listen LISTEN;
        root SCRATCH/root;
        add_header X-Got $uid_got;
        add_header X-Set $uid_set;
        userid on;
        location / { }
        location /name { alias SCRATCH/root/; userid_name test; }
        location /form {
            alias SCRATCH/root/;
            userid_path /somewhere;
            userid_domain example.test;
            userid_expires max;
            userid_flags secure httponly samesite=lax;
            userid_p3p 'policyref="/w3c/p3p.xml"';
        }
        location /mark { alias SCRATCH/root/; userid_mark t; }
        location /mark-eq { alias SCRATCH/root/; userid_mark =; }
        location /service { alias SCRATCH/root/; userid_service 65534; }
        location /v1 { alias SCRATCH/root/; userid v1; userid_service 7; }
        location /v1-none { alias SCRATCH/root/; userid v1; }
        location /log { alias SCRATCH/root/; userid log; }
        location /off { alias SCRATCH/root/; userid off; }
        location /flags-off { alias SCRATCH/root/; userid_flags off; userid_domain none; userid_p3p none; userid_expires off; }
    }
"#;

/// 22 digits, as a browser has them.
const COOKIE: &str = "fwAAAWlgOY4AAHUFAwMDAg==";

const TABLE: &[(&str, &str)] = &[
    ("/", ""),
    ("/", "uid=fwAAAWlgOY4AAHUFAwMDAg=="),
    ("/", "a=b; UID=fwAAAWlgOY4AAHUFAwMDAg==; c=d"),
    ("/", "uid=fwAAAWlgOY4AAHUFAwMDAgtrash"),
    ("/", "uid=short"),
    ("/", "uid=fwAAAWlgOY4AAHUF*wMDAg=="),
    ("/", "uid=AAAAAAAAAAAAAAAAAAAAAA=="),
    ("/?reset=yes", "uid=fwAAAWlgOY4AAHUFAwMDAg=="),
    ("/?reset=log", "uid=fwAAAWlgOY4AAHUFAwMDAg=="),
    ("/?reset=yes", ""),
    ("/name", "uid=fwAAAWlgOY4AAHUFAwMDAg=="),
    ("/name", "test=fwAAAWlgOY4AAHUFAwMDAg=="),
    ("/form", ""),
    ("/mark", ""),
    ("/mark", "uid=fwAAAWlgOY4AAHUFAwMDAg=="),
    ("/mark", "uid=fwAAAWlgOY4AAHUFAwMDAgt="),
    ("/mark", "uid=fwAAAWlgOY4AAHUFAwMDAgx="),
    ("/mark-eq", "uid=fwAAAWlgOY4AAHUFAwMDAgt="),
    ("/mark-eq", ""),
    ("/service", ""),
    ("/v1", ""),
    ("/v1-none", ""),
    ("/log", "uid=fwAAAWlgOY4AAHUFAwMDAg=="),
    ("/log", ""),
    ("/off", "uid=fwAAAWlgOY4AAHUFAwMDAg=="),
    ("/flags-off", ""),
];

fn ask(address: &Address, target: &str, cookie: &str) -> Response {
    let (path, arguments) = target.split_once('?').unwrap_or((target, ""));
    let path = if path == "/" { "/page.html".to_owned() } else { format!("{path}page.html") };
    let request = Request::get(&format!("{path}?{arguments}"));
    if cookie.is_empty() { request.send(address) } else { request.header("Cookie", cookie).send(address) }
}

/// Without what is new with each cookie: all of its value but the part that says who made it, unless it is the one that was sent.
fn told(response: &Response) -> Vec<String> {
    let mut told = vec![response.status.to_string()];
    for name in ["Set-Cookie", "P3P", "X-Got", "X-Set"] {
        for value in response.headers_named(name) {
            let is_known = value.contains(&COOKIE[..22]) || value.contains("0100007F8E396069");
            let (front, rest) = value.split_once('=').unwrap_or((value, ""));
            let (value, rest) = rest.split_once(';').unwrap_or((rest, ""));
            let kept = match (is_known, name) {
                (true, _) => value.to_owned(),
                // The first of four numbers; in base64 five digits and a part of the sixth, and the mark.
                (false, "Set-Cookie") => format!("{}...{}", &value[..5], &value[22..]),
                (false, _) => value[..8].to_owned(),
            };
            told.push(format!("{name}: {front}={kept};{rest}"));
        }
    }
    told
}

#[test]
fn nginx_agrees() {
    let servers = Beside::start(HTTP, |scratch| {
        scratch.write("root/page.html", "page");
    });
    for (target, cookie) in TABLE {
        servers.agreed(&format!("{target} {cookie}"), |address: &Address| told(&ask(address, target, cookie)));
    }
    assert!(servers.folders().0.read("error.log").contains("userid cookie \"uid=0100007F"));
    // What was set is what is seen when it comes back, and no two are the same.
    let first = ask(&servers.ours, "/", "");
    let cookie = first.header("Set-Cookie").and_then(|value| value.split(';').next()).expect("a cookie").to_owned();
    let again = ask(&servers.ours, "/", &cookie);
    assert_eq!(again.header("X-Got"), first.header("X-Set"));
    assert_eq!(again.header("Set-Cookie"), None);
    assert_ne!(ask(&servers.ours, "/", "").header("X-Set"), first.header("X-Set"));
    let version_1 = |address: &Address| ask(address, "/v1", "").header("X-Set").map(|set| set[..12].to_owned());
    assert_eq!(version_1(&servers.ours), Some("uid=00000007".to_owned()));
}

#[test]
fn expiry_is_a_time_from_now() {
    let scratch = harness::Scratch::new();
    scratch.write("root/page.html", "page");
    let web = harness::Web::start(&scratch, "root SCRATCH/root; userid on; userid_expires 365d;");
    let response = ask(&web.address, "/", "");
    let cookie = response.header("Set-Cookie").expect("a cookie");
    let expires = cookie.split("; ").find_map(|part| part.strip_prefix("expires=")).expect("an expiry");
    assert_eq!((expires.len(), expires.as_bytes()[7], expires.as_bytes()[11]), (27, b'-', b'-'), "{expires}");
    assert!(expires.ends_with(" GMT"), "{expires}");
}
