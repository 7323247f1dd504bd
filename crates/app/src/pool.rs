//! One application pool: from its options to a zygote for the master and a backend for the edge.

use std::io;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use daemun_channel::handover::{Application as Spec, Mount, Workers as WorkerSpec};
use daemun_channel::{ChannelError, EdgeEnd, Handover, Layout, WorkerEnd, create};
use daemun_master::{ChildPlan, Executable, Identity, IdentityError, Output, Role, Signal};
use daemun_net::{BindOptions, ListenAddress};
use daemun_server::backend::{Backend, BackendId, BodyTransfer, SocketName};
use daemun_server::config::PoolListener;
use daemun_server::edge::PoolFactory;
use daemun_server::listener::Protocol as ListenerProtocol;
use daemun_server::log::{ErrorLog, Level};
use daemun_server::phase::Step;
use daemun_server::{LocalFuture, Outcome, Request};
use tokio::task::spawn_local;

use crate::backend::PoolThread;
use crate::environment::ListenerEnvironment;
use crate::limits::{CHUNKS, SLOTS_PER_THREAD};
use crate::options::{Application, LogTarget, PoolOptions, Protocol, SocketAddress};
use crate::pump;
use crate::workers::Workers;

/// A pool before its processes are started.
pub struct Pool {
    /// Its name in logs and in `app:NAME`.
    pub name: String,
    /// What was configured.
    pub options: PoolOptions,
    id: BackendId,
    workers: Arc<Workers>,
    worker_end: WorkerEnd,
    edge_end: Option<EdgeEnd>,
}

/// Why a pool cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The virtualenv has no interpreter.
    #[error("virtualenv \"{}\" has no bin/python: is it a virtualenv, and complete?", .0.display())]
    Virtualenv(PathBuf),
    /// Nothing says what to load.
    #[error("no application: set `module = package.wsgi:application` or `wsgi-file = path`")]
    NoApplication,
    /// An address that cannot be listened on.
    #[error("socket \"{address}\": {reason}")]
    Address {
        /// As written.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The log file cannot be opened.
    #[error("log file {}: {source}", path.display())]
    Log {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `uid` or `gid` names nobody.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A setting that needs more than this build has.
    #[error("{0}")]
    Unsupported(String),
    /// The folder of `chdir` is not there.
    #[error("chdir \"{}\": {source}", path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Shared memory or descriptors cannot be had.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl Pool {
    /// Prepares the pool: shared memory, descriptors. No process is started.
    ///
    /// # Errors
    /// See [`PoolError`]; what can be found out before a process is started is found out here.
    pub fn new(name: &str, options: PoolOptions, id: BackendId, edge_threads: usize) -> Result<Self, PoolError> {
        if options.application().is_none() {
            return Err(PoolError::NoApplication);
        }
        if let Some(path) = &options.chdir {
            let found = std::fs::metadata(path)
                .and_then(|folder| if folder.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) });
            found.map_err(|source| PoolError::Directory { path: path.clone(), source })?;
        }
        interpreter(&options)?;
        let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let layout = Layout {
            processes: small(options.processes.get()),
            threads: small(options.threads.get()),
            edge_threads: u16::try_from(edge_threads).unwrap_or(u16::MAX),
            slots_per_thread: SLOTS_PER_THREAD,
            chunks: CHUNKS,
        };
        let (edge_end, worker_end) = create(layout)?;
        let workers = Arc::new(Workers::new(name, layout.processes, layout.threads));
        Ok(Self { name: name.to_owned(), options, id, workers, worker_end, edge_end: Some(edge_end) })
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

    /// The names by which `uwsgi_pass` finds this pool.
    ///
    /// # Errors
    /// [`PoolError::Address`]
    pub fn socket_names(&self) -> Result<Vec<SocketName>, PoolError> {
        let mut names = vec![SocketName::Pool(self.name.clone())];
        for socket in &self.options.sockets {
            for address in self.listen_addresses(&socket.address)? {
                names.push(match address {
                    ListenAddress::Tcp(address) => SocketName::Inet(address),
                    ListenAddress::Unix(path) => SocketName::Unix(path),
                });
            }
        }
        Ok(names)
    }

    /// The pool's own listeners.
    ///
    /// # Errors
    /// [`PoolError::Address`]
    pub fn listeners(&self) -> Result<Vec<PoolListener>, PoolError> {
        let mut listeners = Vec::new();
        for socket in &self.options.sockets {
            let protocol = match socket.protocol.unwrap_or(self.options.protocol) {
                Protocol::Uwsgi => ListenerProtocol::Uwsgi,
                Protocol::Http => ListenerProtocol::Http,
            };
            for address in self.listen_addresses(&socket.address)? {
                let options = self.bind_options()?;
                listeners.push(PoolListener {
                    address,
                    options,
                    protocol,
                    content: Box::new(PoolContent { id: self.id }),
                });
            }
        }
        Ok(listeners)
    }

    fn bind_options(&self) -> Result<BindOptions, PoolError> {
        let owner = match self.options.chown_socket.as_deref() {
            Some(text) if Identity::can_switch() => {
                let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
                let identity = Identity::look_up(user, group)?;
                Some((identity.user, identity.group))
            }
            _ => None,
        };
        let (backlog, mode) = (self.options.listen, self.options.chmod_socket);
        Ok(BindOptions { backlog, mode, owner, ..BindOptions::default() })
    }

    fn listen_addresses(&self, address: &SocketAddress) -> Result<Vec<ListenAddress>, PoolError> {
        let error = |reason: &str| PoolError::Address { address: address.to_string(), reason: reason.to_owned() };
        match address {
            SocketAddress::Unix(path) => Ok(vec![ListenAddress::Unix(self.below_chdir(path))]),
            SocketAddress::Tcp { host, port } => match address.tcp() {
                Some(address) => Ok(vec![ListenAddress::Tcp(address)]),
                None => {
                    let found =
                        (host.as_str(), *port).to_socket_addrs().map_err(|reason| error(&reason.to_string()))?;
                    Ok(found.take(1).map(ListenAddress::Tcp).collect())
                }
            },
            SocketAddress::Abstract(_) => Err(error("abstract sockets are not supported by daemun yet")),
            SocketAddress::Descriptor(_) => Err(error("inherited sockets are not supported by daemun yet")),
        }
    }

    fn below_chdir(&self, path: &Path) -> PathBuf {
        match &self.options.chdir {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        }
    }

    /// The process that loads the application; `module` is the extension module's file.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub fn zygote(&self, module: &Path) -> Result<ChildPlan, PoolError> {
        let end = self.worker_end.try_clone()?;
        let identity = self.identity()?;
        let handover = Handover::new(&end, self.specification(), self.worker_specification());
        let memory = handover.write_to_memfd()?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&memory);
        let mut executable = Executable::new(interpreter(&self.options)?);
        executable.arguments = vec!["-c".into(), BOOTSTRAP.into(), module.into()];
        executable.environment.push((Handover::VARIABLE.into(), Some(number.to_string().into())));
        // Python reads some variables before anything of ours runs.
        for (name, value) in &self.options.env {
            executable.environment.push((name.into(), Some(value.into())));
        }
        for name in &self.options.unset_env {
            executable.environment.push((name.into(), None));
        }
        executable.directory.clone_from(&self.options.chdir);
        executable.inherited = handover.inherited();
        executable.inherited.push(number);
        executable.owner = Some(Box::new((end, memory)));
        let mut plan = ChildPlan::exec(&self.process_name(), Role::Application, executable);
        plan.identity = identity;
        plan.output = self.output()?;
        plan.fast_signal = Signal::INT; // TERM lets requests finish.
        Ok(plan)
    }

    /// The zygote's name in the master's log.
    #[must_use]
    pub fn process_name(&self) -> String {
        format!("app \"{}\"", self.name)
    }

    /// Who the pool's processes run as; `None`: who starts them.
    ///
    /// # Errors
    /// When `uid` or `gid` names nobody.
    pub fn identity(&self) -> Result<Option<Identity>, PoolError> {
        if !Identity::can_switch() {
            return Ok(None);
        }
        match (&self.options.uid, &self.options.gid) {
            (None, None) => Ok(None),
            (Some(user), group) => Ok(Some(Identity::look_up(user, group.as_deref())?)),
            (None, Some(_)) => {
                Err(PoolError::Unsupported("`gid` without `uid` is not supported by daemun yet".to_owned()))
            }
        }
    }

    /// The file that the pool's processes write their log to; `None` where it goes where the master's goes.
    #[must_use]
    pub fn log_path(&self) -> Option<&Path> {
        let from_loggers = self.options.loggers.iter().find_map(|target| match target {
            LogTarget::File(path) => Some(path),
            LogTarget::StandardOutput => None,
        });
        self.options.daemonize.as_ref().or(self.options.logto.as_ref()).or(from_loggers).map(PathBuf::as_path)
    }

    fn output(&self) -> Result<Output, PoolError> {
        let Some(path) = self.log_path() else { return Ok(Output::Inherit) };
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        opened.map(|file| Output::File(file.into())).map_err(|source| PoolError::Log { path: path.to_owned(), source })
    }

    fn specification(&self) -> Spec {
        let options = &self.options;
        let mount = options.application().map(|application| match application {
            Application::Module { name, callable } => {
                Mount { module: Some(name), callable: Some(callable), ..Mount::default() }
            }
            Application::File { path, callable } => {
                Mount { wsgi_file: Some(path), callable: Some(callable), ..Mount::default() }
            }
        });
        Spec {
            name: self.name.clone(),
            chdir: options.chdir.clone(),
            chdir_after: options.chdir_after.clone(),
            pythonpath: options.pythonpath.clone(),
            virtualenv: options.virtualenv.clone(),
            env: options.env.clone(),
            argv: options.argv.clone(),
            mounts: mount.into_iter().collect(),
            import: options.import.clone(),
            // An application that cannot be loaded ends the start whatever `need-app` says: a server that answers 500 to
            // everything is of no use to anybody.
            need_app: true,
            log_request_id: true,
            log_failure: self.log_path().is_some(),
            ..Spec::default()
        }
    }

    fn worker_specification(&self) -> WorkerSpec {
        let options = &self.options;
        WorkerSpec {
            master: options.master,
            enable_threads: options.enable_threads,
            lazy_apps: options.lazy_apps,
            harakiri_seconds: options.harakiri.map_or(0, |time| time.as_secs()),
            mercy_seconds: options.reload_mercy.map_or(60, |time| time.as_secs()),
            procname: options.procname.clone(),
            procname_prefix: options.procname_prefix.clone(),
            auto_procname: options.auto_procname,
            umask: options.umask,
            ..WorkerSpec::default()
        }
    }

    /// The pool's end in the edge; taken once per edge process.
    pub fn factory(&mut self, log: ErrorLog) -> Option<Box<dyn PoolFactory>> {
        let end = Mutex::new(Some(self.edge_end.take()?));
        Some(Box::new(Factory { end, pool: OnceLock::new(), workers: Arc::clone(&self.workers), log }))
    }
}

/// The interpreter: the virtualenv's own, else the first `python3` there is.
fn interpreter(options: &PoolOptions) -> Result<PathBuf, PoolError> {
    let Some(folder) = &options.virtualenv else { return Ok(PathBuf::from("python3")) };
    let python = folder.join("bin/python");
    if python.exists() { Ok(python) } else { Err(PoolError::Virtualenv(folder.clone())) }
}

/// Loads the extension module by its path, whatever `sys.path` says.
const BOOTSTRAP: &str = "\
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = ExtensionFileLoader('_daemun', sys.argv[1])
module = module_from_spec(spec_from_loader('_daemun', loader))
loader.exec_module(module)
sys.modules['_daemun'] = module
module.main()
";

/// Opens the pool in the edge process, once, and hands its ends to the threads.
struct Factory {
    end: Mutex<Option<EdgeEnd>>,
    pool: OnceLock<Arc<daemun_channel::Pool>>,
    workers: Arc<Workers>,
    log: ErrorLog,
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
        rustix::io::ioctl_fionbio(pool.control(), true)?;
        Ok(Arc::clone(self.pool.get_or_init(|| pool)))
    }
}

impl PoolFactory for Factory {
    fn on_thread(&self, index: usize) -> io::Result<Rc<dyn Backend>> {
        let pool = self.pool()?;
        let hop = pool.thread(u16::try_from(index).unwrap_or(u16::MAX)).map_err(io::Error::other)?;
        let thread = PoolThread::new(hop, Arc::clone(&self.workers));
        spawn_local(report("hop", self.log.clone(), pump::pump(Rc::clone(&thread))));
        if index == 0 {
            spawn_local(report(
                "control channel",
                self.log.clone(),
                pump::watch(pool, Arc::clone(&self.workers), self.log.clone()),
            ));
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

/// The content handler of a pool's own listeners.
struct PoolContent {
    id: BackendId,
}

impl Step for PoolContent {
    fn run(&self, _: &mut Request) -> Option<Outcome> {
        None
    }

    fn start<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
        Rc::clone(&request.runtime.backends[self.id.0]).call(request, &ListenerEnvironment, BodyTransfer::Buffered)
    }
}
