//! The system's user and group files, as the C library reads them: with NSS, which only it speaks.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};

use crate::IdentityError;

/// A user's entry.
pub(crate) struct Passwd {
    pub(crate) name: CString,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Passwd {
    /// The entry of a user by name, else by number.
    pub(crate) fn find(user: &str) -> Result<Option<Self>, IdentityError> {
        let name = c_name(user)?;
        if let Some(entry) = Self::by(|entry, buffer, found| {
            // SAFETY: all pointers are valid for the call, and the length is the buffer's.
            unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), found) }
        }) {
            return Ok(Some(entry));
        }
        let Ok(number) = user.parse::<u32>() else {
            return Ok(None);
        };
        Ok(Self::by(|entry, buffer, found| {
            // SAFETY: as above.
            unsafe { libc::getpwuid_r(number, entry, buffer.as_mut_ptr(), buffer.len(), found) }
        }))
    }

    fn by(
        call: impl Fn(*mut libc::passwd, &mut [libc::c_char], *mut *mut libc::passwd) -> libc::c_int,
    ) -> Option<Self> {
        let mut buffer = vec![0; ENTRY_BYTES];
        loop {
            // SAFETY: `passwd` is plain old data, for which zeros are a value.
            let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
            let mut found = std::ptr::null_mut();
            let error = call(&raw mut entry, &mut buffer, &raw mut found);
            if error == libc::ERANGE && buffer.len() < ENTRY_BYTES_MAX {
                buffer.resize(buffer.len() * 2, 0);
                continue;
            }
            if error != 0 || found.is_null() {
                return None;
            }
            // SAFETY: the call succeeded, so the name points to a string in `buffer`.
            let name = unsafe { CStr::from_ptr(entry.pw_name) }.to_owned();
            return Some(Self { name, user: entry.pw_uid, group: entry.pw_gid });
        }
    }
}

/// A group's id by name, else by number.
pub(crate) fn group_id(group: &str) -> Result<u32, IdentityError> {
    let name = c_name(group)?;
    let mut buffer = vec![0; ENTRY_BYTES];
    loop {
        // SAFETY: `group` is plain old data, for which zeros are a value.
        let mut entry: libc::group = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call, and the length is the buffer's.
        let error = unsafe {
            libc::getgrnam_r(name.as_ptr(), &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found)
        };
        if error == libc::ERANGE && buffer.len() < ENTRY_BYTES_MAX {
            buffer.resize(buffer.len() * 2, 0);
            continue;
        }
        if error == 0 && !found.is_null() {
            return Ok(entry.gr_gid);
        }
        return group.parse().map_err(|_| IdentityError::NoGroup(group.to_owned()));
    }
}

/// Supplementary groups of a user, `group` included; that one alone if the system cannot tell.
pub(crate) fn groups_of(name: &CStr, group: u32) -> Vec<u32> {
    let mut groups = vec![0; GROUPS_MAX];
    let mut count = GROUPS_MAX as libc::c_int;
    // SAFETY: the name is a C string, and `groups` has room for `count` entries.
    let result = unsafe { libc::getgrouplist(name.as_ptr(), group, groups.as_mut_ptr(), &raw mut count) };
    match usize::try_from(count) {
        Ok(count) if result >= 0 => {
            groups.truncate(count);
            groups
        }
        _ => vec![group],
    }
}

fn c_name(name: &str) -> Result<CString, IdentityError> {
    CString::new(name).map_err(|_| IdentityError::NotAName(name.escape_default().to_string()))
}

/// Bytes for the strings of one password or group entry, and the limit they may grow to: groups list all their members.
const ENTRY_BYTES: usize = 4 << 10;
const ENTRY_BYTES_MAX: usize = 4 << 20;

/// NGROUPS_MAX of Linux.
const GROUPS_MAX: usize = 65536;
