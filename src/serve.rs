//! Loads, checks, builds, binds, and hands the plan to the master.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use daemun_app::definition::Definition;
use daemun_app::pool::Pool;
use daemun_conf::{Diagnostic, FileSystem, Recorder, Severity, SourceKind};
use daemun_master::{Identity, IdentityError, MasterPlan, Predecessor, ReadyNotice, StopKind, signal_by_pid_file};
use daemun_net::{Inheritance, ListenerSet, SystemCause};
use daemun_server::backend::BackendId;
use daemun_server::config::{LogAccess, Main};
use daemun_server::log::{ErrorLog, Level, LogFile, format_line};
use daemun_server::runtime::Runtime;

use crate::assembly::{Assembly, Heritage};
use crate::cli::{Mode, Settings, Signal};
use crate::generation::{Generation, InForce, MasterLog};
use crate::load::{self, Loaded};
use crate::{emperor, estate, paths, pool_command, review};

/// Why the program does not start: a text for the terminal.
type Refusal = String;

/// Serves until told to stop.
pub fn serve(settings: &Settings) -> ExitCode {
    let files = Recorder::new(&FileSystem);
    let mut loaded = load::load(settings, &files);
    // Where uWSGI says it: among the messages.
    eprint!("{}", loaded.pools.iter().filter_map(|pool| pool.shown.as_deref()).collect::<String>());
    if let Some(command) = loaded.command() {
        return pool_command::obey(command);
    }
    let notice = Rc::new(Cell::new(ReadyNotice::inherit()));
    let reigns = settings.mode == Mode::App && !loaded.has_errors;
    let emperor = loaded.pools.iter_mut().find(|pool| reigns && !pool.options.emperor.places.is_empty());
    let result = match emperor {
        Some(pool) => emperor::reign(std::mem::take(&mut pool.options)),
        None => start(settings, loaded, files, &notice),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{}", text.trim_end());
            if let Some(notice) = notice.take() {
                notice.fail(text.trim_end());
            }
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with a configuration; `-t` and `daemun check`.
pub fn check(settings: &Settings) -> ExitCode {
    let mut loaded = load::load(settings, &FileSystem);
    eprint!("{}", loaded.pools.iter().filter_map(|pool| pool.shown.as_deref()).collect::<String>());
    let path = settings.configuration.as_deref().unwrap_or(Path::new("uwsgi.ini")).display().to_string();
    let program = program_name(settings.mode);
    let (is_valid, diagnostics) = match judged(settings, &mut loaded) {
        // Tools read what `nginx -t` says; advice is for those who ask for it.
        Ok(judged) if settings.mode == Mode::Run => {
            let advice = review::review(&loaded.tree, &loaded.sources);
            (true, judged.diagnostics.into_iter().chain(advice).collect())
        }
        Ok(judged) => (true, judged.diagnostics),
        Err(diagnostics) => (false, diagnostics),
    };
    let shown: Vec<_> = diagnostics.into_iter().filter(|one| is_shown(one, settings)).collect();
    eprint!("{}", load::render(&loaded, &shown));
    if !is_valid {
        note_errors(settings, &loaded, &shown);
        eprintln!("{program}: configuration file {path} test failed");
        return ExitCode::FAILURE;
    }
    if !settings.is_quiet {
        eprintln!("{program}: the configuration file {path} syntax is ok");
        eprintln!("{program}: configuration file {path} test is successful");
    }
    if settings.dumps {
        for source in loaded.sources.iter().filter(|source| source.kind() == SourceKind::File) {
            println!("# configuration file {}:", source.name());
            println!("{}", String::from_utf8_lossy(source.bytes()));
        }
    }
    ExitCode::SUCCESS
}

/// A configuration that could be started.
pub struct Judged {
    /// Built without its logs.
    pub runtime: Runtime,
    /// Its application pools.
    pub definitions: Vec<Definition>,
    /// What there is to say of it all the same.
    pub diagnostics: Vec<Diagnostic>,
}

/// Builds a configuration and leaves everything outside alone.
///
/// # Errors
/// What there is to say of one that could not be started.
pub fn judged(settings: &Settings, loaded: &mut Loaded) -> Result<Judged, Vec<Diagnostic>> {
    if loaded.has_errors {
        return Err(std::mem::take(&mut loaded.typed.diagnostics));
    }
    let definitions = define_pools(loaded).map_err(|mut diagnostics| {
        diagnostics.append(&mut loaded.typed.diagnostics);
        diagnostics
    })?;
    let typed = std::mem::take(&mut loaded.typed);
    let assembly = Assembly::new(settings, &definitions)?;
    let (runtime, mut diagnostics) = assembly.build(typed, LogAccess::Forbidden, Heritage::default(), &FileSystem)?;
    diagnostics.extend(warnings_of(&definitions));
    match edge_user(&runtime) {
        Ok(_) => Ok(Judged { runtime, definitions, diagnostics }),
        Err(error) => Err(vec![Diagnostic::error_without_place(error.to_string())]),
    }
}

/// `nginx -t` says errors and warnings; `daemun check` says everything.
fn is_shown(diagnostic: &Diagnostic, settings: &Settings) -> bool {
    match settings.mode {
        Mode::Run => true,
        Mode::Web | Mode::App => diagnostic.severity != Severity::Notice,
    }
}

/// Sends a signal to the master whose pid file the configuration names.
pub fn signal(settings: &Settings, signal: Signal) -> ExitCode {
    let loaded = load::load(settings, &FileSystem);
    if loaded.has_errors {
        let diagnostics = &loaded.typed.diagnostics;
        let said: Vec<_> = diagnostics.iter().filter(|one| is_shown(one, settings)).cloned().collect();
        note_errors(settings, &loaded, &said);
        eprint!("{}", load::render(&loaded, &said));
        return ExitCode::FAILURE;
    }
    let path = pid_path(settings, &loaded.typed.main).unwrap_or_else(|| settings.prefix.join(paths::DEFAULT_PID));
    let number = match signal {
        Signal::Stop => daemun_master::Signal::TERM,
        Signal::Quit => daemun_master::Signal::QUIT,
        Signal::Reopen => daemun_master::Signal::USR1,
        Signal::Reload => daemun_master::Signal::HUP,
    };
    note(settings, Level::Notice, &["signal process started".to_owned()]);
    match signal_by_pid_file(&path, number) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let level = Level::parse(error.level().as_str()).unwrap_or(Level::Error);
            note(settings, level, &[error.to_string()]);
            eprintln!("nginx: [{}] {error}", level.as_str());
            ExitCode::FAILURE
        }
    }
}

fn program_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Web => "nginx",
        Mode::Run | Mode::App => "daemun",
    }
}

fn start(
    settings: &Settings,
    mut loaded: Loaded,
    files: Recorder<'_>,
    notice: &Rc<Cell<Option<ReadyNotice>>>,
) -> Result<(), Refusal> {
    let inheritance = daemun_net::inherit();
    if loaded.has_errors {
        loaded.typed.diagnostics.retain(|one| one.severity != Severity::Notice);
        note_errors(settings, &loaded, &loaded.typed.diagnostics);
        return Err(load::render(&loaded, &loaded.typed.diagnostics));
    }
    // Before anything reads the time zone, and before anything is started.
    daemun_master::set_variables(&loaded.typed.main.environment)
        .map_err(|error| format!("{}: [emerg] {error}", program_name(settings.mode)))?;
    let definitions = define_pools(&mut loaded).map_err(|diagnostics| load::render(&loaded, &diagnostics))?;
    let typed = std::mem::take(&mut loaded.typed);
    let assembly = Assembly::new(settings, &definitions).map_err(|diagnostics| load::render(&loaded, &diagnostics))?;
    let built = assembly.build(typed, LogAccess::Open, Heritage::default(), &files);
    let texts = files.finish();
    let (runtime, mut diagnostics) = built.map_err(|diagnostics| {
        note_errors(settings, &loaded, &diagnostics);
        load::render(&loaded, &diagnostics)
    })?;
    diagnostics.extend(warnings_of(&definitions));
    diagnostics.retain(|one| one.severity == Severity::Warning);
    eprint!("{}", load::render(&loaded, &diagnostics));
    for warning in &diagnostics {
        runtime.error_log.write(Level::Warn, format_args!("{}", warning.sentence(&loaded.sources)));
    }
    let pools = make_pools(definitions, runtime.main.edge_threads())?;
    let predecessor = inheritance.as_ref().and_then(|inheritance| predecessor(inheritance, &runtime.error_log));
    daemun_master::hold_signals();
    let log = runtime.error_log.clone();
    // In an upgrade there is nobody at a terminal.
    let logged = |refusal: Refusal| {
        refusal.lines().for_each(|line| log.write(Level::Emerg, format_args!("{}", plain(line))));
        refusal
    };
    let listeners = bind(settings.mode, &runtime, &inheritance.unwrap_or_default().listeners).map_err(logged)?;
    let detached = if predecessor.is_none() && leaves_terminal(settings, &runtime, &pools) {
        Some(daemun_master::daemonize().map_err(|error| format!("daemun: leaving the terminal failed: {error}"))?)
    } else {
        None
    };
    let inherited = predecessor.as_ref().map(|predecessor| predecessor.socket_files.clone()).unwrap_or_default();
    let files: Vec<_> = listeners.socket_files().into_iter().filter(|file| !inherited.contains(file)).collect();
    let result = owner(settings, &runtime, &pools).and_then(|owner| {
        estate::make_body_folders(&runtime.body_folders(), owner.as_ref(), &runtime.error_log);
        let mut plan = master_plan(settings, InForce::new(runtime, texts, listeners, pools, assembly, owner))?;
        let (tells, notice) = (plan.on_started.take(), Rc::clone(notice));
        plan.on_started = Some(Box::new(move || {
            tells.into_iter().for_each(|tell| tell());
            notice.take().into_iter().for_each(ReadyNotice::announce);
        }));
        plan.detached = detached;
        plan.predecessor = predecessor;
        daemun_master::run(plan).map_err(|error| format!("{}: [emerg] {error}", program_name(settings.mode)))
    });
    let result = result.map_err(logged);
    if result.is_err() {
        // Whatever `vacuum` says, a start that failed leaves nothing behind.
        for file in files {
            let _ = file.remove();
        }
    }
    result
}

fn note_errors(settings: &Settings, loaded: &Loaded, diagnostics: &[Diagnostic]) {
    let errors = diagnostics.iter().filter(|one| one.is_error());
    let lines: Vec<_> = errors.map(|one| one.sentence(&loaded.sources)).collect();
    note(settings, Level::Emerg, &lines);
}

/// What is said before there is a configuration goes to the log of `-e`, too: nobody need be looking at the terminal.
fn note(settings: &Settings, level: Level, lines: &[String]) {
    let Some(path) = settings.error_log.as_ref().filter(|path| *path != Path::new("stderr")) else { return };
    let path = settings.prefix.join(path);
    match LogFile::open(&path) {
        Ok(log) => lines.iter().for_each(|line| log.write(format_line(level, format_args!("{line}")).as_bytes())),
        Err(error) => {
            let (program, shown, error) = (program_name(settings.mode), path.display(), SystemCause(&error));
            eprintln!("{program}: [alert] could not open error log file: open() \"{shown}\" failed ({error})");
        }
    }
}

/// A line for the terminal without program and level.
pub fn plain(line: &str) -> &str {
    line.split_once("[emerg] ").map_or(line, |(_, rest)| rest)
}

/// Who has started us in an upgrade, and what is his as long as he lives.
fn predecessor(inheritance: &Inheritance, log: &ErrorLog) -> Option<Predecessor> {
    log.write(Level::Notice, format_args!("using {} inherited sockets", inheritance.listeners.len()));
    for refused in &inheritance.refused {
        log.write(Level::Emerg, format_args!("{refused}"));
    }
    Predecessor::of_this_process(inheritance.listeners.socket_files())
}

fn leaves_terminal(settings: &Settings, runtime: &Runtime, pools: &[Pool]) -> bool {
    match settings.mode {
        Mode::Run => false,
        Mode::Web => runtime.main.daemon(),
        Mode::App => pools.iter().any(|pool| pool.definition.options.daemonize.is_some()),
    }
}

/// Looks at every pool.
///
/// # Errors
/// The errors of all of them together.
pub fn define_pools(loaded: &mut Loaded) -> Result<Vec<Definition>, Vec<Diagnostic>> {
    let mut definitions = Vec::new();
    let mut errors = Vec::new();
    for (number, pool) in std::mem::take(&mut loaded.pools).into_iter().enumerate() {
        match Definition::new(&pool.name, pool.options, BackendId(number)) {
            Ok(definition) => definitions.push(definition),
            Err(error) => errors.push(of_application(&pool.name, &error)),
        }
    }
    if errors.is_empty() { Ok(definitions) } else { Err(errors) }
}

/// What is to be said of one of them.
pub fn of_application(name: &str, text: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::error_without_place(format!("application \"{name}\": {text}"))
}

fn warnings_of(definitions: &[Definition]) -> Vec<Diagnostic> {
    let of_one = |one: &Definition| {
        let warnings = one.warnings.iter();
        warnings.map(|text| of_application(&one.name, text).with_severity(Severity::Warning)).collect::<Vec<_>>()
    };
    definitions.iter().flat_map(of_one).collect()
}

/// Their memory and descriptors.
///
/// # Errors
/// A text that names the one that cannot be had.
pub fn make_pools(definitions: Vec<Definition>, threads: usize) -> Result<Vec<Pool>, Refusal> {
    let make = |definition: Definition| {
        let name = definition.name.clone();
        Pool::new(definition, threads).map_err(|error| format!("[emerg] application \"{name}\": {error}"))
    };
    definitions.into_iter().map(make).collect()
}

/// The sockets of a runtime, those of `held` among them.
///
/// # Errors
/// A line for each that cannot be bound.
pub fn bind(mode: Mode, runtime: &Runtime, held: &ListenerSet) -> Result<ListenerSet, Refusal> {
    let program = program_name(mode);
    let wanted = runtime.listeners.iter().map(|listener| (&listener.setting.address, &listener.setting.options));
    held.successor(wanted)
        .map_err(|errors| errors.iter().map(|error| format!("{program}: [emerg] {error}\n")).collect())
}

/// Where the master's pid is written.
pub fn pid_path(settings: &Settings, main: &Main) -> Option<PathBuf> {
    let default = (settings.mode == Mode::Web).then(|| PathBuf::from(paths::DEFAULT_PID));
    main.pid.clone().or(default).map(|path| settings.prefix.join(path))
}

/// Who the edge is; `None`: who the master is.
///
/// # Errors
/// A text that says whom there is not.
pub fn owner(settings: &Settings, runtime: &Runtime, pools: &[Pool]) -> Result<Option<Identity>, Refusal> {
    match pools.first() {
        // Without a `user` directive of its own, the edge of `daemun app` is who the application is.
        Some(pool) if settings.mode == Mode::App => {
            pool.definition.identity().map_err(|error| format!("daemun: [emerg] {error}"))
        }
        _ => edge_identity(settings.mode, runtime),
    }
}

fn master_plan(settings: &Settings, now: InForce) -> Result<MasterPlan, Refusal> {
    let facts = now.facts(settings);
    let addresses = shown_addresses(&now.runtime, settings.mode);
    let generation = Generation::new(settings, now);
    let children = generation.children(false).map_err(|error| format!("daemun: [emerg] {error}"))?;
    let log = MasterLog { state: Rc::clone(&generation.state) };
    let mut plan = MasterPlan::new(children, Box::new(generation), Box::new(log));
    plan.pid_files = facts.pid_files;
    plan.socket_files = facts.socket_files;
    plan.timings.graceful_stop = facts.graceful_stop;
    if settings.mode != Mode::Web {
        // Who runs an application wants its requests finished: by `docker stop`, by systemd. Ctrl-C is for the impatient.
        plan.on_terminate = StopKind::Graceful;
        plan.timings.graceful_terminate = Some(GRACEFUL_TERMINATE);
        plan.on_started = Some(Box::new(move || eprint!("{addresses}")));
    }
    Ok(plan)
}

/// Where a person finds the site.
fn shown_addresses(runtime: &Runtime, mode: Mode) -> String {
    use daemun_net::ListenAddress;
    use daemun_server::listener::Protocol;
    let mut text = String::new();
    for listener in &runtime.listeners {
        match (&listener.setting.address, listener.setting.protocol) {
            (ListenAddress::Tcp(address), Protocol::Http) => {
                let host =
                    if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
                text.push_str(&format!("daemun serves http://{host}:{}/\n", address.port()));
            }
            (address, _) if mode == Mode::App => text.push_str(&format!("daemun serves {address}\n")),
            _ => {}
        }
    }
    text
}

/// Who the edge is by the `user` directive; `None`: who the master is.
///
/// # Errors
/// A text that says whom there is not.
pub fn edge_identity(mode: Mode, runtime: &Runtime) -> Result<Option<Identity>, Refusal> {
    if runtime.main.user.is_some() && !Identity::can_switch() {
        let message =
            "the \"user\" directive makes sense only if the master process runs with super-user privileges, ignored";
        runtime.error_log.write(Level::Warn, format_args!("{message}"));
        return Ok(None);
    }
    edge_user(runtime).map_err(|error| format!("{}: [emerg] {error}", program_name(mode)))
}

/// Who the `user` directive says; nobody else where we cannot become anybody else.
fn edge_user(runtime: &Runtime) -> Result<Option<Identity>, IdentityError> {
    let Some((user, group)) = runtime.main.user.as_ref().filter(|_| Identity::can_switch()) else { return Ok(None) };
    Identity::look_up(user, Some(group.as_deref().unwrap_or(user))).map(Some)
}

/// How long a graceful stop by SIGTERM may take where the configuration does not say less: not as long as container engines give.
const GRACEFUL_TERMINATE: std::time::Duration = std::time::Duration::from_secs(8);
