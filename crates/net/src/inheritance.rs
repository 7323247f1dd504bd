//! Listening sockets handed from one master to the next in an upgrade, by nginx's protocol: their numbers in the environment.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::{Listener, ListenerSet};

/// The variable that holds the numbers, each followed by a semicolon; nginx's own, so that either may follow the other.
pub const INHERITANCE_VARIABLE: &str = "NGINX";

/// What the variable is to say for these sockets, and their numbers.
#[must_use]
pub fn bequest(listeners: &ListenerSet) -> (String, Vec<RawFd>) {
    let numbers: Vec<RawFd> = listeners.iter().map(AsRawFd::as_raw_fd).collect();
    (numbers.iter().map(|number| format!("{number};")).collect(), numbers)
}

/// Sockets that were inherited.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// Those that can be used.
    pub listeners: ListenerSet,
    /// Why others cannot, in words.
    pub refused: Vec<String>,
}

/// Takes over the sockets that the environment names, and takes the variable away; `None` where it names none.
///
/// To be called once, by the program's only thread, before anything else is opened.
#[must_use]
#[allow(unsafe_code)] // the environment, and numbers that become owners
pub fn inherit() -> Option<Inheritance> {
    let text = std::env::var_os(INHERITANCE_VARIABLE)?;
    // SAFETY: the process has one thread, by the contract above.
    unsafe { std::env::remove_var(INHERITANCE_VARIABLE) };
    let mut inheritance = Inheritance::default();
    let text = text.to_string_lossy();
    for word in text.split([';', ':']).filter(|word| !word.is_empty()) {
        let Some(number) = word.parse::<RawFd>().ok().filter(|number| *number >= FIRST_DESCRIPTOR) else {
            inheritance
                .refused
                .push(format!("invalid socket number \"{word}\" in {INHERITANCE_VARIABLE} environment variable"));
            continue;
        };
        // SAFETY: the number is looked at for the call alone; a wrong one is an error from the system.
        let is_open = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).is_ok();
        let is_new = inheritance.listeners.iter().all(|listener| listener.as_raw_fd() != number);
        if !(is_open && is_new) {
            inheritance.refused.push(format!("inherited socket #{number} is none"));
            continue;
        }
        // SAFETY: it is open, it was left to us by who started the program, and nothing of the program has opened anything yet.
        match Listener::adopt(unsafe { OwnedFd::from_raw_fd(number) }) {
            Ok(listener) => inheritance.listeners.push(listener),
            Err(error) => inheritance.refused.push(format!("inherited socket #{number} cannot be used ({error})")),
        }
    }
    // Somebody may have named the program's path so.
    Some(inheritance).filter(|inheritance| !inheritance.listeners.is_empty())
}

/// The first after the standard ones.
const FIRST_DESCRIPTOR: RawFd = 3;
