//! `emperor`: a server for each file of a folder.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use daemun_app::options::PoolOptions;
use daemun_master::{EmperorPlan, Identity, Level};
use daemun_server::log::{self, LogFile, format_line};

/// Reigns over the vassals that the options name, until a signal ends it.
///
/// # Errors
/// A text for the terminal.
pub fn reign(options: PoolOptions) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("daemun: [emerg] emperor: {error}");
    if options.application().is_some() {
        return Err(told(&"an application of its own is not supported by daemun yet: make it a vassal"));
    }
    let program = std::env::current_exe().map_err(|error| told(&error))?;
    let path =
        options.daemonize.clone().or(options.logto.clone()).map(|path| std::path::absolute(&path).unwrap_or(path));
    let file = path.as_deref().map(LogFile::open).transpose().map_err(|error| told(&error))?;
    let stats = &options.emperor.stats;
    let listeners = stats.iter().map(|address| listen(address)).collect::<io::Result<_>>();
    let listeners = listeners.map_err(|error| told(&format!("emperor-stats: {error}")))?;
    let sockets: Vec<PathBuf> = stats.iter().filter(|address| address.starts_with('/')).map(PathBuf::from).collect();
    let identity = options.uid.as_deref().map(|user| Identity::look_up(user, options.gid.as_deref())).transpose();
    let identity = identity.map_err(|error| told(&error))?.filter(|_| Identity::can_switch());
    daemun_master::hold_signals();
    let detached = options.daemonize.is_some().then(daemun_master::daemonize).transpose();
    let detached = detached.map_err(|error| told(&error))?;
    let pid_files = [&options.pidfile, &options.pidfile_after, &options.emperor.pidfile];
    let pid_files = pid_files.into_iter().flatten().cloned().collect();
    let ends_within = options.mercy() + Duration::from_secs(5);
    let emperor = options.emperor;
    let result = daemun_master::reign(EmperorPlan {
        program,
        is_tyrant: emperor.is_tyrant,
        identity,
        frequency: emperor.frequency.unwrap_or(FREQUENCY),
        back_off: emperor.back_off(),
        realm: Box::new(emperor),
        ends_within,
        listeners,
        pid_files,
        log: Box::new(move |level, text: &str| write(file.as_ref(), level, text)),
        detached,
    });
    for socket in sockets {
        let _ = fs::remove_file(socket); // Whoever comes next does it otherwise.
    }
    result.map_err(|error| told(&error))
}

fn write(file: Option<&LogFile>, level: Level, text: &str) {
    let level = match level {
        Level::Emerg | Level::Alert | Level::Crit => log::Level::Crit,
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Notice | Level::Info | Level::Debug => log::Level::Notice,
    };
    let line = format_line(level, format_args!("emperor: {text}"));
    match file {
        Some(file) => file.write(line.as_bytes()),
        None => eprint!("{line}"),
    }
}

/// A socket whose readers are told the state.
fn listen(address: &str) -> io::Result<OwnedFd> {
    if address.starts_with('/') {
        let path = Path::new(address);
        // A socket that an earlier emperor has left; anything else stays, and is told.
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        return Ok(listener.into());
    }
    let listener =
        TcpListener::bind(address.strip_prefix(':').map_or(address.to_owned(), |port| format!("0.0.0.0:{port}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

/// As in uWSGI.
const FREQUENCY: Duration = Duration::from_secs(3);
