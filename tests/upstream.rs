//! Groups of servers: which one is asked, and what becomes of one that fails. Where nginx has the feature, it must choose the same.

use harness::{Address, Backend, Port, Process, Request, Scratch, servers};

#[test]
fn servers_are_asked_in_turn_by_weight() {
    assert_chooses_as_nginx("server S1 weight=5; server S2; server S3;", &["/"; 15]);
    assert_chooses_as_nginx("server S1; server S2 weight=3; server S3 down;", &["/"; 9]);
}

#[test]
fn a_server_that_refuses_is_left_alone() {
    let choices = assert_chooses_as_nginx("server S1; server DEAD; server S2 weight=2;", &["/"; 9]);
    assert!(choices.iter().all(|choice| choice.starts_with("200")), "{choices:?}");
    let group = Group::start("server S1; server DEAD;", servers::daemun_web);
    group.ask(&["/"; 6]);
    let log = group.scratch.read("error.log");
    assert_eq!(log.matches("Connection refused").count(), 1, "{log}");
    assert!(log.contains("[warn]") && log.contains("upstream server temporarily disabled"), "{log}");
}

/// `max_fails=0` never gives a server up, and without another one there is nobody to be asked instead.
#[test]
fn failures_count_as_the_configuration_says() {
    let group = Group::start("server DEAD max_fails=0; server S1;", servers::daemun_web);
    assert_eq!(group.ask(&["/"; 6]), ["200 s1"; 6]);
    assert_eq!(group.scratch.read("error.log").matches("Connection refused").count(), 3);

    let group = Group::start("server DEAD;", servers::daemun_web);
    assert_eq!(group.ask(&["/"; 3]), ["502"; 3]);
    assert_eq!(group.scratch.read("error.log").matches("Connection refused").count(), 3);
}

#[test]
fn backups_are_asked_when_nobody_else_can_be() {
    assert_chooses_as_nginx("server DEAD; server S1 backup; server S2 backup;", &["/"; 5]);
    assert_chooses_as_nginx("server S1 down; server S2 backup;", &["/"; 3]);
    assert_chooses_as_nginx("server S1; server S2 backup;", &["/"; 3]);
}

#[test]
fn a_group_without_live_servers_is_a_502() {
    let group = Group::start("server S1 down; server S2 down;", servers::daemun_web);
    assert_eq!(group.ask(&["/"]), ["502"]);
    let log = group.scratch.read("error.log");
    assert!(log.contains("no live upstreams while connecting to upstream"), "{log}");
    assert!(log.contains("upstream: \"uwsgi://group\""), "{log}");
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

/// Starts a server on a configuration in the scratch folder.
type Program = fn(&Scratch, &str, &Address) -> Process;

/// A group of three servers, `S1` to `S3`, that answer with `s1` to `s3`, and a `DEAD` one that nobody listens at.
struct Group {
    scratch: Scratch,
    address: Address,
    _process: Process,
    _backends: [Backend; 3],
    _ports: [Port; 2],
}

impl Group {
    #[track_caller]
    fn start(block: &str, program: Program) -> Self {
        let backends = ["s1", "s2", "s3"].map(Backend::start);
        let ports = [Port::reserve(), Port::reserve()];
        let mut block = block.replace("DEAD", &format!("127.0.0.1:{}", ports[1].number()));
        for (backend, place) in backends.iter().zip(["S1", "S2", "S3"]) {
            block = block.replace(place, &backend.address());
        }
        let scratch = Scratch::new();
        let port = ports[0].number();
        let http = format!(
            "upstream group {{ {block} }}
             server {{ listen 127.0.0.1:{port}; location / {{ uwsgi_pass group; }} }}"
        );
        scratch.write("nginx.conf", servers::nginx_conf(&http));
        let address = ports[0].address();
        let process = program(&scratch, "nginx.conf", &address);
        Self { scratch, address, _process: process, _backends: backends, _ports: ports }
    }

    /// The status of each answer, and which server it is from.
    #[track_caller]
    fn ask(&self, targets: &[&str]) -> Vec<String> {
        let answer = |target: &&str| {
            let response = Request::get(target).send(&self.address);
            if response.status == 200 { format!("200 {}", response.text()) } else { response.status.to_string() }
        };
        targets.iter().map(answer).collect()
    }
}

/// The choices for `targets`, which are nginx's too.
#[track_caller]
fn assert_chooses_as_nginx(block: &str, targets: &[&str]) -> Vec<String> {
    let expected = Group::start(block, servers::nginx).ask(targets);
    let seen = Group::start(block, servers::daemun_web).ask(targets);
    assert_eq!(seen, expected, "{block}");
    seen
}
