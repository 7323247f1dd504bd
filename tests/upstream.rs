//! Groups of servers: which one is asked, and what becomes of one that fails. Where nginx has the feature, it must choose the same.

use std::sync::{Arc, Condvar, Mutex};

use harness::{Address, Backend, Beside, Connection, Port, Process, Request, Scratch, servers, wait_until};

#[test]
fn servers_are_asked_in_turn_by_weight() {
    assert_chooses_as_nginx("server S1 weight=5; server S2; server S3;", &["/"; 15]);
    assert_chooses_as_nginx("server S1; server S2 weight=3; server S3 down;", &["/"; 9]);
}

#[test]
fn a_server_that_refuses_is_left_alone() {
    let choices = assert_chooses_as_nginx("server S1; server DEAD; server S2 weight=2;", &["/"; 9]);
    assert!(choices.iter().all(|choice| choice.starts_with("200")), "{choices:?}");
    let ours = Ours::start("server S1; server DEAD;");
    ours.ask(&["/"; 6]);
    let log = ours.scratch.read("error.log");
    assert_eq!(log.matches("Connection refused").count(), 1, "{log}");
    assert!(log.contains("[warn]") && log.contains("upstream server temporarily disabled"), "{log}");
}

/// `max_fails=0` never gives a server up, and without another one there is nobody to be asked instead.
#[test]
fn failures_count_as_the_configuration_says() {
    let ours = Ours::start("server DEAD max_fails=0; server S1;");
    assert_eq!(ours.ask(&["/"; 6]), ["200 s1"; 6]);
    assert_eq!(ours.scratch.read("error.log").matches("Connection refused").count(), 3);

    let ours = Ours::start("server DEAD;");
    assert_eq!(ours.ask(&["/"; 3]), ["502"; 3]);
    assert_eq!(ours.scratch.read("error.log").matches("Connection refused").count(), 3);
}

#[test]
fn backups_are_asked_when_nobody_else_can_be() {
    assert_chooses_as_nginx("server DEAD; server S1 backup; server S2 backup;", &["/"; 5]);
    assert_chooses_as_nginx("server S1 down; server S2 backup;", &["/"; 3]);
    assert_chooses_as_nginx("server S1; server S2 backup;", &["/"; 3]);
}

#[test]
fn a_group_without_live_servers_is_a_502() {
    let ours = Ours::start("server S1 down; server S2 down;");
    assert_eq!(ours.ask(&["/"]), ["502"]);
    let log = ours.scratch.read("error.log");
    assert!(log.contains("no live upstreams while connecting to upstream"), "{log}");
    assert!(log.contains("upstream: \"uwsgi://group\""), "{log}");
}

#[test]
fn a_text_of_the_request_chooses_as_in_nginx() {
    let targets = many_targets();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    for block in [
        "hash $args; server S1; server S2 weight=3; server S3;",
        "hash $args; server S1; server DEAD weight=2; server S3;",
        "hash $args; server S1 down; server S2; server S3 down;",
        "hash $args consistent; server S1; server S2 weight=3; server S3;",
        "hash $args consistent; server S1; server DEAD; server S3;",
        "hash $args consistent; server S1; server unix:/nowhere/x.sock down; server S2;",
        "hash $arg_none; server S1; server S2;",
    ] {
        assert_chooses_as_nginx(block, &targets);
    }
}

#[test]
fn the_clients_address_chooses_as_in_nginx() {
    let addresses: Vec<_> = (0..20_u8)
        .flat_map(|number| [format!("192.{number}.2.1"), format!("192.{number}.2.200"), format!("2001:db8::{number}")])
        .collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    assert_chooses_as_nginx("ip_hash; server S1; server S2 weight=2; server S3;", &addresses);
    assert_chooses_as_nginx("ip_hash; server S1; server DEAD; server S3 down;", &addresses);
}

#[test]
fn idle_servers_are_asked_in_turn() {
    assert_chooses_as_nginx("least_conn; server S1; server S2 weight=2; server S3 backup;", &["/"; 9]);
    assert_chooses_as_nginx("least_conn; server DEAD; server S2 backup; server S3 backup;", &["/"; 4]);
}

#[test]
fn a_server_that_is_busy_gets_less() {
    for method in ["least_conn;", "least_time header inflight;", "random two least_conn;"] {
        let (scratch, port) = (Scratch::new(), Port::reserve());
        let gate = Arc::new(Gate::default());
        let held = Arc::clone(&gate);
        let slow = Backend::answering(move |_| {
            held.wait();
            "HTTP/1.1 200 OK\r\n\r\nslow".to_owned()
        });
        let quick = Backend::start("quick");
        let http = format!(
            "upstream group {{ {method} server {}; server {}; }}
             server {{ listen {}; location / {{ uwsgi_pass group; }} }}",
            slow.address(),
            quick.address(),
            port.address()
        );
        scratch.write("nginx.conf", servers::nginx_conf(&http));
        let _process = servers::daemun_web(&scratch, "nginx.conf", &port.address());
        let mut waiting = Vec::new();
        while slow.connections() == 0 {
            waiting.push(Connection::to(&port.address()));
            waiting.last_mut().expect("pushed").send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            wait_until("a server has it", || slow.connections() + quick.connections() >= waiting.len());
        }
        assert_eq!(ask(&port.address(), &["/"; 5]), ["200 quick"; 5], "{method}");
        gate.open();
        assert_eq!(waiting.last_mut().expect("one waits").response().text(), "slow", "{method}");
    }
}

#[test]
fn a_full_server_is_passed_over() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let slow = Backend::answering(move |_| {
        held.wait();
        "HTTP/1.1 200 OK\r\n\r\nslow".to_owned()
    });
    let http = format!(
        "upstream group {{ server {} max_conns=1; }}
         server {{ listen {}; location / {{ uwsgi_pass group; }} }}",
        slow.address(),
        port.address()
    );
    scratch.write("nginx.conf", servers::nginx_conf(&http));
    let _process = servers::daemun_web(&scratch, "nginx.conf", &port.address());
    let mut waiting = Connection::to(&port.address());
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the server has it", || slow.connections() == 1);
    assert_eq!(ask(&port.address(), &["/"]), ["502"]);
    gate.open();
    assert_eq!(waiting.response().text(), "slow");
    assert_eq!(ask(&port.address(), &["/"]), ["200 slow"]);
}

/// The cookie is the MD5 of the server's address, as others that read it expect.
#[test]
fn a_cookie_binds_a_session_to_its_server() {
    let ours = Ours::start(
        "server S1; server S2; server S3; sticky cookie srv expires=1h domain=$host httponly secure samesite=lax path=/;",
    );
    let first = Request::get("/").send(&ours.address);
    let cookie = first.header("set-cookie").expect("a cookie").to_owned();
    let (value, rest) = cookie.split_once(';').expect("attributes");
    assert_eq!(value.len(), "srv=".len() + 32, "{cookie}");
    assert!(rest.starts_with(" expires=") && rest.contains(" GMT; max-age=3600; domain="), "{cookie}");
    assert!(rest.ends_with("; httponly; secure; samesite=lax; path=/"), "{cookie}");
    for _ in 0..4 {
        let again = Request::get("/").header("Cookie", &format!("a=b; {value}")).send(&ours.address);
        assert_eq!(again.text(), first.text());
    }
    let others: Vec<_> =
        (0..3).map(|_| Request::get("/").header("Cookie", "srv=none").send(&ours.address).text()).collect();
    assert!(others.iter().any(|other| *other != first.text()), "{others:?}");
}

#[test]
fn a_route_binds_while_its_server_can_be_asked() {
    let block = "server S1 route=a; server S2 route=b drain; server S3 route=c down; server DEAD route=d; sticky route $arg_r $arg_s;";
    let ours = Ours::start(block);
    assert_eq!(ours.ask(&["/?r=a", "/?s=a", "/?r=b", "/?r=b&s=a"]), ["200 s1", "200 s1", "200 s2", "200 s2"]);
    assert_eq!(ours.ask(&["/?r=c", "/?r=d", "/", "/", "/"]), ["200 s1"; 5], "none of the others but for its own");
    let ours = Ours::start("server S1 route=a drain; sticky route $arg_r;");
    assert_eq!(ours.ask(&["/?r=a", "/?r=b", "/"]), ["200 s1", "502", "502"], "the only one too");
}

#[test]
fn a_session_that_was_learnt_is_bound() {
    let ours = Ours::start("server S1; server S2; sticky learn create=$arg_new lookup=$arg_session zone=sessions:1m;");
    let first = ours.ask(&["/?new=one"]).remove(0);
    assert_eq!(ours.ask(&["/?session=one"; 4]), [first.as_str(); 4]);
    let others = ours.ask(&["/?session=other"; 4]);
    assert_eq!(others.iter().filter(|other| **other == first).count(), 2, "{others:?}");
}

#[test]
fn requests_wait_in_a_queue_for_a_server_that_is_full() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let slow = Backend::answering(move |_| {
        held.wait();
        "HTTP/1.1 200 OK\r\n\r\nslow".to_owned()
    });
    let http = format!(
        "upstream group {{ server {} max_conns=1; queue 2 timeout=20s; }}
         upstream hasty {{ server 127.0.0.1:1 down; queue 1 timeout=1ms; }}
         server {{ listen {}; location / {{ uwsgi_pass group; }} location /hasty {{ uwsgi_pass hasty; }} }}",
        slow.address(),
        port.address()
    );
    scratch.write("nginx.conf", servers::nginx_conf(&http));
    let _process = servers::daemun_web(&scratch, "nginx.conf", &port.address());
    let mut waiting: Vec<_> = (0..3).map(|_| Connection::to(&port.address())).collect();
    for connection in &mut waiting {
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    wait_until("one is too many", || ask(&port.address(), &["/"]) == ["502"]);
    gate.open();
    for connection in &mut waiting {
        assert_eq!(connection.response().text(), "slow");
    }
    assert_eq!(ask(&port.address(), &["/hasty"]), ["502"]);
}

#[test]
fn wrong_groups_are_refused() {
    for (block, message) in [
        ("", "no servers are inside upstream"),
        ("server S1 backup;", "no servers in upstream \"group\""),
        ("server S1 weight=0;", "invalid parameter \"weight=0\""),
        ("server S1 max_fails=x;", "invalid parameter \"max_fails=x\""),
        ("server S1 fail_timeout=1q;", "invalid parameter \"fail_timeout=1q\""),
        ("server 127.0.0.1:99999;", "invalid port in upstream \"127.0.0.1:99999\""),
        ("server S1; keepalive x;", "invalid value \"x\" in \"keepalive\" directive"),
        ("server S1; keepalive 1 remote;", "invalid parameter \"remote\""),
        ("ip_hash; server S1; server S1 backup;", "balancing method does not support parameter \"backup\""),
        ("hash $args ketama; server S1;", "invalid parameter \"ketama\""),
        ("least_time first_byte; server S1;", "invalid value \"first_byte\""),
        ("random two least_time; server S1;", "invalid parameter \"least_time\""),
        ("zone a; server S1;", "zero size shared memory zone \"a\""),
        ("zone a 1k; server S1;", "zone \"a\" is too small"),
        ("zone a 1q; server S1;", "invalid zone size \"1q\""),
        ("sticky cookie; server S1;", "invalid number of arguments in \"sticky\" directive"),
        ("sticky glue x; server S1;", "unknown parameter \"glue\""),
        ("sticky cookie a expires=b; server S1;", "invalid \"expires\" parameter value"),
        ("sticky cookie a secure secure; server S1;", "parameter \"secure\" is duplicate"),
        ("sticky cookie a samesite=any; server S1;", "invalid \"samesite\" parameter value"),
        ("sticky route a; server S1;", "invalid variable name \"a\""),
        ("sticky learn create=$args lookup=$args zone=a; server S1;", "zone size is not specified"),
        ("sticky learn create=$args zone=a:1m; server S1;", "\"lookup\" parameter is not specified"),
        (
            "zone a 1m; sticky learn create=$args lookup=$args zone=a:1m; server S1;",
            "is already declared for a different use",
        ),
        ("queue 0; server S1;", "\"queue\" directive value must be equal to or greater than 1"),
        ("queue 1 time=1s; server S1;", "invalid parameter \"time=1s\""),
        ("state /tmp/state; server S1;", "directive \"state\" is not supported by daemun yet"),
        ("ntlm; server S1;", "directive \"ntlm\" is not supported by daemun yet"),
        ("ip_hash; server S1 slow_start=1s;", "balancing method does not support parameter \"slow_start=1s\""),
        ("server S1 route=;", "route is empty"),
        ("server S1; root /;", "unknown directive \"root\""),
        ("server S1; listen 80;", "unknown directive \"listen\""),
    ] {
        let scratch = Scratch::new();
        let conf =
            servers::nginx_conf(&format!("upstream group {{ {} }} server {{ }}", block.replace("S1", "127.0.0.1:1")));
        scratch.write("nginx.conf", conf);
        let ended = servers::web(&scratch, "nginx.conf").arg("-t").run();
        assert!(!ended.status.success() && ended.output.contains(message), "{block}: {}", ended.output);
    }
}

/// Holds backends back until it is opened.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().expect("no holder panics") = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let is_open = self.is_open.lock().expect("no holder panics");
        drop(self.opened.wait_while(is_open, |is_open| !*is_open));
    }
}

/// Three servers, `S1` to `S3` in a configuration, that answer with `s1` to `s3`, and a `DEAD` address that nobody listens at.
struct Group {
    backends: [Backend; 3],
    dead: Port,
}

impl Group {
    fn new() -> Self {
        Self { backends: ["s1", "s2", "s3"].map(Backend::start), dead: Port::reserve() }
    }

    /// What stands in `http`: a group with these servers, and who passes requests on to it.
    fn http(&self, block: &str) -> String {
        let mut block = block.replace("DEAD", &format!("127.0.0.1:{}", self.dead.number()));
        for (backend, place) in self.backends.iter().zip(["S1", "S2", "S3"]) {
            block = block.replace(place, &backend.address());
        }
        format!(
            "set_real_ip_from 127.0.0.0/8;
             upstream group {{ {block} }}
             server {{ listen LISTEN; location / {{ uwsgi_pass group; }} }}"
        )
    }
}

/// daemun with one group.
struct Ours {
    scratch: Scratch,
    address: Address,
    _process: Process,
    _port: Port,
    _group: Group,
}

impl Ours {
    #[track_caller]
    fn start(block: &str) -> Self {
        let (scratch, port, group) = (Scratch::new(), Port::reserve(), Group::new());
        let address = port.address();
        let http = group.http(block).replace("LISTEN", &address.to_string());
        scratch.write("nginx.conf", servers::nginx_conf(&http));
        let process = servers::daemun_web(&scratch, "nginx.conf", &address);
        Self { scratch, address, _process: process, _port: port, _group: group }
    }

    #[track_caller]
    fn ask(&self, targets: &[&str]) -> Vec<String> {
        ask(&self.address, targets)
    }
}

/// The status of each answer, and which server it is from. What is no path is the client's address.
#[track_caller]
fn ask(address: &Address, targets: &[&str]) -> Vec<String> {
    let answer = |target: &&str| {
        let request = match target.starts_with('/') {
            true => Request::get(target),
            false => Request::get("/").header("X-Real-IP", target),
        };
        let response = request.send(address);
        if response.status == 200 { format!("200 {}", response.text()) } else { response.status.to_string() }
    };
    targets.iter().map(answer).collect()
}

/// The choices for `targets`, which are nginx's too.
#[track_caller]
fn assert_chooses_as_nginx(block: &str, targets: &[&str]) -> Vec<String> {
    let group = Group::new();
    let both = Beside::start(&group.http(block), |_| {});
    both.agreed(block, |address| ask(address, targets))
}

/// All of these are different: `/?1` and so on.
fn many_targets() -> Vec<String> {
    (0..40).map(|number| format!("/?{number}")).collect()
}
