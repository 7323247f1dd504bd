//! How long to wait before a child that died is started again.

use std::collections::HashMap;
use std::time::Duration;

/// The waits between restarts: none for the first death, then `first`, doubled each time up to `longest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackOff {
    /// The wait after the second death in a row.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// A child that has lived this long starts the row anew.
    pub healthy_after: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            healthy_after: Duration::from_secs(10),
        }
    }
}

impl BackOff {
    /// The wait after `deaths` deaths in a row, the present one included.
    #[must_use]
    pub fn wait(&self, deaths: u32) -> Duration {
        match deaths.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => self.first.saturating_mul(1 << doublings.min(DOUBLINGS_MAX)).min(self.longest),
        }
    }
}

/// Deaths in a row, by child name.
#[derive(Debug, Default)]
pub(crate) struct DeathRow {
    deaths: HashMap<String, u32>,
}

impl DeathRow {
    /// Counts a death and returns how long to wait.
    pub(crate) fn count(&mut self, name: &str, lived: Duration, back_off: &BackOff) -> Duration {
        let deaths = self.deaths.entry(name.to_owned()).or_default();
        if lived >= back_off.healthy_after {
            *deaths = 0;
        }
        *deaths = deaths.saturating_add(1);
        back_off.wait(*deaths)
    }
}

/// Keeps the factor within `u32`; every sensible `longest` is reached before.
const DOUBLINGS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let back_off = BackOff::default();
        let waits: Vec<u128> = (1..=9).map(|deaths| back_off.wait(deaths).as_millis()).collect();
        assert_eq!(waits, [0, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(back_off.wait(u32::MAX), back_off.longest);
    }

    #[test]
    fn a_healthy_life_starts_the_row_anew() {
        let (back_off, mut row) = (BackOff::default(), DeathRow::default());
        for expected in [0, 500, 1000] {
            assert_eq!(row.count("edge", Duration::ZERO, &back_off).as_millis(), expected);
        }
        assert_eq!(row.count("app", Duration::ZERO, &back_off), Duration::ZERO, "each name has its own row");
        assert_eq!(row.count("edge", back_off.healthy_after, &back_off), Duration::ZERO);
    }
}
