//! What the edge knows of a pool's workers: who they are, and how the last ones ended.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The workers of one pool, by their index.
#[derive(Debug)]
pub struct Workers {
    name: String,
    threads: u16,
    by_index: Mutex<Vec<WorkerState>>,
}

#[derive(Clone, Debug, Default)]
struct WorkerState {
    last_death: Option<Death>,
}

#[derive(Clone, Copy, Debug)]
struct Death {
    pid: u32,
    wait_status: i32,
    harakiri: bool,
}

impl Workers {
    /// No worker is known yet.
    #[must_use]
    pub fn new(name: &str, processes: u16, threads: u16) -> Self {
        let by_index = Mutex::new(vec![WorkerState::default(); usize::from(processes)]);
        Self { name: name.to_owned(), threads: threads.max(1), by_index }
    }

    /// The pool's name.
    #[must_use]
    pub fn pool_name(&self) -> &str {
        &self.name
    }

    /// The worker that owns a seat.
    #[must_use]
    pub fn worker_of(&self, seat: u16) -> u16 {
        seat / self.threads
    }

    /// A worker has ended; `wait_status` is as waitpid() gave it.
    pub fn died(&self, worker: u16, pid: u32, wait_status: i32, harakiri: bool) {
        if let Some(state) = self.lock().get_mut(usize::from(worker)) {
            state.last_death = Some(Death { pid, wait_status, harakiri });
        }
    }

    /// What the log says of the worker that was lost on `seat`.
    #[must_use]
    pub fn describe_death(&self, seat: u16) -> String {
        let worker = self.worker_of(seat);
        let pool = &self.name;
        let death = self.lock().get(usize::from(worker)).and_then(|state| state.last_death);
        let Some(death) = death else { return format!("worker {worker} of \"{pool}\" is gone") };
        let number = worker + 1;
        let how = describe_status(death.wait_status);
        let why = if death.harakiri { ", harakiri: the request ran too long" } else { "" };
        format!("worker {number} of \"{pool}\" (pid {}) {how}{why}", death.pid)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<WorkerState>> {
        self.by_index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait status in words.
fn describe_status(wait_status: i32) -> String {
    let signal = wait_status & 0x7f;
    if signal == 0 {
        return format!("exited with status {}", (wait_status >> 8) & 0xff);
    }
    let name = SIGNALS.iter().find(|(number, _)| *number == signal).map_or("", |(_, name)| name);
    format!("was killed by signal {signal}{name}")
}

const SIGNALS: [(i32, &str); 9] = [
    (1, " (SIGHUP)"),
    (2, " (SIGINT)"),
    (4, " (SIGILL)"),
    (6, " (SIGABRT)"),
    (7, " (SIGBUS)"),
    (8, " (SIGFPE)"),
    (9, " (SIGKILL)"),
    (11, " (SIGSEGV)"),
    (15, " (SIGTERM)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_names_pid_and_signal() {
        let workers = Workers::new("site", 2, 3);
        workers.died(1, 77, 9, true);
        assert_eq!(workers.worker_of(5), 1);
        let text = workers.describe_death(4);
        assert_eq!(
            text,
            "worker 2 of \"site\" (pid 77) was killed by signal 9 (SIGKILL), harakiri: the request ran too long"
        );
        workers.died(0, 5, 3 << 8, false);
        assert_eq!(workers.describe_death(0), "worker 1 of \"site\" (pid 5) exited with status 3");
    }
}
