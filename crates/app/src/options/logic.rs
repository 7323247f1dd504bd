//! uWSGI's `if-...`, `for...`, `else` and `end...` lines, which say which of the settings behind them count, and how often.

use std::path::Path;

use daemun_conf::Loader;

use crate::options::expand::environment_value;
use crate::options::setting::Setting;
use crate::options::surroundings::Surroundings;

/// The block that is open: each setting in it is taken once for each of these, which stand for its `%(_)`.
#[derive(Debug, Default)]
pub(crate) struct Logic {
    rounds: Option<Vec<String>>,
    /// Whether the condition before an `else` did not hold.
    has_failed: bool,
}

/// What the conditions may look at.
pub(crate) struct Facts<'a> {
    pub loader: &'a dyn Loader,
    pub surroundings: &'a Surroundings,
    pub settings: &'a [Setting],
}

impl Logic {
    /// Whether the line belongs to the logic; then it has been obeyed and is no setting.
    pub(crate) fn take(&mut self, key: &str, value: &str, facts: &Facts<'_>) -> bool {
        match key {
            "end" | "endif" | "end-if" | "endfor" | "end-for" => *self = Self::default(),
            "else" => self.rounds = Some(if self.has_failed { vec![String::new()] } else { Vec::new() }),
            "for" => self.repeat(value.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()),
            "for-times" => {
                self.repeat((1..=value.parse().unwrap_or(0).min(TIMES_MAX)).map(|n| n.to_string()).collect())
            }
            "for-glob" => {
                let pattern = facts.surroundings.working_directory.join(value);
                let paths = facts.loader.glob(&pattern).unwrap_or_default();
                self.repeat(paths.iter().map(|path| path.display().to_string()).collect());
            }
            "for-readline" => {
                let text = facts.loader.read(&facts.surroundings.working_directory.join(value)).unwrap_or_default();
                self.repeat(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect());
            }
            _ => match key.strip_prefix("if-").and_then(|condition| evaluate(condition, value, facts)) {
                Some(held) => {
                    self.has_failed = held.is_none();
                    self.rounds = Some(held.into_iter().collect());
                }
                None => return false,
            },
        }
        true
    }

    /// The setting as often as the open block says.
    pub(crate) fn rounds(&self, setting: Setting) -> Vec<Setting> {
        let Some(rounds) = &self.rounds else {
            return vec![setting];
        };
        let of = |round: &String| {
            let mut setting = setting.clone();
            if let Some(value) = &mut setting.value {
                value.text = value.text.replace("%(_)", round);
            }
            setting
        };
        rounds.iter().map(of).collect()
    }

    fn repeat(&mut self, rounds: Vec<String>) {
        self.has_failed = false;
        self.rounds = Some(rounds);
    }
}

/// `None`: no such condition. `Some(None)`: it does not hold. `Some(Some(text))`: it holds, and `%(_)` is this.
fn evaluate(condition: &str, value: &str, facts: &Facts<'_>) -> Option<Option<String>> {
    let (is_negated, condition) = match condition.strip_prefix("not-") {
        Some(condition) => (true, condition),
        None => (false, condition),
    };
    let path = facts.surroundings.working_directory.join(value);
    let found = match condition {
        "env" => compare(value, |name| environment_value(name, &facts.surroundings.environment)),
        "opt" => compare(value, |name| {
            let setting = facts.settings.iter().find(|setting| setting.key.text == name)?;
            Some(setting.value_text().to_owned())
        }),
        "exists" => path.exists().then(|| value.to_owned()),
        "file" => Path::is_file(&path).then(|| value.to_owned()),
        "dir" | "directory" => path.is_dir().then(|| value.to_owned()),
        "hostname" => (value == facts.surroundings.host_name).then(|| value.to_owned()),
        "plugin" => (value.starts_with("python") || value == "http").then(|| value.to_owned()),
        // What is read is always read for a start of its own.
        "reload" => None,
        _ => return None,
    };
    Some(match (is_negated, found) {
        (false, found) => found,
        (true, None) => Some(value.to_owned()),
        (true, Some(_)) => None,
    })
}

/// `NAME` is there, or `NAME=VALUE` is what it is.
fn compare(text: &str, look_up: impl Fn(&str) -> Option<String>) -> Option<String> {
    match text.split_once('=') {
        Some((name, wanted)) => look_up(name).filter(|value| value == wanted),
        None => look_up(text),
    }
}

/// Most rounds of `for-times`.
const TIMES_MAX: u32 = 10_000;
