//! `threads = auto`: more threads while requests wait and the interpreter has nothing to do, fewer again afterwards.

use harness::{Connection, Port, Request, Scratch, servers, wait_until};
use serde_json::Value;

const SOURCE: &str = "\
import json, threading

MEETING = threading.Barrier(8)


def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/meet':
        MEETING.wait(25)
        return [b'met']
    own = sum(thread.name.startswith('daemun-thread') for thread in threading.enumerate())
    return [json.dumps([1 + own, environ['wsgi.multithread']]).encode()]
";

/// Eight requests that wait for one another are all running in the one process; then a ninth and more wait, since that is the limit.
#[test]
fn threads_come_and_go() {
    let scratch = Scratch::new();
    scratch.write("app/growing.py", SOURCE);
    let port = Port::reserve();
    let options = "master = true\nchdir = SCRATCH/app\nmodule = growing\nthreads = auto:8";
    scratch.write("app.ini", format!("[uwsgi]\nhttp-socket = {}\n{options}\n", port.address()));
    let _process = servers::daemun_app(&scratch, "app.ini", &port.address());
    let address = port.address();
    let facts = || -> Value {
        let page = Request::get("/").send(&address);
        serde_json::from_slice(&page.body).expect("JSON")
    };
    assert_eq!(facts(), serde_json::json!([1, true]), "one thread where nobody waits");
    let meeting = |count: usize| {
        let mut waiting: Vec<Connection> = (0..count).map(|_| Connection::to(&address)).collect();
        for connection in &mut waiting {
            connection.send(Request::get("/meet").octets());
        }
        for connection in &mut waiting {
            assert_eq!(connection.response().text(), "met");
        }
    };
    meeting(8);
    meeting(16);
    let running = facts()[0].as_u64().expect("a number");
    assert!((2..=8).contains(&running), "{running} threads");
    wait_until("nobody is kept without need", || facts()[0] == 1);
    meeting(8);
}
