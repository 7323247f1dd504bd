//! Tells the master that the pool can be used, or why it cannot.
//!
//! The master's pipe is named by `DAEMUN_READY`: a first octet `R` means ready, `E` is followed by the reason.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Says that the application is loaded.
pub fn announce() {
    write(b"R");
}

/// Says why it is not.
pub fn fail(reason: &str) {
    let mut text = vec![b'E'];
    text.extend_from_slice(reason.as_bytes());
    text.truncate(REASON_BYTES_MAX);
    write(&text);
}

fn write(octets: &[u8]) {
    let Some(number) = std::env::var(VARIABLE).ok().and_then(|text| text.parse::<RawFd>().ok()) else {
        return; // Run by somebody else than the master: nobody waits.
    };
    // Neither the application nor its children are to find it.
    // SAFETY: the zygote has one thread of its own at this time, before any worker is forked.
    unsafe { std::env::remove_var(VARIABLE) };
    // SAFETY: the master made this descriptor for this process, and the variable that named it is gone: it is taken once.
    let pipe = unsafe { OwnedFd::from_raw_fd(number) };
    // A master that is gone ends this process by itself.
    let _ = rustix::io::write(&pipe, octets);
}

const VARIABLE: &str = "DAEMUN_READY";

/// Fits an empty pipe, so that one call writes it all.
const REASON_BYTES_MAX: usize = 4096;
