//! A wrong configuration: exit 1 before anything is bound, every error with file, line, column, the line itself and a suggestion.

use harness::{Connection, Ended, Port, Scratch, programs, servers};

/// A wrong file and what must be said about it.
struct Wrong {
    /// Stands in the `http` block; `listen` names a port that must stay free.
    http: &'static str,
    /// nginx's own words, the position aside.
    message: &'static str,
    /// Line within `http`, counted from 1, and column of the offending word.
    position: (usize, usize),
    /// What a suggestion must name.
    suggestion: Option<&'static str>,
}

const WRONG: &[Wrong] = &[
    Wrong {
        http: "server {\n    listen PORT;\n    servr_name localhost;\n}",
        message: "unknown directive \"servr_name\"",
        position: (3, 5),
        suggestion: Some("server_name"),
    },
    Wrong {
        http: "server {\n    listen PORT;\n    uwsgi_passs unix:/tmp/x.sock;\n}",
        message: "unknown directive \"uwsgi_passs\"",
        position: (3, 5),
        suggestion: Some("uwsgi_pass"),
    },
    Wrong {
        http: "server {\n    listen PORT;\n}\nlisten PORT;",
        message: "\"listen\" directive is not allowed here",
        position: (4, 1),
        suggestion: None,
    },
    Wrong {
        http: "server {\n    listen PORT;\n    location / { worker_processes 2; }\n}",
        message: "\"worker_processes\" directive is not allowed here",
        position: (3, 18),
        suggestion: None,
    },
    Wrong {
        http: "server {\n    listen PORT;\n    root /one /two;\n}",
        message: "invalid number of arguments in \"root\" directive",
        position: (3, 5),
        suggestion: None,
    },
    Wrong {
        http: "server {\n    listen PORT;\n    index index.html\n}",
        message: "unexpected \"}\"",
        position: (4, 1),
        suggestion: None,
    },
    Wrong {
        http: "server {\n    listen PORT;\n    sendfile maybe;\n}",
        message: "invalid value \"maybe\" in \"sendfile\" directive, it must be \"on\" or \"off\"",
        position: (3, 14),
        suggestion: None,
    },
    Wrong {
        http: "server {\n    listen PORT;\n    root /one;\n    root /two;\n}",
        message: "\"root\" directive is duplicate",
        position: (4, 5),
        suggestion: None,
    },
    Wrong {
        http: "server {\n    listen PORT;\n    client_max_body_size 5 apples;\n}",
        message: "invalid number of arguments in \"client_max_body_size\" directive",
        position: (3, 5),
        suggestion: None,
    },
    Wrong {
        http: "server {\n    listen PORT;\n    server;\n}",
        message: "\"server\" directive is not allowed here",
        position: (3, 5),
        suggestion: None,
    },
    Wrong {
        http: "server {\n    listen PORT;\n    location /;\n}",
        message: "directive \"location\" has no opening \"{\"",
        position: (3, 5),
        suggestion: None,
    },
];

#[test]
fn every_error_is_refused_in_its_place() {
    for wrong in WRONG {
        let scratch = Scratch::new();
        let port = Port::reserve();
        let first_line = write_conf(&scratch, &port, wrong.http);
        let ended = servers::web(&scratch, "nginx.conf").run();
        assert_refused(&scratch, &port, &ended);

        let (line, column) = (first_line + wrong.position.0 - 1, wrong.position.1);
        let place = format!("{}:{line}", scratch.text_path("nginx.conf"));
        assert_says(&ended, "[emerg]", wrong);
        assert_says(&ended, &format!("{} in {place}", wrong.message), wrong);
        let source = wrong.http.lines().nth(wrong.position.0 - 1).expect("the line is in the text");
        let shown = format!("{line}:{column} | {}", source.replace("PORT", &port.address().to_string()));
        assert_says(&ended, &shown, wrong);
        if let Some(suggestion) = wrong.suggestion {
            assert_says(&ended, &format!("\"{suggestion}\"?"), wrong);
        }
    }
}

/// The words above are nginx's.
#[test]
fn nginx_says_the_same() {
    for wrong in WRONG {
        let scratch = Scratch::new();
        let port = Port::reserve();
        let first_line = write_conf(&scratch, &port, wrong.http);
        let nginx = harness::Launch::new(&scratch, "nginx", programs::nginx());
        let ended = nginx.arg("-t").arg("-p").arg(scratch.folder()).arg("-c").arg(scratch.path("nginx.conf")).run();
        let place = format!("{}:{}", scratch.text_path("nginx.conf"), first_line + wrong.position.0 - 1);
        assert_says(&ended, &format!("{} in {place}", wrong.message), wrong);
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let http = "server {
    listen PORT;
    servr_name localhost;
    root /one /two;
    keepalive_timeout soon;
    location / {
        worker_processes 1;
        aliass /tmp;
    }
}";
    let first_line = write_conf(&scratch, &port, http);
    let ended = servers::web(&scratch, "nginx.conf").run();
    assert_refused(&scratch, &port, &ended);
    let file = scratch.text_path("nginx.conf");
    for (name, line) in
        [("servr_name", 3), ("root", 4), ("keepalive_timeout", 5), ("worker_processes", 7), ("aliass", 8)]
    {
        let place = format!("{file}:{}", first_line + line - 1);
        let is_said = ended.output.lines().any(|said| said.contains(&format!("\"{name}\"")) && said.ends_with(&place));
        assert!(is_said, "{name} at {place} is not reported in:\n{}", ended.output);
    }
}

#[test]
fn an_included_file_is_named_itself() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.write("sites/one", "server {\n    listen 127.0.0.1:1;\n    acces_log off;\n}\n");
    write_conf(&scratch, &port, "include SCRATCH/sites/*;");
    let ended = servers::web(&scratch, "nginx.conf").run();
    assert_refused(&scratch, &port, &ended);
    let message = format!("unknown directive \"acces_log\" in {}:3", scratch.text_path("sites/one"));
    assert!(ended.output.contains(&message), "{message} is not in:\n{}", ended.output);
    assert!(ended.output.contains("\"access_log\"?"), "no suggestion in:\n{}", ended.output);
}

#[test]
fn an_unreadable_include_is_an_error() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let line = write_conf(&scratch, &port, "include SCRATCH/not-there.conf;");
    let ended = servers::web(&scratch, "nginx.conf").run();
    assert_refused(&scratch, &port, &ended);
    let missing = scratch.text_path("not-there.conf");
    for text in [format!("{missing}\" failed (2: No such file or directory)"), format!("nginx.conf:{line}")] {
        assert!(ended.output.contains(&text), "{text} is not in:\n{}", ended.output);
    }
}

#[test]
fn a_missing_configuration_is_an_error() {
    let scratch = Scratch::new();
    let ended = servers::web(&scratch, "no-such.conf").run();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    assert!(ended.output.contains("no-such.conf"), "the file is not named in:\n{}", ended.output);
}

#[test]
fn an_unclosed_block_is_an_error() {
    let scratch = Scratch::new();
    let path = scratch.write("nginx.conf", "events {}\nhttp {\n    server {\n        listen 127.0.0.1:1;\n");
    let ended = servers::web(&scratch, "nginx.conf").run();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    let message = format!("unexpected end of file, expecting \"}}\" in {}", path.display());
    assert!(ended.output.contains(&message), "{message} is not in:\n{}", ended.output);
}

/// `-t`, `run` and `check` look with the same eyes.
#[test]
fn test_run_and_check_refuse_the_same() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    write_conf(&scratch, &port, "server {\n    listen PORT;\n    servr_name localhost;\n}");
    scratch.add_application("pep3333.py");
    scratch.write("app.ini", harness::site::ini("pep3333", "socket = SCRATCH/app.sock"));
    let check = servers::daemun(&scratch).arg("check").arg("-p").arg(scratch.folder());
    for (name, launch) in [
        ("-t", servers::web(&scratch, "nginx.conf").arg("-t")),
        ("run", servers::run(&scratch, "nginx.conf", "app.ini")),
        ("check", check.arg("-c").arg(scratch.path("nginx.conf"))),
    ] {
        let ended = launch.run();
        assert_refused(&scratch, &port, &ended);
        assert!(ended.output.contains("unknown directive \"servr_name\""), "{name} says:\n{}", ended.output);
    }
}

/// What is accepted and changes nothing is told.
#[test]
fn check_tells_what_has_no_effect() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let server = "server {\n    listen PORT;\n    tcp_nopush off;\n    sendfile off;\n}";
    write_conf(&scratch, &port, server);
    let launch = servers::daemun(&scratch).arg("check").arg("-p").arg(scratch.folder());
    let ended = launch.arg("-c").arg(scratch.path("nginx.conf")).run();
    assert!(ended.status.success(), "{}", ended.output);
    assert!(ended.output.contains("\"tcp_nopush off\" has no effect"), "{}", ended.output);
    assert!(!ended.output.contains("sendfile"), "it is obeyed:\n{}", ended.output);
}

/// A faultless file: `-t` says so in nginx's words, and binds nothing either.
#[test]
fn a_right_configuration_passes() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    write_conf(&scratch, &port, "server {\n    listen PORT;\n    server_name localhost;\n}");
    let ended = servers::web(&scratch, "nginx.conf").arg("-t").run();
    assert!(ended.status.success(), "{}", ended.output);
    let file = scratch.text_path("nginx.conf");
    for text in
        [format!("the configuration file {file} syntax is ok"), format!("configuration file {file} test is successful")]
    {
        assert!(ended.output.contains(&text), "{text:?} is not in:\n{}", ended.output);
    }
}

/// An unknown option of a uwsgi.ini is told with the nearest name and does not stop anything, unless `strict` is set.
#[test]
fn an_unknown_option_warns_and_strict_refuses() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.add_application("pep3333.py");
    let options = format!("http-socket = {}\nprocesess = 2\nstrict = true", port.address());
    scratch.write("app.ini", harness::site::ini("pep3333", &options));
    let ended = servers::app(&scratch, "app.ini").run();
    assert!(!ended.status.success(), "{}", ended.output);
    for text in ["procesess", "processes", "app.ini:7"] {
        assert!(ended.output.contains(text), "{text:?} is not in:\n{}", ended.output);
    }
    assert!(Connection::open(&port.address()).is_err());
}

/// Writes an nginx.conf around `http`; the line on which `http` starts.
fn write_conf(scratch: &Scratch, port: &Port, http: &str) -> usize {
    let conf = servers::nginx_conf(&http.replace("PORT", &port.address().to_string()));
    scratch.write("nginx.conf", &conf);
    let first = http.lines().next().expect("the text is not empty");
    let filled = first.replace("PORT", &port.address().to_string());
    conf.lines().position(|line| line == filled).expect("the text is in the file") + 1
}

#[track_caller]
fn assert_refused(scratch: &Scratch, port: &Port, ended: &Ended) {
    assert_eq!(ended.status.code(), Some(1), "exit status; it said:\n{}", ended.output);
    assert!(Connection::open(&port.address()).is_err(), "{} is bound", port.address());
    assert!(scratch.traces_left().is_empty(), "left behind: {:?}", scratch.traces_left());
    assert!(scratch.processes_left().is_empty(), "left running: {:?}", scratch.processes_left());
}

#[track_caller]
fn assert_says(ended: &Ended, text: &str, wrong: &Wrong) {
    assert!(ended.output.contains(text), "on\n{}\n{text:?} is not in what was said:\n{}", wrong.http, ended.output);
}

/// What one `listen` says of an address and another does not: options of the socket but once, options of the protocol alike.
#[test]
fn listens_of_one_address_that_differ() {
    let said = |listens: &str| {
        let scratch = Scratch::new();
        let server = |listen: &str| format!("server {{ listen 8080 {listen}; }}\n");
        let text: String = listens.split(',').map(|listen| server(listen.trim())).collect();
        scratch.write("web.conf", servers::nginx_conf(&text));
        servers::web(&scratch, "web.conf").arg("-t").run().output
    };
    for listens in ["backlog=10, backlog=10", "bind, proxy_protocol, bind"] {
        let text = said(listens);
        assert!(text.contains("duplicate listen options for 0.0.0.0:8080 in"), "{listens}: {text}");
    }
    // As current nginx: one that says more than the first is right unless the first has the socket's options.
    for (listens, is_warned) in [
        (", ", false),
        ("proxy_protocol, proxy_protocol", false),
        (", proxy_protocol", false),
        ("proxy_protocol, ", false),
        ("bind, proxy_protocol", true),
        ("proxy_protocol, bind", true),
        (", proxy_protocol, ", false),
        (", proxy_protocol, proxy_protocol", true),
        ("proxy_protocol, , proxy_protocol", true),
        ("proxy_protocol bind, , ", false),
    ] {
        let text = said(listens);
        assert_eq!(
            text.contains("[warn] protocol options redefined for 0.0.0.0:8080 in"),
            is_warned,
            "{listens}: {text}"
        );
        assert!(text.contains("test is successful"), "{listens}: {text}");
    }
}
