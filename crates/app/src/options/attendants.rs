//! What runs beside the workers, as uWSGI's options write it: cron jobs, daemons, hooks.

use daemun_channel::handover::{Attendants, Cron, Daemon, DaemonKind, Hook};
use daemun_conf::Diagnostic;

use crate::options::pool::PoolOptions;
use crate::options::setting::Value;

/// Cron jobs, daemons and hooks of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttendantOptions {
    /// Cron jobs and daemons.
    pub attendants: Attendants,
    /// Deeds at the turning points of the pool's life, in order.
    pub hooks: Vec<Hook>,
    /// Seconds that a cron job may run where it says nothing itself.
    pub cron_harakiri: Option<u64>,
}

impl AttendantOptions {
    /// As the zygote needs it.
    #[must_use]
    pub fn handed_over(&self) -> Attendants {
        let mut attendants = self.attendants.clone();
        let general = self.cron_harakiri.unwrap_or(0);
        for cron in attendants.crons.iter_mut().filter(|cron| cron.harakiri_seconds == 0 && !cron.may_run_for_ever) {
            cron.harakiri_seconds = general;
        }
        attendants
    }

    /// Whether a hook wants the rights that the application's user has not.
    #[must_use]
    pub fn need_root(&self) -> bool {
        self.hooks.iter().any(|hook| ROOT_PHASES.contains(&hook.phase.as_str()))
    }
}

/// Phases before the change of user.
const ROOT_PHASES: [&str; 5] = ["asap", "pre-jail", "post-jail", "in-jail", "as-root"];

/// `cron` and `unique-cron`: `MINUTE HOUR DAY MONTH WEEKDAY COMMAND`.
pub(crate) fn cron(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let wrong = |value: &Value<'_>| value.invalid("it must be MINUTE HOUR DAY MONTH WEEKDAY COMMAND");
    let mut rest = value.text().trim_start();
    let mut numbers = [0; 5];
    for number in &mut numbers {
        let (word, behind) = rest.split_once(char::is_whitespace).ok_or_else(|| wrong(value))?;
        *number = word.parse().map_err(|_| wrong(value))?;
        rest = behind.trim_start();
    }
    if rest.is_empty() {
        return Err(wrong(value));
    }
    let [minute, hour, day, month, week] = numbers;
    let is_unique = value.name() == "unique-cron";
    let command = rest.to_owned();
    pool.beside.attendants.crons.push(Cron { minute, hour, day, month, week, command, is_unique, ..Cron::default() });
    Ok(())
}

/// `cron2`: `KEY=VALUE,... COMMAND`.
pub(crate) fn cron2(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let (keys, command) = match value.text().split_once(' ') {
        Some((keys, command)) if keys.contains('=') => (keys, command),
        _ => ("", value.text()),
    };
    let mut cron = Cron { command: command.trim().to_owned(), ..Cron::default() };
    if cron.command.is_empty() || cron.command.split(' ').next().is_some_and(|word| word.contains('=')) {
        return Err(value.invalid("it must be KEY=VALUE,... COMMAND"));
    }
    for pair in keys.split(',').filter(|pair| !pair.is_empty()) {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        let number: i32 = text.parse().map_err(|_| value.invalid(format!("\"{key}\" must be a number")))?;
        match key {
            "minute" => cron.minute = number,
            "hour" => cron.hour = number,
            "day" => cron.day = number,
            "month" => cron.month = number,
            "week" => cron.week = number,
            "unique" => cron.is_unique = number != 0,
            "harakiri" => {
                cron.harakiri_seconds = u64::try_from(number).unwrap_or(0);
                cron.may_run_for_ever = number <= 0;
            }
            _ => return Err(value.invalid(format!("\"{key}\" is no key of a cron job in daemun"))),
        }
    }
    pool.beside.attendants.crons.push(cron);
    Ok(())
}

/// `attach-daemon`, `attach-control-daemon`: a command that stays in the foreground.
pub(crate) fn daemon(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let is_control = value.name() == "attach-control-daemon";
    let daemon = Daemon { command: value.text().to_owned(), is_control, ..Daemon::default() };
    pool.beside.attendants.daemons.push(daemon);
    Ok(())
}

/// `smart-attach-daemon`, `smart-attach-daemon2`: `PIDFILE COMMAND`.
pub(crate) fn smart_daemon(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let Some((pidfile, command)) = value.text().split_once(' ') else {
        return Err(value.invalid("it must be PIDFILE COMMAND"));
    };
    let kind = if value.name().ends_with('2') { DaemonKind::Foreground } else { DaemonKind::Background };
    let (command, pidfile) = (command.trim().to_owned(), Some(pidfile.to_owned()));
    pool.beside.attendants.daemons.push(Daemon { command, pidfile, kind, ..Daemon::default() });
    Ok(())
}

/// `attach-daemon2`: `KEY=VALUE,...`.
pub(crate) fn daemon2(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let mut daemon = Daemon::default();
    let mut goes_to_background = true;
    for pair in value.text().split(',').filter(|pair| !pair.is_empty()) {
        let Some((key, text)) = pair.split_once('=') else {
            return Err(value.invalid(format!("\"{pair}\" is not KEY=VALUE")));
        };
        let number = || text.parse::<i32>().map_err(|_| value.invalid(format!("\"{key}\" must be a number")));
        match key {
            "cmd" | "command" | "exec" => daemon.command = text.to_owned(),
            "pidfile" => daemon.pidfile = Some(text.to_owned()),
            "freq" => daemon.frequency_seconds = u64::try_from(number()?).unwrap_or(10),
            "control" => daemon.is_control = true,
            "daemonize" | "daemon" => goes_to_background = false,
            "stopsignal" | "stop_signal" => daemon.stop_signal = number()?,
            "chdir" => daemon.folder = Some(text.to_owned()),
            _ => return Err(value.invalid(format!("\"{key}\" is no key of a daemon in daemun"))),
        }
    }
    if daemon.command.is_empty() {
        return Err(value.invalid("it needs cmd=COMMAND"));
    }
    daemon.kind = match (&daemon.pidfile, goes_to_background) {
        (None, _) => DaemonKind::Plain,
        (Some(_), true) => DaemonKind::Background,
        (Some(_), false) => DaemonKind::Foreground,
    };
    pool.beside.attendants.daemons.push(daemon);
    Ok(())
}

/// `hook-PHASE = ACTION:ARGUMENT`.
pub(crate) fn hook(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let action = value.text();
    let name = action.split(':').next().unwrap_or_default();
    if !ACTIONS.contains(&name) {
        value.not_yet(&format!("action \"{name}\" of a hook"));
        return Ok(());
    }
    add(pool, value.name().trim_start_matches("hook-"), action.to_owned())
}

/// `exec-PHASE = COMMAND`.
pub(crate) fn exec(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    add(pool, value.name().trim_start_matches("exec-"), format!("exec:{}", value.text()))
}

#[expect(clippy::unnecessary_wraps, reason = "ends setters, which return a result")]
fn add(pool: &mut PoolOptions, phase: &str, action: String) -> Result<(), Diagnostic> {
    pool.beside.hooks.push(Hook { phase: phase.to_owned(), action });
    Ok(())
}

const ACTIONS: [&str; 30] = [
    "exec",
    "safeexec",
    "print",
    "log",
    "cd",
    "chdir",
    "mkdir",
    "creat",
    "create",
    "write",
    "writen",
    "append",
    "appendn",
    "writefifo",
    "unlink",
    "chmod",
    "sticky",
    "chown",
    "chown2",
    "putenv",
    "hostname",
    "mount",
    "umount",
    "unix_signal",
    "wait_for_fs",
    "wait_for_file",
    "wait_for_dir",
    "wait_for_socket",
    "exit",
    "",
];
