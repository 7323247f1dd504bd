//! The typed configuration of one application pool.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemun_channel::facilities::Facilities;
use daemun_channel::handover::{Cheaper, ProcessSettings};
use daemun_conf::Span;

use crate::emperor::EmperorOptions;
use crate::options::address::SocketAddress;
use crate::options::attendants::AttendantOptions;
use crate::options::logs::LogOptions;

/// Everything that uWSGI's options say about a pool.
///
/// Paths are as they were written. A relative `pidfile`, `logto` or log file starts from the folder the program was started in,
/// everything else from `chdir`.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolOptions {
    /// Workers.
    pub processes: NonZeroU32,
    /// Threads of each worker that take requests; the most of them where they are started by need.
    pub threads: NonZeroU32,
    /// `threads = auto`: a worker has one thread, and more while requests wait and its interpreter has nothing to do.
    pub threads_by_need: bool,
    /// A process of its own watches the workers. In daemun always so; kept for what the application is told.
    pub master: bool,
    /// The application may start threads.
    pub enable_threads: bool,
    /// Each worker loads the application itself.
    pub lazy_apps: bool,
    /// The virtualenv.
    pub virtualenv: Option<PathBuf>,
    /// Where to go before the application is loaded.
    pub chdir: Option<PathBuf>,
    /// Where to go after the application has been loaded.
    pub chdir_after: Option<PathBuf>,
    /// `module`, with `:callable` if it was there.
    pub module: Option<String>,
    /// `wsgi-file`.
    pub wsgi_file: Option<PathBuf>,
    /// `callable`.
    pub callable: Option<String>,
    /// `eval`: the application's own text.
    pub code: Option<String>,
    /// `paste`: where PasteDeploy finds the application.
    pub paste: Option<String>,
    /// The section of that file.
    pub paste_name: Option<String>,
    /// The file configures `logging` too.
    pub paste_logger: bool,
    /// Beginnings of paths, and the application behind each, as it was written.
    pub mounts: Vec<(String, String)>,
    /// SCRIPT_NAME and PATH_INFO are made of the path by the mounts.
    pub manage_script_name: bool,
    /// A failing application's traceback is the answer.
    pub catch_exceptions: bool,
    /// Whoever writes the application looks on: tracebacks as pages, a reload with each change of its source, files that Django finds, a line for
    /// each request. What cannot be loaded is served as a page too.
    pub development: bool,
    /// How often the files of all modules are looked at; a change of one reloads the application.
    pub py_autoreload: Option<Duration>,
    /// Modules whose files are not looked at.
    pub py_autoreload_ignored: Vec<String>,
    /// Folders for `sys.path`, or patterns of them; each is put before the ones before it.
    pub pythonpath: Vec<PathBuf>,
    /// Modules to import besides the application.
    pub import: Vec<String>,
    /// `sys.argv` after its first word.
    pub argv: Vec<String>,
    /// Environment variables to set, in order.
    pub env: Vec<(String, String)>,
    /// Environment variables to take away.
    pub unset_env: Vec<String>,
    /// Where to listen, in order.
    pub sockets: Vec<PoolSocket>,
    /// What `socket` speaks.
    pub protocol: Protocol,
    /// Mode of unix sockets; `None` leaves it to the umask.
    pub chmod_socket: Option<u32>,
    /// `user[:group]` that unix sockets are given to.
    pub chown_socket: Option<String>,
    /// File-mode creation mask.
    pub umask: Option<u32>,
    /// Length of the listen queue.
    pub listen: u32,
    /// User to become, by name or number.
    pub uid: Option<String>,
    /// Group to become, by name or number.
    pub gid: Option<String>,
    /// File for the master's process id, written before `uid` is taken.
    pub pidfile: Option<PathBuf>,
    /// The same, written after `uid` has been taken.
    pub pidfile_after: Option<PathBuf>,
    /// Sockets and pid files are removed at the end.
    pub vacuum: bool,
    /// Where the log goes, besides `logto`.
    pub loggers: Vec<LogTarget>,
    /// File that standard output and error go to.
    pub logto: Option<PathBuf>,
    /// Go to the background; standard output and error go to this file.
    pub daemonize: Option<PathBuf>,
    /// Other files, each a server of its own.
    pub emperor: EmperorOptions,
    /// What runs beside the workers, and hooks.
    pub beside: AttendantOptions,
    /// What the processes are like.
    pub process: ProcessSettings,
    /// What is logged, and how.
    pub logs: LogOptions,
    /// SIGTERM stops. In daemun always so.
    pub die_on_term: bool,
    /// The start fails when no application could be loaded. Unlike in uWSGI so unless told otherwise: a server that
    /// answers 500 to everything is rarely what was meant.
    pub need_app: bool,
    /// How long a request may run.
    pub harakiri: Option<Duration>,
    /// More is said of a request that runs too long.
    pub harakiri_verbose: bool,
    /// How long workers have for their last requests.
    pub reload_mercy: Option<Duration>,
    /// The same, for workers alone.
    pub worker_reload_mercy: Option<Duration>,
    /// How long a request may wait and run until its answer begins.
    pub request_deadline: Option<Duration>,
    /// Where the pool's numbers are told.
    pub stats: Vec<String>,
    /// They are told by HTTP.
    pub stats_http: bool,
    /// How many workers there are.
    pub cheaper: Cheaper,
    /// How long nobody asks for anything until there are no workers.
    pub idle: Option<Duration>,
    /// Everything ends then.
    pub die_on_idle: bool,
    /// There are no workers before the first request.
    pub starts_cheap: bool,
    /// What each worker of a new generation is asked for before the old one retires.
    pub reload_probe: Option<String>,
    /// Files whose change asks for a reload.
    pub touch_reload: Vec<PathBuf>,
    /// Files whose change asks for a reload of one worker after the other.
    pub touch_chain_reload: Vec<PathBuf>,
    /// Files whose change has the workers replaced.
    pub touch_workers_reload: Vec<PathBuf>,
    /// Files and folders any change of which asks for a reload.
    pub fs_reload: Vec<PathBuf>,
    /// Named pipes that take commands, one at a time.
    pub master_fifo: Vec<PathBuf>,
    /// Requests after which a worker is replaced.
    pub max_requests: Option<u64>,
    /// What each worker has more of them than the one before it.
    pub max_requests_delta: Option<u64>,
    /// How long a worker lives, whatever it has run or uses.
    pub min_worker_lifetime: Duration,
    /// Time after which a worker is replaced.
    pub max_worker_lifetime: Option<Duration>,
    /// What each worker has more of it than the one before it.
    pub max_worker_lifetime_delta: Option<Duration>,
    /// Resident memory, in bytes, above which a worker is replaced.
    pub reload_on_rss_bytes: Option<u64>,
    /// Address space, in bytes, above which a worker is replaced.
    pub reload_on_as_bytes: Option<u64>,
    /// Resident memory, in bytes, above which a worker is killed.
    pub evil_reload_on_rss_bytes: Option<u64>,
    /// Address space, in bytes, above which a worker is killed.
    pub evil_reload_on_as_bytes: Option<u64>,
    /// Size of uWSGI's request buffer. Accepted; heads up to daemun's own limits are taken in any case.
    pub buffer_size: Option<u64>,
    /// Name of all processes of the pool.
    pub procname: Option<String>,
    /// What the names of the processes begin with.
    pub procname_prefix: Option<String>,
    /// Name of the master.
    pub procname_master: Option<String>,
    /// Processes are named for what they are.
    pub auto_procname: bool,
    /// Programs of the pool's own sockets.
    pub cgi: CgiOptions,
    /// Files that are sent without asking the application.
    pub static_files: StaticOptions,
    /// Locks, caches, mules and spoolers.
    pub facilities: Facilities,
    /// What is unknown or not built is an error.
    pub strict: bool,
    /// Print all settings as one ini file.
    pub show_config: bool,
    /// What to do instead of serving.
    pub command: Option<Command>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            processes: NonZeroU32::MIN,
            threads: NonZeroU32::MIN,
            threads_by_need: false,
            master: false,
            enable_threads: false,
            lazy_apps: false,
            virtualenv: None,
            chdir: None,
            chdir_after: None,
            module: None,
            wsgi_file: None,
            callable: None,
            code: None,
            paste: None,
            paste_name: None,
            paste_logger: false,
            mounts: Vec::new(),
            manage_script_name: false,
            catch_exceptions: false,
            development: false,
            py_autoreload: None,
            py_autoreload_ignored: Vec::new(),
            pythonpath: Vec::new(),
            import: Vec::new(),
            argv: Vec::new(),
            env: Vec::new(),
            unset_env: Vec::new(),
            sockets: Vec::new(),
            protocol: Protocol::Uwsgi,
            chmod_socket: None,
            chown_socket: None,
            umask: None,
            listen: 100,
            uid: None,
            gid: None,
            pidfile: None,
            pidfile_after: None,
            vacuum: false,
            loggers: Vec::new(),
            logto: None,
            daemonize: None,
            emperor: EmperorOptions::default(),
            beside: AttendantOptions::default(),
            process: ProcessSettings::default(),
            logs: LogOptions::default(),
            die_on_term: false,
            need_app: true,
            harakiri: None,
            harakiri_verbose: false,
            reload_mercy: None,
            worker_reload_mercy: None,
            request_deadline: None,
            stats: Vec::new(),
            stats_http: false,
            cheaper: Cheaper::default(),
            idle: None,
            die_on_idle: false,
            starts_cheap: false,
            reload_probe: None,
            touch_reload: Vec::new(),
            touch_chain_reload: Vec::new(),
            touch_workers_reload: Vec::new(),
            fs_reload: Vec::new(),
            master_fifo: Vec::new(),
            max_requests: None,
            max_requests_delta: None,
            min_worker_lifetime: Duration::from_secs(10),
            max_worker_lifetime: None,
            max_worker_lifetime_delta: None,
            reload_on_rss_bytes: None,
            reload_on_as_bytes: None,
            evil_reload_on_rss_bytes: None,
            evil_reload_on_as_bytes: None,
            buffer_size: None,
            procname: None,
            procname_prefix: None,
            procname_master: None,
            auto_procname: false,
            cgi: CgiOptions::default(),
            static_files: StaticOptions::default(),
            facilities: Facilities::default(),
            strict: false,
            show_config: false,
            command: None,
        }
    }
}

impl PoolOptions {
    /// How long workers have for their last requests, where nobody says otherwise a minute, as in uWSGI.
    pub fn mercy(&self) -> Duration {
        self.worker_reload_mercy.or(self.reload_mercy).unwrap_or(Duration::from_secs(60))
    }

    /// What an edge has to know of it, and what shared memory was made for. Where two are the same by this, one can take the
    /// other's place while the edge lives on; what only the application's own processes obey is left out.
    #[must_use]
    pub fn without_inner_life(&self) -> Self {
        let nothing = Self::default();
        Self {
            enable_threads: nothing.enable_threads,
            lazy_apps: nothing.lazy_apps,
            virtualenv: nothing.virtualenv,
            chdir_after: nothing.chdir_after,
            module: nothing.module,
            wsgi_file: nothing.wsgi_file,
            callable: nothing.callable,
            code: nothing.code,
            paste: nothing.paste,
            paste_name: nothing.paste_name,
            paste_logger: nothing.paste_logger,
            mounts: nothing.mounts,
            manage_script_name: nothing.manage_script_name,
            catch_exceptions: nothing.catch_exceptions,
            py_autoreload: nothing.py_autoreload,
            py_autoreload_ignored: nothing.py_autoreload_ignored,
            show_config: nothing.show_config,
            pythonpath: nothing.pythonpath,
            import: nothing.import,
            argv: nothing.argv,
            env: nothing.env,
            unset_env: nothing.unset_env,
            harakiri: nothing.harakiri,
            harakiri_verbose: nothing.harakiri_verbose,
            reload_mercy: nothing.reload_mercy,
            worker_reload_mercy: nothing.worker_reload_mercy,
            facilities: nothing.facilities,
            beside: nothing.beside,
            process: nothing.process,
            logs: LogOptions { mode: self.logs.mode, gives_away: self.logs.gives_away, ..nothing.logs },
            stats: nothing.stats,
            stats_http: nothing.stats_http,
            cheaper: nothing.cheaper,
            idle: nothing.idle,
            die_on_idle: nothing.die_on_idle,
            starts_cheap: nothing.starts_cheap,
            reload_probe: nothing.reload_probe,
            touch_reload: nothing.touch_reload,
            touch_chain_reload: nothing.touch_chain_reload,
            touch_workers_reload: nothing.touch_workers_reload,
            fs_reload: nothing.fs_reload,
            master_fifo: nothing.master_fifo,
            max_requests: nothing.max_requests,
            max_requests_delta: nothing.max_requests_delta,
            min_worker_lifetime: nothing.min_worker_lifetime,
            max_worker_lifetime: nothing.max_worker_lifetime,
            max_worker_lifetime_delta: nothing.max_worker_lifetime_delta,
            reload_on_rss_bytes: nothing.reload_on_rss_bytes,
            reload_on_as_bytes: nothing.reload_on_as_bytes,
            evil_reload_on_rss_bytes: nothing.evil_reload_on_rss_bytes,
            evil_reload_on_as_bytes: nothing.evil_reload_on_as_bytes,
            procname: nothing.procname,
            procname_prefix: nothing.procname_prefix,
            auto_procname: nothing.auto_procname,
            ..self.clone()
        }
    }

    /// What to load for every path that no mount is for. The callable behind `module`'s colon holds before `callable`.
    pub fn application(&self) -> Option<Application> {
        if let Some(module) = &self.module {
            return Some(self.module_application(module));
        }
        let callable = self.usual_callable();
        if let Some(path) = self.wsgi_file.clone() {
            return Some(Application::File { path, callable });
        }
        if let Some(code) = self.code.clone() {
            return Some(Application::Code { code, callable });
        }
        self.paste.as_deref().map(|uri| self.paste_application(uri))
    }

    /// The mounts, each with what to load for it.
    pub fn mounted_applications(&self) -> Vec<(String, Application)> {
        let of = |(place, written): &(String, String)| {
            let application = if written.ends_with(".py") || written.ends_with(".wsgi") && written.contains('/') {
                Application::File { path: written.into(), callable: self.usual_callable() }
            } else if has_ending(written, ".ini") {
                self.paste_application(written)
            } else {
                self.module_application(written)
            };
            (place.clone(), application)
        };
        self.mounts.iter().map(of).collect()
    }

    fn module_application(&self, module: &str) -> Application {
        let (name, callable) = module.split_once(':').map_or((module, None), |(name, callable)| (name, Some(callable)));
        let callable = callable.map_or_else(|| self.usual_callable(), str::to_owned);
        Application::Module { name: name.to_owned(), callable }
    }

    fn paste_application(&self, uri: &str) -> Application {
        // PasteDeploy wants an absolute path; a relative one starts from `chdir`, which the loader knows.
        Application::Paste { uri: uri.to_owned(), name: self.paste_name.clone(), has_loggers: self.paste_logger }
    }

    fn usual_callable(&self) -> String {
        self.callable.clone().unwrap_or_else(|| "application".to_owned())
    }
}

fn has_ending(name: &str, ending: &str) -> bool {
    name.to_ascii_lowercase().ends_with(ending)
}

/// Where an application is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Application {
    /// A module that is imported.
    Module {
        /// Its dotted name.
        name: String,
        /// The callable in it.
        callable: String,
    },
    /// A file that is executed.
    File {
        /// Its path.
        path: PathBuf,
        /// The callable in it.
        callable: String,
    },
    /// Python's text itself.
    Code {
        /// The text.
        code: String,
        /// The callable in it.
        callable: String,
    },
    /// What PasteDeploy makes of a file.
    Paste {
        /// `config:PATH`, `egg:NAME` or a path.
        uri: String,
        /// The section; `main` if there is none.
        name: Option<String>,
        /// The file configures `logging` too.
        has_loggers: bool,
    },
}

/// One place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSocket {
    /// Where.
    pub address: SocketAddress,
    /// What is spoken there; `None` for `socket`, which speaks [`PoolOptions::protocol`].
    pub protocol: Option<Protocol>,
    /// Where the configuration says so.
    pub span: Span,
}

/// What is spoken on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The uwsgi protocol.
    Uwsgi,
    /// HTTP.
    Http,
    /// SCGI.
    Scgi,
    /// FastCGI.
    FastCgi,
}

/// `cgi` and its like: programs that answer some of the paths of a pool's own sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgiOptions {
    /// Beginnings of paths, and the folder or the program behind each.
    pub mounts: Vec<(String, PathBuf)>,
    /// Endings of names, and what runs such files.
    pub helpers: Vec<(String, PathBuf)>,
    /// Names of programs that answer for their folder, in order.
    pub index: Vec<String>,
    /// How names of programs must end; empty for any.
    pub allowed_endings: Vec<String>,
    /// Folders that links may lead to, beside the mounted one.
    pub safe: Vec<PathBuf>,
    /// Variables that are not told.
    pub unset: Vec<String>,
    /// How long a program may say nothing.
    pub timeout: Option<Duration>,
    /// Octets of an answer's head.
    pub buffer_size: Option<u64>,
}

/// `static-map` and its like: files that are sent without asking the application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticOptions {
    /// Where to look, in order.
    pub maps: Vec<StaticMap>,
    /// Names of files that answer for their folder, in order.
    pub index: Vec<String>,
    /// Endings of names that are the application's all the same.
    pub skipped_endings: Vec<String>,
    /// Folders that links may lead to, beside the mapped one.
    pub safe: Vec<PathBuf>,
    /// Lists of types and the endings of names that have them.
    pub mime_files: Vec<PathBuf>,
}

/// One folder of files, or one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticMap {
    /// The beginning of the paths it is for; empty for all.
    pub place: String,
    /// The folder or the file.
    pub path: PathBuf,
    /// The whole path stands behind the folder, not only what stands behind `place`.
    pub appends_whole_path: bool,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// `file:PATH`.
    File(PathBuf),
    /// `stdio`.
    StandardOutput,
    /// A socket or syslog, as uWSGI writes it.
    Other(String),
}

impl LogTarget {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::StandardOutput | Self::Other(_) => None,
        }
    }
}

/// What to do instead of serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print the options.
    Help,
    /// Print the version.
    Version,
    /// Stop the instance whose process id is in this file.
    Stop(PathBuf),
    /// Have the instance whose process id is in this file reload.
    Reload(PathBuf),
    /// Print this text.
    Print(String),
    /// Nothing: the configuration was to be read.
    Nothing,
}
