//! Names that are looked up while requests are served: `resolver`, and servers of a group with `resolve`.

use harness::{Address, Backend, NameServer, Port, Process, Request, Scratch, servers, wait_until};
use rustix::process::Signal;

#[test]
fn a_groups_servers_follow_their_name() {
    let names = NameServer::start();
    let (one, two) = backends();
    names.addresses("app.test", &["127.0.0.1"]);
    let site = Site::start(&names, &format!("server app.test:{} resolve max_fails=0;", one.port()));
    site.wait_for(&["one"]);
    names.addresses("app.test", &["127.0.0.2"]);
    site.wait_for(&["two"]);
    names.addresses("app.test", &["127.0.0.1", "127.0.0.2"]);
    site.wait_for(&["one", "two"]);

    // Who cannot say changes nothing, who says that there is none does.
    names.fail("app.test", 2);
    let asked = names.questions();
    wait_until("the name has been asked for again", || names.questions() >= asked + 4);
    site.wait_for(&["one", "two"]);
    assert!(site.scratch.read("error.log").contains("app.test could not be resolved (2: Server failure)"));
    names.fail("app.test", 3);
    site.wait_for(&["502"]);
    names.addresses("app.test", &["127.0.0.2", "::7f00:1"]);
    site.wait_for(&["two"]);
    drop(two);
}

#[test]
fn a_service_gives_ports_weights_and_backups() {
    let names = NameServer::start();
    let (one, two) = backends();
    let other = Backend::start("other");
    names.addresses("one.test", &["127.0.0.1"]);
    names.addresses("two.test", &["127.0.0.2"]);
    names.services("_http._tcp.app.test", &[(1, 2, one.port(), "one.test"), (1, 1, two.port(), "two.test")]);
    let site = Site::start(&names, "server app.test resolve service=http max_fails=0;");
    site.wait_for(&["one", "two"]);
    let answers: Vec<_> = (0..6).map(|_| site.ask()).collect();
    assert_eq!(answers.iter().filter(|answer| *answer == "one").count(), 4, "{answers:?}");

    names.services("_http._tcp.app.test", &[(1, 1, other.port(), "one.test"), (2, 1, two.port(), "two.test")]);
    site.wait_for(&["other"]);
    drop(other);
    site.wait_for(&["two"]);
}

/// A reload while the name server is ill: the new configuration knows what the old one knew.
#[test]
fn a_reload_begins_with_what_names_stood_for() {
    let names = NameServer::start();
    let (_one, two) = backends();
    names.addresses("app.test", &["127.0.0.2"]);
    let site = Site::start(&names, &format!("server app.test:{} resolve max_fails=0;", two.port()));
    site.wait_for(&["two"]);
    names.fail("app.test", 2);
    site.process.signal(Signal::HUP);
    wait_until("the old configuration is gone", || site.scratch.read("error.log").contains("exited with code 0"));
    assert_eq!([site.ask(), site.ask()], ["two", "two"]);
}

#[test]
fn a_name_that_a_request_gives_is_looked_up() {
    let names = NameServer::start();
    let (one, two) = backends();
    names.addresses("one.test", &["127.0.0.1"]);
    names.addresses("two.test", &["127.0.0.2"]);
    names.fail("broken.test", 2);
    let (scratch, port) = (Scratch::new(), Port::reserve());
    let http = format!(
        "server {{
             listen {};
             location / {{ resolver {}; proxy_pass http://$arg_host:{}; }}
             location /without/ {{ proxy_pass http://$arg_host; }}
         }}",
        port.address(),
        names.address(),
        one.port()
    );
    scratch.write("nginx.conf", servers::nginx_conf(&http));
    let _process = servers::daemun_web(&scratch, "nginx.conf", &port.address());
    let ask = |target: &str| {
        let response = Request::get(target).send(&port.address());
        if response.status == 200 { response.text() } else { response.status.to_string() }
    };
    assert_eq!(
        ["one", "two", "ONE", "one"].map(|name| ask(&format!("/?host={name}.test"))),
        ["one", "two", "one", "one"]
    );
    assert_eq!(["/?host=none.test", "/?host=broken.test", "/without/?host=one.test"].map(ask), ["502"; 3]);
    assert_eq!(ask("/?host=127.0.0.2"), "two", "an address is not looked up");
    let log = scratch.read("error.log");
    assert!(log.contains("none.test could not be resolved (3: Host not found)"), "{log}");
    assert!(log.contains("broken.test could not be resolved (2: Server failure)"), "{log}");
    assert!(log.contains("no resolver defined to resolve one.test"), "{log}");
    drop(two);
}

#[test]
fn wrong_resolvers_are_refused() {
    for (text, message) in [
        ("resolver 127.0.0.1 valid=x;", "invalid parameter: valid=x"),
        ("resolver 127.0.0.1 ipv4=off ipv6=off;", "\"ipv4\" and \"ipv6\" cannot both be \"off\""),
        ("resolver valid=1s;", "no name servers defined"),
        ("resolver 127.0.0.1:x;", "invalid port in resolver \"127.0.0.1:x\""),
        ("resolver 127.0.0.1 status_zone=a;", "the parameter \"status_zone\" is not supported by daemun yet"),
        ("resolver 127.0.0.1; resolver 127.0.0.1;", "\"resolver\" directive is duplicate"),
        (
            "upstream u { zone z 1m; server a.test resolve; }",
            "no resolver defined to resolve names at run time in upstream \"u\"",
        ),
        (
            "resolver 127.0.0.1; upstream u { server a.test resolve; }",
            "resolving names at run time requires upstream \"u\" to be in shared memory",
        ),
        ("upstream u { server a.test service=http; }", "service upstream \"a.test\" requires \"resolve\" parameter"),
        ("upstream u { server a.test:80 resolve service=http; }", "service upstream \"a.test:80\" may not have port"),
        (
            "upstream u { server 127.0.0.1 resolve service=http; }",
            "service upstream \"127.0.0.1\" requires domain name",
        ),
        ("upstream u { server a.test resolve service=; }", "service is empty"),
    ] {
        let scratch = Scratch::new();
        scratch.write("nginx.conf", servers::nginx_conf(text));
        let ended = servers::web(&scratch, "nginx.conf").arg("-t").run();
        assert!(!ended.status.success() && ended.output.contains(message), "{text}: {}", ended.output);
    }
}

/// Servers on 127.0.0.1 and 127.0.0.2, on one port.
fn backends() -> (Backend, Backend) {
    let one = Backend::start("one");
    let two = one.beside([127, 0, 0, 2], "two");
    (one, two)
}

/// daemun with a group whose names are looked up every second.
struct Site {
    scratch: Scratch,
    address: Address,
    process: Process,
    _port: Port,
}

impl Site {
    #[track_caller]
    fn start(names: &NameServer, block: &str) -> Self {
        let (scratch, port) = (Scratch::new(), Port::reserve());
        let http = format!(
            "resolver {} valid=1s; resolver_timeout 1s;
             upstream group {{ zone group 64k; {block} }}
             server {{ listen {}; location / {{ uwsgi_pass group; uwsgi_connect_timeout 1s; }} }}",
            names.address(),
            port.address()
        );
        scratch.write("nginx.conf", servers::nginx_conf(&http));
        let address = port.address();
        let process = servers::daemun_web(&scratch, "nginx.conf", &address);
        Self { scratch, address, process, _port: port }
    }

    fn ask(&self) -> String {
        let response = Request::get("/").send(&self.address);
        if response.status == 200 { response.text() } else { response.status.to_string() }
    }

    /// Waits until these, and no others, answer.
    #[track_caller]
    fn wait_for(&self, wanted: &[&str]) {
        wait_until(&format!("{wanted:?} answer"), || {
            let mut answers: Vec<_> = (0..2 * wanted.len()).map(|_| self.ask()).collect();
            answers.sort();
            answers.dedup();
            answers == wanted
        });
    }
}
