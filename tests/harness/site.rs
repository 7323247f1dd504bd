//! The two usual subjects of a test: an application behind its own HTTP port, and a whole site.

use std::collections::BTreeSet;

use crate::process::{ProcessEntry, children_of};
use crate::{Address, Launch, Port, Process, Scratch, servers};

/// `daemun app` on a uwsgi.ini with an `http-socket`.
#[derive(Debug)]
pub struct Application {
    /// The running program.
    pub process: Process,
    /// Where it takes HTTP.
    pub address: Address,
    _port: Port,
}

impl Application {
    /// Starts `module` of `tests/wsgi`; `options` are further lines of the ini file.
    #[track_caller]
    pub fn start(scratch: &Scratch, module: &str, options: &str) -> Self {
        Self::launch(scratch, module, options, |launch| launch)
    }

    /// The same, with a last change to the way it is launched.
    #[track_caller]
    pub fn launch(scratch: &Scratch, module: &str, options: &str, change: impl FnOnce(Launch) -> Launch) -> Self {
        let port = Port::reserve();
        scratch.add_application(&format!("{module}.py"));
        scratch.write("app.ini", ini(module, &format!("http-socket = {}\n{options}", port.address())));
        let mut process = change(servers::app(scratch, "app.ini")).start();
        process.wait_for(&port.address());
        Self { process, address: port.address(), _port: port }
    }

    /// The application's worker processes.
    pub fn workers(&self) -> BTreeSet<i32> {
        let is_zygote = |entry: &ProcessEntry| entry.command.contains("python");
        let zygotes = self.process.children().into_iter().filter(is_zygote);
        let living = |entry: &ProcessEntry| entry.state != 'Z';
        zygotes.flat_map(|zygote| children_of(zygote.pid)).filter(living).map(|entry| entry.pid).collect()
    }
}

/// `daemun run` on an nginx.conf and a uwsgi.ini that name the same socket, `SCRATCH/site.sock`.
#[derive(Debug)]
pub struct Site {
    /// The running program.
    pub process: Process,
    /// Where it takes HTTP.
    pub address: Address,
    _port: Port,
}

impl Site {
    /// Starts `module` of `tests/wsgi` under `/`, with `server` as further directives of the server and `options` of the ini file.
    #[track_caller]
    pub fn start(scratch: &Scratch, server: &str, module: &str, options: &str) -> Self {
        let port = Port::reserve();
        scratch.add_application(&format!("{module}.py"));
        scratch.write("site.conf", conf(&port, server));
        scratch.write("site.ini", ini(module, &format!("socket = SCRATCH/site.sock\nchmod-socket = 666\n{options}")));
        let process = servers::daemun_run(scratch, "site.conf", "site.ini", &port.address());
        Self { process, address: port.address(), _port: port }
    }
}

/// `daemun web`, or the real nginx, on an nginx.conf with one server.
#[derive(Debug)]
pub struct Web {
    /// The running program.
    pub process: Process,
    /// Where it takes HTTP.
    pub address: Address,
    _port: Port,
}

impl Web {
    /// Starts it; `server` is what stands in the server block beside `listen`.
    #[track_caller]
    pub fn start(scratch: &Scratch, server: &str) -> Self {
        Self::start_by(servers::daemun_web, scratch, "", server)
    }

    /// Starts it with `http` before the server.
    #[track_caller]
    pub fn start_in(scratch: &Scratch, http: &str, server: &str) -> Self {
        Self::start_by(servers::daemun_web, scratch, http, server)
    }

    /// Starts the real nginx on the same.
    #[track_caller]
    pub fn nginx(scratch: &Scratch, server: &str) -> Self {
        Self::start_by(servers::nginx, scratch, "", server)
    }

    #[track_caller]
    fn start_by(start: fn(&Scratch, &str, &Address) -> Process, scratch: &Scratch, http: &str, server: &str) -> Self {
        let port = Port::reserve();
        let text = format!("{http}    server {{\n        listen {};\n{server}\n    }}", port.address());
        scratch.write("web.conf", servers::nginx_conf(&text));
        let process = start(scratch, "web.conf", &port.address());
        Self { process, address: port.address(), _port: port }
    }
}

/// Has daemun asked by `ask`, and the real nginx; both serve by `server`, each in a folder of its own that `fill` fills.
#[track_caller]
pub fn ask_both(server: &str, fill: impl Fn(&Scratch), ask: impl Fn(&Address)) {
    for (name, start) in [("daemun", Web::start as fn(&Scratch, &str) -> Web), ("nginx", Web::nginx)] {
        println!("{name} is asked");
        let scratch = Scratch::new();
        fill(&scratch);
        ask(&start(&scratch, server).address);
    }
}

/// A uwsgi.ini for `module` of the folder `app`.
pub fn ini(module: &str, options: &str) -> String {
    format!("[uwsgi]\nchdir = SCRATCH/app\nmodule = {module}:application\nmaster = true\nvacuum = true\n{options}\n")
}

/// An nginx.conf that hands everything but what `server` says otherwise to `SCRATCH/site.sock`.
pub fn conf(port: &Port, server: &str) -> String {
    let text = format!(
        "    include /etc/nginx/mime.types;
    server {{
        listen {};
        server_name example.test;
{server}
        location / {{
            uwsgi_pass unix:SCRATCH/site.sock;
            include /etc/nginx/uwsgi_params;
        }}
    }}",
        port.address()
    );
    servers::nginx_conf(&text)
}
