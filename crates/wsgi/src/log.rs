//! Lines in the error log, which is file descriptor 2: one write per line, so that those of several
//! processes do not mix.
//!
//! `2026/11/21 01:31:50 [error] 4711#0: *17 text`, where `*17` is the request of this thread.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use daemun_channel::handover::Logs;

use crate::log_encoder::{Encoder, strftime};
use crate::log_target::Target;

/// How much a line matters; nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What the application itself printed.
    App,
    /// What goes on.
    Notice,
    /// Something will be wrong if it goes on.
    Warning,
    /// A request failed.
    Error,
    /// A worker is lost, or cannot be started.
    Critical,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Notice => "notice",
            Self::Warning => "warn",
            Self::Error => "error",
            Self::Critical => "crit",
        }
    }
}

/// Says which request this thread runs, for the lines it writes; 0 for none.
#[inline]
pub fn set_request(request_id: u64) {
    REQUEST.set(request_id);
}

/// The request this thread runs; 0 for none.
#[inline]
pub fn request() -> u64 {
    REQUEST.get()
}

/// Writes `text`, which has no line end.
pub fn line(level: Level, text: impl Display) {
    write(level, |out| {
        let _ = write!(out, "{text}");
    });
}

/// Writes a line of octets that need not be UTF-8, behind a label such as `stdout`.
pub fn labelled(level: Level, label: &str, text: &[u8]) {
    write(level, |out| {
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(text);
    });
}

fn write(level: Level, text: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::with_capacity(256);
    write_time(&mut out);
    // A `Vec` takes everything.
    let _ = write!(out, " [{}] {}#0: ", level.word(), std::process::id());
    if request() != 0 {
        let _ = write!(out, "*{} ", request());
    }
    text(&mut out);
    out.push(b'\n');
    let Some(settings) = SETTINGS.get() else { return Target::Standard.write(&out) };
    for encoder in &settings.encoders {
        out = encoder.apply(out);
    }
    if out.last() != Some(&b'\n') {
        out.push(b'\n');
    }
    if REOPEN.swap(false, Ordering::SeqCst) {
        settings.targets.iter().for_each(Target::reopen);
    }
    settings.targets.iter().for_each(|target| target.write(&out));
}

/// Where lines go, and what becomes of them, from now on.
pub fn configure(logs: &Logs) {
    let target = |text: &String| Target::parse(text).map_err(|error| (text.clone(), error));
    let (targets, wrong): (Vec<_>, Vec<_>) = logs.loggers.iter().map(target).partition(Result::is_ok);
    for (text, error) in wrong.into_iter().filter_map(Result::err) {
        line(Level::Error, format_args!("logger \"{text}\" cannot be used: {error}"));
    }
    let mut targets: Vec<Target> = targets.into_iter().flatten().collect();
    if targets.is_empty() {
        targets.push(Target::Standard);
    }
    let encoders: Vec<Encoder> = logs.encoders.iter().filter_map(|text| Encoder::parse(text)).collect();
    let date_format = logs.date_format.clone();
    // There is one pool in a process.
    let _ = SETTINGS.set(Settings { targets, encoders, date_format });
}

/// Files are opened anew before the next line. May be called from a signal handler.
pub fn reopen() {
    REOPEN.store(true, Ordering::SeqCst);
}

/// What was configured.
#[derive(Debug)]
struct Settings {
    targets: Vec<Target>,
    encoders: Vec<Encoder>,
    date_format: Option<String>,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();
static REOPEN: AtomicBool = AtomicBool::new(false);

/// Local time, as nginx writes it. Formatted once per second and thread.
fn write_time(out: &mut Vec<u8>) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    TIME.with_borrow_mut(|(second, text)| {
        if *second != now || text.is_empty() {
            *second = now;
            let format = SETTINGS.get().and_then(|settings| settings.date_format.as_deref());
            *text = match format {
                Some(format) => String::from_utf8_lossy(&strftime(format, now)).into_owned(),
                None => String::from_utf8_lossy(&strftime("%Y/%m/%d %H:%M:%S", now)).into_owned(),
            };
        }
        out.extend_from_slice(text.as_bytes());
    });
}

thread_local! {
    static REQUEST: Cell<u64> = const { Cell::new(0) };
    static TIME: RefCell<(i64, String)> = const { RefCell::new((0, String::new())) };
}
