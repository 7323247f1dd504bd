//! The worker runs on every CPython from 3.9 to 3.13 that is on the machine, by the one extension module.

use harness::{Application, Request, Scratch, programs};
use serde_json::{Value, json};

const VERSIONS: [&str; 5] = ["3.9", "3.10", "3.11", "3.12", "3.13"];

#[test]
fn every_cpython_on_the_machine() {
    let mut run = 0;
    for version in VERSIONS {
        match programs::cpython(version) {
            Some(python) => {
                serve_with(version, &python);
                run += 1;
            }
            None => println!("skipped: no CPython {version} on this machine"),
        }
    }
    assert!(run > 0, "there is no CPython from 3.9 to 3.13 on this machine");
}

fn serve_with(version: &str, python: &std::path::Path) {
    let scratch = Scratch::new();
    programs::make_virtualenv(python, &scratch.path("venv"));
    scratch.write("file.bin", vec![b'f'; 200_000]);
    let options = "home = SCRATCH/venv\nprocesses = 2\nenv = FILE=SCRATCH/file.bin\nenv = EVENTS=SCRATCH/events";
    let application = Application::start(&scratch, "pep3333", options);
    let address = &application.address;

    let settings: Value =
        serde_json::from_slice(&Request::get("/settings").send(address).body).expect("the page is JSON");
    let number = |index: usize| settings["version"][index].as_u64().unwrap_or_default();
    assert_eq!(format!("{}.{}", number(0), number(1)), version);
    assert_eq!(settings["prefix"], scratch.text_path("venv"), "{version}: the virtualenv is not the one asked for");

    let body = Request::post("/read_input/iteration", "text/plain", "one\ntwo\n").send(address);
    let pieces: Value = serde_json::from_slice(&body.body).expect("the page is JSON");
    assert_eq!(pieces, json!(["one\n", "two\n"]), "{version}");
    assert_eq!(Request::get("/big/1000000/4000").send(address).body.len(), 1_000_000, "{version}");
    assert_eq!(Request::get("/file_wrapper/whole").send(address).body, vec![b'f'; 200_000], "{version}");
    assert_eq!(Request::get("/write").send(address).text(), "one two three", "{version}");
    assert_eq!(Request::get("/fail").send(address).status, 500, "{version}");
    assert_eq!(Request::get("/hello").send(address).status, 200, "{version}");
}
