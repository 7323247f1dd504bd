//! `..._store`: an answer is kept as a file.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use daemun_http::{HeaderId, date};
use daemun_server::log::Level;
use daemun_server::{Request, Response, thread};

use crate::pass::{PassSettings, Store};

/// A file on its way to its place. Dropped before its end it is removed.
pub struct StoredFile {
    file: File,
    /// Where it is written.
    temporary: PathBuf,
    /// Where it will be.
    place: PathBuf,
    access: u32,
    modified: Option<i64>,
    failure: Option<io::Error>,
    is_done: bool,
}

impl StoredFile {
    /// Begins the file of this answer; `None` where none is to be kept, or none can be; the log says why.
    pub fn begin(settings: &PassSettings, response: &Response, request: &Request) -> Option<Self> {
        let mut path = Vec::with_capacity(128);
        match settings.store()? {
            Store::Off => return None,
            Store::On if request.map_path(&request.uri, &mut path) => {}
            Store::On => return None,
            Store::Path(template) => template.render(request, &mut path),
        }
        if path.is_empty() || path.contains(&0) {
            return None;
        }
        let of_bodies = || request.core().client_body_temp_path().path.as_path();
        let folder = settings.folder().map_or_else(of_bodies, |folder| folder.as_ref());
        let temporary = folder.join(format!("store-{:016x}-{}", thread::process_seed(), request.serial));
        match create(&temporary) {
            Ok(file) => Some(Self {
                file,
                temporary,
                place: PathBuf::from(std::ffi::OsStr::from_bytes(&path)),
                access: settings.store_access(),
                modified: response.head.headers.first(HeaderId::LastModified).and_then(date::parse_http_date),
                failure: None,
                is_done: false,
            }),
            Err(error) => {
                request.log(Level::Crit, format_args!("open() \"{}\" failed ({error})", temporary.display()));
                None
            }
        }
    }

    /// Adds octets.
    pub fn write(&mut self, octets: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.file.write_all(octets).err();
        }
    }

    /// The answer is whole: the file takes its place.
    pub fn finish(mut self) {
        if self.failure.is_some() {
            return;
        }
        if let Some(modified) = self.modified.and_then(|seconds| u64::try_from(seconds).ok()) {
            let _ = self.file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(modified));
        }
        let _ = self.file.set_permissions(Permissions::from_mode(self.access));
        self.is_done = self.put_in_place().is_ok();
    }

    fn put_in_place(&self) -> io::Result<()> {
        match fs::rename(&self.temporary, &self.place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = self.place.parent() {
                    // As nginx: who may read a file may look into its folder.
                    let mode = self.access | (self.access & 0o444) >> 2;
                    fs::DirBuilder::new().recursive(true).mode(mode).create(folder)?;
                }
                fs::rename(&self.temporary, &self.place)
            }
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => self.copy(),
            result => result,
        }
    }

    /// Another file system: the file is copied beside its place and then takes it.
    fn copy(&self) -> io::Result<()> {
        let mut beside = self.place.clone().into_os_string();
        beside.push(format!(".{:016x}", thread::process_seed()));
        fs::copy(&self.temporary, &beside)?;
        fs::rename(&beside, &self.place)?;
        fs::remove_file(&self.temporary)
    }
}

impl Drop for StoredFile {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    let open = || File::options().write(true).create_new(true).mode(0o600).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            open()
        }
        result => result,
    }
}
