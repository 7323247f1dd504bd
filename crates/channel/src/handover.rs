//! Everything that crosses from the edge's side to an application's zygote: one struct, one file.
//!
//! The master writes a [`Handover`] into an anonymous file, lets the zygote inherit the file and the
//! descriptors it names, and says the file's descriptor number in the environment variable
//! [`Handover::VARIABLE`].

use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

use crate::error::{ChannelError, MessageError};
use crate::facilities::Facilities;
use crate::layout::Layout;
use crate::limits::HANDOVER_BYTES_MAX;
use crate::wiring::WorkerEnd;

/// What a zygote is told at its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// [`Handover::VERSION`] of the writer.
    pub version: u32,
    /// The size of the hop.
    pub layout: Layout,
    /// The hop's descriptors, by number.
    pub descriptors: Descriptors,
    /// What to load.
    pub application: Application,
    /// How to run it.
    pub workers: Workers,
    /// What is logged, and where.
    #[serde(default)]
    pub logs: Logs,
    /// What it may ask of its pool.
    #[serde(default)]
    pub facilities: Facilities,
    /// What runs beside the workers.
    #[serde(default)]
    pub attendants: Attendants,
    /// Deeds at the turning points of the pool's life, in order.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// What the processes are like.
    #[serde(default)]
    pub process: ProcessSettings,
}

/// Numbers of the inherited descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptors {
    /// The shared segment.
    pub segment: RawFd,
    /// One eventfd per seat: what the seat sleeps on.
    pub seat_wakes: Vec<RawFd>,
    /// One SEQPACKET socket per seat: passes request body and response file descriptors.
    pub seat_sockets: Vec<RawFd>,
    /// One eventfd per edge thread.
    pub edge_wakes: Vec<RawFd>,
    /// The control channel's zygote end.
    pub control: RawFd,
    /// The zygote's side.
    pub side: u16,
}

/// What the interpreter loads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Application {
    /// The pool's name in logs.
    pub name: String,
    /// Directory to change to before anything is imported.
    pub chdir: Option<PathBuf>,
    /// Directory to change to after the application is loaded.
    pub chdir_after: Option<PathBuf>,
    /// Folders, or patterns of them, each put at the front of `sys.path`.
    pub pythonpath: Vec<PathBuf>,
    /// The virtualenv, for messages: the interpreter is the virtualenv's own.
    pub virtualenv: Option<PathBuf>,
    /// Environment variables to set, in order, before anything is imported.
    pub env: Vec<(String, String)>,
    /// `sys.argv` of the application after its first word.
    pub argv: Vec<String>,
    /// The applications, by the prefix they answer; mostly one, at the prefix "".
    pub mounts: Vec<Mount>,
    /// With several mounts: SCRIPT_NAME and PATH_INFO are rewritten by prefix.
    pub manage_script_name: bool,
    /// Further modules to import before the application.
    pub import: Vec<String>,
    /// End the zygote when the application cannot be loaded.
    pub need_app: bool,
    /// What a client sees of an exception of the application.
    pub failure_page: FailurePage,
    /// Files that Django finds are served, and what cannot be loaded is a page.
    pub development: bool,
    /// How often the files of all modules are looked at; 0 for never.
    pub autoreload_milliseconds: u64,
    /// Modules whose files are not looked at.
    pub autoreload_ignored: Vec<String>,
    /// Standard error and output of the application get the request's id as prefix.
    pub log_request_id: bool,
    /// The file that standard output and error are, to be opened anew when it has been moved away. What the zygote tells
    /// the master of a failure to load is then logged too: the log is not where the master prints.
    pub log_file: Option<PathBuf>,
    /// The zygote logs how workers end: its log is not the edge's, which says the same.
    pub log_deaths: bool,
}

/// What a client sees of an exception of the application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailurePage {
    /// That there was one.
    #[default]
    Brief,
    /// The traceback, as text.
    Text,
    /// The traceback and the request, as a page for whoever writes the application.
    Page,
}

/// One application and the prefix it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// The prefix, "" or "/app".
    pub script_name: String,
    /// Dotted module, possibly with ":callable".
    pub module: Option<String>,
    /// A file that is executed instead of an import.
    pub wsgi_file: Option<PathBuf>,
    /// Python text that is executed.
    pub code: Option<String>,
    /// What PasteDeploy is asked for.
    pub paste: Option<Paste>,
    /// The callable's name; "application" if unset.
    pub callable: Option<String>,
}

/// An application that PasteDeploy makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Paste {
    /// `config:PATH`, `egg:NAME`, or a path.
    pub uri: String,
    /// The section.
    pub name: Option<String>,
    /// The file configures `logging` too.
    pub has_loggers: bool,
}

/// How workers are run and watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workers {
    /// A process of its own watches the workers; always so here, kept for what the application is told.
    pub master: bool,
    /// A worker has one thread that takes requests, and more of the layout's by need.
    pub threads_by_need: bool,
    /// `threading` works in the application even with one thread per worker.
    pub enable_threads: bool,
    /// Each worker loads the application itself after the fork.
    pub lazy_apps: bool,
    /// A request that runs longer costs the worker its life; 0 for never.
    pub harakiri_seconds: u64,
    /// More is said of such a worker.
    pub harakiri_verbose: bool,
    /// How many workers there are to be; 0: as many as there are places. One place more than workers lets a worker's
    /// successor be ready before it retires.
    pub count: u16,
    /// The zygote takes the place of one that serves: it says that it is ready when every worker could serve, and gives up when
    /// one cannot.
    pub is_successor: bool,
    /// A path that each worker of a successor is asked for before it takes a request.
    pub probe: Option<String>,
    /// Requests after which a worker is replaced; 0 for never.
    pub max_requests: u64,
    /// What each worker has more of them than the one before it.
    pub max_requests_delta: u64,
    /// Seconds that a worker lives, whatever it has run or uses.
    pub min_worker_lifetime_seconds: u64,
    /// Seconds after which a worker is replaced; 0 for never.
    pub max_worker_lifetime_seconds: u64,
    /// What each worker has more of them than the one before it.
    pub max_worker_lifetime_delta_seconds: u64,
    /// Resident bytes above which a worker is replaced; 0 for no limit.
    pub reload_on_rss_bytes: u64,
    /// Bytes of address space above which a worker is replaced; 0 for no limit.
    pub reload_on_as_bytes: u64,
    /// Resident bytes above which a worker is killed, whatever it runs; 0 for no limit.
    pub evil_reload_on_rss_bytes: u64,
    /// The same for its address space.
    pub evil_reload_on_as_bytes: u64,
    /// Files whose change asks for a reload of the whole pool.
    pub touch_reload: Vec<PathBuf>,
    /// Files whose change asks for a reload of one worker after the other.
    pub touch_chain_reload: Vec<PathBuf>,
    /// Files whose change has the workers replaced, by the same code.
    pub touch_workers_reload: Vec<PathBuf>,
    /// Folders anything below which changing asks for a reload.
    pub fs_reload: Vec<PathBuf>,
    /// Named pipes that take commands, one at a time.
    pub master_fifo: Vec<PathBuf>,
    /// Addresses where the pool's numbers are told.
    pub stats: Vec<String>,
    /// They are told by HTTP.
    pub stats_http: bool,
    /// Sockets of the pool, for its numbers: address and protocol.
    pub sockets: Vec<(String, String)>,
    /// How many workers there are to be.
    pub cheaper: Cheaper,
    /// Seconds without a request after which there are no workers; 0 for never.
    pub idle_seconds: u64,
    /// Everything ends then.
    pub die_on_idle: bool,
    /// There are no workers before the first request.
    pub starts_cheap: bool,
    /// Seconds that a worker has for its last request at a stop.
    pub mercy_seconds: u64,
    /// User to become after the application's files are reachable.
    pub uid: Option<u32>,
    /// Group to become.
    pub gid: Option<u32>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Process name of zygote and workers.
    pub procname: Option<String>,
    /// Prefix of the process name.
    pub procname_prefix: Option<String>,
    /// Process names say what each process is.
    pub auto_procname: bool,
    /// File-mode creation mask.
    pub umask: Option<u32>,
    /// Largest request body that an application is given in memory, in bytes.
    pub post_buffering_bytes: u64,
}

/// What processes of a pool are like, beyond who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessSettings {
    /// Scheduling priority, -20 (first) to 19.
    pub priority: Option<i32>,
    /// Bytes of address space.
    pub address_space_max: Option<u64>,
    /// Processes of the user.
    pub processes_max: Option<u64>,
    /// Processors of each worker; 0 leaves them all to it.
    pub cpu_affinity: u16,
    /// What the names of the processes end with.
    pub procname_append: Option<String>,
}

/// Commands that run beside the workers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attendants {
    /// Run at times.
    pub crons: Vec<Cron>,
    /// Run as long as the pool lives.
    pub daemons: Vec<Daemon>,
}

/// A command that runs at times. -1 is always, -N every N.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cron {
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 23.
    pub hour: i32,
    /// 1 to 31.
    pub day: i32,
    /// 1 to 12.
    pub month: i32,
    /// 0 to 7, from Sunday to Sunday.
    pub week: i32,
    /// For the shell.
    pub command: String,
    /// It is not run while it runs.
    pub is_unique: bool,
    /// Seconds it may run; 0 for no limit.
    pub harakiri_seconds: u64,
    /// No general limit holds for it either.
    pub may_run_for_ever: bool,
}

impl Default for Cron {
    /// Every minute.
    fn default() -> Self {
        Self {
            minute: -1,
            hour: -1,
            day: -1,
            month: -1,
            week: -1,
            command: String::new(),
            is_unique: false,
            harakiri_seconds: 0,
            may_run_for_ever: false,
        }
    }
}

/// A command that runs as long as the pool lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Daemon {
    /// For the shell.
    pub command: String,
    /// Who it is and who ends it.
    pub kind: DaemonKind,
    /// Where its process id is.
    pub pidfile: Option<String>,
    /// How often the pid file is looked at, in seconds.
    pub frequency_seconds: u64,
    /// Everything ends with it.
    pub is_control: bool,
    /// What ends it.
    pub stop_signal: i32,
    /// Where it starts.
    pub folder: Option<String>,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            command: String::new(),
            kind: DaemonKind::Plain,
            pidfile: None,
            frequency_seconds: 10,
            is_control: false,
            stop_signal: 15,
            folder: None,
        }
    }
}

/// Who a daemon belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DaemonKind {
    /// To the zygote, with which it ends.
    #[default]
    Plain,
    /// To itself: it goes to the background and writes its own pid file.
    Background,
    /// To itself, with a pid file that is written for it.
    Foreground,
}

/// A deed at a turning point of the pool's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// As in the option's name: `as-user`, `post-app`, ...
    pub phase: String,
    /// `ACTION:ARGUMENT`.
    pub action: String,
}

/// What is logged, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logs {
    /// Where lines go that are about no request's end, as uWSGI writes loggers; empty: to standard error.
    pub loggers: Vec<String>,
    /// What becomes of each of them, as uWSGI writes encoders.
    pub encoders: Vec<String>,
    /// What stands before each of them, by strftime, instead of nginx's date.
    pub date_format: Option<String>,
    /// Octets of a file that are enough: it is moved away then; 0 for no limit.
    pub size_max: u64,
    /// Where it is moved to.
    pub backup_name: Option<PathBuf>,
    /// Files whose change asks for that.
    pub touch_rotate: Vec<PathBuf>,
    /// Files whose change asks for logs to be opened anew.
    pub touch_reopen: Vec<PathBuf>,
    /// The lines of requests.
    pub requests: RequestLines,
}

/// Which requests are logged, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestLines {
    /// All of them.
    pub all: bool,
    /// Those without a body.
    pub zero: bool,
    /// Those that take so many milliseconds; 0 for no such rule.
    pub slow_ms: u64,
    /// Those answered 4xx.
    pub status_4xx: bool,
    /// Those answered 5xx.
    pub status_5xx: bool,
    /// Those with a body of so many octets; 0 for no such rule.
    pub big_bytes: u64,
    /// The line, with uWSGI's variables.
    pub format: Option<String>,
    /// The line is then a format of strftime's.
    pub strftime: bool,
    /// The format of `%(ftime)`.
    pub time_format: Option<String>,
    /// The client is who `X-Forwarded-For` says.
    pub x_forwarded_for: bool,
    /// uWSGI's own line has microseconds.
    pub micros: bool,
    /// Where the lines go; empty: to standard error.
    pub loggers: Vec<String>,
    /// What becomes of each of them.
    pub encoders: Vec<String>,
}

impl RequestLines {
    /// Whether any request may be logged.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.all || self.zero || self.slow_ms > 0 || self.status_4xx || self.status_5xx || self.big_bytes > 0
    }
}

/// uWSGI's *cheaper*: workers come and go with the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cheaper {
    /// The fewest workers; 0: their number is fixed.
    pub minimum: u16,
    /// Those there are at the beginning, if more.
    pub initial: u16,
    /// How many come at once.
    pub step: u16,
    /// Seconds, looks or waiting requests, as the algorithm has it.
    pub overload: u64,
    /// Seconds of `spare2`.
    pub idle_seconds: u64,
    /// How it is judged.
    pub algorithm: CheaperAlgorithm,
    /// Bytes of all workers above which none is added; 0 for no limit.
    pub rss_limit_soft_bytes: u64,
    /// Bytes of all workers above which one goes; 0 for no limit.
    pub rss_limit_hard_bytes: u64,
    /// Percent of their time.
    pub busyness_max: u64,
    /// Percent of their time.
    pub busyness_min: u64,
    /// Measurements before a worker goes.
    pub busyness_multiplier: u64,
    /// How many more these become when it was missed.
    pub busyness_penalty: u64,
    /// Waiting requests that are an emergency.
    pub busyness_backlog_alert: u64,
    /// How many workers come in one.
    pub busyness_backlog_step: u16,
    /// Measurements before a worker of an emergency goes.
    pub busyness_backlog_multiplier: u64,
    /// Seconds of waiting requests that are an emergency.
    pub busyness_backlog_nonzero_seconds: u64,
}

impl Default for Cheaper {
    /// uWSGI's.
    fn default() -> Self {
        Self {
            minimum: 0,
            initial: 0,
            step: 1,
            overload: 3,
            idle_seconds: 10,
            algorithm: CheaperAlgorithm::Spare,
            rss_limit_soft_bytes: 0,
            rss_limit_hard_bytes: 0,
            busyness_max: 50,
            busyness_min: 25,
            busyness_multiplier: 10,
            busyness_penalty: 2,
            busyness_backlog_alert: 33,
            busyness_backlog_step: 1,
            busyness_backlog_multiplier: 3,
            busyness_backlog_nonzero_seconds: 60,
        }
    }
}

/// By what workers come and go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheaperAlgorithm {
    /// Whether one is free.
    #[default]
    Spare,
    /// Whether as many as the minimum are free.
    Spare2,
    /// The requests that wait.
    Backlog,
    /// The part of their time that workers are busy.
    Busyness,
    /// Nothing but commands.
    Manual,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            master: true,
            threads_by_need: false,
            enable_threads: false,
            lazy_apps: false,
            harakiri_seconds: 0,
            harakiri_verbose: false,
            count: 0,
            is_successor: false,
            probe: None,
            max_requests: 0,
            max_requests_delta: 0,
            min_worker_lifetime_seconds: 0,
            max_worker_lifetime_seconds: 0,
            max_worker_lifetime_delta_seconds: 0,
            reload_on_rss_bytes: 0,
            reload_on_as_bytes: 0,
            evil_reload_on_rss_bytes: 0,
            evil_reload_on_as_bytes: 0,
            touch_reload: Vec::new(),
            touch_chain_reload: Vec::new(),
            touch_workers_reload: Vec::new(),
            fs_reload: Vec::new(),
            master_fifo: Vec::new(),
            stats: Vec::new(),
            stats_http: false,
            sockets: Vec::new(),
            cheaper: Cheaper::default(),
            idle_seconds: 0,
            die_on_idle: false,
            starts_cheap: false,
            mercy_seconds: 60,
            uid: None,
            gid: None,
            groups: Vec::new(),
            procname: None,
            procname_prefix: None,
            auto_procname: false,
            umask: None,
            post_buffering_bytes: 0,
        }
    }
}

impl Handover {
    /// Rises with every change that an older extension module would misread.
    pub const VERSION: u32 = 2;

    /// Environment variable with the number of the descriptor that [`Handover::read_from`] reads.
    pub const VARIABLE: &'static str = "DAEMUN_HANDOVER";

    /// A handover for the worker end of a hop.
    pub fn new(end: &WorkerEnd, application: Application, workers: Workers) -> Self {
        let descriptors = end.descriptors();
        Self {
            version: Self::VERSION,
            layout: *end.layout(),
            descriptors,
            application,
            workers,
            logs: Logs::default(),
            facilities: Facilities::default(),
            attendants: Attendants::default(),
            hooks: Vec::new(),
            process: ProcessSettings::default(),
        }
    }

    /// Every descriptor that the zygote must inherit, besides the handover's own file.
    pub fn inherited(&self) -> Vec<RawFd> {
        let one = &self.descriptors;
        let several = one.seat_wakes.iter().chain(&one.seat_sockets).chain(&one.edge_wakes);
        [one.segment, one.control].into_iter().chain(several.copied()).collect()
    }

    /// Writes the handover into an anonymous file and rewinds it.
    ///
    /// # Errors
    ///
    /// [`MessageError::Handover`] if a path is not UTF-8; otherwise what the system says.
    pub fn write_to_memfd(&self) -> Result<OwnedFd, ChannelError> {
        let text = serde_json::to_vec(self).map_err(|error| MessageError::Handover(error.to_string()))?;
        let file = rustix::fs::memfd_create("daemun-handover", MemfdFlags::CLOEXEC)
            .map_err(ChannelError::system("memfd_create"))?;
        let mut file = std::fs::File::from(file);
        file.write_all(&text)
            .and_then(|()| file.rewind())
            .map_err(|source| ChannelError::System { what: "write handover", source })?;
        Ok(file.into())
    }

    /// Reads a handover from the file that [`Handover::write_to_memfd`] made.
    ///
    /// # Errors
    ///
    /// [`MessageError::Handover`] if the text is too long, not of this form or of another version.
    pub fn read_from(file: OwnedFd) -> Result<Self, ChannelError> {
        let mut text = Vec::new();
        let mut file = std::fs::File::from(file);
        // The descriptor is shared with whoever read it before: a second zygote of the same file.
        file.rewind()
            .and_then(|()| file.take(HANDOVER_BYTES_MAX as u64 + 1).read_to_end(&mut text))
            .map_err(|source| ChannelError::System { what: "read handover", source })?;
        if text.len() > HANDOVER_BYTES_MAX {
            return Err(MessageError::Handover("longer than its limit".into()).into());
        }
        let handover: Self =
            serde_json::from_slice(&text).map_err(|error| MessageError::Handover(error.to_string()))?;
        if handover.version != Self::VERSION {
            let found = handover.version;
            let text = format!("version {found} where this program understands {}", Self::VERSION);
            return Err(MessageError::Handover(text).into());
        }
        handover.layout.check()?;
        Ok(handover)
    }

    /// Reads the handover that [`Handover::VARIABLE`] names, once, at the zygote's start.
    ///
    /// # Errors
    ///
    /// [`MessageError::Handover`] if the variable is missing or wrong, or as [`Handover::read_from`].
    ///
    /// # Safety
    ///
    /// The descriptor that the variable names must be the handover's, not owned by anything else in this
    /// process. True for a process that the master started and that has not called this before.
    #[allow(unsafe_code)]
    pub unsafe fn inherit() -> Result<Self, ChannelError> {
        let number = std::env::var(Self::VARIABLE)
            .ok()
            .and_then(|text| text.parse::<RawFd>().ok())
            .filter(|number| *number > 2)
            .ok_or_else(|| MessageError::Handover(format!("environment variable {} is not set", Self::VARIABLE)))?;
        // SAFETY: the caller vouches for the number.
        Self::read_from(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// Takes ownership of the descriptors named here and makes them close on exec.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Segment`] if their number does not match the layout.
    ///
    /// # Safety
    ///
    /// The descriptors must be open, of the kinds said, and owned by nothing else in this process.
    #[allow(unsafe_code)]
    pub unsafe fn take_descriptors(&self) -> Result<WorkerEnd, ChannelError> {
        let own = |number: &RawFd| {
            // SAFETY: the caller vouches for the number.
            let descriptor = unsafe { OwnedFd::from_raw_fd(*number) };
            close_on_exec(descriptor.as_fd())?;
            Ok(descriptor)
        };
        let all = |numbers: &[RawFd]| numbers.iter().map(own).collect::<Result<Vec<_>, ChannelError>>();
        let numbers = &self.descriptors;
        WorkerEnd::assemble(
            self.layout,
            own(&numbers.segment)?,
            all(&numbers.seat_wakes)?,
            all(&numbers.seat_sockets)?,
            all(&numbers.edge_wakes)?,
            (numbers.side, own(&numbers.control)?),
        )
    }
}

fn close_on_exec(descriptor: BorrowedFd<'_>) -> Result<(), ChannelError> {
    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)
        .map_err(ChannelError::system("an inherited descriptor"))
}

impl WorkerEnd {
    pub(crate) fn descriptors(&self) -> Descriptors {
        let numbers = |descriptors: &[OwnedFd]| descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        Descriptors {
            segment: self.segment.as_raw_fd(),
            seat_wakes: numbers(&self.seat_wakes),
            seat_sockets: numbers(&self.seat_sockets),
            edge_wakes: numbers(&self.edge_wakes),
            control: self.control().as_raw_fd(),
            side: self.side(),
        }
    }
}
