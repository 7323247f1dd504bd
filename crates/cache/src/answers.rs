//! Answers that are kept, as a thread has them at hand: the head read, a small body in memory, a larger one as an open file.
//!
//! A thread that has an answer of the version that the zone names looks at its file once per turn of the event loop: it may have been
//! removed by hand. What a turn handles had arrived before it began.

use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use bytes::Bytes;
use daemun_server::recency::Recency;
use daemun_server::response::{Body, FilePart, OpenFile};
use daemun_server::{clock, thread};
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::entry::{Front, FrontError};
use crate::limits::{
    FIRST_READ_BYTES, FRONT_BYTES_MAX, OPEN_ANSWERS_MAX, OPEN_BYTES_MAX, OPEN_FILES_MAX, SMALL_BODY_BYTES,
};
use crate::path_line::Cache;
use crate::zone::Key;

thread_local! {
    static OPEN: RefCell<OpenAnswers> = RefCell::default();
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// What stands before the body.
    pub front: Front,
    /// Device, number and octets of the file.
    pub identity: Identity,
    path: CString,
    body: KeptBody,
    seen: Cell<(u64, u64)>,
}

/// What tells one file from another that takes its place: device, number, octets.
pub type Identity = (u64, u64, u64);

#[derive(Debug)]
enum KeptBody {
    Memory(Bytes),
    File(FilePart),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// There is no file.
    #[error("is gone")]
    Gone,
    /// What is in it is none.
    #[error(transparent)]
    Broken(#[from] FrontError),
    /// Its body is longer or shorter than it says.
    #[error("has a wrong length")]
    Length,
    /// The system refuses.
    #[error("cannot be read ({0})")]
    System(#[from] std::io::Error),
}

impl Answer {
    /// The body, to be sent.
    #[must_use]
    pub fn body(&self) -> Body {
        match &self.body {
            KeptBody::Memory(octets) if octets.is_empty() => Body::Empty,
            KeptBody::Memory(octets) => Body::Bytes(octets.clone()),
            KeptBody::File(part) => Body::File(part.clone()),
        }
    }

    fn octets(&self) -> u64 {
        match &self.body {
            KeptBody::Memory(octets) => octets.len() as u64,
            KeptBody::File(_) => 0,
        }
    }

    fn files(&self) -> usize {
        usize::from(matches!(self.body, KeptBody::File(_)))
    }

    /// Whether the file is still the same.
    fn is_there(&self) -> bool {
        let now = (thread::turn(), clock::monotonic_ms());
        if self.seen.get() == now {
            return true;
        }
        let is_same = rustix::fs::stat(&self.path).is_ok_and(|stat| identity(&stat) == self.identity);
        if is_same {
            self.seen.set(now);
        }
        is_same
    }
}

/// The answer of a key in this version.
///
/// # Errors
/// [`NoAnswer`].
pub fn find(cache: &Cache, key: &Key, version: u64) -> Result<Rc<Answer>, NoAnswer> {
    let place = (cache.zone.number, *key);
    let kept = OPEN.with_borrow_mut(|open| {
        let (of, answer) = open.answers.ask(&place)?;
        (*of == version).then(|| Rc::clone(answer))
    });
    if let Some(answer) = kept
        && answer.is_there()
    {
        return Ok(answer);
    }
    let answer = open(cache, key);
    OPEN.with_borrow_mut(|open| match &answer {
        Ok(answer) => open.insert(place, version, answer),
        Err(_) => open.remove(&place),
    });
    answer
}

/// Lets go of what this thread has of a key.
pub fn forget(cache: &Cache, key: &Key) {
    OPEN.with_borrow_mut(|open| open.remove(&(cache.zone.number, *key)));
}

fn open(cache: &Cache, key: &Key) -> Result<Rc<Answer>, NoAnswer> {
    let path = CString::new(cache.path_of(key).as_os_str().as_bytes()).map_err(|_| NoAnswer::Gone)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(NoAnswer::Gone),
        Err(error) => return Err(NoAnswer::System(error.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(std::io::Error::from)?;
    let identity = identity(&stat);
    let (front, body) = read(file, identity.2)?;
    Ok(Rc::new(Answer { front, identity, path, body, seen: Cell::default() }))
}

/// Reads the front of a file, and a small body with it.
fn read(file: OwnedFd, size: u64) -> Result<(Front, KeptBody), NoAnswer> {
    let all = usize::try_from(size).unwrap_or(usize::MAX);
    let is_small = size <= SMALL_BODY_BYTES;
    let mut octets = Vec::new();
    read_to(&file, &mut octets, if is_small { all } else { FIRST_READ_BYTES.min(all) })?;
    let (front, length) = loop {
        match Front::read(&octets) {
            Ok(front) => break front,
            Err(FrontError::Short(wanted)) if octets.len() < wanted && wanted <= FRONT_BYTES_MAX.min(all) => {
                read_to(&file, &mut octets, wanted)?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    if (length as u64).checked_add(front.body_length) != Some(size) {
        return Err(NoAnswer::Length);
    }
    if front.body_length > SMALL_BODY_BYTES {
        let part =
            FilePart { file: Rc::new(OpenFile { descriptor: file }), offset: length as u64, length: front.body_length };
        return Ok((front, KeptBody::File(part)));
    }
    read_to(&file, &mut octets, all)?;
    // What stood before the body is not needed any more.
    octets.drain(..length);
    octets.shrink_to_fit();
    Ok((front, KeptBody::Memory(octets.into())))
}

/// Reads on until there are `wanted` octets.
fn read_to(file: &OwnedFd, octets: &mut Vec<u8>, wanted: usize) -> Result<(), NoAnswer> {
    let mut at = octets.len();
    octets.resize(wanted.max(at), 0);
    while at < wanted {
        let place = octets.get_mut(at..).unwrap_or_default();
        match rustix::io::pread(file, place, at as u64) {
            Ok(0) => return Err(NoAnswer::Length),
            Ok(count) => at += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(NoAnswer::System(error.into())),
        }
    }
    Ok(())
}

#[allow(clippy::unnecessary_cast)] // The types differ between systems.
fn identity(stat: &Stat) -> Identity {
    (stat.st_dev as u64, stat.st_ino as u64, u64::try_from(stat.st_size).unwrap_or(0))
}

/// Reads the front of the file at `path`, as the loader does: nobody keeps it. Tells the file's octets.
///
/// # Errors
/// [`NoAnswer`].
pub fn check(path: &std::path::Path) -> Result<u64, NoAnswer> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(std::io::Error::from)?;
    let stat = rustix::fs::fstat(&file).map_err(std::io::Error::from)?;
    let size = identity(&stat).2;
    read(file, size).map(|_| size)
}

#[derive(Default)]
struct OpenAnswers {
    answers: Recency<(u64, Key), (u64, Rc<Answer>)>,
    octets: u64,
    files: usize,
}

impl OpenAnswers {
    fn insert(&mut self, place: (u64, Key), version: u64, answer: &Rc<Answer>) {
        self.remove(&place);
        self.octets += answer.octets();
        self.files += answer.files();
        self.answers.insert(place, (version, Rc::clone(answer)));
        while self.answers.len() > OPEN_ANSWERS_MAX || self.octets > OPEN_BYTES_MAX || self.files > OPEN_FILES_MAX {
            let Some((place, _)) = self.answers.oldest() else { return };
            let place = *place;
            self.remove(&place);
        }
    }

    fn remove(&mut self, place: &(u64, Key)) {
        if let Some((_, answer)) = self.answers.remove(place) {
            self.octets -= answer.octets();
            self.files -= answer.files();
        }
    }
}
