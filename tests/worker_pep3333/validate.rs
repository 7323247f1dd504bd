//! wsgiref.validate between daemun and an application that keeps the rules: it must find nothing to complain about.

use harness::{Application, Request, Scratch};

#[test]
fn the_validator_does_not_complain() {
    let scratch = Scratch::new();
    scratch.add_application("compare.py");
    let application =
        Application::start(&scratch, "validated", "env = COMPARE_FILE=SCRATCH/app.ini\nenv = PYTHONWARNINGS=error");
    for request in [
        Request::get("/echo/path?query=1"),
        Request::new("HEAD", "/echo"),
        Request::new("OPTIONS", "/echo"),
        Request::post("/echo", "application/x-www-form-urlencoded", "a=1&b=2"),
        Request::post("/mirror", "text/plain", vec![b'x'; 500_000]),
        Request::new("POST", "/mirror").chunked(&[b"one", b"two"]),
        Request::get("/stream"),
        Request::get("/write"),
        Request::get("/cookies"),
        Request::get("/large_without_length"),
    ] {
        let response = request.clone().send(&application.address);
        assert_eq!(response.status, 200, "{request:?}");
    }
    let log = application.process.output();
    for complaint in ["AssertionError", "WSGIWarning", "Traceback"] {
        assert!(!log.contains(complaint), "the validator complained:\n{log}");
    }
}
