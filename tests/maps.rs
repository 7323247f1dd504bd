//! `map` and `split_clients`. The table is true of nginx too: see `nginx_agrees`.

use harness::{Address, Port, Process, Request, Scratch, servers};

/// The target, and the body that must come.
const TABLE: &[(&str, &str)] = &[
    ("/plain?x=one", "first"),
    ("/plain?x=ONE", "first"),
    ("/plain?x=two", "second /plain"),
    ("/plain?x=three", "other"),
    ("/plain?x=", "nothing"),
    ("/plain", "nothing"),
    ("/plain?x=default", "word"),
    ("/pattern?x=abc", "rest bc"),
    ("/pattern?x=ABC", "either BC"),
    ("/pattern?x=k-v", "v"),
    ("/pattern?x=zzz", ""),
    ("/hosts?x=example.org", "exact"),
    ("/hosts?x=example.org.", "exact"),
    ("/hosts?x=a.example.org", "below"),
    ("/hosts?x=a.b.example.org", "deeper"),
    ("/hosts?x=www.x", "www"),
    ("/hosts?x=dot.net", "dot"),
    ("/hosts?x=a.dot.net", "dot"),
    ("/hosts?x=none", "default"),
    ("/chained?x=one", "chain of first"),
    ("/kept?x=one", "first first"),
    ("/volatile?x=one", "a b"),
    ("/overridden?x=one", "set"),
    ("/decide?x=one", "yes"),
    ("/decide?x=two", "no"),
    ("/split?x=a", "SAME"),
    ("/split?x=bcdef", "SAME"),
    ("/split?x=12345678", "SAME"),
    ("/split", "SAME"),
    ("/whole?x=a", "all"),
];

const HTTP: &str = r#"
    map $arg_x $plain { one first; two "second $uri"; \default word; "" nothing; default other; }
    map $arg_x $pattern { ~^a(.*)$ "rest $1"; ~*^a(.*)$ "either $1"; "~^(?<key>.+)-(?<value>.+)$" $value; }
    map $arg_x $hosts {
        hostnames;
        default default;
        example.org exact;
        *.example.org below;
        *.b.example.org deeper;
        www.* www;
        .dot.net dot;
    }
    map $plain $chained { first "chain of $plain"; }
    map $state $volatile { volatile; default $state; }
    map $plain $decision { first 1; default 0; }
    split_clients "$arg_x" $share { 10% tenth; 25.5% quarter; * rest; }
    split_clients "$arg_x" $whole { 100% all; }
"#;

const LOCATIONS: &str = r#"
        default_type text/plain;
        location = /plain { return 200 $plain; }
        location = /pattern { return 200 $pattern; }
        location = /hosts { return 200 $hosts; }
        location = /chained { return 200 $chained; }
        location = /kept { set $first $plain; set $args x=two; return 200 "$first $plain"; }
        location = /volatile { set $state a; set $first $volatile; set $state b; return 200 "$first $volatile"; }
        location = /overridden { set $plain set; return 200 $plain; }
        location = /decide { if ($decision) { return 200 yes; } return 200 no; }
        location = /split { return 200 $share; }
        location = /whole { return 200 $whole; }
"#;

#[test]
fn nginx_agrees() {
    let scratch = Scratch::new();
    let (ours, peer) = (Port::reserve(), Port::reserve());
    write(&scratch, "ours.conf", &ours);
    write(&scratch, "peer.conf", &peer);
    let _ours = servers::daemun_web(&scratch, "ours.conf", &ours.address());
    let _peer: Process = servers::nginx(&scratch, "peer.conf", &peer.address());
    for (target, expected) in TABLE {
        let (seen, wanted) = (body(&ours.address(), target), body(&peer.address(), target));
        assert_eq!(seen, wanted, "{target}");
        assert!(*expected == "SAME" || seen == *expected, "{target}: {seen:?} instead of {expected:?}");
    }
}

fn body(address: &Address, target: &str) -> String {
    Request::get(target).send(address).text().to_string()
}

fn write(scratch: &Scratch, name: &str, port: &Port) {
    let text = format!("{HTTP}    server {{\n        listen {};\n{LOCATIONS}\n    }}", port.address());
    scratch.write(name, servers::nginx_conf(&text));
}
