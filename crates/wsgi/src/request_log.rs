//! A line for each request, by uWSGI's `log-format` and its variables.

use std::cell::RefCell;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use daemun_channel::Observer;
use daemun_channel::handover::{Logs, RequestLines};
use daemun_gateway::record::Record;
use daemun_gateway::variable::VariableName;

use crate::exchange::State;
use crate::log::{self, Level};
use crate::log_encoder::{Encoder, strftime};
use crate::log_target::Target;
use crate::wear::Memory;

/// How and where requests are logged in this process.
#[derive(Debug)]
struct RequestLog {
    settings: RequestLines,
    /// `None`: uWSGI's own line.
    format: Option<Vec<Part>>,
    targets: Vec<Target>,
    encoders: Vec<Encoder>,
    worker: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A name in `%(...)`.
    Name(String),
}

/// What is known of a request when it begins.
#[derive(Debug, Default)]
pub struct Entry {
    started_us: u64,
    unix_us: u64,
    variables: usize,
    octets: usize,
    /// Those that the line needs, by name.
    values: Vec<(Vec<u8>, Vec<u8>)>,
    core: u16,
}

/// Begins to log requests, if the settings want it. `worker` is what the process is called, from 1.
pub fn open(logs: &Logs, worker: u16) {
    if !logs.requests.is_wanted() {
        return;
    }
    let target = |text: &String| match Target::parse(text) {
        Ok(target) => Some(target),
        Err(error) => {
            log::line(Level::Error, format_args!("req-logger \"{text}\" cannot be used: {error}"));
            None
        }
    };
    let mut targets: Vec<Target> = logs.requests.loggers.iter().filter_map(target).collect();
    if targets.is_empty() {
        targets.push(Target::Standard);
    }
    let opened = RequestLog {
        settings: logs.requests.clone(),
        format: logs.requests.format.as_deref().map(parts),
        targets,
        encoders: logs.requests.encoders.iter().filter_map(|text| Encoder::parse(text)).collect(),
        worker,
    };
    // A worker is called once what it is called.
    let _ = LOG.set(opened);
}

/// Files are opened anew before the next line. May be called from a signal handler.
pub fn reopen() {
    REOPEN.store(true, Ordering::SeqCst);
}

/// `uwsgi.set_logvar()`: a variable of the request that this thread runs; `false` when it has too many, or this is too long.
pub fn set_variable(name: &[u8], value: &[u8]) -> bool {
    VARIABLES.with_borrow_mut(|all| {
        all.retain(|(known, _)| known != name);
        let has_room = all.len() < VARIABLES_MAX && name.len().max(value.len()) <= VARIABLE_BYTES_MAX;
        if has_room {
            all.push((name.to_owned(), value.to_owned()));
        }
        has_room
    })
}

/// `uwsgi.get_logvar()`: the value of such a variable.
pub fn variable(name: &[u8]) -> Option<Vec<u8>> {
    VARIABLES.with_borrow(|all| all.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
}

/// The request is over.
#[inline]
pub fn forget_variables() {
    VARIABLES.with_borrow_mut(Vec::clear);
}

/// Takes note of a request that begins; `None` where requests are not logged.
pub fn begin(record: &Record<'_>, core: u16) -> Option<Entry> {
    let log = LOG.get()?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let unix_us = (now.tv_sec * 1_000_000 + now.tv_nsec / 1000).unsigned_abs();
    let mut entry = Entry { started_us: Observer::now_us(), unix_us, core, ..Entry::default() };
    for (name, value) in record.pairs().flatten() {
        let name = match name {
            VariableName::Known(id) => id.name().as_bytes().to_vec(),
            VariableName::Literal(name) | VariableName::Header(name) => name.to_vec(),
        };
        entry.variables += 1;
        // As the uwsgi protocol counts: two octets of length for each.
        entry.octets += name.len() + value.len() + 4;
        if log.needs(&name) {
            entry.values.push((name, value.to_vec()));
        }
    }
    Some(entry)
}

/// Writes the line of a request that is over.
pub fn finish(entry: &Entry, state: &State) {
    let Some(log) = LOG.get() else { return };
    let took_us = Observer::now_us().saturating_sub(entry.started_us);
    if !log.is_due(state, took_us) {
        return;
    }
    if REOPEN.swap(false, Ordering::SeqCst) {
        log.targets.iter().for_each(Target::reopen);
    }
    let count = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    let line = Line { log, entry, state, took_us, count };
    let mut text = match &log.format {
        None => line.usual(),
        Some(parts) => line.formatted(parts),
    };
    for encoder in &log.encoders {
        text = encoder.apply(text);
    }
    if text.last() != Some(&b'\n') {
        text.push(b'\n');
    }
    log.targets.iter().for_each(|target| target.write(&text));
}

impl RequestLog {
    fn needs(&self, name: &[u8]) -> bool {
        const USUAL: [&[u8]; 9] = [
            b"REQUEST_URI",
            b"REQUEST_METHOD",
            b"REMOTE_USER",
            b"REMOTE_ADDR",
            b"HTTP_HOST",
            b"SERVER_PROTOCOL",
            b"HTTP_USER_AGENT",
            b"HTTP_REFERER",
            b"CONTENT_LENGTH",
        ];
        let is_asked = |part: &Part| match part {
            Part::Name(asked) => asked.strip_prefix("var.").is_some_and(|asked| asked.as_bytes() == name),
            Part::Text(_) => false,
        };
        USUAL.contains(&name)
            || (self.settings.x_forwarded_for && name == b"HTTP_X_FORWARDED_FOR")
            || self.format.iter().flatten().any(is_asked)
    }

    fn is_due(&self, state: &State, took_us: u64) -> bool {
        let settings = &self.settings;
        let status = state.status();
        settings.all
            || (settings.zero && state.sent() == 0)
            || (settings.slow_ms > 0 && took_us / 1000 >= settings.slow_ms)
            || (settings.status_4xx && (400..500).contains(&status))
            || (settings.status_5xx && (500..600).contains(&status))
            || (settings.big_bytes > 0 && state.sent() >= settings.big_bytes)
    }
}

struct Line<'a> {
    log: &'a RequestLog,
    entry: &'a Entry,
    state: &'a State,
    took_us: u64,
    count: u64,
}

impl Line<'_> {
    fn value(&self, name: &[u8]) -> &[u8] {
        self.entry.values.iter().find(|(known, _)| known == name).map_or(b"", |(_, value)| value)
    }

    /// The client; by `log-x-forwarded-for` who the field says, all of them, as uWSGI has it.
    fn address(&self) -> &[u8] {
        let forwarded = self.value(b"HTTP_X_FORWARDED_FOR");
        if !self.log.settings.x_forwarded_for || forwarded.is_empty() {
            return self.value(b"REMOTE_ADDR");
        }
        forwarded
    }

    fn seconds(&self) -> i64 {
        i64::try_from(self.entry.unix_us / 1_000_000).unwrap_or_default()
    }

    /// As uWSGI writes it where nobody has said how.
    fn usual(&self) -> Vec<u8> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let (time, unit) = match self.log.settings.micros {
            true => (self.took_us, "micros"),
            false => (self.took_us / 1000, "msecs"),
        };
        let mut out = Vec::with_capacity(256);
        // A `Vec` takes everything.
        let _ = write!(
            out,
            "[pid: {}|app: 0|req: {}/{}] {} ({}) {{{} vars in {} bytes}} [{}] {} {} => generated {} bytes in {time} {unit} \
             ({} {}) {} headers in {} bytes (1 switches on core {})",
            std::process::id(),
            self.count,
            self.count,
            text(&printable(self.address())),
            text(&printable(self.value(b"REMOTE_USER"))),
            self.entry.variables,
            self.entry.octets,
            text(&strftime("%a %b %e %H:%M:%S %Y", self.seconds())),
            text(&printable(self.value(b"REQUEST_METHOD"))),
            text(&printable(self.value(b"REQUEST_URI"))),
            self.state.sent(),
            text(&printable(self.value(b"SERVER_PROTOCOL"))),
            self.state.status(),
            self.state.header_count(),
            self.state.head_bytes(),
            self.entry.core,
        );
        out
    }

    fn formatted(&self, parts: &[Part]) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        for part in parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Name(name) => self.variable(name, &mut out),
            }
        }
        if self.log.settings.strftime {
            return strftime(&String::from_utf8_lossy(&out), self.seconds());
        }
        out
    }

    fn variable(&self, name: &str, out: &mut Vec<u8>) {
        let number = match name {
            "status" => u64::from(self.state.status()),
            "rsize" => self.state.sent(),
            "hsize" => self.state.head_bytes(),
            "size" => self.state.sent() + self.state.head_bytes(),
            "micros" => self.took_us,
            "msecs" => self.took_us / 1000,
            "secs" => {
                let (seconds, rest) = (self.took_us / 1_000_000, self.took_us % 1_000_000);
                return put(out, format_args!("{seconds}.{rest:06}"));
            }
            "tmsecs" => self.entry.unix_us / 1000,
            "tmicros" => self.entry.unix_us,
            "time" => self.entry.unix_us / 1_000_000,
            "epoch" => rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec.unsigned_abs(),
            "pid" => u64::from(std::process::id()),
            "wid" => u64::from(self.log.worker),
            "switches" => 1,
            "vars" => self.entry.variables as u64,
            "core" => u64::from(self.entry.core),
            "vsz" => own_memory().address_space,
            "rss" => own_memory().resident,
            "vszM" => own_memory().address_space >> 20,
            "rssM" => own_memory().resident >> 20,
            "pktsize" => self.entry.octets as u64,
            "headers" => u64::from(self.state.header_count()),
            "cl" => {
                std::str::from_utf8(self.value(b"CONTENT_LENGTH")).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
            }
            "modifier1" | "modifier2" | "werr" | "rerr" | "ioerr" => 0,
            _ => return self.text_variable(name, out),
        };
        put(out, format_args!("{number}"));
    }

    fn text_variable(&self, name: &str, out: &mut Vec<u8>) {
        let value = match name {
            "uri" => self.value(b"REQUEST_URI"),
            "method" => self.value(b"REQUEST_METHOD"),
            "user" => self.value(b"REMOTE_USER"),
            "addr" => self.value(b"REMOTE_ADDR"),
            "host" => self.value(b"HTTP_HOST"),
            "proto" => self.value(b"SERVER_PROTOCOL"),
            "uagent" => self.value(b"HTTP_USER_AGENT"),
            "referer" => self.value(b"HTTP_REFERER"),
            "ltime" => return out.extend(strftime("%d/%b/%Y:%H:%M:%S %z", self.seconds())),
            "ctime" => return out.extend(strftime("%a %b %e %H:%M:%S %Y", self.seconds())),
            "ftime" => {
                let format = self.log.settings.time_format.as_deref().unwrap_or("%d/%b/%Y:%H:%M:%S %z");
                return out.extend(strftime(format, self.seconds()));
            }
            _ => match name.strip_prefix("var.") {
                Some(asked) => self.value(asked.as_bytes()),
                None => return self.logvar(name, out),
            },
        };
        // A client says most of these: no line of its own making, and none that looks like another's.
        out.extend(if value.is_empty() { b"-".to_vec() } else { printable(value) });
    }

    /// What the application has set for the line.
    fn logvar(&self, name: &str, out: &mut Vec<u8>) {
        VARIABLES.with_borrow(|all| {
            let value = all.iter().find(|(known, _)| known == name.as_bytes());
            out.extend(printable(value.map_or(b"-", |(_, value)| value)));
        });
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A `Vec` takes everything.
    let _ = out.write_fmt(text);
}

/// Control characters as `\xNN`.
fn printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for octet in text {
        match octet {
            0..=0x1f | 0x7f => put(&mut out, format_args!("\\x{octet:02x}")),
            _ => out.push(*octet),
        }
    }
    out
}

fn own_memory() -> Memory {
    Memory::read(rustix::process::getpid())
}

/// Texts and `%(name)`s.
fn parts(format: &str) -> Vec<Part> {
    let mut found = Vec::new();
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once("%(") {
        let Some((name, behind)) = behind.split_once(')') else { break };
        found.push(Part::Text(before.to_owned()));
        found.push(Part::Name(name.to_owned()));
        rest = behind;
    }
    found.push(Part::Text(rest.to_owned()));
    found
}

static LOG: OnceLock<RequestLog> = OnceLock::new();
static REOPEN: AtomicBool = AtomicBool::new(false);
static SERVED: AtomicU64 = AtomicU64::new(0);

/// Variables that a request may set for its line.
const VARIABLES_MAX: usize = 64;

/// Of a variable's name, and of its value.
const VARIABLE_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static VARIABLES: RefCell<Vec<(Vec<u8>, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}
