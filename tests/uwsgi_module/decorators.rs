//! `uwsgidecorators`: one application under both servers, and what ours alone says.

use harness::{Request, Scratch, wait_until};

use super::Server;

const DECORATED: &str = "\
import os, time, uwsgi
from uwsgidecorators import *

def say(what):
    with open('SCRATCH/said', 'a') as said:
        said.write(what + chr(10))

@postfork
def forked():
    say('forked %s' % ('worker' if uwsgi.worker_id() else 'mule' if uwsgi.mule_id() else 'spooler'))

@postfork(1)
def first():
    say('first')

@spool
def plain(task):
    say('plain %s' % sorted((k, v) for k, v in task.items() if k in ('a', 'body')))

@spool(pass_arguments=True)
def passed(*args, **kwargs):
    say('passed %r %r' % (args, kwargs))

@spoolforever
def forever(task):
    if not os.path.exists('SCRATCH/forever'):
        open('SCRATCH/forever', 'w').close()
        say('forever')

@spoolraw
def raw(task):
    say('raw')
    return uwsgi.SPOOL_OK

@mulefunc(1)
def there(n):
    say('mule %d got %r' % (uwsgi.mule_id(), n))

@mulemsg(2)
def message(text):
    say('message %s' % text)

@farm('f')
def of_farm(text):
    say('farm %s' % text)

@signal(9)
def nine(number):
    say('signal %d' % number)

@timer(1, target='worker')
def second(number):
    if not os.path.exists('SCRATCH/second'):
        open('SCRATCH/second', 'w').close()
        say('timer')

@rbtimer(1, target='mule1')
def rb(number):
    if not os.path.exists('SCRATCH/rb'):
        open('SCRATCH/rb', 'w').close()
        say('rbtimer')

@cron(-1, -1, -1, -1, -1)
def minute(number):
    pass

@filemon('SCRATCH/watched')
def changed(number):
    pass

@thread
def besides(n):
    say('thread %d' % n)

@lock
def locked(n):
    say('locked %d %s' % (n, uwsgi.is_locked()))

@harakiri(30)
def soon(n):
    say('harakiri %d' % n)

def application(environ, start_response):
    plain(a='1', body='text')
    passed(1, [2], three={'four': 5})
    forever.spool(a='1')
    raw({'a': b'1'})
    there(8)
    uwsgi.mule_msg('to two', 2)
    uwsgi.farm_msg('f', 'to f')
    uwsgi.signal(9)
    besides(1); locked(2); soon(3)
    start_response('200 OK', [])
    return [b'done']
";

const OPTIONS: &str =
    "spooler = SCRATCH/tasks\nspooler-frequency = 1\nmules = 3\nfarm = f:3\nprocesses = 2\nthreads = 2";

#[test]
fn decorated_functions_do_what_they_do_under_uwsgi() {
    let said = [harness::servers::daemun_app, harness::servers::uwsgi].map(|start| {
        let scratch = Scratch::new();
        scratch.write("app/decorated.py", DECORATED);
        scratch.write("watched", "");
        scratch.make_folder("tasks");
        let port = harness::Port::reserve();
        let address = port.address();
        scratch.write("app.ini", harness::site::ini("decorated", &format!("http-socket = {address}\n{OPTIONS}")));
        let _process = start(&scratch, "app.ini", &address);
        assert_eq!(Request::get("/").send(&address).text(), "done");
        let lines = || {
            let mut lines: Vec<String> = scratch.read("said").lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        wait_until("all have said what they have to say", || lines().len() >= 20);
        lines()
    });
    assert_eq!(said[0], said[1]);
}

/// What cannot be done says so when it is asked for.
#[test]
fn what_is_not_there_raises() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    let raised = |text: &str| server.ask(&format!("import uwsgidecorators as d\n{text}"));
    assert!(raised("d.rpc('x')(len)").starts_with("NotImplementedError: uwsgi.register_rpc()"));
    assert!(raised("d.erlang('x')(len)").starts_with("NotImplementedError"));
    assert_eq!(raised("d.spool(len)"), "Exception: you have to enable the uWSGI spooler to use @spool decorator");
    assert_eq!(raised("answer = d.get_free_signal(), d.timer(60)(len) is len, d.get_free_signal()"), "(0, True, 1)");
    // A traceback shows lines of it, as of any module.
    wait_until("the traceback is there", || server.process.output().contains("uwsgi.register_rpc(self.name, f)"));
}
