//! The same application behind other web servers: nginx and Apache hand requests on by FastCGI, SCGI and uwsgi.

mod fastcgi;
mod fronts;
mod scgi;

use harness::{Port, Process, Scratch, servers, site};

/// An application that listens by one of the protocols.
struct Application {
    port: Port,
    process: Process,
    scratch: Scratch,
}

/// Starts `pep3333` with `option`, such as `fastcgi-socket`.
fn application(option: &str) -> Application {
    let scratch = Scratch::new();
    scratch.add_application("pep3333.py");
    let port = Port::reserve();
    let options = format!("{option} = {}\nprocesses = 1\nthreads = 2\nenv = EVENTS=SCRATCH/events", port.address());
    scratch.write("app.ini", site::ini("pep3333", &options));
    let process = servers::daemun_app(&scratch, "app.ini", &port.address());
    Application { port, process, scratch }
}
