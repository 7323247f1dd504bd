//! Trees of files: copied and removed folder by folder, with a turn for others in between.

use std::fs::{self, DirBuilder, DirEntry, File, OpenOptions};
use std::future::poll_fn;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::task::Poll;

use daemun_server::Request;
use daemun_server::log::Level;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::draft::{Draft, times};
use crate::open_file::Reason;

/// Removes the folder `top` and all that is in it; links are removed, not followed. What cannot be removed is logged, and
/// stays with the folders above it.
pub(super) async fn remove(request: &Request, top: &Path) -> io::Result<()> {
    let folders = walk(top, |entry| {
        if !entry.file_type()?.is_dir() {
            log_failure(request, "unlink()", &entry.path(), fs::remove_file(entry.path()));
        }
        Ok(())
    })
    .await?;
    // A folder stands behind the one that it is in.
    for folder in folders.iter().skip(1).rev() {
        log_failure(request, "rmdir()", folder, fs::remove_dir(folder));
        turn().await;
    }
    fs::remove_dir(top)
}

/// Copies all that is in the folder `from` to the folder `to`, permissions and times of last change with it; what is neither file
/// nor folder is passed over, and so is a link to a folder, which could lead round in a circle. What cannot be copied is logged.
pub(super) async fn copy(request: &Request, from: &Path, to: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    let folders = walk(from, |entry| {
        // A link to a file is that file, as whoever asks for it sees it.
        if fs::metadata(entry.path()).is_ok_and(|facts| facts.is_file()) {
            files.push(entry.path());
        }
        Ok(())
    })
    .await?;
    let place = |path: &Path| to.join(path.strip_prefix(from).unwrap_or(path));
    for folder in folders.iter().skip(1) {
        let mode = fs::metadata(folder).map_or(0o700, |facts| facts.mode() & 0o777 | 0o700);
        let target = place(folder);
        log_failure(request, "mkdir()", &target, DirBuilder::new().mode(mode).create(&target));
        turn().await;
    }
    for file in &files {
        log_failure(request, "copying", file, copy_file(file, &place(file)).await);
    }
    for folder in folders.iter().rev() {
        let set = fs::metadata(folder).and_then(|facts| File::open(place(folder))?.set_times(times(facts.mtime())));
        log_failure(request, "utimes()", &place(folder), set);
    }
    Ok(())
}

/// Copies one file; the copy appears under its name when it is whole.
pub(super) async fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let without_waiting = OFlags::NONBLOCK.bits().cast_signed();
    let source = OpenOptions::new().read(true).custom_flags(without_waiting).open(from)?;
    let facts = source.metadata()?;
    if !facts.is_file() {
        return Err(Errno::INVAL.into());
    }
    let mut draft = Draft::create(to, None)?;
    copy_octets(&source, draft.file()).await?;
    draft.publish(to, Some(facts.mode() & 0o777), Some(facts.mtime()))
}

/// Appends all of `source`, from its first octet, to `target`.
pub(super) async fn copy_octets(source: &impl AsFd, target: &mut File) -> io::Result<()> {
    let mut source = File::from(source.as_fd().try_clone_to_owned()?);
    io::Seek::rewind(&mut source)?;
    while io::copy(&mut Read::by_ref(&mut source).take(COPIED_BYTES_PER_TURN), target)? > 0 {
        turn().await;
    }
    Ok(())
}

/// Calls `see` for everything below `top`, links themselves. The folders, each behind the one that it is in.
async fn walk(top: &Path, mut see: impl FnMut(&DirEntry) -> io::Result<()>) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![top.to_owned()];
    let mut next = 0;
    let mut seen = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            see(&entry)?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
            seen += 1;
            if seen > ENTRIES_MAX {
                return Err(Errno::TOOBIG.into());
            }
            if seen % ENTRIES_PER_TURN == 0 {
                turn().await;
            }
        }
    }
    Ok(folders)
}

fn log_failure(request: &Request, call: &str, path: &Path, result: io::Result<()>) {
    if let Err(error) = result {
        let reason = Reason(Errno::from_io_error(&error).unwrap_or(Errno::IO));
        request.log(Level::Error, format_args!("{call} \"{}\" failed ({reason})", path.display()));
    }
}

/// Others have their turn.
async fn turn() {
    let mut is_over = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Octets of a file that are copied before others have their turn.
const COPIED_BYTES_PER_TURN: u64 = 1024 * 1024;

/// Entries of a tree that are looked at before others have their turn.
const ENTRIES_PER_TURN: u64 = 64;

/// Entries of a tree that one request may copy or remove: the names of its folders are held in memory.
const ENTRIES_MAX: u64 = 1_000_000;
