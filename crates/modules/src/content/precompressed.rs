//! `gzip_static`, `brotli_static`, `zstd_static`: a file's neighbour with `.gz`, `.br` or `.zst` behind its name in its place.

use std::ffi::CStr;

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_http::{HeaderId, Method, StatusCode};
use daemun_server::config::{GzipClients, HTTP_SERVER_LOCATION};
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::response::FilePart;
use daemun_server::{Body, Handler, Module, Outcome, Phase, Request, Response};

use crate::open_file::{self, Opened, Validators};

/// Named once, in the program's list of modules; between `dav` and `static_file`.
pub static MODULE: Module<Precompressed> = Module {
    name: "precompressed",
    directives: &[
        Directive {
            name: "gzip_static",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "off",
            help: "on|off|always: file.gz in place of file, for clients that take gzip, or for all",
            set: |conf, arguments| set_mode(&mut conf.gzip, arguments),
        },
        Directive {
            name: "brotli_static",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "off",
            help: "on|off|always: file.br in place of file, for clients that take brotli, or for all",
            set: |conf, arguments| set_mode(&mut conf.brotli, arguments),
        },
        Directive {
            name: "zstd_static",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "off",
            help: "on|off|always: file.zst in place of file, for clients that take zstd, or for all",
            set: |conf, arguments| set_mode(&mut conf.zstd, arguments),
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; gzip, brotli, zstd);
    },
    finish: nothing_to_finish,
    is_active: |conf| [conf.gzip, conf.brotli, conf.zstd].iter().any(|mode| mode.is_some_and(|mode| mode != Mode::Off)),
    phases: &[(Phase::Content, Handler::Sync(precompressed))],
    filters: &[vary],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Precompressed {
    gzip: Option<Mode>,
    brotli: Option<Mode>,
    zstd: Option<Mode>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    /// For clients that take the coding.
    On,
    /// Whatever the client says: `gunzip` unpacks gzip where it must.
    Always,
}

fn set_mode(setting: &mut Option<Mode>, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mode = arguments.choice(0, &[("off", Mode::Off), ("on", Mode::On), ("always", Mode::Always)])?;
    arguments.set_once(setting, mode)
}

/// A neighbour that may stand in the file's place.
#[derive(Clone, Copy)]
struct Neighbour {
    suffix: &'static [u8],
    coding: &'static str,
    mode: Mode,
    /// How much the client wants it; 0 where it does not take it.
    weight: u16,
}

impl Precompressed {
    /// What the client takes stands first, by how much it wants it and then by what is smallest as a rule; what all get stands
    /// behind it, and last what is only looked for, so that `Vary` can tell of it.
    fn neighbours(&self, request: &Request, allows: bool) -> [Neighbour; 3] {
        let neighbour = |suffix: &'static [u8], coding: &'static str, mode: Option<Mode>| {
            let weight = if allows { GzipClients::weight(request, coding) } else { 0 };
            Neighbour { suffix, coding, mode: mode.unwrap_or(Mode::Off), weight }
        };
        let mut all = [
            neighbour(b".br", "br", self.brotli),
            neighbour(b".zst", "zstd", self.zstd),
            neighbour(b".gz", "gzip", self.gzip),
        ];
        all.sort_by_key(|neighbour| {
            let is_last = neighbour.weight == 0 && neighbour.mode != Mode::Always;
            (std::cmp::Reverse(neighbour.weight), is_last)
        });
        all
    }
}

fn precompressed(conf: &Precompressed, request: &mut Request) -> Outcome {
    if !matches!(request.method(), Method::Get | Method::Head) || request.uri.last() == Some(&b'/') {
        return Outcome::Continue;
    }
    let response = Response::new(StatusCode::OK);
    let allows = request.core().gzip_clients.allows(request, &response);
    let varies = request.core().gzip_clients.varies();
    for Neighbour { suffix, coding, mode, weight } in conf.neighbours(request, allows) {
        let accepts = mode == Mode::Always || weight > 0;
        if mode == Mode::Off || !accepts && !varies {
            continue;
        }
        let asked: &Request = request;
        let uri = [&asked.uri, suffix].concat();
        let found = open_file::with_path(asked, &uri, |path| open(asked, path)).unwrap_or(Found::Nothing);
        if mode == Mode::On && !matches!(found, Found::Nothing) {
            request.varies_by_coding = true;
        }
        match found {
            Found::File { body, modified, validators } if accepts => {
                return answer(request, response, body, modified, &validators, coding);
            }
            Found::Special if accepts => return Outcome::Finish(StatusCode::NOT_FOUND),
            _ => {}
        }
    }
    Outcome::Continue
}

/// What stands at the neighbour's name.
enum Found {
    File {
        body: Body,
        modified: i64,
        validators: Validators,
    },
    /// A directory: the file itself answers.
    Directory,
    /// A socket, a pipe, a device.
    Special,
    /// Nothing that can be opened.
    Nothing,
}

fn open(request: &Request, path: &CStr) -> Found {
    match open_file::open(request, path) {
        Ok(Opened::File(file)) => Found::File {
            body: Body::File(FilePart { file: file.file, offset: 0, length: file.facts.size }),
            modified: file.facts.modified,
            validators: file.validators,
        },
        Ok(Opened::Small(small)) => Found::File {
            body: Body::Bytes(small.content),
            modified: small.facts.modified,
            validators: small.validators,
        },
        Ok(Opened::Directory) => Found::Directory,
        Ok(Opened::Other) => {
            request.log(Level::Crit, format_args!("\"{}\" is not a regular file", path.to_string_lossy()));
            Found::Special
        }
        Err(error) if error.is_missing() => Found::Nothing,
        Err(error) => {
            error.log(request, path);
            Found::Nothing
        }
    }
}

fn answer(
    request: &Request,
    mut response: Box<Response>,
    body: Body,
    modified: i64,
    validators: &Validators,
    coding: &str,
) -> Outcome {
    let headers = &mut response.head.headers;
    if let Some(content_type) = request.core().content_type(&request.uri) {
        headers.append_known(HeaderId::ContentType, content_type);
    }
    headers.append_known(HeaderId::LastModified, validators.last_modified());
    if request.core().etag() {
        headers.append_known(HeaderId::ETag, validators.etag());
    }
    headers.append_known(HeaderId::ContentEncoding, coding.as_bytes());
    response.last_modified = Some(modified);
    response.allows_ranges = true;
    response.body = body;
    Outcome::Respond(response)
}

/// A client that was asked for its codings gets an answer that says so, whichever file it was.
fn vary(_: &Precompressed, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    if request.varies_by_coding {
        request.core().gzip_clients.add_vary(&mut response);
    }
    response
}
