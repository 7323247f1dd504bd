//! A web server and an application server that serve the same site together.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::{Port, Process, Scratch, servers};
use harness::Address;

/// The two, or the one that is both, and where they listen. Dropped, both end.
pub(super) struct Pair {
    pub(super) address: Address,
    _port: Port,
    _socket_port: Option<Port>,
    _processes: Vec<Process>,
}

impl Pair {
    /// The reference.
    pub(super) fn nginx_and_uwsgi(scratch: &Scratch, name: &str) -> Self {
        let port = Port::reserve();
        let socket = scratch.path(&format!("{name}.sock"));
        write_conf(scratch, &format!("{name}.conf"), &port, &format!("unix:{}", socket.display()));
        write_ini(scratch, &format!("{name}.ini"), &socket.display().to_string());
        let application = servers::uwsgi(scratch, &format!("{name}.ini"), &Address::Unix(socket));
        let web = servers::nginx(scratch, &format!("{name}.conf"), &port.address());
        Self { address: port.address(), _port: port, _socket_port: None, _processes: vec![web, application] }
    }

    /// daemun in front.
    pub(super) fn daemun_web_and_uwsgi_by_unix_socket(scratch: &Scratch) -> Self {
        let port = Port::reserve();
        let socket = scratch.path("subject.sock");
        write_conf(scratch, "subject.conf", &port, &format!("unix:{}", socket.display()));
        write_ini(scratch, "subject.ini", &socket.display().to_string());
        let application = servers::uwsgi(scratch, "subject.ini", &Address::Unix(socket));
        let web = servers::daemun_web(scratch, "subject.conf", &port.address());
        Self { address: port.address(), _port: port, _socket_port: None, _processes: vec![web, application] }
    }

    /// daemun in front, with TCP between the two.
    pub(super) fn daemun_web_and_uwsgi_by_tcp(scratch: &Scratch) -> Self {
        let port = Port::reserve();
        let between = Port::reserve();
        write_conf(scratch, "subject.conf", &port, &between.address().to_string());
        write_ini(scratch, "subject.ini", &between.address().to_string());
        let application = servers::uwsgi(scratch, "subject.ini", &between.address());
        let web = servers::daemun_web(scratch, "subject.conf", &port.address());
        Self { address: port.address(), _port: port, _socket_port: Some(between), _processes: vec![web, application] }
    }

    /// daemun behind.
    pub(super) fn nginx_and_daemun_app(scratch: &Scratch) -> Self {
        let port = Port::reserve();
        let socket = scratch.path("subject.sock");
        write_conf(scratch, "subject.conf", &port, &format!("unix:{}", socket.display()));
        write_ini(scratch, "subject.ini", &socket.display().to_string());
        let application = servers::daemun_app(scratch, "subject.ini", &Address::Unix(socket));
        let web = servers::nginx(scratch, "subject.conf", &port.address());
        Self { address: port.address(), _port: port, _socket_port: None, _processes: vec![web, application] }
    }

    /// daemun alone.
    pub(super) fn daemun_run(scratch: &Scratch) -> Self {
        let port = Port::reserve();
        let socket = scratch.path("subject.sock");
        write_conf(scratch, "subject.conf", &port, &format!("unix:{}", socket.display()));
        write_ini(scratch, "subject.ini", &socket.display().to_string());
        let both = servers::daemun_run(scratch, "subject.conf", "subject.ini", &port.address());
        Self { address: port.address(), _port: port, _socket_port: None, _processes: vec![both] }
    }
}

/// The files every pair serves. One folder for all, since an ETag is made of a file's time and size.
pub(super) fn write_site(scratch: &Scratch) {
    scratch.add_application("compare.py");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for (name, content) in [
        ("root/static/style.css", b"body { color: #123; }\n".to_vec()),
        ("root/static/page.html", b"<!doctype html><title>page</title>\n".to_vec()),
        ("root/static/bytes.bin", bytes),
        ("root/static/empty.txt", Vec::new()),
        ("root/static/no-extension", b"octets\n".to_vec()),
        ("root/static/UPPER.PNG", b"not really a picture\n".to_vec()),
        ("root/static/na\u{ef}ve \u{b300}\u{bb38}.txt", "대문\n".as_bytes().to_vec()),
        ("root/static/large.bin", vec![b'L'; 8 * 1024 * 1024]),
        ("root/docs/index.html", b"<!doctype html><title>index</title>\n".to_vec()),
        ("root/docs/deeper/page.html", b"<!doctype html><title>deeper</title>\n".to_vec()),
        ("root/error/404.html", b"<!doctype html><title>our own 404</title>\n".to_vec()),
        ("elsewhere/picture.svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n".to_vec()),
        ("root/secret/hidden.txt", b"nobody reads this\n".to_vec()),
    ] {
        let path = scratch.write(name, content);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_607_200);
        File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("the file is ours");
    }
    scratch.make_folder("root/nothing-here");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(scratch.path("root"), open).expect("the folder is ours");
}

fn write_conf(scratch: &Scratch, name: &str, port: &Port, application: &str) {
    let http = SITE.replace("ADDRESS", &port.address().to_string()).replace("APPLICATION", application);
    let conf = servers::nginx_conf(&http).replace("nginx.pid", &format!("{name}.pid"));
    scratch.write(name, conf);
}

fn write_ini(scratch: &Scratch, name: &str, socket: &str) {
    scratch.write(
        name,
        format!(
            "[uwsgi]
chdir = SCRATCH/app
module = compare:application
master = true
processes = 2
socket = {socket}
chmod-socket = 666
vacuum = true
buffer-size = 32768
env = COMPARE_FILE=SCRATCH/root/static/bytes.bin
"
        ),
    );
}

const SITE: &str = r#"
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    server_tokens off;
    sendfile on;

    server {
        listen ADDRESS;
        server_name example.test;
        root SCRATCH/root;
        charset utf-8;
        client_max_body_size 20m;

        location / {
            uwsgi_pass APPLICATION;
            include /etc/nginx/uwsgi_params;
        }

        location /static/ {
        }

        location /docs/ {
            index missing.html index.html;
        }

        location /pictures/ {
            alias SCRATCH/elsewhere/;
        }

        location /fallback/ {
            try_files $uri $uri/ /static/page.html;
        }

        location /returned {
            return 301 /echo/target;
        }

        location /teapot {
            return 418 "short and stout\n";
        }

        location /own-errors/ {
            alias SCRATCH/root/static/;
            error_page 404 /error/404.html;
        }

        location = /error/404.html {
            internal;
        }

        location /nothing-here/ {
        }

        location ~ \.hidden$ {
            return 403;
        }

        location /small-body {
            client_max_body_size 10;
            uwsgi_pass APPLICATION;
            include /etc/nginx/uwsgi_params;
        }

        location /unbuffered/ {
            uwsgi_buffering off;
            uwsgi_request_buffering off;
            uwsgi_pass APPLICATION;
            include /etc/nginx/uwsgi_params;
        }
    }

    server {
        listen ADDRESS;
        server_name other.test;
        location / {
            return 200 "the other server\n";
        }
    }
"#;
