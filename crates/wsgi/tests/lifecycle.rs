//! A pool's life: what is loaded or cannot be, how workers die and are replaced, how a pool ends.

#![allow(unsafe_code)]

mod site;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use daemun_channel::handover::Mount;
use site::{End, Plan, Site, get};

const PID: &str = r#"
import atexit, os, time
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow": time.sleep(0.5)
    if path == "/stuck": time.sleep(60)
    if path == "/segfault": os.kill(os.getpid(), 11)
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
atexit.register(lambda: print("atexit in", os.getpid(), flush=True))
"#;

fn signal(pid: u32, number: i32) {
    // SAFETY: a signal to a process of this test's own pool.
    unsafe { libc::kill(pid as i32, number) };
}

fn wait_until_running(site: &mut Site, count: usize) {
    let seats = site.pool.layout().seats();
    site.wait_for("running requests", |site| site.pool.queued() == 0 && usize::from(seats) >= count);
    std::thread::sleep(Duration::from_millis(100));
}

#[test]
fn what_cannot_be_loaded_is_said_once_and_clearly() {
    let module = |name: &str| vec![Mount { module: Some(name.into()), ..Mount::default() }];
    let file = |path: &str| vec![Mount { wsgi_file: Some(PathBuf::from(path)), ..Mount::default() }];
    for (source, mounts, complaint) in [
        ("", module("no_such.wsgi"), "no module named \"no_such.wsgi\"; looked in /"),
        ("import no_such_inside", module("site_app"), "ModuleNotFoundError: No module named 'no_such_inside'"),
        ("def f(:\n", module("site_app"), "SyntaxError"),
        ("raise SystemExit(5)", module("site_app"), "SystemExit: 5"),
        (
            "app = print",
            module("site_app"),
            "module \"site_app\" has no \"application\"; it has \"app\": set callable = app",
        ),
        ("", module("site_app:other"), "module \"site_app\" has no \"other\"; set callable"),
        ("application = 'x'", module("site_app"), "is no WSGI application: str is not callable"),
        ("def make(): raise KeyError(1)", module("site_app:make()"), "KeyError: 1"),
        ("", file("/no/such/file.wsgi"), "/no/such/file.wsgi: No such file or directory"),
        ("", vec![], "no application is configured"),
    ] {
        let mut plan = Plan::new(source);
        plan.application.mounts = mounts;
        let (status, log) = plan.fail();
        assert_eq!(status.code(), Some(22), "{source}: {log}");
        assert!(log.contains("[crit]") && log.contains(complaint), "{complaint}: {log}");
        assert_eq!(log.matches("application \"site\" cannot be loaded").count(), 1, "{log}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let mut plan = Plan::new("");
    plan.application.chdir = Some("/no/such/folder".into());
    let (status, log) = plan.fail();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains("cannot be prepared") && log.contains("No such file or directory: '/no/such/folder'"),
        "{log}"
    );
}

#[test]
fn a_lazy_application_that_cannot_be_loaded_ends_the_pool_too() {
    let mut plan = Plan::new("import no_such_inside").processes(2);
    plan.workers.lazy_apps = true;
    let (status, log) = plan.fail();
    assert_eq!(status.code(), Some(22), "{log}");
}

#[test]
fn an_application_that_is_not_needed_may_be_missing() {
    let mut plan = Plan::new("import no_such_inside");
    plan.application.need_app = false;
    let mut site = plan.start();
    assert_eq!(site.ask(get("/")).status, 500);
}

#[test]
fn the_application_finds_its_surroundings() {
    let source = r#"
import os, sys, extra_module
seen = [os.environ["MY_NAME"], sys.argv, "DAEMUN_HANDOVER" in os.environ, os.path.exists("site_app.py")]
forked = []
os.register_at_fork(after_in_child=lambda: forked.append("hook"))
def make():
    return lambda environ, start_response: (start_response("200 OK", []), [repr(seen + forked).encode()])[1]
"#;
    let extra = tempfile::tempdir().expect("a folder");
    std::fs::write(extra.path().join("extra_module.py"), "").expect("written");
    let mut plan = Plan::new(source);
    plan.application.pythonpath = vec![extra.path().to_owned()];
    plan.application.env = vec![("MY_NAME".into(), "x=y".into())];
    plan.application.argv = vec!["--flag".into()];
    plan.application.mounts[0].module = Some("site_app:make()".into());
    plan.workers.auto_procname = true;
    let mut site = plan.start();
    assert_eq!(site.ask(get("/")).text(), "['x=y', ['daemun', '--flag'], False, True, 'hook']");
    let name = std::fs::read_to_string(format!("/proc/{}/comm", site.born[0].1)).expect("the worker's name");
    assert_eq!(name.trim(), "daemun worker 1");
}

#[test]
fn a_file_of_any_name_can_be_the_application() {
    let mut plan = Plan::new("");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("my-site.wsgi");
    std::fs::write(&path, "def run(e, s): s('200 OK', []); return [__file__.encode()]").expect("written");
    plan.application.mounts =
        vec![Mount { wsgi_file: Some(path.clone()), callable: Some("run".into()), ..Mount::default() }];
    assert_eq!(plan.start().ask(get("/")).text(), path.display().to_string());
}

#[test]
fn a_killed_worker_costs_its_request_and_is_replaced() {
    let mut site = Plan::new(PID).processes(2).start();
    for (path, number) in [("/stuck", libc::SIGKILL), ("/segfault", libc::SIGSEGV)] {
        let deaths = site.died.len();
        let ticket = site.submit(get(path));
        if path == "/stuck" {
            wait_until_running(&mut site, 1);
            let seat = site.edge.seat(ticket).expect("it runs");
            let pid = site.born.iter().rev().find(|(worker, _)| *worker == seat).expect("born").1;
            signal(pid, number);
        }
        site.wait_for("loss", |site| site.answer(ticket).is_some_and(|answer| answer.end.is_some()));
        assert_eq!(site.take(ticket).end, Some(End::Lost));
        site.wait_for("replacement", |site| site.born.len() == 2 + deaths + 1);
        let (_, pid, status, harakiri) = site.died[deaths];
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == number && !harakiri);
        assert!(site.log().contains(&format!("(pid {pid}) was killed by signal {number}")), "{}", site.log());
        for _ in 0..4 {
            assert_eq!(site.ask(get("/")).status, 200);
        }
    }
}

#[test]
fn a_request_that_takes_too_long_is_ended_by_harakiri() {
    let mut plan = Plan::new(PID);
    plan.workers.harakiri_seconds = 1;
    let mut site = plan.start();
    let started = Instant::now();
    assert_eq!(site.ask(get("/stuck")).end, Some(End::Lost));
    assert!((1..5).contains(&started.elapsed().as_secs()));
    assert_eq!(site.ask(get("/")).status, 200);
    assert!(site.died[0].3, "it says so to the edge");
    let log = site.log();
    assert!(log.contains("(harakiri)") && log.contains("in application"), "the Python stack is there: {log}");
}

#[test]
fn a_graceful_end_finishes_what_runs() {
    for number in [libc::SIGTERM, libc::SIGQUIT] {
        let mut site = Plan::new(PID).processes(2).start();
        let ticket = site.submit(get("/slow"));
        wait_until_running(&mut site, 1);
        signal(site.child.id(), number);
        assert!(site.wait_for_end().success(), "{}", site.log());
        site.turn();
        let answer = site.take(ticket);
        assert_eq!((answer.status, answer.end), (200, Some(End::Complete)), "{}", site.log());
        for (_, pid) in site.born.clone() {
            assert!(site.log().contains(&format!("atexit in {pid}")), "{}", site.log());
        }
        assert!(!site.log().contains("[crit]"), "{}", site.log());
    }
}

#[test]
fn an_immediate_end_does_not_wait() {
    let mut site = Plan::new(PID).processes(2).start();
    site.submit(get("/stuck"));
    wait_until_running(&mut site, 1);
    let started = Instant::now();
    signal(site.child.id(), libc::SIGINT);
    assert!(site.wait_for_end().success(), "{}", site.log());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn mercy_ends() {
    let mut plan = Plan::new(PID);
    plan.workers.mercy_seconds = 1;
    let mut site = plan.start();
    site.submit(get("/stuck"));
    wait_until_running(&mut site, 1);
    let started = Instant::now();
    signal(site.child.id(), libc::SIGTERM);
    assert!(site.wait_for_end().success(), "{}", site.log());
    assert!((1..6).contains(&started.elapsed().as_secs()));
}

#[test]
fn a_worker_that_is_told_to_end_is_replaced() {
    let mut site = Plan::new(PID).threads(2).start();
    let ticket = site.submit(get("/slow"));
    wait_until_running(&mut site, 1);
    signal(site.born[0].1, libc::SIGTERM);
    site.wait_for("replacement", |site| site.born.len() == 2);
    assert_eq!(site.take(ticket).end, Some(End::Complete), "{}", site.log());
    assert_eq!(site.ask(get("/")).text(), site.born[1].1.to_string());
}

#[test]
fn a_worker_is_replaced_after_its_requests() {
    let mut plan = Plan::new(PID);
    plan.workers.max_requests = 5;
    let mut site = plan.start();
    for _ in 0..5 {
        site.ask(get("/"));
    }
    site.wait_for("replacement", |site| site.born.len() == 2);
    assert_eq!(site.ask(get("/")).text(), site.born[1].1.to_string());
    assert!(!site.log().contains("[crit]"), "{}", site.log());
}

#[test]
fn workers_do_not_outlive_their_zygote() {
    let mut site = Plan::new(PID).start();
    let pid = site.born[0].1;
    site.submit(get("/stuck"));
    wait_until_running(&mut site, 1);
    signal(site.child.id(), libc::SIGKILL);
    site.wait_for("end of the worker", |_| !PathBuf::from(format!("/proc/{pid}/cwd")).exists());
}

#[test]
fn a_pool_without_an_edge_ends() {
    let (mut child, folder) = Plan::new(PID).start().lose_edge();
    let end = Instant::now() + Duration::from_secs(10);
    while child.try_wait().expect("waited").is_none() {
        assert!(Instant::now() < end, "it lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(folder);
}

#[test]
fn threads_that_a_fork_would_lose_are_named() {
    let source =
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), name='ticker', daemon=True).start()\n";
    let mut site = Plan::new(&format!("{source}{PID}")).start();
    assert_eq!(site.ask(get("/")).status, 200);
    let log = site.log();
    assert!(log.contains("[warn]") && log.contains("(ticker)") && !log.contains("DeprecationWarning"), "{log}");
}

#[test]
fn processes_that_the_application_forks_leave_the_hop_alone() {
    let source = r#"
import multiprocessing, os, signal, subprocess, sys, time
context = multiprocessing.get_context("fork")
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/terminate":
        process = context.Process(target=time.sleep, args=(60,))
        process.start(); process.terminate(); process.join()
        start_response("200 OK", [])
        return [str(process.exitcode).encode()]
    if path == "/command":
        code = "import signal; print([signal.getsignal(s) == signal.SIG_IGN for s in (signal.SIGINT, signal.SIGHUP)])"
        start_response("200 OK", [])
        return [subprocess.run([sys.executable, "-c", code], capture_output=True).stdout]
    if path == "/return":
        child = os.fork()
        if child:
            os.waitpid(child, 0)
    try: start_response("200 OK", [])
    except RuntimeError as error: print("child:", error, flush=True)
    return [b"parent"]
"#;
    let mut site = Plan::new(source).start();
    for (path, text) in
        [("/terminate", "-15"), ("/command", "[False, False]\n"), ("/return", "parent"), ("/", "parent")]
    {
        let answer = site.ask(get(path));
        assert_eq!((answer.text().as_str(), answer.end), (text, Some(End::Complete)), "{path}: {}", site.log());
    }
    let log = site.log();
    assert!(log.contains("child: the request belongs to") && log.contains("came back from it and is ended"), "{log}");
    assert_eq!(site.born.len(), 1);
}

#[test]
fn the_pool_runs_as_another_user() {
    if !rustix::process::geteuid().is_root() {
        return; // Nobody else may become somebody else.
    }
    let source = r#"
import os
def application(environ, start_response):
    start_response("200 OK", [])
    return [repr([os.getuid(), os.getgid(), os.getgroups()]).encode()]
"#;
    let mut plan = Plan::new(source);
    // The interpreter must be one that other users can read too.
    plan.python = PathBuf::from("/usr/bin/python3");
    if !plan.python.exists() {
        return;
    }
    (plan.workers.uid, plan.workers.gid, plan.workers.groups) = (Some(65534), Some(65534), vec![65534]);
    assert_eq!(plan.start().ask(get("/")).text(), "[65534, 65534, [65534]]");
}
