//! Commands that come from outside: letters on a named pipe, and files that are touched.

use std::fs::Metadata;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use daemun_channel::handover::{Logs, Workers};
use rustix::fs::{FileType, Mode, OFlags};

use crate::log::{self, Level};
use crate::ready;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The master is to do it; see `ready`.
    AskMaster(u8),
    /// One worker after the other gets the application anew.
    ChainReload,
    /// Workers are replaced one after the other, by the code that the zygote has.
    ReloadWorkers,
    /// Workers are killed, whatever they run.
    KillWorkers,
    /// One worker more, or less.
    ChangeCount(i64),
    /// No workers until the next request.
    GoCheap,
    /// Workers take no more requests, or do so again.
    Pause,
    /// The log's files are moved away.
    RotateLog,
    /// The numbers of the pool go to the log.
    LogStats,
}

/// Where commands come from.
#[derive(Debug, Default)]
pub struct Commands {
    pipe: Option<Pipe>,
    pipe_paths: Vec<PathBuf>,
    watched: Vec<Watched>,
    looked: Option<Instant>,
    pending: Vec<Command>,
}

impl Commands {
    /// Opens what the settings name. What cannot be opened is told, and missed.
    pub fn open(settings: &Workers, logs: &Logs) -> Self {
        let watch = |paths: &[PathBuf], is_tree, command| {
            let one = move |path: &PathBuf| Watched::new(path, is_tree, command);
            paths.iter().map(one).collect::<Vec<_>>()
        };
        let reload = Command::AskMaster(ready::RELOAD);
        let watched = [
            watch(&settings.touch_reload, false, reload),
            watch(&settings.touch_chain_reload, false, Command::ChainReload),
            watch(&settings.touch_workers_reload, false, Command::ReloadWorkers),
            watch(&settings.fs_reload, true, reload),
            watch(&logs.touch_reopen, false, Command::AskMaster(ready::REOPEN)),
            watch(&logs.touch_rotate, false, Command::RotateLog),
        ];
        let mut commands = Self {
            pipe_paths: settings.master_fifo.clone(),
            watched: watched.into_iter().flatten().collect(),
            ..Self::default()
        };
        commands.open_pipe(0);
        commands
    }

    /// Takes no more commands; the named pipe goes.
    pub fn close(&mut self) {
        *self = Self::default();
    }

    /// Whether files have to be looked at now and then.
    pub fn are_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Becomes readable when a command has come.
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(|pipe| pipe.descriptor.as_fd())
    }

    /// The next command, if there is one.
    pub fn next(&mut self) -> Option<Command> {
        self.look();
        self.read();
        if self.pending.is_empty() { None } else { Some(self.pending.remove(0)) }
    }

    fn look(&mut self) {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now - looked < LOOK_INTERVAL) {
            return;
        }
        self.looked = Some(now);
        for watched in &mut self.watched {
            if watched.has_changed() {
                log::line(Level::Notice, format_args!("\"{}\" has changed", watched.path.display()));
                self.pending.push(watched.command);
            }
        }
        // Two files that change together, or one that changes again, are one wish.
        self.pending.dedup();
    }

    fn read(&mut self) {
        let mut letters = [0; 64];
        let Some(pipe) = &self.pipe else { return };
        let Ok(length) = rustix::io::read(&pipe.descriptor, &mut letters) else { return };
        for letter in letters.iter().take(length) {
            self.take(*letter);
        }
    }

    /// The letters are uWSGI's.
    fn take(&mut self, letter: u8) {
        let command = match letter {
            b'r' => Command::AskMaster(ready::RELOAD),
            b'q' => Command::AskMaster(ready::STOP),
            b'Q' => Command::AskMaster(ready::STOP_AT_ONCE),
            b'l' => Command::AskMaster(ready::REOPEN),
            b'c' => Command::ChainReload,
            b'w' => Command::ReloadWorkers,
            b'W' => Command::KillWorkers,
            b'+' => Command::ChangeCount(1),
            b'-' => Command::ChangeCount(-1),
            b'C' => Command::GoCheap,
            b'p' => Command::Pause,
            b's' => Command::LogStats,
            b'L' => Command::RotateLog,
            // uWSGI kills and reloads; here nothing is gained by losing requests.
            b'R' => Command::AskMaster(ready::RELOAD),
            b'0'..=b'9' => return self.open_pipe(usize::from(letter - b'0')),
            b'\n' | b' ' | b'\r' => return,
            _ => {
                let letter = char::from(letter);
                return log::line(Level::Warning, format_args!("master-fifo: command '{letter}' is not supported"));
            }
        };
        self.pending.push(command);
    }

    fn open_pipe(&mut self, slot: usize) {
        let Some(path) = self.pipe_paths.get(slot) else { return };
        match Pipe::make(path) {
            Ok(pipe) => self.pipe = Some(pipe),
            Err(error) => {
                log::line(Level::Error, format_args!("master-fifo \"{}\" cannot be made: {error}", path.display()));
            }
        }
    }
}

/// A named pipe of ours; the name goes with it.
#[derive(Debug)]
struct Pipe {
    path: PathBuf,
    descriptor: OwnedFd,
    /// Whose it is: a worker, which is a copy of the zygote, leaves the name alone.
    owner: u32,
}

impl Pipe {
    fn make(path: &Path) -> std::io::Result<Self> {
        // Only what is a pipe is taken away: the name may be a slip.
        if let Ok(old) = rustix::fs::lstat(path)
            && FileType::from_raw_mode(old.st_mode) == FileType::Fifo
        {
            std::fs::remove_file(path)?;
        }
        rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR)?;
        // For writing too: so it does not end with whoever has written to it.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: std::path::absolute(path)?, descriptor, owner: std::process::id() })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let ours = rustix::fs::fstat(&self.descriptor).map(|ours| (ours.st_dev, ours.st_ino));
        let named = rustix::fs::lstat(&self.path).map(|named| (named.st_dev, named.st_ino));
        // A successor may have put its own in this place.
        if self.owner == std::process::id() && ours.is_ok() && ours == named {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file, or a folder with what lies in it, whose change is a command.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    is_tree: bool,
    command: Command,
    seen: Vec<Stamp>,
}

/// What a change changes: times of content and of properties in nanoseconds, and which file it is.
type Stamp = (i128, i128, u64);

impl Watched {
    fn new(path: &Path, is_tree: bool, command: Command) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let seen = stamps(&path, is_tree);
        Self { path, is_tree, command, seen }
    }

    fn has_changed(&mut self) -> bool {
        let found = stamps(&self.path, self.is_tree);
        if found == self.seen {
            return false;
        }
        // A file that is being replaced is missing for a moment; its return is the change.
        let has_gone = found.is_empty();
        self.seen = found;
        !has_gone
    }
}

fn stamps(path: &Path, is_tree: bool) -> Vec<Stamp> {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let of = |found: Metadata| {
        (nanoseconds(found.mtime(), found.mtime_nsec()), nanoseconds(found.ctime(), found.ctime_nsec()), found.ino())
    };
    let Ok(found) = std::fs::metadata(path) else { return Vec::new() };
    let is_folder = found.is_dir();
    // Of a touched file the time of its content alone counts, as in uWSGI: a change of rights is none.
    let own = of(found);
    let mut all = vec![if is_tree { own } else { (own.0, 0, own.2) }];
    if is_tree && is_folder {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().take(ENTRIES_MAX);
        let mut inside: Vec<Stamp> = entries.filter_map(|entry| entry.metadata().ok()).map(of).collect();
        inside.sort_unstable();
        all.append(&mut inside);
    }
    all
}

/// How often files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 4096;
