//! fcgiwrap behind daemun and behind nginx: a program sees the same of a request.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::{Address, Launch, Port, Request, Scratch, programs, servers};

const LOCATION: &str = "root SCRATCH/root; location / {
        fastcgi_pass unix:SCRATCH/wrap.sock;
        fastcgi_param OWN $arg_own;
        fastcgi_param EMPTY $arg_absent if_not_empty;
        fastcgi_param HTTP_REPLACED by-the-server;
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
    }";

#[test]
fn variables_are_those_that_nginx_sends() {
    let scratch = Scratch::new();
    let script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\ntr '\\0' '\\n' < /proc/$$/environ\n";
    let path = scratch.write("root/print.cgi", script);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
    let socket = Address::Unix(scratch.path("wrap.sock"));
    let launch = Launch::new(&scratch, "fcgiwrap", programs::fcgiwrap());
    let mut wrap = launch.arg("-s").arg(format!("unix:{}", scratch.text_path("wrap.sock"))).start();
    wrap.wait_for(&socket);
    let mut seen = Vec::new();
    for start in [servers::daemun_web, servers::nginx] {
        let port = Port::reserve();
        let http = format!("server {{ listen {}; server_name example.test; {LOCATION} }}", port.address());
        scratch.write("web.conf", servers::nginx_conf(&http));
        let _web = start(&scratch, "web.conf", &port.address());
        let request = Request::post("/print.cgi?own=1&x=%20", "text/x", "a body")
            .header("X-Own", "a")
            .header("X-Own", "b")
            .header("Cookie", "a=1")
            .header("Replaced", "by-the-client")
            .header("Accept", "text/plain");
        let text = request.send(&port.address()).text();
        // nginx sends type and length a second time, by names that CGI does not have.
        let differs =
            ["REMOTE_PORT=", "SERVER_PORT=", "SERVER_SOFTWARE=", "HTTP_CONTENT_TYPE=", "HTTP_CONTENT_LENGTH="];
        let is_compared = |line: &&str| !differs.iter().any(|name| line.starts_with(name));
        let mut lines: Vec<String> = text.lines().filter(is_compared).map(str::to_owned).collect();
        lines.sort();
        seen.push(lines);
    }
    let [ours, theirs] = seen.as_slice() else { panic!("two") };
    // Two fields of a name are one variable with both values; nginx of that age sends two, and the program sees one.
    let without =
        |lines: &[String]| lines.iter().filter(|line| !line.starts_with("HTTP_X_OWN=")).cloned().collect::<Vec<_>>();
    assert_eq!(without(ours), without(theirs));
    assert!(ours.contains(&"HTTP_REPLACED=by-the-server".to_owned()) && ours.contains(&"CONTENT_LENGTH=6".to_owned()));
}
