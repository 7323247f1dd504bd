//! What a program gets: variables, descriptors, signals, a folder, a body.

use std::collections::BTreeMap;

use harness::{Connection, Request, Scratch};

use super::{script, site};

/// Prints the environment as it was given, before any shell added to it.
const PRINT: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\ntr '\\0' '\\n' < /proc/$$/environ\n";

fn variables(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_variables_are_those_of_the_rfc_and_no_others() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/print", PRINT);
    let web = site(&scratch, "");
    let request = Request::get("/cgi/print/a%20b/c?x=1&y=%20").header("Accept", "text/plain").header("X-Own", "own");
    let response = request.send(&web.address);
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/plain")));
    let harness::Address::Tcp(address) = web.address else { panic!("TCP") };
    let root = scratch.text_path("root");
    let expected = [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("HTTP_ACCEPT", "text/plain"),
        ("HTTP_HOST", "example.test"),
        ("HTTP_X_OWN", "own"),
        ("PATH_INFO", "/a b/c"),
        ("PATH_TRANSLATED", &format!("{root}/a b/c")),
        ("QUERY_STRING", "x=1&y=%20"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_HOST", "127.0.0.1"),
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", "/cgi/print"),
        ("SERVER_NAME", "example.test"),
        ("SERVER_PORT", &address.port().to_string()),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
    ];
    let mut found = variables(&response.text());
    assert!(found.remove("SERVER_SOFTWARE").is_some_and(|name| name.starts_with("daemun/")));
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found, BTreeMap::from(expected));
}

/// What would tell a program where its own requests go, who the client is, or what is between client and server only.
#[test]
fn some_fields_never_become_variables() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/print", PRINT);
    let web = site(&scratch, "");
    let request = Request::get("/cgi/print")
        .header("Proxy", "192.0.2.66:80")
        .header("Authorization", "Basic dXNlcjpwYXNz")
        .header("Proxy-Authorization", "Basic dXNlcjpwYXNz")
        .header("Connection", "close")
        .header("X_Own", "underscore");
    let found = variables(&request.send(&web.address).text());
    for name in ["HTTP_PROXY", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION", "HTTP_CONNECTION", "HTTP_X_OWN"] {
        assert_eq!(found.get(name), None, "{name}");
    }
    for name in ["REMOTE_USER", "AUTH_TYPE", "PATH_INFO", "PATH_TRANSLATED", "CONTENT_LENGTH", "CONTENT_TYPE", "PATH"] {
        assert_eq!(found.get(name), None, "{name}");
    }
}

#[test]
fn who_has_shown_a_password_is_named() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/print", PRINT);
    scratch.write("users", "user:{PLAIN}pass\n");
    let web = site(&scratch, "auth_basic site; auth_basic_user_file SCRATCH/users;");
    assert_eq!(Request::get("/cgi/print").send(&web.address).status, 401);
    let shown = Request::get("/cgi/print").header("Authorization", "Basic dXNlcjpwYXNz").send(&web.address);
    let found = variables(&shown.text());
    assert_eq!((found["REMOTE_USER"].as_str(), found["AUTH_TYPE"].as_str()), ("user", "Basic"));
}

#[test]
fn parameters_add_and_replace() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/print", PRINT);
    let directives = "cgi_param OWN $request_method; cgi_param SERVER_NAME other; cgi_param EMPTY $arg_no if_not_empty;
        cgi_param SCRIPT_FILENAME $cgi_script_filename; cgi_param BOTH $cgi_script_name|$cgi_path_info;
        cgi_pass_request_headers off;";
    let web = site(&scratch, directives);
    let found = variables(&Request::get("/cgi/print/x").send(&web.address).text());
    assert_eq!(found["OWN"], "GET");
    assert_eq!(found["SERVER_NAME"], "other");
    assert_eq!(found.get("EMPTY"), None);
    assert_eq!(found["SCRIPT_FILENAME"], scratch.text_path("root/cgi/print"));
    assert_eq!(found["BOTH"], "/cgi/print|/x");
    assert_eq!(found.get("HTTP_HOST"), None);
}

/// Neither sockets nor logs nor the application's shared memory.
#[test]
fn no_descriptor_is_inherited_and_no_signal_is_blocked() {
    let scratch = Scratch::new();
    let text = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nls -l /proc/$$/fd\n\
        grep -E '^Sig(Blk|Ign)' /proc/self/status\npwd\n";
    script(&scratch, "cgi/look", text);
    let web = site(&scratch, "");
    // Connections of others are open meanwhile.
    let _others: Vec<_> = (0..5).map(|_| Connection::to(&web.address)).collect();
    let text = Request::get("/cgi/look").send(&web.address).text();
    let mut numbers = Vec::new();
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("SigBlk:\t").or(line.strip_prefix("SigIgn:\t")) {
            let set = u64::from_str_radix(value, 16).expect("a set of signals");
            assert_eq!(set & STANDARD_SIGNALS, 0, "{text}");
        } else if let Some((before, target)) = line.split_once(" -> ") {
            // The shell reads its script from a descriptor of its own.
            if !target.ends_with("cgi/look") {
                numbers.push(before.rsplit(' ').next().expect("a number"));
            }
        }
    }
    assert_eq!(numbers, ["0", "1", "2"], "{text}");
    assert_eq!(text.lines().last(), Some(scratch.text_path("root/cgi").as_str()), "it begins in its own folder");
}

/// 1 to 31; those above are nobody's business but the C library's.
const STANDARD_SIGNALS: u64 = 0x7fff_ffff;

#[test]
fn bodies_arrive_whole() {
    let scratch = Scratch::new();
    let text = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho \"$CONTENT_LENGTH $CONTENT_TYPE\"\nwc -c\n";
    script(&scratch, "cgi/count", text);
    let web = site(&scratch, "client_max_body_size 10m;");
    for size in [0, 1, 16_000, 300_000, 3_000_000] {
        let text = Request::post("/cgi/count", "text/x", vec![b'b'; size]).send(&web.address).text();
        assert_eq!(text, format!("{size} text/x\n{size}\n"));
    }
    let chunked = Request::new("POST", "/cgi/count").chunked(&[b"first ", b"second"]).send(&web.address);
    assert_eq!(chunked.text(), "12 \n12\n");
    // A program that does not read has its own reasons.
    script(&scratch, "cgi/deaf", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\ndeaf'\n");
    for size in [10_000, 3_000_000] {
        assert_eq!(Request::post("/cgi/deaf", "text/x", vec![b'b'; size]).send(&web.address).text(), "deaf");
    }
}
