//! WebDAV: files written, removed, copied and moved by request. The same requests go to nginx, and both folders must look the same.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use harness::{Address, Beside, Connection, Request, Response, Scratch, Web, programs, wait_until};

const HTTP: &str = r#"
    server {
        listen LISTEN;
        root SCRATCH/root;
        client_max_body_size 1m;
        location / { dav_methods PUT DELETE MKCOL COPY MOVE; }
        location /alias/ { alias SCRATCH/root/aliased/; dav_methods PUT DELETE MKCOL COPY MOVE; }
        location /full/ { dav_methods put delete; create_full_put_path on; }
        location /deep/ { dav_methods DELETE; min_delete_depth 3; }
        location /open/ { dav_methods PUT MKCOL; dav_access group:rw all:r; }
        location /none/ { dav_methods off; }
    }
"#;

fn fill(scratch: &Scratch) {
    for (name, content) in [
        ("file", "a file"),
        ("other", "another"),
        ("tree/a", "A"),
        ("tree/sub/b", "B"),
        ("tree/sub/deeper/c", "C"),
        ("tree2/old", "old"),
        ("deep/a/b", "x"),
        ("deep/c", "x"),
        ("space and %", "x"),
        ("outside/kept", "kept"),
        ("linked/x", "x"),
    ] {
        scratch.write(&format!("root/{name}"), content);
    }
    for folder in ["open", "full", "aliased", "empty", "none"] {
        scratch.make_folder(&format!("root/{folder}"));
    }
    symlink("../outside", scratch.path("root/linked/to")).expect("the folder is ours");
}

/// Method, target, fields, body.
type Asked<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

/// One after the other: each finds what those before have left.
const SEQUENCE: &[Asked<'_>] = &[
    ("PUT", "/new", &[], "0123456789"),
    ("PUT", "/new", &[], "replaced"),
    ("PUT", "/new", &[], ""),
    ("PUT", "/emp%20ty%3F", &[], ""),
    ("PUT", "/dated", &[("Date", "Sun, 06 Nov 1994 08:49:37 GMT")], "dated"),
    ("PUT", "/baddate", &[("Date", "yesterday")], "dated"),
    ("PUT", "/folder/", &[], "x"),
    ("PUT", "/tree", &[], "x"),
    ("PUT", "/range", &[("Content-Range", "bytes 0-1/2")], "x"),
    ("PUT", "/alias/new", &[], "in the alias"),
    ("PUT", "/full/a/b/c", &[], "deep"),
    ("PUT", "/open/file", &[], "x"),
    ("PUT", "/none/file", &[], "x"),
    ("MKCOL", "/open/made/", &[], ""),
    ("MKCOL", "/made/", &[], ""),
    ("MKCOL", "/made/", &[], ""),
    ("MKCOL", "/made", &[], ""),
    ("MKCOL", "/absent/made/", &[], ""),
    ("MKCOL", "/body/", &[], "x"),
    ("DELETE", "/absent", &[], ""),
    ("DELETE", "/file/", &[], ""),
    ("DELETE", "/tree", &[], ""),
    ("DELETE", "/file", &[], "x"),
    ("DELETE", "/other", &[("Depth", "1")], ""),
    ("DELETE", "/other", &[("Depth", "2")], ""),
    ("DELETE", "/other", &[("Depth", "0")], ""),
    ("DELETE", "/tree2/", &[("Depth", "0")], ""),
    ("DELETE", "/deep/c", &[], ""),
    ("DELETE", "/deep/a/", &[], ""),
    ("DELETE", "/deep/a/b", &[], ""),
    ("COPY", "/file", &[], ""),
    ("COPY", "/file", &[("Destination", "/copied")], ""),
    ("COPY", "/file", &[("Destination", "http://example.test/copied%202")], ""),
    ("COPY", "/file", &[("Destination", "http://example.test:8080/copied3")], ""),
    ("COPY", "/file", &[("Destination", "http://other.test/x")], ""),
    ("COPY", "/file", &[("Destination", "ftp://example.test/x")], ""),
    ("COPY", "/file", &[("Destination", "http://example.test")], ""),
    ("COPY", "/file", &[("Destination", "/../x")], ""),
    ("COPY", "/file", &[("Destination", "/tree")], ""),
    ("COPY", "/file", &[("Destination", "/tree/")], ""),
    ("COPY", "/file", &[("Destination", "/copied"), ("Overwrite", "F")], ""),
    ("COPY", "/file", &[("Destination", "/copied"), ("Overwrite", "t")], ""),
    ("COPY", "/file", &[("Destination", "/copied"), ("Overwrite", "no")], ""),
    ("COPY", "/file", &[("Destination", "/copied0"), ("Depth", "0")], ""),
    ("COPY", "/file", &[("Destination", "/copied1"), ("Depth", "1")], ""),
    ("COPY", "/file", &[("Destination", "/copied"), ("Content-Length", "0")], ""),
    ("COPY", "/file", &[("Destination", "/copied")], "x"),
    ("COPY", "/absent", &[("Destination", "/copied")], ""),
    ("COPY", "/tree/", &[("Destination", "/tree-copied/")], ""),
    ("COPY", "/tree/", &[("Destination", "/tree-copied")], ""),
    ("COPY", "/tree/", &[("Destination", "/tree2/"), ("Overwrite", "F")], ""),
    ("COPY", "/tree/", &[("Destination", "/tree2/")], ""),
    ("COPY", "/alias/new", &[("Destination", "/alias/new2")], ""),
    ("MOVE", "/alias/new", &[("Destination", "/alias/new3")], ""),
    ("MOVE", "/copied", &[("Destination", "/moved")], ""),
    ("MOVE", "/copied", &[("Destination", "/moved")], ""),
    ("MOVE", "/copied0", &[("Destination", "/made/below/moved")], ""),
    ("MOVE", "/moved", &[("Destination", "/moved2"), ("Depth", "0")], ""),
    ("MOVE", "/moved", &[("Destination", "/copied3"), ("Overwrite", "F")], ""),
    ("MOVE", "/moved", &[("Destination", "/copied3")], ""),
    ("MOVE", "/space%20and%20%25", &[("Destination", "/a%20b%25")], ""),
    ("MOVE", "/tree2/", &[("Destination", "/tree3/")], ""),
    ("MOVE", "/tree3/", &[("Destination", "/tree-copied/")], ""),
    ("MOVE", "/tree3/", &[("Destination", "/tree4/")], ""),
    ("DELETE", "/tree/", &[], ""),
    ("DELETE", "/empty/", &[("Depth", "infinity")], ""),
    ("GET", "/made/below/moved", &[], ""),
    ("OPTIONS", "/", &[], ""),
    ("PROPFIND", "/", &[], ""),
];

fn ask(asked: &Asked<'_>, address: &Address) -> Response {
    let (method, target, fields, body) = asked;
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: example.test\r\n");
    for (name, value) in *fields {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || *method == "PUT" {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    Connection::to(address).exchange(text + "\r\n" + body)
}

/// Path, permissions, content, and the time where it was given.
fn listed(scratch: &Scratch) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let top = scratch.path("root");
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let facts = fs::symlink_metadata(&path).expect("it is there");
            let content = if facts.is_file() { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
            let time = if facts.mtime() < 1_000_000_000 { facts.mtime() } else { 0 };
            let shown = format!("{:o} {time} {content}", facts.permissions().mode());
            all.insert(path.strip_prefix(&top).expect("below").to_string_lossy().into_owned(), shown);
            if facts.is_dir() {
                folders.push(path);
            }
        }
    }
    all
}

#[test]
fn nginx_agrees() {
    let servers = Beside::start(HTTP, fill);
    let (ours, nginx) = servers.folders();
    for asked in SEQUENCE {
        let told = |address: &Address| {
            let response = ask(asked, address);
            let address = address.to_string();
            let port = address.rsplit(':').next().unwrap_or_default();
            let place = response.header("Location").map(|place| place.replace(port, "PORT"));
            (response.status, place)
        };
        servers.agreed(&format!("{asked:?}"), told);
        assert_eq!(listed(ours), listed(nginx), "after {asked:?}: ours on the left, nginx's on the right");
    }
    let left = listed(ours);
    assert!(left.contains_key("outside/kept") && left.contains_key("tree-copied/sub/deeper/c"));
}

/// Where nginx answers 500, or follows a link out of the tree.
#[test]
fn what_is_not_as_in_nginx() {
    let scratch = Scratch::new();
    fill(&scratch);
    let web = Web::start(
        &scratch,
        "root SCRATCH/root; location / { dav_methods PUT DELETE COPY; }
        location /alias/ { alias SCRATCH/root/aliased/; dav_methods COPY; }",
    );
    assert_eq!(ask(&("PUT", "/absent/file", &[], "x"), &web.address).status, 409);
    assert_eq!(ask(&("DELETE", "/linked/to/", &[], ""), &web.address).status, 409);
    symlink("../file", scratch.path("root/linked/to-file")).expect("the folder is ours");
    assert_eq!(ask(&("COPY", "/linked/", &[("Destination", "/linked-copied/")], ""), &web.address).status, 201);
    let names: Vec<_> = listed(&scratch).into_keys().filter(|name| name.starts_with("linked-copied")).collect();
    assert_eq!(names, ["linked-copied", "linked-copied/to-file", "linked-copied/x"]);
    assert_eq!(ask(&("DELETE", "/linked/", &[], ""), &web.address).status, 204);
    assert!(scratch.path("root/outside/kept").exists() && !scratch.path("root/linked").exists());
    scratch.write("root/aliased/x", "x");
    let elsewhere = ask(&("COPY", "/alias/x", &[("Destination", "/elsewhere/y")], ""), &web.address);
    assert_eq!(elsewhere.status, 400, "what the alias replaces must be there");
    for (from, to) in [
        ("/file", "/file"),
        ("/file", "//file"),
        ("/tree/", "/tree/below/"),
        ("/tree/", "/tree/"),
        ("/tree/sub/", "/tree/"),
    ] {
        let copied = ask(&("COPY", from, &[("Destination", to)], ""), &web.address);
        assert_eq!(copied.status, 403, "{from} to {to}");
    }
    assert_eq!(fs::read_to_string(scratch.path("root/tree/sub/b")).expect("it is there"), "B");
    let alike = ask(&("COPY", "/file", &[("Destination", "http://example.test.evil/y")], ""), &web.address);
    assert_eq!(alike.status, 400);
}

#[test]
fn a_large_body_is_written_as_it_comes_and_appears_when_it_is_whole() {
    let scratch = Scratch::new();
    scratch.make_folder("root");
    let web = Web::start(&scratch, "root SCRATCH/root; client_max_body_size 64m; location / { dav_methods PUT; }");
    let content: Vec<u8> = (0..20_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let head = format!("PUT /large HTTP/1.1\r\nHost: example.test\r\nContent-Length: {}\r\n\r\n", content.len());
    let mut connection = Connection::to(&web.address);
    connection.send(&head);
    connection.send(&content[..10_000_000]);
    let names = || {
        fs::read_dir(scratch.path("root"))
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect::<Vec<_>>()
    };
    wait_until("the draft is there", || names().len() == 1);
    assert!(!scratch.path("root/large").exists());
    connection.send(&content[10_000_000..]);
    assert_eq!(connection.response().status, 201);
    assert!(fs::read(scratch.path("root/large")).expect("it is there") == content);
    assert_eq!(names(), ["large"]);

    let mut broken_off = Connection::to(&web.address);
    broken_off.send(&head);
    broken_off.send(&content[..1_000_000]);
    wait_until("the second draft is there", || names().len() == 2);
    drop(broken_off);
    wait_until("nothing is left of what broke off", || names() == ["large"]);

    let chunks: Vec<&[u8]> = content.chunks(100_000).collect();
    let chunked = Request::new("PUT", "/large").chunked(&chunks).send(&web.address);
    assert_eq!(chunked.status, 204);
    assert!(fs::read(scratch.path("root/large")).expect("it is there") == content);
    let mut too_large = Connection::to(&web.address);
    too_large.send("PUT /much HTTP/1.1\r\nHost: example.test\r\nContent-Length: 70000000\r\n\r\n");
    assert_eq!(too_large.response().status, 413);
}

/// Each test of litmus that nginx passes.
#[test]
fn litmus_passes_wherever_nginx_does() {
    let http = r#"
    server {
        listen LISTEN;
        root SCRATCH/root;
        client_max_body_size 10m;
        location / { dav_methods PUT DELETE MKCOL COPY MOVE; }
    }"#;
    let servers = Beside::start(http, |scratch| {
        scratch.make_folder("root");
    });
    let (ours, nginx) = servers.folders();
    let mut passed = 0;
    for suite in ["basic", "copymove", "http", "props", "locks"] {
        let theirs = litmus(suite, &servers.nginx, nginx.folder());
        let mine = litmus(suite, &servers.ours, ours.folder());
        for (test, result) in &theirs {
            if result == "pass" {
                passed += 1;
                assert_eq!(mine.get(test).map(String::as_str), Some("pass"), "{suite} {test}");
            }
        }
    }
    assert!(passed >= 25, "nginx itself passes {passed} only");
}

/// Name and result of each test of one of litmus' programs.
fn litmus(suite: &str, address: &Address, folder: &Path) -> BTreeMap<String, String> {
    let program = programs::litmus(suite);
    let mut command = Command::new(&program);
    let ended = command
        .arg("--htdocs")
        .arg("/usr/share/litmus/htdocs")
        .arg(format!("http://{address}/"))
        .current_dir(folder)
        .output();
    let ended = ended.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = String::from_utf8_lossy(&ended.stdout).replace('\r', "\n");
    // ` 3. put_get............... pass`, rewritten in place while it runs; behind a warning the result stands in a line without name.
    let mut results = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        let line = line.trim_start();
        let numbered = line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok());
        let Some((shown, result)) = numbered.map_or(line, |(_, rest)| rest).split_once("..") else { continue };
        if numbered.is_some() {
            shown.clone_into(&mut name);
        }
        let result = result.trim_start_matches('.').split_whitespace().next().unwrap_or_default();
        if matches!(result, "pass" | "FAIL" | "SKIPPED") {
            results.insert(name.clone(), result.to_owned());
        }
    }
    results
}
