//! Where lines go: access logs with buffers, compression, conditions and variables in their paths; syslog for both logs.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use harness::{LIMIT, Port, Request, Scratch, servers, wait_until};
use rustix::process::Signal;

/// A server under which each location answers 200 without a file.
fn start(scratch: &Scratch, http: &str, locations: &str) -> (harness::Process, Port) {
    let port = Port::reserve();
    let server = format!("{http}\n server {{ listen {}; root SCRATCH/root; {locations} }}", port.address());
    scratch.make_folder("root");
    scratch.write("web.conf", servers::nginx_conf(&server));
    let web = servers::daemun_web(scratch, "web.conf", &port.address());
    (web, port)
}

fn get(port: &Port, target: &str) {
    let status = Request::get(target).send(&port.address()).status;
    assert!(matches!(status, 200 | 404), "{target}: {status}");
}

#[test]
fn lines_are_gathered_until_the_buffer_is_full() {
    let scratch = Scratch::new();
    let format = "log_format line \"$uri 0123456789\";"; // 15 octets with /abc and its end.
    let locations = "access_log SCRATCH/gathered.log line buffer=40; location / { return 200; }";
    let (mut web, port) = start(&scratch, format, locations);
    for _ in 0..3 {
        get(&port, "/abc");
    }
    wait_until("the full buffer is written", || scratch.read("gathered.log") == "/abc 0123456789\n".repeat(2));
    get(&port, &format!("/{}", "x".repeat(64)));
    let long = format!("/{} 0123456789\n", "x".repeat(64));
    wait_until("a long line is written", || scratch.read("gathered.log") == "/abc 0123456789\n".repeat(3) + &long);
    get(&port, "/abc");
    web.signal(Signal::QUIT);
    web.wait();
    assert!(scratch.read("gathered.log").ends_with("\n/abc 0123456789\n"), "the rest is written at the end");
}

#[test]
fn lines_that_wait_are_written_in_time_and_compressed() {
    let scratch = Scratch::new();
    let locations = "access_log SCRATCH/lines.log.gz uri gzip=9 flush=20ms buffer=1m; location / { return 200; }";
    let (_web, port) = start(&scratch, "log_format uri $uri;", locations);
    for number in 0..3 {
        get(&port, &format!("/{number}"));
        let expected: String = (0..=number).map(|number| format!("/{number}\n")).collect();
        wait_until("the line is written", || unpack(&scratch, "lines.log.gz") == expected);
    }
}

/// The content of a gzip file of any number of members.
fn unpack(scratch: &Scratch, name: &str) -> String {
    let output = Command::new("gzip").arg("-dc").arg(scratch.path(name)).output().expect("gzip");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_path_may_have_variables() {
    let scratch = Scratch::new();
    scratch.make_folder("by");
    let locations = "
        location / { access_log SCRATCH/by/$arg_name uri; return 200; }
        location /cached { open_log_file_cache max=2 min_uses=2 valid=1h; access_log SCRATCH/by/$arg_name uri; return 200; }
        location /rootless { root SCRATCH/none; access_log SCRATCH/by/$arg_name uri; return 200; }";
    let (_web, port) = start(&scratch, "log_format uri $uri;", locations);
    for target in ["/a?name=a", "/b?name=b", "/c?name=a", "/rootless?name=c", "/x?name=none/none"] {
        get(&port, target);
    }
    wait_until("the last one is logged", || {
        scratch.read("error.log").contains("by/none/none\" failed (2: No such file")
    });
    assert_eq!(scratch.read("by/a"), "/a\n/c\n");
    assert_eq!(scratch.read("by/b"), "/b\n");
    assert!(!scratch.path("by/c").exists());
    assert!(scratch.read("error.log").contains("none\" existence failed (2: No such file or directory)"));

    for _ in 0..2 {
        get(&port, "/cached?name=kept");
    }
    get(&port, "/cached?name=once");
    wait_until("the lines are written", || scratch.read("by/once") == "/cached\n");
    std::fs::rename(scratch.path("by"), scratch.path("moved")).expect("renamed");
    for name in ["kept", "once"] {
        get(&port, &format!("/cached?name={name}"));
    }
    wait_until("the name is used", || scratch.read("error.log").contains("by/once\" failed (2: No such file"));
    wait_until("the descriptor is used", || scratch.read("moved/kept") == "/cached\n".repeat(3));
    assert_eq!(scratch.read("moved/once"), "/cached\n");
}

#[test]
fn lines_go_to_syslog() {
    let scratch = Scratch::new();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
    udp.set_read_timeout(Some(LIMIT)).expect("set");
    let unix = UnixDatagram::bind(scratch.path("log.sock")).expect("bound");
    unix.set_read_timeout(Some(LIMIT)).expect("set");
    std::fs::set_permissions(scratch.path("log.sock"), std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .expect("set");
    let address = udp.local_addr().expect("an address");
    let locations = format!(
        "access_log off;
        location /access {{ access_log syslog:server={address} uri; return 200; }}
        location /named {{ access_log syslog:server=unix:SCRATCH/log.sock,facility=user,tag=a_tag,severity=alert,nohostname uri if=$arg_log; return 200; }}
        location /error {{ error_log syslog:server={address},severity=alert; }}"
    );
    let (_web, port) = start(&scratch, "log_format uri $uri;", &locations);
    let mut datagram = [0; 2048];

    get(&port, "/access");
    let length = udp.recv(&mut datagram).expect("a message");
    let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    assert!(text.starts_with("<190>") && text.ends_with(&format!(" {host} nginx: /access")), "{text}");

    get(&port, "/named");
    get(&port, "/named?log=1");
    let length = unix.recv(&mut datagram).expect("a message");
    let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
    assert!(text.starts_with("<9>") && text.ends_with(" a_tag: /named"), "{text}");

    get(&port, "/error");
    let length = udp.recv(&mut datagram).expect("a message");
    let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
    assert!(text.starts_with("<187>"), "{text}");
    assert!(
        text.contains(" nginx: 2") && text.contains(" [error] ") && text.contains("root/error\" failed (2"),
        "{text}"
    );

    drop(unix);
    get(&port, "/named?log=1");
    wait_until("the trouble is told", || scratch.read("error.log").contains("send() to syslog failed"));
}

#[test]
fn what_is_wrong_is_said_in_nginx_words() {
    for (http, message) in [
        ("access_log a.log combined flush=1s;", "no buffer is defined for access_log \"a.log\""),
        ("access_log a.log combined buffer=0;", "invalid buffer size \"0\""),
        ("access_log a.log combined gzip=10;", "invalid compression level \"10\""),
        ("access_log a_$uri.log combined buffer=1k;", "buffered logs cannot have variables in name"),
        ("access_log syslog:server=127.0.0.1 combined buffer=1k;", "logs to syslog cannot be buffered"),
        ("access_log syslog:tag=x;", "no syslog server specified"),
        ("access_log a.log none;", "unknown log format \"none\""),
        (
            "access_log a.log combined buffer=1k; access_log a.log combined buffer=2k;",
            "access_log \"a.log\" already defined with conflicting parameters",
        ),
        ("open_log_file_cache inactive=1s;", "\"open_log_file_cache\" must have the \"max\" parameter"),
        ("open_log_file_cache max=1 other=1;", "invalid \"open_log_file_cache\" parameter \"other=1\""),
        ("error_log syslog:server=;", "no host in syslog server \"\""),
        ("error_log a.log debug_http debug_http;", "duplicate log level \"debug_http\""),
        ("error_log a.log info warn;", "invalid log level \"info\""),
    ] {
        let scratch = Scratch::new();
        scratch.write("web.conf", format!("error_log SCRATCH/e.log; events {{ }} http {{ {http} server {{ }} }}"));
        let ended = servers::web(&scratch, "web.conf").arg("-p").arg(scratch.folder()).arg("-t").run();
        assert!(ended.output.contains(message), "{http}: {}", ended.output);
    }
}

/// Lines that threads have gathered belong to the file that they were gathered for: USR1 finds them there, whoever has them.
#[test]
fn what_all_threads_have_gathered_goes_to_the_old_file() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    let server = format!(
        "log_format line $uri; server {{ listen {} reuseport; access_log SCRATCH/gathered.log line buffer=1m; location / {{ return 200; }} }}",
        port.address()
    );
    let text = servers::nginx_conf(&server).replace("worker_processes 1", "worker_processes 4");
    scratch.write("web.conf", text);
    let web = servers::daemun_web(&scratch, "web.conf", &port.address());
    let mut expected: Vec<String> = (0..64).map(|number| format!("/{number:02}")).collect();
    for target in &expected {
        get(&port, target);
    }
    std::fs::rename(scratch.path("gathered.log"), scratch.path("old.log")).expect("the log is there");
    web.signal(Signal::USR1);
    wait_until("the log is opened anew", || scratch.path("gathered.log").exists());
    wait_until("all lines are in the old file", || scratch.read("old.log").lines().count() == expected.len());
    let mut found: Vec<String> = scratch.read("old.log").lines().map(str::to_owned).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
