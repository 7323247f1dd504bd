//! Emperor: a server for each file of a folder, added, changed, removed and broken while the others run.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use harness::process::{every_process, is_alive};
use harness::{Address, Connection, Port, Process, Request, Scratch, programs, servers, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// The options of a vassal that serves `tests/wsgi/versioned.py` on `port` and says `version`.
fn vassal(scratch: &Scratch, port: &Port, version: &str) -> String {
    scratch.add_application("versioned.py");
    scratch.write(&format!("version-{version}"), version);
    format!(
        "[uwsgi]\nchdir = SCRATCH/app\nmodule = versioned:application\nhttp-socket = {}\nenv = VERSION=SCRATCH/version-{version}\n",
        port.address()
    )
}

fn start(scratch: &Scratch, options: &str) -> Process {
    fs::create_dir_all(scratch.path("vassals")).expect("a folder");
    let options =
        format!("[uwsgi]\nemperor-freq = 1\nemperor-throttle = 100\nemperor-stats = SCRATCH/stats\n{options}\n");
    scratch.write("emperor.ini", options);
    servers::app(scratch, "emperor.ini").start()
}

fn answer(port: &Port) -> Option<String> {
    let answer = Request::get("/").try_send(&port.address()).ok()?;
    (answer.status == 200).then(|| answer.text())
}

fn state(scratch: &Scratch) -> Value {
    let address = Address::Unix(scratch.path("stats"));
    wait_until("the state is told", || Connection::open(&address).is_ok());
    serde_json::from_slice(&Connection::to(&address).rest()).expect("JSON")
}

fn find(state: &Value, name: &str) -> Value {
    let all = state["vassals"].as_array().cloned().unwrap_or_default();
    let is_it = |one: &Value| one["id"].as_str().is_some_and(|id| id.ends_with(name));
    all.into_iter().find(is_it).unwrap_or(Value::Null)
}

#[test]
fn vassals_come_change_and_go() {
    let scratch = Scratch::new();
    let (first, second, third) = (Port::reserve(), Port::reserve(), Port::reserve());
    scratch.write("vassals/first.ini", vassal(&scratch, &first, "1"));
    scratch.write("vassals/broken.ini", "[uwsgi]\nmodule = no_such_module\nhttp-socket = 127.0.0.1:0\n");
    scratch.write("vassals/no-vassal.txt", "nothing");
    let mut emperor = start(&scratch, "emperor = SCRATCH/vassals");
    wait_until("the first serves", || answer(&first).as_deref() == Some("1"));
    let of_first = || find(&state(&scratch), "first.ini")["pid"].as_i64().unwrap_or(0);
    wait_until("it says so", || find(&state(&scratch), "first.ini")["ready"] == 1);
    let pid = of_first();

    // One that does not start tries again, ever later, and says why.
    wait_until("the broken one waits", || {
        let broken = find(&state(&scratch), "broken.ini");
        broken["respawns"].as_u64() >= Some(1)
            && broken["error"].as_str().is_some_and(|error| error.contains("no_such_module"))
    });
    assert_eq!(state(&scratch)["vassals"].as_array().map(Vec::len), Some(2));

    scratch.write("vassals/second.ini", vassal(&scratch, &second, "2"));
    wait_until("another one serves", || answer(&second).as_deref() == Some("2"));
    scratch.write("vassals/broken.ini", vassal(&scratch, &third, "3"));
    wait_until("the broken one is repaired", || answer(&third).as_deref() == Some("3"));

    wait_until("all are up", || {
        let state = state(&scratch);
        state["vassals"].as_array().is_some_and(|all| all.iter().all(|one| one["ready"] == 1))
    });
    scratch.write("vassals/second.ini", vassal(&scratch, &second, "changed"));
    wait_until("the changed one is loaded anew", || answer(&second).as_deref() == Some("changed"));

    fs::remove_file(scratch.path("vassals/second.ini")).expect("it is there");
    wait_until("the removed one is gone", || Connection::open(&second.address()).is_err());
    wait_until("nobody knows it", || find(&state(&scratch), "second.ini").is_null());
    assert_eq!(of_first(), pid, "the first one was started again");
    assert_eq!(answer(&first).as_deref(), Some("1"));

    // A vassal that dies comes back, and no other is touched.
    let repaired = i32::try_from(find(&state(&scratch), "broken.ini")["pid"].as_i64().unwrap_or(0)).expect("a pid");
    harness::process::signal_process(repaired, Signal::KILL);
    wait_until("it is another one", || !is_alive(repaired) && answer(&third).as_deref() == Some("3"));
    assert_eq!(of_first(), pid);

    emperor.signal(Signal::TERM);
    assert_eq!(emperor.wait().code(), Some(0));
    let folder = scratch.text_path("app");
    let left: Vec<_> = every_process().into_iter().filter(|one| one.works_in(folder.as_ref())).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!scratch.path("stats").exists());
}

/// Patterns, other forms of files, and what all vassals are told.
#[test]
fn vassals_are_found_by_patterns() {
    let scratch = Scratch::new();
    let (first, second) = (Port::reserve(), Port::reserve());
    scratch.write("sites/a/site.ini", vassal(&scratch, &first, "1"));
    let yaml = vassal(&scratch, &second, "2").replace("[uwsgi]", "uwsgi:").replace("\n", "\n  ").replace(" = ", ": ");
    scratch.write("sites/b/site.yml", yaml.trim_end());
    scratch.write("common.ini", "[uwsgi]\nenv = GO=SCRATCH/%(mark)\n");
    let options = "emperor = SCRATCH/sites/*/site.*\nvassal-set = mark=here\nvassals-inherit = SCRATCH/common.ini";
    let _emperor = start(&scratch, options);
    wait_until("both serve", || answer(&first).is_some() && answer(&second).as_deref() == Some("2"));
    let pid: i32 = Request::get("/pid").send(&first.address()).text().parse().expect("a number");
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).expect("it is there");
    assert!(environment.contains(&format!("GO={}", scratch.text_path("here"))), "{environment}");
}

#[test]
fn a_tyrant_has_vassals_run_as_their_owners() {
    if !servers::is_root() {
        println!("skipped: only root can give up root");
        return;
    }
    let scratch = Scratch::new();
    // An interpreter below /root cannot be run by others.
    programs::make_virtualenv("/usr/bin/python3".as_ref(), &scratch.path("venv"));
    let (first, second) = (Port::reserve(), Port::reserve());
    let text = |port: &Port, version: &str| format!("{}home = SCRATCH/venv\n", vassal(&scratch, port, version));
    let owned = scratch.write("vassals/owned.ini", text(&first, "1"));
    scratch.write("vassals/roots.ini", text(&second, "2"));
    chown(&owned, Some(33), Some(33)).expect("root may");
    let _emperor = start(&scratch, "emperor = SCRATCH/vassals\nemperor-tyrant = true");
    wait_until("both serve", || answer(&first).is_some() && answer(&second).is_some());
    for (port, user) in [(&first, 33), (&second, 0)] {
        let pid = Request::get("/pid").send(&port.address()).text();
        assert_eq!(fs::metadata(format!("/proc/{pid}")).expect("it is there").uid(), user);
    }
    let state = state(&scratch);
    assert_eq!((&state["emperor_tyrant"], &find(&state, "owned.ini")["uid"]), (&1.into(), &33.into()));
}

/// Every name that uWSGI's emperor tells, daemun's tells too.
#[test]
fn the_state_has_the_shape_of_uwsgi() {
    let [ours, theirs] = [servers::app as fn(&Scratch, &str) -> harness::Launch, |scratch: &Scratch, ini: &str| {
        harness::Launch::new(scratch, "uwsgi", programs::peer("uwsgi")).arg("--ini").arg(scratch.path(ini))
    }]
    .map(|launch| {
        let scratch = Scratch::new();
        let port = Port::reserve();
        scratch.write("vassals/one.ini", vassal(&scratch, &port, "1"));
        let options =
            "[uwsgi]\nemperor = SCRATCH/vassals\nemperor-stats = SCRATCH/stats\nmaster = true\ndie-on-term = true\n";
        scratch.write("emperor.ini", options);
        let _emperor = launch(&scratch, "emperor.ini").start();
        wait_until("it serves", || answer(&port).is_some());
        state(&scratch)
    });
    for path in ["", "/vassals/0"] {
        let names = |value: &Value| -> Vec<String> {
            value
                .pointer(path)
                .and_then(Value::as_object)
                .map(|object| object.keys().cloned().collect())
                .unwrap_or_default()
        };
        let known = names(&ours);
        // Snapshots of namespaces and on-demand attributes are uWSGI's own affairs.
        let missing: Vec<_> = names(&theirs).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(missing.is_empty(), "{path}: {missing:?}");
    }
}

#[test]
fn an_emperor_with_an_application_is_refused() {
    let scratch = Scratch::new();
    let mut emperor = start(&scratch, "emperor = SCRATCH/vassals\nmodule = a:b");
    assert!(!emperor.wait().success());
    assert!(emperor.output().contains("make it a vassal"), "{}", emperor.output());
}
