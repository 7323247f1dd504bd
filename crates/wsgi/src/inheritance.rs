//! What an application has left open when it was loaded, and every worker forked from it would share or miss.

use std::collections::BTreeSet;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

use pyo3::prelude::*;
use rustix::fs::OFlags;

use crate::log::{self, Level};

/// The descriptors that are open, by number.
pub struct OpenDescriptors(BTreeSet<RawFd>);

impl OpenDescriptors {
    /// Those of this moment.
    pub fn now() -> Self {
        let entries = std::fs::read_dir(DESCRIPTORS).into_iter().flatten().flatten();
        let numbers: Vec<RawFd> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        // One of them was the list's own.
        let is_open = |number: &RawFd| Path::new(DESCRIPTORS).join(number.to_string()).symlink_metadata().is_ok();
        Self(numbers.into_iter().filter(is_open).collect())
    }

    /// Names everything that was opened since and is trouble in several processes.
    pub fn warn_of_later(&self, py: Python<'_>) {
        let later = Self::now();
        let described = later.0.difference(&self.0).filter_map(|number| describe(*number));
        let shared: Vec<String> = described.take(SHOWN_MAX).collect();
        if !shared.is_empty() {
            let shared = shared.join(", ");
            warn(&format!(
                "opened while loading and shared by all workers: {shared}; close it there, or use lazy-apps"
            ));
        }
        let threads = threads(py).unwrap_or_default();
        if !threads.is_empty() {
            let threads = threads.join(", ");
            warn(&format!(
                "threads started while loading ({threads}) do not exist in the workers; lazy-apps loads there"
            ));
        }
    }
}

fn warn(text: &str) {
    log::line(Level::Warning, text);
}

/// What the descriptor is, if two processes had better not have it: a connection, an event queue, a file to be written.
/// Logs are written at their end, which is safe; a listening socket is meant to be shared.
fn describe(number: RawFd) -> Option<String> {
    let target = std::fs::read_link(Path::new(DESCRIPTORS).join(number.to_string())).ok()?;
    let name = target.to_str()?;
    // SAFETY: it was open a moment ago; nobody else closes descriptors here, and a wrong number is an error and no more.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    if name.starts_with("socket:") {
        return match rustix::net::getpeername(descriptor) {
            Ok(Some(peer)) => Some(format!("a connection to {} (descriptor {number})", shown(&peer))),
            _ if rustix::net::sockopt::socket_acceptconn(descriptor) == Ok(true) => None,
            _ => Some(format!("a socket (descriptor {number})")),
        };
    }
    if name.starts_with("anon_inode:[eventpoll]") {
        return Some(format!("an event loop's queue (descriptor {number})"));
    }
    let flags = rustix::fs::fcntl_getfl(descriptor).ok()?;
    let is_written = flags.intersects(OFlags::WRONLY | OFlags::RDWR) && !flags.contains(OFlags::APPEND);
    let is_file = target.is_absolute() && std::fs::metadata(&target).is_ok_and(|facts| facts.is_file());
    (is_written && is_file).then(|| format!("the file {} (descriptor {number})", target.display()))
}

fn shown(peer: &rustix::net::SocketAddrAny) -> String {
    if let Ok(address) = std::net::SocketAddr::try_from(peer.clone()) {
        return address.to_string();
    }
    let unix = rustix::net::SocketAddrUnix::try_from(peer.clone()).ok();
    let path = unix.as_ref().and_then(|unix| unix.path()).map(|path| path.to_string_lossy().into_owned());
    path.unwrap_or_else(|| "another process".to_owned())
}

/// Names of the threads that run beside the main one.
fn threads(py: Python<'_>) -> PyResult<Vec<String>> {
    let threads = py.import("threading")?.getattr("enumerate")?.call0()?;
    threads.try_iter()?.skip(1).map(|thread| thread?.getattr("name")?.extract()).collect()
}

const DESCRIPTORS: &str = "/proc/self/fd";

/// Most descriptors that are named.
const SHOWN_MAX: usize = 16;
