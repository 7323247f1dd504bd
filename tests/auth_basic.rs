//! `auth_basic`: names and passwords. The table is true of nginx too: see `nginx_agrees`.

use std::time::{Duration, Instant};

use harness::{Address, Request, Scratch, Web, wait_until};

/// A path, `Authorization`, the status and `WWW-Authenticate` that must come.
const TABLE: &[(&str, Option<&str>, u16, Option<&str>)] = &[
    ("/closed/x", None, 401, REALM),
    ("/closed/x", Some(PLAIN), 200, None),
    ("/closed/x", Some(SHA), 200, None),
    ("/closed/x", Some(SSHA), 200, None),
    ("/closed/x", Some(APACHE), 200, None),
    ("/closed/x", Some(SHA512), 200, None),
    ("/closed/x", Some("Basic cGxhaW46d3Jvbmc="), 401, REALM),
    ("/closed/x", Some("Basic YXBhY2hlOndyb25n"), 401, REALM),
    ("/closed/x", Some("Basic bm9ib2R5OnBhc3N3b3Jk"), 401, REALM),
    ("/closed/x", Some("Basic ***"), 401, REALM),
    ("/closed/x", Some("Bearer x"), 401, REALM),
    ("/closed/open/x", None, 200, None),
    ("/nofile/x", None, 401, Some("Basic realm=\"none\"")),
    ("/nofile/x", Some(PLAIN), 403, None),
    ("/any/x", None, 200, None),
    ("/either/x", None, 401, REALM),
    ("/either/x", Some(PLAIN), 200, None),
    ("/both/x", Some(PLAIN), 403, None),
    ("/page/x", None, 401, REALM),
    ("/except/x", None, 200, None),
];

const REALM: Option<&str> = Some("Basic realm=\"closed site\"");
const PLAIN: &str = "Basic cGxhaW46cGFzc3dvcmQ=";
const SHA: &str = "Basic c2hhOnBhc3N3b3Jk";
const SSHA: &str = "Basic c3NoYTpwYXNzd29yZA==";
const APACHE: &str = "Basic YXBhY2hlOnBhc3N3b3Jk";
const SHA512: &str = "basic c2hhNTEyOnBhc3N3b3Jk";

const USERS: &str = "# who may
plain:{PLAIN}password
sha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=
ssha:{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0:a comment
apache:$apr1$saltsalt$yAAkm4libquA.ZWLHbSBq/
sha512:$6$saltstring$adDbXsJjcDlq2662QPgd.tkSOVmnG9Tt3oXl4HR60SusC3AGjirnDenVZp3DGwLwqy6iYKCzannhaX9DR72nN1
";

const SERVER: &str = "
        root SCRATCH/root;
        auth_basic_user_file users;
        location /closed/ {
            auth_basic \"closed site\";
            try_files /file.txt =404;
            location /closed/open/ { auth_basic off; try_files /file.txt =404; }
        }
        location /nofile/ { auth_basic none; auth_basic_user_file absent; try_files /file.txt =404; }
        location /any/ { satisfy any; auth_basic \"closed site\"; allow all; try_files /file.txt =404; }
        location /either/ { satisfy any; auth_basic \"closed site\"; deny all; try_files /file.txt =404; }
        location /both/ { auth_basic \"closed site\"; deny all; try_files /file.txt =404; }
        location /page/ { auth_basic \"closed site\"; error_page 401 /own.html; }
        location = /own.html { try_files /file.txt =404; }
        location /except/ {
            try_files /file.txt =404;
            limit_except GET { auth_basic \"closed site\"; }
        }
        location /delayed/ { auth_basic slow; auth_delay 300ms; }
";

#[test]
fn the_table_holds() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let web = Web::start(&scratch, SERVER);
    assert_table(&web.address);
    let log = scratch.read("error.log");
    for line in
        ["user \"plain\": password mismatch", "user \"nobody\" was not found in", "no user/password was provided"]
    {
        assert!(log.contains(line), "{line}");
    }
}

#[test]
fn nginx_agrees() {
    let scratch = Scratch::new();
    write_files(&scratch);
    assert_table(&Web::nginx(&scratch, SERVER).address);
}

#[test]
fn a_changed_file_counts_at_once() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let web = Web::start(&scratch, SERVER);
    let ask = || Request::get("/closed/x").header("Authorization", "Basic bmV3OnBhc3N3b3Jk").send(&web.address).status;
    assert_eq!(ask(), 401);
    scratch.write("users", "new:{PLAIN}password\n");
    assert_eq!(ask(), 200);
    wait_until("the user is logged", || scratch.read("access.log").contains("127.0.0.1 - new ["));
}

#[test]
fn a_refusal_waits() {
    let scratch = Scratch::new();
    write_files(&scratch);
    let web = Web::start(&scratch, SERVER);
    let start = Instant::now();
    assert_eq!(Request::get("/delayed/x").send(&web.address).status, 401);
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
}

fn write_files(scratch: &Scratch) {
    scratch.write("root/file.txt", "a file");
    scratch.write("users", USERS);
}

#[track_caller]
fn assert_table(address: &Address) {
    harness::assert_each(TABLE, |(target, authorization, status, challenge)| {
        let request = Request::get(target);
        let request = authorization.iter().fold(request, |request, value| request.header("Authorization", value));
        let response = request.send(address);
        let got = (response.status, response.header("WWW-Authenticate"));
        let expected = (*status, *challenge);
        (got != expected).then(|| format!("{target} {authorization:?}: {got:?} instead of {expected:?}"))
    });
}
