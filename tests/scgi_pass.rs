//! `scgi_pass` and `fastcgi_pass` to the real uWSGI, and to daemun's own applications.

use harness::{Connection, Port, Request, Scratch, Web, servers, site};

/// Starts `pep3333` in the real uWSGI, or in daemun, and daemun in front of it.
fn with_each(check: impl Fn(&str, &Web)) {
    for (option, pass) in [("scgi-socket", "scgi"), ("fastcgi-socket", "fastcgi")] {
        for is_ours in [false, true] {
            for buffering in ["on", "off"] {
                let scratch = Scratch::new();
                scratch.add_application("pep3333.py");
                let port = Port::reserve();
                let options =
                    format!("{option} = {}\nprocesses = 1\nthreads = 4\nenv = EVENTS=SCRATCH/events", port.address());
                scratch.write("app.ini", site::ini("pep3333", &options));
                let start = if is_ours { servers::daemun_app } else { servers::uwsgi };
                let _application = start(&scratch, "app.ini", &port.address());
                let server = format!(
                    "client_max_body_size 10m; location / {{
                        {pass}_pass {}; include /etc/nginx/{pass}_params;
                        {pass}_buffering {buffering}; {pass}_request_buffering {buffering};
                        {pass}_param PATH_INFO $document_uri; {pass}_param SCRIPT_NAME \"\";
                    }}",
                    port.address()
                );
                // Debian's parameters name the script, and the first of a name holds.
                let server = server.replace("include /etc/nginx/fastcgi_params;", FASTCGI);
                let web = Web::start(&scratch, &server);
                check(&format!("{pass}, daemun: {is_ours}, buffering {buffering}"), &web);
            }
        }
    }
}

const FASTCGI: &str = "fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string; \
     fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length; \
     fastcgi_param REQUEST_URI $request_uri; fastcgi_param SERVER_PROTOCOL $server_protocol; \
     fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param SERVER_NAME $server_name; fastcgi_param SERVER_PORT $server_port;";

#[test]
fn applications_are_reached() {
    with_each(|name, web| {
        let response = Request::get("/hello").send(&web.address);
        assert!(response.status == 200 && response.text().starts_with("hello from "), "{name}");
        for size in [0, 1, 65_536, 1_000_000] {
            let posted = Request::post("/count_input", "text/x", vec![b'b'; size]).send(&web.address);
            assert_eq!(posted.text(), format!("{size} {size}"), "{name}, {size} octets in");
            if size > 0 {
                let large = Request::get(&format!("/big/{size}/7000")).send(&web.address);
                assert!(large.body.len() == size, "{name}, {size} octets out: {}", large.body.len());
            }
        }
        let facts = Request::get("/environ_facts/a%20b?x=1").header("X-Own", "own").send(&web.address);
        let facts: serde_json::Value = serde_json::from_slice(&facts.body).expect("the page is JSON");
        for (variable, expected) in [
            ("PATH_INFO", "/environ_facts/a b"),
            ("QUERY_STRING", "x=1"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("HTTP_X_OWN", "own"),
        ] {
            assert_eq!(facts["strings"][variable], expected, "{name}: {variable}");
        }
        let mut connection = Connection::to(&web.address);
        connection.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(connection.response_to_head().status, 200, "{name}");
    });
}
