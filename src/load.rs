//! From files to typed settings: nginx.conf, uwsgi.ini, and what the command line says.

use std::path::Path;

use daemun_app::options::{self, Command, PoolOptions, Surroundings};
use daemun_conf::{Diagnostic, Loader, Node, Parser, Severity, Sources, render_all};
use daemun_server::config::{DirectiveTable, Typed, walk};

use crate::cli::{Mode, Settings};
use crate::modules::MODULES;

/// What was read.
pub struct Loaded {
    /// The nginx.conf, or an empty one.
    pub typed: Typed,
    /// Its texts, for messages.
    pub sources: Sources,
    /// The nginx.conf as it is written.
    pub tree: Vec<Node>,
    /// The application pools.
    pub pools: Vec<LoadedPool>,
    /// Messages of the ini files, rendered.
    pub pool_messages: Vec<String>,
    /// Whether any of it is an error.
    pub has_errors: bool,
    /// How the program was called.
    pub mode: Mode,
}

/// One pool as configured.
pub struct LoadedPool {
    /// The file's name without its ending, or "app".
    pub name: String,
    /// Its options.
    pub options: PoolOptions,
    /// All its settings, where `show-config` asks for them.
    pub shown: Option<String>,
}

impl Loaded {
    /// What uWSGI's command line asks for instead of serving.
    pub fn command(&self) -> Option<&Command> {
        self.pools.iter().find_map(|pool| pool.options.command.as_ref())
    }
}

/// Reads everything that `settings` name, by `loader`.
pub fn load(settings: &Settings, loader: &dyn Loader) -> Loaded {
    load_by(settings, loader, &Surroundings::of_this_process())
}

/// The same, while what was read before is in force: `if-reload` holds.
pub fn load_again(settings: &Settings, loader: &dyn Loader) -> Loaded {
    load_by(settings, loader, &Surroundings { is_reload: true, ..Surroundings::of_this_process() })
}

fn load_by(settings: &Settings, loader: &dyn Loader, surroundings: &Surroundings) -> Loaded {
    let mut pools = Vec::new();
    let mut pool_messages = Vec::new();
    let mut has_errors = false;
    for (name, mut reading) in readings(settings, loader, surroundings) {
        has_errors |= reading.has_errors();
        if settings.mode == Mode::Run && reading.pool.daemonize.is_some() {
            let message =
                format!("option \"daemonize\" of \"{name}\" names the log alone: daemun run stays in the foreground");
            reading.diagnostics.push(Diagnostic::error_without_place(message).with_severity(Severity::Notice));
        }
        if !reading.diagnostics.is_empty() {
            pool_messages.push(reading.render());
        }
        reading.pool.development = settings.is_for_development;
        let shown = reading.pool.show_config.then(|| reading.as_ini());
        pools.push(LoadedPool { name: unique(&name, &pools), options: reading.pool, shown });
    }
    let Web { typed, sources, tree } = read_web(settings, loader);
    has_errors |= typed.diagnostics.iter().any(Diagnostic::is_error);
    Loaded { typed, sources, tree, pools, pool_messages, has_errors, mode: settings.mode }
}

fn readings(settings: &Settings, loader: &dyn Loader, surroundings: &Surroundings) -> Vec<(String, options::Reading)> {
    if settings.mode == Mode::App {
        return vec![("app".to_owned(), options::read_arguments(loader, surroundings, &settings.pool_arguments))];
    }
    let surroundings = Surroundings { working_directory: settings.prefix.clone(), ..surroundings.clone() };
    if !settings.pool_arguments.is_empty() {
        return vec![("app".to_owned(), options::read_arguments(loader, &surroundings, &settings.pool_arguments))];
    }
    // The environment speaks of one application; of several nobody could say which.
    let read_file = if settings.ini_files.len() == 1 { options::read_only_file } else { options::read_file };
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, read_file(loader, &surroundings, &path.to_string_lossy()))
    };
    settings.ini_files.iter().map(read).collect()
}

fn unique(name: &str, pools: &[LoadedPool]) -> String {
    let is_taken = |candidate: &str| pools.iter().any(|pool| pool.name == candidate);
    if !is_taken(name) {
        return name.to_owned();
    }
    (2..).map(|number| format!("{name}-{number}")).find(|candidate| !is_taken(candidate)).unwrap_or_default()
}

/// An nginx.conf.
pub struct Web {
    /// What its words mean.
    pub typed: Typed,
    /// Its texts, for messages.
    pub sources: Sources,
    /// As it is written.
    pub tree: Vec<Node>,
}

/// Reads the nginx.conf, or an empty one, and what it includes.
pub fn read_web(settings: &Settings, loader: &dyn Loader) -> Web {
    let table = DirectiveTable::new(MODULES);
    let Some(path) = &settings.configuration else {
        let empty = daemun_conf::parse_text("none", "events { }");
        return Web { typed: walk(&empty.tree, &table, MODULES), sources: empty.sources, tree: empty.tree };
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut parser = Parser::new(loader, folder);
    let overrides = settings.directives.as_deref().map(|text| parser.parse_command_line(text)).unwrap_or_default();
    let file = parser.parse_file(path);
    let parsed = parser.finish(merge(settings.mode, overrides, file));
    let is_unread = parsed.tree.is_empty() && parsed.diagnostics.iter().any(|one| one.span.is_none());
    let mut typed = walk(&parsed.tree, &table, MODULES);
    if is_unread {
        typed.diagnostics.clear(); // Of a file that cannot be read there is nothing else to say.
    }
    // What the text says of itself stands before what the words mean.
    let meanings = std::mem::replace(&mut typed.diagnostics, parsed.diagnostics);
    typed.diagnostics.extend(meanings);
    Web { typed, sources: parsed.sources, tree: parsed.tree }
}

/// `-g` stands before the file. Under `daemun run` it takes the place of the file's own directives of the same names.
fn merge(mode: Mode, overrides: Vec<Node>, file: Vec<Node>) -> Vec<Node> {
    let is_replaced = |node: &Node| {
        mode == Mode::Run && node.block.is_none() && overrides.iter().any(|other| other.is(&node.name.text))
    };
    let kept: Vec<_> = file.into_iter().filter(|node| !is_replaced(node)).collect();
    overrides.into_iter().chain(kept).collect()
}

/// All messages, those of nginx.conf last.
pub fn render(loaded: &Loaded, diagnostics: &[Diagnostic]) -> String {
    let mut text: String = loaded.pool_messages.concat();
    text.push_str(&render_all(diagnostics, &loaded.sources));
    if loaded.mode != Mode::Web {
        return text;
    }
    // Tools know the lines of `nginx -t` by the program's name.
    let named = |line: &str| if line.starts_with('[') { format!("nginx: {line}") } else { line.to_owned() };
    text.split_inclusive('\n').map(named).collect()
}
