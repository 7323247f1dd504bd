//! Settings to [`PoolOptions`]: each by its entry in the table, and a message for each that has none.

use std::collections::{HashMap, HashSet};

use daemun_conf::{Diagnostic, Severity, Span, nearest};

use crate::options::facilities;
use crate::options::known::{Known, argument_of, known, known_names};
use crate::options::pool::{LogTarget, PoolOptions};
use crate::options::setting::{Role, Setting, Value};
use crate::options::table::{Argument, State, UwsgiOption};

/// Takes all settings into a pool's configuration. `used` are the names that placeholders refer to.
pub(crate) fn apply_all(
    settings: &[Setting],
    used: &HashSet<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> PoolOptions {
    let is_strict = is_strict(settings);
    let mut applier = Applier { pool: PoolOptions::default(), seen: HashMap::new(), is_strict, used, diagnostics };
    for setting in settings.iter().filter(|setting| setting.role == Role::Option) {
        applier.apply(setting);
    }
    let mut pool = applier.pool;
    facilities::tell_settings(&mut pool, settings);
    diagnostics.extend(facilities::check(&pool).map(Diagnostic::error_without_place));
    let mut warn = |message: String| {
        diagnostics.push(Diagnostic::error_without_place(message).with_severity(Severity::Warning));
    };
    if let (Some(module), Some(file)) = (&pool.module, &pool.wsgi_file) {
        let message = format!("both module \"{module}\" and wsgi-file \"{}\": the module is served", file.display());
        warn(message);
    }
    if let Some(file) = pool.loggers.iter().find_map(LogTarget::file) {
        for (option, other) in [("logto", &pool.logto), ("daemonize", &pool.daemonize)] {
            if let Some(other) = other.as_deref().filter(|other| *other != file) {
                let (file, other) = (file.display(), other.display());
                warn(format!("both logger \"file:{file}\" and {option} \"{other}\": the log goes to the logger"));
            }
        }
    }
    pool
}

/// Asked first: `strict` holds for the lines before it too.
fn is_strict(settings: &[Setting]) -> bool {
    let last = settings.iter().rfind(|setting| setting.key.text == "strict");
    last.is_some_and(|setting| Value::new(setting, &mut Vec::new(), true).flag())
}

struct Applier<'a> {
    pool: PoolOptions,
    /// Where each option of the table was set last.
    seen: HashMap<&'static str, Span>,
    is_strict: bool,
    used: &'a HashSet<String>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Applier<'_> {
    fn apply(&mut self, setting: &Setting) {
        let name = &setting.key.text;
        let span = setting.key.span;
        match known(name) {
            Some(Known::Entry(option)) => self.apply_entry(option, setting),
            Some(Known::NoEffect(reason)) => {
                let message = format!("option \"{name}\" has no effect in daemun: {reason}");
                self.diagnostics.push(Diagnostic::notice(span, message));
            }
            Some(Known::Refused(reason)) => {
                let message = format!("option \"{name}\" is not supported by daemun");
                self.diagnostics.push(Diagnostic::error(span, message).with_hint(reason));
            }
            Some(Known::NotYet) => self.not_yet(setting),
            None if self.is_strict || !self.used.contains(name) => self.unknown(setting),
            None => {}
        }
    }

    fn apply_entry(&mut self, option: &'static UwsgiOption, setting: &Setting) {
        let span = setting.key.span;
        if option.argument == Argument::Value && setting.value.is_none() {
            self.diagnostics.push(Diagnostic::error(span, format!("option \"{}\" needs a value", setting.key.text)));
            return;
        }
        let before = self.seen.insert(option.name, span);
        if let Some(before) = before.filter(|before| before.file == span.file && !option.is_list) {
            let message = format!("option \"{}\" is set again, and this one holds", setting.key.text);
            let hint = format!("the one before is in line {}", before.line);
            self.diagnostics.push(Diagnostic::warning(span, message).with_hint(hint));
        }
        let mut value = Value::new(setting, self.diagnostics, self.is_strict);
        if let Err(diagnostic) = (option.set)(&mut self.pool, &mut value) {
            self.diagnostics.push(diagnostic);
        }
        if option.state == State::NotYet {
            self.not_yet(setting);
        }
    }

    fn not_yet(&mut self, setting: &Setting) {
        let mut unheard = Vec::new();
        // "option = false" asks for nothing.
        let is_flag = argument_of(&setting.key.text) == Some(Argument::Flag);
        if is_flag && !Value::new(setting, &mut unheard, self.is_strict).flag() {
            return;
        }
        let message = format!("option \"{}\" is not supported by daemun yet", setting.key.text);
        self.diagnostics.push(graded(setting.key.span, message, self.is_strict));
    }

    fn unknown(&mut self, setting: &Setting) {
        let name = &setting.key.text;
        let diagnostic = graded(setting.key.span, format!("unknown option \"{name}\""), self.is_strict);
        let suggestion = nearest(name, known_names());
        self.diagnostics.push(if suggestion.is_some() {
            diagnostic.with_suggestion(suggestion)
        } else if self.is_strict {
            diagnostic.with_hint(format!("strict takes placeholders as set-placeholder = {name}=VALUE"))
        } else {
            diagnostic.with_hint(format!("it is no placeholder either: no value has %({name})"))
        });
    }
}

/// A warning, or under `strict` an error.
pub(crate) fn graded(span: Span, message: String, is_strict: bool) -> Diagnostic {
    if is_strict { Diagnostic::error(span, message) } else { Diagnostic::warning(span, message) }
}
