//! The offset of local time, which only the C library knows how to find.

/// Minutes that local time is ahead of UTC at `unix_seconds`, as `TZ` or /etc/localtime has it; 0 if neither can be read.
///
/// The C library reads the zone once per process. Costs well under a microsecond, daylight saving included.
#[must_use]
pub fn utc_offset_minutes(unix_seconds: i64) -> i32 {
    local(unix_seconds).map_or(0, |broken_down| i32::try_from(broken_down.tm_gmtoff / 60).unwrap_or(0))
}

/// The short name of local time at `unix_seconds`, as `CET`; empty where there is none.
#[must_use]
#[allow(unsafe_code)] // rustix has no time zones
pub fn zone_name(unix_seconds: i64) -> String {
    let Some(broken_down) = local(unix_seconds).filter(|broken_down| !broken_down.tm_zone.is_null()) else {
        return String::new();
    };
    // SAFETY: localtime_r has set it to a text of the C library's, which it keeps as long as the process lives.
    let name = unsafe { std::ffi::CStr::from_ptr(broken_down.tm_zone) };
    name.to_string_lossy().into_owned()
}

/// `None` for a year beyond what `tm` holds.
#[allow(unsafe_code)] // rustix has no time zones
fn local(unix_seconds: i64) -> Option<libc::tm> {
    let seconds: libc::time_t = unix_seconds;
    // SAFETY: `tm` is plain old data, for which zeros are a value.
    let mut broken_down: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to live locals; localtime_r keeps neither.
    let result = unsafe { libc::localtime_r(&raw const seconds, &raw mut broken_down) };
    (!result.is_null()).then_some(broken_down)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_one_that_exists() {
        assert!((-12 * 60..=14 * 60).contains(&utc_offset_minutes(1_700_000_000)));
        assert_eq!(utc_offset_minutes(i64::MAX), 0);
        assert!(!zone_name(1_700_000_000).is_empty());
        assert_eq!(zone_name(i64::MAX), "");
    }
}
