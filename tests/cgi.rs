//! Programs started for a request: `cgi_pass`, its environment, its four forms of an answer, its limits; git and gitweb.

mod answers;
mod environment;
mod limits;
mod mounts;
mod scripts;
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::{Scratch, Web};

/// Writes an executable file below `root`.
fn script(scratch: &Scratch, name: &str, text: &str) {
    let path = scratch.write(&format!("root/{name}"), text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
}

/// A server whose `/cgi/` runs what lies below `root/cgi`; `directives` stand in that location.
fn site(scratch: &Scratch, directives: &str) -> Web {
    let location = format!("root SCRATCH/root; location /cgi/ {{ cgi_pass on; {directives} }}");
    Web::start(scratch, &location)
}
