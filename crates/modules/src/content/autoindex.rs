//! `autoindex`: a path that ends in a slash is answered by a list of what is in that directory.

mod page;

use std::ffi::{CStr, OsStr};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use daemun_conf::{Arity, Directive};
use daemun_http::{Method, StatusCode};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::{Handler, Module, Outcome, Phase, Request, Response};
use rustix::io::Errno;

use crate::open_file;

/// Named once, in the program's list of modules; behind `index`.
pub static MODULE: Module<AutoIndex> = Module {
    name: "autoindex",
    directives: &[
        Directive {
            name: "autoindex",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: a directory without an index is answered by the list of what is in it",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.is_on, flag)
            },
        },
        Directive {
            name: "autoindex_format",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "html",
            help: "html|xml|json|jsonp: the form of the list",
            set: |conf, arguments| {
                let format = arguments.choice(
                    0,
                    &[
                        ("html", Format::Html),
                        ("xml", Format::Xml),
                        ("json", Format::Json),
                        ("jsonp", Format::JsonWithCallback),
                    ],
                )?;
                arguments.set_once(&mut conf.format, format)
            },
        },
        Directive {
            name: "autoindex_exact_size",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "on",
            help: "on|off: sizes in octets, or rounded to K, M and G; html alone",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.has_exact_size, flag)
            },
        },
        Directive {
            name: "autoindex_localtime",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: times in the local zone, or in UTC; html alone",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.has_local_time, flag)
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; is_on, format, has_exact_size, has_local_time);
    },
    finish: nothing_to_finish,
    is_active: |conf| conf.is_on == Some(true),
    phases: &[(Phase::Content, Handler::Sync(autoindex))],
    filters: &[],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct AutoIndex {
    is_on: Option<bool>,
    format: Option<Format>,
    has_exact_size: Option<bool>,
    has_local_time: Option<bool>,
}

#[derive(Clone, Copy)]
enum Format {
    Html,
    Xml,
    Json,
    /// As a call of the function that the argument `callback` names, where it does.
    JsonWithCallback,
}

/// Something in the directory.
struct Entry {
    name: Vec<u8>,
    kind: Kind,
    /// Time of last change in Unix seconds.
    modified: i64,
    /// Octets.
    size: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Directory,
    File,
    /// A socket, a pipe, a device, a link that leads nowhere.
    Other,
}

fn autoindex(conf: &AutoIndex, request: &mut Request) -> Outcome {
    if request.uri.last() != Some(&b'/') || !matches!(request.method(), Method::Get | Method::Head) {
        return Outcome::Continue;
    }
    let asked: &Request = request;
    let callback = asked.argument(b"callback").filter(|name| !name.is_empty());
    if let (Some(Format::JsonWithCallback), Some(name)) = (conf.format, callback)
        && !is_callback(name)
    {
        asked.log(Level::Info, format_args!("client sent invalid callback name: \"{}\"", name.escape_ascii()));
        return Outcome::Finish(StatusCode::BAD_REQUEST);
    }
    let listed = open_file::with_path(asked, &asked.uri, |path| {
        list(asked, without_slash(path)).map_err(|error| open_file::refuse_listing(asked, path, &error))
    });
    match listed {
        Some(Ok(entries)) => Outcome::Respond(answer(conf, asked, callback, &entries)),
        Some(Err(status)) => Outcome::Finish(status),
        None => Outcome::Finish(StatusCode::NOT_FOUND),
    }
}

/// What a script may name a function by.
fn is_callback(name: &[u8]) -> bool {
    name.len() <= CALLBACK_BYTES_MAX
        && name.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'.'))
}

const CALLBACK_BYTES_MAX: usize = 128;

fn without_slash(path: &CStr) -> &Path {
    let octets = path.to_bytes();
    let bare = octets.strip_suffix(b"/").filter(|bare| !bare.is_empty()).unwrap_or(octets);
    Path::new(OsStr::from_bytes(bare))
}

/// What is in the directory, hidden names apart: directories first, each kind by name.
fn list(request: &Request, path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().into_vec();
        if name.starts_with(b".") {
            continue;
        }
        if entries.len() == ENTRIES_MAX {
            return Err(io::Error::from_raw_os_error(Errno::TOOBIG.raw_os_error()));
        }
        if let Some(facts) = look_at(request, &entry.path())? {
            entries.push(Entry::new(name, &facts));
        }
    }
    entries.sort_unstable_by(|one, other| {
        let is_file = |entry: &Entry| entry.kind != Kind::Directory;
        is_file(one).cmp(&is_file(other)).then_with(|| one.name.cmp(&other.name))
    });
    Ok(entries)
}

/// A link is what it leads to, and itself where it leads nowhere. `None` for what may not be looked at.
fn look_at(request: &Request, path: &Path) -> io::Result<Option<Metadata>> {
    let error = match fs::metadata(path) {
        Ok(facts) => return Ok(Some(facts)),
        Err(error) => error,
    };
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::LOOP) => match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None), // It has just been removed.
            facts => facts.map(Some),
        },
        errno => {
            let reason = open_file::Reason(errno.unwrap_or(Errno::IO));
            request.log(Level::Crit, format_args!("stat() \"{}\" failed ({reason})", path.display()));
            if errno == Some(Errno::ACCESS) { Ok(None) } else { Err(error) }
        }
    }
}

impl Entry {
    fn new(name: Vec<u8>, facts: &Metadata) -> Self {
        let kind = match facts.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_file() => Kind::File,
            _ => Kind::Other,
        };
        Self { name, kind, modified: facts.mtime(), size: facts.size() }
    }
}

fn answer(conf: &AutoIndex, request: &Request, callback: Option<&[u8]>, entries: &[Entry]) -> Box<Response> {
    let (content_type, text) = match conf.format.unwrap_or(Format::Html) {
        Format::Html => {
            let form = page::Form {
                has_exact_size: conf.has_exact_size.unwrap_or(true),
                has_local_time: conf.has_local_time.unwrap_or(false),
            };
            ("text/html", page::html(&request.uri, entries, &form))
        }
        Format::Xml => ("text/xml; charset=utf-8", page::xml(entries)),
        Format::JsonWithCallback if callback.is_some() => ("application/javascript", page::json(entries, callback)),
        Format::Json | Format::JsonWithCallback => ("application/json", page::json(entries, None)),
    };
    Response::with_text(StatusCode::OK, content_type, text)
}

/// Entries of a directory that is listed; more are refused, since all of them are held in memory.
const ENTRIES_MAX: usize = 100_000;
