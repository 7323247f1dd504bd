//! An application that cannot be started: one clear error, an exit status, nothing left behind.

use std::net::TcpListener;

use harness::{Connection, Ended, Launch, Port, Scratch, programs, servers, site};

/// What is wrong in the ini file, and what the error must name.
struct Wrong {
    name: &'static str,
    module: &'static str,
    options: &'static str,
    says: &'static [&'static str],
}

const WRONG: &[Wrong] = &[
    Wrong {
        name: "missing module",
        module: "no_such_module",
        options: "",
        says: &["no_such_module", "ModuleNotFoundError"],
    },
    Wrong {
        name: "failing import",
        module: "broken",
        options: "",
        says: &["broken.py\", line 3", "RuntimeError: broken at import"],
    },
    Wrong { name: "syntax error", module: "unreadable", options: "", says: &["unreadable.py", "SyntaxError"] },
    Wrong { name: "missing callable", module: "pep3333", options: "callable = nothing", says: &["nothing", "pep3333"] },
    Wrong {
        name: "callable that is none",
        module: "pep3333",
        options: "callable = STATE",
        says: &["STATE", "callable"],
    },
    Wrong { name: "no virtualenv", module: "pep3333", options: "home = SCRATCH/nowhere", says: &["SCRATCH/nowhere"] },
    Wrong { name: "empty virtualenv", module: "pep3333", options: "home = SCRATCH/hollow", says: &["SCRATCH/hollow"] },
    Wrong { name: "wrong python", module: "pep3333", options: "home = SCRATCH/false", says: &["SCRATCH/false"] },
    Wrong { name: "no folder", module: "pep3333", options: "chdir = SCRATCH/nowhere", says: &["SCRATCH/nowhere"] },
    Wrong {
        name: "socket in no folder",
        module: "pep3333",
        options: "socket = SCRATCH/nowhere/app.sock",
        says: &["SCRATCH/nowhere", "No such file or directory"],
    },
    Wrong { name: "unknown user", module: "pep3333", options: "uid = no-such-user", says: &["no-such-user"] },
];

#[test]
fn each_is_one_clear_error() {
    for wrong in WRONG {
        let scratch = prepared();
        let port = Port::reserve();
        scratch.write("app.ini", ini(wrong, &format!("http-socket = {}", port.address())));
        let ended = servers::app(&scratch, "app.ini").run();
        assert_refused(&scratch, &ended, wrong.name);
        assert!(Connection::open(&port.address()).is_err(), "{}: the port is bound", wrong.name);
        for text in wrong.says {
            let text = text.replace("SCRATCH", &scratch.folder().to_string_lossy());
            assert!(ended.output.contains(&text), "{}: {text:?} is not in:\n{}", wrong.name, ended.output);
        }
        assert!(ended.output.lines().count() < 40, "{}: that is not one clear error:\n{}", wrong.name, ended.output);
    }
}

/// The web server in front does not start either, and gives its port back.
#[test]
fn run_fails_with_its_application() {
    for wrong in
        WRONG.iter().filter(|wrong| matches!(wrong.name, "missing module" | "failing import" | "no virtualenv"))
    {
        let scratch = prepared();
        let port = Port::reserve();
        scratch.write("site.conf", site::conf(&port, ""));
        scratch.write("site.ini", ini(wrong, "socket = SCRATCH/site.sock\npidfile = SCRATCH/site.pid"));
        let ended = servers::run(&scratch, "site.conf", "site.ini").run();
        assert_refused(&scratch, &ended, wrong.name);
        assert!(Connection::open(&port.address()).is_err(), "{}: the port is bound", wrong.name);
        let text = wrong.says[0].replace("SCRATCH", &scratch.folder().to_string_lossy());
        assert!(ended.output.contains(&text), "{}: {text:?} is not in:\n{}", wrong.name, ended.output);
    }
}

/// What needs no process to be found out, `daemun check` finds out too.
#[test]
fn check_says_it_before() {
    let known = ["no virtualenv", "empty virtualenv", "no folder", "unknown user"];
    for wrong in WRONG.iter().filter(|wrong| known.contains(&wrong.name)) {
        let scratch = prepared();
        let file = scratch.write("site.ini", ini(wrong, "socket = SCRATCH/site.sock"));
        let ended = servers::daemun(&scratch).arg("check").arg("-p").arg(scratch.folder()).arg("--ini").arg(file).run();
        assert_refused(&scratch, &ended, wrong.name);
        let text = wrong.says[0].replace("SCRATCH", &scratch.folder().to_string_lossy());
        assert!(ended.output.contains(&text), "{}: {text:?} is not in:\n{}", wrong.name, ended.output);
        assert!(ended.output.contains("application \"site\""), "{}", ended.output);
    }
}

#[test]
fn a_busy_port_is_named() {
    let scratch = prepared();
    let port = Port::reserve();
    let address = port.address().to_string();
    let _holder = TcpListener::bind(&address).expect("the port is free");
    scratch.write("app.ini", site::ini("pep3333", &format!("http-socket = {address}")));
    scratch.write("web.conf", servers::nginx_conf(&format!("server {{ listen {address}; }}")));
    scratch.write("site.conf", site::conf(&port, ""));
    scratch.write("site.ini", site::ini("pep3333", "socket = SCRATCH/site.sock"));
    for (name, launch) in [
        ("app", servers::app(&scratch, "app.ini")),
        ("web", servers::web(&scratch, "web.conf")),
        ("run", servers::run(&scratch, "site.conf", "site.ini")),
    ] {
        let ended = launch.run();
        assert_refused(&scratch, &ended, name);
        for text in [&address, "98: Address already in use"] {
            assert!(ended.output.contains(text), "{name}: {text:?} is not in:\n{}", ended.output);
        }
    }
}

#[test]
fn a_socket_that_somebody_serves_is_not_taken_away() {
    let scratch = prepared();
    scratch.write("app.ini", site::ini("pep3333", "socket = SCRATCH/app.sock"));
    let first = harness::Address::Unix(scratch.path("app.sock"));
    let _running = servers::daemun_app(&scratch, "app.ini", &first);
    let ended = servers::app(&scratch, "app.ini").run();
    assert!(!ended.status.success(), "{}", ended.output);
    assert!(ended.output.contains(&scratch.text_path("app.sock")), "the socket is not named in:\n{}", ended.output);
    assert!(Connection::open(&first).is_ok(), "the first server has lost its socket");
}

#[test]
fn missing_files_are_named() {
    let scratch = prepared();
    scratch.write(
        "app.ini",
        "[uwsgi]\nchdir = SCRATCH/app\nwsgi-file = SCRATCH/app/absent.py\nsocket = SCRATCH/app.sock\n",
    );
    scratch.write("nothing.ini", "[uwsgi]\nsocket = SCRATCH/app.sock\nneed-app = true\n");
    let daemun =
        |ini: &str| Launch::new(&scratch, "daemun", programs::daemun()).arg("app").arg("--ini").arg(scratch.path(ini));
    for (ini, text) in [("app.ini", "absent.py"), ("no-such.ini", "no-such.ini"), ("nothing.ini", "application")] {
        let ended = daemun(ini).run();
        assert_refused(&scratch, &ended, ini);
        assert!(ended.output.contains(text), "{text:?} is not in:\n{}", ended.output);
    }
}

fn prepared() -> Scratch {
    let scratch = Scratch::new();
    scratch.add_application("pep3333.py");
    scratch.write("app/broken.py", "\"\"\"Fails.\"\"\"\n\nraise RuntimeError(\"broken at import\")\n");
    scratch.write("app/unreadable.py", "def application(:\n");
    scratch.make_folder("hollow/bin");
    scratch.make_folder("false/bin");
    std::os::unix::fs::symlink("/bin/false", scratch.path("false/bin/python")).expect("a link can be made");
    std::os::unix::fs::symlink("/bin/false", scratch.path("false/bin/python3")).expect("a link can be made");
    scratch
}

fn ini(wrong: &Wrong, options: &str) -> String {
    let text = format!("{options}\n{}", wrong.options);
    if wrong.options.starts_with("callable") {
        return format!(
            "[uwsgi]\nchdir = SCRATCH/app\nmodule = {}\nmaster = true\nvacuum = true\n{text}\n",
            wrong.module
        );
    }
    if wrong.options.starts_with("chdir") {
        return format!("[uwsgi]\nmodule = {}:application\nmaster = true\nvacuum = true\n{text}\n", wrong.module);
    }
    site::ini(wrong.module, &text)
}

#[track_caller]
fn assert_refused(scratch: &Scratch, ended: &Ended, name: &str) {
    assert!(
        ended.status.code().is_some_and(|code| code != 0),
        "{name}: {}, having said:\n{}",
        ended.status,
        ended.output
    );
    assert!(scratch.traces_left().is_empty(), "{name}: left behind {:?}", scratch.traces_left());
    assert!(scratch.processes_left().is_empty(), "{name}: left running {:?}", scratch.processes_left());
}
