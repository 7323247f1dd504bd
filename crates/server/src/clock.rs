//! The time of day and the monotonic time, cheap enough to ask for each request.

use std::cell::RefCell;

use daemun_http::date;
use rustix::time::{ClockId, clock_gettime};

/// Seconds since 1970, to the system's tick.
#[must_use]
pub fn unix_seconds() -> i64 {
    clock_gettime(ClockId::RealtimeCoarse).tv_sec
}

/// Milliseconds since 1970, to the system's tick.
#[must_use]
pub fn unix_ms() -> i64 {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// Milliseconds of the monotonic clock, to the system's tick.
#[must_use]
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    u64::try_from(now.tv_sec * 1_000 + now.tv_nsec / 1_000_000).unwrap_or(0)
}

/// Runs `write` with the present second's `Date` value.
pub fn with_http_date<R>(write: impl FnOnce(&[u8]) -> R) -> R {
    thread_local! {
        static DATE: RefCell<(i64, [u8; 29])> = const { RefCell::new((i64::MIN, [0; 29])) };
    }
    DATE.with_borrow_mut(|(second, text)| {
        let now = unix_seconds();
        if now != *second {
            *second = now;
            *text = date::format_http_date(now);
        }
        write(text)
    })
}

/// The present local time as messages of syslog begin.
#[must_use]
pub fn syslog_time() -> String {
    let now = unix_seconds();
    String::from_utf8_lossy(&date::format_syslog_time(now, utc_offset_minutes(now))).into_owned()
}

/// Short name of local time.
#[must_use]
pub fn zone_name(unix_seconds: i64) -> String {
    daemun_net::local_time::zone_name(unix_seconds)
}

/// Offset of local time from UTC in minutes, as `TZ` and /etc/localtime have it.
#[must_use]
pub fn utc_offset_minutes(unix_seconds: i64) -> i32 {
    daemun_net::local_time::utc_offset_minutes(unix_seconds)
}
