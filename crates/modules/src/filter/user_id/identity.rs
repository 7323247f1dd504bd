//! Who a browser is: sixteen octets, in base64 in its cookie.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use daemun_http::credentials::decode_base64;
use daemun_server::log::Level;
use daemun_server::{Request, clock};
use rustix::time::{ClockId, clock_gettime};

/// Four numbers: who made it, when, by which process, the how many-th.
pub(super) type Identifier = [u8; 16];

/// Digits of base64 that hold an identifier, without the padding, in whose place a mark may stand.
pub(super) const IDENTIFIER_DIGITS: usize = 22;

/// What one request knows of its browser.
#[derive(Default)]
pub(super) struct Identity {
    /// The cookie's value as it came.
    pub(super) cookie: Vec<u8>,
    /// What it says.
    pub(super) got: Option<Identifier>,
    /// What is sent, once that is decided.
    pub(super) set: Cell<Option<Identifier>>,
    /// Whether the browser gets another than the one it has.
    pub(super) is_reset: Cell<bool>,
}

impl Identity {
    /// By the cookie called `name`; one that is none of ours is logged.
    pub(super) fn of(request: &Request, name: &[u8]) -> Self {
        let Some(cookie) = request.cookie(name) else { return Self::default() };
        let refuse = |what: &str| {
            let shown = String::from_utf8_lossy(cookie);
            request.log(Level::Error, format_args!("client sent {what} userid cookie \"{shown}\""));
        };
        let Some(digits) = cookie.get(..IDENTIFIER_DIGITS) else {
            refuse("too short");
            return Self::default();
        };
        let decoded = decode_base64(digits).and_then(|octets| Identifier::try_from(octets).ok());
        if decoded.is_none() {
            refuse("invalid");
        }
        // The last number is never zero.
        let got = decoded.filter(|identifier| identifier[12..] != [0; 4]);
        Self { cookie: cookie.to_vec(), got, ..Self::default() }
    }
}

/// An identifier that no other request gets.
pub(super) fn new_identifier(request: &Request, service: Option<u32>, is_version_1: bool) -> Identifier {
    static NEXT_VERSION_1: AtomicU32 = AtomicU32::new(1);
    static NEXT_VERSION_2: AtomicU32 = AtomicU32::new(FIRST_VERSION_2);
    let now = clock::unix_seconds() as u32;
    let words = if is_version_1 {
        let number = NEXT_VERSION_1.fetch_add(STEP, Ordering::Relaxed);
        [service.unwrap_or(0), now, process_number(), number].map(u32::to_ne_bytes)
    } else {
        let take = |number: u32| {
            Some(number.wrapping_add(STEP)).filter(|next| *next >= FIRST_VERSION_2).or(Some(FIRST_VERSION_2))
        };
        let number = NEXT_VERSION_2.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(FIRST_VERSION_2);
        let first = service.map_or_else(|| local_address(request), u32::to_be_bytes);
        [first, now.to_be_bytes(), process_number().to_be_bytes(), number.to_be_bytes()]
    };
    let mut identifier = Identifier::default();
    for (place, word) in identifier.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word);
    }
    identifier
}

/// The first number of version 2, and the distance from one to the next: what nginx's other processes have is between.
const FIRST_VERSION_2: u32 = 0x0303_0302;
const STEP: u32 = 0x100;

/// The microsecond of the first identifier and the process, so that two processes rarely have the same.
fn process_number() -> u32 {
    static NUMBER: OnceLock<u32> = OnceLock::new();
    *NUMBER.get_or_init(|| {
        let microseconds = clock_gettime(ClockId::Realtime).tv_nsec / 1_000;
        (microseconds as u32 / 20) << 16 | std::process::id() & 0xffff
    })
}

/// The address that the client has connected to; of a long one the end, and zeros for a unix socket.
fn local_address(request: &Request) -> [u8; 4] {
    let text = std::str::from_utf8(request.client.local_address().as_bytes()).unwrap_or_default();
    match text.parse() {
        Ok(IpAddr::V4(address)) => address.octets(),
        Ok(IpAddr::V6(address)) => (address.to_bits() as u32).to_be_bytes(),
        Err(_) => [0; 4],
    }
}
