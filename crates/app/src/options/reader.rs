//! All sources to one list of settings, and the list to [`PoolOptions`].

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use daemun_conf::{Diagnostic, FileId, Loader, SourceKind, Sources, Span, Word, render_all};

use crate::options::apply::apply_all;
use crate::options::command_line;
use crate::options::expand::{environment_value, expand, resolve_placeholders, resolve_text};
use crate::options::format::{Format, USUAL_SECTION, missing_section};
use crate::options::known::known;
use crate::options::logic::{Facts, Logic};
use crate::options::magic::Magic;
use crate::options::pool::{Command, PoolOptions};
use crate::options::setting::{Role, Setting};
use crate::options::surroundings::Surroundings;

/// Reads uWSGI's command line (without the program's name), the files it names and the `UWSGI_...` variables.
pub fn read_arguments(loader: &dyn Loader, surroundings: &Surroundings, arguments: &[String]) -> Reading {
    let mut reader = Reader::new(loader, surroundings);
    reader.environment();
    reader.arguments(arguments);
    reader.finish()
}

/// Reads one file, `PATH` or `PATH:SECTION`, in the form that its name's ending says; without a known ending it is ini.
pub fn read_file(loader: &dyn Loader, surroundings: &Surroundings, path: &str) -> Reading {
    let mut reader = Reader::new(loader, surroundings);
    reader.file(path, Format::of_name(path).unwrap_or(Format::Ini), None);
    reader.finish()
}

/// As [`read_file`], with the `UWSGI_...` variables before it: for the only application of the program.
pub fn read_only_file(loader: &dyn Loader, surroundings: &Surroundings, path: &str) -> Reading {
    let mut reader = Reader::new(loader, surroundings);
    reader.environment();
    reader.file(path, Format::of_name(path).unwrap_or(Format::Ini), None);
    reader.finish()
}

/// What came out of reading.
#[derive(Debug)]
pub struct Reading {
    /// The configuration.
    pub pool: PoolOptions,
    /// The texts, for rendering messages.
    pub sources: Sources,
    /// The messages, in the order of reading.
    pub diagnostics: Vec<Diagnostic>,
    /// Names and values of all settings, in the order of reading, with everything in them replaced; `None` for an option of
    /// the command line without a value.
    settings: Vec<(String, Option<String>)>,
}

impl Reading {
    /// Whether the configuration must be refused.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// All messages as text.
    pub fn render(&self) -> String {
        render_all(&self.diagnostics, &self.sources)
    }

    /// All settings as one ini text: what `show-config` prints, in uWSGI's form.
    pub fn as_ini(&self) -> String {
        let mut text = String::from("\n;uWSGI instance configuration\n[uwsgi]\n");
        for (name, value) in &self.settings {
            text.extend([name, " = ", value.as_deref().unwrap_or("true"), "\n"]);
        }
        text.push_str(";end of configuration\n\n");
        text
    }
}

struct Reader<'a> {
    loader: &'a dyn Loader,
    surroundings: &'a Surroundings,
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    settings: Vec<Setting>,
    /// The files of `inherit`, which are read after everything else.
    inherited: Vec<Word>,
    logic: Logic,
    /// Names that some value or condition refers to.
    used: HashSet<String>,
    /// The files being read, each named by the one before it.
    open_files: Vec<(PathBuf, String)>,
    /// The file read last, which `:section` means.
    last_file: Option<String>,
    files_read: usize,
    first_magic: Option<Magic>,
    /// The source that the command line is.
    command_line: Option<FileId>,
}

impl<'a> Reader<'a> {
    fn new(loader: &'a dyn Loader, surroundings: &'a Surroundings) -> Self {
        Self {
            loader,
            surroundings,
            sources: Sources::new(),
            diagnostics: Vec::new(),
            settings: Vec::new(),
            inherited: Vec::new(),
            logic: Logic::default(),
            used: HashSet::new(),
            open_files: Vec::new(),
            last_file: None,
            files_read: 0,
            first_magic: None,
            command_line: None,
        }
    }

    /// `UWSGI_MODULE=x` is `module = x`.
    fn environment(&mut self) {
        let surroundings = self.surroundings;
        for (name, value) in &surroundings.environment {
            let Some(option) = name.strip_prefix("UWSGI_") else {
                continue;
            };
            if NOT_OPTIONS.contains(&option) {
                continue;
            }
            let key = option.to_ascii_lowercase().replace('_', "-");
            let text = format!("{name}={value}");
            let length = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
            let source = "the environment".to_owned();
            let file = self.sources.add(source, SourceKind::CommandLine, text.as_bytes().to_vec());
            let span = Span { file, line: 1, column: 1, length: length(name) };
            let value_span = Span { column: length(name) + 2, length: length(value).max(1), ..span };
            let value = Word { text: value.clone(), span: value_span, quoted: false };
            self.take(Setting::new(Word { text: key, span, quoted: false }, Some(value)));
        }
    }

    fn arguments(&mut self, arguments: &[String]) {
        let file = self.sources.add_command_line(&command_line::text_of(arguments));
        self.command_line = Some(file);
        let line = command_line::parse(file, arguments, &mut self.diagnostics);
        for setting in line.settings {
            self.take(setting);
        }
        for operand in line.operands {
            self.operand(operand);
        }
    }

    /// A word that is no option: `site.ini`, `app.py`, `package.module:callable`.
    fn operand(&mut self, word: Word) {
        let name = word.text.rsplit_once(':').map_or(word.text.as_str(), |(name, _)| name);
        let has_extension = |extension: &str| Path::new(name).extension().is_some_and(|found| found == extension);
        if let Some(format) = Format::of_name(&word.text) {
            self.file(&word.text, format, Some(word.span));
        } else if has_extension("py") || has_extension("wsgi") {
            let callable = word.text.split_once(':').map(|(_, callable)| callable.to_owned());
            self.settings.push(setting_at("wsgi-file", name, word.span));
            self.settings.extend(callable.map(|callable| setting_at("callable", &callable, word.span)));
        } else if word.text.contains(':') && name.contains('.') && !name.contains('/') {
            self.settings.push(setting_at("module", &word.text, word.span));
        } else {
            let hint =
                "a file of options, a Python file or MODULE:CALLABLE can stand alone, everything else needs an option";
            let error = Diagnostic::error(word.span, format!("\"{}\" is not understood", word.text));
            self.diagnostics.push(error.with_hint(hint));
        }
    }

    /// Takes one setting: logic first, then what must happen while reading.
    fn take(&mut self, setting: Setting) {
        if matches!(setting.key.text.as_str(), "if-opt" | "if-not-opt") {
            let name = setting.value_text().split('=').next().unwrap_or_default();
            self.used.insert(name.to_owned());
        }
        let facts = Facts { loader: self.loader, surroundings: self.surroundings, settings: &self.settings };
        match self.logic.take(&setting.key.text, setting.value_text(), &facts) {
            Ok(true) => self.keep(Setting { role: Role::Obeyed, ..setting }),
            Ok(false) => {
                for setting in self.logic.rounds(setting) {
                    self.take_one(setting);
                }
            }
            Err(message) => self.diagnostics.push(Diagnostic::error(setting.key.span, message)),
        }
    }

    fn take_one(&mut self, setting: Setting) {
        let Some(value) = setting.value.clone().filter(|_| is_obeyed_at_once(&setting.key.text)) else {
            self.keep(setting);
            return;
        };
        let name = setting.key.text.clone();
        self.keep(Setting { role: Role::Obeyed, ..setting });
        match name.as_str() {
            "inherit" => self.inherited.push(value),
            "set" => self.set(&value, Role::Option),
            "set-placeholder" | "set-ph" => self.set(&value, Role::Placeholder),
            "ini-paste" | "ini-paste-logged" => self.paste(&name, &value),
            _ => {
                let path = self.resolved_now(&value);
                let format = Format::of_option(&name).or_else(|| Format::of_name(&path)).unwrap_or(Format::Ini);
                self.file(&path, format, Some(value.span));
            }
        }
    }

    /// A file of PasteDeploy that has a section for uWSGI too.
    fn paste(&mut self, name: &str, value: &Word) {
        let path = self.resolved_now(value);
        let file = self.surroundings.working_directory.join(&path);
        self.keep(setting_at("paste", &format!("config:{}", file.display()), value.span));
        if name == "ini-paste-logged" {
            self.keep(setting_at("paste-logger", "true", value.span));
        }
        self.file(&path, Format::Ini, Some(value.span));
    }

    fn keep(&mut self, setting: Setting) {
        if self.settings.len() < SETTINGS_MAX {
            self.settings.push(setting);
        } else if self.settings.len() == SETTINGS_MAX {
            self.diagnostics.push(Diagnostic::error(setting.key.span, format!("more than {SETTINGS_MAX} settings")));
            self.settings.push(setting);
        }
    }

    /// `--set name=value`.
    fn set(&mut self, word: &Word, role: Role) {
        let Some((name, value)) = word.text.split_once('=') else {
            let error = Diagnostic::error(word.span, format!("invalid value \"{}\" of option \"set\"", word.text));
            self.diagnostics.push(error.with_hint("it must be NAME=VALUE"));
            return;
        };
        if role == Role::Placeholder && known(name).is_some() {
            let message = format!("\"{name}\" cannot be a placeholder: it is an option");
            self.diagnostics.push(Diagnostic::error(word.span, message));
            return;
        }
        let setting = Setting { role, ..setting_at(name, value, word.span) };
        if role == Role::Placeholder { self.keep(setting) } else { self.take(setting) }
    }

    /// A value that is needed before all settings are known: by what is known so far.
    fn resolved_now(&mut self, word: &Word) -> String {
        let environment = &self.surroundings.environment;
        let text = expand(&word.text, '$', &mut |key| environment_value(key, environment), &mut |_| ());
        resolve_text(&text, &self.settings, &mut self.used)
    }

    /// Reads `PATH`, `PATH:SECTION` or `:SECTION` of the file read last; `-` is standard input.
    fn file(&mut self, written: &str, format: Format, span: Option<Span>) {
        if let Some((scheme, _)) = written.split_once("://") {
            self.report(span, foreign_scheme(scheme));
            return;
        }
        let (name, section) = match written.rsplit_once(':') {
            Some((name, section)) => (name, Some(section).filter(|section| !section.is_empty())),
            None => (written, None),
        };
        let name = match (name, &self.last_file) {
            ("", Some(last)) => last.clone(),
            ("-", _) => STANDARD_INPUT.to_owned(),
            _ => name.to_owned(),
        };
        let path = self.surroundings.working_directory.join(&name);
        if !self.may_open(&path, section.unwrap_or_default(), span) {
            return;
        }
        let text = match self.loader.read(&path) {
            Ok(bytes) => self.decoded(bytes, &path, span),
            Err(error) => {
                self.report(span, open_message(&path, &error));
                return;
            }
        };
        self.last_file = Some(name.clone());
        let magic = Magic::new(&path, &name, section, self.surroundings, self.first_magic.as_ref());
        self.first_magic.get_or_insert_with(|| magic.clone());
        let file = self.sources.add_file(&path, text.as_bytes().to_vec());
        let found = format.read_section(file, &text, section, &mut self.diagnostics);
        if !found.is_found {
            let shown = path.display().to_string();
            let wanted = section.unwrap_or(USUAL_SECTION);
            self.diagnostics.push(missing_section(span, wanted, &shown, &found.names));
        }
        self.open_files.push((path, section.unwrap_or_default().to_owned()));
        for mut setting in found.settings {
            magic.replace(&mut setting.key, &mut self.diagnostics);
            if let Some(value) = &mut setting.value {
                magic.replace(value, &mut self.diagnostics);
            }
            self.take(setting);
        }
        self.open_files.pop();
    }

    fn may_open(&mut self, path: &Path, section: &str, span: Option<Span>) -> bool {
        self.files_read += 1;
        let message = if self.open_files.iter().any(|(open, wanted)| open == path && wanted == section) {
            format!("\"{}\" includes itself", path.display())
        } else if self.open_files.len() >= INCLUDE_DEPTH_MAX {
            format!("more than {INCLUDE_DEPTH_MAX} files include one another")
        } else if self.files_read > FILES_MAX {
            format!("more than {FILES_MAX} files are included")
        } else {
            return true;
        };
        // Past the bound every further file would say the same again.
        if self.files_read <= FILES_MAX + 1 {
            self.report(span, message);
        }
        false
    }

    fn decoded(&mut self, bytes: Vec<u8>, path: &Path, span: Option<Span>) -> String {
        String::from_utf8(bytes).unwrap_or_else(|error| {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let is_in_setting =
                text.lines().any(|line| line.contains('\u{fffd}') && !line.trim_start().starts_with([';', '#']));
            if is_in_setting {
                self.report(span, format!("{} is not valid UTF-8", path.display()));
            }
            text
        })
    }

    fn report(&mut self, span: Option<Span>, message: String) {
        self.diagnostics.push(match span {
            Some(span) => Diagnostic::error(span, message),
            None => Diagnostic::error_without_place(message),
        });
    }

    fn finish(mut self) -> Reading {
        for word in std::mem::take(&mut self.inherited) {
            let path = self.resolved_now(&word);
            self.file(&path, Format::of_name(&path).unwrap_or(Format::Ini), Some(word.span));
        }
        self.expand_environment_and_files();
        resolve_placeholders(&mut self.settings, &mut self.used, &mut self.diagnostics);
        let mut pool = apply_all(&self.settings, &self.used, &mut self.diagnostics);
        if let Some(asked) = self.asked_for() {
            pool.command = Some(Command::Print(asked));
        }
        // By place: what several passes have said about one line stands together.
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.span.map(|span| (span.file, span.line, span.column)));
        let settings = self.settings.iter().map(|setting| self.shown(setting)).collect();
        Reading { pool, sources: self.sources, diagnostics: self.diagnostics, settings }
    }

    /// What `get` asks for: the first value of each name, line by line.
    fn asked_for(&self) -> Option<String> {
        let mut names = self.settings.iter().filter(|setting| setting.key.text == "get").peekable();
        names.peek()?;
        let value = |name: &Setting| {
            let found = self.settings.iter().find(|setting| setting.key.text == name.value_text())?;
            Some(format!("{}\n", found.value_text()))
        };
        Some(names.filter_map(value).collect())
    }

    fn shown(&self, setting: &Setting) -> (String, Option<String>) {
        let is_argument = Some(setting.key.span.file) == self.command_line;
        let value = setting.value.is_some() || !is_argument;
        (setting.key.text.clone(), value.then(|| setting.value_text().to_owned()))
    }

    fn expand_environment_and_files(&mut self) {
        let surroundings = self.surroundings;
        let mut messages = Vec::new();
        for word in self.settings.iter_mut().filter_map(|setting| setting.value.as_mut()) {
            let mut missing = |key: &str| {
                let message = format!("environment variable \"{key}\" is not set");
                messages.push(Diagnostic::warning(word.span, message));
            };
            let look_up = &mut |key: &str| environment_value(key, &surroundings.environment);
            word.text = expand(&word.text, '$', look_up, &mut missing);
            let loader = self.loader;
            let mut read = |key: &str| {
                if let Some((scheme, _)) = key.split_once("://") {
                    messages.push(Diagnostic::error(word.span, foreign_scheme(scheme)));
                    return None;
                }
                match loader.read(&surroundings.working_directory.join(key)) {
                    Ok(bytes) => Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()),
                    Err(error) => {
                        messages.push(Diagnostic::error(word.span, open_message(Path::new(key), &error)));
                        None
                    }
                }
            };
            word.text = expand(&word.text, '@', &mut read, &mut |_| ());
        }
        self.diagnostics.extend(messages);
    }
}

fn setting_at(key: &str, value: &str, span: Span) -> Setting {
    let word = |text: &str| Word { text: text.to_owned(), span, quoted: false };
    Setting::new(word(key), Some(word(value)))
}

fn open_message(path: &Path, error: &io::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or_default();
    format!("{}: {reason}", path.display())
}

/// Options that are obeyed while they are read, for they bring or change what is read.
fn is_obeyed_at_once(name: &str) -> bool {
    let is_file = Format::of_option(name).is_some() || matches!(name, "include" | "config");
    is_file || matches!(name, "inherit" | "set" | "set-placeholder" | "set-ph" | "ini-paste" | "ini-paste-logged")
}

/// What is said of `exec://...` and its like.
fn foreign_scheme(scheme: &str) -> String {
    format!(
        "\"{scheme}://\" is not supported by daemun: reading a configuration runs no program and asks no other server"
    )
}

/// What `-` means.
const STANDARD_INPUT: &str = "/dev/stdin";

/// `UWSGI_...` variables that uWSGI sets for itself.
const NOT_OPTIONS: [&str; 9] = [
    "RELOADS",
    "VASSALS_DIR",
    "EMPEROR_FD",
    "BROODLORD_NUM",
    "EMPEROR_FD_CONFIG",
    "EMPEROR_PROXY",
    "JAIL_PID",
    "ORIGINAL_PROC_NAME",
    "PLUGINS",
];

/// Deepest chain of files that include one another.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Files read for one pool.
const FILES_MAX: usize = 1000;

/// Settings of one pool.
const SETTINGS_MAX: usize = 100_000;
