//! `random_index`: a path that ends in a slash is answered by any one of the files in that directory.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use daemun_conf::{Arity, Context, Directive};
use daemun_http::{Method, StatusCode};
use daemun_server::module::nothing_to_finish;
use daemun_server::{Handler, Module, Outcome, Phase, Request, thread};

use crate::open_file;

/// Named once, in the program's list of modules; before `index`.
pub static MODULE: Module<RandomIndex> = Module {
    name: "random_index",
    directives: &[Directive {
        name: "random_index",
        contexts: Context::LOCATION,
        arity: Arity::Flag,
        default: "off",
        help: "on|off: a directory is answered by any one of its files",
        set: |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.is_on, flag)
        },
    }],
    merge: |parent, child| child.is_on = child.is_on.or(parent.is_on),
    finish: nothing_to_finish,
    is_active: |conf| conf.is_on == Some(true),
    phases: &[(Phase::Content, Handler::Sync(random_index))],
    filters: &[],
    variables: &[],
};

/// Settings of one location.
#[derive(Debug, Default)]
pub struct RandomIndex {
    is_on: Option<bool>,
}

fn random_index(_: &RandomIndex, request: &mut Request) -> Outcome {
    let is_method = matches!(request.method(), Method::Get | Method::Head | Method::Post);
    if request.uri.last() != Some(&b'/') || !is_method {
        return Outcome::Continue;
    }
    let asked: &Request = request;
    let chosen = open_file::with_path(asked, &asked.uri, |path| {
        choose(path).map_err(|error| open_file::refuse_listing(asked, path, &error))
    });
    match chosen {
        Some(Ok(Some(name))) => Outcome::Redirect { uri: [request.uri.as_slice(), &name].concat(), args: None },
        Some(Ok(None)) => Outcome::Continue,
        Some(Err(status)) => Outcome::Finish(status),
        None => Outcome::Finish(StatusCode::NOT_FOUND),
    }
}

/// Any one regular file of the directory, hidden ones apart; each is as likely as the others.
fn choose(path: &CStr) -> io::Result<Option<Vec<u8>>> {
    let folder = Path::new(OsStr::from_bytes(path.to_bytes()));
    let mut chosen = None;
    let mut seen: u64 = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // A link is what it leads to; one that leads nowhere is nothing.
        let is_file = || fs::metadata(entry.path()).is_ok_and(|facts| facts.is_file());
        if name.as_bytes().starts_with(b".") || !is_file() {
            continue;
        }
        seen += 1;
        if thread::random().is_multiple_of(seen) {
            chosen = Some(name.into_vec());
        }
    }
    Ok(chosen)
}
