//! `index`: a path that ends in a slash is answered by a file within that directory.

use std::ffi::CStr;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_http::{Method, StatusCode};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::{Handler, Module, Outcome, Phase, Request, Template};
use rustix::io::Errno;

use crate::open_file::{self, OpenError, Reason};

/// Named once, in the program's list of modules; before `static_file`.
pub static MODULE: Module<Index> = Module {
    name: "index",
    directives: &[Directive {
        name: "index",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::AtLeast(1),
        default: "index.html",
        help: "file ...: what answers for a directory, the first that is there; a path stands at the end alone",
        set: set_index,
    }],
    merge: |parent, child| {
        if child.files.is_none() {
            child.files.clone_from(&parent.files);
        }
    },
    finish: nothing_to_finish,
    is_active: |_| true,
    phases: &[(Phase::Content, Handler::Sync(index))],
    filters: &[],
    variables: &[],
};

/// Settings of one location.
#[derive(Default)]
pub struct Index {
    files: Option<Arc<Vec<Template>>>,
}

fn set_index(conf: &mut Index, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    // A second `index` in the same block adds to the first, as in nginx.
    let files = Arc::make_mut(conf.files.get_or_insert_default());
    for at in 0..arguments.len() {
        let text = arguments.text(at)?;
        if text.is_empty() {
            return Err(ArgumentError::new(Some(at), format!("index \"{text}\" in \"index\" directive is invalid")));
        }
        if text.starts_with('/') && at + 1 < arguments.len() {
            arguments.warn_at(at, "only the last index in \"index\" directive should be absolute".to_owned());
        }
        files.push(daemun_server::config::setter::template(arguments, at)?);
    }
    Ok(())
}

/// Sends the request to the first file that is there.
fn index(conf: &Index, request: &mut Request) -> Outcome {
    let is_method = matches!(request.method(), Method::Get | Method::Head | Method::Post);
    if request.uri.last() != Some(&b'/') || !is_method {
        return Outcome::Continue;
    }
    match &conf.files {
        Some(files) => try_each(request, files.iter().map(|file| (file.as_constant().is_none(), file.value(request)))),
        None => try_each(request, std::iter::once((false, b"index.html".to_vec()))),
    }
}

/// `files` are values and whether variables stand in them.
fn try_each(request: &Request, files: impl Iterator<Item = (bool, Vec<u8>)>) -> Outcome {
    let mut is_directory_known = false;
    for (_, file) in files {
        if file.first() == Some(&b'/') {
            return Outcome::Redirect { uri: file, args: None };
        }
        let mut uri = Vec::with_capacity(request.uri.len() + file.len());
        uri.extend_from_slice(&request.uri);
        uri.extend_from_slice(&file);
        let looked = open_file::with_path(request, &uri, |path| match open_file::look_at(request, path) {
            Ok(_) => Ok(true),
            Err(error) => after_error(request, path, error, &mut is_directory_known).map(|()| false),
        });
        if request.is_explained() {
            let found = if matches!(looked, Some(Ok(true))) { "there" } else { "not there" };
            request.note(format_args!("the file for {} is {found}", String::from_utf8_lossy(&uri)));
        }
        match looked {
            Some(Ok(true)) => return Outcome::Redirect { uri, args: None },
            Some(Ok(false)) => {}
            Some(Err(status)) => return Outcome::Finish(status),
            None => return Outcome::Finish(StatusCode::NOT_FOUND),
        }
    }
    Outcome::Continue
}

/// Whether the next file may be tried after `error` at `path`; a status where the directory is not there at all.
fn after_error(
    request: &Request,
    path: &CStr,
    error: OpenError,
    is_directory_known: &mut bool,
) -> Result<(), StatusCode> {
    match error.errno {
        Errno::MLINK | Errno::LOOP => return Err(StatusCode::FORBIDDEN),
        Errno::NOTDIR | Errno::NAMETOOLONG | Errno::ACCESS => return Err(refuse(request, path, error.errno)),
        _ => {}
    }
    if !std::mem::replace(is_directory_known, true) {
        check_directory(request)?;
    }
    if error.errno == Errno::NOENT {
        return Ok(());
    }
    let shown = path.to_string_lossy();
    request.log(Level::Crit, format_args!("{} \"{shown}\" failed ({})", error.call, Reason(error.errno)));
    Err(StatusCode::INTERNAL_SERVER_ERROR)
}

fn check_directory(request: &Request) -> Result<(), StatusCode> {
    let checked = open_file::with_path(request, &request.uri, |path| {
        let shown = path.to_string_lossy();
        match open_file::look_at(request, path) {
            Ok(facts) if facts.is_directory() => Ok(()),
            Ok(_) => {
                request.log(Level::Alert, format_args!("\"{shown}\" is not a directory"));
                Err(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Err(error) => match error.errno {
                Errno::MLINK | Errno::LOOP => Err(StatusCode::FORBIDDEN),
                Errno::NOENT | Errno::NOTDIR | Errno::ACCESS => Err(refuse(request, path, error.errno)),
                errno => {
                    request.log(Level::Crit, format_args!("{} \"{shown}\" failed ({})", error.call, Reason(errno)));
                    Err(StatusCode::INTERNAL_SERVER_ERROR)
                }
            },
        }
    });
    checked.unwrap_or(Err(StatusCode::NOT_FOUND))
}

fn refuse(request: &Request, path: &CStr, errno: Errno) -> StatusCode {
    let shown = path.to_string_lossy();
    if errno == Errno::ACCESS {
        request.log(Level::Error, format_args!("\"{shown}\" is forbidden ({})", Reason(errno)));
        return StatusCode::FORBIDDEN;
    }
    if request.core().log_not_found() {
        request.log(Level::Error, format_args!("\"{shown}\" is not found ({})", Reason(errno)));
    }
    StatusCode::NOT_FOUND
}
