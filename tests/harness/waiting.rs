//! Waits for something to become true, with a limit, so that no test hangs and none guesses how long a thing takes.

use std::thread;
use std::time::{Duration, Instant};

/// How long any single wait may take before the test fails. Generous: the machine may be busy with other tests.
pub const LIMIT: Duration = Duration::from_secs(30);

const STEP: Duration = Duration::from_millis(10);

/// Waits until `is_true`, and fails the test with `what` when that takes longer than [`LIMIT`].
#[track_caller]
pub fn wait_until(what: &str, is_true: impl FnMut() -> bool) {
    assert!(wait_until_within(LIMIT, is_true), "waited {LIMIT:?} in vain until {what}");
}

/// Waits until `is_true`, at most `limit`; says whether it came true.
pub fn wait_until_within(limit: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if is_true() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(STEP);
    }
}
