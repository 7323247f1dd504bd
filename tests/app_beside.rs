//! What goes on beside the workers: hooks, cron jobs, daemons; and what the processes are like.

use std::fs;

use harness::process::{is_alive, signal_process};
use harness::{Address, Application, Connection, Port, Process, Request, Scratch, servers, site, wait_until};
use rustix::process::Signal;

const PHASES: [&str; 8] =
    ["asap", "pre-jail", "as-root", "as-user", "pre-app", "post-app", "accepting", "as-user-atexit"];

/// In the order of uWSGI, which has them all.
#[test]
fn hooks_run_in_order() {
    let mut hooks: String = PHASES.map(|phase| format!("hook-{phase} = appendn:SCRATCH/order {phase}\n")).concat();
    hooks.push_str("exec-as-user = echo exec >> SCRATCH/order\n");
    let starts = [servers::uwsgi as fn(&Scratch, &str, &Address) -> Process, servers::daemun_app];
    let [theirs, ours] = starts.map(|start| {
        let (scratch, port) = (Scratch::new(), Port::reserve());
        scratch.add_application("pep3333.py");
        let options = format!("http-socket = {}\ndie-on-term = true\n{hooks}", port.address());
        scratch.write("app.ini", site::ini("pep3333", &options));
        let mut process = start(&scratch, "app.ini", &port.address());
        assert_eq!(Request::get("/hello").send(&port.address()).status, 200);
        process.signal(Signal::TERM);
        process.wait();
        let mut order: Vec<String> = Vec::new();
        // uWSGI runs some of them in every process; once is meant.
        for line in scratch.read("order").lines() {
            if !order.iter().any(|known| known == line) {
                order.push(line.to_owned());
            }
        }
        order
    });
    assert_eq!(ours, theirs);
}

#[test]
fn actions_do_what_they_say() {
    let scratch = Scratch::new();
    let options = "hook-asap = mkdir:SCRATCH/made\nhook-asap = write:SCRATCH/made/a one two\nhook-asap = writen:SCRATCH/b x
hook-asap = chmod:SCRATCH/b 640\nhook-asap = creat:SCRATCH/c\nhook-asap = unlink:SCRATCH/c\nhook-as-user = putenv:GREETING=hello
hook-as-user = print:a word\nhook-as-user = safeexec:false\nhook-pre-app = wait_for_file:SCRATCH/b
hook-post-app = exec:echo $GREETING > SCRATCH/d";
    let application = Application::start(&scratch, "pep3333", options);
    assert_eq!(Request::get("/hello").send(&application.address).status, 200);
    assert_eq!(scratch.read("made/a"), "one two");
    assert_eq!(scratch.read("b"), "x\n");
    assert_eq!(scratch.read("d"), "hello\n");
    assert!(!scratch.path("c").exists());
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(scratch.path("b")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(application.process.output().contains("a word"), "{}", application.process.output());
}

#[test]
fn a_hook_that_fails_ends_the_start() {
    for (hook, said) in [
        ("hook-as-user = exec:exit 3", "\"exit 3\" ended with exit status: 3"),
        ("exec-pre-app = false", "hook-pre-app \"exec:false\" failed"),
        ("hook-asap = mkdir:SCRATCH/no/such", "hook-asap"),
    ] {
        let scratch = Scratch::new();
        scratch.add_application("pep3333.py");
        scratch.write("app.ini", site::ini("pep3333", hook));
        let ended = servers::app(&scratch, "app.ini").run();
        assert!(!ended.status.success() && ended.output.contains(said), "{hook}: {}", ended.output);
    }
}

/// Hooks before the change of user have the rights of who started it.
#[test]
fn hooks_before_the_change_of_user_are_roots() {
    if !servers::is_root() {
        println!("skipped: only root can give up root");
        return;
    }
    let scratch = Scratch::new();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(scratch.folder(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    // An interpreter below /root cannot be run by others.
    harness::programs::make_virtualenv("/usr/bin/python3".as_ref(), &scratch.path("venv"));
    let options = "home = SCRATCH/venv\nuid = www-data\nexec-as-root = id -u > SCRATCH/root\nexec-as-user = id -u > SCRATCH/user\nprio = -5";
    let application = Application::start(&scratch, "pep3333", options);
    assert_eq!(Request::get("/hello").send(&application.address).status, 200);
    assert_eq!((scratch.read("root").trim(), scratch.read("user").trim()), ("0", "33"));
    let worker = *application.workers().first().expect("a worker");
    let status = fs::read_to_string(format!("/proc/{worker}/status")).expect("it is there");
    assert!(status.contains("Uid:\t33\t33\t33\t33"), "{status}");
    assert_eq!(nice_of(worker), -5);
}

fn nice_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    fields.split_whitespace().nth(16).and_then(|field| field.parse().ok()).expect("a number")
}

#[test]
fn processes_are_as_configured() {
    let scratch = Scratch::new();
    let options = "processes = 2\nprio = 3\nlimit-as = 4096\ncpu-affinity = 1\numask = 027";
    let application = Application::start(&scratch, "pep3333", options);
    assert_eq!(Request::get("/hello").send(&application.address).status, 200);
    wait_until("both are there", || application.workers().len() == 2);
    for worker in application.workers() {
        assert_eq!(nice_of(worker), 3);
        let status = fs::read_to_string(format!("/proc/{worker}/status")).expect("it is there");
        assert!(status.contains("Umask:\t0027"), "{status}");
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a line");
        assert!(allowed.trim().parse::<u32>().is_ok(), "more than one processor: {allowed}");
        let limits = fs::read_to_string(format!("/proc/{worker}/limits")).expect("it is there");
        let line = limits.lines().find(|line| line.starts_with("Max address space")).expect("a line");
        assert!(line.contains("4294967296"), "{line}");
    }
}

#[test]
fn processes_are_named() {
    for (options, name) in [
        ("auto-procname = true", "daemun worker 1"),
        ("auto-procname = true\nprocname-prefix-spaced = site\nprocname-append = , here", "site daemun worker 1, here"),
        ("procname = other", "other"),
    ] {
        let scratch = Scratch::new();
        let application = Application::start(&scratch, "pep3333", options);
        let pid: i32 = Request::get("/pid").send(&application.address).text().parse().expect("a number");
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it is there");
        assert_eq!(command.trim_end_matches('\0'), name);
    }
}

/// Jobs run by the clock; one that runs too long is killed, and a unique one never runs twice at once.
#[test]
fn cron_jobs_run() {
    let scratch = Scratch::new();
    let options = "cron = -1 -1 -1 -1 -1 echo all >> SCRATCH/jobs\ncron = 0 0 30 2 -1 echo never >> SCRATCH/jobs
cron2 = minute=-1,unique=1,harakiri=1 echo $$ > SCRATCH/long; exec sleep 1000\nstats = SCRATCH/stats";
    let application = Application::start(&scratch, "pep3333", options);
    wait_until("it has run", || scratch.read("jobs").contains("all"));
    assert!(!scratch.read("jobs").contains("never"));
    wait_until("the long one runs", || !scratch.read("long").trim().is_empty());
    let pid = scratch.read("long").trim().parse().expect("a number");
    wait_until("it is killed", || !is_alive(pid));
    assert!(application.process.output().contains("it is killed"), "{}", application.process.output());
    let numbers = Connection::to(&Address::Unix(scratch.path("stats"))).rest();
    let numbers: serde_json::Value = serde_json::from_slice(&numbers).expect("JSON");
    assert_eq!(numbers["crons"][1]["minute"], 0);
    assert_eq!(numbers["crons"][2]["unique"], 1);
}

/// A daemon is there as long as the application, and again when it dies; one with a pid file outlives it.
#[test]
fn daemons_live_with_the_application() {
    let scratch = Scratch::new();
    let options = "attach-daemon = echo $$ > SCRATCH/plain; exec sleep 1000
smart-attach-daemon2 = SCRATCH/smart.pid exec sleep 1000";
    let mut application = Application::start(&scratch, "pep3333", options);
    assert_eq!(Request::get("/hello").send(&application.address).status, 200);
    let pid_in = |name: &str| scratch.read(name).trim().parse::<i32>().unwrap_or(0);
    wait_until("both run", || is_alive(pid_in("plain").max(1)) && pid_in("plain") > 1 && pid_in("smart.pid") > 1);
    let (first, smart) = (pid_in("plain"), pid_in("smart.pid"));
    signal_process(first, Signal::KILL);
    wait_until("it is started again", || pid_in("plain") > 1 && pid_in("plain") != first && is_alive(pid_in("plain")));
    let second = pid_in("plain");
    application.process.signal(Signal::HUP);
    wait_until("the next generation has its own", || {
        pid_in("plain") > 1 && pid_in("plain") != second && is_alive(pid_in("plain"))
    });
    assert!(!is_alive(second), "the old one lives on");
    assert_eq!(pid_in("smart.pid"), smart);
    let third = pid_in("plain");
    application.process.signal(Signal::TERM);
    assert_eq!(application.process.wait().code(), Some(0));
    assert!(!is_alive(third), "it outlives the application");
    assert!(is_alive(smart), "the smart one has gone down too");
    signal_process(smart, Signal::KILL);
}

/// The end of a daemon that controls is the end of everything.
#[test]
fn a_control_daemon_ends_everything() {
    let scratch = Scratch::new();
    let options = "attach-control-daemon = while ! test -e SCRATCH/end; do sleep 0.05; done";
    let mut application = Application::start(&scratch, "pep3333", options);
    assert_eq!(Request::get("/hello").send(&application.address).status, 200);
    scratch.write("end", "");
    assert_eq!(application.process.wait().code(), Some(0));
}
