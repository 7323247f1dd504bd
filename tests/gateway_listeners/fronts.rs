//! Real web servers in front.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::{Address, Connection, Port, Process, Request, Scratch, apache, lighttpd, servers};

use super::{Application, application};

/// How a web server in front hands requests on to `port`.
struct Front {
    name: &'static str,
    option: &'static str,
    start: fn(&Scratch, &Port, &Address) -> Process,
}

const FRONTS: &[Front] = &[
    Front {
        name: "nginx, FastCGI",
        option: "fastcgi-socket",
        start: |scratch, port, application| {
            let location = format!(
                "fastcgi_pass {application}; include /etc/nginx/fastcgi_params;
                 fastcgi_param PATH_INFO $fastcgi_script_name; fastcgi_param SCRIPT_NAME \"\";"
            );
            nginx(scratch, port, &location)
        },
    },
    Front {
        name: "nginx, FastCGI, unbuffered",
        option: "fastcgi-socket",
        start: |scratch, port, application| {
            let location = format!(
                "fastcgi_pass {application}; include /etc/nginx/fastcgi_params; fastcgi_keep_conn on;
                 fastcgi_buffering off; fastcgi_request_buffering off;
                 fastcgi_param PATH_INFO $fastcgi_script_name; fastcgi_param SCRIPT_NAME \"\";"
            );
            nginx(scratch, port, &location)
        },
    },
    Front {
        name: "nginx, SCGI",
        option: "scgi-socket",
        start: |scratch, port, application| {
            let location =
                format!("scgi_pass {application}; include /etc/nginx/scgi_params; scgi_param PATH_INFO $document_uri;");
            nginx(scratch, port, &location)
        },
    },
    Front {
        name: "nginx, uwsgi",
        option: "uwsgi-socket",
        start: |scratch, port, application| {
            nginx(scratch, port, &format!("uwsgi_pass {application}; include /etc/nginx/uwsgi_params;"))
        },
    },
    Front {
        name: "Apache, FastCGI",
        option: "fastcgi-socket",
        start: |scratch, port, application| {
            let directives = format!(
                "ProxyPass / fcgi://{application}/ enablereuse=on\n\
                 ProxyFCGISetEnvIf \"true\" PATH_INFO \"%{{reqenv:SCRIPT_NAME}}\"\n\
                 ProxyFCGISetEnvIf \"true\" SCRIPT_NAME \"\""
            );
            apache::start(scratch, port, &directives)
        },
    },
    Front {
        name: "Apache, SCGI",
        option: "scgi-socket",
        start: |scratch, port, application| {
            apache::start(
                scratch,
                port,
                &format!("SetEnvIf Request_URI . proxy-scgi-pathinfo=full\nProxyPass / scgi://{application}/"),
            )
        },
    },
    Front {
        name: "Apache, uwsgi",
        option: "uwsgi-socket",
        start: |scratch, port, application| {
            apache::start(scratch, port, &format!("ProxyPass / uwsgi://{application}/"))
        },
    },
    Front {
        name: "lighttpd, FastCGI",
        option: "fastcgi-socket",
        start: |scratch, port, application| lighttpd::start(scratch, port, &handed_on("fastcgi", application)),
    },
    Front {
        name: "lighttpd, SCGI",
        option: "scgi-socket",
        start: |scratch, port, application| lighttpd::start(scratch, port, &handed_on("scgi", application)),
    },
    Front {
        name: "lighttpd, uwsgi",
        option: "uwsgi-socket",
        start: |scratch, port, application| {
            let directives = format!("scgi.protocol = \"uwsgi\"\n{}", handed_on("scgi", application));
            lighttpd::start(scratch, port, &directives)
        },
    },
];

/// What lighttpd is told: everything goes to the application, whose own the whole path is.
fn handed_on(module: &str, application: &Address) -> String {
    format!(
        "{module}.server = ( \"/\" => (( \"host\" => \"127.0.0.1\", \"port\" => {},
            \"check-local\" => \"disable\", \"fix-root-scriptname\" => \"enable\" )) )",
        application.port()
    )
}

fn nginx(scratch: &Scratch, port: &Port, location: &str) -> Process {
    let http = format!("client_max_body_size 10m; server {{ listen {}; location / {{ {location} }} }}", port.address());
    // The application's daemun has an error.log of its own.
    let conf = servers::nginx_conf(&http).replace("SCRATCH/error.log", "SCRATCH/front.log");
    scratch.write("front.conf", conf);
    servers::nginx(scratch, "front.conf", &port.address())
}

/// Runs `check` with each front.
fn with_each(check: impl Fn(&Front, &Address, &Application)) {
    for front in FRONTS {
        let application = application(front.option);
        let port = Port::reserve();
        // Apache's children are somebody else and look into the folder.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(application.scratch.folder(), open).expect("the folder is ours");
        let _front = (front.start)(&application.scratch, &port, &application.port.address());
        check(front, &port.address(), &application);
    }
}

#[test]
fn pages_are_the_applications_own() {
    with_each(|front, address, application| {
        let name = front.name;
        let response = Request::get("/hello").send(address);
        assert_eq!((response.status, response.header("content-type")), (200, Some("text/plain")), "{name}");
        assert!(response.text().starts_with("hello from "), "{name}");
        let absent = Request::get("/leave-me/x?y").send(address);
        assert_eq!(absent.status, 200, "{name}");

        let facts = Request::get("/environ_facts/a%20b?x=1&y=%20").header("X-Own", "own").send(address);
        let facts: serde_json::Value = serde_json::from_slice(&facts.body).expect("the page is JSON");
        for (variable, expected) in [
            ("REQUEST_METHOD", "GET"),
            ("PATH_INFO", "/environ_facts/a b"),
            ("QUERY_STRING", "x=1&y=%20"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("HTTP_X_OWN", "own"),
            ("HTTP_HOST", "example.test"),
            ("wsgi.url_scheme", "http"),
        ] {
            // Apache hands the path on as the client wrote it to SCGI and FastCGI servers.
            let is_raw = variable == "PATH_INFO" && facts["strings"][variable] == "/environ_facts/a%20b";
            assert!(is_raw || facts["strings"][variable] == expected, "{name}: {variable} of {facts}");
        }
        assert!(application.process.pid() > 0);
    });
}

#[test]
fn bodies_arrive_whole_both_ways() {
    with_each(|front, address, _| {
        let name = front.name;
        for size in [0, 1, 65_535, 65_536, 3_000_000] {
            let posted = Request::post("/count_input", "application/octet-stream", vec![b'b'; size]).send(address);
            assert_eq!((posted.status, posted.text()), (200, format!("{size} {size}")), "{name}, {size} octets in");
        }
        for size in [1, 65_535, 65_536, 3_000_000] {
            let large = Request::get(&format!("/big/{size}/7000")).send(address);
            let expected: Vec<u8> = (0..size).map(|at| (at / 7000 % 256) as u8).collect();
            assert!(large.status == 200 && large.body == expected, "{name}, {size} octets out");
        }
        let mut connection = Connection::to(address);
        connection.send("HEAD /hello HTTP/1.1\r\nHost: example.test\r\n\r\n");
        assert_eq!(connection.response_to_head().status, 200, "{name}");
        assert_eq!(Request::get("/hello").send(address).status, 200, "{name}, after HEAD");
    });
}

/// A chunked body has no length that could be told before it has come.
#[test]
fn a_body_of_unknown_length_arrives_whole() {
    with_each(|front, address, _| {
        let response = Request::new("POST", "/count_input").chunked(&[b"first ", b"second"]).send(address);
        if matches!(front.name, "Apache, SCGI" | "Apache, uwsgi") {
            assert_eq!(response.status, 411, "the length has to be told first, and Apache reads no body for that");
            return;
        }
        assert!(response.text().starts_with("12 "), "{}: {} {}", front.name, response.status, response.text());
    });
}

/// A web server in front of a whole configuration, not of an application alone.
#[test]
fn files_go_out_by_fastcgi_too() {
    let scratch = Scratch::new();
    let large: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 251) as u8).collect();
    scratch.write("root/large.bin", &large);
    scratch.write("root/folder/index.html", "a page");
    for (protocol, pass) in [("fastcgi", "fastcgi"), ("scgi", "scgi"), ("uwsgi", "uwsgi")] {
        // Ports of their own: what was killed a moment ago may still be heard at the last ones.
        let (inner, outer) = (Port::reserve(), Port::reserve());
        let http = format!(
            "server {{ listen {} {protocol}; root SCRATCH/root; add_header X-Seen $remote_addr,$scheme,$host; }}",
            inner.address()
        );
        scratch.write("inner.conf", servers::nginx_conf(&http).replace("nginx.pid", "inner.pid"));
        let _inner = servers::daemun_web(&scratch, "inner.conf", &inner.address());
        let location = format!(
            "{pass}_pass {}; include /etc/nginx/{pass}_params; {pass}_param REMOTE_ADDR 192.0.2.9; {pass}_param HTTPS on;
             {pass}_pass_request_headers on;",
            inner.address()
        );
        let location = location.replace(
            "include /etc/nginx/uwsgi_params; uwsgi_param REMOTE_ADDR 192.0.2.9; uwsgi_param HTTPS on;",
            UWSGI,
        );
        let _front = nginx(&scratch, &outer, &location);
        let address = outer.address();
        let response = Request::get("/large.bin").send(&address);
        assert_eq!((response.status, response.body == large), (200, true), "{protocol}");
        assert_eq!(response.header("content-length"), Some("2000000"), "{protocol}");
        assert_eq!(
            Request::get("/large.bin").header("Range", "bytes=5-9").send(&address).body,
            large.get(5..10).expect("long enough")
        );
        assert_eq!(Request::get("/folder/").send(&address).text(), "a page", "{protocol}");
        let redirect = Request::get("/folder").send(&address);
        assert_eq!(
            (redirect.status, redirect.header("location")),
            (301, Some("https://example.test/folder/")),
            "{protocol}"
        );
        assert_eq!(Request::get("/absent").send(&address).status, 404, "{protocol}");
        if protocol == "uwsgi" {
            let seen = Request::get("/folder/").send(&address);
            assert_eq!(seen.header("x-seen"), Some("192.0.2.9,https,example.test"), "{protocol}");
        }
    }
}

/// Debian's parameters name some of the variables already, and the first of a name holds.
const UWSGI: &str = "uwsgi_param REQUEST_METHOD $request_method; uwsgi_param REQUEST_URI $request_uri; \
     uwsgi_param SERVER_PROTOCOL $server_protocol; uwsgi_param REMOTE_ADDR 192.0.2.9; uwsgi_param HTTPS on; \
     uwsgi_param HTTP_HOST $host;";
