//! A file on its way to its place: written beside it, complete, and then renamed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daemun_http::HeaderId;
use daemun_server::log::Level;
use daemun_server::request::LogHandle;
use daemun_server::thread;

use crate::answers::{self, Answer};
use crate::entry::{Front, Times};
use crate::limits::FRONT_BYTES_MAX;
use crate::path_line::Cache;
use crate::zone::{Key, Update};

/// An answer that is being kept. Dropped before its end, nothing of it stays.
pub struct Draft {
    cache: Arc<Cache>,
    key: Key,
    front: Front,
    file: File,
    path: PathBuf,
    /// Octets before the body.
    front_length: u64,
    /// Octets of the body so far.
    written: u64,
    /// Octets of the body as `Content-Length` says.
    announced: Option<u64>,
    is_broken: bool,
    is_in_place: bool,
    /// Others wait until it is in its place, or given up.
    update: Option<Update>,
    log: LogHandle,
}

impl Draft {
    /// Begins the file of an answer; `None` where none can be made; the log says why. `is_whole` says that the body that follows
    /// is all of the answer's.
    pub fn begin(
        cache: &Arc<Cache>,
        key: Key,
        mut front: Front,
        is_whole: bool,
        update: Option<Update>,
        log: LogHandle,
    ) -> Option<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let length = front.head.headers.first(HeaderId::ContentLength).filter(|_| is_whole);
        let announced = length.and_then(|text| std::str::from_utf8(text).ok()?.trim().parse().ok());
        // Where it is known, the front is written once.
        front.body_length = announced.unwrap_or(0);
        let mut octets = Vec::with_capacity(1024);
        front.write(&mut octets);
        // What could not be read again is not written.
        if octets.len() > FRONT_BYTES_MAX || Front::read(&octets).is_err() {
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = cache.folder.join(format!("{DRAFT_PREFIX}{:016x}-{number}", thread::process_seed()));
        let file = match create(&path, &octets) {
            Ok(file) => file,
            Err(error) => {
                log.write(Level::Crit, format_args!("open() \"{}\" failed ({error})", path.display()));
                return None;
            }
        };
        Some(Self {
            cache: Arc::clone(cache),
            key,
            front,
            file,
            path,
            front_length: octets.len() as u64,
            written: 0,
            announced,
            is_broken: false,
            is_in_place: false,
            update,
            log,
        })
    }

    /// Adds octets of the body.
    pub fn write(&mut self, octets: &[u8]) {
        if self.is_broken {
            return;
        }
        match self.file.write_all(octets) {
            Ok(()) => self.written += octets.len() as u64,
            Err(error) => self.break_off(&error),
        }
    }

    fn break_off(&mut self, error: &io::Error) {
        self.is_broken = true;
        self.log.write(Level::Crit, format_args!("write() \"{}\" failed ({error})", self.path.display()));
    }

    /// The body is over: the file takes its place.
    pub fn finish(mut self) {
        let is_whole = self.announced.is_none_or(|announced| announced == self.written);
        if self.is_broken || !is_whole {
            return;
        }
        if let Err(error) = self.put_in_place() {
            self.break_off(&error);
            return;
        }
        self.is_in_place = true;
        let octets = self.front_length + self.written;
        if let Some(removed) = self.cache.zone.put(&self.key, octets) {
            self.cache.remove(removed);
        }
        self.update = None; // Who waits finds the file.
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        if self.front.body_length != self.written {
            self.front.body_length = self.written;
            let mut octets = Vec::with_capacity(1024);
            self.front.write(&mut octets);
            self.file.write_all_at(&octets, 0)?;
        }
        let place = self.cache.path_of(&self.key);
        match fs::rename(&self.path, &place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = place.parent() {
                    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                }
                fs::rename(&self.path, &place)
            }
            result => result,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_in_place {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn create(path: &PathBuf, octets: &[u8]) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match open() {
        // Somebody has removed the folder.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            open()?
        }
        result => result?,
    };
    file.write_all(octets)?;
    Ok(file)
}

/// Gives an answer that is kept other times. A file that is no longer this answer's stays as it is.
pub fn renew(cache: &Cache, key: &Key, answer: &Answer, times: Times) {
    let mut octets = Vec::with_capacity(1024);
    Front { times, ..answer.front.clone() }.write(&mut octets);
    let Ok(file) = OpenOptions::new().write(true).open(cache.path_of(key)) else { return };
    let is_same = file.metadata().is_ok_and(|facts| (facts.dev(), facts.ino(), facts.size()) == answer.identity);
    if is_same && file.write_all_at(&octets, 0).is_ok() {
        answers::forget(cache, key);
        cache.zone.renew(key);
    }
}

/// How the names of files begin that are not in their place yet.
pub const DRAFT_PREFIX: &str = ".draft-";
