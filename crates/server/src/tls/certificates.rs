//! Certificates and keys from files, at the start, or for each connection where their names have variables.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use daemun_conf::{ArgumentError, Arguments, Diagnostic, Span, parse_seconds};
use daemun_net::SystemCause;
use daemun_net::tls::{Certificate, CertifiedKey, CertifiedKeyError, RevocationList, certificates};

use super::KeySource;
use crate::config::{Build, setter};
use crate::{Request, Template};

/// A file's name and where it is written.
pub type Place = (String, Span);

/// A file's name, or `data:` and its text, as a directive has it.
#[derive(Clone)]
pub struct Written {
    /// The text with its variables.
    pub name: Template,
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
}

impl Written {
    /// Reads the only argument.
    ///
    /// # Errors
    /// For an unknown variable, and what would be asked of OpenSSL's engines.
    pub fn read(arguments: &Arguments<'_>) -> Result<Self, ArgumentError> {
        let text = arguments.text(0)?;
        for scheme in ["engine:", "store:"] {
            if text.starts_with(scheme) && !text.starts_with(STORED_FILE) {
                return Err(ArgumentError::new(Some(0), format!("\"{scheme}\" is not supported by daemun yet")));
            }
        }
        Ok(Self { name: setter::template(arguments, 0)?, text: text.to_owned(), span: arguments.span() })
    }

    fn constant(&self) -> Option<String> {
        self.name.as_constant().map(|name| String::from_utf8_lossy(name).into_owned())
    }
}

/// The text of a file that a directive names.
///
/// # Errors
/// It cannot be read.
pub fn read(place: &Place, build: &Build<'_>) -> Result<Vec<u8>, Diagnostic> {
    let path = build.configuration_folder().join(&place.0);
    build.read_file(&path).map_err(|error| {
        let text = format!("open() \"{}\" failed ({})", path.display(), SystemCause(&error));
        Diagnostic::error(place.1, text)
    })
}

/// The certificates of a file, at least one.
///
/// # Errors
/// There is none.
pub fn authorities(place: &Place, build: &Build<'_>) -> Result<Vec<Certificate>, Diagnostic> {
    let found = certificates(&read(place, build)?).filter(|found| !found.is_empty());
    found.ok_or_else(|| Diagnostic::error(place.1, format!("\"{}\" has no certificate", place.0)))
}

/// The lists of revoked certificates of a file, at least one.
///
/// # Errors
/// There is none.
pub fn revoked(place: &Place, build: &Build<'_>) -> Result<Vec<RevocationList>, Diagnostic> {
    let lists = RevocationList::all_of(&read(place, build)?).filter(|lists| !lists.is_empty());
    lists.ok_or_else(|| Diagnostic::error(place.1, format!("\"{}\" has no certificate revocation list", place.0)))
}

/// The lines of a password file.
///
/// # Errors
/// It cannot be read.
pub fn passwords(place: Option<&Place>, build: &Build<'_>) -> Result<Vec<Vec<u8>>, Diagnostic> {
    let Some(place) = place else { return Ok(Vec::new()) };
    let text = read(place, build)?;
    let lines = text.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Ok(lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Certificates and their keys, by name.
pub struct Pairs {
    pairs: Vec<(Written, Written)>,
    folder: PathBuf,
    passwords: Vec<Vec<u8>>,
}

impl Pairs {
    /// The nth certificate with the nth key.
    ///
    /// # Errors
    /// A certificate has no key.
    pub fn of(
        certificates: &[Written],
        keys: &[Written],
        passwords: Vec<Vec<u8>>,
        build: &Build<'_>,
    ) -> Result<Self, Diagnostic> {
        if let Some(lonely) = certificates.get(keys.len()..).and_then(<[Written]>::last) {
            let name = lonely.constant().unwrap_or_default();
            let text = format!("no \"ssl_certificate_key\" is defined for certificate \"{name}\"");
            return Err(Diagnostic::error(lonely.span, text));
        }
        let pairs = certificates.iter().cloned().zip(keys.iter().cloned()).collect();
        Ok(Self { pairs, folder: build.configuration_folder(), passwords })
    }

    /// Puts another pair in the place of these.
    pub fn add(&mut self, certificate: Written, key: Written) {
        self.pairs = vec![(certificate, key)];
    }

    /// Whether any name has variables.
    #[must_use]
    pub fn have_variables(&self) -> bool {
        self.pairs.iter().any(|(certificate, key)| certificate.constant().is_none() || key.constant().is_none())
    }

    /// Reads those that have no variables in their names.
    ///
    /// # Errors
    /// Whatever stands in the way of a certificate or its key.
    pub fn load(&self, build: &Build<'_>) -> Result<Vec<CertifiedKey>, Diagnostic> {
        let read = |path: &Path| build.read_file(path);
        let load = |(certificate, key): &(Written, Written)| {
            let names = (certificate.constant().unwrap_or_default(), key.constant().unwrap_or_default());
            self.pair(&names.0, &names.1, &read).map_err(|error| Diagnostic::error(certificate.span, error))
        };
        let mut keys: Vec<CertifiedKey> = Vec::new();
        for key in self.pairs.iter().map(load) {
            let key = key?;
            keys.retain(|other| !other.is_same_kind(&key)); // The last of a kind is shown.
            keys.push(key);
        }
        Ok(keys)
    }

    /// What tells these from others while they are not read.
    #[must_use]
    pub fn context(&self) -> Vec<u8> {
        self.pairs.iter().flat_map(|(certificate, _)| certificate.text.bytes()).collect()
    }

    fn pair(
        &self,
        certificate: &str,
        key: &str,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<CertifiedKey, String> {
        let text = |name: &str, what: &str| match name.strip_prefix("data:") {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => {
                let path = self.folder.join(name.strip_prefix(STORED_FILE).unwrap_or(name));
                let failed = |error: io::Error| {
                    format!(
                        "cannot load {what} \"{}\": BIO_new_file() failed ({})",
                        path.display(),
                        SystemCause(&error)
                    )
                };
                read(&path).map_err(failed)
            }
        };
        let shown = |name: &str| match name.starts_with("data:") {
            true => "data:".to_owned(), // What follows may be secret.
            false => self.folder.join(name).display().to_string(),
        };
        let (chain, secret) = (text(certificate, "certificate")?, text(key, "certificate key")?);
        CertifiedKey::new(&chain, &secret, &self.passwords).map_err(|error| match error {
            CertifiedKeyError::Certificate => format!("cannot load certificate \"{}\": {error}", shown(certificate)),
            CertifiedKeyError::Key(_) => format!("cannot load certificate key \"{}\": {error}", shown(key)),
            CertifiedKeyError::Mismatch => format!("SSL_CTX_use_PrivateKey(\"{}\") failed (SSL: {error})", shown(key)),
        })
    }

    /// Has them read for each connection.
    #[must_use]
    pub fn into_source(self, cache: Option<CacheSetting>) -> Box<dyn KeySource> {
        Box::new(VariableKeys { pairs: self, cache: cache.map(KeyCache::new) })
    }
}

/// Pairs whose names have variables.
struct VariableKeys {
    pairs: Pairs,
    cache: Option<KeyCache>,
}

impl KeySource for VariableKeys {
    fn keys(&self, request: &Request) -> Result<Vec<CertifiedKey>, String> {
        let render = |written: &Written| {
            let mut name = Vec::new();
            written.name.render(request, &mut name);
            String::from_utf8_lossy(&name).into_owned()
        };
        let mut keys = Vec::new();
        for (certificate, key) in &self.pairs.pairs {
            let (certificate, key) = (render(certificate), render(key));
            if certificate.is_empty() {
                continue; // nginx passes such a pair over.
            }
            let read = |path: &Path| std::fs::read(path);
            let load = || self.pairs.pair(&certificate, &key, &read);
            keys.push(match &self.cache {
                Some(cache) => cache.get(&self.pairs.folder, &certificate, &key, load)?,
                None => load()?,
            });
        }
        Ok(keys)
    }
}

/// `ssl_certificate_cache`.
#[derive(Clone, Copy, Debug)]
pub struct CacheSetting {
    entries_max: usize,
    inactive: Duration,
    valid: Duration,
}

impl CacheSetting {
    /// Reads it; `None` is `off`.
    ///
    /// # Errors
    /// For an unknown parameter, and without `max`.
    pub fn read(arguments: &Arguments<'_>) -> Result<Option<Self>, ArgumentError> {
        let mut setting = Self { entries_max: 0, inactive: Duration::from_secs(10), valid: Duration::from_secs(60) };
        for index in 0..arguments.len() {
            let wrong = || arguments.invalid_parameter(index);
            match arguments.parameter(index) {
                Some(("max", value)) => {
                    setting.entries_max = value.parse().ok().filter(|max| *max > 0).ok_or_else(wrong)?;
                }
                Some(("inactive", value)) => setting.inactive = parse_seconds(value).ok_or_else(wrong)?,
                Some(("valid", value)) => setting.valid = parse_seconds(value).ok_or_else(wrong)?,
                _ if arguments.text(index)? == "off" => return Ok(None),
                _ => return Err(wrong()),
            }
        }
        if setting.entries_max == 0 {
            let text = format!("\"{}\" must have the \"max\" parameter", arguments.name());
            return Err(ArgumentError::new(None, text));
        }
        Ok(Some(setting))
    }
}

/// Pairs that were read, by name.
struct KeyCache {
    setting: CacheSetting,
    entries: Mutex<HashMap<(String, String), Entry>>,
}

struct Entry {
    key: CertifiedKey,
    changed: [Option<SystemTime>; 2],
    checked: Instant,
    used: Instant,
}

impl KeyCache {
    fn new(setting: CacheSetting) -> Self {
        // As in nginx, a certificate and its key count as two.
        let entries_max = setting.entries_max.div_ceil(2);
        Self { setting: CacheSetting { entries_max, ..setting }, entries: Mutex::default() }
    }

    /// The pair as it was read, unless its files have changed since; what is not used for a while goes.
    fn get(
        &self,
        folder: &Path,
        certificate: &str,
        key: &str,
        load: impl FnOnce() -> Result<CertifiedKey, String>,
    ) -> Result<CertifiedKey, String> {
        let now = Instant::now();
        let changed = || [certificate, key].map(|name| modified(folder, name));
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| now.duration_since(entry.used) < self.setting.inactive);
        let names = (certificate.to_owned(), key.to_owned());
        if let Some(entry) = entries.get_mut(&names) {
            entry.used = now;
            if now.duration_since(entry.checked) < self.setting.valid {
                return Ok(entry.key.clone());
            }
            if entry.changed == changed() {
                entry.checked = now;
                return Ok(entry.key.clone());
            }
            entries.remove(&names);
        }
        let times = changed();
        let loaded = load()?;
        if loaded.was_encrypted() {
            return Ok(loaded);
        }
        if entries.len() >= self.setting.entries_max {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(names, _)| names.clone());
            oldest.and_then(|names| entries.remove(&names));
        }
        entries.insert(names, Entry { key: loaded.clone(), changed: times, checked: now, used: now });
        Ok(loaded)
    }
}

/// What of OpenSSL's stores there is: files by URL.
const STORED_FILE: &str = "store:file:";

/// When a file was last changed; text in the configuration never is.
fn modified(folder: &Path, name: &str) -> Option<SystemTime> {
    if name.starts_with("data:") {
        return None;
    }
    std::fs::metadata(folder.join(name.strip_prefix(STORED_FILE).unwrap_or(name))).and_then(|data| data.modified()).ok()
}
