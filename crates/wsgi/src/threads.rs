//! The threads of a worker that take requests: a fixed number, or one and more by need.
//!
//! By need means: requests wait, every thread of this worker is busy, and yet the interpreter has nothing to do, since the threads wait
//! for a database or another server. Then more threads are started, up to the layout's number; one that has had nothing to do for a while ends.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use daemun_channel::handover::FailurePage;
use daemun_channel::{Seat, Worker};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::application::Applications;
use crate::environ::{Concurrency, EnvironBuilder};
use crate::respond::Responder;
use crate::traceback;
use crate::worker::serve;

/// What a thread needs to take requests.
pub struct Desk {
    /// Its number in the worker, from 0.
    pub thread: u16,
    /// Where requests come from.
    pub seat: Seat,
    /// What answers them.
    pub responder: Responder,
}

/// What desks are made of.
pub struct Desks {
    /// The process' hold on the hop.
    pub worker: Worker,
    /// What is served.
    pub applications: Arc<Applications>,
    /// `wsgi.errors`.
    pub errors: Py<PyAny>,
    /// What environ says of processes and threads.
    pub concurrency: Concurrency,
    /// What a client sees of an exception.
    pub failure_page: FailurePage,
}

/// The threads of this worker.
#[derive(Clone)]
pub struct Threads(Arc<Shared>);

struct Shared {
    desks: Mutex<Desks>,
    /// Threads that there may be, the first one included.
    most: u16,
    /// Desks made so far.
    made: AtomicU16,
    /// Desks whose thread has ended.
    spare: Mutex<Vec<Desk>>,
    /// Threads that take requests.
    running: AtomicU16,
    /// Those of them that run one.
    busy: AtomicU16,
    started: Mutex<Vec<Py<PyAny>>>,
    /// Who looks whether there should be more.
    watch: OnceLock<Thread>,
    is_ending: AtomicBool,
}

/// A thread that runs a request, until it is dropped.
pub struct Busy<'a>(&'a Shared);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Threads {
    /// At most so many; none is started yet.
    pub fn new(desks: Desks, most: u16) -> Self {
        Self(Arc::new(Shared {
            desks: Mutex::new(desks),
            most,
            made: AtomicU16::new(0),
            spare: Mutex::default(),
            running: AtomicU16::new(0),
            busy: AtomicU16::new(0),
            started: Mutex::default(),
            watch: OnceLock::new(),
            is_ending: AtomicBool::new(false),
        }))
    }

    /// The desk of the thread that calls this.
    ///
    /// # Errors
    ///
    /// An exception of Python's, or what the hop says.
    pub fn first_desk(&self, py: Python<'_>) -> PyResult<Desk> {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        self.new_desk(py)
    }

    /// Starts `count` threads that take requests to the end.
    ///
    /// # Errors
    ///
    /// An exception of Python's, or what the hop says.
    pub fn start(&self, py: Python<'_>, count: u16) -> PyResult<()> {
        (0..count).try_for_each(|_| self.start_one(py, None))
    }

    /// From now on, threads are started when they are needed and end when they are not.
    pub fn start_by_need(&self) -> JoinHandle<()> {
        let threads = self.clone();
        let watch = thread::spawn(move || {
            // Signals are for the threads that Python knows.
            crate::signals::block_all();
            threads.watch();
        });
        // Called once.
        let _ = self.0.watch.set(watch.thread().clone());
        watch
    }

    /// Notes that a request is run by the thread that calls this.
    #[inline]
    pub fn busy(&self) -> Busy<'_> {
        let busy = self.0.busy.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(watch) = self.0.watch.get()
            && busy >= self.0.running.load(Ordering::Relaxed)
            && busy < self.0.most
        {
            watch.unpark();
        }
        Busy(&self.0)
    }

    /// Has the watch end.
    pub fn end_watch(&self) {
        self.0.is_ending.store(true, Ordering::Relaxed);
        if let Some(watch) = self.0.watch.get() {
            watch.unpark();
        }
    }

    /// Waits for the end of all threads that were started.
    ///
    /// # Errors
    ///
    /// An exception of Python's.
    pub fn join(&self, py: Python<'_>) -> PyResult<()> {
        let started = std::mem::take(&mut *lock(&self.0.started));
        started.iter().try_for_each(|thread| thread.bind(py).call_method0("join").map(drop))
    }

    fn new_desk(&self, py: Python<'_>) -> PyResult<Desk> {
        let mut desks = lock(&self.0.desks);
        let environ = EnvironBuilder::new(py, desks.errors.bind(py), desks.concurrency)?;
        let thread = self.0.made.load(Ordering::Relaxed);
        let seat = desks.worker.seat(thread).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        self.0.made.fetch_add(1, Ordering::Relaxed);
        let responder = Responder::new(py, Arc::clone(&desks.applications), environ, desks.failure_page, thread)?;
        Ok(Desk { thread, seat, responder })
    }

    /// Starts a thread that Python knows: with a stack of the size it reckons with, and named in `threading`.
    fn start_one(&self, py: Python<'_>, patience: Option<Duration>) -> PyResult<()> {
        let spare = lock(&self.0.spare).pop();
        let desk = spare.map_or_else(|| self.new_desk(py), Ok)?;
        let number = self.0.running.fetch_add(1, Ordering::Relaxed);
        let desk = Mutex::new(Some(desk));
        let threads = self.clone();
        let body = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            let Some(mut desk) = lock(&desk).take() else { return };
            serve(arguments.py(), &mut desk, &threads, patience);
            threads.0.running.fetch_sub(1, Ordering::Relaxed);
            lock(&threads.0.spare).push(desk);
        };
        let options = PyDict::new(py);
        options.set_item("target", PyCFunction::new_closure(py, None, None, body)?)?;
        options.set_item("name", format!("daemun-thread-{number}"))?;
        options.set_item("daemon", true)?;
        let thread = py.import("threading")?.getattr("Thread")?.call((), Some(&options))?;
        thread.call_method0("start")?;
        lock(&self.0.started).push(thread.unbind());
        Ok(())
    }

    /// Looks, as long as every thread is busy, whether more of them would do more.
    fn watch(&self) {
        let shared = &*self.0;
        let mut quiet_looks = 0;
        let mut idle_looks = 0;
        while !shared.is_ending.load(Ordering::Relaxed) {
            let running = shared.running.load(Ordering::Relaxed);
            if shared.busy.load(Ordering::Relaxed) < running || running >= shared.most {
                quiet_looks += 1;
                idle_looks = 0;
                if quiet_looks > QUIET_LOOKS {
                    thread::park();
                    quiet_looks = 0;
                } else {
                    thread::sleep(LOOK);
                }
                continue;
            }
            quiet_looks = 0;
            thread::sleep(LOOK);
            let waiting = u16::try_from(lock(&shared.desks).worker.waiting()).unwrap_or(u16::MAX);
            if waiting == 0 || shared.busy.load(Ordering::Relaxed) < running {
                idle_looks = 0;
                continue;
            }
            let count = waiting.min(running).min(shared.most.saturating_sub(running));
            idle_looks = if self.grow_if_idle(count, idle_looks >= IDLE_LOOKS) { idle_looks + 1 } else { 0 };
        }
    }

    /// Whether the interpreter is to be had at once, and so has nothing to do; `count` threads more if it `may_grow`.
    fn grow_if_idle(&self, count: u16, may_grow: bool) -> bool {
        let asked = Instant::now();
        Python::attach(|py| {
            if asked.elapsed() > AT_ONCE || self.0.is_ending.load(Ordering::Relaxed) {
                return false;
            }
            if may_grow {
                lock(&self.0.started).retain(|thread| is_alive(py, thread));
                for _ in 0..count {
                    if let Err(error) = self.start_one(py, Some(PATIENCE)) {
                        traceback::log(py, "no further thread can be started", &error);
                        return false;
                    }
                }
            }
            true
        })
    }
}

fn is_alive(py: Python<'_>, thread: &Py<PyAny>) -> bool {
    let alive = thread.bind(py).call_method0("is_alive").and_then(|alive| alive.extract());
    alive.unwrap_or(true)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two looks. Short beside what a request waits for, long beside what a look costs.
const LOOK: Duration = Duration::from_millis(2);

/// Looks without need before the watch sleeps until it is woken.
const QUIET_LOOKS: u32 = 25;

/// Looks in a row that have found the interpreter idle before threads are started.
const IDLE_LOOKS: u32 = 1;

/// How soon an interpreter that has nothing to do is to be had; a thread that computes keeps it for five milliseconds.
const AT_ONCE: Duration = Duration::from_micros(500);

/// How long a thread has nothing to do before it ends.
const PATIENCE: Duration = Duration::from_secs(10);
