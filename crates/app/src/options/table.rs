//! The options that daemun gives a meaning: one entry each, next to what it sets.

use std::collections::BTreeSet;
use std::time::Duration;

use daemun_channel::handover::CheaperAlgorithm;
use daemun_conf::Diagnostic;

use crate::emperor::Template;
use crate::limits::{LOCKS_MAX, MULE_QUEUE_BYTES_MAX, SPOOLER_PROCESSES_MAX};
use crate::options::attendants;
use crate::options::facilities;
use crate::options::pool::{Command, LogTarget, PoolOptions, Protocol, StaticMap};
use crate::options::setters::{
    add, count, encoder, logger, megabytes, mount, nothing, plugins, put, request_lines, seconds, small, socket,
    static_map, threads,
};
use crate::options::setting::Value;

/// What stands behind an option's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Nothing, or true or false.
    Flag,
    /// A value.
    Value,
    /// A value or nothing; on the command line only as `--name=value`.
    Optional,
}

/// Whether an option is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Built,
    /// It is read and checked; a message says that it is not in effect yet.
    NotYet,
}

/// Takes an option's value into the pool's configuration.
pub type Setter = fn(&mut PoolOptions, &mut Value<'_>) -> Result<(), Diagnostic>;

/// One option of uWSGI.
#[derive(Debug, Clone, Copy)]
pub struct UwsgiOption {
    /// Its name.
    pub name: &'static str,
    /// Its other names.
    pub aliases: &'static [&'static str],
    /// What stands behind it.
    pub argument: Argument,
    /// Whether it is obeyed.
    pub state: State,
    /// Whether it may be given several times, each adding to the ones before; else the last one holds.
    pub is_list: bool,
    /// One line for the manual and for `--help`.
    pub help: &'static str,
    /// The version of daemun that has it first.
    pub since: &'static str,
    /// Takes its value.
    pub set: Setter,
}

impl Argument {
    /// How it stands behind the option on a command line.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Flag => "",
            Self::Value => " VALUE",
            Self::Optional => "[=VALUE]",
        }
    }
}

impl UwsgiOption {
    const fn new(name: &'static str, argument: Argument, help: &'static str, set: Setter) -> Self {
        Self { name, aliases: &[], argument, state: State::Built, is_list: false, help, since: "0.1.0", set }
    }

    const fn also(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn list(self) -> Self {
        Self { is_list: true, ..self }
    }

    const fn not_yet(self) -> Self {
        Self { state: State::NotYet, ..self }
    }

    /// Its name and its other names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The entry of the option with this name or alias.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.name == name || option.aliases.contains(&name))
    }
}

const fn flag(name: &'static str, help: &'static str, set: Setter) -> UwsgiOption {
    UwsgiOption::new(name, Argument::Flag, help, set)
}

const fn value(name: &'static str, help: &'static str, set: Setter) -> UwsgiOption {
    UwsgiOption::new(name, Argument::Value, help, set)
}

const fn optional(name: &'static str, help: &'static str, set: Setter) -> UwsgiOption {
    UwsgiOption::new(name, Argument::Optional, help, set)
}

/// All options that have a meaning here, by subject.
pub static OPTIONS: &[UwsgiOption] = &[
    // The application.
    value("module", "module[:callable] to import", |pool, value| put(&mut pool.module, value.text().to_owned()))
        .also(&["wsgi"]),
    value("wsgi-file", "file to execute instead of an import", |pool, value| put(&mut pool.wsgi_file, value.path()))
        .also(&["file"]),
    value("eval", "Python text that makes the application", |pool, value| put(&mut pool.code, value.text().to_owned())),
    value("paste", "config:FILE: what PasteDeploy makes of it", |pool, value| {
        put(&mut pool.paste, value.text().to_owned())
    }),
    value("paste-name", "section of that file, \"main\" if unset", |pool, value| {
        put(&mut pool.paste_name, value.text().to_owned())
    }),
    flag("paste-logger", "that file configures logging too", |pool, value| {
        pool.paste_logger = value.flag();
        Ok(())
    }),
    value("ini-paste", "file of PasteDeploy with a section [uwsgi]", nothing).list(),
    value("ini-paste-logged", "the same, which configures logging too", nothing).list(),
    value("mount", "/path=module:callable or /path=file.py: another application, in the same interpreter", mount)
        .list(),
    flag("manage-script-name", "make SCRIPT_NAME and PATH_INFO of the path, by the mounts", |pool, value| {
        pool.manage_script_name = value.flag();
        Ok(())
    }),
    flag(
        "catch-exceptions",
        "answer with the traceback when the application raises; not for the public",
        |pool, value| {
            pool.catch_exceptions = value.flag();
            Ok(())
        },
    ),
    value(
        "py-autoreload",
        "seconds between looks at the files of all modules; a change reloads the application",
        |pool, value| {
            pool.py_autoreload = seconds(value)?;
            Ok(())
        },
    )
    .also(&["py-auto-reload", "python-auto-reload", "python-autoreload"]),
    value("py-auto-reload-ignore", "module whose file is not looked at", |pool, value| {
        add(&mut pool.py_autoreload_ignored, value.text().to_owned())
    })
    .list(),
    value("callable", "name of the callable, \"application\" if unset", |pool, value| {
        put(&mut pool.callable, value.text().to_owned())
    }),
    value("home", "virtualenv whose Python and packages are used", |pool, value| {
        put(&mut pool.virtualenv, value.path())
    })
    .also(&["virtualenv", "venv", "pyhome"]),
    value("chdir", "folder to go to before the application is loaded", |pool, value| {
        put(&mut pool.chdir, value.path())
    }),
    value("chdir2", "folder to go to after the application has been loaded", |pool, value| {
        put(&mut pool.chdir_after, value.path())
    }),
    value("pythonpath", "folder to put at the front of sys.path, or a pattern of folders", |pool, value| {
        add(&mut pool.pythonpath, value.path())
    })
    .also(&["python-path", "pp"])
    .list(),
    value("import", "module or file to import before the application, in every process", |pool, value| {
        add(&mut pool.import, value.text().to_owned())
    })
    .also(&[
        "pyimport",
        "py-import",
        "python-import",
        "shared-import",
        "shared-pyimport",
        "shared-py-import",
        "shared-python-import",
    ])
    .list(),
    value("pyargv", "words for sys.argv, by spaces", |pool, value| {
        pool.argv = value.text().split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Ok(())
    }),
    value("env", "NAME=VALUE: environment variable to set", |pool, value| add(&mut pool.env, value.pair()?)).list(),
    value("unenv", "environment variable to take away", |pool, value| {
        add(&mut pool.unset_env, value.text().to_owned())
    })
    .list(),
    flag(
        "need-app",
        "fail to start when no application can be loaded; in daemun so unless it says false",
        |pool, value| {
            pool.need_app = value.flag();
            Ok(())
        },
    )
    .optional(),
    value("plugins", "accepted for python and http, which are always there", plugins).also(&["plugin"]).list(),
    // Workers.
    value("processes", "number of workers", |pool, value| {
        pool.processes = count(value)?;
        Ok(())
    })
    .also(&["workers"]),
    value(
        "threads",
        "threads of each worker that take requests; auto or auto:MOST: by need, up to 24 or MOST, so that processes times MOST is how many database connections there may be",
        threads,
    ),
    flag("master", "watch and replace workers; in daemun always so", |pool, value| {
        pool.master = value.flag();
        if !pool.master {
            value.notice("option \"master\" has no effect in daemun: workers are always watched and replaced");
        }
        Ok(())
    }),
    flag("enable-threads", "let the application start threads", |pool, value| {
        pool.enable_threads = value.flag();
        if !pool.enable_threads {
            value.notice("option \"enable-threads\" has no effect in daemun: the application's threads always run");
        }
        Ok(())
    }),
    flag("lazy-apps", "load the application in each worker", |pool, value| {
        pool.lazy_apps = value.flag();
        Ok(())
    })
    .also(&["lazy"]),
    value("harakiri", "seconds a request may run, then its worker is replaced", |pool, value| {
        pool.harakiri = seconds(value)?;
        Ok(())
    }),
    flag("harakiri-verbose", "say more of a request that runs too long", |pool, value| {
        pool.harakiri_verbose = value.flag();
        Ok(())
    }),
    // Reloads.
    value("reload-mercy", "seconds that workers have for their last requests, 60 if unset", |pool, value| {
        pool.reload_mercy = seconds(value)?;
        Ok(())
    }),
    value("worker-reload-mercy", "the same, and wins", |pool, value| {
        pool.worker_reload_mercy = seconds(value)?;
        Ok(())
    }),
    value(
        "reload-probe",
        "daemun's own: path that new workers must answer before the old ones retire",
        |pool, value| {
            if !value.text().starts_with('/') {
                return Err(value.invalid("a path begins with a slash"));
            }
            put(&mut pool.reload_probe, value.text().to_owned())
        },
    ),
    value("touch-reload", "file whose change loads the application anew", |pool, value| {
        add(&mut pool.touch_reload, value.path())
    })
    .list(),
    value("touch-chain-reload", "file whose change does so worker by worker (with lazy-apps)", |pool, value| {
        add(&mut pool.touch_chain_reload, value.path())
    })
    .list(),
    value(
        "touch-workers-reload",
        "file whose change replaces the workers, by the code that is loaded",
        |pool, value| add(&mut pool.touch_workers_reload, value.path()),
    )
    .list(),
    value("fs-reload", "file or folder any change of which loads the application anew", |pool, value| {
        add(&mut pool.fs_reload, value.path())
    })
    .list(),
    value("master-fifo", "named pipe for commands: r, c, w, W, q, Q, l, 0 to 9", |pool, value| {
        add(&mut pool.master_fifo, value.path())
    })
    .list(),
    value("max-requests", "requests after which a worker is replaced", |pool, value| {
        put(&mut pool.max_requests, value.number(0..=u64::MAX)?)
    }),
    value("max-requests-delta", "what each worker has more of them than the one before", |pool, value| {
        put(&mut pool.max_requests_delta, value.number(0..=u64::MAX)?)
    }),
    value(
        "min-worker-lifetime",
        "seconds that a worker lives, whatever it has run or uses; 10 if unset",
        |pool, value| {
            pool.min_worker_lifetime = seconds(value)?.unwrap_or_default();
            Ok(())
        },
    ),
    value("max-worker-lifetime", "seconds after which a worker is replaced", |pool, value| {
        pool.max_worker_lifetime = seconds(value)?;
        Ok(())
    }),
    value("max-worker-lifetime-delta", "what each worker has more of them than the one before", |pool, value| {
        pool.max_worker_lifetime_delta = seconds(value)?;
        Ok(())
    }),
    value("reload-on-rss", "megabytes of resident memory above which a worker is replaced", |pool, value| {
        pool.reload_on_rss_bytes = megabytes(value)?;
        Ok(())
    }),
    value("reload-on-as", "megabytes of address space above which a worker is replaced", |pool, value| {
        pool.reload_on_as_bytes = megabytes(value)?;
        Ok(())
    }),
    value("evil-reload-on-rss", "megabytes of resident memory above which a worker is killed", |pool, value| {
        pool.evil_reload_on_rss_bytes = megabytes(value)?;
        Ok(())
    }),
    value("evil-reload-on-as", "megabytes of address space above which a worker is killed", |pool, value| {
        pool.evil_reload_on_as_bytes = megabytes(value)?;
        Ok(())
    }),
    value(
        "request-deadline",
        "daemun's own: seconds a request may wait and run until its answer begins",
        |pool, value| {
            pool.request_deadline = seconds(value)?;
            Ok(())
        },
    ),
    // Workers by need.
    value("cheaper", "the fewest workers; others come and go with the load", |pool, value| {
        pool.cheaper.minimum = small(value)?;
        Ok(())
    }),
    value("cheaper-initial", "workers at the beginning", |pool, value| {
        pool.cheaper.initial = small(value)?;
        Ok(())
    }),
    value("cheaper-step", "workers that come at once", |pool, value| {
        pool.cheaper.step = small(value)?;
        Ok(())
    }),
    value(
        "cheaper-overload",
        "seconds of overload until others come; with backlog, requests that wait",
        |pool, value| {
            pool.cheaper.overload = value.number(0..=u64::MAX)?;
            Ok(())
        },
    ),
    value("cheaper-idle", "seconds until one goes (spare2)", |pool, value| {
        pool.cheaper.idle_seconds = value.number(0..=u64::MAX)?;
        Ok(())
    }),
    value("cheaper-algo", "spare, spare2, backlog, busyness or manual", |pool, value| {
        pool.cheaper.algorithm = match value.text() {
            "spare" => CheaperAlgorithm::Spare,
            "spare2" => CheaperAlgorithm::Spare2,
            "backlog" => CheaperAlgorithm::Backlog,
            "busyness" => CheaperAlgorithm::Busyness,
            "manual" => CheaperAlgorithm::Manual,
            _ => return Err(value.invalid("it must be spare, spare2, backlog, busyness or manual")),
        };
        Ok(())
    }),
    value("cheaper-rss-limit-soft", "octets of all workers above which none comes", |pool, value| {
        pool.cheaper.rss_limit_soft_bytes = value.number(0..=u64::MAX)?;
        Ok(())
    }),
    value("cheaper-rss-limit-hard", "octets of all workers above which one goes", |pool, value| {
        pool.cheaper.rss_limit_hard_bytes = value.number(0..=u64::MAX)?;
        Ok(())
    }),
    value("cheaper-busyness-max", "percent of their time that is too much (busyness)", |pool, value| {
        pool.cheaper.busyness_max = value.number(0..=100)?;
        Ok(())
    }),
    value("cheaper-busyness-min", "percent of their time that is too little (busyness)", |pool, value| {
        pool.cheaper.busyness_min = value.number(0..=100)?;
        Ok(())
    }),
    value("cheaper-busyness-multiplier", "measurements until one goes (busyness)", |pool, value| {
        pool.cheaper.busyness_multiplier = value.number(0..=u64::MAX)?;
        Ok(())
    }),
    value("cheaper-busyness-penalty", "how many more these become when it was missed (busyness)", |pool, value| {
        pool.cheaper.busyness_penalty = value.number(0..=u64::MAX)?;
        Ok(())
    }),
    value("cheaper-busyness-backlog-alert", "requests that wait and are an emergency (busyness)", |pool, value| {
        pool.cheaper.busyness_backlog_alert = value.number(0..=u64::MAX)?;
        Ok(())
    }),
    value("cheaper-busyness-backlog-step", "workers that come in an emergency (busyness)", |pool, value| {
        pool.cheaper.busyness_backlog_step = small(value)?;
        Ok(())
    }),
    value(
        "cheaper-busyness-backlog-multiplier",
        "measurements until a worker of an emergency goes (busyness)",
        |pool, value| {
            pool.cheaper.busyness_backlog_multiplier = value.number(0..=u64::MAX)?;
            Ok(())
        },
    ),
    value(
        "cheaper-busyness-backlog-nonzero",
        "seconds of waiting requests that are an emergency (busyness)",
        |pool, value| {
            pool.cheaper.busyness_backlog_nonzero_seconds = value.number(0..=u64::MAX)?;
            Ok(())
        },
    ),
    value("idle", "seconds without a request after which there are no workers", |pool, value| {
        pool.idle = seconds(value)?;
        Ok(())
    }),
    flag("die-on-idle", "end then", |pool, value| {
        pool.die_on_idle = value.flag();
        Ok(())
    }),
    flag("cheap", "no workers before the first request", |pool, value| {
        pool.starts_cheap = value.flag();
        Ok(())
    }),
    // Numbers.
    value("stats", "address where the pool's numbers are told as JSON, for uwsgitop", |pool, value| {
        add(&mut pool.stats, value.text().to_owned())
    })
    .also(&["stats-server"])
    .list(),
    flag("stats-http", "tell them by HTTP", |pool, value| {
        pool.stats_http = value.flag();
        Ok(())
    }),
    // Sockets.
    value("socket", "address that speaks the uwsgi protocol", |pool, value| socket(pool, value, None)).list(),
    value("uwsgi-socket", "the same, whatever `protocol` says", |pool, value| {
        socket(pool, value, Some(Protocol::Uwsgi))
    })
    .list(),
    value("http-socket", "address that speaks HTTP", |pool, value| socket(pool, value, Some(Protocol::Http)))
        .also(&["http11-socket"])
        .list(),
    value("http", "address that speaks HTTP", |pool, value| socket(pool, value, Some(Protocol::Http)))
        .also(&["httprouter"])
        .list(),
    value("fastcgi-socket", "address that speaks FastCGI", |pool, value| socket(pool, value, Some(Protocol::FastCgi)))
        .list(),
    value("scgi-socket", "address that speaks SCGI", |pool, value| socket(pool, value, Some(Protocol::Scgi))).list(),
    value("protocol", "what `socket` speaks: uwsgi, http, fastcgi or scgi", |pool, value| {
        pool.protocol = match value.text() {
            "uwsgi" => Protocol::Uwsgi,
            "http" | "http11" => Protocol::Http,
            "fastcgi" => Protocol::FastCgi,
            "scgi" => Protocol::Scgi,
            _ => return Err(value.invalid("daemun speaks uwsgi, http, fastcgi and scgi here")),
        };
        Ok(())
    })
    .also(&["socket-protocol"]),
    optional("chmod-socket", "mode of unix sockets, 666 if no value is given", |pool, value| {
        // As in uWSGI, "1" is what switches it on without saying a mode.
        let has_mode = !matches!(value.text(), "" | "1" | "true");
        put(&mut pool.chmod_socket, if has_mode { value.mode()? } else { 0o666 })
    })
    .also(&["chmod"]),
    value("chown-socket", "user[:group] that unix sockets are given to", |pool, value| {
        put(&mut pool.chown_socket, value.text().to_owned())
    }),
    value("umask", "file-mode creation mask", |pool, value| put(&mut pool.umask, value.mode()?)),
    value("listen", "length of the listen queue", |pool, value| {
        pool.listen = value.small_number(0..=65_535)?;
        Ok(())
    }),
    value("buffer-size", "accepted: there is no such bound in daemun", |pool, value| {
        put(&mut pool.buffer_size, value.number(0..=u64::MAX)?)
    }),
    // Files.
    value(
        "static-map",
        "/path=folder or /path=file: what is there is sent without asking the application",
        |pool, value| static_map(pool, value, false),
    )
    .list(),
    value("static-map2", "/path=folder: the same, with the whole path behind the folder", |pool, value| {
        static_map(pool, value, true)
    })
    .list(),
    value("check-static", "folder: the same for every path", |pool, value| {
        let map = StaticMap { place: String::new(), path: value.path(), appends_whole_path: false };
        add(&mut pool.static_files.maps, map)
    })
    .also(&["static-check"])
    .list(),
    value("static-index", "file that answers for its folder", |pool, value| {
        add(&mut pool.static_files.index, value.text().to_owned())
    })
    .list(),
    value("static-skip-ext", "ending of names that are the application's all the same", |pool, value| {
        add(&mut pool.static_files.skipped_endings, value.text().to_owned())
    })
    .list(),
    value("static-safe", "folder that links in such folders may lead to", |pool, value| {
        add(&mut pool.static_files.safe, value.path())
    })
    .list(),
    value("mimefile", "list of types and endings; /etc/mime.types if there is none", |pool, value| {
        add(&mut pool.static_files.mime_files, value.path())
    })
    .also(&["mime-file"])
    .list(),
    // Programs.
    value("cgi", "/path=folder or /path=program: what answers these paths of the pool's own sockets", |pool, value| {
        let (mount, path) = value.pair()?;
        if !mount.starts_with('/') {
            return Err(value.invalid("a path begins with a slash"));
        }
        add(&mut pool.cgi.mounts, (mount, path.into()))
    })
    .list(),
    value("cgi-helper", ".ending=program: what runs files of this ending", |pool, value| {
        let (ending, program) = value.pair()?;
        if !program.starts_with('/') {
            return Err(value.invalid("a program needs its whole path: no search path is asked"));
        }
        add(&mut pool.cgi.helpers, (ending, program.into()))
    })
    .also(&["cgi-map-helper"])
    .list(),
    value("cgi-index", "program that answers for its folder", |pool, value| {
        add(&mut pool.cgi.index, value.text().to_owned())
    })
    .list(),
    value("cgi-allowed-ext", "how names of programs must end", |pool, value| {
        add(&mut pool.cgi.allowed_endings, value.text().to_owned())
    })
    .list(),
    value("cgi-safe", "folder that links in a folder of programs may lead to", |pool, value| {
        add(&mut pool.cgi.safe, value.path())
    })
    .list(),
    value("cgi-unset", "variable that programs are not told", |pool, value| {
        add(&mut pool.cgi.unset, value.text().to_owned())
    })
    .list(),
    value("cgi-timeout", "seconds that a program may say nothing", |pool, value| {
        pool.cgi.timeout = seconds(value)?;
        Ok(())
    }),
    value("cgi-buffer-size", "longest head of a program's answer", |pool, value| {
        put(&mut pool.cgi.buffer_size, value.number(1..=u64::from(u32::MAX))?)
    }),
    // What the application reaches by the module `uwsgi`.
    value("locks", "number of locks besides lock 0", |pool, value| {
        pool.facilities.locks = value.small_number(0..=LOCKS_MAX)?;
        Ok(())
    }),
    value("cache", "items of the cache that is meant where no name is given", facilities::cache),
    value("cache-blocksize", "longest value of that cache", |pool, value| {
        let octets = value.number(1..=u64::from(u32::MAX))?;
        facilities::default_cache(&mut pool.facilities).block_bytes = octets;
        Ok(())
    }),
    value("cache-store", "file that keeps that cache beyond the end", |pool, value| {
        put(&mut facilities::default_cache(&mut pool.facilities).store, value.path())
    }),
    flag("cache-no-expire", "nothing in that cache expires", |pool, value| {
        facilities::default_cache(&mut pool.facilities).never_expires = value.flag();
        Ok(())
    }),
    value("cache2", "name=NAME,items=NUMBER,...: one more cache", facilities::named_cache).list(),
    optional("mule", "a process besides the workers, for messages or for a program of its own", facilities::mule)
        .list(),
    value("mules", "number of such processes", facilities::mules).list(),
    value("farm", "NAME:MULE[,MULE...]: mules that share a queue", facilities::farm).list(),
    value("mule-msg-size", "octets of a queue of messages", |pool, value| {
        let octets = value.number(1024..=MULE_QUEUE_BYTES_MAX)?;
        pool.facilities.mule_queue_bytes = usize::try_from(octets).unwrap_or(usize::MAX);
        Ok(())
    }),
    value("mule-msg-recv-size", "longest message that a mule takes", |pool, value| {
        let octets = value.number(1..=MULE_QUEUE_BYTES_MAX)?;
        pool.facilities.mule_message_bytes = usize::try_from(octets).unwrap_or(usize::MAX);
        Ok(())
    }),
    value("mule-harakiri", "seconds that a mule may take for a message", |pool, value| {
        pool.facilities.mule_harakiri_seconds = value.number(0..=u64::from(u32::MAX))?;
        Ok(())
    }),
    value("spooler", "folder of tasks that are run in the background", facilities::spooler).list(),
    value("spooler-processes", "processes of each such folder", |pool, value| {
        pool.facilities.spooling.processes = value.small_number(1..=SPOOLER_PROCESSES_MAX)?;
        Ok(())
    }),
    value("spooler-frequency", "seconds between two looks into such a folder", |pool, value| {
        pool.facilities.spooling.frequency_seconds = value.number(1..=u64::from(u32::MAX))?;
        Ok(())
    })
    .also(&["spooler-freq"]),
    flag("spooler-ordered", "run tasks in the order of their names", |pool, value| {
        pool.facilities.spooling.is_ordered = value.flag();
        Ok(())
    }),
    flag("spooler-quiet", "do not log tasks", |pool, value| {
        pool.facilities.spooling.is_quiet = value.flag();
        Ok(())
    }),
    value("spooler-max-tasks", "tasks after which such a process is replaced", |pool, value| {
        pool.facilities.spooling.tasks_max = value.number(0..=u64::MAX)?;
        Ok(())
    }),
    value("spooler-chdir", "folder in which tasks are run", |pool, value| {
        put(&mut pool.facilities.spooling.folder, value.path())
    }),
    value("spooler-harakiri", "seconds a task may run", |pool, value| {
        pool.facilities.spooling.harakiri_seconds = value.number(0..=u64::from(u32::MAX))?;
        Ok(())
    }),
    value("spooler-python-import", "module to import where tasks are run", |pool, value| {
        add(&mut pool.facilities.spooling.import, value.text().to_owned())
    })
    .also(&["spooler-import", "spooler-pyimport", "spooler-py-import"])
    .list(),
    // Process.
    value("uid", "user to become", |pool, value| put(&mut pool.uid, value.text().to_owned())),
    value("gid", "group to become", |pool, value| put(&mut pool.gid, value.text().to_owned())),
    value("pidfile", "file for the master's process id", |pool, value| put(&mut pool.pidfile, value.path()))
        .also(&["safe-pidfile"]),
    value("pidfile2", "the same, written after the user has changed", |pool, value| {
        put(&mut pool.pidfile_after, value.path())
    })
    .also(&["safe-pidfile2"]),
    flag("vacuum", "remove sockets and pid files at the end", |pool, value| {
        pool.vacuum = value.flag();
        Ok(())
    }),
    value("daemonize", "go to the background, with this log file", |pool, value| {
        put(&mut pool.daemonize, value.path())
    }),
    flag("die-on-term", "stop on SIGTERM; in daemun always so", |pool, value| {
        pool.die_on_term = value.flag();
        if !pool.die_on_term {
            value.notice("option \"die-on-term\" has no effect in daemun: SIGTERM always stops");
        }
        Ok(())
    }),
    value("procname", "name of the processes", |pool, value| put(&mut pool.procname, value.text().to_owned())),
    value("procname-prefix", "beginning of the processes' names", |pool, value| {
        put(&mut pool.procname_prefix, value.text().to_owned())
    }),
    value("procname-prefix-spaced", "the same, and a space", |pool, value| {
        put(&mut pool.procname_prefix, format!("{} ", value.text()))
    }),
    value("procname-append", "end of the processes' names", |pool, value| {
        put(&mut pool.process.procname_append, value.text().to_owned())
    }),
    value("procname-master", "name of the master", |pool, value| {
        put(&mut pool.procname_master, value.text().to_owned())
    })
    .not_yet(),
    flag("auto-procname", "name processes for what they are", |pool, value| {
        pool.auto_procname = value.flag();
        Ok(())
    }),
    value("prio", "scheduling priority of the processes, -20 to 19", |pool, value| {
        let priority = value.text().parse::<i32>().ok().filter(|priority| (-20..=19).contains(priority));
        put(&mut pool.process.priority, priority.ok_or_else(|| value.invalid("it must be from -20 to 19"))?)
    }),
    value("limit-as", "megabytes of address space of each process", |pool, value| {
        pool.process.address_space_max = megabytes(value)?;
        Ok(())
    }),
    value("limit-nproc", "processes of the user", |pool, value| {
        put(&mut pool.process.processes_max, value.number(1..=u64::from(u32::MAX))?)
    }),
    value("cpu-affinity", "processors of each worker", |pool, value| {
        pool.process.cpu_affinity = small(value)?;
        Ok(())
    }),
    // Emperor.
    value("emperor", "folder or pattern of files, each a server of its own", |pool, value| {
        add(&mut pool.emperor.places, value.text().to_owned())
    })
    .list(),
    flag("emperor-tyrant", "each of them runs as the owner of its file", |pool, value| {
        pool.emperor.is_tyrant = value.flag();
        Ok(())
    }),
    value("emperor-freq", "seconds between two looks for files, 3 if unset", |pool, value| {
        pool.emperor.frequency = seconds(value)?;
        Ok(())
    }),
    value("emperor-throttle", "milliseconds that one which dies waits at first", |pool, value| {
        put(&mut pool.emperor.throttle, Duration::from_millis(value.number(0..=u64::from(u32::MAX))?))
    }),
    value("emperor-max-throttle", "milliseconds that it waits at most, three minutes if unset", |pool, value| {
        put(&mut pool.emperor.max_throttle, Duration::from_millis(value.number(0..=u64::from(u32::MAX))?))
    }),
    value("emperor-stats", "address where their state is told as JSON", |pool, value| {
        add(&mut pool.emperor.stats, value.text().to_owned())
    })
    .also(&["emperor-stats-server"])
    .list(),
    value("emperor-extra-extension", "ending of further files", |pool, value| {
        add(&mut pool.emperor.extra_endings, value.text().to_owned())
    })
    .also(&["emperor-extra-ext"])
    .list(),
    value("vassal-set", "NAME=VALUE for each of them", |pool, value| {
        add(&mut pool.emperor.set, value.text().to_owned())
    })
    .also(&["vassals-set"])
    .list(),
    value("vassals-inherit", "file that each of them reads after its own", |pool, value| {
        let option = if value.name().contains("include") { "--include" } else { "--inherit" };
        let is_before = value.name().ends_with("-before");
        add(&mut pool.emperor.templates, Template { option, path: value.path(), is_before })
    })
    .also(&["vassals-include", "vassals-inherit-before", "vassals-include-before"])
    .list(),
    value("emperor-pidfile", "file for the emperor's process id", |pool, value| {
        put(&mut pool.emperor.pidfile, value.path())
    }),
    // Beside the workers.
    value("cron", "MINUTE HOUR DAY MONTH WEEKDAY COMMAND: run then; -1 is always, -N every N", attendants::cron)
        .also(&["unique-cron"])
        .list(),
    value(
        "cron2",
        "KEY=VALUE,... COMMAND: the same, with minute, hour, day, month, week, unique, harakiri",
        attendants::cron2,
    )
    .list(),
    value("cron-harakiri", "seconds that such a command may run", |pool, value| {
        put(&mut pool.beside.cron_harakiri, value.number(0..=u64::from(u32::MAX))?)
    }),
    value("attach-daemon", "command that runs as long as the application", attendants::daemon)
        .also(&["attach-control-daemon"])
        .list(),
    value(
        "smart-attach-daemon",
        "PIDFILE COMMAND: command that goes to the background, started where it does not run",
        attendants::smart_daemon,
    )
    .also(&["smart-attach-daemon2"])
    .list(),
    value(
        "attach-daemon2",
        "KEY=VALUE,...: cmd, pidfile, freq, control, daemonize, stopsignal, chdir",
        attendants::daemon2,
    )
    .list(),
    value("hook-asap", "ACTION:ARGUMENT: what is done first of all", attendants::hook).list(),
    value("hook-pre-jail", "ACTION:ARGUMENT: what is done before the user changes", attendants::hook).list(),
    value("hook-post-jail", "ACTION:ARGUMENT: what is done before the user changes", attendants::hook).list(),
    value("hook-in-jail", "ACTION:ARGUMENT: what is done before the user changes", attendants::hook).list(),
    value("hook-as-root", "ACTION:ARGUMENT: what is done before the user changes", attendants::hook).list(),
    value("hook-as-user", "ACTION:ARGUMENT: what is done after the user has changed", attendants::hook).list(),
    value("hook-pre-app", "ACTION:ARGUMENT: what is done before the application is loaded", attendants::hook).list(),
    value("hook-post-app", "ACTION:ARGUMENT: what is done after it has been loaded", attendants::hook).list(),
    value("hook-post-fork", "ACTION:ARGUMENT: what is done in each worker, first of all", attendants::hook).list(),
    value("hook-accepting", "ACTION:ARGUMENT: what is done in each worker before its first request", attendants::hook)
        .list(),
    value(
        "hook-accepting1",
        "ACTION:ARGUMENT: what is done in the first worker before its first request",
        attendants::hook,
    )
    .list(),
    value(
        "hook-accepting-once",
        "ACTION:ARGUMENT: what is done in each worker before its first request",
        attendants::hook,
    )
    .list(),
    value(
        "hook-accepting1-once",
        "ACTION:ARGUMENT: what is done in the first worker before its first request",
        attendants::hook,
    )
    .list(),
    value("hook-master-start", "ACTION:ARGUMENT: what is done when a generation is in charge", attendants::hook).list(),
    value("hook-as-user-atexit", "ACTION:ARGUMENT: what is done at the end of a generation", attendants::hook).list(),
    value("exec-asap", "command that is run first of all", attendants::exec).list(),
    value("exec-pre-jail", "command that is run before the user changes", attendants::exec).list(),
    value("exec-post-jail", "command that is run before the user changes", attendants::exec).list(),
    value("exec-in-jail", "command that is run before the user changes", attendants::exec).list(),
    value("exec-as-root", "command that is run before the user changes", attendants::exec).list(),
    value("exec-as-user", "command that is run after the user has changed", attendants::exec).list(),
    value("exec-pre-app", "command that is run before the application is loaded", attendants::exec).list(),
    value("exec-post-app", "command that is run after it has been loaded", attendants::exec).list(),
    value("exec-as-user-atexit", "command that is run at the end of a generation", attendants::exec).list(),
    // Logs.
    value(
        "logger",
        "where the log goes: file:PATH, stdio, socket:HOST:PORT, syslog[:IDENT], rsyslog:HOST:PORT",
        logger,
    )
    .list(),
    optional("log-syslog", "[IDENT]: the same as logger = syslog", |pool, value| {
        let identity = if value.text().is_empty() { "uwsgi" } else { value.text() };
        add(&mut pool.loggers, LogTarget::Other(format!("syslog:{identity}")))
    }),
    value("log-socket", "HOST:PORT or path: the same as logger = socket", |pool, value| {
        add(&mut pool.loggers, LogTarget::Other(format!("socket:{}", value.text())))
    })
    .list(),
    value("logto", "file for the log", |pool, value| put(&mut pool.logto, value.path())).also(&["logto2"]),
    flag("log-truncate", "empty the log at the start", |pool, value| {
        pool.logs.truncates = value.flag();
        Ok(())
    }),
    value("logfile-chmod", "mode of the log's file", |pool, value| put(&mut pool.logs.mode, value.mode()?)),
    flag("logfile-chown", "give the log's file to the user of the application", |pool, value| {
        pool.logs.gives_away = value.flag();
        Ok(())
    }),
    optional("log-date", "[FORMAT]: what stands before each line, by strftime", |pool, value| {
        // Without a format, lines have their date anyway.
        pool.logs.date_format = Some(value.text().to_owned()).filter(|text| text.contains('%'));
        Ok(())
    })
    .also(&["logdate", "log-prefix"]),
    value(
        "log-encoder",
        "prefix, suffix, nl, format or json, with its argument: what becomes of a line",
        |pool, value| {
            encoder(value)?;
            add(&mut pool.logs.encoders, value.text().to_owned())
        },
    )
    .list(),
    value("log-maxsize", "octets of a log file that are enough: it is moved away", |pool, value| {
        put(&mut pool.logs.size_max, value.number(0..=u64::MAX)?)
    }),
    value("log-backupname", "where it is moved to; its name and the time if unset", |pool, value| {
        put(&mut pool.logs.backup_name, value.path())
    }),
    value("touch-logrotate", "file whose change moves the log away", |pool, value| {
        add(&mut pool.logs.touch_rotate, value.path())
    })
    .list(),
    value("touch-logreopen", "file whose change opens the log anew", |pool, value| {
        add(&mut pool.logs.touch_reopen, value.path())
    })
    .list(),
    // Lines of requests: written where one of these, or disable-logging = false, asks for them.
    flag("disable-logging", "log no requests but those of log-4xx and the like", |pool, value| {
        pool.logs.is_disabled = value.flag();
        if pool.logs.is_disabled { Ok(()) } else { request_lines(pool) }
    }),
    value("log-format", "line of a request, with uWSGI's %(variables)", |pool, value| {
        put(&mut pool.logs.requests.format, value.text().to_owned())?;
        request_lines(pool)
    })
    .also(&["logformat"]),
    flag("log-format-strftime", "the line is a format of strftime's", |pool, value| {
        pool.logs.requests.strftime = value.flag();
        request_lines(pool)
    })
    .also(&["logformat-strftime"]),
    value("req-logger", "where these lines go, as with logger", |pool, value| {
        let text = value.text();
        let target = text.split_once(' ').map_or(text, |(_, target)| target.trim_start()).to_owned();
        add(&mut pool.logs.requests.loggers, target)?;
        request_lines(pool)
    })
    .also(&["logger-req"])
    .list(),
    value("log-req-encoder", "as log-encoder", |pool, value| {
        encoder(value)?;
        add(&mut pool.logs.requests.encoders, value.text().to_owned())?;
        request_lines(pool)
    })
    .list(),
    flag("log-x-forwarded-for", "the client is who X-Forwarded-For says, in uWSGI's own line", |pool, value| {
        pool.logs.requests.x_forwarded_for = value.flag();
        request_lines(pool)
    }),
    flag("log-micros", "microseconds instead of milliseconds", |pool, value| {
        pool.logs.requests.micros = value.flag();
        request_lines(pool)
    }),
    flag("log-4xx", "log requests answered 4xx", |pool, value| {
        pool.logs.requests.status_4xx = value.flag();
        request_lines(pool)
    }),
    flag("log-5xx", "log requests answered 5xx", |pool, value| {
        pool.logs.requests.status_5xx = value.flag();
        request_lines(pool)
    }),
    flag("log-zero", "log requests answered without a body", |pool, value| {
        pool.logs.requests.zero = value.flag();
        request_lines(pool)
    }),
    value("log-slow", "log requests that take so many milliseconds", |pool, value| {
        pool.logs.requests.slow_ms = value.number(0..=u64::MAX)?;
        request_lines(pool)
    }),
    value("log-big", "log requests answered with so many octets", |pool, value| {
        pool.logs.requests.big_bytes = value.number(0..=u64::MAX)?;
        request_lines(pool)
    }),
    // Configuration; what reads files and sets other settings is the reader's.
    flag("strict", "refuse unknown options", |pool, value| {
        pool.strict = value.flag();
        Ok(())
    }),
    value("ini", "FILE[:SECTION]: read an ini file", nothing).list(),
    value("yaml", "FILE[:SECTION]: read a YAML file", nothing).also(&["yml"]).list(),
    value("json", "FILE[:SECTION]: read a JSON file", nothing).also(&["js"]).list(),
    value("xml", "FILE[:ID]: read an XML file", nothing).also(&["xmlconfig"]).list(),
    value("include", "FILE[:SECTION]: read a file of whichever of these forms its name says", nothing)
        .also(&["config"])
        .list(),
    value("inherit", "the same, after everything else", nothing).list(),
    value("set", "NAME=VALUE: an option or a placeholder", nothing).list(),
    value("set-placeholder", "NAME=VALUE: a placeholder", nothing).also(&["set-ph"]).list(),
    flag("show-config", "print all settings as one ini file, everything in them replaced", |pool, value| {
        pool.show_config = value.flag();
        Ok(())
    }),
    value("get", "print the value of this setting and end", nothing).list(),
    flag("no-server", "read the configuration and end", |pool, _| put(&mut pool.command, Command::Nothing)),
    flag("dump-options", "print the names of all options and end", |pool, _| {
        let names: BTreeSet<&str> = OPTIONS.iter().flat_map(UwsgiOption::names).collect();
        let text = names.iter().map(|name| format!("{name}\n")).collect();
        put(&mut pool.command, Command::Print(text))
    }),
    flag("help", "print the options", |pool, _| put(&mut pool.command, Command::Help)).also(&["usage"]),
    flag("version", "print the version", |pool, _| put(&mut pool.command, Command::Version)),
    value("stop", "stop the instance of this pid file", |pool, value| {
        put(&mut pool.command, Command::Stop(value.path()))
    }),
    value("reload", "have the instance of this pid file reload", |pool, value| {
        put(&mut pool.command, Command::Reload(value.path()))
    }),
];

impl UwsgiOption {
    const fn optional(self) -> Self {
        Self { argument: Argument::Optional, ..self }
    }
}
