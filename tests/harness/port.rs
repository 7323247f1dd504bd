//! Loopback ports that no other test takes, also when tests run as separate processes.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::fs::{FlockOperation, flock};

use crate::Address;

/// Below the range from which the kernel picks ports for outgoing connections, so that no client takes one by chance.
const FIRST: u16 = 18_000;
const COUNT: u16 = 12_000;

/// A free TCP port of 127.0.0.1, reserved for as long as the value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: File,
}

impl Port {
    /// Reserves a port that nobody listens on.
    ///
    /// The reservation is a lock on a file, because a port that was bound and released again may be
    /// given to another test in the meantime.
    #[track_caller]
    pub fn reserve() -> Self {
        let folder = std::env::temp_dir().join("daemun-tests-ports");
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        // Whoever runs tests on this machine shares it; only its owner can say so.
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777));
        for _ in 0..COUNT {
            let number = next_candidate();
            let file = lock_file(&folder.join(number.to_string())).expect("a lock file can be had");
            let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if locked && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _reservation: file };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The address a client connects to.
    pub fn address(&self) -> Address {
        Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.number)))
    }
}

/// Opened for reading, which is enough for a lock and allowed on another user's file.
fn lock_file(path: &Path) -> io::Result<File> {
    let open = || File::open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    match File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(),
        other => other,
    }
}

/// Spreads the processes over the range, and the tests of one process one after another.
fn next_candidate() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
    FIRST + (start + step) % COUNT
}
