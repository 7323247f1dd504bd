//! What sends signals of the application's by itself: timers, crons, and files that change.
//!
//! They stand in shared memory, so that any process may add one; the zygote looks after them. So they run once for
//! a pool, whoever has added them, and go on when a worker dies.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use daemun_channel::Observer;

use crate::shared::mutex::{Guarded, Plain};
use crate::shared::zeroed;

/// The timers of a pool.
pub struct Timers {
    table: &'static Guarded<Table>,
}

#[repr(C)]
struct Table {
    count: u32,
    entries: [Entry; TIMERS_MAX],
}

// SAFETY: numbers and octets; all zeros are an empty table.
unsafe impl Plain for Table {}

#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    kind: u32,
    number: u8,
    path_bytes: u16,
    /// Of a timer, in milliseconds.
    interval_ms: u64,
    /// How often yet; 0 for ever.
    left: u32,
    /// When next, in milliseconds of [`Observer::now_ms`]; of a cron: the minute in which it was last sent.
    due: u64,
    cron: Cron,
    /// What the file was when it was last looked at.
    seen: [u64; 3],
    path: [u8; PATH_BYTES_MAX],
}

/// When a cron is due, as uWSGI counts: a number is that very value, -1 any, -5 every fifth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Cron {
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 23.
    pub hour: i32,
    /// Of the month, 1 to 31.
    pub day: i32,
    /// 1 to 12.
    pub month: i32,
    /// 0 to 7, of which both are Sunday.
    pub week_day: i32,
}

/// There are as many as there may be, or the path is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

const TIMER: u32 = 1;
const CRON: u32 = 2;
const FILE: u32 = 3;

impl Timers {
    /// None yet.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new() -> io::Result<Self> {
        let table = zeroed::<Guarded<Table>>(1)?.first().ok_or(io::ErrorKind::OutOfMemory)?;
        table.prepare()?;
        Ok(Self { table })
    }

    /// Sends `number` every so often, `iterations` times; 0 for ever.
    ///
    /// What was added before, by another worker that loads the same application, is not added twice.
    ///
    /// # Errors
    ///
    /// [`Refused`]
    pub fn add_timer(&self, number: u8, interval: Duration, iterations: u32) -> Result<(), Refused> {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let due = Observer::now_ms().saturating_add(interval_ms);
        self.add(Entry { kind: TIMER, number, interval_ms, left: iterations, due, ..Entry::NONE }, |other| {
            other.interval_ms == interval_ms
        })
    }

    /// Sends `number` at these times.
    ///
    /// # Errors
    ///
    /// [`Refused`]
    pub fn add_cron(&self, number: u8, cron: Cron) -> Result<(), Refused> {
        self.add(Entry { kind: CRON, number, cron, ..Entry::NONE }, |other| other.cron == cron)
    }

    /// Sends `number` when the file or folder changes.
    ///
    /// # Errors
    ///
    /// [`Refused`]
    pub fn add_file(&self, number: u8, path: &Path) -> Result<(), Refused> {
        let octets = path.as_os_str().as_bytes();
        let mut entry = Entry { kind: FILE, number, seen: state_of(path), ..Entry::NONE };
        entry.path.get_mut(..octets.len()).ok_or(Refused)?.copy_from_slice(octets);
        entry.path_bytes = u16::try_from(octets.len()).map_err(|_| Refused)?;
        self.add(entry, |other| other.path == entry.path)
    }

    fn add(&self, entry: Entry, is_same: impl Fn(&Entry) -> bool) -> Result<(), Refused> {
        let mut table = self.table.lock();
        let count = (table.count as usize).min(TIMERS_MAX);
        let mut used = table.entries.iter().take(count);
        if used.any(|other| other.kind == entry.kind && other.number == entry.number && is_same(other)) {
            return Ok(());
        }
        let free = table.entries.iter().take(count).position(|other| other.kind == 0).unwrap_or(count);
        *table.entries.get_mut(free).ok_or(Refused)? = entry;
        table.count = table.count.max(free as u32 + 1); // At most TIMERS_MAX.
        Ok(())
    }

    /// The signals that are due now, in the order of their timers, and how long it is until there may be more.
    pub fn due(&self) -> (Vec<u8>, Option<Duration>) {
        let mut table = self.table.lock();
        let count = (table.count as usize).min(TIMERS_MAX);
        if count == 0 {
            return (Vec::new(), None);
        }
        let now = Now::read();
        let mut signals = Vec::new();
        let mut wait = None;
        for entry in table.entries.iter_mut().take(count) {
            let is_due = match entry.kind {
                TIMER => entry.is_timer_due(now.monotonic_ms),
                CRON => entry.is_cron_due(&now),
                FILE => entry.is_file_changed(),
                _ => continue,
            };
            if is_due {
                signals.push(entry.number);
            }
            let next = match entry.kind {
                TIMER => Duration::from_millis(entry.due.saturating_sub(now.monotonic_ms)),
                CRON => Duration::from_secs(60 - now.unix_seconds.rem_euclid(60).unsigned_abs()),
                FILE => FILE_INTERVAL,
                _ => continue,
            };
            wait = Some(wait.map_or(next, |wait: Duration| wait.min(next)));
        }
        (signals, wait)
    }
}

impl Entry {
    const NONE: Self = Self {
        kind: 0,
        number: 0,
        path_bytes: 0,
        interval_ms: 0,
        left: 0,
        due: 0,
        cron: Cron { minute: -1, hour: -1, day: -1, month: -1, week_day: -1 },
        seen: [0; 3],
        path: [0; PATH_BYTES_MAX],
    };

    fn is_timer_due(&mut self, now_ms: u64) -> bool {
        if self.due > now_ms {
            return false;
        }
        // Turns that were missed, while the machine slept, are not made up for.
        let missed = (now_ms - self.due) / self.interval_ms.max(1);
        self.due = self.due.saturating_add((missed + 1).saturating_mul(self.interval_ms.max(1)));
        match self.left {
            0 => {}
            1 => self.kind = 0,
            _ => self.left -= 1,
        }
        true
    }

    fn is_cron_due(&mut self, now: &Now) -> bool {
        let minute = now.unix_seconds.div_euclid(60).unsigned_abs();
        let is_due = self.due != minute && self.cron.is_due(&now.local);
        if is_due {
            self.due = minute;
        }
        is_due
    }

    fn is_file_changed(&mut self) -> bool {
        let octets = self.path.get(..usize::from(self.path_bytes)).unwrap_or_default();
        let state = state_of(Path::new(std::ffi::OsStr::from_bytes(octets)));
        std::mem::replace(&mut self.seen, state) != state
    }
}

impl Cron {
    fn is_due(&self, now: &libc::tm) -> bool {
        let is = |wanted: i32, value: i32| match wanted {
            0.. => wanted == value,
            every => value % every.saturating_neg() == 0,
        };
        let week_day = if self.week_day == 7 { 0 } else { self.week_day };
        let (is_day, is_week_day) = (is(self.day, now.tm_mday), is(week_day, now.tm_wday));
        // As in crontab(5): where both are said, either will do.
        let is_date = if self.day >= 0 && week_day >= 0 { is_day || is_week_day } else { is_day && is_week_day };
        is(self.minute, now.tm_min) && is(self.hour, now.tm_hour) && is(self.month, now.tm_mon + 1) && is_date
    }
}

/// One moment on all clocks.
struct Now {
    monotonic_ms: u64,
    unix_seconds: i64,
    local: libc::tm,
}

impl Now {
    fn read() -> Self {
        let unix_seconds = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        // SAFETY: all zeros is a valid `tm`; it is overwritten.
        let mut local: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live values of the right types.
        unsafe { libc::localtime_r(&unix_seconds, &mut local) };
        Self { monotonic_ms: Observer::now_ms(), unix_seconds, local }
    }
}

/// What changes with a file; zeros for none.
fn state_of(path: &Path) -> [u64; 3] {
    let state = |metadata: std::fs::Metadata| {
        let changed = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
        [changed as u64, metadata.len(), metadata.ino()]
    };
    std::fs::metadata(path).map(state).unwrap_or_default()
}

/// Timers, crons and files of a pool.
const TIMERS_MAX: usize = 256;

/// Longest path of a file that is watched.
const PATH_BYTES_MAX: usize = 1024;

/// Between two looks at files.
const FILE_INTERVAL: Duration = Duration::from_secs(1);
