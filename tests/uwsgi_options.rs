//! Options of a uwsgi.ini: what each does, and what is said of one that does nothing or less than it says.

use std::fs;
use std::os::unix::fs::MetadataExt;

use harness::process::signal_process;
use harness::{Address, Application, Ended, Launch, Port, Request, Scratch, Site, programs, servers, site, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// `daemun check` on an ini file with these options, by nobody in particular where `changes_user`.
fn check(scratch: &Scratch, options: &str, changes_user: bool) -> Ended {
    scratch.add_application("pep3333.py");
    let ini = scratch.write("app.ini", site::ini("pep3333", options));
    let launch = if changes_user && servers::is_root() {
        // Where the program lies, others may not be able to go.
        fs::copy(programs::daemun(), scratch.path("program")).expect("the program can be copied");
        let launch =
            Launch::new(scratch, "check", "setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        launch.arg(scratch.path("program"))
    } else {
        servers::daemun(scratch)
    };
    launch.arg("check").arg("-p").arg(scratch.folder()).arg("--ini").arg(ini).run()
}

#[test]
fn what_has_no_effect_is_told() {
    for (options, said) in [
        ("enable-threads = false", "option \"enable-threads\" has no effect in daemun"),
        ("master = false", "option \"master\" has no effect in daemun"),
        ("logger = file:SCRATCH/a.log\nlogger = stdio", "a second logger is not supported"),
        ("logger = file:SCRATCH/a.log\nlogto = SCRATCH/b.log", "the log goes to the logger"),
        ("daemonize = SCRATCH/a.log", "daemun run stays in the foreground"),
    ] {
        let scratch = Scratch::new();
        let ended = check(&scratch, options, false);
        assert!(ended.status.success() && ended.output.contains(said), "{options}:\n{}", ended.output);
    }
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", "thunder-lock = true");
    let said = site.process.output();
    assert!(said.contains("\"thunder-lock\" has no effect"), "not told at the start:\n{said}");
}

/// Who is not root can neither become somebody nor give anything away.
#[test]
fn what_only_root_can_do_is_told() {
    let scratch = Scratch::new();
    let ended = check(&scratch, "socket = SCRATCH/app.sock\nuid = daemon\nchown-socket = daemon", true);
    assert!(ended.status.success(), "{}", ended.output);
    for option in ["uid", "chown-socket"] {
        let said = format!("application \"app\": option \"{option}\" makes sense only if");
        assert!(ended.output.contains(&said), "{said} is not in:\n{}", ended.output);
    }
    let ended = check(&scratch, "socket = SCRATCH/app.sock\nuid = 65534", true);
    assert!(!servers::is_root() || !ended.output.contains("[warn]"), "it is who it is to be:\n{}", ended.output);
}

/// As in uWSGI, which does so without being told: the server is there, and has nothing to say.
#[test]
fn without_need_app_every_request_is_a_500() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.write(
        "app.ini",
        format!("[uwsgi]\nmodule = no_such_module\nneed-app = false\nhttp-socket = {}\n", port.address()),
    );
    let mut process = servers::app(&scratch, "app.ini").start();
    process.wait_for(&port.address());
    assert_eq!(Request::get("/").send(&port.address()).status, 500);
    let said = process.output();
    assert!(said.contains("no module named \"no_such_module\""), "{said}");
    assert!(process.is_running());
}

/// `uwsgi_pass app:NAME`, where NAME is the ini file's.
#[test]
fn check_knows_the_pools_by_name() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.add_application("pep3333.py");
    let ini = scratch.write("shop.ini", site::ini("pep3333", "socket = SCRATCH/site.sock"));
    for (name, is_right) in [("shop", true), ("shopp", false)] {
        let conf = site::conf(&port, "").replace("unix:SCRATCH/site.sock", &format!("app:{name}"));
        let launch = servers::daemun(&scratch).arg("check").arg("-p").arg(scratch.folder()).arg("--ini").arg(&ini);
        let ended = launch.arg("-c").arg(scratch.write("site.conf", conf)).run();
        assert_eq!(ended.status.success(), is_right, "{}", ended.output);
        assert_eq!(ended.output.contains("no application \"shopp\""), !is_right, "{}", ended.output);
    }
}

#[test]
fn usr1_reopens_the_log_of_the_application() {
    let mut options = vec!["logger = file:SCRATCH/own.log\nprocesses = 2".to_owned()];
    if servers::is_root() {
        // The new file is made for somebody who could not make it.
        options.push("logto = SCRATCH/own.log\nhome = SCRATCH/venv\nuid = www-data".to_owned());
    }
    for options in options {
        let scratch = Scratch::new();
        if options.contains("home") {
            programs::make_virtualenv("/usr/bin/python3".as_ref(), &scratch.path("venv"));
        }
        let site = Site::start(&scratch, "", "pep3333", &options);
        Request::get("/say?before").send(&site.address);
        wait_until("the log is written", || scratch.read("own.log").contains("before by wsgi.errors"));
        fs::rename(scratch.path("own.log"), scratch.path("old.log")).expect("the log can be renamed");
        site.process.signal(Signal::USR1);
        // The worker that is asked may be the one that has not been told yet.
        wait_until("the new log is written", || {
            Request::get("/say?after").send(&site.address);
            scratch.read("own.log").contains("after by wsgi.errors")
        });
        let workers = site.process.descendants().len();
        assert_eq!(Request::get("/hello").send(&site.address).status, 200);
        assert!(workers >= 3, "{options}: a signal has killed somebody: {:?}", site.process.descendants());
    }
}

/// Zygote and edge both learn of it; where they write to one place, one of them says so.
#[test]
fn a_death_is_said_once_in_a_place() {
    let killed = |process: &harness::Process, address: &Address| {
        let pid: i32 = Request::get("/pid").send(address).text().parse().expect("a number");
        signal_process(pid, Signal::KILL);
        wait_until("it is replaced", || {
            Request::get("/pid")
                .try_send(address)
                .is_ok_and(|page| page.status == 200 && page.text() != pid.to_string())
        });
        assert!(!process.children().is_empty());
        format!("(pid {pid}) was killed by signal 9")
    };
    let scratch = Scratch::new();
    let application = Application::start(&scratch, "pep3333", "");
    let line = killed(&application.process, &application.address);
    wait_until("it is said", || application.process.output().contains(&line));
    assert_eq!(application.process.output().matches(&line).count(), 1, "{}", application.process.output());

    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", "logger = file:SCRATCH/own.log");
    let line = killed(&site.process, &site.address);
    for log in ["error.log", "own.log"] {
        wait_until("it is said", || scratch.read(log).contains(&line));
        assert_eq!(scratch.read(log).matches(&line).count(), 1, "{log}");
    }
}

fn settings(address: &Address) -> Value {
    serde_json::from_slice(&Request::get("/settings").send(address).body).expect("the page is JSON")
}

/// `chdir2`, `pidfile2`, and what Python itself reads of the environment before anything of ours runs.
#[test]
fn options_take_effect_in_their_time() {
    let scratch = Scratch::new();
    scratch.write("library/only_here.py", "");
    scratch.add_application("pep3333.py");
    scratch.write(
        "app/served.py",
        "import os\nimport only_here\nassert os.getcwd().endswith('app')\nfrom pep3333 import application\n",
    );
    scratch.make_folder("later");
    let options = "chdir2 = SCRATCH/later\npidfile2 = SCRATCH/second.pid\nenv = PYTHONPATH=SCRATCH/library\nenv = PYTHONHASHSEED=7";
    let port = Port::reserve();
    scratch.write("app.ini", site::ini("served", &format!("http = {}\n{options}", port.address())));
    let mut process = servers::daemun_app(&scratch, "app.ini", &port.address());
    let settings = settings(&port.address());
    assert_eq!(settings["folder"], scratch.text_path("later"));
    assert_eq!(settings["environment"]["PYTHONHASHSEED"], "7");
    assert_eq!(scratch.read("second.pid").trim(), process.pid().to_string());
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    assert!(!scratch.path("second.pid").exists(), "vacuum");
}

#[test]
fn a_socket_is_given_away() {
    if !servers::is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", "chown-socket = www-data:daemon");
    // The port is bound a moment before the socket.
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    let socket = fs::metadata(scratch.path("site.sock")).expect("the socket is there");
    assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o777), (33, 1, 0o666));
}
