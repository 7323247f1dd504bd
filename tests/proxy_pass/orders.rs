//! What an answer orders by its fields, where requests are passed on from, and what is known of their way afterwards.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;

use harness::{Address, Backend, Beside, Connection, Port, Request, Scratch, Web, wait_until};

/// `X-Accel-Redirect` and its neighbours, each obeyed as nginx obeys it, and not where it is ignored.
#[test]
fn orders_of_an_answer_are_obeyed_as_by_nginx() {
    let http = "charset_types text/plain; server { listen LISTEN; absolute_redirect off;
        location / { proxy_pass http://BACKEND; }
        location /ignored/ { proxy_pass http://BACKEND/; proxy_ignore_headers X-Accel-Redirect X-Accel-Charset; }
        location /shown/ { proxy_pass http://BACKEND/; proxy_pass_header X-Accel-Charset; }
        location /inner/ { internal; return 200 \"inner $uri?$args $request_method\"; }
        location /known { charset koi8-r; }
        location @named { return 202 \"named $uri\"; }
    }";
    let backend = Backend::answering(|head| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let order = match target {
            "/redirect" => {
                "X-Accel-Redirect: /inner/a%20b?c=d\r\nSet-Cookie: a=1\r\nX-Lost: 1\r\nCache-Control: no-cache"
            }
            "/named" => "X-Accel-Redirect: @named",
            "/unsafe" => "X-Accel-Redirect: /inner/%2e%2e/x",
            "/charset" => "X-Accel-Charset: koi8-r",
            "/twice" => "Location: /a\r\nLocation: /b",
            _ => "X-None: 1",
        };
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n{order}\r\n\r\nok")
    });
    let beside = Beside::start(&http.replace("BACKEND", &backend.address()), |_| {});
    for prefix in ["", "/ignored", "/shown"] {
        for target in ["/redirect", "/named", "/unsafe", "/charset", "/twice", "/none"] {
            beside.agreed(&format!("{prefix}{target}"), |address| {
                let response = Request::get(&format!("{prefix}{target}")).send(address);
                let names = ["content-type", "set-cookie", "cache-control", "x-lost", "location", "x-accel-charset"];
                let values = names.map(|name| response.header(name).map(str::to_owned));
                let text = if response.status < 300 { response.text() } else { String::new() };
                (response.status, text, values)
            });
        }
    }
}

/// Pages of ours stand for a server's errors where they are to, and where they are there.
#[test]
fn errors_of_servers_are_intercepted_as_by_nginx() {
    let http = "server { listen LISTEN; error_page 404 401 502 /page; recursive_error_pages off;
        location / { proxy_pass http://BACKEND; }
        location /caught/ { proxy_pass http://BACKEND/; proxy_intercept_errors on; }
        location /kept/ { proxy_pass http://BACKEND/; proxy_intercept_errors on; error_page 404 =200 /page; }
        location /dead { proxy_pass http://DEAD; }
        location = /page { internal; return 200 'page of ours'; }
    }";
    let backend = Backend::answering(|head| {
        let status = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nWWW-Authenticate: Basic\r\n\r\nno")
    });
    let dead = Port::reserve();
    let http = http.replace("BACKEND", &backend.address()).replace("DEAD", &dead.address().to_string());
    let beside = Beside::start(&http, |_| {});
    for target in ["/404", "/caught/404", "/caught/401", "/caught/403", "/kept/404", "/dead"] {
        beside.agreed(target, |address| {
            let response = Request::get(target).send(address);
            (response.status, response.text(), response.header("www-authenticate").map(str::to_owned))
        });
    }
}

/// From `if`, named and regular locations, over unix sockets and by variables, with what is written of it.
#[test]
fn every_kind_of_location_passes_on_as_in_nginx() {
    let http = "log_format way '$upstream_addr|$upstream_status|$upstream_response_length|$upstream_http_x_own|$upstream_cookie_sid|$proxy_host|$proxy_port';
    upstream pair { server DEAD max_fails=0; server BACKEND; }
    server { listen LISTEN; access_log SCRATCH/way.log way; proxy_http_version 1.1; proxy_set_header Connection '';
        location /if { if ($args) { proxy_pass http://BACKEND; } return 204; }
        location /rest { error_page 418 = @named; return 418; }
        location @named { proxy_pass http://BACKEND; }
        location ~ ^/regex/(.*) { proxy_pass http://BACKEND/got/$1?x=$args; }
        location /rewritten { rewrite ^/rewritten/(.*)$ /new/$1 break; proxy_pass http://BACKEND/unused; }
        location /variable { proxy_pass http://$arg_to; }
        location /unix { proxy_pass http://unix:SCRATCH/backend.sock:/by/socket; }
        location /pair { proxy_pass http://pair; }
        location /dead { proxy_pass http://DEAD; }
    }";
    let answer = |head: &str| {
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Own: 1\r\nSet-Cookie: sid=7; Path=/\r\n\r\n{target}",
            target.len()
        )
    };
    let backend = Backend::answering(answer);
    let dead = Port::reserve();
    let http = http.replace("BACKEND", &backend.address()).replace("DEAD", &dead.address().to_string());
    let beside = Beside::start(&http, |scratch| {
        let listener = UnixListener::bind(scratch.path("backend.sock")).expect("a socket");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(scratch.path("backend.sock"), mode).expect("for everybody");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut octets = [0; 4096];
                let count = stream.read(&mut octets).unwrap_or(0);
                let _ = stream.write_all(answer(&String::from_utf8_lossy(&octets[..count])).as_bytes());
            }
        });
    });
    let variable = format!("/variable?to={}/place?q", backend.address());
    let targets =
        ["/if?x", "/if", "/rest", "/regex/a?b", "/rewritten/a?b", &variable, "/unix/a%20b", "/pair", "/pair", "/dead"];
    for target in targets {
        beside.agreed(target, |address| {
            let response = Request::get(target).send(address);
            let text = if response.status == 200 { response.text() } else { String::new() };
            (response.status, text)
        });
    }
    let (ours, nginx) = beside.folders();
    let lines = |scratch: &Scratch| {
        wait_until("all is logged", || scratch.read("way.log").lines().count() == targets.len());
        scratch.read("way.log").replace(&scratch.folder().display().to_string(), "SCRATCH")
    };
    assert_eq!(lines(ours), lines(nginx), "ours on the left, nginx's on the right");
}

/// A server's 103 goes to the client where `early_hints` says so; other interim answers never do.
#[test]
fn early_hints_are_passed_where_they_are_allowed() {
    let scratch = Scratch::new();
    let backend = Backend::answering(|_| {
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Hidden: 1\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            .to_owned()
    });
    let pass = format!(
        "proxy_hide_header X-Hidden;
        location / {{ proxy_pass http://{address}; early_hints $arg_hints; }}",
        address = backend.address()
    );
    let web = Web::start(&scratch, &pass);
    let answer = |target: &str| {
        let mut client = Connection::to(&web.address);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        String::from_utf8_lossy(&client.rest()).into_owned()
    };
    let hinted = answer("/?hints=1");
    assert!(hinted.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n"), "{hinted}");
    for target in ["/", "/?hints=0"] {
        assert!(answer(target).starts_with("HTTP/1.1 200 OK\r\n"), "{target}");
    }
}

/// A kept connection that its server has closed costs no request that may be sent twice, and no other is sent twice.
#[test]
fn a_kept_connection_that_dies_under_a_request() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let Address::Tcp(address) = port.address() else { unreachable!("a port's address is one of TCP") };
    let listener = TcpListener::bind(address).expect("the port is free");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut octets = [0; 4096];
                let _ = stream.read(&mut octets);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                let _ = stream.read(&mut octets); // The second request gets no answer.
            });
        }
    });
    let group = format!(
        "upstream group {{ server {address}; keepalive 1; }}\nserver {{ listen LISTEN; location / {{ proxy_pass http://group; }} }}"
    );
    let web = super::start(&scratch, &group);
    let get = || Request::get("/").send(&web.address).status;
    let post = || Request::post("/", "text/plain", "body").send(&web.address).status;
    assert_eq!([get(), get(), get()], [200; 3]);
    assert_eq!(post(), 502);
    let log = scratch.read("error.log");
    assert!(
        log.contains("upstream prematurely closed connection while reading response header from upstream"),
        "{log}"
    );
}
