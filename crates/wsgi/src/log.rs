//! Lines in the error log, which is file descriptor 2: one write per line, so that those of several
//! processes do not mix.
//!
//! `2026/11/21 01:31:50 [error] 4711#0: *17 text`, where `*17` is the request of this thread.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::io::Write;

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
    // The log itself is gone when this fails: there is nobody to tell.
    let _ = std::io::stderr().write_all(&out);
}

/// Local time, as nginx writes it. Formatted once per second and thread.
fn write_time(out: &mut Vec<u8>) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    TIME.with_borrow_mut(|(second, text)| {
        if *second != now || text.is_empty() {
            *second = now;
            *text = local_time(now);
        }
        out.extend_from_slice(text.as_bytes());
    });
}

fn local_time(unix_seconds: i64) -> String {
    // SAFETY: all zeros is a valid `tm`; it is overwritten.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types.
    unsafe { libc::localtime_r(&unix_seconds, &mut parts) };
    let libc::tm { tm_year, tm_mon, tm_mday, tm_hour, tm_min, tm_sec, .. } = parts;
    format!("{:04}/{:02}/{tm_mday:02} {tm_hour:02}:{tm_min:02}:{tm_sec:02}", tm_year + 1900, tm_mon + 1)
}

thread_local! {
    static REQUEST: Cell<u64> = const { Cell::new(0) };
    static TIME: RefCell<(i64, String)> = const { RefCell::new((0, String::new())) };
}
