//! The user a child becomes.

use std::io;

use rustix::process::{Gid, Uid};

use crate::IdentityError;
use crate::accounts::{Passwd, group_id, groups_of};

/// A user with its group and supplementary groups, looked up before the fork: a child must not ask the name services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name, or the number it was given as.
    pub name: String,
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
    /// Supplementary group ids, the main one included.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Looks up a user, and a group if one is given; otherwise the group is the user's own from the password file.
    ///
    /// Both may be names or numbers, as in uWSGI; a number without an entry has no supplementary groups. For nginx's `user NAME;` the
    /// group is the one called like the user: pass the name twice.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], which names what was not found.
    pub fn look_up(user: &str, group: Option<&str>) -> Result<Self, IdentityError> {
        let entry = Passwd::find(user)?;
        let number = user.parse::<u32>().ok();
        let user_id = match (&entry, number) {
            (Some(entry), _) => entry.user,
            (None, Some(number)) => number,
            (None, None) => return Err(IdentityError::NoUser(user.to_owned())),
        };
        let group_id = match (group, &entry) {
            (Some(group), _) => group_id(group)?,
            (None, Some(entry)) => entry.group,
            (None, None) => return Err(IdentityError::NoUser(user.to_owned())),
        };
        let groups = entry.map_or_else(|| vec![group_id], |entry| groups_of(&entry.name, group_id));
        Ok(Self { name: user.to_owned(), user: user_id, group: group_id, groups })
    }

    /// Whether the calling process is this user and group already.
    #[must_use]
    pub fn is_current(&self) -> bool {
        rustix::process::geteuid().as_raw() == self.user && rustix::process::getegid().as_raw() == self.group
    }

    /// Whether this process may become another user at all.
    #[must_use]
    pub fn can_switch() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Makes the calling thread this user, for good; the process must have no other thread.
    ///
    /// Does nothing if it is this user already. Clears the parent-death signal, as the kernel does on every change of user.
    ///
    /// # Errors
    ///
    /// What the system says, mostly that only root may. The process must then end: groups may have been changed already.
    pub fn assume(&self) -> io::Result<()> {
        if self.is_current() && !Self::can_switch() {
            return Ok(());
        }
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.group));
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let root = Identity::look_up("root", None).expect("every system has root");
        assert_eq!((root.user, root.group), (0, 0));
        assert!(root.groups.contains(&0));
        let zero = Identity::look_up("0", Some("0")).expect("a number");
        assert_eq!((zero.user, zero.group), (0, 0));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Identity::look_up("nobody-here", None).expect_err("no such user");
        assert_eq!(error.to_string(), "getpwnam(\"nobody-here\") failed");
        let error = Identity::look_up("root", Some("no-group")).expect_err("no such group");
        assert_eq!(error.to_string(), "getgrnam(\"no-group\") failed");
        assert!(Identity::look_up("a\0b", None).is_err());
    }
}
