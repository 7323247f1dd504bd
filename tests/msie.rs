//! `msie_padding`, `msie_refresh`, and what becomes of the status when the page for an error goes wrong itself. nginx agrees.

use harness::{Address, Beside, Request, Response};

const HTTP: &str = r#"
    server {
        listen LISTEN;
        server_tokens off;
        location /padded { return 404; }
        location /plain { msie_padding off; return 404; }
        location /own { return 404 "<html>mine</html>"; }
        location /stays { return 301 /elsewhere; }
        location /refreshed { msie_refresh on; return 301 "else where?a='b'"; }
        location /refreshed-too { msie_refresh on; return 302 http://example.test/; }
        location /other { msie_refresh on; return 303 /x; }

        location /404-405 { error_page 404 /405; return 404; }
        location /302-text { error_page 302 /text; return 302 http://example.test/; }
        location /405-302 { error_page 405 /302; return 405; }
        location /404-ok { error_page 404 =200 /text; return 404; }
        location /404-ok-405 { error_page 404 =200 /405; return 404; }
        location /404-text { error_page 404 /text; return 404; }
        location /403-folder { error_page 403 /folder; return 403; }
        location = /405 { return 405; }
        location = /302 { return 302 http://example.test/302; }
        location = /text { return 200 text; }
        location = /folder { root SCRATCH/root; }
    }
"#;

const AGENTS: &[&str] = &[
    "",
    "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/121.0",
    "Opera/9.8 MSIE 6.0 x",
];

fn told(response: &Response, address: &Address) -> (u16, Option<String>, Option<String>, String) {
    let field = |name| response.header(name).map(|value| value.replace(&address.to_string(), "SERVER"));
    let address = address.to_string();
    let port = address.rsplit(':').next().unwrap_or_default();
    let location = field("Location").map(|value| value.replace(port, "PORT"));
    let body = response.text().replace("<center>nginx</center>", "NAME").replace("<center>daemun</center>", "NAME");
    (response.status, location, field("Content-Type"), body)
}

#[test]
fn nginx_agrees() {
    let servers = Beside::start(HTTP, |scratch| {
        scratch.make_folder("root/folder");
    });
    for target in ["/padded", "/plain", "/own", "/stays", "/refreshed", "/refreshed-too", "/other"] {
        for agent in AGENTS {
            servers.agreed(&format!("{target} {agent}"), |address: &Address| {
                let request = Request::get(target);
                let request = if agent.is_empty() { request } else { request.header("User-Agent", agent) };
                told(&request.send(address), address)
            });
        }
    }
    for (target, status) in [
        ("/404-405", 405),
        ("/302-text", 302),
        ("/405-302", 302),
        ("/404-ok", 200),
        ("/404-ok-405", 405),
        ("/404-text", 404),
        ("/403-folder", 301),
    ] {
        let seen = servers.agreed(target, |address: &Address| told(&Request::get(target).send(address), address));
        assert_eq!(seen.0, status, "{target}");
    }
}
