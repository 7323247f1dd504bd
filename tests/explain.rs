//! `daemun explain`: which server, location and handler would answer, and why not the others.

use harness::{Launch, Port, Request, Scratch, Web, programs, servers};

/// A site with most kinds of locations.
const SITE: &str = r"
    root SCRATCH/html;
    set $mode plain;
    if ($http_x_mode) { set $mode $http_x_mode; }
    rewrite ^/old/(.*)$ /new/$1 last;
    rewrite ^/moved$ https://example.net/there permanent;
    error_page 404 /missing.html;
    location / { try_files $uri $uri/ @nobody; }
    location = /exact { return 204; }
    location ^~ /fixed/ { alias SCRATCH/html/; }
    location /admin/ { allow 10.0.0.0/8; deny all; }
    location /new/ { proxy_pass http://group/v2/; }
    location /tea/ { return 418; }
    location ~ \.php$ { limit_except GET { deny all; } return 200 script; }
    location ~* \.HTML$ { add_header X-Page yes; }
    location @nobody { return 404; }
    location /inside/ { internal; }";

fn write_site(scratch: &Scratch, listen: &str) {
    let server = format!("server {{ listen {listen}; server_name example.org www.*; {SITE} }}");
    let default =
        format!("server {{ listen {listen} default_server; server_name *.example.org ~^w\\d; return 301 /; }}");
    let group = "upstream group { server 127.0.0.1:9; server 127.0.0.2:9 backup; }";
    scratch.write("nginx.conf", servers::nginx_conf(&format!("{group}\n{server}\n{default}")));
    scratch.write("html/page.html", "<p>page</p>");
    scratch.write("html/folder/index.html", "<p>folder</p>");
    scratch.write("html/missing.html", "<p>missing</p>");
}

fn asked(scratch: &Scratch, arguments: &[&str]) -> Launch {
    let launch = Launch::new(scratch, "explain", programs::daemun()).arg("explain");
    launch.args(arguments.iter().copied())
}

/// What is told of a request, without what it is not.
fn told(scratch: &Scratch, arguments: &[&str]) -> String {
    let folder = scratch.text_path("");
    let all = [&["--prefix", &folder, "-c", "nginx.conf"], arguments].concat();
    let ended = asked(scratch, &all).run();
    assert!(ended.status.success(), "{}", ended.output);
    ended.output.replace(&folder, "")
}

#[track_caller]
fn assert_tells(text: &str, lines: &[&str]) {
    let mut rest = text.lines().map(str::trim);
    for line in lines {
        assert!(rest.any(|one| one == *line), "\"{line}\" does not stand in its place in\n{text}");
    }
}

#[test]
fn servers_and_locations_are_told_with_their_reasons() {
    let scratch = Scratch::new();
    write_site(&scratch, "8080");
    let text = told(&scratch, &["http://example.org:8080/old/page.html?a=b"]);
    assert_tells(
        &text,
        &[
            "listener 0.0.0.0:8080",
            "server example.org (nginx.conf:19): its server_name is the host \"example.org\"",
            "not \"*.example.org\" of server *.example.org (nginx.conf:36): a name without a wildcard goes before it",
            "set $mode to \"plain\"",
            "if ($http_x_mode): no",
            "[notice] rewritten data: \"/new/page.html\", args: \"a=b\"",
            "location ~* \\.HTML$ (nginx.conf:33) for /new/page.html: the first expression that matches",
            "not / (nginx.conf:26): a longer prefix fits",
            "not /new/ (nginx.conf:30): the longest prefix, but an expression matches",
            "not ~ \\.php$ (nginx.conf:32): it does not match",
            "not = /exact (nginx.conf:27): its name is not the path",
            "content phase, static_file: ends with 404",
            "error_page 404 leads to /missing.html",
            "file html/missing.html",
            "answer 404",
        ],
    );
    let text = told(&scratch, &["http://www.other:8080/exact"]);
    assert_tells(&text, &["location = /exact (nginx.conf:27) for /exact: its name is the path", "answer 204"]);
    assert!(text.contains("its server_name \"www.*\" is the longest that fits"), "{text}");
    let text = told(&scratch, &["http://w1:8080/"]);
    assert!(text.contains("its server_name \"~^w\\d\" is the first expression that matches the host \"w1\""), "{text}");
    let text = told(&scratch, &["http://w:8080/"]);
    assert!(text.contains("no server_name fits the host \"w\"; it is the default_server"), "{text}");
    let text = told(&scratch, &["http://example.org:8080/fixed/page.html"]);
    assert_tells(
        &text,
        &[
            "location ^~ /fixed/ (nginx.conf:28) for /fixed/page.html: the longest prefix, and ^~: no expression is looked at",
            "not ~* \\.HTML$ (nginx.conf:33): the longest prefix is ^~",
            "file html/page.html",
        ],
    );
}

#[test]
fn access_methods_and_fields_count_as_for_a_client() {
    let scratch = Scratch::new();
    write_site(&scratch, "8080");
    let url = "http://example.org:8080/admin/";
    assert_tells(
        &told(&scratch, &[url]),
        &["access phase, access: ends with 403", "\"deny all\" fits the client 127.0.0.1"],
    );
    let text = told(&scratch, &["--client", "10.1.2.3", url]);
    assert_tells(&text, &["access phase, access: lets the client in", "\"allow 10.0.0.0/8\" fits the client 10.1.2.3"]);
    let text = told(&scratch, &["-X", "POST", "http://example.org:8080/a.php"]);
    assert_tells(&text, &["limit_except names no POST: its settings hold", "answer 403"]);
    let text = told(&scratch, &["-H", "X-Mode: fancy", "-H", "Host: example.org", "/page.html"]);
    assert_tells(&text, &["if ($http_x_mode): yes", "set $mode to \"fancy\"", "X-Page: yes", "a file, 11 octets"]);
    assert_tells(
        &told(&scratch, &["http://example.org:8080/inside/x"]),
        &["it is internal: a client that asks for it gets 404"],
    );
}

#[test]
fn whoever_would_be_asked_is_told_and_not_asked() {
    let scratch = Scratch::new();
    write_site(&scratch, "8080");
    let text = told(&scratch, &["http://example.org:8080/new/x?y"]);
    assert_tells(
        &text,
        &[
            "content phase, http_proxy: answers",
            "http://group/v2/x?y would be asked: one of the servers 127.0.0.1:9, 127.0.0.2:9 (backup)",
            "not asked: index, static_file",
        ],
    );
    let text = told(&scratch, &["http://example.org:8080/nothing"]);
    assert_tells(
        &text,
        &[
            "precontent phase, try_files: goes to location @nobody",
            "the file for /nothing is not there",
            "the folder for /nothing is not there",
            "location @nobody (nginx.conf:34): it is named",
        ],
    );
}

/// Applications of a uwsgi.ini are known by their sockets; the program need not be there.
#[test]
fn applications_are_told_by_name() {
    let scratch = Scratch::new();
    let server = "server { listen 8080; location / { include uwsgi_params; uwsgi_pass unix:SCRATCH/site.sock; } }";
    scratch.write("nginx.conf", servers::nginx_conf(server));
    scratch.write("uwsgi_params", "uwsgi_param REQUEST_METHOD $request_method;\n");
    scratch.add_application("compare.py");
    scratch.write("shop.ini", "[uwsgi]\nsocket = SCRATCH/site.sock\nchdir = SCRATCH/app\nmodule = compare\n");
    let text = told(&scratch, &["--ini", "shop.ini", "/basket"]);
    assert_tells(&text, &["content phase, http_uwsgi: answers", "the application \"shop\" would be asked"]);
}

/// What is told is what a running server does.
#[test]
fn what_is_told_is_what_happens() {
    let scratch = Scratch::new();
    write_site(&scratch, "8080");
    let running = Scratch::new();
    write_site(&running, "8080"); // For its files.
    let site = format!("server_name example.org www.*; {SITE}");
    let web = Web::start_in(&running, "upstream group { server 127.0.0.1:9; server 127.0.0.2:9 backup; }", &site);
    for target in [
        "/",
        "/page.html",
        "/PAGE.html",
        "/folder",
        "/folder/",
        "/exact",
        "/exact/",
        "/fixed/page.html",
        "/fixed/",
        "/fixed",
        "/admin/",
        "/admin",
        "/moved",
        "/tea/",
        "/a.php",
        "/inside/",
        "/missing.html",
        "/%2e%2e/",
        "/..%2f",
        "/%zz",
        "//exact",
        "/nothing",
    ] {
        let real = Request::get(target).host("example.org").send(&web.address).status;
        let url = format!("http://example.org:8080{target}");
        let text = told(&scratch, &[url.as_str()]);
        assert!(text.lines().any(|line| line == format!("answer {real}")), "{target} gives {real}, not\n{text}");
    }
}

#[test]
fn nonsense_is_refused() {
    let scratch = Scratch::new();
    write_site(&scratch, "8080");
    scratch.write("wrong.conf", servers::nginx_conf("server { listn 8080; }"));
    let conf = scratch.text_path("nginx.conf");
    let wrong = scratch.text_path("wrong.conf");
    for (arguments, said) in [
        (vec!["-c", &conf, "example.org"], "neither http://host/path nor /path"),
        (vec!["-c", &conf, "http:///x"], "it names no host"),
        (vec!["-c", &conf, "http://h:x/"], "\"x\" is no port"),
        (vec!["-c", &conf, "http://h:8081/"], "nothing listens on port 8081 of h; HTTP is spoken on: 0.0.0.0:8080"),
        (vec!["-c", &conf, "--listen", "1.2.3.4:80", "/"], "nothing listens on 1.2.3.4:80"),
        (vec!["-c", &conf, "https://h/"], "nothing listens on port 443 of h"),
        (vec!["-c", &conf, "https://h:8080/"], "0.0.0.0:8080 speaks no TLS; ask for http://"),
        (vec!["-c", &conf, "/a b"], "a URL has no spaces"),
        (vec!["-c", &conf, "/a#b"], "what follows # stays with the browser"),
        (vec!["-c", &conf, "-H", "X", "/"], "\"X\" is no header"),
        (vec!["-c", &conf, "--client", "here", "/"], "invalid value 'here'"),
        (vec!["-c", &conf], "required"),
        (vec!["/"], "nothing to serve"),
        (vec!["-c", &wrong, "/"], "unknown directive \"listn\""),
    ] {
        let ended = asked(&scratch, &arguments).run();
        assert!(!ended.status.success() && ended.output.contains(said), "{arguments:?}: {}", ended.output);
    }
}

/// A file that the edge's user may not read is told as the edge would find it.
#[test]
fn files_are_looked_at_as_the_edge_would() {
    if !servers::is_root() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    write_site(&scratch, "8080");
    let conf = scratch.read("nginx.conf").replace("user root;", "user nobody nogroup;");
    scratch.write("nginx.conf", conf);
    std::fs::set_permissions(scratch.folder(), PermissionsExt::from_mode(0o755)).expect("the folder is ours");
    let secret = scratch.write("html/secret.html", "secret");
    std::fs::set_permissions(secret, PermissionsExt::from_mode(0o600)).expect("the file is ours");
    let text = told(&scratch, &["http://example.org:8080/secret.html"]);
    assert_tells(&text, &["files are looked at as user nobody", "answer 403"]);
    assert!(text.contains("failed (13: Permission denied)"), "{text}");
    assert_tells(&told(&scratch, &["http://example.org:8080/page.html"]), &["answer 200"]);
}

/// A port that nobody else has is not needed: nothing is bound.
#[test]
fn nothing_is_bound_and_no_log_is_made() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    write_site(&scratch, &port.address().port());
    let listener = std::net::TcpListener::bind(("0.0.0.0", port.number()));
    let url = format!("http://example.org:{}/page.html", port.number());
    assert_tells(&told(&scratch, &[url.as_str()]), &["answer 200"]);
    drop(listener);
    assert_eq!(scratch.read("error.log") + &scratch.read("access.log"), "");
    assert!(!scratch.path("error.log").exists());
}
