//! `proxy_pass https://` and `proxy_ssl_...`, beside Debian's nginx.

use harness::tls::{issued, self_signed};
use harness::{Address, Connection, Port, Request, Scratch, servers, wait_until};

/// A server behind the server, in one configuration: `BEHIND` stands for its address.
const HTTP: &str = "
    client_max_body_size 10m;
    upstream behind { server BEHIND; keepalive 4; }
    server {
        listen BEHIND ssl;
        ssl_certificate server.test.crt;
        ssl_certificate_key server.test.key;
        ssl_client_certificate authority.crt;
        ssl_verify_client optional;
        location / { return 200 \"[$ssl_server_name] $ssl_client_s_dn $ssl_session_reused $connection_requests\"; }
        location /echo { return 200 $content_length; }
    }
    server {
        listen LISTEN;
        location /plain { proxy_pass https://BEHIND; proxy_ssl_session_reuse off; }
        location /named { proxy_pass https://BEHIND; proxy_ssl_server_name on; proxy_ssl_name told.test; proxy_ssl_session_reuse off; }
        location /certificate {
            proxy_pass https://BEHIND;
            proxy_ssl_certificate client.crt;
            proxy_ssl_certificate_key client.key;
            proxy_ssl_session_reuse off;
        }
        location /good {
            proxy_pass https://BEHIND;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate authority.crt;
            proxy_ssl_name server.test;
            proxy_ssl_session_reuse off;
        }
        location /misnamed {
            proxy_pass https://BEHIND;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate authority.crt;
            proxy_ssl_name other.test;
            proxy_ssl_session_reuse off;
        }
        location /strange {
            proxy_pass https://BEHIND;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate stranger.crt;
            proxy_ssl_name server.test;
            # nginx believes a server whose session another location has made.
            proxy_ssl_session_reuse off;
        }
        location /kept { proxy_pass https://behind; proxy_http_version 1.1; proxy_set_header Connection \"\"; }
        location /again { proxy_pass https://BEHIND; proxy_set_header Connection close; }
        location /body { proxy_pass https://BEHIND/echo; }
    }
";

fn certificates(scratch: &Scratch) {
    self_signed(scratch, "authority");
    self_signed(scratch, "stranger");
    issued(scratch, "server.test", "authority", "subjectAltName=DNS:server.test");
    issued(scratch, "client", "authority", "");
}

fn ask(address: &Address, target: &str) -> String {
    let answer = Connection::to(address).exchange(Request::get(target).octets());
    if answer.status == 200 { answer.text() } else { answer.status.to_string() }
}

#[test]
fn nginx_agrees() {
    let behind = Port::reserve();
    let other = Port::reserve();
    // Each server has one of its own behind it.
    let ours = HTTP.replace("BEHIND", &behind.address().to_string());
    let scratch = Scratch::new();
    certificates(&scratch);
    let port = Port::reserve();
    scratch.write("web.conf", servers::nginx_conf(&ours.replace("LISTEN", &port.address().to_string())));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    let theirs = Scratch::new();
    certificates(&theirs);
    let nginx_port = Port::reserve();
    let text =
        HTTP.replace("BEHIND", &other.address().to_string()).replace("LISTEN", &nginx_port.address().to_string());
    theirs.write("web.conf", servers::nginx_conf(&text));
    let _nginx = servers::nginx(&theirs, "web.conf", &nginx_port.address());
    for (target, expected) in [
        ("/plain", "[]  . 1"),
        ("/named", "[told.test]  . 1"),
        ("/certificate", "[] CN=client . 1"),
        ("/good", "[]  . 1"),
        ("/misnamed", "502"),
        ("/strange", "502"),
        ("/kept", "[]  . 1"),
        ("/kept", "[]  . 2"),
        ("/again", "[]  . 1"),
        ("/again", "[]  r 1"),
    ] {
        let (seen, nginx) = (ask(&port.address(), target), ask(&nginx_port.address(), target));
        assert_eq!(seen, nginx, "{target}: ours on the left, nginx's on the right");
        assert_eq!(seen, expected, "{target}");
    }
    let body = vec![b'x'; 3_000_000];
    for address in [port.address(), nginx_port.address()] {
        let answer = Connection::to(&address).exchange(Request::post("/body", "text/plain", body.clone()).octets());
        assert_eq!(answer.text(), "3000000");
    }
    let log = scratch.read("error.log");
    assert!(
        log.contains("upstream SSL certificate does not match \"other.test\" while SSL handshaking to upstream"),
        "{log}"
    );
    assert!(log.contains("upstream SSL certificate verify error: ("), "{log}");
}

#[test]
fn servers_are_checked_by_tls() {
    let (behind, port) = (Port::reserve(), Port::reserve());
    let scratch = Scratch::new();
    certificates(&scratch);
    let http = format!(
        "upstream behind {{ zone z 64k; server {0}; }}
         server {{ listen {0} ssl; ssl_certificate server.test.crt; ssl_certificate_key server.test.key; return 200 well; }}
         server {{
             listen {1};
             location / {{
                 proxy_pass https://behind;
                 proxy_ssl_verify on;
                 proxy_ssl_trusted_certificate stranger.crt;
                 health_check interval=100ms;
             }}
         }}",
        behind.address(),
        port.address()
    );
    scratch.write("web.conf", servers::nginx_conf(&http));
    let _web = servers::daemun_web(&scratch, "web.conf", &port.address());
    wait_until("the server is found out", || {
        scratch.read("error.log").contains("is unhealthy: upstream SSL certificate verify error")
    });
}
