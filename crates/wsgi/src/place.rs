//! One place in the pool: the worker that has it, or what the place waits for.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use daemun_channel::SeatCounters;
use rustix::process::Pid;

use crate::wear::Limits;

/// The state of a worker's place.
#[derive(Debug)]
pub enum Place {
    /// Free; a worker may be forked.
    Vacant,
    /// A worker has it.
    Taken(Running),
    /// The worker is dead and the edge has not yet taken back what it had.
    Unclean {
        /// The worker's process id.
        pid: u32,
    },
}

/// A living worker.
#[derive(Debug)]
pub struct Running {
    /// What it is called, from 0; the one that replaces it is called the same.
    pub number: u16,
    /// Its process.
    pub pid: Pid,
    /// Becomes readable when it dies.
    pub pidfd: OwnedFd,
    /// When it was forked.
    pub born: Instant,
    /// What the seats had counted when it was forked.
    pub before: SeatCounters,
    /// When it has had its time.
    pub limits: Limits,
    /// It has said that it could serve.
    pub is_up: bool,
    /// It waits for its release: nobody is to be served by it yet.
    pub is_held: bool,
    /// It is to be replaced, whatever it has served.
    pub is_unwanted: bool,
    /// Since when it has been told to finish.
    pub stopping: Option<Instant>,
    /// When it is to be killed for running a request too long.
    pub harakiri: Option<Instant>,
}

impl Running {
    /// The process id as messages have it.
    pub fn process_number(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }
}

impl Place {
    /// The worker of this place.
    pub fn running(&self) -> Option<&Running> {
        match self {
            Self::Taken(running) => Some(running),
            _ => None,
        }
    }

    /// As [`Place::running`].
    pub fn running_mut(&mut self) -> Option<&mut Running> {
        match self {
            Self::Taken(running) => Some(running),
            _ => None,
        }
    }

    /// The edge has taken back what the dead worker `dead` had.
    pub fn clean(&mut self, dead: u32) {
        if let Self::Unclean { pid } = self
            && *pid == dead
        {
            *self = Self::Vacant;
        }
    }
}

/// How long to wait before a worker that died is replaced: not at all for the first, then ever longer while
/// workers die young.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackOff {
    young_deaths: u32,
}

impl BackOff {
    /// Takes note of a death and says how long to wait.
    pub fn after(&mut self, lived: Duration) -> Duration {
        if lived >= GROWN_UP {
            *self = Self::default();
            return Duration::ZERO;
        }
        self.young_deaths += 1;
        match self.young_deaths {
            1 => Duration::ZERO,
            deaths => (FIRST_DELAY * 2_u32.saturating_pow(deaths - 2)).min(DELAY_MAX),
        }
    }
}

const GROWN_UP: Duration = Duration::from_secs(10);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(1);
