//! The module `uwsgi` that applications import: the same application asks daemun and uWSGI itself.

mod attributes;
mod caches;
mod decorators;
mod locks;
mod mules;
mod signals;
mod spooler;

use harness::{Address, Port, Process, Request, Scratch, Site, servers, site, table};

/// A server that runs `uwsgi_module.py`, or another application of that kind.
struct Server {
    process: Process,
    address: Address,
    _port: Port,
}

impl Server {
    /// `daemun app` with further options.
    fn ours(scratch: &Scratch, options: &str) -> Self {
        Self::start(servers::daemun_app, scratch, "uwsgi_module", options)
    }

    /// The real uWSGI with the same.
    fn uwsgi(scratch: &Scratch, options: &str) -> Self {
        Self::start(servers::uwsgi, scratch, "uwsgi_module", options)
    }

    fn start(start: fn(&Scratch, &str, &Address) -> Process, scratch: &Scratch, module: &str, options: &str) -> Self {
        let port = Port::reserve();
        scratch.add_application(&format!("{module}.py"));
        let address = port.address();
        scratch.write("app.ini", site::ini(module, &format!("http-socket = {address}\n{options}")));
        let process = start(scratch, "app.ini", &address);
        Self { process, address, _port: port }
    }

    /// What an expression comes to in a worker, or what statements leave in `answer`.
    #[track_caller]
    fn ask(&self, text: &str) -> String {
        Request::post("/", "text/plain", text).send(&self.address).text()
    }
}

/// Asks both servers, with the same options, each of these in turn.
#[track_caller]
fn agreed(options: &str, texts: &[&str]) {
    let scratches = (Scratch::new(), Scratch::new());
    let ours = Server::ours(&scratches.0, options);
    let theirs = Server::uwsgi(&scratches.1, options);
    table::assert_each(texts, |text| {
        let (ours, theirs) = (ours.ask(text), theirs.ask(text));
        (ours != theirs).then(|| format!("{text}\n  daemun: {ours}\n  uWSGI:  {theirs}"))
    });
}

/// The module is there for whatever is imported in the pool, and for nobody else.
#[test]
fn there_is_a_module_in_the_pool_alone() {
    let scratch = Scratch::new();
    scratch
        .write("app/named.py", "import uwsgi\ndef application(e, s):\n    s('200 OK', [])\n    return [b'served']\n");
    let site = Site::start(&scratch, "", "uwsgi_module", "import = named\n");
    let asked = Request::post("/", "text/plain", "uwsgi.worker_id()").send(&site.address);
    assert_eq!(asked.text(), "1");
    let outside = std::process::Command::new(harness::programs::python()).args(["-c", "import uwsgi"]).output();
    assert!(!outside.expect("Python runs").status.success());
}
