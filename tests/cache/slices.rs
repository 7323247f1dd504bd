//! `slice`: answers got in pieces, each kept by itself.

use std::sync::{Arc, Mutex};

use harness::{Address, Backend, Beside, Request, Scratch, Web, assert_each};

const HTTP: &str = r#"
    proxy_cache_path SCRATCH/cache keys_zone=one:1m;
    server {
        listen LISTEN;
        add_header X-Status $upstream_cache_status;
        location /kept/ {
            slice 10; proxy_cache one; proxy_cache_key $uri$is_args$args$slice_range; proxy_cache_valid 200 206 1h;
            proxy_set_header Range $slice_range; proxy_pass http://unix:SCRATCH/back.sock:/;
        }
        location /passed/ { slice 10; proxy_set_header Range $slice_range; proxy_pass http://unix:SCRATCH/back.sock:/; }
        location /not-asked-for/ { slice 10; proxy_set_header Range $http_range; proxy_pass http://unix:SCRATCH/back.sock:/; }
    }
    server { listen unix:SCRATCH/back.sock; root SCRATCH/root; default_type text/plain; }
"#;

const RANGES: &[&str] = &[
    "",
    "bytes=0-",
    "bytes=0-0",
    "bytes=9-10",
    "bytes=10-19",
    "bytes=15-34",
    "bytes=90-",
    "bytes=99-200",
    "bytes=100-",
    "bytes=-1",
    "bytes=-25",
    "bytes=5-3",
    "bytes=0-1,50-60",
    "lines=1-2",
];

#[test]
fn ranges_of_slices_are_those_of_the_whole() {
    let both = Beside::start(HTTP, |scratch| {
        let text: String = (0..100).map(|number| char::from(b'0' + number % 10)).collect();
        scratch.write("root/file", text);
        scratch.write("root/empty", "");
        scratch.write("root/short", "0123456789");
        scratch.write("root/odd", "0123456789abcdef");
        scratch.write("root/tiny", "0");
    });
    let mut questions = Vec::new();
    for location in ["kept", "passed", "not-asked-for"] {
        for file in ["file", "short", "odd", "tiny", "none"] {
            // The second time from the cache.
            for range in RANGES.iter().chain(RANGES) {
                questions.push((format!("/{location}/{file}"), *range));
            }
        }
    }
    assert_each(&questions, |(target, range)| {
        let ask = |address: &Address| {
            let mut request = Request::get(target);
            if !range.is_empty() {
                request = request.header("Range", range);
            }
            let response = request.send(address);
            let field = |name| response.header(name).unwrap_or("-").to_owned();
            let body = if response.status < 400 { response.text() } else { String::new() };
            // Each multipart answer has a boundary of its own.
            let body = if body.contains("\r\n--") { String::new() } else { body };
            let length = if body.is_empty() { String::new() } else { field("Content-Length") };
            format!("{} {} {length} {} {body}", response.status, field("Content-Range"), field("X-Status"))
        };
        let (ours, nginx) = (ask(&both.ours), ask(&both.nginx));
        (ours != nginx).then(|| format!("{target} {range:?}:\n  ours  {ours}\n  nginx {nginx}"))
    });
}

/// A server of a hundred octets that notes which ranges it is asked for; `etag` makes the tag of a range.
fn ranged(etag: impl Fn(&str) -> String + Send + Sync + 'static) -> (Backend, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let backend = Backend::answering(move |head| {
        let range = head.lines().find_map(|line| line.strip_prefix("Range: bytes=")).unwrap_or("0-99").to_owned();
        let (first, last) = range.split_once('-').expect("a range");
        let (first, last): (usize, usize) = (first.parse().expect("a number"), last.parse().expect("a number"));
        let last = last.min(99);
        let body: String = (first..=last).map(|number| char::from(b'0' + (number % 10) as u8)).collect();
        let tag = etag(&range);
        noted.lock().expect("no panic").push(range);
        format!(
            "HTTP/1.1 206 Partial\r\nContent-Range: bytes {first}-{last}/100\r\nETag: \"{tag}\"\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    (backend, asked)
}

fn front(scratch: &Scratch, backend: &Backend, settings: &str) -> Web {
    let address = backend.address();
    let location = "slice 10; proxy_set_header Range $slice_range;";
    Web::start(scratch, &format!("location / {{ {location} {settings} proxy_pass http://{address}; }}"))
}

#[test]
fn slices_that_nobody_wants_are_not_asked_for() {
    let (backend, asked) = ranged(|_| "same".to_owned());
    let scratch = Scratch::new();
    let web = front(&scratch, &backend, "");
    let response = Request::get("/").header("Range", "bytes=-15").send(&web.address);
    assert_eq!((response.status, response.text().as_str()), (206, "567890123456789"));
    assert_eq!(*asked.lock().expect("no panic"), ["0-9", "80-89", "90-99"], "the length must be learnt first");
    asked.lock().expect("no panic").clear();
    let response = Request::get("/").header("Range", "bytes=35-44").send(&web.address);
    assert_eq!((response.status, response.text().as_str()), (206, "5678901234"));
    assert_eq!(*asked.lock().expect("no panic"), ["30-39", "40-49"]);
}

#[test]
fn slices_of_different_versions_are_no_answer() {
    let (backend, _) = ranged(|range| if range == "30-39" { "other".to_owned() } else { "same".to_owned() });
    let scratch = Scratch::new();
    let web = front(&scratch, &backend, "");
    assert!(Request::get("/").try_send(&web.address).is_err());
    assert!(scratch.read("error.log").contains("etag mismatch in slice response"));
    let response = Request::get("/").header("Range", "bytes=0-25").send(&web.address);
    assert_eq!((response.status, response.body.len()), (206, 26));
}

#[test]
fn a_text_that_is_changed_is_sent_from_its_beginning_whatever_range_is_wanted() {
    let (backend, _) = ranged(|_| "same".to_owned());
    let scratch = Scratch::new();
    let web = front(&scratch, &backend, "sub_filter 89 XX; sub_filter_once off;");
    let response = Request::get("/").header("Range", "bytes=35-44").send(&web.address);
    assert_eq!((response.status, response.text()), (200, "01234567XX".repeat(10)));
}
