//! `..._cache_path`: where a cache lies, how large it may grow, and how it is looked after.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{
    ArgumentError, Arguments, Diagnostic, Span, parse_milliseconds, parse_offset, parse_seconds, parse_size,
};
use daemun_server::config::Build;
use daemun_server::zone::ZoneName;

use crate::limits::{LEVELS_MAX, ZONE_BYTES_MIN};
use crate::manager::Manager;
use crate::zone::{Key, Removed, Zone};

/// One line as written.
pub struct PathLine {
    folder: PathBuf,
    levels: Vec<usize>,
    name: String,
    zone_octets: u64,
    limits: CacheLimits,
    span: Span,
}

/// How large a cache may grow, and how it is looked after.
#[derive(Clone, Debug)]
pub struct CacheLimits {
    /// How long an answer is kept that nobody asks for.
    pub inactive: Duration,
    /// Octets on disk.
    pub octets_max: u64,
    /// Octets of the file system that are left free.
    pub octets_free: u64,
    /// How the manager works.
    pub manager: Pace,
    /// How the loader works.
    pub loader: Pace,
}

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Files.
    pub files: u64,
    /// Time.
    pub threshold: Duration,
    /// Rest after that.
    pub sleep: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { files: 100, threshold: Duration::from_millis(200), sleep: Duration::from_millis(50) }
    }
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            inactive: Duration::from_secs(600),
            octets_max: u64::MAX,
            octets_free: 0,
            manager: Pace::default(),
            loader: Pace::default(),
        }
    }
}

/// A cache.
pub struct Cache {
    /// The name of its zone.
    pub name: String,
    /// Where its files are.
    pub folder: PathBuf,
    levels: Vec<usize>,
    /// Its keys.
    pub zone: Arc<Zone>,
    /// How large it may grow.
    pub limits: CacheLimits,
}

/// The caches declared so far, each with the name before the `_` of its directive.
#[derive(Clone, Default)]
pub struct CacheTable(Vec<(&'static str, Arc<Cache>)>);

impl CacheTable {
    /// Those of one directive.
    #[must_use]
    pub fn of(&self, prefix: &str) -> Vec<Arc<Cache>> {
        self.0.iter().filter(|(other, _)| *other == prefix).map(|(_, cache)| Arc::clone(cache)).collect()
    }
}

impl PathLine {
    /// Reads the arguments.
    ///
    /// # Errors
    /// For what is wrong with them, in nginx's words.
    pub fn read(arguments: &Arguments<'_>) -> Result<Self, ArgumentError> {
        let mut line = Self {
            folder: arguments.path(0)?.components().collect(),
            levels: Vec::new(),
            name: String::new(),
            zone_octets: 0,
            limits: CacheLimits::default(),
            span: arguments.span(),
        };
        for position in 1..arguments.len() {
            let wrong = |message: String| ArgumentError::new(Some(position), message);
            let Some((name, value)) = arguments.parameter(position) else {
                return Err(arguments.invalid_parameter(position));
            };
            let text = arguments.text(position)?;
            match name {
                "levels" => {
                    line.levels = levels(value).ok_or_else(|| wrong(format!("invalid \"levels\" \"{text}\"")))?
                }
                // A file is always written beside its place, on the same file system.
                "use_temp_path" if matches!(value, "on" | "off") => {}
                "use_temp_path" => {
                    return Err(wrong(format!("invalid use_temp_path value \"{text}\", it must be \"on\" or \"off\"")));
                }
                "keys_zone" => (line.name, line.zone_octets) = zone(value, text).map_err(wrong)?,
                _ if name.starts_with("purger") => {
                    return Err(wrong(format!("\"{name}\" is not supported by daemun yet")));
                }
                _ => match line.limits.set(name, value) {
                    Some(true) => {}
                    Some(false) => return Err(wrong(format!("invalid {name} value \"{text}\""))),
                    None => return Err(arguments.invalid_parameter(position)),
                },
            }
        }
        if line.name.is_empty() {
            let message = format!("\"{}\" must have \"keys_zone\" parameter", arguments.name());
            return Err(ArgumentError::new(None, message));
        }
        Ok(line)
    }

    /// Makes the cache, unless an earlier configuration has it, and makes it known. `directive` has the name before the `_`.
    ///
    /// # Errors
    /// When the name or the folder is another cache's.
    pub fn declare(&self, prefix: &'static str, owner: &'static str, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        let mut table = build.published::<CacheTable>().cloned().unwrap_or_default();
        let folder = build.temporary_folder(&self.folder);
        let error = |message: String| Err(Diagnostic::error(self.span, message));
        if table.0.iter().any(|(other, cache)| *other == prefix && cache.name == self.name) {
            return error(format!("duplicate zone \"{}\"", self.name));
        }
        if table.0.iter().any(|(_, cache)| cache.folder == folder) {
            return error(format!("the path name \"{}\" is already used", folder.display()));
        }
        let place = (folder.clone(), self.levels.clone());
        let name = ZoneName { name: &self.name, owner, octets: self.zone_octets, span: self.span };
        let state = build.zone(&name, || (place, Arc::new(Zone::new(self.zone_octets))))?;
        let ((before, levels), zone) = &*state;
        if *before != folder {
            let (name, folder, before) = (&self.name, folder.display(), before.display());
            return error(format!(
                "cache \"{name}\" uses the \"{folder}\" cache path while previously it used the \"{before}\" cache path"
            ));
        }
        if *levels != self.levels {
            return error(format!("cache \"{}\" had previously different levels", self.name));
        }
        zone.set_inactive(u64::try_from(self.limits.inactive.as_millis()).unwrap_or(u64::MAX));
        let cache = Arc::new(Cache {
            name: self.name.clone(),
            folder,
            levels: self.levels.clone(),
            zone: Arc::clone(zone),
            limits: self.limits.clone(),
        });
        build.run_beside(Arc::new(Manager::new(Arc::clone(&cache))));
        table.0.push((prefix, cache));
        build.publish(table);
        Ok(())
    }
}

/// Digits of 1 or 2 with colons between them, three at most.
fn levels(text: &str) -> Option<Vec<usize>> {
    let levels: Option<Vec<usize>> = text
        .split(':')
        .map(|level| match level {
            "1" => Some(1),
            "2" => Some(2),
            _ => None,
        })
        .collect();
    levels.filter(|levels| levels.len() <= LEVELS_MAX)
}

fn zone(value: &str, text: &str) -> Result<(String, u64), String> {
    let parsed = value.split_once(':').and_then(|(name, size)| Some((name, parse_size(size)?)));
    match parsed {
        None => Err(format!("invalid keys zone size \"{text}\"")),
        Some((name, size)) if size < ZONE_BYTES_MIN => Err(format!("keys zone \"{name}\" is too small")),
        Some((name, size)) => Ok((name.to_owned(), size)),
    }
}

impl CacheLimits {
    /// Sets a parameter; false for a wrong value, `None` for an unknown name.
    fn set(&mut self, name: &str, value: &str) -> Option<bool> {
        fn put<T>(place: &mut T, value: Option<T>) -> bool {
            value.map(|value| *place = value).is_some()
        }
        Some(match name {
            "inactive" => put(&mut self.inactive, parse_seconds(value)),
            "max_size" => put(&mut self.octets_max, parse_offset(value)),
            "min_free" => put(&mut self.octets_free, parse_offset(value)),
            "manager_files" => put(&mut self.manager.files, value.parse().ok()),
            "manager_sleep" => put(&mut self.manager.sleep, parse_milliseconds(value)),
            "manager_threshold" => put(&mut self.manager.threshold, parse_milliseconds(value)),
            "loader_files" => put(&mut self.loader.files, value.parse().ok()),
            "loader_sleep" => put(&mut self.loader.sleep, parse_milliseconds(value)),
            "loader_threshold" => put(&mut self.loader.threshold, parse_milliseconds(value)),
            _ => return None,
        })
    }
}

impl Cache {
    /// Where the file of a key is: its name is the key in hexadecimal digits, and each level's folder is named by digits taken
    /// from its end.
    #[must_use]
    pub fn path_of(&self, key: &Key) -> PathBuf {
        let name: String = key.iter().map(|octet| format!("{octet:02x}")).collect();
        let mut path = self.folder.clone();
        let mut end = name.len();
        for level in &self.levels {
            path.push(name.get(end - level..end).unwrap_or_default());
            end -= level;
        }
        path.push(name);
        path
    }

    /// The key whose file has this path, if it is one.
    #[must_use]
    pub fn key_of(&self, path: &Path) -> Option<Key> {
        let name = path.file_name()?.to_str()?;
        let mut key = Key::default();
        if name.len() != 2 * key.len() {
            return None;
        }
        for (at, octet) in key.iter_mut().enumerate() {
            *octet = u8::from_str_radix(name.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        (self.path_of(&key) == path).then_some(key)
    }

    /// Removes the file of a key that the zone let go of. One that is gone already was nobody's.
    pub fn remove(&self, removed: Removed) {
        if removed.has_file {
            let _ = std::fs::remove_file(self.path_of(&removed.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_one_or_two_digits() {
        assert_eq!(levels("1:2"), Some(vec![1, 2]));
        assert_eq!(levels("2:2:2"), Some(vec![2, 2, 2]));
        for wrong in ["", "3", "1:", "1:2:1:2", "x", "1,2"] {
            assert_eq!(levels(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn paths_have_nginxs_form_and_lead_back() {
        let cache = |levels: &[usize]| Cache {
            name: String::new(),
            folder: "/c".into(),
            levels: levels.to_vec(),
            zone: Arc::new(Zone::new(0)),
            limits: CacheLimits::default(),
        };
        let key = *b"\xb7\xf5\x4b\x2d\xf7\x77\x37\x22\xd3\x82\xf4\x80\x9d\x65\x02\x9c";
        let path = cache(&[1, 2]).path_of(&key);
        assert_eq!(path, Path::new("/c/c/29/b7f54b2df7773722d382f4809d65029c"));
        assert_eq!(cache(&[1, 2]).key_of(&path), Some(key));
        assert_eq!(cache(&[]).key_of(&path), None);
        assert_eq!(cache(&[]).key_of(Path::new("/c/b7f54b2df7773722d382f4809d65029c")), Some(key));
        assert_eq!(cache(&[]).key_of(Path::new("/c/B7f54b2df7773722d382f4809d65029c")), None);
        assert_eq!(cache(&[]).key_of(Path::new("/c/+7f54b2df7773722d382f4809d65029c")), None);
    }
}
