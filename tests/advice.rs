//! `daemun check` on configurations that would start: what it advises, and that it keeps silent where nothing is wrong.

use harness::{Launch, Request, Scratch, Web, programs, servers};

/// What `daemun check` warns of, each as `LINE:COLUMN | message`; `http` begins in line 1.
fn warnings(http: &str) -> Vec<String> {
    let scratch = Scratch::new();
    scratch.write("inner.conf", http);
    scratch.write("nginx.conf", servers::nginx_conf("include inner.conf;"));
    let ended = checked(&scratch, "nginx.conf");
    assert!(ended.contains("test is successful"), "{ended}");
    let lines: Vec<_> = ended.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(message) = line.strip_prefix("[warn] ") {
            let place = lines[at + 1].split('|').next().expect("a place stands below").trim();
            let (message, _) = message.rsplit_once(" in ").expect("a file stands behind");
            assert!(lines[at + 3].starts_with("  hint: "), "what would be right is said: {ended}");
            found.push(format!("{place} | {}", message.replace(&scratch.text_path(""), "")));
        }
    }
    found
}

fn checked(scratch: &Scratch, conf: &str) -> String {
    Launch::new(scratch, "check", programs::daemun()).arg("check").arg("-c").arg(scratch.path(conf)).run().output
}

#[track_caller]
fn assert_warned(http: &str, expected: &[&str]) {
    assert_eq!(warnings(http), expected, "{http}");
}

/// A server around locations, which begin in column 1 of line 2.
fn server(locations: &str) -> String {
    format!("server {{ listen 8080;\n{locations}\n}}")
}

#[test]
fn refusals_that_an_expression_takes_requests_from() {
    assert_warned(
        &server("location /admin/ { deny all; }\nlocation ~ \\.php$ { fastcgi_pass 127.0.0.1:9; }"),
        &[
            "2:20 | \"deny\" of \"location /admin/\" does not hold for \"/admin/.php\": \"location ~ \\.php$\" (inner.conf:3) \
           takes it, for expressions go before prefixes",
        ],
    );
    for (locations, name) in [
        ("location / { auth_basic x; auth_basic_user_file users; }\nlocation ~ \\.php$ { return 200; }", "auth_basic"),
        ("location /in/ { internal; }\nlocation ~* \\.(gif|png)$ { expires 1d; }", "internal"),
        ("location /no/ { return 403; }\nlocation ~ /no/.*x { expires 1d; }", "return"),
        ("location /a/ { auth_request /check; }\nlocation ~ ^/a/b { expires 1d; }", "auth_request"),
        // The nested expression takes some of it, the other one the rest.
        ("location /a/ { deny all; location ~ \\.gif$ { } }\nlocation ~ \\.(gif|png)$ { expires 1d; }", "deny"),
    ] {
        let found = warnings(&server(locations));
        assert!(found.len() == 1 && found[0].contains(&format!("\"{name}\" of")), "{locations}: {found:?}");
    }
    for locations in [
        "location ^~ /admin/ { deny all; }\nlocation ~ \\.php$ { fastcgi_pass 127.0.0.1:9; }",
        "location /admin/ { deny all; }\nlocation ~ \\.php$ { deny all; }",
        "location /admin/ { deny all; }\nlocation ~ \\.php$ { return 404; }",
        "location /admin/ { deny all; }\nlocation ~ ^/images/.*\\.png$ { expires 1d; }",
        "location /admin/ { deny all; }\nlocation ~ ^/admin$ { expires 1d; }",
        "location /admin/ { allow all; }\nlocation ~ \\.php$ { fastcgi_pass 127.0.0.1:9; }",
        "location = /admin { deny all; }\nlocation ~ n$ { expires 1d; }",
        "deny all;\nlocation /admin/ { deny 10.0.0.1; }\nlocation ~ \\.php$ { expires 1d; }",
        "location /a/ { deny all; location ~ \\.php$ { return 200; } }\nlocation ~ \\.php$ { return 201; }",
        "location / { deny all; }\nlocation ~ ^/(health|public/) { return 200; }",
        "location /a/ { deny all; }\nlocation ~ ^/a/open { allow all; }",
    ] {
        assert_warned(&server(locations), &[]);
    }
}

#[test]
fn headers_lost_by_inheritance() {
    assert_warned(
        "add_header X-Frame-Options DENY;\nadd_header X-Other a always;\nserver { listen 8080;\nlocation / { add_header X-Mine b; } }",
        &[
            "4:14 | \"add_header\" here drops \"X-Frame-Options\", \"X-Other\" of inner.conf:1: a block has its own entries or \
           inherits all",
        ],
    );
    let proxied = "location / { proxy_pass http://127.0.0.1:9; proxy_set_header X-Mine b; }";
    assert_warned(
        &format!("proxy_set_header Host $host;\nserver {{ listen 8080;\n{proxied} }}"),
        &[
            "3:45 | \"proxy_set_header\" here drops \"Host\" of inner.conf:1: a block has its own entries or inherits all",
        ],
    );
    let parameters = "fastcgi_param A 1; fastcgi_param B 1; fastcgi_param C 1; fastcgi_param D 1; fastcgi_param E 1;";
    let found =
        warnings(&server(&format!("{parameters}\nlocation / {{ fastcgi_pass 127.0.0.1:9; fastcgi_param F 1; }}")));
    assert!(found.len() == 1 && found[0].contains("\"C\", \"D\" and 1 more of inner.conf:2"), "{found:?}");
    for http in [
        "add_header A 1;\nserver { listen 8080; location / { add_header a 2; } }",
        "add_header A 1; add_header_inherit merge;\nserver { listen 8080; location / { add_header B 2; } }",
        "add_header A 1;\nserver { listen 8080; location / { add_header_inherit off; add_header B 2; } }",
        "proxy_set_header Host $host;\nserver { listen 8080; location / { proxy_set_header X-Mine b; } }",
        "add_header A 1;\nserver { listen 8080; location / { add_trailer B 2; } }",
        "server { listen 8080; location /a { add_header A 1; } location /b { add_header B 1; } }",
    ] {
        assert_warned(http, &[]);
    }
}

#[test]
fn directives_of_which_nothing_comes() {
    for (http, expected) in [
        (
            server("location / { deny all; return 200; }"),
            "2:14 | \"deny\" is never reached: \"return\" (inner.conf:2) has answered before",
        ),
        (
            server("location / { return 200; set $a b; }"),
            "2:26 | \"set\" is never reached: \"return\" (inner.conf:2) has answered before",
        ),
        (
            server("return 301 /;\nlocation / { root a; }"),
            "3:1 | \"location\" is never reached: \"return\" (inner.conf:2) has answered before",
        ),
        (
            server("location / { deny all; allow 10.0.0.1; }"),
            "2:24 | \"allow 10.0.0.1\" is never looked at: \"deny all\" stands before it, and the first rule that fits decides",
        ),
        (
            server("location ~ a { }\nlocation ~ a { }"),
            "3:1 | \"location ~ a\" is never reached: the one (inner.conf:2) matches the same paths before it",
        ),
        (
            server("auth_basic closed;"),
            "2:1 | \"auth_basic\" without \"auth_basic_user_file\" asks for no password: everybody gets in",
        ),
        (
            server("real_ip_header X-Real-IP;"),
            "2:1 | \"real_ip_header\" has no effect: no \"set_real_ip_from\" says which proxies are trusted",
        ),
        (server("gzip_types text/css;"), "2:1 | \"gzip_types\" has no effect: \"gzip\" is nowhere on"),
        (
            format!("limit_req_zone $binary_remote_addr zone=one:1m rate=1r/s;\n{}", server("")),
            "1:1 | \"limit_req_zone\" limits nothing: no \"limit_req\" names the zone \"one\"",
        ),
    ] {
        assert_warned(&http, &[expected]);
    }
    for http in [
        server("location / { if ($arg_x) { return 403; } deny all; }"),
        server("location / { set $a b; return 200 $a; }"),
        server("location / { auth_basic off; return 200; }"),
        server("location / { allow 10.0.0.1; deny all; }"),
        server("location ~ a { }\nlocation ~* a { }"),
        server("auth_basic closed; auth_basic_user_file users;"),
        server("auth_basic closed; location / { auth_basic_user_file users; }"),
        server("set_real_ip_from 10.0.0.1; real_ip_header X-Real-IP;"),
        server("gzip_types text/css; location / { gzip on; }"),
        format!("limit_conn_zone $binary_remote_addr zone=one:1m;\n{}", server("limit_conn one 3;")),
    ] {
        assert_warned(&http, &[]);
    }
}

#[test]
fn limits_by_what_the_client_says() {
    let limited = server("limit_req zone=one; limit_conn two 1;");
    let zones = |first: &str, second: &str| {
        format!("limit_req_zone {first} zone=one:1m rate=1r/s;\nlimit_conn_zone {second} zone=two:1m;\n{limited}")
    };
    let address = "$binary_remote_addr";
    for (key, variable) in [
        ("$http_x_api_key", "http_x_api_key"),
        ("$binary_remote_addr$arg_user", "arg_user"),
        ("${cookie_session}", "cookie_session"),
        ("$proxy_add_x_forwarded_for", "proxy_add_x_forwarded_for"),
    ] {
        let message = format!("counts by ${variable}, which the client chooses: another value is another count");
        assert_warned(&zones(key, address), &[&format!("1:16 | \"limit_req_zone\" {message}")]);
        assert_warned(&zones(address, key), &[&format!("2:17 | \"limit_conn_zone\" {message}")]);
    }
    assert_warned(&zones(address, "$server_name"), &[]);
    assert_warned(&format!("set_real_ip_from 10.0.0.0/8;\nreal_ip_header X-Real-IP;\n{}", server("")), &[]);
    assert_warned(
        &server("set_real_ip_from 0.0.0.0/0;"),
        &["2:18 | \"set_real_ip_from 0.0.0.0/0\" lets every client choose its own address"],
    );
}

#[test]
fn aliases_without_their_slash() {
    assert_warned(
        &server("location /img { alias /data/img/; }"),
        &[
            "2:23 | \"/img../\" leads out of \"alias /data/img/\": daemun answers such paths 404, nginx serves what stands beside \
           the folder",
        ],
    );
    assert_warned(
        &server("location /img/ { alias /data/img; }"),
        &["2:24 | \"/img/file\" stands for /data/imgfile: \"alias\" lacks the slash that the location has"],
    );
    for location in [
        "location /img/ { alias /data/img/; }",
        "location /img { alias /data/img; }",
        "location = /img { alias /data/img/index.html; }",
        "location ~ ^/img/(.*) { alias /data/img/$1; }",
        "location /img/ { alias /data/$host; }",
    ] {
        assert_warned(&server(location), &[]);
    }
}

/// What `alias` is warned of is true.
#[test]
fn the_alias_that_is_warned_of_leads_out_of_its_folder() {
    for (start, status) in [(Web::start as fn(&Scratch, &str) -> Web, 404), (Web::nginx, 200)] {
        let scratch = Scratch::new();
        scratch.write("data/img/a.png", "picture");
        scratch.write("data/secret", "secret");
        let web = start(&scratch, "location /img { alias SCRATCH/data/img/; }");
        assert_eq!(Request::get("/img../secret").send(&web.address).status, status);
    }
}

/// nginx's own words for tools: `daemun web -t` advises nothing. Nor has the tutorial's configuration such a fault.
#[test]
fn advice_is_for_those_who_ask() {
    let scratch = Scratch::new();
    scratch.write("nginx.conf", servers::nginx_conf(&server("location /img { alias /data/img/; }")));
    let tested =
        Launch::new(&scratch, "test", programs::daemun()).args(["web", "-t", "-c"]).arg(scratch.path("nginx.conf"));
    let said = tested.run().output;
    assert!(said.contains("test is successful") && !said.contains("[warn]"), "{said}");
    for fixture in ["fixtures/tutorial/sites-enabled/server_dev", "../examples/django/nginx.conf"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let is_whole = text.contains("events");
        scratch.write("site.conf", if is_whole { text } else { servers::nginx_conf(&text) });
        let said = checked(&scratch, "site.conf");
        assert!(!said.contains("[warn]"), "{fixture}: {said}");
    }
}
