//! daemun and the real nginx side by side, on one configuration.

use std::fmt::Debug;

use crate::{Address, Port, Process, Scratch, servers};

/// Both servers, each in a folder of its own.
#[derive(Debug)]
pub struct Beside {
    /// Where daemun listens.
    pub ours: Address,
    /// Where nginx listens.
    pub nginx: Address,
    _processes: (Process, Process),
    _ports: (Port, Port),
    scratches: (Scratch, Scratch),
}

impl Beside {
    /// Starts both on `http`, the text inside the `http` block, in which `LISTEN` stands for the address; `prepare`
    /// fills each one's folder.
    #[track_caller]
    pub fn start(http: &str, prepare: impl Fn(&Scratch)) -> Self {
        let scratches = (Scratch::new(), Scratch::new());
        let ports = (Port::reserve(), Port::reserve());
        for (scratch, port) in [(&scratches.0, &ports.0), (&scratches.1, &ports.1)] {
            prepare(scratch);
            let text = http.replace("LISTEN", &port.address().to_string());
            scratch.write("web.conf", servers::nginx_conf(&text));
        }
        let (ours, nginx) = (ports.0.address(), ports.1.address());
        let processes =
            (servers::daemun_web(&scratches.0, "web.conf", &ours), servers::nginx(&scratches.1, "web.conf", &nginx));
        Self { ours, nginx, _processes: processes, _ports: ports, scratches }
    }

    /// daemun's folder and nginx's.
    pub fn folders(&self) -> (&Scratch, &Scratch) {
        (&self.scratches.0, &self.scratches.1)
    }

    /// What `ask` says of daemun, which must be what it says of nginx.
    #[track_caller]
    pub fn agreed<T: Debug + PartialEq>(&self, what: &str, ask: impl Fn(&Address) -> T) -> T {
        let (ours, nginx) = (ask(&self.ours), ask(&self.nginx));
        assert_eq!(ours, nginx, "{what}: ours on the left, nginx's on the right");
        ours
    }
}
