//! The files of an earlier process: each is looked at once, and taken over or removed. Requests have their turn between two.

use std::fs::{self, DirEntry};
use std::path::Path;
use std::time::SystemTime;

use daemun_server::log::{ErrorLog, Level};

use crate::answers::{self, NoAnswer};
use crate::draft::DRAFT_PREFIX;
use crate::limits::{COMPLETION_TIME, LEVELS_MAX};
use crate::manager::Stint;
use crate::path_line::Cache;

/// Looks at all files of a cache.
pub async fn load(cache: &Cache, log: &ErrorLog) {
    let began = SystemTime::now();
    let pace = cache.limits.loader;
    let mut stint = Stint::new(pace);
    // The folder that is being read and those that it is in.
    let mut folders: Vec<fs::ReadDir> = fs::read_dir(&cache.folder).into_iter().collect();
    while let Some(folder) = folders.last_mut() {
        let entry = match folder.next() {
            Some(Ok(entry)) => entry,
            Some(Err(_)) => continue,
            None => {
                folders.pop();
                continue;
            }
        };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && folders.len() <= LEVELS_MAX => folders.extend(fs::read_dir(entry.path())),
            Ok(kind) if kind.is_file() => take_over(cache, &entry, began, log),
            _ => {}
        }
        if stint.is_over_after_one_more() {
            tokio::time::sleep(pace.sleep).await;
            stint = Stint::new(pace);
        } else {
            tokio::task::yield_now().await;
        }
    }
    cache.zone.warm();
}

fn take_over(cache: &Cache, entry: &DirEntry, began: SystemTime, log: &ErrorLog) {
    let path = entry.path();
    let Some(key) = cache.key_of(&path) else {
        // What somebody else has put here stays; what was begun long ago and not ended is nobody's. Another process, which this
        // one takes the place of, may still be at the others.
        let is_draft = entry.file_name().to_str().is_some_and(|name| name.starts_with(DRAFT_PREFIX));
        if is_draft && changed(&path).is_some_and(|changed| changed + COMPLETION_TIME < began) {
            let _ = fs::remove_file(path);
        }
        return;
    };
    match answers::check(&path) {
        Ok(octets) if cache.zone.adopt(&key, octets) => {}
        // There is no room for its key: it would never be removed.
        Ok(_) => drop(fs::remove_file(path)),
        Err(NoAnswer::Gone) => {}
        Err(error) => {
            log.write(Level::Notice, format_args!("cache file \"{}\" {error}: removed", path.display()));
            let _ = fs::remove_file(path);
        }
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|facts| facts.modified()).ok()
}
