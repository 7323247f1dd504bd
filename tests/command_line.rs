//! nginx's command line: the same words, the same exit codes, and the same streams as nginx's own.

use std::path::Path;
use std::process::Command;

use harness::{Port, Scratch, programs, servers};

/// What a program said, stream by stream.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: Option<i32>,
    output: String,
    errors: String,
}

/// Runs a program without a shell; what daemun shows of the text around an error is left out.
fn said(program: &Path, first: &[&str], arguments: &[String]) -> Said {
    let ended = Command::new(program).args(first).args(arguments).output().expect("it can be run");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let is_plain = |line: &&str| !line.starts_with("  ");
    Said {
        code: ended.status.code(),
        output: text(&ended.stdout),
        errors: text(&ended.stderr).lines().filter(is_plain).map(|line| format!("{line}\n")).collect(),
    }
}

/// Both programs on the same folder, with a log of errors that is a file.
#[track_caller]
fn assert_same(scratch: &Scratch, arguments: &[&str]) {
    let folder = format!("{}/", scratch.folder().display());
    let mut all = vec!["-p".to_owned(), folder, "-e".to_owned(), scratch.text_path("first.log")];
    all.extend(arguments.iter().map(|word| (*word).to_owned()));
    let ours = said(&programs::daemun(), &["web"], &all);
    let theirs = said(&programs::nginx(), &[], &all);
    assert_eq!(ours, theirs, "{arguments:?}");
}

/// nginx binds what it tests: on a port that anybody may bind.
fn folder() -> (Scratch, Port) {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let listen = port.address();
    let server = format!("server {{ listen {listen}; server_name one; }}");
    scratch.write("good.conf", servers::nginx_conf(&format!("include inner.conf; {server}")));
    scratch.write("inner.conf", format!("# included\nserver {{ listen {listen}; server_name two; }}\n"));
    scratch.write("wrong.conf", servers::nginx_conf("server {\n    bogus on;\n}"));
    (scratch, port)
}

#[test]
fn a_configuration_is_tested_in_nginxs_words() {
    let (scratch, _port) = folder();
    for arguments in [
        &["-t", "-c", "good.conf"][..],
        &["-tq", "-c", "good.conf"],
        &["-t", "-q", "-cgood.conf"],
        &["-t", "-c", "wrong.conf"],
        &["-c", "wrong.conf"],
        &["-t", "-c", "missing.conf"],
        &["-t", "-c", "good.conf", "-g", "bogus on;"],
        &["-t", "-c", "good.conf", "-g", "daemon maybe;"],
        &["-t", "-c", "good.conf", "-g", "worker_processes 1;"],
        &["-t", "-c", "good.conf", "-g", "worker_priority 1; worker_rlimit_core 1m; working_directory /tmp;"],
        &["-s", "stop", "-c", "wrong.conf"],
    ] {
        assert_same(&scratch, arguments);
    }
}

/// `-T` prints every file once, as it is.
#[test]
fn a_configuration_is_printed() {
    let (scratch, _port) = folder();
    for arguments in [&["-T", "-c", "good.conf"][..], &["-Tq", "-c", "good.conf"], &["-T", "-c", "wrong.conf"]] {
        assert_same(&scratch, arguments);
    }
    let arguments: Vec<String> =
        ["-T", "-q", "-c", "good.conf", "-g", "worker_priority 1;", "-p"].map(str::to_owned).into_iter().collect();
    let printed =
        said(&programs::daemun(), &["web"], &[arguments, vec![format!("{}/", scratch.folder().display())]].concat());
    assert_eq!(printed.output.matches("# configuration file ").count(), 2, "{}", printed.output);
}

#[test]
fn a_wrong_command_line_is_refused_in_nginxs_words() {
    let (scratch, _port) = folder();
    for arguments in [
        &["-s"][..],
        &["-s", "bogus"],
        &["-sbogus"],
        &["-x"],
        &["words"],
        &["-c"],
        &["-g"],
        &["-e"],
        &["-p"],
        &["-s", "reload", "-c", "good.conf"],
        &["-s", "quit", "-c", "good.conf"],
    ] {
        assert_same(&scratch, arguments);
    }
    scratch.write("nginx.pid", "no number\n");
    assert_same(&scratch, &["-s", "reopen", "-c", "good.conf"]);
    scratch.write("nginx.pid", "999999999\n");
    assert_same(&scratch, &["-s", "stop", "-c", "good.conf"]);
}

/// Versions go where nginx's go: scripts read standard error.
#[test]
fn versions_are_said_on_standard_error() {
    for option in ["-v", "-V", "-h", "-?"] {
        let ours = said(&programs::daemun(), &["web"], &[option.to_owned()]);
        let theirs = said(&programs::nginx(), &[], &[option.to_owned()]);
        assert_eq!((ours.code, &ours.output), (theirs.code, &theirs.output), "{option}");
        for said in [&ours, &theirs] {
            assert!(said.errors.starts_with("nginx version: nginx/1."), "{option}: {}", said.errors);
        }
    }
}

/// Errors are in the log that `-e` names, too.
#[test]
fn errors_of_the_start_are_logged() {
    let (scratch, _port) = folder();
    for arguments in [&["-c", "wrong.conf"][..], &["-t", "-c", "wrong.conf"]] {
        let log = "own.log";
        std::fs::remove_file(scratch.path(log)).ok();
        let launch = servers::daemun(&scratch).arg("web").arg("-p").arg(scratch.folder()).arg("-e").arg(log);
        assert_eq!(launch.args(arguments).run().status.code(), Some(1));
        let line = scratch.read(log);
        assert!(line.contains("[emerg]") && line.contains("unknown directive \"bogus\" in "), "{arguments:?}: {line}");
    }
}

/// Values that nginx takes and others do not, and the other way round, each said in nginx's words.
#[test]
fn values_are_judged_as_nginx_judges_them() {
    let (scratch, port) = folder();
    let listen = port.address();
    for server in [
        "open_file_cache_valid 1M;",
        "open_file_cache_valid 500ms;",
        "server_tokens On;",
        "large_client_header_buffers 4 0;",
        "index /a b;",
        "try_files a =abc;",
        "server_name a A;",
        "location = /a { location /a/b { } }",
        "location @a { location /b { } }",
        "location ~ a { location /b { } }",
        "location ~ /a { location /a/b { } }",
        "listen 127.0.0.1:7 backlog=0;",
        "listen 127.0.0.1:7 backlog=a;",
        "listen 127.0.0.1:7 rcvbuf=a;",
        "keepalive_timeout 1m1h;",
        "client_max_body_size 10kk;",
        "expires 1s500ms;",
    ] {
        scratch.write("value.conf", servers::nginx_conf(&format!("server {{ listen {listen}; {server} }}")));
        assert_same(&scratch, &["-t", "-c", "value.conf"]);
    }
    for main in ["worker_priority 30;", "worker_priority 1a;", "worker_rlimit_nofile a;", "env A=b;", "env A;"] {
        assert_same(&scratch, &["-t", "-c", "good.conf", "-g", main]);
    }
    for (before, after) in
        [("worker_processes 1", "worker_processes a"), ("worker_connections 4096", "worker_connections 1x")]
    {
        let server = format!("server {{ listen {listen}; }}");
        scratch.write("value.conf", servers::nginx_conf(&server).replace(before, after));
        assert_same(&scratch, &["-t", "-c", "value.conf"]);
    }
}
