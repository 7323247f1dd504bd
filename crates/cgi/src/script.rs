//! Which program answers a request, and which part of the path is the program's name.

use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use daemun_http::StatusCode;
use daemun_server::Pattern;
use daemun_server::Request;

use crate::limits::PATH_COMPONENTS_MAX;

/// A program that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// The file.
    pub(crate) path: PathBuf,
    /// The part of the URL's path that names it.
    pub(crate) name: Vec<u8>,
    /// The part behind that; empty, or with a slash at its front.
    pub(crate) path_info: Vec<u8>,
}

/// Why no program answers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoScript {
    /// Nothing lies there.
    #[error("CGI script \"{}\" is not found ({source})", path.display())]
    NotFound { path: PathBuf, source: io::Error },
    /// It lies there and may not be run.
    #[error("CGI script \"{}\" is not run: {reason}", path.display())]
    Forbidden { path: PathBuf, reason: &'static str },
    /// The path has an octet that no file name has.
    #[error("the path names no file")]
    NoPath,
    /// A folder without the slash behind it.
    #[error("\"{}\" is a folder", .0.display())]
    Folder(PathBuf),
}

impl NoScript {
    /// The status; for a folder it is a redirect.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } | Self::NoPath => StatusCode::NOT_FOUND,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Folder(_) => StatusCode::MOVED_PERMANENTLY,
        }
    }
}

impl Script {
    /// Whether it writes the whole HTTP message itself (RFC 3875 §5).
    pub(crate) fn is_nph(&self) -> bool {
        self.path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"nph-"))
    }
}

/// Looks for the program below `root` or `alias`. `split`, if it matches, says the parts of the path.
pub(crate) fn below_root(request: &Request, split: Option<&Pattern>, index: &[String]) -> Result<Script, NoScript> {
    let uri = &request.uri;
    if let Some((name, path_info)) = split.and_then(|split| split_by(split, uri)) {
        let path = map(request, &name).ok_or(NoScript::NoPath)?;
        return match kind_of(&path)? {
            kind if kind.is_file() => Ok(Script { path, name, path_info }),
            _ => Err(NoScript::Forbidden { path, reason: "it is no file" }),
        };
    }
    below(uri, |name| map(request, name), index)
}

/// Looks for the program where `map` has the files of a path: the first part of the path that is no folder, as web servers
/// with a `cgi-bin` have always done it.
pub(crate) fn below(uri: &[u8], map: impl Fn(&[u8]) -> Option<PathBuf>, index: &[String]) -> Result<Script, NoScript> {
    let slashes = uri.iter().enumerate().skip(1).filter(|(_, octet)| **octet == b'/').map(|(at, _)| at);
    for end in slashes.chain([uri.len()]).take(PATH_COMPONENTS_MAX) {
        let (name, path_info) = uri.split_at_checked(end).ok_or(NoScript::NoPath)?;
        let Some(path) = map(name) else { continue };
        let kind = kind_of(&path)?;
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(NoScript::Forbidden { path, reason: "it is no file" });
        }
        return Ok(Script { path, name: name.to_vec(), path_info: path_info.to_vec() });
    }
    in_folder(uri, map, index)
}

/// The path names a folder: its index, if it has one.
fn in_folder(uri: &[u8], map: impl Fn(&[u8]) -> Option<PathBuf>, index: &[String]) -> Result<Script, NoScript> {
    let path = map(uri).ok_or(NoScript::NoPath)?;
    if !uri.ends_with(b"/") {
        return Err(NoScript::Folder(path));
    }
    for name in index {
        let name = [uri, name.as_bytes()].concat();
        if let Some(path) = map(&name)
            && kind_of(&path).is_ok_and(|kind| kind.is_file())
        {
            return Ok(Script { path, name, path_info: Vec::new() });
        }
    }
    Err(NoScript::Forbidden { path, reason: "it is a folder without an index" })
}

/// A program with a fixed place. `split` says the parts of the path; without it the program's name is what the location is
/// called, `prefix_length` octets, and the rest is its own.
pub(crate) fn at(path: Vec<u8>, uri: &[u8], split: Option<&Pattern>, prefix_length: usize) -> Result<Script, NoScript> {
    if path.contains(&0) || path.first() != Some(&b'/') {
        return Err(NoScript::NoPath);
    }
    let path = PathBuf::from(std::ffi::OsString::from_vec(path));
    if !kind_of(&path)?.is_file() {
        return Err(NoScript::Forbidden { path, reason: "it is no file" });
    }
    let (name, path_info) = split.and_then(|split| split_by(split, uri)).unwrap_or_else(|| {
        let prefix = uri.get(..prefix_length).unwrap_or(uri);
        let name = prefix.strip_suffix(b"/").unwrap_or(prefix);
        (name.to_vec(), uri.get(name.len()..).unwrap_or_default().to_vec())
    });
    Ok(Script { path, name, path_info })
}

fn split_by(split: &Pattern, uri: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let captures = split.captures(uri)?;
    let group = |number| captures.group(number).unwrap_or_default().to_vec();
    Some((group(1), group(2)))
}

fn map(request: &Request, uri: &[u8]) -> Option<PathBuf> {
    let mut path = Vec::new();
    request.map_path(uri, &mut path).then(|| PathBuf::from(OsStr::from_bytes(&path)))
}

fn kind_of(path: &Path) -> Result<FileType, NoScript> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.file_type()),
        Err(source) => Err(NoScript::NotFound { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_fixed_place_is_called_as_its_location() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nph-tool");
        fs::write(&path, "").expect("a file");
        let parts = |uri: &str, prefix_length| {
            let script =
                at(path.as_os_str().as_bytes().to_vec(), uri.as_bytes(), None, prefix_length).expect("is there");
            assert!(script.is_nph());
            (String::from_utf8(script.name).expect("text"), String::from_utf8(script.path_info).expect("text"))
        };
        let pair = |name: &str, path_info: &str| (name.to_owned(), path_info.to_owned());
        assert_eq!(parts("/git/a/b", 5), pair("/git", "/a/b"));
        assert_eq!(parts("/git/", 5), pair("/git", "/"));
        assert_eq!(parts("/git", 4), pair("/git", ""));
        assert_eq!(parts("/a/b", 1), pair("", "/a/b"));
        assert_eq!(parts("/a/b", usize::MAX), pair("/a/b", ""));
    }

    #[test]
    fn what_is_no_file_is_not_run() {
        let at = |path: &str| at(path.as_bytes().to_vec(), b"/", None, 1);
        assert!(matches!(at("/"), Err(NoScript::Forbidden { .. })));
        assert!(matches!(at("/no/such/file"), Err(NoScript::NotFound { .. })));
        assert!(matches!(at("relative"), Err(NoScript::NoPath)));
        assert!(matches!(at("/a\0b"), Err(NoScript::NoPath)));
    }
}
