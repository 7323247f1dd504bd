//! CPU time of a worker per request; run by hand:
//! `cargo test --release -p daemun-wsgi --test speed -- --ignored --nocapture`.

#![allow(unsafe_code)]

mod site;

use daemun_channel::{Body, Completion};
use site::{Plan, Request, get};

const APPLICATION: &str = r#"
BODY = b"x" * 1024
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1024")])
    return [BODY]
"#;

const HEADERS: [(&str, &str); 14] = [
    ("HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("HTTP_ACCEPT_LANGUAGE", "en-US,en;q=0.5"),
    ("HTTP_ACCEPT_ENCODING", "gzip, deflate, br"),
    ("HTTP_REFERER", "https://site.example/some/other/page"),
    ("HTTP_CONNECTION", "keep-alive"),
    ("HTTP_COOKIE", "sessionid=abcdefghijklmnopqrstuvwxyz012345; csrftoken=ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ("HTTP_UPGRADE_INSECURE_REQUESTS", "1"),
    ("HTTP_SEC_FETCH_DEST", "document"),
    ("HTTP_SEC_FETCH_MODE", "navigate"),
    ("HTTP_SEC_FETCH_SITE", "same-origin"),
    ("HTTP_CACHE_CONTROL", "max-age=0"),
    ("HTTP_X_FORWARDED_PROTO", "https"),
    ("HTTP_X_CUSTOM", "something"),
];

#[test]
#[ignore = "a measurement"]
fn cpu_time_per_request() {
    let with_headers = HEADERS.iter().fold(get("/some/path?a=1"), |request, (name, value)| request.with(name, value));
    for (name, request) in [("1 header", get("/")), ("15 headers", with_headers)] {
        for python in site::pythons() {
            let microseconds = measure(&python, &request);
            println!("{name:>10}, {}: {microseconds:.2} us", python.display());
        }
    }
}

/// The least of five rounds, in microseconds of CPU time per request.
fn measure(python: &std::path::Path, request: &Request) -> f64 {
    let mut site = Plan { python: python.to_owned(), ..Plan::new(APPLICATION) }.start();
    let record = request.record();
    let pid = site.born[0].1;
    let mut least = f64::MAX;
    for _ in 0..6 {
        let before = cpu_nanoseconds(pid);
        let mut done = 0;
        let mut under_way = 0;
        let mut buffer = Vec::new();
        while done < REQUESTS {
            while under_way < 32 && site.edge.submit(&record, Body::None).is_ok() {
                under_way += 1;
            }
            site.edge.kick();
            site.edge.poll(64, |edge, completion| match completion {
                Completion::End { ticket, .. } => {
                    buffer.clear();
                    edge.copy_head(ticket, &mut buffer).expect("a head");
                    edge.release(ticket);
                    done += 1;
                    under_way -= 1;
                }
                other => panic!("{other:?}"),
            });
        }
        least = least.min((cpu_nanoseconds(pid) - before) as f64 / f64::from(done) / 1000.0);
    }
    least
}

fn cpu_nanoseconds(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("schedstat");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

const REQUESTS: u32 = 100_000;
