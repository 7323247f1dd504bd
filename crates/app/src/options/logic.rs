//! uWSGI's `if-...`, `for...`, `else` and `end...` lines, which say which of the settings behind them count, and how often.

use std::path::Path;

use daemun_conf::Loader;
use daemun_server::Expression;

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
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn take(&mut self, key: &str, value: &str, facts: &Facts<'_>) -> Result<bool, String> {
        match key {
            "end" | "endif" | "end-if" | "endfor" | "end-for" => *self = Self::default(),
            "else" => self.rounds = Some(if self.has_failed { vec![String::new()] } else { Vec::new() }),
            _ => {
                let Some(rounds) = begin(key, value, facts) else { return Ok(false) };
                if self.rounds.is_some() {
                    return Err(format!("\"{key}\" stands inside of another condition or loop, which uWSGI cannot do"));
                }
                let rounds = rounds?;
                self.has_failed = rounds.is_empty() && key.starts_with("if");
                self.rounds = Some(rounds);
            }
        }
        Ok(true)
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
}

/// What `%(_)` is in each round of the block that the line begins; `None` if it begins none.
fn begin(key: &str, value: &str, facts: &Facts<'_>) -> Option<Result<Vec<String>, String>> {
    let folder = &facts.surroundings.working_directory;
    let rounds = match key {
        "for" => value.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        "for-times" => (1..=value.parse().unwrap_or(0).min(TIMES_MAX)).map(|n| n.to_string()).collect(),
        "for-glob" => glob(value, facts),
        "for-readline" => match facts.loader.read(&folder.join(value)) {
            Ok(text) => String::from_utf8_lossy(&text).lines().map(str::to_owned).collect(),
            Err(error) => return Some(Err(format!("\"{value}\" cannot be read: {error}"))),
        },
        _ => {
            // Both spellings are uWSGI's: if-env and ifenv.
            let condition = key.strip_prefix("if-").or_else(|| key.strip_prefix("if"))?;
            return evaluate(condition, value, facts).map(|held| held.map(|held| held.into_iter().collect()));
        }
    };
    Some(Ok(rounds))
}

/// What the pattern matches; the pattern itself if that is nothing. As in a shell, what was written relative stays so, and a
/// folder ends with a slash.
fn glob(pattern: &str, facts: &Facts<'_>) -> Vec<String> {
    let folder = &facts.surroundings.working_directory;
    let paths = facts.loader.glob(&folder.join(pattern)).unwrap_or_default();
    if paths.is_empty() {
        return vec![pattern.to_owned()];
    }
    let name = |path: &std::path::PathBuf| {
        let shown = if pattern.starts_with('/') { path } else { path.strip_prefix(folder).unwrap_or(path) };
        let slash = if path.is_dir() { "/" } else { "" };
        format!("{}{slash}", shown.display())
    };
    paths.iter().map(name).collect()
}

/// `None`: no such condition. `Ok(None)`: it does not hold. `Ok(Some(text))`: it holds, and `%(_)` is this.
fn evaluate(condition: &str, value: &str, facts: &Facts<'_>) -> Option<Result<Option<String>, String>> {
    let (is_negated, condition) = match condition.strip_prefix("not-") {
        Some(condition) => (true, condition),
        None => (false, condition),
    };
    let path = facts.surroundings.working_directory.join(value);
    let surroundings = facts.surroundings;
    let if_so = |holds: bool| holds.then(|| value.to_owned());
    let found = match condition {
        "env" => compare(value, |name| environment_value(name, &surroundings.environment)),
        "opt" => compare(value, |name| {
            let setting = facts.settings.iter().find(|setting| setting.key.text == name)?;
            Some(setting.value_text().to_owned())
        }),
        "exists" => if_so(path.exists()),
        "file" => if_so(Path::is_file(&path)),
        "dir" | "directory" => if_so(path.is_dir()),
        "hostname" => if_so(value == surroundings.host_name),
        "hostname-match" => match Expression::new(value, false) {
            Ok(expression) => if_so(expression.is_match(surroundings.host_name.as_bytes())),
            Err(error) => return Some(Err(error.to_string())),
        },
        "plugin" => if_so(value.starts_with("python") || value == "http"),
        "reload" => if_so(surroundings.is_reload),
        _ => return None,
    };
    Some(Ok(match (is_negated, found) {
        (false, found) => found,
        (true, None) => Some(value.to_owned()),
        (true, Some(_)) => None,
    }))
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
