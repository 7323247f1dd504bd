//! uWSGI's `cgi` and its like: programs at some paths of an application's own sockets.

use std::fs;
use std::os::unix::fs::symlink;

use harness::fastcgi_records::{answer, request};
use harness::uwsgi_packet::get_variables;
use harness::{Address, Application, Connection, Request, Scratch, servers, site};

use super::script;

const NAMES: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n\
    echo \"$SCRIPT_NAME|$PATH_INFO|$SCRIPT_FILENAME|$DOCUMENT_ROOT|$REDIRECT_STATUS|$REMOTE_USER|$OWN\"\n";

fn get(address: &Address, path: &str) -> (u16, String) {
    let response = Request::get(path).send(address);
    (response.status, response.text().trim_end().to_owned())
}

#[test]
fn programs_and_the_application_share_a_socket() {
    let scratch = Scratch::new();
    script(&scratch, "bin/a.cgi", NAMES);
    script(&scratch, "bin/deep/index.cgi", NAMES);
    script(&scratch, "bin/text.txt", NAMES);
    script(&scratch, "tool", NAMES);
    scratch.write("root/bin/b.sh", NAMES);
    let options = "cgi = /cgi-bin=SCRATCH/root/bin\ncgi = /tool=SCRATCH/root/tool\ncgi-index = index.cgi\n\
        cgi-allowed-ext = .cgi\ncgi-allowed-ext = .sh\ncgi-helper = .sh=/bin/sh\ncgi-timeout = 30\nenv = OWN=of-the-application";
    let application = Application::start(&scratch, "pep3333", options);
    let root = scratch.text_path("root");
    let address = &application.address;
    let expected = |name: &str, info: &str, file: &str, folder: &str| {
        (200, format!("{name}|{info}|{root}/{file}|{root}/{folder}|200||"))
    };
    assert_eq!(get(address, "/cgi-bin/a.cgi/x"), expected("/cgi-bin/a.cgi", "/x", "bin/a.cgi", "bin"));
    assert_eq!(get(address, "/cgi-bin/deep/"), expected("/cgi-bin/deep/index.cgi", "", "bin/deep/index.cgi", "bin"));
    assert_eq!(get(address, "/cgi-bin/b.sh"), expected("/cgi-bin/b.sh", "", "bin/b.sh", "bin"));
    assert_eq!(get(address, "/tool/x/y"), expected("/tool", "/x/y", "tool", "tool"));
    assert_eq!(get(address, "/cgi-bin/text.txt").0, 403);
    assert_eq!(get(address, "/cgi-bin/absent.cgi").0, 404);
    assert!(get(address, "/hello").1.starts_with("hello from "), "all other paths are the application's");
    assert!(get(address, "/cgi-binary").1.starts_with("hello from "), "a mount ends where a component does");
}

#[test]
fn links_lead_only_where_they_may() {
    let scratch = Scratch::new();
    script(&scratch, "bin/own", NAMES);
    script(&scratch, "elsewhere/a", NAMES);
    script(&scratch, "safe/a", NAMES);
    symlink(scratch.path("root/elsewhere/a"), scratch.path("root/bin/bad")).expect("a link");
    symlink(scratch.path("root/safe/a"), scratch.path("root/bin/good")).expect("a link");
    let options = "cgi = /cgi=SCRATCH/root/bin\ncgi-safe = SCRATCH/root/safe";
    let application = Application::start(&scratch, "pep3333", options);
    assert_eq!(get(&application.address, "/cgi/own").0, 200);
    assert_eq!(get(&application.address, "/cgi/bad").0, 403);
    assert_eq!(get(&application.address, "/cgi/good").0, 200);
}

/// What the web server in front says of the client, programs are told too; and what is unset they are not.
#[test]
fn programs_answer_behind_other_web_servers() {
    let scratch = Scratch::new();
    script(&scratch, "bin/a", NAMES);
    scratch.add_application("pep3333.py");
    let options = "fastcgi-socket = SCRATCH/app.sock\ncgi = /cgi=SCRATCH/root/bin\ncgi-unset = DOCUMENT_ROOT";
    scratch.write("app.ini", site::ini("pep3333", options));
    let address = Address::Unix(scratch.path("app.sock"));
    let _application = servers::daemun_app(&scratch, "app.ini", &address);
    let mut variables = get_variables("/cgi/a/x", "");
    variables.push(("REMOTE_USER", "somebody"));
    let mut connection = Connection::to(&address);
    connection.send(request(1, false, &variables, b""));
    let (_, body) = answer(&mut connection, 1).parts();
    let body = String::from_utf8(body).expect("ASCII");
    assert_eq!(body.trim_end(), format!("/cgi/a|/x|{}||200|somebody|", scratch.text_path("root/bin/a")));
}

/// There need be no application.
#[test]
fn programs_may_be_all_there_is() {
    let scratch = Scratch::new();
    script(&scratch, "bin/a", NAMES);
    scratch.write("app.ini", "[uwsgi]\nhttp-socket = PORT\nmaster = true\ncgi = /=SCRATCH/root/bin\n");
    let port = harness::Port::reserve();
    let text =
        fs::read_to_string(scratch.path("app.ini")).expect("just written").replace("PORT", &port.address().to_string());
    scratch.write("app.ini", text);
    let _application = servers::daemun_app(&scratch, "app.ini", &port.address());
    assert_eq!(get(&port.address(), "/a/x").0, 200);
    assert_eq!(get(&port.address(), "/absent").0, 404);
}

#[test]
fn mistakes_are_named() {
    for (options, message) in [
        ("cgi = SCRATCH", "it must be NAME=VALUE"),
        ("cgi = cgi=SCRATCH", "a path begins with a slash"),
        ("cgi-helper = .pl=perl", "a program needs its whole path"),
    ] {
        let scratch = Scratch::new();
        scratch.write("app.ini", format!("[uwsgi]\nsocket = SCRATCH/a.sock\n{options}\n"));
        let ended = servers::app(&scratch, "app.ini").run();
        assert!(!ended.status.success() && ended.output.contains(message), "{options}: {}", ended.output);
    }
}
