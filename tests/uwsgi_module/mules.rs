//! Mules and farms: messages, programs of their own, and what becomes of them when they die.

use harness::{Scratch, wait_until};

use super::{Server, agreed};

/// Every mule says in the cache what it has got.
const HOOK: &str = "\
import uwsgi
def hook(message):
    if message == b'fail':
        raise ValueError('not this one')
    if message == b'die':
        import os; os._exit(9)
    uwsgi.cache_inc('%s to %d' % (message.decode(), uwsgi.mule_id()))
uwsgi.mule_msg_hook = hook
from uwsgi_module import application
";

fn pool(scratch: &Scratch, options: &str) -> Server {
    scratch.write("app/hook.py", HOOK);
    Server::ours(scratch, &format!("import = hook\ncache2 = name=a,items=99\n{options}"))
}

fn keys(server: &Server) -> String {
    server.ask("sorted(uwsgi.cache_keys())")
}

#[test]
fn messages_are_sent_as_under_uwsgi() {
    agreed(
        "mules = 2\nfarm = pair:1,2\ncache2 = name=a,items=9",
        &[
            "uwsgi.mule_msg('a'), uwsgi.mule_msg(b'a', 1), uwsgi.mule_msg('a', 2), uwsgi.mule_msg('a', 0)",
            "uwsgi.farm_msg('pair', 'a'), uwsgi.farm_msg('nobody', 'a')",
            "uwsgi.mule_get_msg()",
            "uwsgi.farm_get_msg()",
            "uwsgi.in_farm(), uwsgi.in_farm('pair')",
            "uwsgi.mule_msg('a', 1.5)",
        ],
    );
    agreed("", &["uwsgi.mule_msg('a')", "uwsgi.mule_id()"]);
}

#[test]
fn messages_get_to_their_mules() {
    let scratch = Scratch::new();
    let server = pool(&scratch, "mules = 3\nfarm = pair:2,3\nfarm = alone:1");
    server.ask(
        "uwsgi.mule_msg('one', 1), uwsgi.mule_msg('two', 2), uwsgi.farm_msg('alone', 'alone'), uwsgi.mule_msg('any')",
    );
    wait_until("all are there", || {
        let keys = keys(&server);
        ["b'one to 1'", "b'two to 2'", "b'alone to 1'", "b'any to "].iter().all(|key| keys.contains(key))
    });
    server.ask("[uwsgi.mule_msg('pair', b'pair') for n in range(20)]");
    let pair = "[uwsgi.cache_num('pair to %d' % n) for n in (1, 2, 3)]";
    wait_until("the farm has all of its own", || server.ask(&format!("sum({pair})")) == "20");
    assert_eq!(server.ask(&format!("{pair}[0]")), "0");
    assert_eq!(server.ask("uwsgi.mule_msg('x', 4)"), "ValueError: invalid mule number");
}

/// A hook that raises costs its message; a mule that dies is replaced, and what waited for it is there.
#[test]
fn mules_that_die_are_replaced() {
    let scratch = Scratch::new();
    let server = pool(&scratch, "mule = true");
    server.ask("uwsgi.mule_msg('fail'), uwsgi.mule_msg('die'), uwsgi.mule_msg('after')");
    wait_until("another mule has the message", || keys(&server) == "[b'after to 1']");
    let output = server.process.output();
    assert!(output.contains("ValueError: not this one"), "{output}");
    assert!(output.contains("mule 1 (pid "), "{output}");
}

/// A queue has its bounds, and says so.
#[test]
fn a_full_queue_refuses() {
    let scratch = Scratch::new();
    scratch.write("app/deaf.py", "import time\nwhile True:\n    time.sleep(60)\n");
    let server = pool(&scratch, "mule = deaf.py\nmule-msg-size = 4096");
    assert_eq!(
        server.ask("[uwsgi.mule_msg('x' * 996, 1) for n in range(6)]"),
        "[True, True, True, True, False, False]"
    );
    assert!(server.process.output().contains("mule-msg-size"), "{}", server.process.output());
}

/// A mule with a program of its own takes messages when it likes, and ends with the pool.
#[test]
fn programs_of_their_own() {
    let scratch = Scratch::new();
    scratch.write(
        "app/program.py",
        "import uwsgi\n\
         uwsgi.cache_set('name', __name__)\n\
         uwsgi.cache_set('nothing', repr(uwsgi.mule_get_msg(timeout=0)))\n\
         while True:\n    \
             message = uwsgi.mule_get_msg()\n    \
             uwsgi.cache_set(message, str(uwsgi.mule_id()) + uwsgi.mule_file()[-10:])\n",
    );
    scratch.write(
        "app/functions.py",
        "import uwsgi\ndef brain():\n    while True:\n        uwsgi.cache_set(uwsgi.farm_get_msg(), 'brain')\n",
    );
    let mut server = pool(&scratch, "mule = program.py\nmule = functions:brain\nfarm = f:2");
    wait_until("it has looked for a message", || server.ask("uwsgi.cache_exists('nothing')") == "True");
    server.ask("uwsgi.mule_msg('hello', 1), uwsgi.farm_msg('f', 'farm')");
    wait_until("both have answered", || {
        server.ask("uwsgi.cache_exists('hello'), uwsgi.cache_exists('farm')") == "(True, True)"
    });
    assert_eq!(
        server.ask("[uwsgi.cache_get(k) for k in ('name', 'nothing', 'hello', 'farm')]"),
        "[b'__main__', b'None', b'1program.py', b'brain']"
    );
    server.process.signal(rustix::process::Signal::TERM);
    assert!(server.process.wait().success());
    assert!(scratch.processes_left().is_empty());
}

/// A message that is being worked on when the pool ends is finished.
#[test]
fn the_end_waits_for_a_message() {
    let scratch = Scratch::new();
    scratch.write(
        "app/slow.py",
        "import os, time, uwsgi\n\
         def hook(message):\n    \
             open('SCRATCH/begun', 'w').close()\n    \
             while not os.path.exists('SCRATCH/go'):\n        time.sleep(0.01)\n    \
             open('SCRATCH/ended', 'w').close()\n\
         uwsgi.mule_msg_hook = hook\nfrom uwsgi_module import application\n",
    );
    let mut server = Server::ours(&scratch, "import = slow\nmules = 1");
    server.ask("uwsgi.mule_msg('slow')");
    wait_until("it has begun", || scratch.path("begun").exists());
    server.process.signal(rustix::process::Signal::TERM);
    wait_until("nobody listens any more", || harness::Connection::open(&server.address).is_err());
    assert!(server.process.is_running());
    scratch.write("go", "");
    assert!(server.process.wait().success());
    assert!(scratch.path("ended").exists());
}

/// What workers have sent before they end is done, in the order in which it was sent.
#[test]
fn the_end_waits_for_what_was_sent() {
    let scratch = Scratch::new();
    scratch.write(
        "app/steady.py",
        "import time, uwsgi\n\
         def hook(message):\n    \
             time.sleep(0.005)\n    \
             open('SCRATCH/done', 'ab').write(message + b' ')\n\
         uwsgi.mule_msg_hook = hook\nfrom uwsgi_module import application\n",
    );
    let mut server = Server::ours(&scratch, "import = steady\nmules = 1");
    let last = "os.kill(uwsgi.masterpid(), 15), [uwsgi.mule_msg(str(n)) for n in range(100)].count(True)";
    assert_eq!(server.ask(last), "(None, 100)");
    assert!(server.process.wait().success());
    let wanted: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(scratch.read("done").split_whitespace().collect::<Vec<_>>(), wanted);
}

/// A mule whose brain fails is replaced; one that is told to end while it waits says nothing of it.
#[test]
fn brains_that_fail() {
    let scratch = Scratch::new();
    scratch.write(
        "app/brains.py",
        "import os, uwsgi\nfrom uwsgi_module import application\nfrom uwsgidecorators import mule, mulemsg, postfork_chain_hook\n\
         uwsgi.post_fork_hook = postfork_chain_hook\n\
         @mule(1)\n\
         def fails():\n    \
             if not os.path.exists('SCRATCH/failed'):\n        \
                 open('SCRATCH/failed', 'w').close()\n        raise ValueError('first')\n    \
             uwsgi.cache_set('second', 'v')\n\
         @mulemsg(2)\n\
         def waits(message):\n    pass\n",
    );
    let mut server = Server::ours(&scratch, "import = brains\nmules = 2\ncache2 = name=a,items=9");
    wait_until("the second one is there", || server.ask("uwsgi.cache_exists('second')") == "True");
    server.process.signal(rustix::process::Signal::TERM);
    assert!(server.process.wait().success());
    let output = server.process.output();
    assert!(output.contains("ValueError: first") && output.contains("mule 1 (pid "), "{output}");
    assert!(!output.contains("SystemExit"), "{output}");
}

/// With lazy applications, mules load what they need themselves; what they may take for a message is theirs to keep.
#[test]
fn mules_of_lazy_applications() {
    let scratch = Scratch::new();
    let server = pool(&scratch, "lazy-apps = true\nmules = 2\nmule-harakiri = 1");
    server.ask("uwsgi.mule_msg('one', 1), uwsgi.mule_msg('two', 2)");
    wait_until("both are there", || keys(&server) == "[b'one to 1', b'two to 2']");
    drop(server);
    let scratch = Scratch::new();
    scratch.write(
        "app/slow.py",
        "import time, uwsgi\n\
         def hook(message):\n    \
             time.sleep(600 if message == b'slow' else 0)\n    \
             uwsgi.cache_set(message, 'v')\n\
         uwsgi.mule_msg_hook = hook\nfrom uwsgi_module import application\n",
    );
    let server = Server::ours(&scratch, "import = slow\nmules = 1\nmule-harakiri = 1\ncache2 = name=a,items=9");
    server.ask("uwsgi.mule_msg('slow'), uwsgi.mule_msg('fast')");
    wait_until("the next message is taken", || server.ask("uwsgi.cache_keys()") == "[b'fast']");
    assert!(server.process.output().contains("mule 1 (pid "), "{}", server.process.output());
    assert!(server.process.output().contains("takes too long: it is killed"), "{}", server.process.output());
}
