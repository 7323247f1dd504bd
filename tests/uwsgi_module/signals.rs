//! Signals, timers, crons and files that are watched.

use std::collections::BTreeMap;
use std::thread;

use harness::{Request, Scratch, wait_until};

use super::Server;

/// Registers a handler for each kind of receiver that says in the cache who has called it.
const RECEIVERS: &str = "\
import uwsgi
def who():
    return 'worker%d' % uwsgi.worker_id() if uwsgi.worker_id() else 'mule%d' % uwsgi.mule_id() if uwsgi.mule_id() else 'spooler'
def handler(number):
    uwsgi.cache_inc('%d %s' % (number, who()))
receivers = ['', 'workers', 'worker2', 'mules', 'mule1', 'mule', 'farm_pair', 'farm1', 'active-workers', 'spooler', 'worker']
for number, receiver in enumerate(receivers):
    uwsgi.register_signal(number, receiver, handler)
from uwsgi_module import application
";

const POOL: &str = "processes = 2\nmules = 3\nfarm = pair:2,3\nspooler = SCRATCH/tasks\ncache2 = name=heard,items=100";

fn server(start: fn(&Scratch, &str, &harness::Address) -> harness::Process, scratch: &Scratch) -> Server {
    scratch.write("app/receivers.py", RECEIVERS);
    scratch.make_folder("tasks");
    Server::start(start, scratch, "uwsgi_module", &format!("{POOL}\nimport = receivers"))
}

/// What the cache says, with who was first left out where anybody may be.
fn heard(server: &Server) -> BTreeMap<String, u32> {
    let said = server
        .ask("' '.join('%s=%d' % (k.decode().replace(' ', '/'), uwsgi.cache_num(k)) for k in uwsgi.cache_keys())");
    let said = said.trim_matches('\'').to_owned();
    let mut counts = BTreeMap::new();
    for pair in said.split(' ').filter(|pair| !pair.is_empty()) {
        let (key, count) = pair.split_once('=').expect("a count");
        *counts.entry(key.to_owned()).or_default() += count.parse::<u32>().expect("a number");
    }
    counts
}

/// Each signal gets to whom it is for, under both servers.
#[test]
fn signals_get_to_their_receivers() {
    for start in [harness::servers::daemun_app, harness::servers::uwsgi] {
        let scratch = Scratch::new();
        let server = server(start, &scratch);
        assert_eq!(server.ask("uwsgi.signal_registered(0), uwsgi.signal_registered(99)"), "(True, None)");
        assert_eq!(server.ask("[uwsgi.signal(number) for number in range(11)].count(None)"), "11");
        let mut last = BTreeMap::new();
        // Eleven signals, of which three go to two workers, one to three mules.
        wait_until("all are handled", || {
            last = heard(&server);
            last.values().sum::<u32>() == 15
        });
        let count = |key: &str| last.get(key).copied().unwrap_or(0);
        let any = |number: &str| {
            last.iter().filter(|(key, _)| key.starts_with(&format!("{number}/"))).map(|(_, n)| n).sum::<u32>()
        };
        assert_eq!((any("0"), any("10")), (1, 1), "{last:?}");
        assert_eq!(
            (count("1/worker1"), count("1/worker2"), count("8/worker1"), count("8/worker2")),
            (1, 1, 1, 1),
            "{last:?}"
        );
        assert_eq!((count("2/worker2"), any("2")), (1, 1), "{last:?}");
        assert_eq!((count("3/mule1"), count("3/mule2"), count("3/mule3")), (1, 1, 1), "{last:?}");
        assert_eq!((count("4/mule1"), any("4"), any("5")), (1, 1, 1), "{last:?}");
        assert_eq!((any("6"), count("6/mule1"), any("7"), count("7/mule1")), (1, 0, 1, 0), "{last:?}");
        assert_eq!(count("9/spooler"), 1, "{last:?}");
    }
}

/// A busy worker gets its signal when its request is over, an idle one at once; a signal for any goes to the idle one.
#[test]
fn handlers_run_between_requests() {
    let scratch = Scratch::new();
    let server = server(harness::servers::daemun_app, &scratch);
    let busy = "\
uwsgi.cache_update('pid', str(uwsgi.worker_id()))
for n in range(2000):
    if uwsgi.cache_get('end'):
        break
    time.sleep(0.01)
answer = uwsgi.worker_id(), uwsgi.cache_num('1 worker%d' % uwsgi.worker_id())";
    thread::scope(|scope| {
        let asked = scope.spawn(|| server.ask(busy));
        wait_until("it is busy", || server.ask("uwsgi.cache_exists('pid')") == "True");
        let pid = server.ask("int(uwsgi.cache_get('pid'))");
        let idle = if pid == "1" { "2" } else { "1" };
        server.ask("uwsgi.signal(1), uwsgi.signal(0)");
        wait_until("the idle one has handled both", || {
            let heard = heard(&server);
            heard.get(&format!("1/worker{idle}")) == Some(&1) && heard.get(&format!("0/worker{idle}")) == Some(&1)
        });
        server.ask("uwsgi.cache_set('end', '1')");
        assert_eq!(asked.join().expect("asked"), format!("({pid}, 0)"));
        wait_until("the busy one has too", || heard(&server).get(&format!("1/worker{pid}")) == Some(&1));
    });
}

/// A handler that raises is logged; whoever waits for a signal gets it; one without a receiver is told of.
#[test]
fn signals_that_go_wrong() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    assert_eq!(server.ask("uwsgi.register_signal(3, 'worker', lambda number: 1 / 0), uwsgi.signal(3)"), "(None, None)");
    wait_until("it is logged", || {
        server.process.output().contains("the handler of signal 3 failed: ZeroDivisionError")
    });
    assert_eq!(server.ask("uwsgi.signal(3), uwsgi.signal_wait(3), uwsgi.signal_received()"), "(None, None, 3)");
    assert_eq!(
        server.ask("uwsgi.register_signal(4, 'mule7', print), uwsgi.signal(4), uwsgi.signal(5)"),
        "(None, None, None)"
    );
    let output = server.process.output();
    assert!(output.contains("signal 4 is for \"mule7\", and there is no such process"), "{output}");
    assert!(output.contains("signal 5 is not registered"), "{output}");
    assert_eq!(server.ask("uwsgi.register_signal(4, 'w' * 65, print)"), "ValueError: unable to register signal");
    assert!(server.ask("uwsgi.register_signal(256, '', print)").starts_with("OverflowError"));
    assert!(server.ask("uwsgi.signal(1, 'node')").starts_with("NotImplementedError"));
}

/// Timers run once for the pool, with lazy applications too, and go on when workers die.
#[test]
fn timers_run_once_and_survive() {
    let scratch = Scratch::new();
    scratch.write(
        "app/timers.py",
        "import time, uwsgi\n\
         def tick(number):\n    uwsgi.cache_inc('ticks'); uwsgi.cache_update('last', str(time.monotonic()))\n\
         def few(number):\n    uwsgi.cache_inc('few')\n\
         uwsgi.register_signal(1, '', tick)\nuwsgi.add_ms_timer(1, 200)\n\
         uwsgi.register_signal(2, '', few)\nuwsgi.add_rb_timer(2, 1, 2)\n\
         uwsgi.register_signal(3, '', few)\n\
         from uwsgi_module import application\n",
    );
    let options = "processes = 3\nlazy-apps = true\nimport = timers\ncache2 = name=a,items=9";
    let server = Server::ours(&scratch, options);
    let ticks = || server.ask("uwsgi.cache_num('ticks')").parse::<u32>().expect("a number");
    wait_until("it ticks", || ticks() >= 3);
    // Once in 200 ms, not once for each worker: in at least a second there are at most a few more than five.
    let rate = "before = uwsgi.cache_num('ticks'); began = time.monotonic(); time.sleep(1)\n\
                answer = (uwsgi.cache_num('ticks') - before) / (time.monotonic() - began) < 8";
    assert_eq!(server.ask(rate), "True");
    for _ in 0..3 {
        let _ = Request::post("/", "text/plain", "os._exit(1)").try_send(&server.address);
    }
    let before = ticks();
    wait_until("it goes on", || ticks() >= before + 3);
    wait_until("it has run twice", || server.ask("uwsgi.cache_num('few')") == "2");
    // Added by a worker, long after the start; every minute begins within one.
    server.ask("uwsgi.add_ms_timer(3, 50)");
    wait_until("a timer of a worker's runs", || {
        server.ask("uwsgi.cache_num('few')").parse::<u32>().expect("a number") >= 6
    });
    assert_eq!(server.ask("uwsgi.add_timer(1, 0)"), "ValueError: a timer needs an interval above 0");
    assert_eq!(
        server.ask("[uwsgi.add_cron(1, -1, -1, -1, -1, n) for n in range(300)]"),
        "ValueError: unable to add cron"
    );
}

/// A cron is sent in the minute that it names, once; a file when it changes.
#[test]
fn crons_and_files() {
    let scratch = Scratch::new();
    scratch.write("watched", "before");
    scratch.write(
        "app/watcher.py",
        "import time, uwsgi\n\
         def heard(number):\n    uwsgi.cache_inc('n%d' % number)\n\
         for number in range(1, 6):\n    uwsgi.register_signal(number, '', heard)\n\
         now = time.localtime()\n\
         uwsgi.add_cron(1, -1, -1, -1, -1, -1)\n\
         uwsgi.add_cron(2, -1, -1, now.tm_mday, now.tm_mon, (now.tm_wday + 3) % 7)\n\
         uwsgi.add_cron(3, -1, (now.tm_hour + 12) % 24, -1, -1, -1)\n\
         uwsgi.add_cron(4, -1, -1, -1, -1, (now.tm_wday + 1) % 7)\n\
         uwsgi.add_file_monitor(5, 'SCRATCH/watched')\n\
         from uwsgi_module import application\n",
    );
    let server = Server::ours(&scratch, "import = watcher\ncache2 = name=a,items=9");
    let count = |number: u32| server.ask(&format!("uwsgi.cache_num('n{number}')"));
    wait_until("every minute", || count(1) == "1");
    wait_until("the day of the month, or that of the week", || count(2) == "1");
    wait_until("today's day of the week", || count(4) == "1");
    assert_eq!((count(3), count(5)), ("0".to_owned(), "0".to_owned()));
    scratch.write("watched", "after");
    wait_until("the file has changed", || count(5) == "1");
}
