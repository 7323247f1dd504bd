//! Work that goes on beside requests for as long as a configuration is in force.

use std::sync::Arc;

use tokio::task::{AbortHandle, spawn_local};

use crate::log::ErrorLog;
use crate::phase::LocalFuture;
use crate::runtime::Runtime;

/// What a module has to do without being asked: names that are looked up again, servers that are looked after. A module names it
/// by [`crate::config::Build::run_beside`]; the first thread runs it.
pub trait Background: Send + Sync {
    /// The work, which is dropped at any of its waits once the configuration is no longer in force.
    fn run(self: Arc<Self>, log: ErrorLog) -> LocalFuture<'static, ()>;
}

/// The work of one configuration; it ends with this value.
#[derive(Default)]
pub struct Running(Vec<AbortHandle>);

impl Running {
    /// Begins the work of `runtime` on this thread.
    #[must_use]
    pub fn start(runtime: &Runtime) -> Self {
        let start = |work: &Arc<dyn Background>| {
            let work = Arc::clone(work).run(runtime.error_log.clone());
            spawn_local(work).abort_handle()
        };
        Self(runtime.background.iter().map(start).collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}
