//! Locks between workers.

use std::thread;

use harness::{Request, Scratch, wait_until};

use super::{Server, agreed};

#[test]
fn locks_are_taken_as_under_uwsgi() {
    agreed(
        "locks = 2",
        &[
            "uwsgi.is_locked()",
            "uwsgi.lock(), uwsgi.is_locked(), uwsgi.is_locked(1), uwsgi.unlock(), uwsgi.is_locked()",
            "uwsgi.lock(1), uwsgi.lock(2), uwsgi.is_locked(1), uwsgi.is_locked(2), uwsgi.unlock(2), uwsgi.is_locked(2)",
            "uwsgi.is_locked(1), uwsgi.unlock(1), uwsgi.is_locked(1)",
            "uwsgi.lock(3)",
            "uwsgi.lock(-1)",
            "uwsgi.is_locked(99)",
        ],
    );
}

/// Eight times a hundred steps of reading, waiting and writing lose none.
#[test]
fn nobody_comes_between() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "processes = 3\nthreads = 2\ncache2 = name=numbers,items=10");
    let count = "\
for _ in range(100):
    uwsgi.lock()
    number = int(uwsgi.cache_get('n') or b'0')
    time.sleep(0.0001)
    uwsgi.cache_update('n', str(number + 1))
    uwsgi.unlock()";
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| server.ask(count));
        }
    });
    assert_eq!(server.ask("uwsgi.cache_get('n')"), "b'800'");
}

/// Whoever dies with a lock leaves it to the next, and the log says so.
#[test]
fn a_lock_outlives_its_holder() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    let _ = Request::post("/", "text/plain", "uwsgi.lock(), os._exit(1)").try_send(&server.address);
    wait_until("another worker has it", || server.ask("uwsgi.lock(), uwsgi.unlock()") == "(None, None)");
    assert!(server.process.output().contains("lock 0 was held by a process or thread that has ended"));
    assert_eq!(server.ask("uwsgi.is_locked()"), "False");
}

/// A thread that would wait for itself is told.
#[test]
fn a_lock_that_is_held_already() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "");
    assert_eq!(server.ask("uwsgi.lock(), uwsgi.lock()"), "RuntimeError: lock 0 is held by this very thread");
    assert_eq!(server.ask("uwsgi.unlock()"), "None");
    assert_eq!(server.ask("uwsgi.unlock()"), "None");
    wait_until("it is said", || server.process.output().contains("does not hold that lock"));
}
