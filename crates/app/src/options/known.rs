//! All names that uWSGI knows, and what becomes of each here.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::options::table::{Argument, OPTIONS, UwsgiOption};

/// What becomes of an option.
#[derive(Debug, Clone, Copy)]
pub enum Known {
    /// It has an entry in the table.
    Entry(&'static UwsgiOption),
    /// There is nothing here that it could change: the reason.
    NoEffect(&'static str),
    /// What it says could not be left out without changing everything else: always an error.
    Refused(&'static str),
    /// uWSGI has it, daemun not yet.
    NotYet,
}

/// What becomes of the option with this name; `None` if uWSGI has none.
pub fn known(name: &str) -> Option<Known> {
    if let Some(option) = UwsgiOption::by_name(name) {
        return Some(Known::Entry(option));
    }
    let of = |list: &[(&str, &'static str)]| list.iter().find(|(known, _)| *known == name).map(|&(_, reason)| reason);
    if let Some(reason) = of(NO_EFFECT) {
        return Some(Known::NoEffect(reason));
    }
    if let Some(reason) = of(REFUSED) {
        return Some(Known::Refused(reason));
    }
    NAMES.contains_key(name).then_some(Known::NotYet)
}

/// All names of uWSGI.
pub fn known_names() -> impl Iterator<Item = &'static str> {
    NAMES.keys().copied()
}

/// What stands behind the option's name; `None` if uWSGI has no such option.
pub(crate) fn argument_of(name: &str) -> Option<Argument> {
    NAMES.get(name).copied()
}

/// The long name of a short option.
pub(crate) fn long_name(short: char) -> Option<&'static str> {
    SHORT_NAMES.get(&short).copied()
}

/// Whether the value is free text, in which ` #` and ` ;` and `%(...)` may be meant.
pub(crate) fn is_free_text(name: &str) -> bool {
    const BEGINNINGS: [&str; 11] = [
        "log-",
        "logformat",
        "route",
        "error-route",
        "final-route",
        "hook-",
        "exec-",
        "cron",
        "attach-daemon",
        "alarm",
        "smart-attach-daemon",
    ];
    BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// uWSGI's own list: name, kind of argument (flag, optional, value), short name.
static TEXT: &str = include_str!("known.tsv");

static NAMES: LazyLock<HashMap<&str, Argument>> =
    LazyLock::new(|| rows().map(|(name, argument, _)| (name, argument)).collect());

/// Of several names with one short name the table's own wins, else the first.
static SHORT_NAMES: LazyLock<HashMap<char, &str>> = LazyLock::new(|| {
    let mut names: HashMap<char, &str> = HashMap::new();
    for (name, _, short) in rows() {
        if let Some(short) = short {
            let is_primary = OPTIONS.iter().any(|option| option.name == name);
            if is_primary || !names.contains_key(&short) {
                names.insert(short, name);
            }
        }
    }
    names
});

fn rows() -> impl Iterator<Item = (&'static str, Argument, Option<char>)> {
    TEXT.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let name = fields.next()?;
        let argument = match fields.next()? {
            "f" => Argument::Flag,
            "o" => Argument::Optional,
            _ => Argument::Value,
        };
        Some((name, argument, fields.next().and_then(|short| short.chars().next())))
    })
}

static NO_EFFECT: &[(&str, &str)] = &[
    ("thunder-lock", "idle workers are woken one by one from a single queue"),
    ("thunder-lock-watchdog", "idle workers are woken one by one from a single queue"),
    ("cgi-optimize", "the paths of programs are looked at for each request"),
    ("cgi-optimized", "the paths of programs are looked at for each request"),
    ("cgi-path-info", "it does nothing in uWSGI either"),
    ("cgi-dontresolve", "programs are always called by the path that was asked for"),
    ("cgi-close-stdin-on-eof", "a program's standard input always ends with the body"),
    ("cgi-async-max-attempts", "nobody waits for a program's end"),
    ("single-interpreter", "every pool has an interpreter of its own"),
    ("max-vars", "there is no bound on the number of variables but that of the request's head"),
    ("ignore-sigpipe", "a client that goes away is no error"),
    ("ignore-write-errors", "a client that goes away is no error"),
    ("disable-write-exception", "a client that goes away is no error"),
    ("no-orphans", "workers always end with their master"),
    ("post-buffering", "the edge takes request bodies in, so that slow clients hold no worker"),
    ("post-buffering-bufsize", "the edge takes request bodies in, so that slow clients hold no worker"),
    ("log-master", "the master always has the log"),
    ("log-reopen", "a new zygote opens its log anew"),
    ("log-master-bufsize", "lines have no bound"),
    ("log-master-stream", "the master always has the log"),
    ("log-master-req-stream", "the master always has the log"),
    ("threaded-logger", "the master always has the log"),
    ("need-plugins", "python and http are always there"),
    ("need-plugin", "python and http are always there"),
    ("plugins-dir", "there are no plugins to load"),
    ("plugin-dir", "there are no plugins to load"),
    ("autoload", "there are no plugins to load"),
    ("wsgi-env-behaviour", "every request has an environ of its own"),
    ("wsgi-env-behavior", "every request has an environ of its own"),
    ("py-call-osafterfork", "the interpreter is always told of a fork"),
    ("http-keepalive", "connections are kept open by default"),
    ("http-auto-chunked", "answers without a length are always chunked"),
    ("http-chunked-input", "chunked request bodies are always taken"),
    ("http-raw-body", "chunked request bodies are always taken"),
    ("wsgi-manage-chunked-input", "chunked request bodies are always taken"),
    ("offload-threads", "files and answers never hold a worker: the edge sends them"),
    ("offload-thread", "files and answers never hold a worker: the edge sends them"),
    ("stats-min", "the numbers are always told in few octets"),
    ("stats-minified", "the numbers are always told in few octets"),
    ("stats-no-metrics", "the numbers have no metrics in them"),
    ("honour-range", "ranges of files are always honoured"),
    ("file-serve-mode", "the edge sends files by sendfile"),
    ("fileserve-mode", "the edge sends files by sendfile"),
    ("static-cache-paths", "looking for a file costs one call of the system"),
    ("cache-expire-freq", "what has expired is never given out, and makes room when there is none"),
    ("cache-report-freed-items", "what has expired is never given out, and makes room when there is none"),
    ("cache-store-sync", "the system writes the file"),
    ("cache-use-last-modified", "nobody asks"),
    ("lock-engine", "locks are the system's own"),
    ("reuse-port", "all workers take requests from one queue"),
];

static REFUSED: &[(&str, &str)] = &[("ldap", ONLY_FILES), ("ldap-schema", ONLY_FILES), ("sqlite3", ONLY_FILES)];

const ONLY_FILES: &str = "daemun reads files of options: ini, YAML, JSON or XML";
