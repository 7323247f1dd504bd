//! Configurations that follow one another in an edge that goes on serving.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use daemun_net::ListenerSet;
use tokio::sync::watch;

use crate::log::{ErrorLog, Level};
use crate::runtime::Runtime;

/// A configuration with the sockets it listens on.
pub struct Configuration {
    /// What the files say.
    pub runtime: Arc<Runtime>,
    /// The bound sockets, in the order of [`Runtime::listeners`].
    pub listeners: ListenerSet,
}

/// Where new configurations come from.
pub trait Succession: Send {
    /// Waits for the next one; called on a thread of its own. `None` once none will come any more.
    fn next(&mut self) -> Option<Configuration>;
}

/// How long one configuration is in use: until the last connection that began under it has ended or gone over to a later one.
#[derive(Debug)]
pub struct Generation {
    /// 1 is what the edge was started with.
    pub number: u64,
    error_log: ErrorLog,
    is_followed: AtomicBool,
}

impl Generation {
    pub(crate) fn new(number: u64, runtime: &Runtime) -> Arc<Self> {
        Arc::new(Self { number, error_log: runtime.error_log.clone(), is_followed: AtomicBool::new(false) })
    }
}

impl Drop for Generation {
    /// The words are those by which tools see that a worker of nginx has drained.
    fn drop(&mut self) {
        if self.is_followed.load(Ordering::Relaxed) {
            let text = format_args!("configuration {} has drained and exited with code 0", self.number);
            self.error_log.write(Level::Notice, text);
        }
    }
}

/// A configuration as the threads are told of it.
#[derive(Clone)]
pub(crate) struct Installed {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) generation: Arc<Generation>,
    /// Each thread's own descriptors, until it takes them. Nobody else may hold any: as long as somebody holds a socket, clients get
    /// into its queue.
    listeners: Arc<Vec<Mutex<Option<ListenerSet>>>>,
}

impl Installed {
    fn new(number: u64, configuration: Configuration, threads: usize) -> io::Result<Self> {
        let Configuration { runtime, listeners } = configuration;
        let mut sets = Vec::new();
        for _ in 1..threads {
            sets.push(Mutex::new(Some(listeners.try_clone()?)));
        }
        sets.push(Mutex::new(Some(listeners)));
        let generation = Generation::new(number, &runtime);
        Ok(Self { runtime, generation, listeners: Arc::new(sets) })
    }

    /// The descriptors of the thread with this number, the first time it asks.
    pub(super) fn take_listeners(&self, thread: usize) -> ListenerSet {
        let set = self.listeners.get(thread);
        set.and_then(|set| set.lock().unwrap_or_else(PoisonError::into_inner).take()).unwrap_or_default()
    }
}

/// The configuration to begin with, and the way later ones take to this many threads.
///
/// # Errors
/// When there are not enough descriptors.
pub(super) fn install(
    configuration: Configuration,
    threads: usize,
) -> io::Result<(watch::Sender<Installed>, watch::Receiver<Installed>)> {
    Installed::new(1, configuration, threads).map(watch::channel)
}

/// Hands every configuration of `succession` to the threads, for as long as there are any.
pub(super) fn follow(mut succession: Box<dyn Succession>, threads: &watch::Sender<Installed>) {
    let count = threads.borrow().listeners.len();
    let mut number = 1;
    while let Some(configuration) = succession.next() {
        let log = configuration.runtime.error_log.clone();
        match Installed::new(number + 1, configuration, count) {
            Ok(next) => {
                number += 1;
                let last = threads.send_replace(next);
                last.generation.is_followed.store(true, Ordering::Relaxed);
            }
            Err(error) => {
                log.write(
                    Level::Emerg,
                    format_args!("the new configuration cannot be listened for ({error}): the old one stays"),
                );
            }
        }
        if threads.is_closed() {
            return;
        }
    }
}
