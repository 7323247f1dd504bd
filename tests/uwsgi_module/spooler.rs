//! Spooled tasks: written to files, run in the background, run again until they are done.

use std::fs;

use harness::{Scratch, wait_until};

use super::Server;

/// Tasks say in a file that they were run, and end as they are told.
const TASKS: &str = "\
import os, time, uwsgi
def run(task):
    with open('SCRATCH/runs', 'a') as runs:
        runs.write(repr(sorted(((k, v) for k, v in task.items() if k != 'spooler_task_name'), key=str)) + chr(10))
    how = task.get(b'how')
    if how == b'raise':
        raise ValueError('told to')
    if how == b'die once' and not os.path.exists('SCRATCH/died'):
        open('SCRATCH/died', 'w').close()
        os._exit(7)
    if how == b'wait':
        open('SCRATCH/begun', 'w').close()
        while not os.path.exists('SCRATCH/go'):
            time.sleep(0.01)
    if how == b'again':
        return uwsgi.SPOOL_RETRY if not os.path.exists('SCRATCH/enough') else uwsgi.SPOOL_OK
    return uwsgi.SPOOL_OK
uwsgi.spooler = run
from uwsgi_module import application
";

const OPTIONS: &str = "import = tasks\nspooler = SCRATCH/spool\nspooler-frequency = 1\n";

fn start(
    scratch: &Scratch,
    server: fn(&Scratch, &str, &harness::Address) -> harness::Process,
    options: &str,
) -> Server {
    scratch.write("app/tasks.py", TASKS);
    scratch.make_folder("spool");
    Server::start(server, scratch, "uwsgi_module", &format!("{OPTIONS}{options}"))
}

fn ours(scratch: &Scratch, options: &str) -> Server {
    start(scratch, harness::servers::daemun_app, options)
}

fn runs(scratch: &Scratch) -> Vec<String> {
    scratch.read("runs").lines().map(str::to_owned).collect()
}

fn files(scratch: &Scratch) -> Vec<String> {
    let entries = fs::read_dir(scratch.path("spool")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Tasks come to the application as under uWSGI, and their files are gone when they are done.
#[test]
fn tasks_are_run_as_under_uwsgi() {
    let said = [harness::servers::daemun_app, harness::servers::uwsgi].map(|server| {
        let scratch = Scratch::new();
        let server = start(&scratch, server, "");
        let spooled = server.ask("type(uwsgi.spool({b'a': b'1', b'how': b'', b'body': b'x' * 5}))");
        wait_until("it has run", || !runs(&scratch).is_empty() && files(&scratch).is_empty());
        let rest =
            server.ask("uwsgi.spoolers[0].endswith(b'/spool'), uwsgi.spooler_jobs(), uwsgi.set_spooler_frequency(5)");
        let wrong = server.ask("uwsgi.spool(7)");
        (spooled, runs(&scratch), rest, wrong)
    });
    assert_eq!(said[0], said[1]);
}

/// Text is taken too; a task that raises is run again, one that is done is not; the body may be large.
#[test]
fn tasks_that_are_run_again() {
    let scratch = Scratch::new();
    let server = ours(&scratch, "");
    server.ask("uwsgi.spool(how='again', number=7)");
    wait_until("it is run again and again", || runs(&scratch).len() >= 3);
    scratch.write("enough", "");
    wait_until("it is done", || files(&scratch).is_empty());
    assert!(runs(&scratch).iter().all(|run| run == "[(b'how', b'again'), (b'number', b'7')]"));

    server.ask("uwsgi.spool({'how': 'raise'})");
    wait_until("it is run again", || runs(&scratch).iter().filter(|run| run.contains("raise")).count() >= 2);
    assert!(server.process.output().contains("ValueError: told to"));
    let file = files(&scratch);
    fs::remove_file(scratch.path("spool").join(&file[0])).expect("a file");

    assert_eq!(server.ask("len(uwsgi.spool({'body': 'x' * 1000000})) > 0"), "True");
    wait_until("the large one has run", || files(&scratch).is_empty());
    assert_eq!(
        server.ask("uwsgi.spool({'a': 'x' * 70000})"),
        "ValueError: a variable of a task is limited to 64k, use 'body' for more"
    );
}

/// A spooler that dies, or is killed, over a task leaves it to the next one; one that is told to end finishes it.
#[test]
fn tasks_survive_their_spooler() {
    let scratch = Scratch::new();
    let mut server = ours(&scratch, "");
    server.ask("uwsgi.spool({'how': 'die once'})");
    wait_until("it is done by another", || files(&scratch).is_empty());
    assert_eq!(runs(&scratch).len(), 2);
    assert!(server.process.output().contains("spooler 1 (pid "), "{}", server.process.output());

    server.ask("uwsgi.spool({'how': 'wait'})");
    wait_until("it has begun", || scratch.path("begun").exists());
    server.ask("os.kill(uwsgi.spooler_pid(), 9)");
    fs::remove_file(scratch.path("begun")).expect("a file");
    wait_until("it has begun again", || scratch.path("begun").exists());
    server.process.signal(rustix::process::Signal::TERM);
    wait_until("nobody listens any more", || harness::Connection::open(&server.address).is_err());
    scratch.write("go", "");
    assert!(server.process.wait().success());
    assert!(files(&scratch).is_empty());
}

/// What was spooled before the pool was started is run, be it uWSGI's; what is for later waits.
#[test]
fn tasks_wait_for_their_time() {
    let scratch = Scratch::new();
    scratch.make_folder("spool");
    fs::write(scratch.path("spool/uwsgi_spoolfile_on_host_1_1_1_1_1"), b"\x11\x06\0\0\x01\0a\x01\0bbody")
        .expect("a file");
    fs::write(scratch.path("spool/uwsgi_spoolfile_on_host_1_2_1_1_1"), b"\x11\xff\0\0\x01\0a\x01\0bbody")
        .expect("a file");
    let server = ours(&scratch, "");
    wait_until("both are gone", || files(&scratch).is_empty());
    assert_eq!(runs(&scratch), ["[('body', b'body'), (b'a', b'b')]"]);
    assert!(server.process.output().contains("is dropped: no task"), "{}", server.process.output());

    server.ask("uwsgi.spool({'later': 'yes', 'at': str(int(time.time()) + 3000)}), uwsgi.spool({'now': 'yes'})");
    wait_until("the other one has run", || runs(&scratch).len() == 2);
    assert!(runs(&scratch)[1].contains("now"));
    assert_eq!(files(&scratch).len(), 1);
    server.ask("[os.utime(path, (1, 1)) for path in uwsgi.spooler_jobs()], uwsgi.spool({'now': 'yes'})");
    wait_until("its time has come", || files(&scratch).is_empty());
    let task = "uwsgi.spooler_get_task(uwsgi.spool({'at': str(int(time.time()) + 60), 'body': 'b'}))['body']";
    assert_eq!(server.ask(task), "b'b'");
}

/// Several processes share the tasks of a folder, each task is one's; numbered priorities come first.
#[test]
fn several_spoolers_and_priorities() {
    let scratch = Scratch::new();
    let server = ours(&scratch, "spooler-processes = 3\nspooler-quiet = true");
    wait_until("three are there", || {
        server.ask("0 not in uwsgi.spooler_pids(), len(set(uwsgi.spooler_pids()))") == "(True, 3)"
    });
    server.ask("[uwsgi.spool({'n': str(n)}) for n in range(60)]");
    wait_until("all have run", || files(&scratch).is_empty());
    let mut runs = runs(&scratch);
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), 60);
    assert!(!server.process.output().contains("done with"));
    drop(server);

    let scratch = Scratch::new();
    let server = ours(&scratch, "spooler-ordered = true\nspooler-chdir = SCRATCH/app");
    server.ask("uwsgi.spool({'how': 'wait'})");
    wait_until("it has begun", || scratch.path("begun").exists());
    server.ask("[uwsgi.spool({'n': str(n), 'priority': str(n)}) for n in (10, 9, 2)], uwsgi.spool({'n': 'last'})");
    scratch.write("go", "");
    let order = || {
        self::runs(&scratch)
            .iter()
            .filter_map(|run| Some(run.split("(b'n', b'").nth(1)?.split('\'').next()?.to_owned()))
            .collect::<Vec<_>>()
    };
    wait_until("all have run", || order().len() == 4);
    // The file that was looked at before they came may be the last one's.
    let order = order();
    assert_eq!(order.iter().filter(|n| *n != "last").collect::<Vec<_>>(), ["2", "9", "10"]);
    assert_eq!(
        server.ask("uwsgi.spool({'priority': '../x'})"),
        "ValueError: the priority of a task is a number, not '../x'"
    );
}

/// Without a spooler it is said what to do; a task takes as long as it may.
#[test]
fn spoolers_have_their_bounds() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    assert_eq!(server.ask("uwsgi.spool({'a': 'b'})"), "ValueError: no spooler is configured: set spooler = FOLDER");
    drop(server);
    let scratch = Scratch::new();
    let server = ours(&scratch, "spooler-harakiri = 1\nspooler-max-tasks = 2");
    let pid = server.ask("uwsgi.spooler_pid()");
    server.ask("uwsgi.spool({'how': 'wait'})");
    wait_until("it is killed", || server.process.output().contains("takes too long: it is killed"));
    scratch.write("go", "");
    wait_until("another has done it", || files(&scratch).is_empty());
    assert_ne!(server.ask("uwsgi.spooler_pid()"), pid);
    wait_until("it is alive", || server.ask("uwsgi.spooler_pid() > 0") == "True");
    server.ask("[uwsgi.spool({'n': str(n)}) for n in range(4)]");
    wait_until("all have run", || files(&scratch).is_empty());
    assert_eq!(server.ask("uwsgi.lock()"), "None");
}
