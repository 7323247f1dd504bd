//! Loads, checks, builds, binds, and hands the plan to the master.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use daemun_app::definition::Definition;
use daemun_app::pool::{Pool, PoolError};
use daemun_conf::{Diagnostic, Severity};
use daemun_master::{
    ChildPlan, Death, Identity, MasterPlan, ReadyNotice, Role, Scope, StopKind, Successors, signal_by_pid_file,
};
use daemun_net::ListenerSet;
use daemun_server::backend::{BackendId, SocketName};
use daemun_server::config::{BuildInput, PoolListener, build};
use daemun_server::edge::{self, EdgePlan};
use daemun_server::log::{ErrorLog, Level};
use daemun_server::runtime::Runtime;
use daemun_server::zone::Zones;

use crate::cli::{Mode, Settings, Signal};
use crate::estate;
use crate::load::{self, Loaded};
use crate::modules::MODULES;
use crate::{paths, pool_command};

/// Why the program does not start: a text for the terminal.
type Refusal = String;

/// Serves until told to stop.
pub fn serve(settings: &Settings) -> ExitCode {
    let loaded = load::load(settings);
    if let Some(command) = loaded.command() {
        return pool_command::obey(command);
    }
    match start(settings, loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{}", text.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with a configuration; `-t` and `daemun check`.
pub fn check(settings: &Settings) -> ExitCode {
    let mut loaded = load::load(settings);
    let path = settings.configuration.as_deref().unwrap_or(Path::new("uwsgi.ini")).display().to_string();
    let program = program_name(settings.mode);
    let (is_valid, diagnostics) = match judge(settings, &mut loaded) {
        Ok(diagnostics) => (true, diagnostics),
        Err(diagnostics) => (false, diagnostics),
    };
    let shown: Vec<_> = diagnostics.into_iter().filter(|one| is_shown(one, settings)).collect();
    eprint!("{}", load::render(&loaded, &shown));
    if !is_valid {
        eprintln!("{program}: configuration file {path} test failed");
        return ExitCode::FAILURE;
    }
    if !settings.is_quiet {
        eprintln!("{program}: the configuration file {path} syntax is ok");
        eprintln!("{program}: configuration file {path} test is successful");
    }
    if settings.dumps {
        for source in loaded.sources.iter() {
            println!("# configuration file {}:", source.name());
            println!("{}", String::from_utf8_lossy(source.bytes()));
        }
    }
    ExitCode::SUCCESS
}

/// What there is to say of a configuration that could be started, or of one that could not.
fn judge(settings: &Settings, loaded: &mut Loaded) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    if loaded.has_errors {
        return Err(std::mem::take(&mut loaded.typed.diagnostics));
    }
    let definitions = define_pools(loaded).map_err(|mut diagnostics| {
        diagnostics.append(&mut loaded.typed.diagnostics);
        diagnostics
    })?;
    let (_, mut diagnostics) = build_web(settings, loaded, &definitions.iter().collect::<Vec<_>>(), false)?;
    diagnostics.extend(warnings_of(&definitions));
    Ok(diagnostics)
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
    if signal == Signal::Reload {
        eprintln!("nginx: [error] -s reload is not supported by daemun yet: stop it and start it");
        return ExitCode::FAILURE;
    }
    let loaded = load::load(settings);
    if loaded.has_errors {
        eprint!("{}", load::render(&loaded, &loaded.typed.diagnostics));
        return ExitCode::FAILURE;
    }
    let path = pid_path(settings, &loaded.typed.main).unwrap_or_else(|| settings.prefix.join(paths::DEFAULT_PID));
    let number = match signal {
        Signal::Stop => daemun_master::Signal::TERM,
        Signal::Quit => daemun_master::Signal::QUIT,
        Signal::Reopen => daemun_master::Signal::USR1,
        Signal::Reload => daemun_master::Signal::HUP,
    };
    match signal_by_pid_file(&path, number) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nginx: [error] {error}");
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

fn start(settings: &Settings, mut loaded: Loaded) -> Result<(), Refusal> {
    if loaded.has_errors {
        loaded.typed.diagnostics.retain(|one| one.severity != Severity::Notice);
        return Err(load::render(&loaded, &loaded.typed.diagnostics));
    }
    let definitions = define_pools(&mut loaded).map_err(|diagnostics| load::render(&loaded, &diagnostics))?;
    let built = build_web(settings, &mut loaded, &definitions.iter().collect::<Vec<_>>(), true);
    let (runtime, mut diagnostics) = built.map_err(|diagnostics| load::render(&loaded, &diagnostics))?;
    diagnostics.extend(warnings_of(&definitions));
    diagnostics.retain(|one| one.severity == Severity::Warning);
    eprint!("{}", load::render(&loaded, &diagnostics));
    let pools = make_pools(definitions, runtime.main.edge_threads())?;
    let runtime = Arc::new(runtime);
    let listeners = bind(&runtime)?;
    let is_web_daemon = settings.mode == Mode::Web && runtime.main.daemon();
    let detached = match (is_web_daemon, pools.iter().find_map(|pool| pool.definition.options.daemonize.clone())) {
        (false, None) => None,
        (false, Some(_)) if settings.mode == Mode::Run => None,
        _ => Some(daemun_master::daemonize().map_err(|error| format!("daemun: leaving the terminal failed: {error}"))?),
    };
    let files = listeners.socket_files();
    let result = master_plan(settings, &runtime, listeners, pools).and_then(|mut plan| {
        plan.detached = detached;
        daemun_master::run(plan).map_err(|error| format!("{}: [emerg] {error}", program_name(settings.mode)))
    });
    if result.is_err() {
        // Whatever `vacuum` says, a start that failed leaves nothing behind.
        for file in files {
            let _ = file.remove();
        }
    }
    result
}

/// Looks at every pool; the errors of all of them are told together.
fn define_pools(loaded: &mut Loaded) -> Result<Vec<Definition>, Vec<Diagnostic>> {
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

fn of_application(name: &str, text: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::error_without_place(format!("application \"{name}\": {text}"))
}

fn warnings_of(definitions: &[Definition]) -> Vec<Diagnostic> {
    let of_one = |one: &Definition| {
        let warnings = one.warnings.iter();
        warnings.map(|text| of_application(&one.name, text).with_severity(Severity::Warning)).collect::<Vec<_>>()
    };
    definitions.iter().flat_map(of_one).collect()
}

fn make_pools(definitions: Vec<Definition>, threads: usize) -> Result<Vec<Pool>, Refusal> {
    let make = |definition: Definition| {
        let name = definition.name.clone();
        Pool::new(definition, threads).map_err(|error| format!("[emerg] application \"{name}\": {error}"))
    };
    definitions.into_iter().map(make).collect()
}

fn build_web(
    settings: &Settings,
    loaded: &mut Loaded,
    pools: &[&Definition],
    opens_logs: bool,
) -> Result<(Runtime, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut backends = HashMap::new();
    let mut pool_listeners = Vec::new();
    for pool in pools {
        match collect(pool, &mut backends) {
            Ok(listeners) => pool_listeners.extend(listeners),
            Err(error) => return Err(vec![of_application(&pool.name, &error)]),
        }
    }
    let default = match settings.mode {
        Mode::Web => Some(PathBuf::from(paths::DEFAULT_ERROR_LOG)),
        // As with uWSGI, there is one log.
        Mode::App => pools.iter().find_map(|pool| pool.log_path()).map(Path::to_owned),
        Mode::Run => None,
    };
    // Without an nginx.conf there is no folder of the server's own.
    let has_folder = settings.configuration.is_some();
    let configuration_folder = settings.configuration.as_deref().and_then(Path::parent).unwrap_or(&settings.prefix);
    let typed = std::mem::take(&mut loaded.typed);
    build(BuildInput {
        typed,
        modules: MODULES,
        prefix: settings.prefix.clone(),
        configuration_folder: configuration_folder.to_owned(),
        error_log: settings.error_log.clone().or(default).filter(|path| path != Path::new("stderr")),
        body_folder: if has_folder { paths::DEFAULT_BODY_FOLDER.into() } else { std::env::temp_dir() },
        backends,
        pool_listeners,
        opens_logs,
        zones: Zones::default(),
    })
}

fn collect(pool: &Definition, backends: &mut HashMap<SocketName, BackendId>) -> Result<Vec<PoolListener>, PoolError> {
    for name in pool.socket_names()? {
        backends.entry(name).or_insert(pool.id);
    }
    pool.listeners()
}

fn bind(runtime: &Runtime) -> Result<ListenerSet, Refusal> {
    let wanted: Vec<_> =
        runtime.listeners.iter().map(|listener| (&listener.setting.address, &listener.setting.options)).collect();
    ListenerSet::bind(wanted)
        .map_err(|errors| errors.iter().map(|error| format!("daemun: [emerg] {error}\n")).collect())
}

fn pid_path(settings: &Settings, main: &daemun_server::config::Main) -> Option<PathBuf> {
    let default = (settings.mode == Mode::Web).then(|| PathBuf::from(paths::DEFAULT_PID));
    main.pid.clone().or(default).map(|path| settings.prefix.join(path))
}

fn master_plan(
    settings: &Settings,
    runtime: &Arc<Runtime>,
    listeners: ListenerSet,
    pools: Vec<Pool>,
) -> Result<MasterPlan, Refusal> {
    let mut pid_files: Vec<_> = pid_path(settings, &runtime.main).into_iter().collect();
    let of_pool = |pool: &Pool| {
        pool.definition.options.pidfile.clone().into_iter().chain(pool.definition.options.pidfile_after.clone())
    };
    pid_files.extend(pools.iter().flat_map(of_pool));
    // A socket file without its server is of no use to anybody: nginx removes its own, uWSGI under `vacuum`.
    let keeps_files =
        !pools.is_empty() && settings.mode == Mode::App && !pools.iter().any(|pool| pool.definition.options.vacuum);
    let socket_files = if keeps_files { Vec::new() } else { listeners.socket_files() };
    let extension = if pools.is_empty() {
        PathBuf::new()
    } else {
        paths::extension_module().map_err(|error| format!("daemun: [emerg] {error}"))?
    };
    let owner = match pools.first() {
        // Without a `user` directive of its own, the edge of `daemun app` is who the application is.
        Some(pool) if settings.mode == Mode::App => {
            pool.definition.identity().map_err(|error| format!("daemun: [emerg] {error}"))?
        }
        _ => edge_identity(runtime)?,
    };
    estate::make_body_folders(&runtime.body_folders(), owner.as_ref(), &runtime.error_log);
    let pool_logs = pool_logs(&pools).map_err(|error| format!("daemun: [emerg] {error}"))?;
    let generation = Generation {
        runtime: Arc::clone(runtime),
        listeners: Rc::new(RefCell::new(Some(listeners))),
        pools: Rc::new(RefCell::new(pools)),
        extension,
        identity: owner.clone(),
    };
    let children = generation.children().map_err(|error| format!("daemun: [emerg] {error}"))?;
    let log = MasterLog { runtime: Arc::clone(runtime), owner, pool_logs };
    let mut plan = MasterPlan::new(children, Box::new(generation), Box::new(log));
    plan.pid_files = pid_files;
    plan.socket_files = socket_files;
    plan.timings.graceful_stop = runtime.main.worker_shutdown_timeout();
    if settings.mode != Mode::Web {
        // Who runs an application wants its requests finished: by `docker stop`, by systemd. Ctrl-C is for the impatient.
        plan.on_terminate = StopKind::Graceful;
        plan.timings.graceful_terminate = Some(GRACEFUL_TERMINATE);
        let addresses = shown_addresses(runtime, settings.mode);
        plan.on_started = Some(Box::new(move || eprint!("{addresses}")));
    }
    Ok(plan)
}

/// The log files that pools have of their own, and who writes to them.
fn pool_logs(pools: &[Pool]) -> Result<Vec<(PathBuf, Option<Identity>)>, PoolError> {
    let of_one = |pool: &Pool| {
        let path = pool.definition.log_path()?.to_owned();
        Some(pool.definition.identity().map(|identity| (path, identity)))
    };
    pools.iter().filter_map(of_one).collect()
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

fn edge_identity(runtime: &Runtime) -> Result<Option<Identity>, Refusal> {
    let Some((user, group)) = &runtime.main.user else { return Ok(None) };
    if !Identity::can_switch() {
        let message =
            "the \"user\" directive makes sense only if the master process runs with super-user privileges, ignored";
        runtime.error_log.write(Level::Warn, format_args!("{message}"));
        return Ok(None);
    }
    let identity = Identity::look_up(user, Some(group.as_deref().unwrap_or(user)));
    identity.map(Some).map_err(|error| format!("daemun: [emerg] {error}"))
}

/// Makes the processes, the first time and whenever one has died.
struct Generation {
    runtime: Arc<Runtime>,
    /// `None` once the end has begun; in an edge, once it has taken them.
    listeners: Rc<RefCell<Option<ListenerSet>>>,
    pools: Rc<RefCell<Vec<Pool>>>,
    extension: PathBuf,
    identity: Option<Identity>,
}

impl Generation {
    fn children(&self) -> Result<Vec<ChildPlan>, String> {
        let mut children = Vec::new();
        for pool in self.pools.borrow().iter() {
            children.push(pool.zygote(&self.extension, &self.runtime.error_log).map_err(|error| error.to_string())?);
        }
        children.push(self.edge());
        Ok(children)
    }

    fn edge(&self) -> ChildPlan {
        let runtime = Arc::clone(&self.runtime);
        let pools =
            self.pools.borrow_mut().iter_mut().filter_map(|pool| pool.factory(runtime.error_log.clone())).collect();
        let listeners = Rc::clone(&self.listeners);
        let mut child = ChildPlan::fork("edge", Role::Edge, move |notice| {
            // In the edge, where everything is a copy: taken out of it, the sockets are closed when the edge closes them.
            let listeners = listeners.take().unwrap_or_default();
            let threads = runtime.main.edge_threads();
            let log = runtime.error_log.clone();
            run_edge(EdgePlan { runtime, listeners, pools, threads }, notice, &log)
        });
        child.identity.clone_from(&self.identity);
        child
    }
}

fn run_edge(plan: EdgePlan, notice: ReadyNotice, log: &ErrorLog) -> u8 {
    match edge::run(plan, Box::new(move || notice.announce())) {
        Ok(()) => 0,
        Err(error) => {
            log.write(Level::Emerg, format_args!("the edge cannot serve: {error}"));
            1
        }
    }
}

impl Successors for Generation {
    fn plans(&mut self, death: &Death) -> Result<Vec<ChildPlan>, String> {
        let text = |error: PoolError| error.to_string();
        match death.role {
            // The edge shares memory with every pool: all begin anew.
            Role::Edge => {
                self.pools.borrow_mut().iter_mut().try_for_each(Pool::renew).map_err(text)?;
                self.children()
            }
            Role::Application => {
                let pools = self.pools.borrow();
                let pool = pools.iter().find(|pool| pool.definition.process_name() == death.name);
                pool.map(|pool| pool.zygote(&self.extension, &self.runtime.error_log).map_err(text))
                    .into_iter()
                    .collect()
            }
        }
    }

    fn scope(&mut self, death: &Death) -> Scope {
        match death.role {
            Role::Edge => Scope::All,
            Role::Application => Scope::Alone,
        }
    }

    fn release(&mut self) {
        self.listeners.take();
    }
}

/// The master's lines, in the error log of the main context.
struct MasterLog {
    runtime: Arc<Runtime>,
    /// Who the edge is.
    owner: Option<Identity>,
    pool_logs: Vec<(PathBuf, Option<Identity>)>,
}

impl daemun_master::Log for MasterLog {
    fn log(&mut self, level: daemun_master::Level, text: &str) {
        let level = Level::parse(level.as_str()).unwrap_or(Level::Error);
        self.runtime.error_log.write(level, format_args!("{text}"));
    }

    fn reopen(&mut self) {
        estate::reopen_logs(&self.runtime.logs, self.owner.as_ref(), &self.runtime.error_log);
        let is_own = |path: &Path| !self.runtime.logs.iter().any(|log| log.path() == Some(path));
        for (path, writer) in self.pool_logs.iter().filter(|(path, _)| is_own(path)) {
            estate::renew_log(path, writer.as_ref(), &self.runtime.error_log);
        }
    }
}

/// How long a graceful stop by SIGTERM may take where the configuration does not say less: not as long as container engines give.
const GRACEFUL_TERMINATE: std::time::Duration = std::time::Duration::from_secs(8);
