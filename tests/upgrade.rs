//! USR2 and WINCH: another program takes over on the same sockets, or gives them back.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use harness::process::{children_of, is_alive, signal_process};
use harness::{Address, Connection, Launch, Port, Request, Scratch, Site, programs, servers, wait_until};
use rustix::process::Signal;

/// A server in the background.
struct Daemon {
    scratch: Scratch,
    address: Address,
    _port: Port,
}

impl Daemon {
    /// `daemun web`, or the program at `binary`, on a TCP port and a unix socket.
    fn start(binary: Option<&PathBuf>) -> Self {
        let scratch = Scratch::new();
        let port = Port::reserve();
        let server = format!(
            "server {{ listen {}; listen unix:SCRATCH/web.sock; location / {{ return 200 \"up\"; }} }}",
            port.address()
        );
        scratch.write("web.conf", servers::nginx_conf(&server).replace("daemon off;", ""));
        let launch = match binary {
            None => servers::web(&scratch, "web.conf"),
            Some(binary) => Launch::new(&scratch, "nginx", binary)
                .arg("-p")
                .arg(scratch.folder())
                .arg("-e")
                .arg(scratch.path("error.log"))
                .arg("-c")
                .arg(scratch.path("web.conf")),
        };
        let ended = launch.run();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
        let address = port.address();
        wait_until("it answers", || Request::get("/").try_send(&address).is_ok());
        Self { scratch, address, _port: port }
    }

    /// The process id in a pid file; 0 without one.
    fn pid_in(&self, name: &str) -> i32 {
        self.scratch.read(name).trim().parse().unwrap_or(0)
    }

    fn pid(&self) -> i32 {
        self.pid_in("nginx.pid")
    }

    fn answers(&self) -> bool {
        let unix = Address::Unix(self.scratch.path("web.sock"));
        let is_up = |address: &Address| Request::get("/").try_send(address).is_ok_and(|answer| answer.text() == "up");
        is_up(&self.address) && is_up(&unix)
    }

    /// Sends USR2 and waits for the new master; its process id and the old one's.
    fn upgrade(&self) -> (i32, i32) {
        let old = self.pid();
        signal_process(old, Signal::USR2);
        wait_until("there are two masters", || {
            self.pid_in("nginx.pid.oldbin") == old && self.pid() != old && self.pid() != 0
        });
        let new = self.pid();
        wait_until("the new one has an edge", || !children_of(new).is_empty());
        (new, old)
    }

    /// The edges of a master that has started another one.
    fn edges(&self, master: i32, other: i32) -> usize {
        children_of(master).iter().filter(|child| child.pid != other).count()
    }
}

/// Asks again and again on new connections, until it is dropped; then tells what failed.
struct Visitor {
    is_over: Arc<AtomicBool>,
    task: thread::JoinHandle<Vec<String>>,
}

impl Visitor {
    fn come(address: &Address) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, address) = (Arc::clone(&is_over), address.clone());
        let task = thread::spawn(move || {
            let mut failures = Vec::new();
            while !over.load(Ordering::Relaxed) {
                if let Err(error) = Request::get("/").try_send(&address) {
                    failures.push(error.to_string());
                }
            }
            failures
        });
        Self { is_over, task }
    }

    #[track_caller]
    fn leave(self) {
        self.is_over.store(true, Ordering::Relaxed);
        let failures = self.task.join().expect("a visitor");
        assert!(failures.is_empty(), "{} requests failed, such as {}", failures.len(), failures[0]);
    }
}

#[test]
fn another_master_takes_over_without_a_refused_connection() {
    let daemon = Daemon::start(None);
    let visitors = [Visitor::come(&daemon.address), Visitor::come(&Address::Unix(daemon.scratch.path("web.sock")))];
    for _ in 0..2 {
        let (new, old) = daemon.upgrade();
        assert!(is_alive(old));
        signal_process(old, Signal::WINCH);
        wait_until("the old edge has ended", || daemon.edges(old, new) == 0);
        assert!(is_alive(old) && daemon.answers());
        signal_process(old, Signal::QUIT);
        wait_until("the old master has ended", || !is_alive(old));
        assert!(!daemon.scratch.path("nginx.pid.oldbin").exists());
        assert_eq!(daemon.pid(), new);
        assert!(daemon.answers());
    }
    visitors.into_iter().for_each(Visitor::leave);
    let last = daemon.pid();
    signal_process(last, Signal::QUIT);
    wait_until("all have ended", || !is_alive(last));
    assert_eq!(daemon.scratch.traces_left(), Vec::<PathBuf>::new());
    assert!(Connection::open(&daemon.address).is_err());
}

/// The old one serves again when the new one is ended, or ends by itself.
#[test]
fn the_old_master_takes_over_again() {
    let daemon = Daemon::start(None);
    let visitor = Visitor::come(&daemon.address);
    let (new, old) = daemon.upgrade();
    signal_process(old, Signal::USR2); // One at a time.
    signal_process(new, Signal::USR2);
    signal_process(old, Signal::WINCH);
    wait_until("the old edge has ended", || daemon.edges(old, new) == 0);
    signal_process(new, Signal::QUIT);
    wait_until("the pid file is the old one's again", || daemon.pid() == old);
    wait_until("it has an edge again", || daemon.edges(old, new) == 1);
    assert!(daemon.answers() && !daemon.scratch.path("nginx.pid.oldbin").exists());
    visitor.leave();

    let good = daemon.scratch.read("web.conf");
    daemon.scratch.write("web.conf", "nonsense;");
    signal_process(old, Signal::USR2);
    let failed = || daemon.scratch.read("error.log").contains("exited with code 1");
    wait_until("the new one has given up", || failed() && daemon.pid() == old);
    assert!(daemon.answers());
    daemon.scratch.write("web.conf", good.replace("\"up\"", "\"changed\""));
    signal_process(old, Signal::HUP);
    wait_until("it can be reloaded", || {
        Request::get("/").try_send(&daemon.address).is_ok_and(|answer| answer.text() == "changed")
    });
    signal_process(old, Signal::TERM);
    wait_until("it has ended", || !is_alive(old));
    assert_eq!(daemon.scratch.traces_left(), Vec::<PathBuf>::new());
}

/// After WINCH, a reload starts everything again.
#[test]
fn a_reload_ends_the_pause() {
    let daemon = Daemon::start(None);
    let pid = daemon.pid();
    signal_process(pid, Signal::WINCH);
    wait_until("the edge has ended", || children_of(pid).is_empty());
    signal_process(pid, Signal::HUP);
    wait_until("it answers", || daemon.answers());
    signal_process(pid, Signal::QUIT);
    wait_until("it has ended", || !is_alive(pid));
    assert_eq!(daemon.scratch.traces_left(), Vec::<PathBuf>::new());
}

/// The protocol is nginx's: its own binary may be replaced by ours while it runs.
#[test]
fn a_running_nginx_is_upgraded_to_daemun() {
    let folder = Scratch::new();
    let binary = folder.path("nginx");
    fs::copy(programs::nginx(), &binary).expect("a program can be copied");
    let daemon = Daemon::start(Some(&binary));
    let visitor = Visitor::come(&daemon.address);
    let server = || Request::get("/").send(&daemon.address).header("server").unwrap_or_default().to_owned();
    assert!(server().starts_with("nginx"), "{}", server());
    let ours = folder.path("ours");
    fs::copy(programs::daemun(), &ours).expect("a program can be copied");
    fs::rename(&ours, &binary).expect("a running program's file can be replaced");
    let (new, old) = daemon.upgrade();
    signal_process(old, Signal::QUIT);
    wait_until("nginx has ended", || !is_alive(old));
    visitor.leave();
    assert!(server().starts_with("daemun"), "{}", server());
    assert!(daemon.answers());
    signal_process(new, Signal::QUIT);
    wait_until("all have ended", || !is_alive(new));
}

/// Applications too: the new master has its own before the old ones go.
#[test]
fn an_upgrade_brings_its_applications() {
    let scratch = Scratch::new();
    let mut site = Site::start(&scratch, "", "pep3333", "processes = 1\nthreads = 2\nenv = GO=SCRATCH/go");
    let mut running = Connection::to(&site.address);
    running.send(Request::get("/steps").octets());
    assert!(!running.more().is_empty());
    let old = site.process.pid();
    site.process.signal(Signal::USR2);
    let pid = || scratch.read("nginx.pid").trim().parse::<i32>().unwrap_or(old);
    wait_until("there are two masters", || pid() != old && scratch.path("nginx.pid.oldbin").exists());
    let new = pid();
    wait_until("the new one has its edge and its application", || children_of(new).len() == 2);
    site.process.signal(Signal::QUIT);
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    scratch.write("go", "");
    assert_eq!(running.response().text(), "first piece\nsecond piece\n");
    assert_eq!(site.process.wait().code(), Some(0));
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    signal_process(new, Signal::TERM);
    wait_until("all have ended", || !is_alive(new));
    assert_eq!(scratch.traces_left(), Vec::<PathBuf>::new());
}

/// Where no terminal sends it, WINCH is meant, in the foreground too: an upgrade that was a mistake is taken back.
#[test]
fn an_upgrade_is_taken_back_with_its_applications() {
    if fs::File::open("/dev/tty").is_ok() {
        println!("skipped: at a terminal, WINCH is a change of its size");
        return;
    }
    let scratch = Scratch::new();
    let site = Site::start(&scratch, "", "pep3333", "processes = 1");
    let old = site.process.pid();
    site.process.signal(Signal::USR2);
    let pid = || scratch.read("nginx.pid").trim().parse::<i32>().unwrap_or(old);
    wait_until("there are two masters", || pid() != old && scratch.path("nginx.pid.oldbin").exists());
    let new = pid();
    wait_until("the new one has its edge and its application", || children_of(new).len() == 2);
    site.process.signal(Signal::WINCH);
    wait_until("the old edge and application have ended", || children_of(old).len() == 1);
    assert_eq!(Request::get("/hello").send(&site.address).status, 200);
    signal_process(new, Signal::KILL);
    wait_until("the old one serves again", || pid() == old && children_of(old).len() == 2);
    wait_until("it answers", || {
        Request::get("/hello").try_send(&site.address).is_ok_and(|answer| answer.status == 200)
    });
}

/// Who was there before the upgrade reads in its log why nothing came of it.
#[test]
fn a_failed_upgrade_is_in_the_log() {
    let daemon = Daemon::start(None);
    let old = daemon.pid();
    let taken = Port::reserve();
    let holder = std::net::TcpListener::bind(taken.address().to_string()).expect("a port of ours");
    let text = daemon.scratch.read("web.conf");
    daemon.scratch.write("web.conf", text.replace("server {", &format!("server {{ listen {};", taken.address())));
    signal_process(old, Signal::USR2);
    wait_until("it is given up", || daemon.scratch.read("error.log").contains("exited with code 1"));
    let log = daemon.scratch.read("error.log");
    assert!(log.contains("[emerg]") && log.contains(&format!("bind() to {} failed", taken.address())), "{log}");
    drop(holder);
    assert!(daemon.answers() && daemon.pid() == old);
    signal_process(old, Signal::QUIT);
    wait_until("it has ended", || !is_alive(old));
}

/// A variable that only happens to have the name means nothing.
#[test]
fn a_stray_variable_is_no_inheritance() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let text = format!("server {{ listen {}; location / {{ return 200 \"up\"; }} }}", port.address());
    scratch.write("web.conf", servers::nginx_conf(&text).replace("daemon off;", ""));
    let ended = servers::web(&scratch, "web.conf").env("NGINX", "/usr/sbin/nginx:77;0;-1;").run();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    assert_eq!(Request::get("/").send(&port.address()).text(), "up");
    let pid: i32 = scratch.read("nginx.pid").trim().parse().expect("a number");
    signal_process(pid, Signal::QUIT);
    wait_until("it has ended", || !is_alive(pid));
}
