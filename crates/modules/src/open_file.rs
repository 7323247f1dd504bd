//! Files as handlers ask for them: opened, or only looked at; by the location's cache, or without one.
//!
//! Without a cache, opening costs `open` and `fstat`, looking costs `stat`, and neither allocates for the path. A small file that was
//! sent before and is unchanged costs `stat` alone.

use std::cell::Cell;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::rc::Rc;

use daemun_http::StatusCode;
use daemun_http::date::{HTTP_DATE_LENGTH, format_http_date};
use daemun_server::Request;
use daemun_server::log::Level;
use daemun_server::response::OpenFile;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::open_file_cache;
use crate::small_files::{self, SmallFile};
use crate::symbolic_links::LinkRule;

/// What `stat` tells of a file, as far as answers need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// What it is.
    pub kind: FileKind,
    /// Octets.
    pub size: u64,
    /// Time of last change in Unix seconds.
    pub modified: i64,
    /// Device and number: the same file as long as they are the same.
    pub identity: (u64, u64),
    /// When the inode last changed: seconds and nanoseconds. Nobody can set it.
    pub changed: (i64, u64),
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A socket, a pipe, a device.
    Other,
}

/// A regular file, open for reading.
#[derive(Clone, Debug)]
pub struct OpenedFile {
    /// The descriptor.
    pub file: Rc<OpenFile>,
    /// Size and time.
    pub facts: FileFacts,
    /// The same as header fields.
    pub validators: Validators,
}

/// What opening a path gives.
#[derive(Clone, Debug)]
pub enum Opened {
    /// A regular file.
    File(OpenedFile),
    /// A small regular file whose content is at hand.
    Small(SmallFile),
    /// A directory.
    Directory,
    /// Something that is not to be sent.
    Other,
}

/// The fields by which a client asks whether its copy still is the file.
#[derive(Clone, Copy)]
pub struct Validators {
    etag: [u8; ETAG_LENGTH_MAX],
    etag_length: u8,
    last_modified: [u8; HTTP_DATE_LENGTH],
}

/// Two quotes, a dash, and two numbers of 64 bits in hexadecimal.
const ETAG_LENGTH_MAX: usize = 35;

/// Why a path could not be opened or looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// The system's reason.
    pub errno: Errno,
    /// The call that failed, as logs name it.
    pub call: &'static str,
}

/// Opens the file at `path`.
///
/// # Errors
/// What the system says; with `open_file_cache_errors` perhaps what it said within `open_file_cache_valid`.
pub fn open(request: &Request, path: &CStr) -> Result<Opened, OpenError> {
    if let Some(rule) = LinkRule::of(request, path) {
        return open_by_rule(rule, path);
    }
    let core = request.core();
    if core.open_file_cache().is_some() {
        return Ok(match open_file_cache::open(core, path)? {
            Opened::File(file) => match small_files::of_open_file(&file) {
                Some(small) => Opened::Small(small),
                None => Opened::File(file),
            },
            other => other,
        });
    }
    if let Some(small) = small_files::find(path)? {
        return Ok(Opened::Small(small));
    }
    let (file, facts) = open_and_look(path)?;
    Ok(match facts.kind {
        FileKind::Regular => match small_files::keep(path, &file, &facts) {
            Some(small) => Opened::Small(small),
            None => Opened::File(OpenedFile { file: Rc::new(file), facts, validators: Validators::of(&facts) }),
        },
        FileKind::Directory => Opened::Directory,
        FileKind::Other => Opened::Other,
    })
}

/// Looks at the file at `path` without opening it.
///
/// # Errors
/// As [`open`].
pub fn look_at(request: &Request, path: &CStr) -> Result<FileFacts, OpenError> {
    if let Some(rule) = LinkRule::of(request, path) {
        return look_at_by_rule(rule, path);
    }
    let core = request.core();
    if core.open_file_cache().is_some() {
        return open_file_cache::look_at(core, path);
    }
    // A file that is kept is looked at once per turn, whoever asks.
    small_files::find(path)?.map_or_else(|| stat(path), |kept| Ok(kept.facts))
}

/// Opens the file at `path` past no link that should not be followed. What the caches know was found without such care.
fn open_by_rule(rule: LinkRule, path: &CStr) -> Result<Opened, OpenError> {
    let opened = rule.open(path, READING, Mode::empty());
    let file = OpenFile { descriptor: opened.map_err(|errno| OpenError { errno, call: "openat()" })? };
    let facts = look_at_open(&file)?;
    Ok(match facts.kind {
        FileKind::Regular => {
            Opened::File(OpenedFile { file: Rc::new(file), facts, validators: Validators::of(&facts) })
        }
        FileKind::Directory => Opened::Directory,
        FileKind::Other => Opened::Other,
    })
}

fn look_at_by_rule(rule: LinkRule, path: &CStr) -> Result<FileFacts, OpenError> {
    let opened = rule.open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let descriptor = opened.map_err(|errno| OpenError { errno, call: "openat()" })?;
    look_at_open(&OpenFile { descriptor })
}

/// Whether the location lets the way to `path` be gone, as far as its links are concerned.
pub(crate) fn check_links(request: &Request, path: &CStr) -> Result<(), OpenError> {
    LinkRule::of(request, path).map_or(Ok(()), |rule| look_at_by_rule(rule, path).map(drop))
}

/// Opens `path` and looks at what was opened. A pipe without a writer does not make this wait.
pub(crate) fn open_and_look(path: &CStr) -> Result<(OpenFile, FileFacts), OpenError> {
    open_with(path, READING, Mode::empty())
}

/// How a file is opened that is to be sent: what is none must not make this wait.
const READING: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// Opens `path` for writing at its end, makes it if it is not there, and looks at it.
pub(crate) fn open_to_append(path: &CStr) -> Result<(OpenFile, FileFacts), OpenError> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
    open_with(path, flags, Mode::from_raw_mode(0o644))
}

fn open_with(path: &CStr, flags: OFlags, mode: Mode) -> Result<(OpenFile, FileFacts), OpenError> {
    let opened = rustix::fs::open(path, flags, mode);
    let descriptor = opened.map_err(|errno| OpenError { errno, call: "open()" })?;
    let file = OpenFile { descriptor };
    let facts = look_at_open(&file)?;
    Ok((file, facts))
}

/// Looks at `path`; a symbolic link is followed.
pub(crate) fn stat(path: &CStr) -> Result<FileFacts, OpenError> {
    let stat = rustix::fs::stat(path).map_err(|errno| OpenError { errno, call: "stat()" })?;
    Ok(FileFacts::of(&stat))
}

/// Looks at a file that is open.
pub(crate) fn look_at_open(file: &OpenFile) -> Result<FileFacts, OpenError> {
    let stat = rustix::fs::fstat(&file.descriptor).map_err(|errno| OpenError { errno, call: "fstat()" })?;
    Ok(FileFacts::of(&stat))
}

/// Runs `use_path` with the file that the location gives for `uri`, in a buffer of the thread. `None` where the
/// location has none: a NUL in the path, or a path that leaves the root.
pub fn with_path<R>(request: &Request, uri: &[u8], use_path: impl FnOnce(&CStr) -> R) -> Option<R> {
    thread_local! {
        static PATH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    if leaves_root(request, uri) {
        request.log(Level::Error, format_args!("\"{}\" leads out of the root", String::from_utf8_lossy(uri)));
        return None;
    }
    let mut path = PATH.take();
    path.clear();
    let is_mapped = request.map_path(uri, &mut path);
    path.push(0);
    let result = CStr::from_bytes_with_nul(&path).ok().filter(|_| is_mapped).map(use_path);
    PATH.set(path);
    result
}

/// Whether `uri` has a `..` left. The client's own path is normalised, but not what the configuration made of variables,
/// nor what follows an `alias` whose location has no slash at its end.
fn leaves_root(request: &Request, uri: &[u8]) -> bool {
    let is_alias = request.core().alias.is_some();
    let is_normalised = std::ptr::eq(uri, request.uri.as_slice()) && !request.is_internal;
    if is_normalised && !is_alias {
        return false;
    }
    let below = if is_alias { uri.get(request.location().prefix_length()..).unwrap_or_default() } else { b"" };
    has_parent_segment(uri) || has_parent_segment(below)
}

/// Whether one of the segments of `uri` is `..`.
#[must_use]
pub fn has_parent_segment(uri: &[u8]) -> bool {
    memchr::memmem::find(uri, b"..").is_some() && uri.split(|octet| *octet == b'/').any(|segment| segment == b"..")
}

impl FileFacts {
    fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Directory,
            _ => FileKind::Other,
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Self {
            kind,
            size,
            modified: stat.st_mtime,
            identity: (stat.st_dev, stat.st_ino),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }
}

impl Validators {
    /// The validators of a file.
    #[must_use]
    pub fn of(facts: &FileFacts) -> Self {
        let mut etag = [b'"'; ETAG_LENGTH_MAX];
        let mut length = put_hexadecimal(&mut etag, 1, facts.modified.cast_unsigned());
        etag[length] = b'-';
        length = put_hexadecimal(&mut etag, length + 1, facts.size);
        etag[length] = b'"';
        Self { etag, etag_length: length as u8 + 1, last_modified: format_http_date(facts.modified) }
    }

    /// `ETag`: time of last change and size in hexadecimal, as nginx makes it.
    #[must_use]
    pub fn etag(&self) -> &[u8] {
        &self.etag[..usize::from(self.etag_length)]
    }

    /// `Last-Modified`.
    #[must_use]
    pub fn last_modified(&self) -> &[u8] {
        &self.last_modified
    }
}

impl fmt::Debug for Validators {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.etag().escape_ascii(), self.last_modified.escape_ascii())
    }
}

/// Writes `number` without leading zeros; gives the place behind it.
fn put_hexadecimal(out: &mut [u8; ETAG_LENGTH_MAX], start: usize, number: u64) -> usize {
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(1) as usize;
    for (place, octet) in out[start..start + digits].iter_mut().enumerate() {
        let nibble = number >> (4 * (digits - 1 - place)) & 15;
        *octet = b"0123456789abcdef"[nibble as usize];
    }
    start + digits
}

impl OpenError {
    /// Whether nothing is at the path.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self.errno, Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG)
    }

    /// What a client is told that asked for the file.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => StatusCode::NOT_FOUND,
            Errno::ACCESS | Errno::MLINK | Errno::LOOP => StatusCode::FORBIDDEN,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Writes it to the request's error log, unless the file is missing and `log_not_found` is off.
    pub fn log(&self, request: &Request, path: &CStr) {
        let level = match self.status() {
            StatusCode::NOT_FOUND if !request.core().log_not_found() => return,
            StatusCode::INTERNAL_SERVER_ERROR => Level::Crit,
            _ => Level::Error,
        };
        request
            .log(level, format_args!("{} \"{}\" failed ({})", self.call, path.to_string_lossy(), Reason(self.errno)));
    }
}

/// Writes to the request's error log that the directory at `path` cannot be listed; gives the status.
pub fn refuse_listing(request: &Request, path: &CStr, error: &io::Error) -> StatusCode {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let (level, status) = match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => (Level::Error, StatusCode::NOT_FOUND),
        Errno::ACCESS => (Level::Error, StatusCode::FORBIDDEN),
        _ => (Level::Crit, StatusCode::INTERNAL_SERVER_ERROR),
    };
    request.log(level, format_args!("opendir() \"{}\" failed ({})", path.to_string_lossy(), Reason(errno)));
    status
}

/// An error of the system as nginx writes it: `2: No such file or directory`.
pub struct Reason(pub Errno);

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.raw_os_error();
        let text = std::io::Error::from_raw_os_error(number).to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        write!(formatter, "{number}: {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_those_of_nginx() {
        let facts =
            |modified, size| FileFacts { kind: FileKind::Regular, size, modified, identity: (0, 0), changed: (0, 0) };
        let etag = |modified, size| String::from_utf8_lossy(Validators::of(&facts(modified, size)).etag()).into_owned();
        assert_eq!(etag(0x5f3b_2a10, 0x264), "\"5f3b2a10-264\"");
        assert_eq!(etag(0, 0), "\"0-0\"");
        assert_eq!(etag(-1, u64::MAX), "\"ffffffffffffffff-ffffffffffffffff\"");
        let text = Validators::of(&facts(784_111_777, 1));
        assert_eq!(text.last_modified(), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn parent_segments_are_seen() {
        for (uri, is_parent) in
            [("/a/../b", true), ("/..", true), ("..", true), ("/a..b/c", false), ("/...", false), ("/a/b", false)]
        {
            assert_eq!(has_parent_segment(uri.as_bytes()), is_parent, "{uri}");
        }
    }

    #[test]
    fn errors_are_told_as_nginx_does() {
        let error = |errno| OpenError { errno, call: "open()" };
        assert_eq!(Reason(Errno::NOENT).to_string(), "2: No such file or directory");
        assert_eq!(error(Errno::NOTDIR).status(), StatusCode::NOT_FOUND);
        assert_eq!(error(Errno::ACCESS).status(), StatusCode::FORBIDDEN);
        assert_eq!(error(Errno::MFILE).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
