//! Settings outside `http`: the process, its user, its connections.

use std::path::PathBuf;
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive};

/// Settings of the main context and of `events`.
#[derive(Clone, Debug, Default)]
pub struct Main {
    /// `user`: name and group of the edge.
    pub user: Option<(String, Option<String>)>,
    /// `pid` as written.
    pub pid: Option<PathBuf>,
    daemon: Option<bool>,
    master_process: Option<bool>,
    worker_processes: Option<WorkerProcesses>,
    worker_connections: Option<u64>,
    multi_accept: Option<bool>,
    worker_shutdown_timeout: Option<Duration>,
    worker_rlimit_nofile: Option<u64>,
    worker_rlimit_core: Option<u64>,
    worker_priority: Option<i32>,
    working_directory: Option<PathBuf>,
    /// `env`: variables of the environment and their values.
    pub environment: Vec<(String, String)>,
}

/// `worker_processes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerProcesses {
    /// As many as there are cores.
    Auto,
    /// This many.
    Number(u32),
}

impl Main {
    /// Whether the program leaves the terminal.
    #[must_use]
    pub fn daemon(&self) -> bool {
        self.daemon.unwrap_or(true)
    }

    /// Event-loop threads of the edge.
    #[must_use]
    pub fn edge_threads(&self) -> usize {
        match self.worker_processes {
            None => 1,
            Some(WorkerProcesses::Number(number)) => number as usize,
            Some(WorkerProcesses::Auto) => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Connections one thread serves at a time.
    #[must_use]
    pub fn worker_connections(&self) -> usize {
        usize::try_from(self.worker_connections.unwrap_or(512)).unwrap_or(usize::MAX)
    }

    /// Whether one wake-up accepts all connections that wait.
    #[must_use]
    pub fn multi_accept(&self) -> bool {
        self.multi_accept.unwrap_or(false)
    }

    /// How long a graceful stop may take; `None` is no limit.
    #[must_use]
    pub fn worker_shutdown_timeout(&self) -> Option<Duration> {
        self.worker_shutdown_timeout
    }

    /// Largest core file of the edge, octets.
    #[must_use]
    pub fn worker_rlimit_core(&self) -> Option<u64> {
        self.worker_rlimit_core
    }

    /// Scheduling priority of the edge.
    #[must_use]
    pub fn worker_priority(&self) -> Option<i32> {
        self.worker_priority
    }

    /// Where the edge works.
    #[must_use]
    pub fn working_directory(&self) -> Option<&std::path::Path> {
        self.working_directory.as_deref()
    }

    /// Whether an edge that runs by these settings can go over to `next`: what a process is once it has started is the same.
    #[must_use]
    pub fn suits_process_of(&self, next: &Self) -> bool {
        self.user == next.user
            && self.edge_threads() == next.edge_threads()
            && self.worker_rlimit_nofile == next.worker_rlimit_nofile
            && self.worker_rlimit_core == next.worker_rlimit_core
            && self.worker_priority == next.worker_priority
            && self.working_directory == next.working_directory
    }

    /// Open files of the edge.
    #[must_use]
    pub fn worker_rlimit_nofile(&self) -> Option<u64> {
        self.worker_rlimit_nofile
    }
}

/// Event-loop threads at most.
const EDGE_THREADS_MAX: u64 = 256;

/// Directives of the main context and of `events`.
pub static DIRECTIVES: &[Directive<Main>] = &[
    Directive {
        name: "user",
        contexts: Context::MAIN,
        arity: Arity::Between(1, 2),
        default: "nobody nobody",
        help: "user [group]: who the edge runs as when started by root",
        set: |main, arguments| {
            let group = if arguments.len() == 2 { Some(arguments.text(1)?.to_owned()) } else { None };
            let user = (arguments.text(0)?.to_owned(), group);
            arguments.set_once(&mut main.user, user)
        },
    },
    Directive {
        name: "pid",
        contexts: Context::MAIN,
        arity: Arity::Exactly(1),
        default: "logs/nginx.pid",
        help: "file: where the master's process id is written",
        set: |main, arguments| {
            let path = arguments.path(0)?.to_path_buf();
            arguments.set_once(&mut main.pid, path)
        },
    },
    Directive {
        name: "daemon",
        contexts: Context::MAIN,
        arity: Arity::Flag,
        default: "on",
        help: "on|off: whether the program leaves the terminal",
        set: |main, arguments| set_flag(&mut main.daemon, arguments),
    },
    Directive {
        name: "env",
        contexts: Context::MAIN,
        arity: Arity::Exactly(1),
        default: "TZ",
        help: "variable[=value]: a variable of the environment of all processes; unlike with nginx, the others are kept too",
        set: set_environment,
    },
    Directive {
        name: "master_process",
        contexts: Context::MAIN,
        arity: Arity::Flag,
        default: "on",
        help: "on|off: has no effect, the master is always a process of its own",
        set: |main, arguments| {
            set_flag(&mut main.master_process, arguments)?;
            if !arguments.flag(0)? {
                let message = "\"master_process off\" has no effect: the master is always a process of its own";
                arguments.report(Diagnostic::notice(arguments.span(), message));
            }
            Ok(())
        },
    },
    Directive {
        name: "worker_processes",
        contexts: Context::MAIN,
        arity: Arity::Exactly(1),
        default: "1",
        help: "number|auto: event-loop threads of the edge",
        set: |main, arguments| {
            let number = match arguments.text(0)? {
                "auto" => WorkerProcesses::Auto,
                text if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) => {
                    return Err(ArgumentError::new(Some(0), "\"worker_processes\" directive invalid value"));
                }
                _ => WorkerProcesses::Number(arguments.number(0, 1..=EDGE_THREADS_MAX)? as u32),
            };
            arguments.set_once(&mut main.worker_processes, number)
        },
    },
    Directive {
        name: "worker_shutdown_timeout",
        contexts: Context::MAIN,
        arity: Arity::Exactly(1),
        default: "none",
        help: "time: how long a graceful stop may take",
        set: |main, arguments| {
            let time = arguments.time(0)?;
            arguments.set_once(&mut main.worker_shutdown_timeout, time)
        },
    },
    Directive {
        name: "worker_rlimit_nofile",
        contexts: Context::MAIN,
        arity: Arity::Exactly(1),
        default: "none",
        help: "number: open files of the edge",
        set: |main, arguments| {
            let number = arguments.number(0, 1..=u64::from(u32::MAX))?;
            arguments.set_once(&mut main.worker_rlimit_nofile, number)
        },
    },
    Directive {
        name: "worker_rlimit_core",
        contexts: Context::MAIN,
        arity: Arity::Exactly(1),
        default: "none",
        help: "size: largest core file of the edge",
        set: |main, arguments| {
            let size = arguments.size(0)?;
            arguments.set_once(&mut main.worker_rlimit_core, size)
        },
    },
    Directive {
        name: "worker_priority",
        contexts: Context::MAIN,
        arity: Arity::Exactly(1),
        default: "0",
        help: "number: scheduling priority of the edge, -20 to 20, as of nice(1)",
        set: |main, arguments| {
            let text = arguments.text(0)?;
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
            let number = text.parse::<i32>().ok().filter(|_| is_number);
            let invalid = || ArgumentError::new(Some(0), "\"worker_priority\" directive invalid number");
            // The system takes what lies beyond its range for the end of it.
            let number = number.ok_or_else(invalid)?.clamp(-20, 20);
            arguments.set_once(&mut main.worker_priority, number)
        },
    },
    Directive {
        name: "working_directory",
        contexts: Context::MAIN,
        arity: Arity::Exactly(1),
        default: "none",
        help: "path: where the edge works and writes core files",
        set: |main, arguments| {
            let path = PathBuf::from(arguments.text(0)?);
            arguments.set_once(&mut main.working_directory, path)
        },
    },
    Directive {
        name: "worker_connections",
        contexts: Context::EVENTS,
        arity: Arity::Exactly(1),
        default: "512",
        help: "number: connections one thread serves at a time",
        set: |main, arguments| {
            let text = arguments.text(0)?;
            if text.parse::<u64>().is_err() || text.starts_with('+') {
                return Err(ArgumentError::new(Some(0), format!("invalid number \"{text}\"")));
            }
            let number = arguments.number(0, 1..=u64::from(u32::MAX))?;
            arguments.set_once(&mut main.worker_connections, number)
        },
    },
    Directive {
        name: "multi_accept",
        contexts: Context::EVENTS,
        arity: Arity::Flag,
        default: "off",
        help: "on|off: one wake-up accepts all connections that wait",
        set: |main, arguments| set_flag(&mut main.multi_accept, arguments),
    },
];

fn set_environment(main: &mut Main, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let text = arguments.text(0)?;
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    if name.is_empty() || text.contains('\0') {
        return Err(arguments.invalid_value(0));
    }
    if let Some(value) = value {
        main.environment.push((name.to_owned(), value.to_owned()));
    }
    Ok(())
}

fn set_flag(field: &mut Option<bool>, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let flag = arguments.flag(0)?;
    arguments.set_once(field, flag)
}
