//! What the edge's user must own: folders and log files, made over to it while the master is still root.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use daemun_master::Identity;
use daemun_server::log::{ErrorLog, Level, LogFile};

/// Makes the folders of bodies on disk. Without one the server still serves all but large bodies, so it is warned of only.
pub fn make_body_folders(folders: &BTreeSet<&Path>, owner: Option<&Identity>, log: &ErrorLog) {
    for folder in folders {
        if let Err(error) = make_folder(folder, owner) {
            log.write(
                Level::Warn,
                format_args!("mkdir() \"{}\" failed ({error}): large bodies will be refused", folder.display()),
            );
        }
    }
}

fn make_folder(folder: &Path, owner: Option<&Identity>) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    let metadata = fs::symlink_metadata(folder)?;
    match owner {
        // A folder that others may use too is somebody else's, such as /tmp.
        Some(owner) if metadata.is_dir() && metadata.permissions().mode() & OTHERS == 0 => {
            give(folder, &metadata, owner)
        }
        _ => Ok(()),
    }
}

/// Opens the logs anew, as root, and makes them over to the edge, which is told next and could not make them itself.
pub fn reopen_logs(logs: &[LogFile], owner: Option<&Identity>, log: &ErrorLog) {
    for file in logs {
        let Some(path) = file.path() else { continue };
        tell(file.reopen().and_then(|()| give_file(path, owner)), path, log);
    }
}

/// Makes the log file of a pool where it has been moved away, for the pool's processes, which are told next.
pub fn renew_log(path: &Path, owner: Option<&Identity>, log: &ErrorLog) {
    tell(LogFile::open(path).and_then(|_| give_file(path, owner)), path, log);
}

fn tell(result: io::Result<()>, path: &Path, log: &ErrorLog) {
    if let Err(error) = result {
        log.write(Level::Emerg, format_args!("open() \"{}\" failed ({error})", path.display()));
    }
}

/// A log file only: whoever may write to its folder may have put a link there, to make root give away what is not theirs.
fn give_file(path: &Path, owner: Option<&Identity>) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    match owner {
        Some(owner) if metadata.is_file() && metadata.nlink() == 1 => give(path, &metadata, owner),
        _ => Ok(()),
    }
}

fn give(path: &Path, metadata: &Metadata, owner: &Identity) -> io::Result<()> {
    if metadata.uid() == owner.user { Ok(()) } else { lchown(path, Some(owner.user), None) }
}

const FOLDER_MODE: u32 = 0o700;

/// What group and others may do.
const OTHERS: u32 = 0o077;
