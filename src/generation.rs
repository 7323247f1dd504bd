//! What runs: the processes of a configuration, and how one configuration takes the place of another.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use daemun_app::definition::Definition;
use daemun_app::options::PoolOptions;
use daemun_app::pool::{Pool, PoolError};
use daemun_conf::{Diagnostic, FileSystem, Recorder, Severity, Snapshot};
use daemun_master::{
    ChildPlan, Circumstances, Conditions, Death, Identity, ReadyNotice, Reload, ReloadFacts, Role, Scope, Successors,
    Upgrade,
};
use daemun_net::{Courier, INHERITANCE_VARIABLE, ListenerSet, SocketFile, bequest};
use daemun_server::config::{LogAccess, Main};
use daemun_server::edge::{self, EdgePlan};
use daemun_server::log::{ErrorLog, Level};
use daemun_server::runtime::Runtime;

use crate::assembly::{self, Assembly, Heritage};
use crate::cli::{Mode, Settings};
use crate::kept_files::KeptFiles;
use crate::load::{self, Loaded, LoadedPool};
use crate::succession::{self, FromMaster};
use crate::{estate, paths, serve};

/// A configuration with what belongs to it.
pub struct InForce {
    /// What the files say.
    pub runtime: Arc<Runtime>,
    /// `None` once the end has begun; in an edge, once it has taken them.
    pub listeners: Option<ListenerSet>,
    /// The applications.
    pub pools: Vec<Pool>,
    /// How the edge builds what follows.
    pub assembly: Assembly,
    /// Who the edge is.
    pub identity: Option<Identity>,
    /// What was read of the files.
    texts: Snapshot,
    /// Those of them that are read anew when they change.
    kept_files: KeptFiles,
    /// The way to the edge that runs.
    edge: Option<Courier>,
}

impl InForce {
    /// Complete but for the edge.
    pub fn new(
        runtime: Runtime,
        texts: Snapshot,
        listeners: ListenerSet,
        pools: Vec<Pool>,
        assembly: Assembly,
        identity: Option<Identity>,
    ) -> Self {
        let kept_files = KeptFiles::new(runtime.files.iter().map(PathBuf::as_path));
        let (runtime, listeners) = (Arc::new(runtime), Some(listeners));
        Self { runtime, listeners, pools, assembly, identity, texts, kept_files, edge: None }
    }

    fn socket_files(&self) -> Vec<SocketFile> {
        self.listeners.as_ref().map(ListenerSet::socket_files).unwrap_or_default()
    }

    /// The master's own view of it.
    pub fn facts(&self, settings: &Settings) -> ReloadFacts {
        let mut pid_files: Vec<_> = serve::pid_path(settings, &self.runtime.main).into_iter().collect();
        let of_pool = |pool: &Pool| {
            pool.definition.options.pidfile.clone().into_iter().chain(pool.definition.options.pidfile_after.clone())
        };
        pid_files.extend(self.pools.iter().flat_map(of_pool));
        // A socket file without its server is of no use to anybody: nginx removes its own, uWSGI under `vacuum`.
        let pools = &self.pools;
        let keeps_files =
            !pools.is_empty() && settings.mode == Mode::App && !pools.iter().any(|pool| pool.definition.options.vacuum);
        ReloadFacts {
            pid_files,
            socket_files: if keeps_files { Vec::new() } else { self.socket_files() },
            graceful_stop: self.runtime.main.worker_shutdown_timeout(),
        }
    }
}

/// The configuration in force, and one that is to be.
pub struct State {
    /// In force.
    pub now: InForce,
    /// Its processes are being started.
    next: Option<InForce>,
    /// Applications that are being started beside those of the same names.
    renewal: Option<Renewal>,
}

/// Applications that are to take the place of others behind the edge that runs.
struct Renewal {
    /// By their index: what they are to be.
    pools: Vec<(usize, Definition)>,
    /// The configuration they belong to, unless it is the one in force.
    web: Option<(Snapshot, Runtime, ListenerSet)>,
}

impl State {
    fn of(&mut self, is_next: bool) -> &mut InForce {
        match &mut self.next {
            Some(next) if is_next => next,
            _ => &mut self.now,
        }
    }

    /// In the edge's process, where everything is a copy: takes the sockets it serves, and closes all else that is the master's.
    fn leave_to_edge(&mut self, is_next: bool) -> ListenerSet {
        let listeners = self.of(is_next).listeners.take().unwrap_or_default();
        for one in std::iter::once(&mut self.now).chain(&mut self.next) {
            one.listeners = None;
            one.edge = None;
            one.pools.clear();
        }
        self.renewal = None;
        listeners
    }
}

/// Makes the processes: the first time, whenever one has died, and for another configuration.
pub struct Generation {
    /// How the program was called.
    pub settings: Settings,
    /// Shared with the master's log.
    pub state: Rc<RefCell<State>>,
}

impl Generation {
    /// `now` is to be in force.
    pub fn new(settings: &Settings, now: InForce) -> Self {
        Self { settings: settings.clone(), state: Rc::new(RefCell::new(State { now, next: None, renewal: None })) }
    }

    /// Plans for all processes of a configuration.
    ///
    /// # Errors
    /// Why there can be none, in words.
    pub fn children(&self, is_next: bool) -> Result<Vec<ChildPlan>, String> {
        let mut state = self.state.borrow_mut();
        let one = state.of(is_next);
        let mut children = Vec::new();
        if !one.pools.is_empty() {
            let extension = paths::extension_module()?;
            for pool in &one.pools {
                children.push(pool.zygote(&extension, &one.runtime.error_log).map_err(|error| error.to_string())?);
            }
        }
        children.push(self.edge(one, is_next).map_err(|error| error.to_string())?);
        self.let_stop(&mut children);
        Ok(children)
    }

    fn edge(&self, one: &mut InForce, is_next: bool) -> std::io::Result<ChildPlan> {
        let runtime = Arc::clone(&one.runtime);
        let with_files = |pool: &mut Pool| {
            let factory = pool.factory(runtime.error_log.clone())?;
            Some(assembly::files_of(&pool.definition).before(factory))
        };
        let pools = one.pools.iter_mut().filter_map(with_files).collect();
        let (ours, theirs) = Courier::pair()?;
        one.edge = Some(ours);
        let succession = FromMaster::new(theirs, self.settings.clone(), one.assembly.clone(), &runtime);
        let conditions = conditions(&runtime.main);
        let state = Rc::clone(&self.state);
        let mut child = ChildPlan::fork("edge", Role::Edge, move |notice| {
            let listeners = state.borrow_mut().leave_to_edge(is_next);
            let (threads, log) = (runtime.main.edge_threads(), runtime.error_log.clone());
            let succession: Option<Box<dyn edge::Succession>> = Some(Box::new(succession));
            run_edge(EdgePlan { runtime, listeners, pools, threads, succession }, notice, &log)
        });
        child.identity.clone_from(&one.identity);
        child.conditions = conditions;
        Ok(child)
    }

    /// Reads the files, and what they ask for.
    ///
    /// # Errors
    /// What is wrong, line by line.
    fn read_anew(&self, files: &Recorder<'_>) -> Result<Loaded, Refusal> {
        let mut loaded = load::load_again(&self.settings, files);
        if loaded.has_errors {
            let diagnostics = std::mem::take(&mut loaded.typed.diagnostics);
            let mut refusal = Refusal::of(&loaded, &diagnostics);
            let of_pools = loaded.pool_messages.iter().flat_map(|text| text.lines()).map(str::to_owned);
            refusal.lines.extend(of_pools.map(|line| (Level::Emerg, line)));
            return Err(refusal);
        }
        Ok(loaded)
    }

    /// # Errors
    /// What is wrong, line by line; nothing has changed then.
    fn reload_or_refuse(&self, circumstances: Circumstances) -> Result<Reload, Refusal> {
        let files = Recorder::new(&FileSystem);
        let mut loaded = self.read_anew(&files)?;
        let mut state = self.state.borrow_mut();
        let now = &mut state.now;
        let replaces = circumstances.has_no_edge || !suits(now, &loaded);
        let changed = if replaces { Vec::new() } else { self.changed(now, &loaded) };
        if !changed.is_empty() {
            if circumstances.is_retiring {
                return Ok(Reload::Busy);
            }
            drop(state);
            return self.renew_in_place(loaded, files, changed);
        }
        let definitions = if replaces {
            Some(serve::define_pools(&mut loaded).map_err(|diagnostics| Refusal::of(&loaded, &diagnostics))?)
        } else {
            None
        };
        let assembly = match &definitions {
            Some(pools) => {
                Assembly::new(&self.settings, pools).map_err(|diagnostics| Refusal::of(&loaded, &diagnostics))?
            }
            None => now.assembly.clone(),
        };
        let threads = loaded.typed.main.edge_threads();
        let pools = definitions.map(|pools| serve::make_pools(pools, threads)).transpose()?;
        let typed = std::mem::take(&mut loaded.typed);
        let built = assembly.build(typed, LogAccess::Open, Heritage::of(&now.runtime), &files);
        let (runtime, diagnostics) = built.map_err(|diagnostics| Refusal::of(&loaded, &diagnostics))?;
        let held = now.listeners.as_ref().ok_or_else(|| "the end has begun".to_owned())?;
        let listeners = serve::bind(self.settings.mode, &runtime, held)?;
        let identity = serve::owner(&self.settings, &runtime, pools.as_deref().unwrap_or(&now.pools));
        let identity = identity.inspect_err(|_| remove_new(&listeners, held))?;
        estate::make_body_folders(&runtime.body_folders(), identity.as_ref(), &runtime.error_log);
        Refusal::of(&loaded, &diagnostics).log(&runtime.error_log);
        if let Some(pools) = pools {
            let next = InForce::new(runtime, files.finish(), listeners, pools, assembly, identity);
            let facts = next.facts(&self.settings);
            state.next = Some(next);
            drop(state);
            let children = self.children(true).inspect_err(|_| self.give_up())?;
            return Ok(Reload::Replaced(facts, children));
        }
        Ok(Reload::Taken(self.swap(now, files.finish(), runtime, listeners)))
    }

    /// The applications that are to be loaded anew: those whose options have changed; all, where the application is all there is.
    fn changed(&self, now: &InForce, loaded: &Loaded) -> Vec<usize> {
        let is_changed = |(pool, wanted): (&Pool, &LoadedPool)| {
            self.settings.mode == Mode::App || pool.definition.options != wanted.options
        };
        let pairs = now.pools.iter().zip(&loaded.pools);
        pairs.enumerate().filter(|(_, pair)| is_changed(*pair)).map(|(index, _)| index).collect()
    }

    /// Starts successors of some applications. The edge goes over to the configuration when they are ready.
    fn renew_in_place(&self, mut loaded: Loaded, files: Recorder<'_>, changed: Vec<usize>) -> Result<Reload, Refusal> {
        let definitions = serve::define_pools(&mut loaded).map_err(|diagnostics| Refusal::of(&loaded, &diagnostics))?;
        let state = self.state.borrow();
        let now = &state.now;
        let typed = std::mem::take(&mut loaded.typed);
        let built = now.assembly.build(typed, LogAccess::Open, Heritage::of(&now.runtime), &files);
        let (runtime, diagnostics) = built.map_err(|diagnostics| Refusal::of(&loaded, &diagnostics))?;
        let held = now.listeners.as_ref().ok_or_else(|| "the end has begun".to_owned())?;
        let listeners = serve::bind(self.settings.mode, &runtime, held)?;
        estate::make_body_folders(&runtime.body_folders(), now.identity.as_ref(), &runtime.error_log);
        Refusal::of(&loaded, &diagnostics).log(&runtime.error_log);
        let pools: Vec<_> = definitions.into_iter().enumerate().filter(|(index, _)| changed.contains(index)).collect();
        drop(state);
        self.start_renewal(Renewal { pools, web: Some((files.finish(), runtime, listeners)) })
    }

    fn start_renewal(&self, renewal: Renewal) -> Result<Reload, Refusal> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let log = state.now.runtime.error_log.clone();
        let renewal = state.renewal.insert(renewal);
        let extension = paths::extension_module()?;
        let plan = |(index, definition): &(usize, Definition)| {
            let pool = state.now.pools.get(*index).ok_or("there is no such application")?;
            pool.successor(definition, &extension, &log).map_err(|error| error.to_string())
        };
        let plans: Result<Vec<_>, String> = renewal.pools.iter().map(plan).collect();
        match plans {
            Ok(mut plans) => {
                self.let_stop(&mut plans);
                Ok(Reload::Renewed(plans))
            }
            Err(reason) => {
                drop_renewal(state);
                Err(reason.into())
            }
        }
    }

    /// An application that is all there is may end everything.
    fn let_stop(&self, plans: &mut [ChildPlan]) {
        for plan in plans.iter_mut().filter(|plan| plan.role == Role::Application) {
            plan.may_stop = self.settings.mode == Mode::App;
        }
    }

    /// Successors for applications that have asked for them: by their own files alone, whatever else has changed.
    fn renew_or_refuse(&self, names: &BTreeSet<String>) -> Result<Reload, Refusal> {
        let mut loaded = self.read_anew(&Recorder::new(&FileSystem))?;
        let state = self.state.borrow();
        let log = &state.now.runtime.error_log;
        // What the edge would have to know stays as it is.
        for (pool, wanted) in state.now.pools.iter().zip(&mut loaded.pools) {
            let options = &pool.definition.options;
            if options.without_inner_life() != wanted.options.without_inner_life() {
                let name = &pool.definition.name;
                let text = format_args!("application \"{name}\": what has changed in its file needs a SIGHUP");
                log.write(Level::Warn, text);
                wanted.options = options.clone();
            }
        }
        let definitions = serve::define_pools(&mut loaded).map_err(|diagnostics| Refusal::of(&loaded, &diagnostics))?;
        let is_asked = |(_, definition): &(usize, Definition)| names.contains(&definition.process_name());
        let pools = definitions.into_iter().enumerate().filter(is_asked).collect();
        drop(state);
        self.start_renewal(Renewal { pools, web: None })
    }

    /// The successors of some applications are up.
    fn finish_renewal(&self, renewal: Renewal) -> Option<ReloadFacts> {
        let mut state = self.state.borrow_mut();
        for (index, definition) in renewal.pools {
            if let Some(pool) = state.now.pools.get_mut(index) {
                pool.succeed(definition);
            }
        }
        let (texts, runtime, listeners) = renewal.web?;
        Some(self.swap(&mut state.now, texts, runtime, listeners))
    }

    /// Tells the edge that runs.
    fn swap(&self, now: &mut InForce, texts: Snapshot, runtime: Runtime, listeners: ListenerSet) -> ReloadFacts {
        let sent = now.edge.as_ref().map(|edge| succession::send(edge, &texts, &runtime, &listeners));
        if let Some(Err(reason)) = sent {
            let text = format_args!("the edge could not be told of the configuration: {reason}");
            runtime.error_log.write(Level::Alert, text);
        }
        let former = now.socket_files();
        now.listeners = Some(listeners);
        now.kept_files = KeptFiles::new(runtime.files.iter().map(PathBuf::as_path));
        now.texts = texts;
        now.runtime = Arc::new(runtime);
        remove_dropped(former, now);
        now.facts(&self.settings)
    }

    /// Builds the configuration in force once more, of the texts that it was built of and of certificates as they are now.
    ///
    /// # Errors
    /// What is wrong, line by line; nothing has changed then.
    fn renew_files(&self) -> Result<ReloadFacts, Refusal> {
        let mut state = self.state.borrow_mut();
        let now = &mut state.now;
        let renewing = now.kept_files.renewing(&now.texts);
        let files = Recorder::new(&renewing);
        let load::Web { typed, sources, .. } = load::read_web(&self.settings, &files);
        let lines = |diagnostics: Vec<Diagnostic>| {
            let errors = diagnostics.iter().filter(|one| one.is_error());
            Refusal { lines: errors.map(|one| (Level::Error, one.sentence(&sources))).collect() }
        };
        let built = now.assembly.build(typed, LogAccess::Open, Heritage::of(&now.runtime), &files);
        let (runtime, _) = built.map_err(lines)?;
        let held = now.listeners.as_ref().ok_or_else(|| "the end has begun".to_owned())?;
        let listeners = serve::bind(self.settings.mode, &runtime, held)?;
        // What the applications' files say is not asked for again, and goes on as it was.
        let texts = now.texts.with(files.finish());
        drop(renewing);
        Ok(self.swap(now, texts, runtime, listeners))
    }

    /// Forgets the configuration whose processes did not start.
    fn give_up(&self) {
        let mut state = self.state.borrow_mut();
        drop_renewal(&mut state);
        let Some(InForce { listeners: Some(listeners), .. }) = state.next.take() else { return };
        if let Some(held) = &state.now.listeners {
            remove_new(&listeners, held);
        }
    }
}

/// Whether the processes that run can go over to another configuration.
fn suits(now: &InForce, loaded: &Loaded) -> bool {
    let same_pool = |(pool, wanted): (&Pool, &LoadedPool)| {
        let options: &PoolOptions = &pool.definition.options;
        pool.definition.name == wanted.name && options.without_inner_life() == wanted.options.without_inner_life()
    };
    now.runtime.main.suits_process_of(&loaded.typed.main)
        && now.pools.len() == loaded.pools.len()
        && now.pools.iter().zip(&loaded.pools).all(same_pool)
}

/// Forgets applications that did not get ready.
fn drop_renewal(state: &mut State) {
    let Some(Renewal { web: Some((_, _, listeners)), .. }) = state.renewal.take() else { return };
    if let Some(held) = &state.now.listeners {
        remove_new(&listeners, held);
    }
}

/// Takes away the files of sockets that are in `new` and not in `held`.
fn remove_new(new: &ListenerSet, held: &ListenerSet) {
    let kept = held.socket_files();
    for file in new.socket_files().iter().filter(|file| !kept.contains(file)) {
        let _ = file.remove(); // What goes before is the error worth telling.
    }
}

/// Takes away the files of sockets that nobody listens on any more.
fn remove_dropped(former: Vec<SocketFile>, now: &InForce) {
    let kept = now.socket_files();
    for file in former.iter().filter(|file| !kept.contains(file)) {
        if let Err(error) = file.remove() {
            let path = file.path().display();
            now.runtime.error_log.write(Level::Alert, format_args!("unlink() \"{path}\" failed ({error})"));
        }
    }
}

fn conditions(main: &Main) -> Conditions {
    Conditions {
        priority: main.worker_priority(),
        open_files: main.worker_rlimit_nofile(),
        core_bytes: main.worker_rlimit_core(),
        directory: main.working_directory().map(Into::into),
    }
}

fn run_edge(plan: EdgePlan, notice: ReadyNotice, log: &ErrorLog) -> u8 {
    for refused in &notice.refused {
        log.write(Level::Alert, format_args!("{refused}"));
    }
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
        match death.role {
            // The edge shares memory with every pool: all begin anew.
            Role::Edge => {
                let renewed = self.state.borrow_mut().now.pools.iter_mut().try_for_each(Pool::renew);
                renewed.map_err(|error: PoolError| error.to_string())?;
                self.children(false)
            }
            Role::Application => {
                let state = self.state.borrow();
                let pool = state.now.pools.iter().find(|pool| pool.definition.process_name() == death.name);
                let extension = paths::extension_module()?;
                let plan = |pool: &Pool| {
                    pool.zygote(&extension, &state.now.runtime.error_log).map_err(|error| error.to_string())
                };
                let mut plans = pool.map(plan).into_iter().collect::<Result<Vec<_>, _>>()?;
                self.let_stop(&mut plans);
                Ok(plans)
            }
        }
    }

    fn scope(&mut self, death: &Death) -> Scope {
        match death.role {
            Role::Edge => Scope::All,
            Role::Application => Scope::Alone,
        }
    }

    fn reload(&mut self, circumstances: Circumstances) -> Reload {
        let log = self.state.borrow().now.runtime.error_log.clone();
        self.reload_or_refuse(circumstances).unwrap_or_else(|refusal| {
            refusal.log(&log);
            Reload::Refused
        })
    }

    fn renew(&mut self, names: &BTreeSet<String>, circumstances: Circumstances) -> Reload {
        if self.settings.mode == Mode::App || circumstances.has_no_edge {
            return self.reload(circumstances);
        }
        if circumstances.is_retiring {
            return Reload::Busy;
        }
        let log = self.state.borrow().now.runtime.error_log.clone();
        self.renew_or_refuse(names).unwrap_or_else(|refusal| {
            refusal.log(&log);
            Reload::Refused
        })
    }

    fn settle(&mut self, is_up: bool) -> Option<ReloadFacts> {
        if !is_up {
            self.give_up();
            return None;
        }
        let renewal = self.state.borrow_mut().renewal.take();
        if let Some(renewal) = renewal {
            return self.finish_renewal(renewal);
        }
        let mut state = self.state.borrow_mut();
        if let Some(next) = state.next.take() {
            let former = std::mem::replace(&mut state.now, next).socket_files();
            remove_dropped(former, &state.now);
        }
        None
    }

    fn keeps_files(&self) -> bool {
        !self.state.borrow().now.kept_files.is_empty()
    }

    fn look_at_files(&mut self) -> Option<ReloadFacts> {
        let log = {
            let now = &mut self.state.borrow_mut().now;
            if !now.kept_files.look() {
                return None;
            }
            now.runtime.error_log.clone()
        };
        log.write(Level::Notice, format_args!("certificates have changed and are read anew"));
        self.renew_files().inspect_err(|refusal| refusal.log(&log)).ok()
    }

    fn upgrade(&mut self) -> Result<Upgrade, String> {
        let state = self.state.borrow();
        let listeners = state.now.listeners.as_ref().ok_or("the end has begun")?;
        let mut words = std::env::args_os();
        let program = words.next().ok_or("the program's own name is not known")?;
        let (text, inherited) = bequest(listeners);
        let variable = (INHERITANCE_VARIABLE.into(), text.into());
        Ok(Upgrade { program, arguments: words.collect(), variable, inherited })
    }

    fn release(&mut self) {
        self.state.borrow_mut().now.listeners.take();
    }
}

/// What is to be said of a configuration, line by line.
#[derive(Default)]
pub struct Refusal {
    lines: Vec<(Level, String)>,
}

impl Refusal {
    fn of(loaded: &Loaded, diagnostics: &[Diagnostic]) -> Self {
        let said = diagnostics.iter().filter(|one| one.severity != Severity::Notice);
        let line = |one: &Diagnostic| {
            let level = if one.is_error() { Level::Emerg } else { Level::Warn };
            (level, one.sentence(&loaded.sources))
        };
        Self { lines: said.map(line).collect() }
    }

    fn log(&self, log: &ErrorLog) {
        for (level, line) in &self.lines {
            log.write(*level, format_args!("{line}"));
        }
    }
}

impl From<String> for Refusal {
    /// A text for the terminal, which has its level in front of some lines.
    fn from(text: String) -> Self {
        Self { lines: text.lines().map(|line| (Level::Emerg, serve::plain(line).to_owned())).collect() }
    }
}

/// The master's lines, in the error log of the main context.
pub struct MasterLog {
    /// Shared with the generation.
    pub state: Rc<RefCell<State>>,
}

impl daemun_master::Log for MasterLog {
    fn log(&mut self, level: daemun_master::Level, text: &str) {
        let level = Level::parse(level.as_str()).unwrap_or(Level::Error);
        self.state.borrow().now.runtime.error_log.write(level, format_args!("{text}"));
    }

    fn reopen(&mut self) {
        let InForce { runtime, identity, .. } = &self.state.borrow().now;
        estate::reopen_logs(&runtime.logs, identity.as_ref(), &runtime.error_log);
        let is_own = |path: &Path| !runtime.logs.iter().any(|log| log.path() == Some(path));
        for pool in &self.state.borrow().now.pools {
            let Some(path) = pool.definition.log_path().filter(|path| is_own(path)) else { continue };
            // It was found when the pool was defined.
            let writer = pool.definition.identity().unwrap_or_default();
            estate::renew_log(path, writer.as_ref(), &runtime.error_log);
        }
    }
}
