//! Starts the programs the tests are about, each from a scratch folder, and waits until they answer.

use rustix::process::geteuid;

use crate::{Address, Launch, Process, Scratch, programs};

/// The `user` directive a server needs to reach the scratch folder: root keeps being root, others have nothing to say.
pub fn user_directive() -> &'static str {
    if geteuid().is_root() { "user root;" } else { "" }
}

/// The same for a uwsgi.ini: without it, real uWSGI warns and goes on as root, which is what is wanted.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// An nginx.conf around `http`, the text inside the `http` block; every path it needs lies in the scratch folder.
pub fn nginx_conf(http: &str) -> String {
    let user = user_directive();
    format!(
        "{user}
worker_processes 1;
daemon off;
pid SCRATCH/nginx.pid;
error_log SCRATCH/error.log info;

events {{
    worker_connections 4096;
}}

http {{
    access_log SCRATCH/access.log;
    client_body_temp_path SCRATCH/temporary-body;
    proxy_temp_path SCRATCH/temporary-proxy;
    fastcgi_temp_path SCRATCH/temporary-fastcgi;
    uwsgi_temp_path SCRATCH/temporary-uwsgi;
    scgi_temp_path SCRATCH/temporary-scgi;
{http}
}}
"
    )
}

/// Starts the real nginx on `conf` in the scratch folder.
#[track_caller]
pub fn nginx(scratch: &Scratch, conf: &str, ready: &Address) -> Process {
    started(nginx_launch(scratch, conf), ready)
}

/// The real nginx, asked what it thinks of `conf` in the scratch folder; not yet started.
#[track_caller]
pub fn nginx_check(scratch: &Scratch, conf: &str) -> Launch {
    nginx_launch(scratch, conf).arg("-t")
}

#[track_caller]
fn nginx_launch(scratch: &Scratch, conf: &str) -> Launch {
    let launch = Launch::new(scratch, "nginx", programs::nginx());
    launch.arg("-p").arg(scratch.folder()).arg("-e").arg(scratch.path("error.log")).arg("-c").arg(scratch.path(conf))
}

/// Starts the real uWSGI on `ini` in the scratch folder.
#[track_caller]
pub fn uwsgi(scratch: &Scratch, ini: &str, ready: &Address) -> Process {
    let launch = Launch::new(scratch, "uwsgi", programs::peer("uwsgi"));
    started(launch.arg("--ini").arg(scratch.path(ini)), ready)
}

/// Starts `daemun web`.
#[track_caller]
pub fn daemun_web(scratch: &Scratch, conf: &str, ready: &Address) -> Process {
    started(web(scratch, conf), ready)
}

/// Starts `daemun app` on an ini file.
#[track_caller]
pub fn daemun_app(scratch: &Scratch, ini: &str, ready: &Address) -> Process {
    started(app(scratch, ini), ready)
}

/// Starts `daemun run` on an nginx.conf and an ini file.
#[track_caller]
pub fn daemun_run(scratch: &Scratch, conf: &str, ini: &str, ready: &Address) -> Process {
    started(run(scratch, conf, ini), ready)
}

/// `daemun web`, not yet started.
#[track_caller]
pub fn web(scratch: &Scratch, conf: &str) -> Launch {
    daemun(scratch).arg("web").arg("-p").arg(scratch.folder()).arg("-c").arg(scratch.path(conf))
}

/// `daemun app`, not yet started.
#[track_caller]
pub fn app(scratch: &Scratch, ini: &str) -> Launch {
    daemun(scratch).arg("app").arg("--ini").arg(scratch.path(ini))
}

/// `daemun run`, not yet started.
#[track_caller]
pub fn run(scratch: &Scratch, conf: &str, ini: &str) -> Launch {
    let launch = daemun(scratch).arg("run").arg("-p").arg(scratch.folder()).arg("-c").arg(scratch.path(conf));
    launch.arg("--ini").arg(scratch.path(ini))
}

/// `daemun` without arguments, not yet started.
#[track_caller]
pub fn daemun(scratch: &Scratch) -> Launch {
    Launch::new(scratch, "daemun", programs::daemun())
}

#[track_caller]
fn started(launch: Launch, ready: &Address) -> Process {
    let mut process = launch.start();
    process.wait_for(ready);
    process
}
