//! Log files that have grown, or that somebody wants anew: moved away, and the master asked to open others.

use std::path::{Path, PathBuf};

use daemun_channel::handover::Logs;

use crate::log::{self, Level};
use crate::log_target::Target;
use crate::ready;

/// Moves the files away that are larger than allowed; all of them where `is_wanted`.
pub fn rotate(logs: &Logs, log_file: Option<&Path>, is_wanted: bool) {
    let requests = logs.requests.loggers.iter().filter_map(|text| Target::parse(text).ok());
    let requests: Vec<PathBuf> = requests.filter_map(|target| target.file().cloned()).collect();
    let mut has_moved = false;
    for path in log_file.into_iter().chain(requests.iter().map(PathBuf::as_path)) {
        let length = std::fs::metadata(path).map_or(0, |found| found.len());
        if length > 0 && (is_wanted || (logs.size_max > 0 && length > logs.size_max)) {
            has_moved |= move_away(path, logs.backup_name.as_deref().filter(|_| Some(path) == log_file));
        }
    }
    if has_moved {
        ready::ask(ready::REOPEN);
    }
}

fn move_away(path: &Path, backup: Option<&Path>) -> bool {
    let seconds = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    let target = match backup {
        Some(backup) => backup.to_owned(),
        None => PathBuf::from(format!("{}.{seconds}", path.display())),
    };
    let moved = std::fs::rename(path, &target);
    match &moved {
        Ok(()) => log::line(Level::Notice, format_args!("the log goes on after \"{}\"", target.display())),
        Err(error) => {
            log::line(Level::Error, format_args!("\"{}\" cannot be moved away: {error}", path.display()));
        }
    }
    moved.is_ok()
}
