//! Caches: what is set, changed, forgotten and kept.

use std::thread;

use harness::{Request, Scratch, wait_until};

use super::{Server, agreed};

#[test]
fn caches_are_what_they_are_under_uwsgi() {
    agreed(
        "cache2 = name=first,items=100,blocksize=32\ncache2 = name=second,items=10,keysize=8,math_initial=5",
        &[
            "uwsgi.cache_get('a')",
            "uwsgi.cache_set('a', 'value')",
            "uwsgi.cache_set('a', 'another')",
            "uwsgi.cache_get('a')",
            "uwsgi.cache_get(b'a')",
            "uwsgi.cache_update('a', b'\\x00\\xff')",
            "uwsgi.cache_get('a')",
            "uwsgi.cache_exists('a'), uwsgi.cache_exists('b')",
            "uwsgi.cache_get('a', 'first'), uwsgi.cache_get('a', 'second'), uwsgi.cache_get('a', 'third')",
            "uwsgi.cache_set('a', 'v', 0, 'third')",
            "uwsgi.cache_set('k', 'x' * 32), uwsgi.cache_set('l', 'x' * 33), uwsgi.cache_set('m', '')",
            "uwsgi.cache_set('', 'v')",
            "uwsgi.cache_set('12345678', 'v', 0, 'second'), uwsgi.cache_set('123456789', 'v', 0, 'second')",
            "sorted(uwsgi.cache_keys()), uwsgi.cache_keys('second')",
            "uwsgi.cache_del('a'), uwsgi.cache_del('a'), uwsgi.cache_get('a')",
            "uwsgi.cache_inc('n'), uwsgi.cache_num('n')",
            "uwsgi.cache_inc('n', 41), uwsgi.cache_num('n')",
            "uwsgi.cache_dec('n', 2), uwsgi.cache_mul('n'), uwsgi.cache_div('n', 8), uwsgi.cache_num('n')",
            "uwsgi.cache_div('n', 0), uwsgi.cache_num('n')",
            "uwsgi.cache_dec('n'), uwsgi.cache_num('n'), uwsgi.cache_get('n')",
            "uwsgi.cache_inc('n', 1, 0, 'second'), uwsgi.cache_num('n', 'second'), uwsgi.cache_num('none')",
            "uwsgi.cache_set('e', 'v', 100), uwsgi.cache_get('e')",
            "uwsgi.cache_clear('second'), uwsgi.cache_keys('second'), len(uwsgi.cache_keys()) > 0",
            "uwsgi.cache_clear(), uwsgi.cache_keys()",
            "uwsgi.cache_clear('third')",
            "uwsgi.cache_keys('third')",
            "uwsgi.cache_get(7)",
        ],
    );
}

#[test]
fn without_a_cache_nothing_is_kept() {
    agreed("", &["uwsgi.cache_set('a', 'b')", "uwsgi.cache_get('a')", "uwsgi.cache_keys()", "uwsgi.cache_exists('a')"]);
}

#[test]
fn the_cache_of_old_has_no_name() {
    agreed(
        "cache = 20\ncache-blocksize = 16",
        &[
            "uwsgi.cache_set('a', 'b' * 16), uwsgi.cache_set('c', 'd' * 17), uwsgi.cache_get('a')",
            "uwsgi.cache_get('a', 'default')",
        ],
    );
}

/// Every worker sees what any has set; what has expired is not seen from that second on.
#[test]
fn workers_share_what_expires() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "processes = 2\ncache2 = name=a,items=4");
    server.ask("uwsgi.cache_set('k', 'v')");
    // One keeps its worker until the other has been asked too.
    let meet = "uwsgi.cache_inc('met'), [time.sleep(0.01) for n in range(500) if uwsgi.cache_num('met') < 2], os.getpid(), \
                uwsgi.cache_get('k')";
    let pids = thread::scope(|scope| {
        let asked = [scope.spawn(|| server.ask(meet)), scope.spawn(|| server.ask(meet))];
        asked.map(|asked| asked.join().expect("asked"))
    });
    assert!(pids.iter().all(|said| said.ends_with(", b'v')")), "{pids:?}");
    let pid = |said: &String| said.rsplit(", ").nth(1).map(str::to_owned);
    assert_ne!(pid(&pids[0]), pid(&pids[1]));
    server.ask("uwsgi.cache_del('met')");
    server.ask("uwsgi.cache_set('short', 'v', 1)");
    wait_until("it has expired", || server.ask("uwsgi.cache_get('short')") == "None");
    assert_eq!(server.ask("uwsgi.cache_exists('short'), uwsgi.cache_keys()"), "(None, [b'k'])");
    // It makes room: four items are all there may be.
    assert_eq!(
        server.ask("uwsgi.cache_set('x', 'v', 1), uwsgi.cache_set('y', 'v', 1), uwsgi.cache_set('z', 'v')"),
        "(True, True, True)"
    );
    assert_eq!(server.ask("uwsgi.cache_set('one too many', 'v')"), "None");
    wait_until("the log says so", || server.process.output().contains("cache \"a\" is full"));
    wait_until("there is room", || server.ask("uwsgi.cache_set('again', 'v')") == "True");
}

/// A full cache forgets what was asked for last the longest time ago, or all of it.
#[test]
fn full_caches_forget() {
    let scratch = Scratch::new();
    let caches = "cache2 = name=old,items=3,purge_lru=1\ncache2 = name=all,items=3,clear_on_full=1\n\
                  cache2 = name=wide,items=8,blocks=8,blocksize=4,bitmap=1,purge_lru=1";
    let server = Server::ours(&scratch, caches);
    let fill = "[uwsgi.cache_set(k, 'v', 0, NAME) for k in 'abc'], uwsgi.cache_get('a', NAME), \
                uwsgi.cache_set('d', 'v', 0, NAME), sorted(uwsgi.cache_keys(NAME))";
    let said = |name: &str| server.ask(&fill.replace("NAME", &format!("'{name}'")));
    assert_eq!(said("old"), "([True, True, True], b'v', True, [b'a', b'c', b'd'])");
    assert_eq!(said("all"), "([True, True, True], b'v', True, [b'd'])");
    let wide = "\
set = lambda key, length: uwsgi.cache_update(key, key * length, 0, 'wide')
answer = [set('a', 12), set('b', 16), set('c', 4), uwsgi.cache_get('a', 'wide'), set('d', 20), set('e', 33)]
answer += [sorted(uwsgi.cache_keys('wide')), uwsgi.cache_get('d', 'wide')]";
    assert_eq!(
        server.ask(wide),
        "[True, True, True, b'aaaaaaaaaaaa', True, None, [b'a', b'd'], b'dddddddddddddddddddd']"
    );
}

/// A cache with a file is there again after the end.
#[test]
fn what_is_kept_in_a_file() {
    let scratch = Scratch::new();
    let cache = "cache2 = name=kept,items=50,store=SCRATCH/kept.cache";
    let mut server = Server::ours(&scratch, cache);
    assert_eq!(server.ask("[uwsgi.cache_set(str(n), 'v%d' % n) for n in range(40)].count(True)"), "40");
    server.process.signal(rustix::process::Signal::TERM);
    assert!(server.process.wait().success());
    drop(server);
    let server = Server::ours(&scratch, cache);
    assert_eq!(server.ask("len(uwsgi.cache_keys()), uwsgi.cache_get('39')"), "(40, b'v39')");
    drop(server);
    // Another size is another cache: it is not taken for this one, nor overwritten.
    scratch.write("other.ini", harness::site::ini("uwsgi_module", &cache.replace("50", "60")));
    let ended = harness::servers::app(&scratch, "other.ini").run();
    assert!(!ended.status.success());
    assert!(ended.output.contains("it is not a cache of this kind"), "{}", ended.output);
}

/// While another generation takes over, both have the same file.
#[test]
fn a_file_outlives_a_reload() {
    let scratch = Scratch::new();
    let server =
        Server::ours(&scratch, "cache2 = name=kept,items=50,store=SCRATCH/kept.cache\ncache2 = name=lost,items=5");
    assert_eq!(server.ask("uwsgi.cache_set('a', 'v'), uwsgi.cache_set('a', 'v', 0, 'lost')"), "(True, True)");
    let pid = server.ask("os.getpid()");
    server.ask("uwsgi.reload()");
    wait_until("others serve", || server.ask("uwsgi.cache_inc('n'), os.getpid()") != format!("(True, {pid})"));
    assert_eq!(server.ask("uwsgi.cache_get('a'), uwsgi.cache_get('a', 'lost')"), "(b'v', None)");
    let number: i64 = server.ask("uwsgi.cache_num('n')").parse().expect("a number");
    assert!(number > 0);
}

/// Four workers set, change and take away at the same time, one of them is killed again and again: nothing is lost of
/// the cache but what it was changing.
#[test]
fn a_cache_survives_whoever_dies_over_it() {
    let scratch = Scratch::new();
    let server = Server::ours(&scratch, "processes = 4\ncache2 = name=a,items=200,blocksize=64,purge_lru=1");
    let work = "\
for n in range(300):
    key = str(n % 37)
    uwsgi.cache_update(key, key * 20)
    value = uwsgi.cache_get(key)
    assert value is None or value == (key * 20).encode(), value
    if n % 5 == 0:
        uwsgi.cache_del(key)
answer = 'done'";
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..5).map(|_| Request::post("/", "text/plain", work).try_send(&server.address)).collect::<Vec<_>>()
                })
            })
            .collect();
        for _ in 0..10 {
            let _ = Request::post("/", "text/plain", "os.kill(os.getpid(), 9)").try_send(&server.address);
        }
        for worker in workers {
            for response in worker.join().expect("asked").into_iter().flatten() {
                let text = response.text();
                assert!(response.status == 502 || text == "'done'", "{text}");
            }
        }
    });
    assert_eq!(server.ask("uwsgi.cache_set('after', 'all'), uwsgi.cache_get('after')"), "(True, b'all')");
}
