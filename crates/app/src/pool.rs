//! One application pool: from its options to a zygote for the master and a backend for the edge.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use daemun_channel::facilities::Facilities;
use daemun_channel::handover::{Application as Spec, FailurePage, Mount, Paste, Workers as WorkerSpec};
use daemun_channel::{EdgeEnd, Handover, Layout, WorkerEnd, create};
use daemun_master::{ChildPlan, Executable, Output, Role, Signal};
use daemun_server::backend::Backend;
use daemun_server::edge::PoolFactory;
use daemun_server::log::{ErrorLog, Level};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::spawn_local;

use crate::backend::PoolThread;
use crate::definition::Definition;
pub use crate::error::PoolError;
use crate::limits::{CHUNKS, SLOTS_PER_THREAD};
use crate::options::{Application, PoolOptions, PoolSocket, Protocol};
use crate::pump;
use crate::workers::Workers;

/// A pool before its processes are started.
pub struct Pool {
    /// What it is to be.
    pub definition: Definition,
    workers: Arc<Workers>,
    worker_end: WorkerEnd,
    edge_end: Option<EdgeEnd>,
    /// The side whose zygote is in charge.
    side: u16,
}

impl Pool {
    /// Prepares the pool: shared memory, descriptors. No process is started.
    ///
    /// # Errors
    /// [`PoolError::Channel`]
    pub fn new(definition: Definition, edge_threads: usize) -> Result<Self, PoolError> {
        let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        // A place more than workers, for the successor of one; and all of it twice, for the successors of all.
        let places = small(definition.options.processes.get()).saturating_add(1);
        let layout = Layout {
            sides: SIDES,
            processes: places.saturating_mul(SIDES),
            threads: small(definition.options.threads.get()),
            edge_threads: u16::try_from(edge_threads).unwrap_or(u16::MAX),
            slots_per_thread: SLOTS_PER_THREAD,
            chunks: CHUNKS,
        };
        raise_descriptor_limit(&layout);
        let (edge_end, worker_end) = create(layout)?;
        let workers = Arc::new(Workers::new(&definition.name, &layout));
        Ok(Self { definition, workers, worker_end, edge_end: Some(edge_end), side: 0 })
    }

    /// Shared memory anew, for a new edge and new workers.
    ///
    /// # Errors
    /// When memory or descriptors cannot be had.
    pub fn renew(&mut self) -> Result<(), PoolError> {
        let (edge_end, worker_end) = create(*self.worker_end.layout())?;
        self.edge_end = Some(edge_end);
        self.worker_end = worker_end;
        Ok(())
    }

    /// The other side's zygote is in charge from now on, by its own definition.
    pub fn succeed(&mut self, definition: Definition) {
        self.definition = definition;
        self.side = (self.side + 1) % SIDES;
    }

    /// The process that loads the application; `module` is the extension module's file, `log` the edge's error log.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub fn zygote(&self, module: &Path, log: &ErrorLog) -> Result<ChildPlan, PoolError> {
        zygote_of(&self.definition, &self.worker_end.of_side(self.side)?, false, module, log)
    }

    /// The same for `definition`, on the side that is free: it gets ready beside the one that is in charge.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub fn successor(&self, definition: &Definition, module: &Path, log: &ErrorLog) -> Result<ChildPlan, PoolError> {
        zygote_of(definition, &self.worker_end.of_side((self.side + 1) % SIDES)?, true, module, log)
    }

    /// The pool's end in the edge; taken once per edge process.
    pub fn factory(&mut self, log: ErrorLog) -> Option<Box<dyn PoolFactory>> {
        let end = Mutex::new(Some(self.edge_end.take()?));
        let (workers, deadline) = (Arc::clone(&self.workers), self.definition.options.request_deadline);
        Some(Box::new(Factory { end, pool: OnceLock::new(), workers, log, deadline }))
    }
}

/// A seat takes three descriptors here, and the system's own limit for a process is often 1024.
fn raise_descriptor_limit(layout: &Layout) {
    let wanted = DESCRIPTORS_BESIDE + 3 * u64::from(layout.seats());
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
        // Where it is refused, making the descriptors fails and says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    }
}

/// What else may be open: connections, listeners, logs.
const DESCRIPTORS_BESIDE: u64 = 1024;

/// The one that serves, and the one that is to take its place.
const SIDES: u16 = 2;

fn zygote_of(
    definition: &Definition,
    end: &WorkerEnd,
    is_successor: bool,
    module: &Path,
    log: &ErrorLog,
) -> Result<ChildPlan, PoolError> {
    let end = end.try_clone()?;
    let options = &definition.options;
    let log_path = definition.log_path();
    let application = Spec { log_deaths: !log.writes_to(log_path), ..specification(definition) };
    let mut workers = WorkerSpec { is_successor, ..worker_specification(definition) };
    let identity = definition.identity()?;
    // Then it changes the user itself, when it has done what wants more rights.
    let starts_as_root = options.beside.need_root() || options.process.priority.is_some_and(|priority| priority < 0);
    if let Some(identity) = identity.as_ref().filter(|_| starts_as_root) {
        workers.uid = Some(identity.user);
        workers.gid = Some(identity.group);
        workers.groups.clone_from(&identity.groups);
    }
    let logs = options.logs.handed_over(&options.loggers);
    let handover = Handover {
        logs,
        facilities: facilities(definition),
        attendants: options.beside.handed_over(),
        hooks: options.beside.hooks.clone(),
        process: options.process.clone(),
        ..Handover::new(&end, application, workers)
    };
    let memory = handover.write_to_memfd()?;
    let number = memory.as_raw_fd();
    // Opened while still root: the user that the application runs as need not be able to go where the program lies.
    let extension = File::open(module).map_err(|source| PoolError::Extension { path: module.to_owned(), source })?;
    let extension_number = extension.as_raw_fd();
    let mut executable = Executable::new(definition.interpreter()?);
    executable.arguments = vec!["-c".into(), BOOTSTRAP.into(), extension_number.to_string().into()];
    executable.environment.push((Handover::VARIABLE.into(), Some(number.to_string().into())));
    // Python reads some variables before anything of ours runs.
    for (name, value) in &options.env {
        executable.environment.push((name.into(), Some(value.into())));
    }
    for name in &options.unset_env {
        executable.environment.push((name.into(), None));
    }
    executable.directory.clone_from(&options.chdir);
    executable.inherited = handover.inherited();
    executable.inherited.extend([number, extension_number]);
    executable.owner = Some(Box::new((end, memory, extension)));
    let mut plan = ChildPlan::exec(&definition.process_name(), Role::Application, executable);
    plan.identity = if starts_as_root { None } else { identity };
    plan.output = output(definition, !is_successor)?;
    plan.fast_signal = Signal::INT; // TERM lets requests finish.
    plan.reopen_signal = log_path.map(|_| Signal::USR1);
    // Its own limit for its workers comes first.
    plan.ends_within = Some(options.mercy() + ENDING);
    Ok(plan)
}

/// Standard output and error. The log is emptied for the first zygote alone.
fn output(definition: &Definition, is_first: bool) -> Result<Output, PoolError> {
    let Some(path) = definition.log_path() else { return Ok(Output::Inherit) };
    let logs = &definition.options.logs;
    let owner = definition.identity()?.filter(|_| logs.gives_away).map(|identity| (identity.user, identity.group));
    let open = || {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
        if logs.truncates && is_first {
            file.set_len(0)?;
        }
        if let Some(mode) = logs.mode {
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        }
        if let Some((user, group)) = owner {
            std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
        }
        Ok(file)
    };
    open().map(|file| Output::File(file.into())).map_err(|source| PoolError::Log { path: path.to_owned(), source })
}

fn specification(definition: &Definition) -> Spec {
    let options = &definition.options;
    let mounted = options.mounted_applications();
    let has_application = options.application().is_some() || !mounted.is_empty();
    let mut mounts: Vec<Mount> = options.application().into_iter().map(|one| mount(String::new(), one)).collect();
    mounts.extend(mounted.into_iter().map(|(place, one)| mount(place, one)));
    Spec {
        name: definition.name.clone(),
        chdir: options.chdir.clone(),
        chdir_after: options.chdir_after.clone(),
        pythonpath: options.pythonpath.clone(),
        virtualenv: options.virtualenv.clone(),
        env: options.env.clone(),
        argv: options.argv.clone(),
        mounts,
        manage_script_name: options.manage_script_name,
        failure_page: match (options.development, options.catch_exceptions) {
            (true, _) => FailurePage::Page,
            (false, true) => FailurePage::Text,
            (false, false) => FailurePage::Brief,
        },
        development: options.development,
        autoreload_milliseconds: match options.py_autoreload {
            Some(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            None if options.development => DEVELOPMENT_AUTORELOAD_MS,
            None => 0,
        },
        autoreload_ignored: options.py_autoreload_ignored.clone(),
        import: options.import.clone(),
        need_app: options.need_app && has_application && !options.development,
        log_request_id: true,
        log_file: definition.log_path().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
        ..Spec::default()
    }
}

/// As in uWSGI, files of these start from the folder that the program was started in.
fn facilities(definition: &Definition) -> Facilities {
    let mut facilities = definition.options.facilities.clone();
    let stores = facilities.caches.iter_mut().filter_map(|cache| cache.store.as_mut());
    for path in stores.chain(&mut facilities.spoolers).chain(&mut facilities.spooling.folder) {
        *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
    }
    facilities
}

fn worker_specification(definition: &Definition) -> WorkerSpec {
    let options = &definition.options;
    WorkerSpec {
        master: options.master,
        threads_by_need: options.threads_by_need,
        enable_threads: options.enable_threads,
        lazy_apps: options.lazy_apps,
        harakiri_seconds: seconds(options.harakiri),
        harakiri_verbose: options.harakiri_verbose,
        count: u16::try_from(options.processes.get()).unwrap_or(u16::MAX),
        probe: options.reload_probe.clone(),
        max_requests: options.max_requests.unwrap_or(0),
        max_requests_delta: options.max_requests_delta.unwrap_or(0),
        min_worker_lifetime_seconds: options.min_worker_lifetime.as_secs(),
        max_worker_lifetime_seconds: seconds(options.max_worker_lifetime),
        max_worker_lifetime_delta_seconds: seconds(options.max_worker_lifetime_delta),
        reload_on_rss_bytes: options.reload_on_rss_bytes.unwrap_or(0),
        reload_on_as_bytes: options.reload_on_as_bytes.unwrap_or(0),
        evil_reload_on_rss_bytes: options.evil_reload_on_rss_bytes.unwrap_or(0),
        evil_reload_on_as_bytes: options.evil_reload_on_as_bytes.unwrap_or(0),
        touch_reload: options.touch_reload.clone(),
        touch_chain_reload: options.touch_chain_reload.clone(),
        touch_workers_reload: options.touch_workers_reload.clone(),
        fs_reload: options.fs_reload.clone(),
        master_fifo: options.master_fifo.clone(),
        stats: options.stats.clone(),
        stats_http: options.stats_http,
        sockets: options.sockets.iter().map(|socket| shown(options, socket)).collect(),
        cheaper: options.cheaper.clone(),
        idle_seconds: seconds(options.idle),
        die_on_idle: options.die_on_idle,
        starts_cheap: options.starts_cheap,
        mercy_seconds: options.mercy().as_secs(),
        procname: options.procname.clone(),
        procname_prefix: options.procname_prefix.clone(),
        auto_procname: options.auto_procname,
        umask: options.umask,
        ..WorkerSpec::default()
    }
}

/// A socket as the pool's numbers have it.
fn shown(options: &PoolOptions, socket: &PoolSocket) -> (String, String) {
    let protocol = match socket.protocol.unwrap_or(options.protocol) {
        Protocol::Uwsgi => "uwsgi",
        Protocol::Http => "http",
        Protocol::Scgi => "scgi",
        Protocol::FastCgi => "fastcgi",
    };
    (socket.address.to_string(), protocol.to_owned())
}

/// Short enough that whoever saves a file finds it in force.
const DEVELOPMENT_AUTORELOAD_MS: u64 = 250;

/// 0 for none.
fn seconds(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| time.as_secs())
}

/// What a zygote has beyond its workers' mercy.
const ENDING: Duration = Duration::from_secs(5);

fn mount(script_name: String, application: Application) -> Mount {
    let mount = Mount { script_name, ..Mount::default() };
    match application {
        Application::Module { name, callable } => Mount { module: Some(name), callable: Some(callable), ..mount },
        Application::File { path, callable } => Mount { wsgi_file: Some(path), callable: Some(callable), ..mount },
        Application::Code { code, callable } => Mount { code: Some(code), callable: Some(callable), ..mount },
        Application::Paste { uri, name, has_loggers } => {
            Mount { paste: Some(Paste { uri, name, has_loggers }), ..mount }
        }
    }
}

/// Loads the extension module from its descriptor, whatever `sys.path` says.
const BOOTSTRAP: &str = "\
import os, sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = ExtensionFileLoader('_daemun', '/proc/self/fd/' + sys.argv[1])
module = module_from_spec(spec_from_loader('_daemun', loader))
loader.exec_module(module)
os.close(int(sys.argv[1]))
sys.modules['_daemun'] = module
module.main()
";

/// Opens the pool in the edge process, once, and hands its ends to the threads.
struct Factory {
    end: Mutex<Option<EdgeEnd>>,
    pool: OnceLock<Arc<daemun_channel::Pool>>,
    workers: Arc<Workers>,
    log: ErrorLog,
    deadline: Option<Duration>,
}

impl Factory {
    fn pool(&self) -> io::Result<Arc<daemun_channel::Pool>> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = self.pool.get() {
            return Ok(Arc::clone(pool));
        }
        let end = end.take().ok_or_else(|| io::Error::other("the pool could not be opened before"))?;
        let pool = daemun_channel::Pool::open(end).map_err(io::Error::other)?;
        // An event loop must not wait for a zygote that does not read.
        for side in 0..SIDES {
            rustix::io::ioctl_fionbio(pool.control(side), true)?;
        }
        Ok(Arc::clone(self.pool.get_or_init(|| pool)))
    }
}

impl PoolFactory for Factory {
    fn on_thread(&self, index: usize) -> io::Result<Rc<dyn Backend>> {
        let pool = self.pool()?;
        let hop = pool.thread(u16::try_from(index).unwrap_or(u16::MAX)).map_err(io::Error::other)?;
        let thread = PoolThread::new(hop, Arc::clone(&self.workers), self.deadline);
        spawn_local(report("hop", self.log.clone(), pump::pump(Rc::clone(&thread))));
        if index == 0 {
            for side in 0..SIDES {
                let watch = pump::watch(Arc::clone(&pool), side, Arc::clone(&self.workers), self.log.clone());
                spawn_local(report("control channel", self.log.clone(), watch));
            }
        }
        Ok(thread)
    }
}

/// Runs a task that is not to end, and says so when it does.
async fn report(what: &'static str, log: ErrorLog, task: impl Future<Output = io::Result<()>>) {
    if let Err(error) = task.await {
        log.write(Level::Alert, format_args!("the {what} of an application failed: {error}"));
    }
}
