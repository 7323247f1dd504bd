//! What the edge knows of a pool's workers: who they are, and how the last ones ended.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use daemun_channel::Layout;

/// The workers of one pool, by their index.
#[derive(Debug)]
pub struct Workers {
    name: String,
    threads: u16,
    by_index: Mutex<Vec<WorkerState>>,
}

#[derive(Clone, Debug, Default)]
struct WorkerState {
    living: Option<u32>,
    /// What it is called.
    number: u16,
    last_death: Option<Death>,
}

#[derive(Clone, Copy, Debug)]
struct Death {
    pid: u32,
    cause: Cause,
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    /// As waitpid() gave it.
    Status(i32),
    /// The same, of a worker that ran a request too long.
    Harakiri(i32),
    /// Nobody is left who could tell.
    Zygote,
}

impl Workers {
    /// No worker is known yet.
    #[must_use]
    pub fn new(name: &str, layout: &Layout) -> Self {
        let by_index = Mutex::new(vec![WorkerState::default(); usize::from(layout.processes)]);
        Self { name: name.to_owned(), threads: layout.threads.max(1), by_index }
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

    /// A worker was forked.
    pub fn born(&self, worker: u16, number: u16, pid: u32) {
        if let Some(state) = self.lock().get_mut(usize::from(worker)) {
            state.living = Some(pid);
            state.number = number;
        }
    }

    /// The process id of a living worker.
    #[must_use]
    pub fn pid_of(&self, worker: u16) -> Option<u32> {
        self.lock().get(usize::from(worker)).and_then(|state| state.living)
    }

    /// A worker has ended; `wait_status` is as waitpid() gave it.
    pub fn died(&self, worker: u16, pid: u32, wait_status: i32, harakiri: bool) {
        if let Some(state) = self.lock().get_mut(usize::from(worker)) {
            state.living = None;
            let cause = if harakiri { Cause::Harakiri(wait_status) } else { Cause::Status(wait_status) };
            state.last_death = Some(Death { pid, cause });
        }
    }

    /// Those of these workers that lived have died with the process that had forked them.
    pub fn all_died_with_zygote(&self, workers: Range<u16>) {
        let indices = usize::from(workers.start)..usize::from(workers.end);
        for state in self.lock().get_mut(indices).into_iter().flatten() {
            if let Some(pid) = state.living.take() {
                state.last_death = Some(Death { pid, cause: Cause::Zygote });
            }
        }
    }

    /// Whether any worker lives.
    #[must_use]
    pub fn is_any_living(&self) -> bool {
        self.lock().iter().any(|state| state.living.is_some())
    }

    /// What the log says of the worker that was lost on `seat`.
    #[must_use]
    pub fn describe_death(&self, seat: u16) -> String {
        let worker = self.worker_of(seat);
        let pool = &self.name;
        let state = self.lock().get(usize::from(worker)).cloned().unwrap_or_default();
        let (death, number) = (state.last_death, state.number);
        let Some(death) = death else { return format!("worker {number} of \"{pool}\" is gone") };
        let how = match death.cause {
            Cause::Status(status) => describe_status(status),
            Cause::Harakiri(status) => format!("{}, harakiri: the request ran too long", describe_status(status)),
            Cause::Zygote => "died with the application's first process".to_owned(),
        };
        format!("worker {number} of \"{pool}\" (pid {}) {how}", death.pid)
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
        let layout = Layout { sides: 1, processes: 2, threads: 3, edge_threads: 1, slots_per_thread: 1, chunks: 1 };
        let workers = Workers::new("site", &layout);
        workers.born(1, 2, 77);
        workers.died(1, 77, 9, true);
        assert_eq!(workers.worker_of(5), 1);
        let text = workers.describe_death(4);
        assert_eq!(
            text,
            "worker 2 of \"site\" (pid 77) was killed by signal 9 (SIGKILL), harakiri: the request ran too long"
        );
        workers.born(0, 1, 5);
        workers.died(0, 5, 3 << 8, false);
        assert_eq!(workers.describe_death(0), "worker 1 of \"site\" (pid 5) exited with status 3");
        workers.born(0, 1, 6);
        assert_eq!((workers.pid_of(0), workers.pid_of(1)), (Some(6), None));
        workers.all_died_with_zygote(0..2);
        assert_eq!(workers.describe_death(0), "worker 1 of \"site\" (pid 6) died with the application's first process");
        assert!(workers.describe_death(3).contains("(pid 77)"), "it was dead already");
    }
}
