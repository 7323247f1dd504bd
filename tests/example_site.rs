//! The example site, visited: on SQLite, on MariaDB, and with wsgiref.validate in between.

mod compose;
mod visit;

use std::fs;
use std::path::Path;

use harness::{Address, Launch, MariaDb, Port, Process, Scratch, programs, servers, wait_until};
use rustix::process::Signal;

/// The site in a folder of its own, started by its own script.
struct Example {
    process: Process,
    address: Address,
    _port: Port,
}

impl Example {
    /// Starts it; `change` sees the launch last.
    #[track_caller]
    fn start(scratch: &Scratch, change: impl FnOnce(Launch) -> Launch) -> Self {
        let port = Port::reserve();
        let made_by_use = ["venv", "static", "media", "log", "run", "db.sqlite3", "__pycache__"];
        let site = scratch.copy_folder(&programs::repository().join("examples/django"), "site", &made_by_use);
        std::os::unix::fs::symlink(programs::example_virtualenv(), site.join("venv")).expect("a link can be made");
        for file in ["uwsgi.ini", "sites-enabled/server_dev"] {
            replace_in(&site.join(file), "/tmp/", &format!("{}/", scratch.folder().display()));
        }
        replace_in(&site.join("sites-enabled/server_dev"), "listen 8000", &format!("listen {}", port.address()));
        let launch = Launch::new(scratch, "example", site.join("start")).env("DAEMUN", programs::daemun());
        let launch = if servers::is_root() { launch.arg("-g").arg("user root;") } else { launch };
        let mut process = change(launch).start();
        process.wait_for(&port.address());
        Self { process, address: port.address(), _port: port }
    }
}

#[test]
fn on_sqlite() {
    let scratch = Scratch::new();
    let mut example = Example::start(&scratch, |launch| launch);
    visit::everything(&scratch, &example.address);

    // Ctrl-C stops everything and leaves no process, socket or pid file.
    example.process.signal(Signal::INT);
    assert_eq!(example.process.wait().code(), Some(0));
    wait_until("every process has ended", || scratch.processes_left().is_empty());
    assert_eq!(scratch.traces_left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn on_mariadb() {
    let scratch = Scratch::new();
    let database = MariaDb::start(&scratch);
    let example = Example::start(&scratch, |launch| launch.env("DATABASE_URL", database.url()));
    visit::everything(&scratch, &example.address);
    assert!(!scratch.path("site/db.sqlite3").exists(), "SQLite was used after all");
    let rows = database.query(&scratch, "SELECT author, text FROM gates_note WHERE author = 'Visitor \u{ac00}'");
    assert_eq!(rows.trim(), format!("Visitor \u{ac00}\t{}", visit::LINE));
}

/// Every breach of PEP 3333, on either side, would be an AssertionError in the log.
#[test]
fn validated() {
    let scratch = Scratch::new();
    let module = "from wsgiref.validate import validator\nfrom server_dev.wsgi import application as site\n\napplication = validator(site)\n";
    let example = Example::start(&scratch, |launch| {
        scratch.write("site/validated_site.py", module);
        replace_in(&scratch.path("site/uwsgi.ini"), "server_dev.wsgi:application", "validated_site:application");
        launch
    });
    visit::everything(&scratch, &example.address);
    let log = [scratch.read("site/log/uwsgi.log"), example.process.output()].join("\n");
    for complaint in ["AssertionError", "WSGIWarning", "garbage collected without being closed", "Traceback"] {
        assert!(!log.contains(complaint), "the validator complained:\n{log}");
    }
}

/// Copies what belongs to the site, and not what earlier runs have left in its folder.
fn replace_in(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text.contains(from), "{} does not say {from:?}", path.display());
    fs::write(path, text.replace(from, to)).expect("the file is ours");
}
