//! `dav_access`: who may read and write what is made.

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_server::config::HTTP_SERVER_LOCATION;

use super::Dav;

/// The directive's entry.
pub(super) const DAV_ACCESS: Directive<Dav> = Directive {
    name: "dav_access",
    contexts: HTTP_SERVER_LOCATION,
    arity: Arity::Between(1, 3),
    default: "user:rw",
    help: "user|group|all:r|rw ...: permissions of what is made; who may read a folder may enter it",
    set: |conf, arguments| {
        let mode = read(arguments)?;
        arguments.set_once(&mut conf.access, mode)
    },
};

/// Without a word about the user, he may read and write.
fn read(arguments: &Arguments<'_>) -> Result<u32, ArgumentError> {
    let (mut mode, mut of_user) = (0, 0o600);
    for position in 0..arguments.len() {
        let text = arguments.text(position)?;
        let invalid = || ArgumentError::new(Some(position), format!("invalid value \"{text}\""));
        let (whose, right) = text.split_once(':').ok_or_else(invalid)?;
        let shift = match whose {
            "user" => 6,
            "group" => 3,
            "all" => 0,
            _ => return Err(invalid()),
        };
        if whose == "user" {
            of_user = 0;
        }
        let right = match right {
            "rw" => 6,
            "r" => 4,
            _ => return Err(invalid()),
        };
        mode |= right << shift;
    }
    Ok(mode | of_user)
}

/// A folder's permissions by a file's: who may read it may enter it.
pub(super) fn folder_mode(file_mode: u32) -> u32 {
    file_mode | (file_mode & 0o444) >> 2
}
