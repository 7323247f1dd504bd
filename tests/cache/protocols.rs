//! The same cache before servers of other protocols and before programs; keys where none is set.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::{Address, Connection, Request, Scratch, Web};

use super::{Numbered, get};

/// What every origin must come to whose answers are numbered and may be kept.
fn assert_kept(address: &Address) {
    assert_eq!(get(address, "/a"), "MISS 1 GET");
    assert_eq!(get(address, "/a"), "HIT 1 GET");
    assert_eq!(get(address, "/a?x"), "MISS 2 GET");
    let other = Request::get("/a").host("other.test").send(address);
    assert_eq!((other.header("X-Status"), other.text().as_str()), (Some("MISS"), "3 GET"));
    let mut connection = Connection::to(address);
    connection.send(Request::new("HEAD", "/b").octets());
    assert_eq!(connection.response_to_head().header("X-Status"), Some("MISS"));
    harness::wait_until("the answer is kept", || get(address, "/b") == "HIT 4 GET");
}

fn front(scratch: &Scratch, prefix: &str, pass: &str) -> Web {
    let http = format!("    {prefix}_cache_path SCRATCH/cache keys_zone=one:1m;\n");
    let settings = format!(
        "{prefix}_cache one; {prefix}_cache_lock on; add_header X-Status $upstream_cache_status; {prefix}_param REQUEST_METHOD $request_method;"
    );
    Web::start_in(scratch, &http, &format!("location / {{ {pass} {settings} }}"))
}

#[test]
fn answers_by_uwsgi_are_kept() {
    let server = Numbered::answering(|packet, number| {
        let method = if packet.contains("GET") { "GET" } else { "another" };
        super::answer("Cache-Control: max-age=60\r\n", &format!("{number} {method}"))
    });
    let scratch = Scratch::new();
    let web = front(&scratch, "uwsgi", &format!("uwsgi_pass {};", server.backend.address()));
    assert_kept(&web.address);
    assert_eq!(server.count(), 4);
}

#[test]
fn answers_of_programs_are_kept() {
    let scratch = Scratch::new();
    let program = "#!/bin/sh\necho >> SCRATCH/calls\n\
        printf 'Content-Type: text/plain\\nCache-Control: max-age=60\\n\\n'\n\
        printf '%s %s' \"$(wc -l < SCRATCH/calls)\" \"$REQUEST_METHOD\"\n";
    let path = scratch.write("program", program);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    let web = front(&scratch, "cgi", &format!("cgi_pass {};", path.display()));
    assert_kept(&web.address);
    assert_eq!(scratch.read("calls").lines().count(), 4);
}

/// The settings of one protocol are not those of another.
#[test]
fn a_cache_of_one_protocol_is_not_anothers() {
    let server = Numbered::with_fields("Cache-Control: max-age=60\r\n");
    let scratch = Scratch::new();
    let http = "    proxy_cache_path SCRATCH/cache keys_zone=one:1m; proxy_cache one;\n";
    let location = format!(
        "add_header X-Status $upstream_cache_status; location / {{ uwsgi_pass {}; }}",
        server.backend.address()
    );
    let web = Web::start_in(&scratch, http, &location);
    assert_eq!([get(&web.address, "/"), get(&web.address, "/")], ["- 1", "- 2"]);
}
