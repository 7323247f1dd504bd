//! `open_file_cache`: descriptors, facts and errors by path, least recently used out first.
//!
//! Each thread has its own; locations that say the same of `max` and `inactive` share one. A hit makes no system call.

use std::cell::RefCell;
use std::ffi::CStr;
use std::rc::Rc;
use std::time::Duration;

use daemun_server::clock;
use daemun_server::config::{Core, OpenFileCache};
use daemun_server::response::OpenFile;

use crate::open_file::{
    FileFacts, FileKind, OpenError, Opened, OpenedFile, Validators, open_and_look, open_to_append, stat,
};
use crate::recency::Recency;

/// Opens the file at `path`, by the cache of the location.
///
/// # Errors
/// What the system says or, with `open_file_cache_errors`, has said.
pub(crate) fn open(core: &Core, path: &CStr) -> Result<Opened, OpenError> {
    with_file_cache(core, |cache, rules| cache.ask(path, Wanted::Descriptor, rules)).map(|answer| match answer {
        Answer { facts: FileFacts { kind: FileKind::Directory, .. }, .. } => Opened::Directory,
        Answer { facts, file: Some((file, validators)) } => Opened::File(OpenedFile { file, facts, validators }),
        Answer { .. } => Opened::Other,
    })
}

/// Looks at the file at `path`, by the cache of the location.
///
/// # Errors
/// As [`open`].
pub(crate) fn look_at(core: &Core, path: &CStr) -> Result<FileFacts, OpenError> {
    with_file_cache(core, |cache, rules| cache.ask(path, Wanted::Facts, rules)).map(|answer| answer.facts)
}

/// `open_log_file_cache`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogFileCache {
    /// Number of files and time without use.
    pub(crate) settings: OpenFileCache,
    /// After how long it is asked again whether the path still names the file.
    pub(crate) valid: Duration,
    /// Uses after which a file stays open.
    pub(crate) uses_min: u64,
}

/// Opens the log at `path` for appending, by the cache.
///
/// # Errors
/// What the system says.
pub(crate) fn open_log(cache: Option<&LogFileCache>, path: &CStr) -> Result<Rc<OpenFile>, OpenError> {
    thread_local! {
        static CACHES: RefCell<Vec<Cache>> = const { RefCell::new(Vec::new()) };
    }
    let settings = cache.map_or(NO_CACHE, |cache| cache.settings);
    let rules = Rules {
        now_ms: clock::monotonic_ms(),
        valid_ms: cache.map_or(0, |cache| milliseconds(cache.valid)),
        uses_min: cache.map_or(1, |cache| cache.uses_min),
        keeps_errors: false,
    };
    let answer = CACHES.with_borrow_mut(|caches| find_cache(caches, settings).ask(path, Wanted::Appending, &rules))?;
    let not_regular = OpenError { errno: rustix::io::Errno::INVAL, call: "open()" };
    answer.file.map(|(file, _)| file).ok_or(not_regular)
}

fn with_file_cache<R>(core: &Core, ask: impl FnOnce(&mut Cache, &Rules) -> R) -> R {
    thread_local! {
        static CACHES: RefCell<Vec<Cache>> = const { RefCell::new(Vec::new()) };
    }
    let settings = core.open_file_cache().unwrap_or(NO_CACHE);
    let rules = Rules {
        now_ms: clock::monotonic_ms(),
        valid_ms: milliseconds(core.open_file_cache_valid()),
        uses_min: core.open_file_cache_min_uses(),
        keeps_errors: core.open_file_cache_errors(),
    };
    CACHES.with_borrow_mut(|caches| ask(find_cache(caches, settings), &rules))
}

/// The cache with these settings, made if there is none.
fn find_cache(caches: &mut Vec<Cache>, settings: OpenFileCache) -> &mut Cache {
    let known = caches.iter().position(|cache| cache.settings == settings);
    let at = known.unwrap_or_else(|| {
        caches.push(Cache::new(settings));
        caches.len() - 1
    });
    &mut caches[at]
}

/// Stands in where a location without a cache asks nevertheless.
const NO_CACHE: OpenFileCache = OpenFileCache { files_max: 0, inactive: Duration::ZERO };

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a location says of its cache, and the present time.
struct Rules {
    now_ms: u64,
    valid_ms: u64,
    uses_min: u64,
    keeps_errors: bool,
}

/// What is asked of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Its facts.
    Facts,
    /// Its facts and, if it is a regular file, an open descriptor.
    Descriptor,
    /// The same, for writing at its end; the file is made if it is not there.
    Appending,
}

/// What is known of a path; the descriptor is there when it was asked for and the file is regular.
#[derive(Clone)]
struct Answer {
    facts: FileFacts,
    file: Option<(Rc<OpenFile>, Validators)>,
}

struct Cache {
    settings: OpenFileCache,
    entries: Recency<Rc<CStr>, Entry>,
}

struct Entry {
    known: Result<Answer, OpenError>,
    /// When `known` was found out.
    checked_ms: u64,
    asked_ms: u64,
    uses: u64,
}

/// Entries dropped at most for being inactive whenever one is asked for.
const INACTIVE_DROPPED: usize = 2;

impl Cache {
    fn new(settings: OpenFileCache) -> Self {
        Self { settings, entries: Recency::default() }
    }

    fn ask(&mut self, path: &CStr, wanted: Wanted, rules: &Rules) -> Result<Answer, OpenError> {
        let result = match self.entries.ask(path) {
            Some(entry) => entry.ask(path, wanted, rules),
            None => {
                let found = find_out(path, wanted);
                self.remember(path, &found, rules);
                found
            }
        };
        if result.is_err() && !rules.keeps_errors {
            // The descriptor is closed when the last answer that sends from it is out.
            self.entries.remove(path);
        }
        self.drop_inactive(rules.now_ms);
        result
    }

    /// Makes an entry for what was found out of a new path.
    fn remember(&mut self, path: &CStr, found: &Result<Answer, OpenError>, rules: &Rules) {
        if self.settings.files_max == 0 || (found.is_err() && !rules.keeps_errors) {
            return;
        }
        if self.entries.len() >= self.settings.files_max {
            self.entries.remove_oldest();
        }
        let known = Err(OpenError { errno: rustix::io::Errno::NOENT, call: "" });
        let mut entry = Entry { known, checked_ms: rules.now_ms, asked_ms: rules.now_ms, uses: 1 };
        entry.keep(found, rules.uses_min);
        self.entries.insert(path.into(), entry);
    }

    fn drop_inactive(&mut self, now_ms: u64) {
        let inactive_ms = milliseconds(self.settings.inactive);
        for _ in 0..INACTIVE_DROPPED {
            match self.entries.oldest() {
                Some((_, entry)) if now_ms.saturating_sub(entry.asked_ms) > inactive_ms => {
                    self.entries.remove_oldest();
                }
                _ => return,
            }
        }
    }
}

impl Entry {
    fn ask(&mut self, path: &CStr, wanted: Wanted, rules: &Rules) -> Result<Answer, OpenError> {
        self.uses += 1;
        self.asked_ms = rules.now_ms;
        let is_fresh = rules.now_ms - self.checked_ms.min(rules.now_ms) < rules.valid_ms;
        if is_fresh && self.answers(wanted) {
            return self.known.clone();
        }
        let found = if is_fresh { find_out(path, wanted) } else { check_again(&self.known, path, wanted) };
        if found.is_ok() || rules.keeps_errors {
            self.checked_ms = rules.now_ms;
            self.keep(&found, rules.uses_min);
        }
        found
    }

    /// Whether what is known is what is wanted: a file that is not kept open must be opened again.
    fn answers(&self, wanted: Wanted) -> bool {
        match &self.known {
            Ok(answer) => wanted == Wanted::Facts || answer.file.is_some() || answer.facts.kind != FileKind::Regular,
            Err(_) => true,
        }
    }

    /// Takes what was found out; the descriptor only of a file that is used often enough.
    fn keep(&mut self, found: &Result<Answer, OpenError>, uses_min: u64) {
        self.known = found.clone();
        if let Ok(answer) = &mut self.known
            && self.uses < uses_min
        {
            answer.file = None;
        }
    }
}

/// Asks the system.
fn find_out(path: &CStr, wanted: Wanted) -> Result<Answer, OpenError> {
    if wanted == Wanted::Facts {
        return stat(path).map(|facts| Answer { facts, file: None });
    }
    let (file, facts) = if wanted == Wanted::Appending { open_to_append(path)? } else { open_and_look(path)? };
    let file = (facts.kind == FileKind::Regular).then(|| (Rc::new(file), Validators::of(&facts)));
    Ok(Answer { facts, file })
}

/// Asks the system whether the path still names the file that is open; if so, its descriptor goes on being used.
fn check_again(known: &Result<Answer, OpenError>, path: &CStr, wanted: Wanted) -> Result<Answer, OpenError> {
    let Ok(Answer { facts: old, file: Some((file, _)) }) = known else { return find_out(path, wanted) };
    let facts = match stat(path) {
        Err(_) if wanted == Wanted::Appending => return find_out(path, wanted), // It was moved away.
        facts => facts?,
    };
    if facts.identity != old.identity {
        return find_out(path, wanted);
    }
    Ok(Answer { facts, file: Some((Rc::clone(file), Validators::of(&facts))) })
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn c_path(path: &Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).expect("no NUL")
    }

    fn cache(files_max: usize) -> Cache {
        Cache::new(OpenFileCache { files_max, inactive: Duration::from_secs(20) })
    }

    fn rules(now_ms: u64) -> Rules {
        Rules { now_ms, valid_ms: 60_000, uses_min: 1, keeps_errors: false }
    }

    fn size(answer: &Result<Answer, OpenError>) -> u64 {
        answer.as_ref().expect("found").facts.size
    }

    #[test]
    fn a_file_is_looked_at_again_when_it_is_no_longer_valid() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        std::fs::write(&file, "one").expect("written");
        let path = c_path(&file);
        let mut cache = cache(10);
        let first = cache.ask(&path, Wanted::Descriptor, &rules(0));
        std::fs::write(&file, "three").expect("written");
        assert_eq!(size(&cache.ask(&path, Wanted::Descriptor, &rules(1_000))), 3);
        for now_ms in (10_000..60_000).step_by(10_000) {
            assert_eq!(size(&cache.ask(&path, Wanted::Facts, &rules(now_ms))), 3);
        }
        let again = cache.ask(&path, Wanted::Descriptor, &rules(60_000));
        assert_eq!(size(&again), 5);
        let descriptor = |answer: &Result<Answer, OpenError>| {
            answer.as_ref().ok().and_then(|answer| answer.file.as_ref()).map(|(file, _)| Rc::as_ptr(file))
        };
        assert_eq!(descriptor(&first), descriptor(&again), "the file is the same, so its descriptor is");

        std::fs::remove_file(&file).expect("removed");
        assert_eq!(size(&cache.ask(&path, Wanted::Descriptor, &rules(70_000))), 5);
        assert!(cache.ask(&path, Wanted::Descriptor, &rules(121_000)).is_err());
        assert_eq!(cache.entries.len(), 0);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths: Vec<_> = ["a", "b", "c"].iter().map(|name| c_path(&folder.path().join(name))).collect();
        for name in ["a", "b", "c"] {
            std::fs::write(folder.path().join(name), name).expect("written");
        }
        let mut cache = cache(2);
        for path in [0, 1, 0, 2, 2, 0] {
            assert!(cache.ask(&paths[path], Wanted::Facts, &rules(0)).is_ok());
        }
        let is_kept = |cache: &Cache, path: usize| cache.entries.get(paths[path].as_c_str()).is_some();
        assert!(is_kept(&cache, 0) && !is_kept(&cache, 1) && is_kept(&cache, 2));
        assert!(cache.ask(&paths[1], Wanted::Facts, &rules(1)).is_ok());
        assert!(is_kept(&cache, 0) && is_kept(&cache, 1) && !is_kept(&cache, 2));
        assert_eq!(cache.entries.len(), 2, "places are used again");

        assert!(cache.ask(&paths[0], Wanted::Facts, &rules(20_002)).is_ok());
        assert!(is_kept(&cache, 0) && !is_kept(&cache, 1), "inactive for too long");
    }

    #[test]
    fn errors_are_kept_where_that_is_wanted() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("later");
        let path = c_path(&file);
        let keeps_errors = |now_ms| Rules { keeps_errors: true, ..rules(now_ms) };
        let mut cache = cache(10);
        assert!(cache.ask(&path, Wanted::Facts, &rules(0)).is_err());
        assert_eq!(cache.entries.len(), 0);
        assert!(cache.ask(&path, Wanted::Facts, &keeps_errors(0)).is_err());
        std::fs::write(&file, "x").expect("written");
        assert!(cache.ask(&path, Wanted::Facts, &keeps_errors(10)).is_err());
        assert!(cache.ask(&path, Wanted::Descriptor, &keeps_errors(60_000)).is_ok());
    }

    #[test]
    fn a_seldom_used_file_is_not_kept_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        std::fs::write(&file, "x").expect("written");
        let path = c_path(&file);
        let mut cache = cache(10);
        let is_open = |cache: &Cache| {
            let entry = cache.entries.get(path.as_c_str()).expect("kept");
            entry.known.as_ref().is_ok_and(|answer| answer.file.is_some())
        };
        for expected in [false, false, true] {
            let rules = Rules { uses_min: 3, ..rules(0) };
            assert!(cache.ask(&path, Wanted::Descriptor, &rules).expect("found").file.is_some());
            assert_eq!(is_open(&cache), expected);
        }
    }

    #[test]
    fn a_directory_and_a_socket_have_no_descriptor() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut cache = cache(10);
        let answer = cache.ask(&c_path(folder.path()), Wanted::Descriptor, &rules(0)).expect("found");
        assert!(answer.facts.is_directory() && answer.file.is_none());
        let answer = cache.ask(c"/dev/null", Wanted::Descriptor, &rules(0)).expect("found");
        assert!(answer.facts.kind == FileKind::Other && answer.file.is_none());
    }
}
