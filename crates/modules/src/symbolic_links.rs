//! `disable_symlinks`: files are opened step by step, so that no symbolic link is followed that should not be.
//!
//! Each step is taken from the folder that the one before has opened: nobody can put a link in its way meanwhile.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use daemun_server::Request;
use daemun_server::config::LinkMode;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Which links of a path may be followed.
#[derive(Clone, Copy)]
pub(crate) struct LinkRule {
    mode: LinkMode,
    /// Octets at the path's front that are not looked at.
    from: usize,
}

impl LinkRule {
    /// What the location says of links on the way to `path`; `None` where all may be followed.
    pub(crate) fn of(request: &Request, path: &CStr) -> Option<Self> {
        let setting = request.core().disable_symlinks().filter(|setting| setting.mode != LinkMode::Off)?;
        let path = path.to_bytes();
        let from = setting.from.as_ref().map(|from| from.value(request)).unwrap_or_default();
        let rest = path.strip_prefix(from.as_slice()).filter(|_| !from.is_empty());
        let from = match rest {
            Some([]) => return None,
            Some(rest) if rest.starts_with(b"/") || from.ends_with(b"/") => from.len(),
            _ => 0,
        };
        Some(Self { mode: setting.mode, from })
    }

    /// Opens `path`.
    ///
    /// # Errors
    /// `LOOP` at a link that may not be followed, else what the system says.
    pub(crate) fn open(self, path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let path = path.to_bytes();
        let (front, rest) = path.split_at_checked(self.from).unwrap_or((b"", path));
        let start: &[u8] = match front {
            [] if path.starts_with(b"/") => b"/",
            [] => b".",
            front => front,
        };
        let is_folder = path.ends_with(b"/");
        let mut folder =
            rustix::fs::openat(CWD, start, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut steps = rest.split(|octet| *octet == b'/').filter(|step| !step.is_empty()).peekable();
        while let Some(step) = steps.next() {
            if steps.peek().is_some() {
                folder = self.step(&folder, step, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
                continue;
            }
            let flags = if is_folder { flags | OFlags::DIRECTORY } else { flags };
            return self.step(&folder, step, flags, mode);
        }
        self.step(&folder, b".", flags, mode)
    }

    /// Opens `name` in `folder`.
    fn step(self, folder: &OwnedFd, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let opened = match rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW, mode) {
            // With O_PATH a link itself can be opened.
            Ok(opened) if flags.contains(OFlags::PATH) && is_link(&rustix::fs::fstat(&opened)?) => Err(Errno::LOOP),
            other => other,
        };
        let refusal = match opened {
            Err(error @ (Errno::LOOP | Errno::MLINK | Errno::NOTDIR)) if self.mode == LinkMode::IfNotOwner => error,
            other => return other,
        };
        let link = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !is_link(&link) {
            return Err(refusal);
        }
        let target = rustix::fs::openat(folder, name, flags, mode)?;
        if rustix::fs::fstat(&target)?.st_uid == link.st_uid { Ok(target) } else { Err(Errno::LOOP) }
    }
}

fn is_link(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_as_the_rule_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a path");
        std::fs::create_dir(root.join("real")).expect("made");
        std::fs::write(root.join("real/file"), "text").expect("written");
        symlink("real", root.join("folder")).expect("linked");
        symlink("file", root.join("real/link")).expect("linked");
        symlink("/proc/version", root.join("real/foreign")).expect("linked");
        let open = |mode, from: &str, name: &str| {
            let rule = LinkRule { mode, from: if from.is_empty() { 0 } else { root.join(from).as_os_str().len() } };
            let path = CString::new([root.as_os_str().as_bytes(), b"/", name.as_bytes()].concat()).expect("no NUL");
            rule.open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(drop)
        };
        for (mode, from, name, expected) in [
            (LinkMode::On, "", "real/file", Ok(())),
            (LinkMode::On, "", "real/./../real//file", Ok(())),
            (LinkMode::On, "", "real/link", Err(Errno::LOOP)),
            (LinkMode::On, "", "folder/file", Err(Errno::NOTDIR)), // As nginx says of a link in the way.
            (LinkMode::On, "folder", "folder/file", Ok(())),
            (LinkMode::On, "folder", "folder/link", Err(Errno::LOOP)),
            (LinkMode::On, "", "real/file/", Err(Errno::NOTDIR)),
            (LinkMode::On, "", "real/none", Err(Errno::NOENT)),
            (LinkMode::On, "", "real/", Ok(())),
            (LinkMode::IfNotOwner, "", "folder/link", Ok(())),
            (LinkMode::IfNotOwner, "", "real/file/none", Err(Errno::NOTDIR)),
        ] {
            assert_eq!(open(mode, from, name), expected, "{name} from {from:?}, {mode:?}");
        }
        let is_mine = rustix::process::geteuid().is_root();
        let expected = if is_mine { Ok(()) } else { Err(Errno::LOOP) };
        assert_eq!(open(LinkMode::IfNotOwner, "", "real/foreign"), expected, "the owner is root");
    }
}
