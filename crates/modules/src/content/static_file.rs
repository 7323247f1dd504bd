//! Files below `root` or `alias`: the last of the content handlers, which answers whatever nobody else did.

use std::ffi::CStr;

use daemun_http::{HeaderId, Method, StatusCode};
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::response::FilePart;
use daemun_server::{Body, Handler, Module, Outcome, Phase, Request, Response};

use crate::open_file::{self, Opened, Validators};

/// Named once, in the program's list of modules. Its settings are the http core's.
pub static MODULE: Module<StaticFile> = Module {
    name: "static_file",
    directives: &[],
    merge: |_, _| {},
    finish: nothing_to_finish,
    is_active: |_| true,
    phases: &[(Phase::Content, Handler::Sync(static_file))],
    filters: &[],
    variables: &[],
};

/// No settings of its own.
#[derive(Debug, Default)]
pub struct StaticFile;

/// Answers with the file that the request's path names.
///
/// A path that ends in a slash is refused: the handlers before this one would have listed the directory if they might.
fn static_file(_: &StaticFile, request: &mut Request) -> Outcome {
    if !matches!(request.method(), Method::Get | Method::Head | Method::Post) {
        return Outcome::Finish(StatusCode::METHOD_NOT_ALLOWED);
    }
    let asked: &Request = request;
    let found = open_file::with_path(asked, &asked.uri, |path| {
        asked.note(format_args!("file {}", path.to_string_lossy()));
        match asked.uri.last() {
            Some(b'/') => Err(refuse_directory(asked, path)),
            _ => open(asked, path),
        }
    });
    match found {
        Some(Ok(Found::File { body, modified, validators })) => answer(request, body, modified, &validators, None),
        Some(Ok(Found::Directory)) => Outcome::Respond(daemun_server::redirect::to_folder(request)),
        Some(Err(status)) => Outcome::Finish(status),
        None => Outcome::Finish(StatusCode::NOT_FOUND),
    }
}

/// What a path without a slash at its end may name.
pub(super) enum Found {
    File { body: Body, modified: i64, validators: Validators },
    Directory,
}

pub(super) fn open(request: &Request, path: &CStr) -> Result<Found, StatusCode> {
    match open_file::open(request, path) {
        Ok(Opened::File(_) | Opened::Small(_)) if *request.method() == Method::Post => {
            Err(StatusCode::METHOD_NOT_ALLOWED)
        }
        Ok(Opened::File(file)) => {
            let body = match file.facts.size {
                0 => Body::Empty,
                length => Body::File(FilePart { file: file.file, offset: 0, length }),
            };
            Ok(Found::File { body, modified: file.facts.modified, validators: file.validators })
        }
        Ok(Opened::Small(small)) => Ok(Found::File {
            body: Body::Bytes(small.content),
            modified: small.facts.modified,
            validators: small.validators,
        }),
        Ok(Opened::Directory) => Ok(Found::Directory),
        Ok(Opened::Other) => {
            request.log(Level::Crit, format_args!("\"{}\" is not a regular file", path.to_string_lossy()));
            Err(StatusCode::NOT_FOUND)
        }
        Err(error) => {
            error.log(request, path);
            Err(error.status())
        }
    }
}

fn refuse_directory(request: &Request, path: &CStr) -> StatusCode {
    request.log(Level::Error, format_args!("directory index of \"{}\" is forbidden", path.to_string_lossy()));
    StatusCode::FORBIDDEN
}

/// The answer that the file is; `content_type` where it is not the location that knows it.
pub(super) fn answer(
    request: &mut Request,
    body: Body,
    modified: i64,
    validators: &Validators,
    content_type: Option<&[u8]>,
) -> Outcome {
    let mut response = Response::new(StatusCode::OK);
    // The fields of the answer before, which the log has seen, lend their memory.
    let mut headers = std::mem::take(&mut request.sent.headers);
    headers.clear();
    let core = request.core();
    if let Some(content_type) = content_type.or_else(|| core.content_type(&request.uri)) {
        headers.append_known(HeaderId::ContentType, content_type);
    }
    // An error page is not what was asked for: its age is nobody's business.
    if request.error_status.is_none_or(|status| status == StatusCode::OK) {
        headers.append_known(HeaderId::LastModified, validators.last_modified());
        response.last_modified = Some(modified);
    }
    if core.etag() {
        headers.append_known(HeaderId::ETag, validators.etag());
    }
    response.head.headers = headers;
    response.allows_ranges = true;
    response.body = body;
    Outcome::Respond(response)
}
