//! Commands that run beside the workers: cron jobs, and daemons that are to live as long as the pool.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use daemun_channel::handover::{Attendants as Settings, Cron, Daemon, DaemonKind};
use serde_json::{Value, json};

use crate::log::{self, Level};
use crate::ready;
use crate::shell::{Manner, Running};

/// What runs beside the workers.
#[derive(Debug, Default)]
pub struct Attendants {
    jobs: Vec<Job>,
    daemons: Vec<Attached>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Job {
    cron: Cron,
    /// The minute it was run in last, in minutes since 1970.
    last_minute: Option<i64>,
    running: Vec<(Running, Instant, i64)>,
}

#[derive(Debug)]
struct Attached {
    daemon: Daemon,
    running: Option<Running>,
    started: Instant,
    due: Instant,
    young_deaths: u32,
}

impl Attendants {
    /// Begins. What an earlier zygote has attached is given a moment to end.
    pub fn open(settings: &Settings, is_successor: bool) -> Self {
        let now = Instant::now();
        let due = if is_successor { now + HANDOVER } else { now };
        let job = |cron: &Cron| Job { cron: cron.clone(), last_minute: None, running: Vec::new() };
        let attach =
            |daemon: &Daemon| Attached { daemon: daemon.clone(), running: None, started: now, due, young_deaths: 0 };
        Self {
            jobs: settings.crons.iter().map(job).collect(),
            daemons: settings.daemons.iter().map(attach).collect(),
            looked: None,
        }
    }

    /// Whether there is anything to look after.
    pub fn are_there(&self) -> bool {
        !self.jobs.is_empty() || !self.daemons.is_empty()
    }

    /// What to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let jobs = self.jobs.iter().flat_map(|job| job.running.iter().map(|(running, ..)| running.descriptor()));
        jobs.chain(self.daemons.iter().filter_map(|attached| attached.running.as_ref().map(Running::descriptor)))
    }

    /// Starts what is due and buries what has ended.
    pub fn turn(&mut self, now: Instant) {
        for job in &mut self.jobs {
            job.reap(now);
        }
        for attached in &mut self.daemons {
            attached.turn(now);
        }
        if self.looked.is_none_or(|looked| now - looked >= LOOK_INTERVAL) {
            self.looked = Some(now);
            self.jobs.iter_mut().for_each(|job| job.start_if_due(now));
        }
    }

    /// Ends what must not outlive the zygote.
    pub fn close(&mut self) {
        for attached in &mut self.daemons {
            attached.stop();
        }
        for (running, ..) in self.jobs.drain(..).flat_map(|job| job.running) {
            running.signal(libc::SIGTERM);
        }
        self.daemons.clear();
    }

    /// The cron jobs as the pool's numbers have them.
    pub fn report(&self) -> Vec<Value> {
        let one = |job: &Job| {
            let cron = &job.cron;
            let last = job.running.last();
            json!({
                "minute": cron.minute, "hour": cron.hour, "day": cron.day, "month": cron.month, "week": cron.week,
                "command": cron.command, "unique": u8::from(cron.is_unique), "legion": "",
                "pid": last.map_or(-1, |(running, ..)| i64::from(running.pid.as_raw_nonzero().get())),
                "started_at": last.map_or(0, |(.., started)| *started),
            })
        };
        self.jobs.iter().map(one).collect()
    }
}

impl Job {
    fn start_if_due(&mut self, now: Instant) {
        let unix_seconds = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let minute = unix_seconds.div_euclid(60);
        let is_over = !self.cron.is_unique || self.running.is_empty();
        if self.last_minute == Some(minute) || !is_over || !is_due(&self.cron, &local(unix_seconds)) {
            return;
        }
        self.last_minute = Some(minute);
        if self.running.len() >= RUNS_MAX {
            let command = &self.cron.command;
            return log::line(Level::Error, format_args!("cron: \"{command}\" runs {RUNS_MAX} times already"));
        }
        match Running::start(&self.cron.command, Manner::default()) {
            Ok(running) => {
                let pid = running.pid.as_raw_nonzero();
                log::line(Level::Notice, format_args!("cron: running \"{}\" (pid {pid})", self.cron.command));
                self.running.push((running, now, unix_seconds));
            }
            Err(error) => {
                log::line(Level::Error, format_args!("cron: \"{}\" cannot be run: {error}", self.cron.command));
            }
        }
    }

    fn reap(&mut self, now: Instant) {
        let (command, limit) = (&self.cron.command, self.cron.harakiri_seconds);
        self.running.retain(|(running, started, _)| {
            let pid = running.pid.as_raw_nonzero();
            if let Some(status) = running.ended() {
                if !status.success() {
                    log::line(Level::Error, format_args!("cron: \"{command}\" (pid {pid}) ended with {status}"));
                }
                return false;
            }
            if limit > 0 && now - *started >= Duration::from_secs(limit) {
                log::line(
                    Level::Error,
                    format_args!("cron: \"{command}\" (pid {pid}) runs for {limit} s: it is killed"),
                );
                running.signal(libc::SIGKILL);
            }
            true
        });
    }
}

/// -1 is always, -N every N, as in uWSGI; with day and weekday, either.
fn is_due(cron: &Cron, now: &libc::tm) -> bool {
    let matches = |wanted: i32, found: i32| match wanted {
        -1 => true,
        every if every < -1 => found % -every == 0,
        exactly => exactly == found,
    };
    let week = if cron.week == 7 { 0 } else { cron.week };
    let (is_day, is_weekday) = (matches(cron.day, now.tm_mday), matches(week, now.tm_wday));
    let is_today = if cron.day != -1 && week != -1 { is_day || is_weekday } else { is_day && is_weekday };
    matches(cron.minute, now.tm_min)
        && matches(cron.hour, now.tm_hour)
        && matches(cron.month, now.tm_mon + 1)
        && is_today
}

fn local(unix_seconds: i64) -> libc::tm {
    // SAFETY: all zeros is a valid `tm`; it is overwritten.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types.
    unsafe { libc::localtime_r(&unix_seconds, &mut parts) };
    parts
}

impl Attached {
    fn turn(&mut self, now: Instant) {
        let ended = self.running.as_ref().and_then(Running::ended);
        if let Some(status) = ended {
            self.running = None;
            self.bury(status, now);
        }
        if self.running.is_some() || now < self.due {
            return;
        }
        if let Some(pidfile) = &self.daemon.pidfile {
            self.due = now + Duration::from_secs(self.daemon.frequency_seconds.max(1));
            if is_alive(pidfile) {
                return;
            }
        }
        self.start(now);
    }

    fn start(&mut self, now: Instant) {
        let daemon = &self.daemon;
        let is_independent = daemon.kind != DaemonKind::Plain;
        match Running::start(&daemon.command, Manner { is_independent, folder: daemon.folder.as_deref() }) {
            Ok(running) => {
                let pid = running.pid.as_raw_nonzero();
                log::line(Level::Notice, format_args!("daemon \"{}\" started (pid {pid})", daemon.command));
                if let (DaemonKind::Foreground, Some(pidfile)) = (daemon.kind, &daemon.pidfile)
                    && let Err(error) = std::fs::write(pidfile, format!("{pid}\n"))
                {
                    log::line(Level::Error, format_args!("\"{pidfile}\" cannot be written: {error}"));
                }
                self.started = now;
                self.running = Some(running);
            }
            Err(error) => {
                log::line(Level::Error, format_args!("daemon \"{}\" cannot be run: {error}", daemon.command));
                self.due = now + Duration::from_secs(5);
            }
        }
    }

    fn bury(&mut self, status: std::process::ExitStatus, now: Instant) {
        let command = &self.daemon.command;
        if self.daemon.kind == DaemonKind::Background && status.success() {
            return; // It has gone to the background, as it should.
        }
        if self.daemon.is_control {
            log::line(Level::Critical, format_args!("daemon \"{command}\" ended with {status}: so does everything"));
            ready::ask(ready::STOP);
        }
        self.young_deaths = if now - self.started < GROWN_UP { self.young_deaths.saturating_add(1) } else { 0 };
        let wait = Duration::from_secs(u64::from(self.young_deaths.min(WAIT_SECONDS_MAX)));
        self.due = now + wait;
        let seconds = wait.as_secs();
        log::line(Level::Error, format_args!("daemon \"{command}\" ended with {status}, again in {seconds} s"));
    }

    /// Those with a pid file live on, for whoever comes next.
    fn stop(&mut self) {
        let Some(running) = self.running.take().filter(|_| self.daemon.kind == DaemonKind::Plain) else { return };
        running.signal(self.daemon.stop_signal);
        for _ in 0..ENDING_LOOKS {
            if running.ended().is_some() {
                return;
            }
            std::thread::sleep(ENDING_LOOK);
        }
        running.signal(libc::SIGKILL);
    }
}

/// Whether the process lives whose id is in the file.
fn is_alive(pidfile: &str) -> bool {
    let text = std::fs::read_to_string(pidfile).unwrap_or_default();
    let pid = text.trim().parse().ok().filter(|pid| *pid > 1);
    // SAFETY: takes two numbers; signal 0 does nothing.
    pid.is_some_and(
        |pid| unsafe { libc::kill(pid, 0) } == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM),
    )
}

/// How often it is looked for what is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What an earlier zygote has for ending its daemons.
const HANDOVER: Duration = Duration::from_secs(1);

/// A daemon that lived for so long has not failed to start.
const GROWN_UP: Duration = Duration::from_secs(10);

/// Most seconds until a daemon that dies is started again.
const WAIT_SECONDS_MAX: u32 = 60;

/// How many runs of one job may overlap.
const RUNS_MAX: usize = 64;

/// A daemon has three seconds to end.
const ENDING_LOOK: Duration = Duration::from_millis(20);
const ENDING_LOOKS: u32 = 150;
