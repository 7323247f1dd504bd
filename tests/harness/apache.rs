//! Debian's Apache, in the foreground, with a configuration of the test's own.

use crate::{Address, Launch, Port, Process, Scratch, programs};

/// Modules that any of the tests' configurations needs.
const MODULES: &[&str] =
    &["mpm_event", "authz_core", "env", "setenvif", "proxy", "proxy_fcgi", "proxy_scgi", "proxy_uwsgi", "proxy_http"];

/// Starts Apache; `directives` stand beside what it needs to run at all.
#[track_caller]
pub fn start(scratch: &Scratch, port: &Port, directives: &str) -> Process {
    let modules: String = MODULES
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    let conf = format!(
        "ServerRoot SCRATCH
ServerName example.test
Listen {}
PidFile SCRATCH/apache.pid
ErrorLog SCRATCH/apache.log
LogLevel warn
User www-data
Group www-data
Mutex pthread
{modules}
StartServers 1
MinSpareThreads 1
MaxSpareThreads 25
ThreadsPerChild 25
MaxRequestWorkers 25
{directives}
",
        port.address()
    );
    let conf = scratch.write("apache.conf", conf);
    let launch = Launch::new(scratch, "apache", programs::apache()).arg("-f").arg(conf).arg("-DFOREGROUND");
    let mut process = launch.start();
    let address: Address = port.address();
    process.wait_for(&address);
    process
}
