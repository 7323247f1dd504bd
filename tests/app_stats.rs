//! The numbers of a pool: JSON in uWSGI's shape, wherever they are told, and uwsgitop on them.

use std::collections::BTreeSet;
use std::fs;

use harness::{Address, Application, Connection, Launch, Port, Request, Scratch, programs, servers, site, wait_until};
use serde_json::Value;

const OPTIONS: &str = "processes = 2\nthreads = 2\nenv = VERSION=SCRATCH/version\nenv = GO=SCRATCH/go
env = EVENTS=SCRATCH/events";

fn start(options: &str) -> (Scratch, Application) {
    let scratch = Scratch::new();
    scratch.write("version", "1");
    let application = Application::start(&scratch, "versioned", &format!("{OPTIONS}\n{options}"));
    assert_eq!(Request::get("/").send(&application.address).text(), "1");
    (scratch, application)
}

fn numbers(address: &Address) -> Value {
    let text = Connection::to(address).rest();
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)))
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

/// Every name that uWSGI has, daemun has too, with a value of the same kind.
#[test]
fn the_shape_is_that_of_uwsgi() {
    let (scratch, _application) = start("stats = SCRATCH/stats");
    let ours = numbers(&Address::Unix(scratch.path("stats")));
    let other = Scratch::new();
    other.write("version", "1");
    other.add_application("versioned.py");
    let port = Port::reserve();
    let options = format!("http-socket = {}\n{OPTIONS}\nstats = SCRATCH/stats", port.address());
    other.write("app.ini", site::ini("versioned", &options));
    let _uwsgi = servers::uwsgi(&other, "app.ini", &port.address());
    wait_until("it tells its numbers", || Connection::open(&Address::Unix(other.path("stats"))).is_ok());
    let theirs = numbers(&Address::Unix(other.path("stats")));
    for path in ["", "/workers/0", "/workers/0/apps/0", "/workers/0/cores/0", "/sockets/0"] {
        let (ours, theirs) = (ours.pointer(path), theirs.pointer(path));
        let (ours, theirs) = (ours.unwrap_or(&Value::Null), theirs.unwrap_or(&Value::Null));
        let missing: Vec<_> = keys(theirs).difference(&keys(ours)).cloned().collect();
        assert!(missing.is_empty(), "{path}: {missing:?} are missing");
        for key in keys(theirs) {
            let kind = |value: &Value| std::mem::discriminant(&value[&key]);
            assert_eq!(kind(ours), kind(theirs), "{path}/{key}: {} and {}", ours[&key], theirs[&key]);
        }
    }
}

#[test]
fn what_happens_is_counted() {
    let (scratch, application) = start("stats = SCRATCH/stats\nharakiri = 1");
    let stats = Address::Unix(scratch.path("stats"));
    let sum = |key: &str| {
        let workers = numbers(&stats)["workers"].as_array().cloned().unwrap_or_default();
        workers.iter().filter_map(|worker| worker[key].as_u64()).sum::<u64>()
    };
    let before = (sum("requests"), sum("tx"));
    for _ in 0..9 {
        Request::get("/pid").send(&application.address);
    }
    wait_until("they are counted", || sum("requests") == before.0 + 9);
    assert!(sum("tx") > before.1 && sum("rss") > 1 << 20);
    let pids: BTreeSet<i32> = numbers(&stats)["workers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|worker| i32::try_from(worker["pid"].as_i64()?).ok())
        .collect();
    assert_eq!(pids, application.workers());
    let mut slow = Connection::to(&application.address);
    slow.send(Request::get("/slow").octets());
    wait_until("one is busy", || numbers(&stats).to_string().contains("\"status\":\"busy\""));
    assert_eq!(slow.response().status, 502);
    wait_until("it is counted", || sum("harakiri_count") == 1 && sum("respawn_count") == 3);
    assert_eq!(sum("requests"), before.0 + 9, "what the dead one had served is forgotten");
    assert_eq!(numbers(&stats)["pid"], application.process.pid());
}

/// By TCP and by HTTP; and the same address after a reload.
#[test]
fn they_are_told_everywhere() {
    let port = Port::reserve();
    let (_scratch, application) = start(&format!("stats = {}\nstats-http = true", port.address()));
    let answer = Request::get("/").send(&port.address());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let before: Value = serde_json::from_slice(&answer.body).expect("JSON");
    application.process.signal(rustix::process::Signal::HUP);
    wait_until("the new ones tell theirs", || {
        let answer = Request::get("/").try_send(&port.address());
        let now = answer.ok().and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
        now.is_some_and(|now| now["workers"][0]["pid"] != before["workers"][0]["pid"])
    });
}

#[test]
fn uwsgitop_shows_them() {
    let (scratch, _application) = start("stats = SCRATCH/stats");
    let command = format!("{} {}", programs::peer("uwsgitop").display(), scratch.text_path("stats"));
    // It wants a terminal; q ends it.
    let screen = format!("(sleep 2; printf q) | script -qec 'stty rows 40 cols 200; {command}' /dev/null");
    let ended = Launch::new(&scratch, "uwsgitop", "sh").args(["-c", &screen]).env("TERM", "xterm").run();
    assert!(ended.status.success(), "{}", ended.output);
    for text in ["uwsgi-0", "WID", "idle", "node:"] {
        assert!(ended.output.contains(text), "{text} is not in {}", ended.output);
    }
    assert!(fs::metadata(scratch.path("stats")).is_ok());
}
