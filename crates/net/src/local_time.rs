//! The offset of local time, which only the C library knows how to find.

/// Minutes that local time is ahead of UTC at `unix_seconds`, as `TZ` or /etc/localtime has it; 0 if neither can be read.
///
/// The C library reads the zone once per process. Costs well under a microsecond, daylight saving included.
#[must_use]
#[allow(unsafe_code)] // rustix has no time zones
pub fn utc_offset_minutes(unix_seconds: i64) -> i32 {
    let seconds: libc::time_t = unix_seconds;
    // SAFETY: `tm` is plain old data, for which zeros are a value.
    let mut broken_down: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to live locals; localtime_r keeps neither.
    let result = unsafe { libc::localtime_r(&raw const seconds, &raw mut broken_down) };
    if result.is_null() {
        return 0; // A year beyond what `tm` holds.
    }
    i32::try_from(broken_down.tm_gmtoff / 60).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_one_that_exists() {
        assert!((-12 * 60..=14 * 60).contains(&utc_offset_minutes(1_700_000_000)));
        assert_eq!(utc_offset_minutes(i64::MAX), 0);
    }
}
