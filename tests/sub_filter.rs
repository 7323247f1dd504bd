//! `sub_filter`: every answer is nginx's too.

use harness::{Address, Backend, Beside, Connection, Request, Scratch};

const HTTP: &str = r#"
    include /etc/nginx/mime.types;
    server {
        listen LISTEN;
        root SCRATCH/root;
        sub_filter foo bar;
        location /many/ { sub_filter_once off; alias SCRATCH/root/; }
        location /several/ { sub_filter foo "<$arg_a>"; sub_filter baz$arg_b ""; alias SCRATCH/root/; }
        location /types/ { sub_filter_types text/plain; alias SCRATCH/root/; }
        location /modified/ { sub_filter_last_modified on; alias SCRATCH/root/; }
        location /own { default_type text/html; return 200 "my foo foo"; }
        location /part/ { sub_filter part PART; alias SCRATCH/root/; }
        location /with-parts/ { add_after_body /part/page.html; alias SCRATCH/root/; }
        location /error/ { sub_filter "not found" lost; }
    }
"#;

fn prepare(scratch: &Scratch) {
    for (name, content) in [
        ("page.html", "a foo, a FOO and a baz; a part; foofo".to_owned()),
        ("note.txt", "a foo in a note".to_owned()),
        ("empty.html", String::new()),
        ("large.html", "0123456789foo".repeat(30_000)),
    ] {
        let path = scratch.write(&format!("root/{name}"), &content);
        let file = std::fs::File::options().write(true).open(path).expect("the file is ours");
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_607_200);
        file.set_modified(time).expect("a time");
    }
}

#[test]
fn nginx_agrees() {
    let both = Beside::start(HTTP, prepare);
    for (target, body) in [
        ("/page.html", "a bar, a FOO and a baz; a part; foofo"),
        ("/many/page.html", "a bar, a bar and a baz; a part; barfo"),
        ("/several/page.html?a=x&b=", "a <x>, a FOO and a ; a part; foofo"),
        ("/note.txt", "a foo in a note"),
        ("/types/note.txt", "a bar in a note"),
        ("/modified/page.html", "a bar, a FOO and a baz; a part; foofo"),
        ("/own", "my bar foo"),
        ("/empty.html", ""),
        ("/with-parts/page.html", "a bar, a FOO and a baz; a part; foofoa foo, a FOO and a baz; a PART; foofo"),
    ] {
        let seen = both.agreed(target, |address| ask(address, Request::get(target)));
        assert_eq!(seen.1, body, "{target}");
    }
    let large = both.agreed("large", |address| ask(address, Request::get("/many/large.html")));
    assert_eq!(large.1, "0123456789bar".repeat(30_000));
    both.agreed("ranges", |address| ask(address, Request::get("/page.html").header("Range", "bytes=0-3")));
    let changed = ("If-Modified-Since", "Mon, 05 Jan 2026 10:00:00 GMT");
    assert_eq!(
        both.agreed("since", |address| ask(address, Request::get("/page.html").header(changed.0, changed.1)).0),
        304
    );
    both.agreed("an error page", |address| ask(address, Request::get("/error/")).0);
}

/// Status, body and what tells of the body.
fn ask(address: &Address, request: Request) -> (u16, String, Vec<Option<String>>) {
    let response = request.send(address);
    let names = ["content-length", "transfer-encoding", "etag", "last-modified", "accept-ranges", "content-range"];
    let fields = names.map(|name| response.header(name).map(str::to_owned)).to_vec();
    (response.status, response.text().to_string(), fields)
}

/// An upstream that breaks off: what came is the client's, but not the end of it.
#[test]
fn what_came_of_a_broken_answer_is_sent() {
    let upstream =
        Backend::answering(|_| "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nfoo xyf\r\n".to_owned());
    let http = format!(
        "server {{ listen LISTEN; sub_filter_types *; sub_filter_once off; sub_filter foo bar; proxy_buffering off;
            location / {{ proxy_pass http://{}; }} }}",
        upstream.address()
    );
    let both = Beside::start(&http, |_| {});
    let seen = both.agreed("broken off", |address| {
        let mut connection = Connection::to(address);
        connection.send(Request::get("/").octets());
        let octets = connection.rest();
        String::from_utf8_lossy(&octets).split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    });
    assert_eq!(seen.as_deref(), Some("6\r\nbar xy\r\n"));
}

#[test]
fn what_is_wrong_is_said_in_nginx_words() {
    let scratch = Scratch::new();
    for (wrong, said) in [
        ("sub_filter '' x;", "empty search pattern"),
        ("sub_filter x;", "invalid number of arguments in \"sub_filter\" directive"),
        ("sub_filter_once yes;", "invalid value \"yes\" in \"sub_filter_once\" directive"),
    ] {
        scratch.write("web.conf", harness::servers::nginx_conf(&format!("server {{ {wrong} }}")));
        let ended = harness::servers::web(&scratch, "web.conf").arg("-t").run();
        assert!(ended.output.contains(said), "{}", ended.output);
    }
}
