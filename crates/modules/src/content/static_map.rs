//! uWSGI's `static-map`: files that are sent in the place of an application's answer.
//!
//! It stands before the pool itself, so that it holds for the pool's own listeners and for `uwsgi_pass` alike.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use daemun_http::Method;
use daemun_server::backend::{Backend, BodyTransfer, Environment};
use daemun_server::edge::PoolFactory;
use daemun_server::{LocalFuture, Outcome, Request};

use super::static_file::{self, Found};

/// What the options of a pool say of files.
#[derive(Clone, Debug, Default)]
pub struct StaticMaps {
    /// Where to look, in order.
    pub maps: Vec<StaticMap>,
    /// Names of files that answer for their folder, in order.
    pub index: Vec<String>,
    /// Endings of names that are the application's all the same.
    pub skipped_endings: Vec<String>,
    /// Folders that links may lead to, beside the mapped one.
    pub safe: Vec<PathBuf>,
    /// The type of a file by the ending of its name, without the dot, in lower case.
    pub types: HashMap<String, String>,
}

/// One folder of files, or one file.
#[derive(Clone, Debug)]
pub struct StaticMap {
    /// The beginning of the paths it is for; empty for all.
    pub place: String,
    /// The folder or the file.
    pub path: PathBuf,
    /// The whole path stands behind the folder, not only what stands behind `place`.
    pub appends_whole_path: bool,
}

impl StaticMaps {
    /// Stands before a pool; without maps it is the pool itself.
    #[must_use]
    pub fn before(self, factory: Box<dyn PoolFactory>) -> Box<dyn PoolFactory> {
        if self.maps.is_empty() { factory } else { Box::new(WithFiles { maps: Arc::new(self), factory }) }
    }

    /// The types of a list as `/etc/mime.types` has them: a type and the endings behind it.
    pub fn add_types(&mut self, list: &str) {
        for line in list.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(content_type) = words.next() else { continue };
            self.types.extend(words.map(|ending| (ending.to_ascii_lowercase(), content_type.to_owned())));
        }
    }

    /// The first file that the path names, if one does.
    fn find(&self, uri: &[u8]) -> Option<PathBuf> {
        let uri = std::str::from_utf8(uri).ok().filter(|uri| !uri.contains('\0'))?;
        if self.is_skipped(uri) {
            return None;
        }
        self.maps.iter().find_map(|map| self.find_by(map, uri))
    }

    fn find_by(&self, map: &StaticMap, uri: &str) -> Option<PathBuf> {
        let behind = uri.strip_prefix(map.place.as_str())?;
        // Found anew each time: a folder may be put there later, or be a link that is changed.
        let root = map.path.canonicalize().ok()?;
        if root.is_file() {
            return Some(root);
        }
        let behind = if map.appends_whole_path { uri } else { behind };
        let path = root.join(behind.trim_start_matches('/')).canonicalize().ok()?;
        let is_below = |folder: &Path| path.starts_with(folder);
        if !is_below(&root) && !self.safe.iter().any(|folder| folder.canonicalize().is_ok_and(|one| is_below(&one))) {
            return None;
        }
        if path.is_dir() {
            let index = self.index.iter().map(|name| path.join(name));
            return index.into_iter().find(|path| path.is_file());
        }
        (path.is_file() && !self.is_skipped(path.to_str()?)).then_some(path)
    }

    fn is_skipped(&self, name: &str) -> bool {
        self.skipped_endings.iter().any(|ending| name.ends_with(ending.as_str()))
    }

    fn type_of(&self, path: &Path) -> &str {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let own = USUAL_TYPES.iter().find(|(known, _)| *known == ending).map(|(_, content_type)| *content_type);
        self.types.get(&ending).map(String::as_str).or(own).unwrap_or("application/octet-stream")
    }

    fn answer(&self, request: &mut Request) -> Option<Outcome> {
        if !matches!(request.method(), Method::Get | Method::Head) {
            return None;
        }
        let path = self.find(&request.uri)?;
        let name = CString::new(path.as_os_str().as_bytes()).ok()?;
        match static_file::open(request, &name) {
            Ok(Found::File { body, modified, validators }) => {
                let content_type = self.type_of(&path);
                Some(static_file::answer(request, body, modified, &validators, Some(content_type.as_bytes())))
            }
            // It is gone by now, or not to be read: the application's, as in uWSGI.
            Ok(Found::Directory) | Err(_) => None,
        }
    }
}

struct WithFiles {
    maps: Arc<StaticMaps>,
    factory: Box<dyn PoolFactory>,
}

impl PoolFactory for WithFiles {
    fn on_thread(&self, index: usize) -> io::Result<Rc<dyn Backend>> {
        let pool = self.factory.on_thread(index)?;
        Ok(Rc::new(PoolWithFiles { maps: Arc::clone(&self.maps), pool }))
    }
}

struct PoolWithFiles {
    maps: Arc<StaticMaps>,
    pool: Rc<dyn Backend>,
}

impl Backend for PoolWithFiles {
    fn call<'a>(
        self: Rc<Self>,
        request: &'a mut Request,
        environment: &'a dyn Environment,
        transfer: BodyTransfer,
    ) -> LocalFuture<'a, Outcome> {
        match self.maps.answer(request) {
            Some(outcome) => Box::pin(std::future::ready(outcome)),
            None => Rc::clone(&self.pool).call(request, environment, transfer),
        }
    }

    fn in_flight(&self) -> usize {
        self.pool.in_flight()
    }
}

/// What pages are made of, for machines without a list of types.
const USUAL_TYPES: &[(&str, &str)] = &[
    ("html", "text/html"),
    ("htm", "text/html"),
    ("css", "text/css"),
    ("js", "text/javascript"),
    ("mjs", "text/javascript"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("txt", "text/plain"),
    ("xml", "text/xml"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("ico", "image/x-icon"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("wasm", "application/wasm"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mp3", "audio/mpeg"),
];
