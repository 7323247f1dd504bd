//! Who is asked, how the others are, and what is known of the request.

use std::fs;
use std::path::PathBuf;

use harness::{Request, Scratch, wait_until};

use super::{Server, agreed};

#[test]
fn what_is_known_of_the_pool_is_what_uwsgi_says() {
    let options =
        "processes = 2\nthreads = 2\nlocks = 3\nshop = 12\ncolour = red\ncolour = blue\nbare\nbuffer-size = 8192";
    agreed(
        options,
        &[
            "uwsgi.worker_id() in (1, 2)",
            "in_parent",
            "uwsgi.mule_id()",
            "uwsgi.i_am_the_spooler()",
            "uwsgi.masterpid() == os.getppid() or uwsgi.masterpid() > 0",
            "uwsgi.version",
            "uwsgi.version_info[:4]",
            "uwsgi.numproc",
            "uwsgi.cores",
            "uwsgi.has_threads",
            "uwsgi.buffer_size",
            "uwsgi.loop",
            "uwsgi.unbit",
            "uwsgi.applications",
            "uwsgi.hostname",
            "uwsgi.is_a_reload",
            "abs(uwsgi.started_on - time.time()) < 60",
            "abs(uwsgi.micros() / 1e6 - time.time()) < 60",
            "uwsgi.opt['processes'], uwsgi.opt['shop'], uwsgi.opt['colour'], uwsgi.opt.get('bare'), uwsgi.opt['master']",
            "uwsgi.opt.get('no-such-option')",
            "sorted(uwsgi.workers()[0])",
            "[(w['id'], w['pid'] > 0, w['exceptions'], w['signals'], w['respawn_count']) for w in uwsgi.workers()]",
            "sum(w['requests'] for w in uwsgi.workers()) == uwsgi.total_requests() > 0",
            "(uwsgi.SPOOL_OK, uwsgi.SPOOL_RETRY, uwsgi.SPOOL_IGNORE)",
            "uwsgi.log('to the log')",
            "uwsgi.get_logvar('shop')",
            "uwsgi.set_logvar('shop', 'a'), uwsgi.set_logvar('shop', 'b'), uwsgi.get_logvar('shop')",
            "uwsgi.get_logvar('shop')",
            "uwsgi.set_user_harakiri(0)",
            "uwsgi.is_connected(uwsgi.connection_fd())",
            "uwsgi.cl() == int(environ['CONTENT_LENGTH'])",
            "forked[-1] == (uwsgi.worker_id(), 0, False), len(forked)",
            "uwsgi.signal_registered(7)",
        ],
    );
}

/// Each worker counts for itself, and its successor goes on.
#[test]
fn workers_are_counted() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    for _ in 0..3 {
        server.ask("1 / 0");
    }
    assert_eq!(server.ask("uwsgi.request_id()"), "4");
    assert_eq!(server.ask("uwsgi.workers()[0]['requests'], uwsgi.total_requests()"), "(4, 4)");
    let pid = server.ask("uwsgi.mypid()");
    let _ = Request::post("/", "text/plain", "os._exit(3)").try_send(&server.address);
    wait_until("another worker answers", || server.ask("uwsgi.mypid()") != pid);
    let worker = "[(w['requests'] - w['delta_requests'], w['respawn_count'], w['status']) for w in uwsgi.workers()]";
    assert_eq!(server.ask(worker), "[(6, 1, 'busy')]");
}

/// `uwsgi.env` is environ of the request that asks, and there is none without one.
#[test]
fn the_request_is_found_from_anywhere() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "threads = 2");
    assert_eq!(server.ask("uwsgi.env is environ"), "True");
    let elsewhere = "\
import threading
said = []
def ask():
    try:
        said.append(uwsgi.env)
    except AttributeError as error:
        said.append(str(error))
    try:
        said.append(uwsgi.connection_fd())
    except RuntimeError as error:
        said.append(str(error))
thread = threading.Thread(target=ask)
thread.start()
thread.join()
answer = said";
    assert_eq!(server.ask(elsewhere), r#"["module 'uwsgi' has no attribute 'env'", 'this thread runs no request']"#);
}

/// What the application writes to the log by the module stands there, with the request's number.
#[test]
fn a_line_for_the_log() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    assert_eq!(server.ask("uwsgi.log('one line\\nand another')"), "True");
    wait_until("the lines are there", || server.process.output().contains("] "));
    let output = server.process.output();
    let lines: Vec<_> =
        output.lines().filter(|line| line.ends_with("one line") || line.ends_with("and another")).collect();
    assert_eq!(lines.len(), 2, "{output}");
    assert!(lines.iter().all(|line| line.contains("[app]") && line.contains("#0: *")), "{lines:?}");
}

/// A file, or a part of one, as the rest of an answer; and the body of a request in pieces.
#[test]
fn files_and_pieces() {
    let scratch = Scratch::new();
    scratch.write("file", "0123456789".repeat(10_000));
    scratch.write(
        "app/files.py",
        "import uwsgi\n\
         def application(environ, start_response):\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
             path = 'SCRATCH/file'\n    \
             if environ['PATH_INFO'] == '/path':\n        assert uwsgi.sendfile(path) is True\n    \
             if environ['PATH_INFO'] == '/part':\n        uwsgi.sendfile(path, 0, 5, 7)\n    \
             if environ['PATH_INFO'] == '/object':\n        uwsgi.sendfile(open(path, 'rb'), 4096, 99_995)\n    \
             if environ['PATH_INFO'] == '/body':\n        \
                 pieces = list(iter(lambda: uwsgi.chunked_read(5), b''))\n        \
                 return [b'%d octets' % len(b''.join(pieces))]\n    \
             if environ['PATH_INFO'] == '/none':\n        \
                 try:\n            uwsgi.sendfile('SCRATCH/none')\n        \
                 except OSError as error:\n            return [str(error).encode()]\n    \
             return b''\n",
    );
    let port = harness::Port::reserve();
    let address = port.address();
    scratch.write("app.ini", harness::site::ini("files", &format!("http-socket = {address}")));
    let process = harness::servers::daemun_app(&scratch, "app.ini", &address);
    let get = |path: &str| Request::get(path).send(&address).text();
    assert_eq!(get("/path").len(), 100_000);
    assert_eq!(get("/part"), "5678901");
    assert_eq!(get("/object"), "56789");
    assert!(get("/none").contains("No such file"));
    let body = Request::new("POST", "/body").chunked(&[&[b'x'; 70_000], &[b'y'; 3]]);
    assert_eq!(body.send(&address).text(), "70003 octets");
    assert!(!process.output().contains("[error]"), "{}", process.output());
}

/// An application that asks learns that its client is gone.
#[test]
fn a_client_that_is_gone() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    let text = "\
fd = uwsgi.connection_fd()
open('SCRATCH/begun', 'w').close()
for n in range(3000):
    if not uwsgi.is_connected(fd):
        open('SCRATCH/gone', 'w').close()
        break
    time.sleep(0.01)";
    let text = text.replace("SCRATCH", &scratch.folder().to_string_lossy());
    let mut connection = harness::Connection::to(&server.address);
    connection.send(Request::post("/", "text/plain", text).octets());
    wait_until("it has begun", || scratch.path("begun").exists());
    drop(connection);
    wait_until("it is told", || scratch.path("gone").exists());
}

/// Libraries that look for what uWSGI may be built without, and for whether threads run, are told the truth.
#[test]
fn who_looks_for_websockets_and_threads() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    assert_eq!(server.ask("hasattr(uwsgi, 'websocket_handshake'), hasattr(uwsgi, 'rpc')"), "(False, True)");
    let said = server.ask("uwsgi.websocket_recv()");
    assert!(said.starts_with("AttributeError: uwsgi.websocket_recv is not supported by daemun: "), "{said}");
    assert_eq!(server.ask("uwsgi.opt['enable-threads'], uwsgi.opt['py-call-uwsgi-fork-hooks']"), "(True, True)");
}

/// Variables of a request stand in its line of the log.
#[test]
fn variables_for_the_log() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "log-format = asked for %(shop) in %(colour)");
    server.ask("uwsgi.set_logvar('shop', 'bread'), uwsgi.set_logvar(b'colour', b'brown')");
    server.ask("uwsgi.set_logvar('shop', 'milk')");
    wait_until("both are logged", || {
        let output = server.process.output();
        output.contains("asked for bread in brown") && output.contains("asked for milk in -")
    });
}

/// A worker that takes longer than it has given itself is killed, and another takes its place.
#[test]
fn a_time_of_its_own() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    let response =
        Request::post("/", "text/plain", "uwsgi.set_user_harakiri(1), time.sleep(600)").send(&server.address);
    assert_eq!(response.status, 502);
    assert!(server.process.output().contains("(harakiri)"), "{}", server.process.output());
    // It was for that request alone.
    assert_eq!(server.ask("uwsgi.set_user_harakiri(1)"), "None");
    let pid = server.ask("os.getpid()");
    assert_eq!(server.ask("time.sleep(2.5), os.getpid()"), format!("(None, {pid})"));
}

/// An answer that is ended early is whole for the client, while the application goes on.
#[test]
fn an_answer_that_is_ended_early() {
    let scratch = Scratch::new();
    scratch.write(
        "app/early.py",
        "import uwsgi, time\n\
         def application(environ, start_response):\n    \
             write = start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
             write(b'all there is')\n    \
             uwsgi.disconnect()\n    \
             open('SCRATCH/went-on', 'w').close()\n    \
             return [b'too late']\n",
    );
    let port = harness::Port::reserve();
    let address = port.address();
    scratch.write("app.ini", harness::site::ini("early", &format!("http-socket = {address}")));
    let process = harness::servers::daemun_app(&scratch, "app.ini", &address);
    assert_eq!(Request::get("/").send(&address).text(), "all there is");
    wait_until("the application has gone on", || scratch.path("went-on").exists());
    assert_eq!(Request::get("/").send(&address).text(), "all there is");
    assert!(!process.output().contains("Error"), "{}", process.output());
}

/// A reload that the application asks for: mules and timers are those of the new code, each of them once.
#[test]
fn the_application_has_itself_loaded_anew() {
    let scratch = Scratch::new();
    let code = |version: &str| {
        format!(
            "import time, uwsgi\n\
             def tick(number):\n    open('SCRATCH/ticks', 'a').write('{version}\\n')\n\
             uwsgi.register_signal(1, 'mule1', tick)\nuwsgi.add_ms_timer(1, 50)\n\
             from uwsgi_module import application\n"
        )
    };
    scratch.write("app/versions.py", code("old"));
    let server = Server::ours(&scratch, "import = versions\nmules = 1\nspooler = SCRATCH/tasks");
    wait_until("it ticks", || scratch.read("ticks").contains("old"));
    let pid = server.ask("os.getpid(), uwsgi.is_a_reload");
    scratch.write("app/versions.py", code("new"));
    assert_eq!(server.ask("uwsgi.reload()"), "True");
    wait_until("the new code ticks", || scratch.read("ticks").contains("new"));
    wait_until("the old one has gone", || {
        scratch.write("ticks", "");
        server.ask("time.sleep(0.2)");
        let ticks = scratch.read("ticks");
        ticks.contains("new") && !ticks.contains("old")
    });
    assert_ne!(server.ask("os.getpid(), uwsgi.is_a_reload"), pid);
    // No process of the old ones is left: master, edge, zygote, worker, mule, spooler.
    wait_until("there is one of each", || server.process.descendants().len() == 5);
}

/// Every name stands in the manual, those that raise with what to do instead; and nothing else does.
#[test]
fn the_manual_has_every_name() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "spooler = SCRATCH/tasks\nmule = true\ncache2 = name=a,items=4");
    let names = "\
kinds = []
for name in dir(uwsgi):
    value = getattr(uwsgi, name)
    if name.startswith('__') or name == 'post_fork_hook':
        continue
    kind = 'value'
    if callable(value):
        kind = 'function'
        if name not in ('reload', 'stop'):
            try:
                value(*[object()] * 9)
            except NotImplementedError:
                kind = 'raises'
            except Exception:
                pass
    kinds.append(name + ' ' + kind)
answer = chr(10).join(sorted(kinds))";
    let said = server.ask(names);
    let said = said.trim_matches('\'').replace("\\n", "\n");
    let manual = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/uwsgi-module.md"));
    let manual = manual.expect("there is a manual");
    let mut written: Vec<String> = Vec::new();
    let mut kind = "";
    for line in manual.lines() {
        kind = match line {
            "## Values" => "value",
            "## Functions" => "function",
            "## What raises" => "raises",
            _ if line.starts_with("## ") => "",
            _ => kind,
        };
        if kind.is_empty() || !line.starts_with("| `") {
            continue;
        }
        let names = line.split('|').nth(1).unwrap_or_default();
        written.extend(
            names
                .split('`')
                .skip(1)
                .step_by(2)
                .map(|name| format!("{} {kind}", name.split('(').next().unwrap_or_default())),
        );
    }
    written.sort();
    let said: Vec<&str> = said.lines().collect();
    let missing: Vec<_> = said.iter().filter(|name| !written.iter().any(|other| other == *name)).collect();
    let surplus: Vec<_> = written.iter().filter(|name| !said.contains(&name.as_str())).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "not in the manual: {missing:?}; in the manual alone: {surplus:?}"
    );
}
