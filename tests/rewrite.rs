//! `set`, `rewrite`, `if`, `break`, `return` and captures. The table is true of nginx too: see `nginx_agrees`.

use harness::{Address, Request, Scratch, Web, wait_until};

/// A request and what must come; of a redirect `answer` is the `Location`, else the body.
struct Asked {
    target: &'static str,
    status: u16,
    answer: &'static str,
}

const fn asked(target: &'static str, status: u16, answer: &'static str) -> Asked {
    Asked { target, status, answer }
}

const TABLE: &[Asked] = &[
    asked("/set", 200, "ab-/set"),
    asked("/set-later", 200, "[]"),
    asked("/set-args?x=1", 200, "y=2:2:"),
    asked("/last/abc?x=1", 200, "target /target/abc x=1"),
    asked("/none/abc", 200, "target /target/abc "),
    asked("/drop/abc?x=1", 200, "target /target/abc "),
    asked("/own/abc?x=1", 200, "target /target/ a=abc&x=1"),
    asked("/own-only/abc?x=1", 200, "target /target/ a=abc"),
    asked("/own/a%20b", 200, "target /target/ a=a%20b"),
    asked("/break/abc", 200, "file of break\n"),
    asked("/chain/a", 200, "target /target/b "),
    asked("/cycle/", 500, ""),
    asked("/redirect/abc?x=1", 302, "http://example.test:PORT/there/abc?x=1"),
    asked("/redirect/a%20b", 302, "http://example.test:PORT/there/a%20b"),
    asked("/permanent/abc", 301, "http://example.test:PORT/there/abc"),
    asked("/away/abc?x=1", 302, "http://elsewhere.test/abc?y=2&x=1"),
    asked("/away-flag/abc", 301, "http://elsewhere.test/abc"),
    asked("/scheme/abc", 302, "http://elsewhere.test/abc"),
    asked("/equal?a=yes", 200, "equal"),
    asked("/equal?a=no", 200, "not equal"),
    asked("/equal", 200, "not equal"),
    asked("/bare?a=1", 200, "set"),
    asked("/bare?a=0", 200, "not set"),
    asked("/bare?a=", 200, "not set"),
    asked("/bare?a=00", 200, "set"),
    asked("/match?a=xAy", 200, "sensitive x"),
    asked("/match?a=xay", 200, "insensitive y"),
    asked("/match?a=b", 200, "neither"),
    asked("/named?a=k-v", 200, "v:k"),
    asked("/file/there.txt", 200, "file"),
    asked("/file/folder", 200, "folder"),
    asked("/file/absent", 200, "absent"),
    asked("/executable/tool", 200, "executable"),
    asked("/executable/there.txt", 200, "not executable"),
    asked("/settings?a=1", 404, "inner page\n"),
    asked("/settings", 404, "outer page\n"),
    asked("/static/there.txt?a=1", 200, "other root\n"),
    asked("/static/there.txt", 200, "there\n"),
    asked("/after-if?a=1", 200, "12"),
    asked("/after-if", 200, "02"),
    asked("/break-in-if?a=1", 200, "file of break-in-if\n"),
    asked("/break-in-if", 200, "went on"),
    asked("/return-code?a=1", 418, ""),
    asked("/captured/one/two", 200, "one-two-"),
    asked("/word/alpha", 200, "alpha"),
    asked("/server-rewritten/abc", 200, "target /target/abc "),
    asked("/server-if?deny=1", 403, ""),
    asked("/server-if", 200, "let through"),
    asked("/tried/x", 200, "target /target/from-try "),
    asked("/uri-variable", 200, "/uri-variable"),
];

const SERVER: &str = r#"
        server_name example.test;
        root SCRATCH/root;
        default_type text/plain;
        uninitialized_variable_warn off;

        rewrite ^/server-rewritten/(.*)$ /target/$1;
        rewrite ^/from-try$ /target/from-try;
        if ($arg_deny) { return 403; }

        location = /set { set $a a; set $b "${a}b"; return 200 "$b-$uri"; }
        location = /set-later { return 200 "[$declared_below]"; }
        location = /set-args { set $args "y=2"; return 200 "$args:$arg_y:$arg_x"; }
        location /target/ { return 200 "target $uri $args"; }
        location /last/ { rewrite ^/last/(.*)$ /target/$1 last; return 200 "not reached"; }
        location /none/ { rewrite ^/none/(.*)$ /target/$1; }
        location /drop/ { rewrite ^/drop/(.*)$ /target/$1? last; }
        location /own/ { rewrite ^/own/(.*)$ /target/?a=$1 last; }
        location /own-only/ { rewrite ^/own-only/(.*)$ /target/?a=$1? last; }
        location /break/ { rewrite ^/break/.*$ /break.txt break; return 200 "not reached"; }
        location /chain/ { rewrite ^/chain/a$ /chain/b; rewrite ^/chain/(b)$ /target/$1; }
        location /cycle/ { rewrite ^/cycle/ /cycle/ last; }
        location /redirect/ { rewrite ^/redirect/(.*)$ /there/$1 redirect; }
        location /permanent/ { rewrite ^/permanent/(.*)$ /there/$1 permanent; }
        location /away/ { rewrite ^/away/(.*)$ http://elsewhere.test/$1?y=2; }
        location /away-flag/ { rewrite ^/away-flag/(.*)$ http://elsewhere.test/$1 permanent; }
        location /scheme/ { rewrite ^/scheme/(.*)$ $scheme://elsewhere.test/$1; }
        location = /equal { if ($arg_a = yes) { return 200 equal; } if ($arg_a != yes) { return 200 "not equal"; } }
        location = /bare { if ($arg_a) { return 200 set; } return 200 "not set"; }
        location = /match {
            if ($arg_a ~ "^(.)A") { return 200 "sensitive $1"; }
            if ( $arg_a ~* "A(.)" ) { return 200 "insensitive $1"; }
            if ($arg_a !~* a) { return 200 "neither"; }
        }
        location = /named { if ($arg_a ~ "^(?<key>.+)-(?<value>.+)$") { return 200 "$value:$key"; } }
        location /file/ {
            set $path "SCRATCH/root$uri";
            if (-f $path) { return 200 "file"; }
            if (-d $path) { return 200 "folder"; }
            if (!-e $path) { return 200 "absent"; }
        }
        location /executable/ {
            if (-x $document_root$uri) { return 200 "executable"; }
            if (!-x $document_root$uri) { return 200 "not executable"; }
        }
        location = /settings {
            error_page 404 /outer.txt;
            if ($arg_a) { error_page 404 /inner.txt; }
        }
        location /static/ { if ($arg_a) { root SCRATCH/other; } }
        location = /after-if { set $x 0; if ($arg_a) { set $x 1; } set $x "${x}2"; return 200 $x; }
        location = /break-in-if { if ($arg_a) { break; } return 200 "went on"; }
        location = /return-code { if ($arg_a = 1) { return 418; } }
        location ~ ^/captured/(.*)/(.*)$ { return 200 "$1-$2-$3"; }
        location ~ ^/word/(?<word>.*)$ { set $declared_below $word; return 200 $declared_below; }
        location = /server-if { return 200 "let through"; }
        location /tried/ { try_files /absent /from-try; }
        location = /uri-variable { rewrite ^ $request_uri break; return 200 "not reached"; }
"#;

#[test]
fn the_table_holds_and_nginx_agrees() {
    harness::site::ask_both(SERVER, write_files, assert_table);
}

#[test]
fn groups_of_a_server_name_are_variables() {
    let scratch = Scratch::new();
    let server = "server_name ~^(?<user>.+)\\.users\\.test$; location / { return 200 \"$user $1\"; }";
    let web = Web::start(&scratch, server);
    assert_eq!(Request::get("/").host("ann.users.test").send(&web.address).text(), "ann ann");
    assert_eq!(Request::get("/").host("other.test").send(&web.address).text(), " ");
}

#[test]
fn values_do_not_outlive_their_request() {
    let scratch = Scratch::new();
    let server = "location /a { set $x kept; return 200 $x; } location /b { return 200 \"[$x]\"; }";
    let web = Web::start(&scratch, server);
    let mut connection = harness::Connection::to(&web.address);
    assert_eq!(connection.exchange(Request::get("/a").octets()).text(), "kept");
    assert_eq!(connection.exchange(Request::get("/b").octets()).text(), "[]");
    wait_until("the unset variable is named", || {
        scratch.read("error.log").contains("[warn]")
            && scratch.read("error.log").contains("using uninitialized \"x\" variable")
    });
}

#[test]
fn rewrites_are_logged() {
    let scratch = Scratch::new();
    let server =
        "error_log SCRATCH/rewrite.log notice; rewrite_log on; rewrite ^/a(.*)$ /b$1; location / { return 204; }";
    let web = Web::start(&scratch, server);
    Request::get("/a/c?d").send(&web.address);
    wait_until("both lines are there", || {
        let log = scratch.read("rewrite.log");
        log.contains("\"^/a(.*)$\" matches \"/a/c\"") && log.contains("rewritten data: \"/b/c\", args: \"d\"")
    });
}

fn write_files(scratch: &Scratch) {
    for (name, content) in [
        ("root/break.txt", "file of break\n"),
        ("root/break-in-if", "file of break-in-if\n"),
        ("root/file/there.txt", "there\n"),
        ("root/file/folder/x", ""),
        ("root/executable/there.txt", ""),
        ("root/static/there.txt", "there\n"),
        ("other/static/there.txt", "other root\n"),
        ("root/inner.txt", "inner page\n"),
        ("root/outer.txt", "outer page\n"),
        ("root/uri-variable", "/uri-variable"),
    ] {
        scratch.write(name, content);
    }
    let tool = scratch.write("root/executable/tool", "");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(tool, mode).expect("the file is ours");
}

#[track_caller]
fn assert_table(address: &Address) {
    let port = address.port();
    harness::assert_each(TABLE, |asked| {
        let response = Request::get(asked.target).send(address);
        let expected = asked.answer.replace("PORT", &port);
        let answer = match response.header("Location") {
            Some(location) => location.to_owned(),
            None => response.text().to_string(),
        };
        let is_right =
            response.status == asked.status && (answer == expected || (expected.is_empty() && asked.status >= 300));
        let status = asked.status;
        (!is_right)
            .then(|| format!("{}: {} {answer:?} instead of {status} {expected:?}", asked.target, response.status))
    });
}
