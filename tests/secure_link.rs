//! `secure_link`, `secure_link_md5`, `secure_link_secret`. The table is true of nginx too.

use harness::{Address, Beside, Request};

const HTTP: &str = r#"
    server {
        listen LISTEN;
        location /plain { secure_link $arg_hash; secure_link_md5 secret$uri; return 200 "[$secure_link]"; }
        location /until {
            secure_link $arg_hash,$arg_until;
            secure_link_md5 secret$arg_until;
            return 200 "[$secure_link]";
        }
        location /p/ {
            secure_link_secret secret;
            return 200 "[$secure_link]";
            location = /p/new { secure_link Xr4ilOzQ4PCOq3aQ0qbuaQ==; secure_link_md5 secret; return 200 "[$secure_link]"; }
        }
        location /half { secure_link $arg_hash; return 200 "[$secure_link]"; }
        location /nothing { return 200 "[$secure_link][$secure_link_expires]"; }
    }
"#;

/// `printf secret/plain | openssl md5 -binary | openssl base64 | tr +/ -_`, and the like.
const TABLE: &[(&str, &str)] = &[
    ("/plain?hash=EECVuJ30MltFOyJfK5ZaWQ==", "[1]"),
    ("/plain?hash=EECVuJ30MltFOyJfK5ZaWQ", "[1]"),
    ("/plain?hash=EECVuJ30MltFOyJfK5ZaWQ=", "[1]"),
    ("/plain?hash=EECVuJ30MltFOyJfK5ZaWQQQ", "[]"),
    ("/plain?hash=EECVuJ30MltFOyJfK5ZaWQQQQQ", "[]"),
    ("/plain?hash=FECVuJ30MltFOyJfK5ZaWQ", "[]"),
    ("/plain?hash=BADHASH", "[]"),
    ("/plain?hash=", "[]"),
    ("/plain", "[]"),
    ("/until?hash=ihF-IyquYBTNPkvER5cbJQ&until=4102444800", "[1]"),
    ("/until?hash=5S2YxFmBmhF3WTbY37t5KQ&until=1", "[0]"),
    ("/until?hash=5S2YxFmBmhF3WTbY37t5KQ&until=2", "[]"),
    ("/until?hash=5S2YxFmBmhF3WTbY37t5KQ&until=0", "[]"),
    ("/until?hash=5S2YxFmBmhF3WTbY37t5KQ&until=1x", "[]"),
    ("/until?hash=5S2YxFmBmhF3WTbY37t5KQ", "[]"),
    ("/p/91a0007fe15ea0b29dba58de97f9951e/a/link", "[a/link]"),
    ("/p/91A0007FE15EA0B29DBA58DE97F9951E/a/link", "[a/link]"),
    ("/p/91a0007fe15ea0b29dba58de97f9951e/a/other", "[]"),
    ("/p/91a0007fe15ea0b29dba58de97f9951/a/link", "[]"),
    ("/p/x", "[]"),
    ("/p/new", "[1]"),
    ("/half?hash=EECVuJ30MltFOyJfK5ZaWQ", "[]"),
    ("/nothing", "[][]"),
];

#[test]
fn nginx_agrees() {
    let servers = Beside::start(HTTP, |_| {});
    for (target, expected) in TABLE {
        let ask = |address: &Address| Request::get(target).send(address).text();
        assert_eq!(servers.agreed(target, ask), *expected, "{target}");
    }
}
