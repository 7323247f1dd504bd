//! `dav_methods`: files are written, removed, copied and moved by request, folders made: WebDAV as far as nginx has it.
//!
//! A file appears under its name only when it is whole. Trees are worked through bit by bit, so that others have their turn; a
//! client that goes away in the middle of one leaves it half done.

mod access;
mod destination;
mod draft;
mod refusal;
mod transfer;
mod tree;

use std::fs;
use std::future::poll_fn;
use std::io::Write;
use std::path::PathBuf;
use std::task::Poll;

use daemun_conf::{Arity, Directive};
use daemun_http::{Framing, HeaderId, Method, StatusCode, date, target};
use daemun_server::body::PassageError;
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::phase::LocalFuture;
use daemun_server::{Handler, Module, Outcome, Phase, Request, Response};

use self::access::{DAV_ACCESS, folder_mode};
use self::draft::Draft;
use self::refusal::refuse;
use crate::open_file;

/// Named once, in the program's list of modules; between `autoindex` and `gzip_static`.
pub static MODULE: Module<Dav> = Module {
    name: "dav",
    directives: &[
        Directive {
            name: "dav_methods",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::AtLeast(1),
            default: "off",
            help: "off | PUT|DELETE|MKCOL|COPY|MOVE ...: methods of WebDAV that are obeyed",
            set: |conf, arguments| {
                let choices = [
                    ("off", None),
                    ("put", Some(DavMethod::Put)),
                    ("delete", Some(DavMethod::Delete)),
                    ("mkcol", Some(DavMethod::MakeFolder)),
                    ("copy", Some(DavMethod::Copy)),
                    ("move", Some(DavMethod::Move)),
                ];
                for position in 0..arguments.len() {
                    let method = arguments.choice(position, &choices)?;
                    conf.methods.get_or_insert_default().extend(method);
                }
                Ok(())
            },
        },
        Directive {
            name: "create_full_put_path",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: PUT makes the folders above its file",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.creates_path, flag)
            },
        },
        Directive {
            name: "min_delete_depth",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "0",
            help: "number: DELETE is for paths with so many parts at least",
            set: |conf, arguments| {
                let depth = arguments.number(0, 0..=u64::MAX)?;
                arguments.set_once(&mut conf.delete_depth_min, depth)
            },
        },
        DAV_ACCESS,
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; methods, creates_path, delete_depth_min, access);
    },
    finish: nothing_to_finish,
    is_active: |conf| conf.methods.as_ref().is_some_and(|methods| !methods.is_empty()),
    phases: &[(Phase::Content, Handler::Async(dav))],
    filters: &[],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Dav {
    methods: Option<Vec<DavMethod>>,
    creates_path: Option<bool>,
    delete_depth_min: Option<u64>,
    /// Permissions of files.
    access: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DavMethod {
    Put,
    Delete,
    MakeFolder,
    Copy,
    Move,
}

impl DavMethod {
    fn of(method: &Method) -> Option<Self> {
        Some(match method {
            Method::Put => Self::Put,
            Method::Delete => Self::Delete,
            Method::Mkcol => Self::MakeFolder,
            Method::Copy => Self::Copy,
            Method::Move => Self::Move,
            _ => return None,
        })
    }
}

fn dav<'a>(conf: &'a Dav, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
    let obeyed =
        DavMethod::of(request.method()).filter(|method| conf.methods.iter().flatten().any(|own| own == method));
    let Some(method) = obeyed else { return Box::pin(std::future::ready(Outcome::Continue)) };
    if request.is_explained() {
        let path = path_of(request, &request.uri).unwrap_or_default();
        let name = request.method().as_str();
        let outcome = request.answered_by(format_args!("{name} of {} would be obeyed", path.display()));
        return Box::pin(std::future::ready(outcome));
    }
    Box::pin(async move {
        let done = match method {
            DavMethod::Put => put(conf, request).await,
            DavMethod::Delete => delete(conf, request).await,
            DavMethod::MakeFolder => make_folder(conf, request),
            DavMethod::Copy => transfer::copy(conf, request).await,
            DavMethod::Move => transfer::rename(conf, request).await,
        };
        done.unwrap_or_else(|refusal| refusal)
    })
}

impl Dav {
    /// Permissions of files.
    fn file_mode(&self) -> u32 {
        self.access.unwrap_or(0o600)
    }
}

/// The file for `uri`, or what the handler ends with.
fn path_of(request: &Request, uri: &[u8]) -> Result<PathBuf, Outcome> {
    use std::os::unix::ffi::OsStringExt;
    let path = open_file::with_path(request, uri, |path| path.to_bytes().to_vec());
    let mut path = path.ok_or(Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR))?;
    while path.len() > 1 && path.last() == Some(&b'/') {
        path.pop();
    }
    Ok(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

fn is_folder(uri: &[u8]) -> bool {
    uri.last() == Some(&b'/')
}

/// Refuses with a line in the log.
fn refused(request: &Request, status: StatusCode, message: std::fmt::Arguments<'_>) -> Outcome {
    request.log(Level::Error, message);
    Outcome::Finish(status)
}

/// Methods whose request says all in its head.
fn expect_no_body(request: &Request, message: &str) -> Result<(), Outcome> {
    match request.head.framing() {
        Framing::None | Framing::Length(0) => Ok(()),
        _ => Err(refused(request, StatusCode::UNSUPPORTED_MEDIA_TYPE, format_args!("{message}"))),
    }
}

/// The answer to what made something: 201 with the place where it is.
fn created(request: &Request) -> Outcome {
    let mut response = Response::new(StatusCode::CREATED);
    let mut location = Vec::with_capacity(request.uri.len());
    target::escape_uri(&request.uri, &mut location);
    daemun_server::redirect::set_location(request, &mut response, &location);
    Outcome::Respond(response)
}

fn done() -> Outcome {
    Outcome::Respond(Response::new(StatusCode::NO_CONTENT))
}

async fn put(conf: &Dav, request: &mut Request) -> Result<Outcome, Outcome> {
    if is_folder(&request.uri) {
        return Err(refused(request, StatusCode::CONFLICT, format_args!("cannot PUT to a collection")));
    }
    if request.headers().has(HeaderId::ContentRange) {
        return Err(refused(request, StatusCode::NOT_IMPLEMENTED, format_args!("PUT with range is unsupported")));
    }
    let path = path_of(request, &request.uri)?;
    let is_new = match fs::metadata(&path) {
        Ok(facts) if facts.is_dir() => {
            let message = format_args!("\"{}\" could not be created (21: Is a directory)", path.display());
            return Err(refused(request, StatusCode::CONFLICT, message));
        }
        found => found.is_err(),
    };
    let folders = conf.creates_path.unwrap_or(false).then(|| folder_mode(conf.file_mode()));
    // nginx finds out that there is no such folder when all of the body is there, and answers 500.
    let draft = Draft::create(&path, folders);
    let mut draft = draft.map_err(|error| refuse(request, "open()", &path, &error, StatusCode::CONFLICT))?;
    write_body(request, &mut draft).await?;
    let date = request.headers().first(HeaderId::Date).and_then(date::parse_http_date);
    let published = draft.publish(&path, Some(conf.file_mode()), date);
    published.map_err(|error| refuse(request, "rename()", &path, &error, StatusCode::CONFLICT))?;
    Ok(if is_new { created(request) } else { done() })
}

/// Writes the request's body as it comes; one that has been read already from where it is.
async fn write_body(request: &mut Request, draft: &mut Draft) -> Result<(), Outcome> {
    if let Some(mut passage) = request.share_body() {
        let file = draft.file();
        let moved = poll_fn(|context| {
            passage.poll(context, |_, octets| Poll::Ready(file.write_all(octets).map(|()| octets.len())))
        });
        return match moved.await {
            Ok(()) => Ok(()),
            Err(PassageError::Client(error)) => Err(request.refuse_body(&error)),
            Err(PassageError::Sink(error)) => {
                Err(refuse(request, "write()", draft.path(), &error, StatusCode::CONFLICT))
            }
        };
    }
    let written = match (request.body.in_file(), request.body.in_memory()) {
        (Some(file), _) => tree::copy_octets(&file.descriptor, draft.file()).await,
        (None, octets) => draft.file().write_all(octets.unwrap_or_default()),
    };
    written.map_err(|error| refuse(request, "write()", draft.path(), &error, StatusCode::CONFLICT))
}

async fn delete(conf: &Dav, request: &mut Request) -> Result<Outcome, Outcome> {
    expect_no_body(request, "DELETE with body is unsupported")?;
    let least = conf.delete_depth_min.unwrap_or(0);
    let depth = depth_of(&request.uri);
    if depth < least {
        let message = format_args!("insufficient URI depth:{depth} to DELETE");
        return Err(refused(request, StatusCode::CONFLICT, message));
    }
    let path = path_of(request, &request.uri)?;
    let facts = fs::symlink_metadata(&path);
    let facts = facts.map_err(|error| refuse(request, "lstat()", &path, &error, StatusCode::NOT_FOUND))?;
    if facts.is_dir() != is_folder(&request.uri) {
        let message = format_args!("DELETE \"{}\" failed: only a collection's path ends in a slash", path.display());
        return Err(refused(request, StatusCode::CONFLICT, message));
    }
    if facts.is_dir() {
        if destination::depth(request, Depth::Infinity) != Some(Depth::Infinity) {
            let message = format_args!("\"Depth\" header must be infinity");
            return Err(refused(request, StatusCode::BAD_REQUEST, message));
        }
        let removed = tree::remove(request, &path).await;
        removed.map_err(|error| refuse(request, "rmdir()", &path, &error, StatusCode::NOT_FOUND))?;
    } else {
        if !matches!(destination::depth(request, Depth::Zero), Some(Depth::Zero | Depth::Infinity)) {
            let message = format_args!("\"Depth\" header must be 0 or infinity");
            return Err(refused(request, StatusCode::BAD_REQUEST, message));
        }
        let removed = fs::remove_file(&path);
        removed.map_err(|error| refuse(request, "unlink()", &path, &error, StatusCode::NOT_FOUND))?;
    }
    Ok(done())
}

/// Parts of a path: slashes that something stands behind.
fn depth_of(uri: &[u8]) -> u64 {
    let bare = uri.strip_suffix(b"/").unwrap_or(uri);
    bare.iter().filter(|octet| **octet == b'/').count() as u64
}

/// `Depth`: how much of a tree is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Zero,
    One,
    Infinity,
}

fn make_folder(conf: &Dav, request: &Request) -> Result<Outcome, Outcome> {
    use std::os::unix::fs::DirBuilderExt;
    expect_no_body(request, "MKCOL with body is unsupported")?;
    if !is_folder(&request.uri) {
        return Err(refused(request, StatusCode::CONFLICT, format_args!("MKCOL can create a collection only")));
    }
    let path = path_of(request, &request.uri)?;
    let made = fs::DirBuilder::new().mode(folder_mode(conf.file_mode())).create(&path);
    made.map_err(|error| refuse(request, "mkdir()", &path, &error, StatusCode::CONFLICT))?;
    Ok(created(request))
}

#[cfg(test)]
mod tests {
    use super::depth_of;

    #[test]
    fn depth_counts_what_has_a_name() {
        for (uri, depth) in [("/", 0), ("/a", 1), ("/a/", 1), ("/a/b", 2), ("/a/b/", 2), ("/a/b/c", 3)] {
            assert_eq!(depth_of(uri.as_bytes()), depth, "{uri}");
        }
    }
}
