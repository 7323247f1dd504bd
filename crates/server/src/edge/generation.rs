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
    fn new(number: u64, runtime: &Runtime) -> Arc<Self> {
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
    /// `None` once the edge drains: as long as anybody holds a socket, clients get into its queue.
    listeners: Arc<Mutex<Option<ListenerSet>>>,
}

impl Installed {
    fn new(number: u64, configuration: Configuration) -> Self {
        let Configuration { runtime, listeners } = configuration;
        let generation = Generation::new(number, &runtime);
        Self { runtime, generation, listeners: Arc::new(Mutex::new(Some(listeners))) }
    }

    /// A thread's own descriptors of the sockets.
    pub(super) fn own_listeners(&self) -> io::Result<ListenerSet> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.as_ref().map_or_else(|| Ok(ListenerSet::new()), ListenerSet::try_clone)
    }

    /// Closes the sockets, but for the threads' own descriptors.
    pub(super) fn close_listeners(&self) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The configuration to begin with, and the way later ones take to the threads.
pub(super) fn install(configuration: Configuration) -> (watch::Sender<Installed>, watch::Receiver<Installed>) {
    watch::channel(Installed::new(1, configuration))
}

/// Hands every configuration of `succession` to the threads, for as long as there are any.
pub(super) fn follow(mut succession: Box<dyn Succession>, threads: &watch::Sender<Installed>) {
    let mut number = 1;
    while let Some(configuration) = succession.next() {
        number += 1;
        let last = threads.send_replace(Installed::new(number, configuration));
        last.generation.is_followed.store(true, Ordering::Relaxed);
        if threads.is_closed() {
            return;
        }
    }
}
