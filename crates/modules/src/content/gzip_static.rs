//! `gzip_static`: a file's neighbour with `.gz` behind its name in its place.

use std::ffi::CStr;

use daemun_conf::{Arity, Directive};
use daemun_http::{HeaderId, Method, StatusCode};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::response::FilePart;
use daemun_server::{Body, Handler, Module, Outcome, Phase, Request, Response};

use crate::open_file::{self, Opened, Validators};

/// Named once, in the program's list of modules; between `index` and `static_file`.
pub static MODULE: Module<GzipStatic> = Module {
    name: "gzip_static",
    directives: &[Directive {
        name: "gzip_static",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "off",
        help: "on|off|always: file.gz in place of file, for clients that take gzip, or for all",
        set: |conf, arguments| {
            let mode = arguments.choice(0, &[("off", Mode::Off), ("on", Mode::On), ("always", Mode::Always)])?;
            arguments.set_once(&mut conf.mode, mode)
        },
    }],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; mode);
    },
    finish: nothing_to_finish,
    is_active: |conf| matches!(conf.mode, Some(Mode::On | Mode::Always)),
    phases: &[(Phase::Content, Handler::Sync(gzip_static))],
    filters: &[vary],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct GzipStatic {
    mode: Option<Mode>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    /// For clients that take gzip.
    On,
    /// Whatever the client says: `gunzip` unpacks it where it must.
    Always,
}

fn gzip_static(conf: &GzipStatic, request: &mut Request) -> Outcome {
    if !matches!(request.method(), Method::Get | Method::Head) || request.uri.last() == Some(&b'/') {
        return Outcome::Continue;
    }
    let is_asked = conf.mode == Some(Mode::On);
    let response = Response::new(StatusCode::OK);
    let clients = &request.core().gzip_clients;
    let accepts = !is_asked || clients.accepts(request, &response);
    if !accepts && !clients.varies() {
        return Outcome::Continue;
    }
    let asked: &Request = request;
    let uri = [&asked.uri, &b".gz"[..]].concat();
    let found = open_file::with_path(asked, &uri, |path| open(asked, path)).unwrap_or(Found::Nothing);
    if is_asked && !matches!(found, Found::Nothing) {
        request.varies_by_coding = true;
    }
    match found {
        Found::File { body, modified, validators } if accepts => answer(request, response, body, modified, &validators),
        Found::Special if accepts => Outcome::Finish(StatusCode::NOT_FOUND),
        _ => Outcome::Continue,
    }
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
    match open_file::open(request.core(), path) {
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
) -> Outcome {
    let headers = &mut response.head.headers;
    if let Some(content_type) = request.core().content_type(&request.uri) {
        headers.append_known(HeaderId::ContentType, content_type);
    }
    headers.append_known(HeaderId::LastModified, validators.last_modified());
    if request.core().etag() {
        headers.append_known(HeaderId::ETag, validators.etag());
    }
    headers.append_known(HeaderId::ContentEncoding, b"gzip");
    response.last_modified = Some(modified);
    response.allows_ranges = true;
    response.body = body;
    Outcome::Respond(response)
}

/// A client that was asked for its codings gets an answer that says so, whichever file it was.
fn vary(_: &GzipStatic, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    if request.varies_by_coding {
        request.core().gzip_clients.add_vary(&mut response);
    }
    response
}
