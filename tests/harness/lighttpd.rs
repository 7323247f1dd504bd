//! Debian's lighttpd, in the foreground, with a configuration of the test's own.

use crate::{Address, Launch, Port, Process, Scratch, programs};

/// Starts lighttpd; `directives` stand beside what it needs to run at all.
#[track_caller]
pub fn start(scratch: &Scratch, port: &Port, directives: &str) -> Process {
    let conf = format!(
        "server.document-root = \"SCRATCH\"
server.bind = \"127.0.0.1\"
server.port = {}
server.errorlog = \"SCRATCH/lighttpd.log\"
server.upload-dirs = ( \"SCRATCH\" )
server.modules = ( \"mod_fastcgi\", \"mod_scgi\" )
{directives}
",
        port.number()
    );
    let conf = scratch.write("lighttpd.conf", conf);
    let launch = Launch::new(scratch, "lighttpd", programs::lighttpd()).arg("-D").arg("-f").arg(conf);
    let mut process = launch.start();
    let address: Address = port.address();
    process.wait_for(&address);
    process
}
