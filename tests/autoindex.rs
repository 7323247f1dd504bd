//! `autoindex`: directories listed as HTML, XML and JSON, octet by octet as nginx lists them.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use harness::{Address, Beside, Request, Response, Scratch, Web};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const HTTP: &str = r#"
    server {
        listen LISTEN;
        root SCRATCH/root;
        charset utf-8;
        autoindex on;
        location /rounded/ { alias SCRATCH/root/; autoindex_exact_size off; autoindex_localtime on; }
        location /xml/ { alias SCRATCH/root/; autoindex_format xml; }
        location /json/ { alias SCRATCH/root/; autoindex_format json; }
        location /jsonp/ { alias SCRATCH/root/; autoindex_format jsonp; }
        location /off/ { alias SCRATCH/root/; autoindex off; }
        location /indexed/ { alias SCRATCH/root/indexed/; }
        location /dir%3C%26%22%3E/ { alias SCRATCH/root/folder/; }
    }
"#;

const TARGETS: &[&str] = &[
    "/",
    "/folder/",
    "/empty/",
    "/absent/",
    "/plain.txt/",
    "/indexed/",
    "/rounded/",
    "/rounded/folder/",
    "/xml/",
    "/xml/empty/",
    "/json/",
    "/json/empty/",
    "/jsonp/",
    "/jsonp/?callback=",
    "/jsonp/?callback=call.me_1",
    "/jsonp/empty/?a=b&CallBack=f",
    "/jsonp/?callback=alert(1)",
    "/off/",
];

fn fill(scratch: &Scratch) {
    let sizes = [0, 1, 9_999, 10_000, 10_752, 1_048_576, 1_572_864];
    for size in sizes {
        let path = scratch.write(&format!("root/size-{size:09}"), "");
        File::options().write(true).open(path).and_then(|file| file.set_len(size)).expect("the file is ours");
    }
    let cyrillic = "ф".repeat(3);
    let long_cyrillic = "ф".repeat(60);
    let names = [
        "plain.txt".to_owned(),
        ".hidden".to_owned(),
        "a:colon".to_owned(),
        "percent%.txt".to_owned(),
        "question?".to_owned(),
        "<html>&\"quote'".to_owned(),
        "control\u{1}\n\ttab\\".to_owned(),
        "n".repeat(50),
        "n".repeat(51),
        ">".repeat(50),
        ">".repeat(60),
        cyrillic,
        long_cyrillic,
        "folder/inside".to_owned(),
        "indexed/index.html".to_owned(),
    ];
    for name in &names {
        scratch.write(&format!("root/{name}"), name);
    }
    for folder in ["empty", "<folder>", "zfolder"] {
        scratch.make_folder(&format!("root/{folder}"));
    }
    let folder = format!("root/{}", "d".repeat(50));
    scratch.make_folder(&folder);
    for (target, link) in
        [("plain.txt", "link"), ("folder", "link-to-folder"), ("nowhere", "link-to-nothing"), ("loop", "loop")]
    {
        symlink(target, scratch.path(&format!("root/{link}"))).expect("the folder is ours");
    }
    mknodat(CWD, scratch.path("root/pipe"), FileType::Fifo, Mode::RUSR, 0).expect("the folder is ours");
    set_times(scratch);
}

/// The same time for all, so that both servers' folders are the same; those without one are left out of the comparison.
fn set_times(scratch: &Scratch) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_607_200);
    for entry in fs::read_dir(scratch.path("root")).expect("the folder is ours") {
        let path = entry.expect("an entry").path();
        let is_followed = fs::metadata(&path).is_ok_and(|facts| facts.is_file() || facts.is_dir());
        if is_followed {
            File::open(&path).and_then(|file| file.set_modified(time)).expect("the file is ours");
        }
    }
    let inside = scratch.path("root/folder/inside");
    File::options().write(true).open(inside).and_then(|file| file.set_modified(time)).expect("the file is ours");
}

fn told(response: &Response) -> (u16, String, String) {
    let body = if response.status == 200 { response.text() } else { String::new() };
    // What has no time of its own in common is made anew for each server.
    let is_same = |line: &&str| !["pipe", "link-to-nothing", "\"loop", ">loop"].iter().any(|name| line.contains(name));
    let body = body.split("\r\n").filter(is_same).collect::<Vec<_>>().join("\r\n");
    (response.status, response.header("Content-Type").unwrap_or_default().to_owned(), body)
}

#[test]
fn nginx_agrees() {
    let servers = Beside::start(HTTP, fill);
    for target in TARGETS {
        servers.agreed(target, |address: &Address| told(&Request::get(target).send(address)));
    }
    let html = Request::get("/").send(&servers.ours).text();
    for part in [
        "<a href=\"link-to-folder/\">link-to-folder/</a>",
        "<a href=\"link-to-nothing\">",
        "<a href=\"percent%25.txt\">",
        "&lt;html&gt;&amp;&quot;quote'</a>",
        &format!(">{}..&gt;</a> ", "ф".repeat(47)),
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(!html.contains(".hidden"));
    let json: serde_json::Value =
        serde_json::from_str(&Request::get("/json/").send(&servers.ours).text()).expect("JSON");
    let pipe = json.as_array().and_then(|all| all.iter().find(|entry| entry["name"] == "pipe")).expect("the pipe");
    assert_eq!((&pipe["type"], &pipe["size"]), (&"other".into(), &serde_json::Value::Null));
}

#[test]
fn only_who_asks_gets_a_list() {
    let scratch = Scratch::new();
    fill(&scratch);
    let web =
        Web::start(&scratch, "root SCRATCH/root; location /listed/ { autoindex on; alias SCRATCH/root/folder/; }");
    assert_eq!(Request::get("/folder/").send(&web.address).status, 403);
    assert_eq!(Request::get("/listed/").send(&web.address).status, 200);
    assert_eq!(Request::new("POST", "/listed/").send(&web.address).status, 403);
    let mut connection = harness::Connection::to(&web.address);
    connection.send(Request::new("HEAD", "/listed/").octets());
    assert_eq!(connection.response_to_head().status, 200);
}
