//! uWSGI's Emperor: which files are vassals, how each is started, and what their state looks like to others.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemun_conf::{FileSystem, Loader};
use daemun_master::{BackOff, Realm, VassalState};
use serde_json::{Value, json};

/// What the options say of an emperor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmperorOptions {
    /// Folders and patterns; empty: there is no emperor.
    pub places: Vec<String>,
    /// Each vassal runs as the owner of its file.
    pub is_tyrant: bool,
    /// How often files are looked for.
    pub frequency: Option<Duration>,
    /// The first wait of a vassal that dies.
    pub throttle: Option<Duration>,
    /// The longest.
    pub max_throttle: Option<Duration>,
    /// Where the state is told.
    pub stats: Vec<String>,
    /// Endings of further files.
    pub extra_endings: Vec<String>,
    /// `NAME=VALUE` for each vassal.
    pub set: Vec<String>,
    /// Files that each vassal reads beside its own.
    pub templates: Vec<Template>,
    /// File for the emperor's process id.
    pub pidfile: Option<PathBuf>,
}

/// A file that each vassal reads beside its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// `--inherit` or `--include`.
    pub option: &'static str,
    /// The file.
    pub path: PathBuf,
    /// It is read before the vassal's own.
    pub is_before: bool,
}

impl Realm for EmperorOptions {
    fn scan(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for place in &self.places {
            let place = place.strip_prefix("glob:").or(place.strip_prefix("dir:")).unwrap_or(place);
            let path = Path::new(place);
            let named = if path.is_dir() { vec![path.to_owned()] } else { FileSystem.glob(path).unwrap_or_default() };
            for path in named {
                if path.is_dir() {
                    let entries = std::fs::read_dir(&path).into_iter().flatten().flatten().take(VASSALS_MAX);
                    found.extend(entries.map(|entry| entry.path()).filter(|path| self.option_of(path).is_some()));
                } else if path.is_file() {
                    found.push(path);
                }
            }
        }
        found.sort();
        found.dedup();
        found.truncate(VASSALS_MAX);
        found
    }

    fn arguments(&self, path: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["app".into()];
        let mut add = |option: &str, value: OsString| words.extend([option.into(), value]);
        let (before, after): (Vec<_>, Vec<_>) = self.templates.iter().partition(|template| template.is_before);
        before.into_iter().for_each(|template| add(template.option, template.path.clone().into()));
        self.set.iter().for_each(|pair| add("--set", pair.into()));
        add(self.option_of(path).unwrap_or("--ini"), path.into());
        after.into_iter().for_each(|template| add(template.option, template.path.clone().into()));
        words
    }

    /// One JSON text in uWSGI's shape.
    fn report(&self, vassals: &[VassalState]) -> String {
        let waiting = vassals.iter().filter(|vassal| vassal.deaths > 0 && vassal.pid.is_none());
        let black = |vassal: &VassalState| {
            json!({
                "id": vassal.path.to_string_lossy(), "throttle_level": vassal.waits_ms, "error": vassal.error,
                "attempts": vassal.deaths,
            })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uid": rustix::process::getuid().as_raw(),
            "gid": rustix::process::getgid().as_raw(),
            "cwd": std::env::current_dir().unwrap_or_default().to_string_lossy(),
            "emperor": self.places,
            "emperor_tyrant": u8::from(self.is_tyrant),
            "throttle_level": self.back_off().first.as_millis() as u64,
            "vassals": vassals.iter().map(|vassal| self.report_one(vassal)).collect::<Vec<_>>(),
            "blacklist": waiting.map(black).collect::<Vec<_>>(),
        })
        .to_string()
    }
}

impl EmperorOptions {
    /// The option that reads such a file.
    fn option_of(&self, path: &Path) -> Option<&'static str> {
        let ending = path.extension()?.to_str()?;
        match ending {
            "ini" => Some("--ini"),
            "yml" | "yaml" => Some("--yaml"),
            "json" | "js" => Some("--json"),
            "xml" => Some("--xml"),
            _ => self.extra_endings.iter().any(|extra| extra.trim_start_matches('.') == ending).then_some("--ini"),
        }
    }

    /// How long vassals that die wait.
    #[must_use]
    pub fn back_off(&self) -> BackOff {
        let usual = BackOff::default();
        BackOff {
            first: self.throttle.unwrap_or(FIRST_WAIT),
            longest: self.max_throttle.unwrap_or(LONGEST_WAIT),
            ..usual
        }
    }

    fn report_one(&self, vassal: &VassalState) -> Value {
        let is_serving = u8::from(vassal.is_ready);
        let (user, group) = if self.is_tyrant { (vassal.user, vassal.group) } else { (0, 0) };
        json!({
            "id": vassal.path.to_string_lossy(),
            "pid": vassal.pid.unwrap_or(-1),
            "born": vassal.first_run,
            "last_mod": vassal.modified,
            "last_heartbeat": 0,
            "loyal": is_serving,
            "ready": is_serving,
            "accepting": is_serving,
            "last_loyal": 0,
            "last_ready": 0,
            "last_accepting": 0,
            "last_run": vassal.last_run,
            "first_run": vassal.first_run,
            "cursed": u8::from(vassal.deaths > 0 && vassal.pid.is_none()),
            "zerg": 0,
            "on_demand": "",
            "uid": user,
            "gid": group,
            "monitor": self.places.first().map_or("", String::as_str),
            "respawns": vassal.respawns,
            "waits_ms": vassal.waits_ms,
            "error": vassal.error,
        })
    }
}

/// As in uWSGI.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// uWSGI waits for up to three minutes, too.
const LONGEST_WAIT: Duration = Duration::from_secs(180);

/// Vassals of one emperor.
const VASSALS_MAX: usize = 4096;
