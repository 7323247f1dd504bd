//! What a cache does without being asked: it lets go of what nobody wants, and of what is too much, one file at a time; requests have
//! their turn between two.

use std::sync::Arc;
use std::time::{Duration, Instant};

use daemun_server::LocalFuture;
use daemun_server::background::Background;
use daemun_server::log::ErrorLog;

use crate::limits::MANAGER_PAUSE;
use crate::loader;
use crate::path_line::{Cache, Pace};

/// Looks after one cache for as long as a configuration is in force.
pub struct Manager {
    cache: Arc<Cache>,
}

impl Manager {
    /// For this cache.
    #[must_use]
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache }
    }
}

impl Background for Manager {
    fn run(self: Arc<Self>, log: ErrorLog) -> LocalFuture<'static, ()> {
        Box::pin(async move {
            let load = async {
                if self.cache.zone.is_cold() {
                    loader::load(&self.cache, &log).await;
                }
            };
            let tidy = async {
                loop {
                    let pause = tidy(&self.cache).await;
                    tokio::time::sleep(pause).await;
                }
            };
            let ((), ()) = tokio::join!(load, tidy);
        })
    }
}

/// One step; tells how long to wait for the next. Requests have their turn after each file.
async fn tidy(cache: &Cache) -> Duration {
    let mut stint = Stint::new(cache.limits.manager);
    let mut pause = MANAGER_PAUSE;
    loop {
        match cache.zone.expire() {
            Ok(removed) => cache.remove(removed),
            Err(0) => {}
            Err(milliseconds) => {
                pause = Duration::from_millis(milliseconds).min(MANAGER_PAUSE);
                if is_within_limits(cache) {
                    return pause;
                }
                match cache.zone.evict() {
                    Some(removed) => cache.remove(removed),
                    None => return pause,
                }
            }
        }
        if stint.is_over_after_one_more() {
            return stint.pace.sleep.min(pause);
        }
        tokio::task::yield_now().await;
    }
}

/// How much is done before a rest.
pub struct Stint {
    /// What it keeps to.
    pub pace: Pace,
    files: u64,
    since: Instant,
}

impl Stint {
    /// Begins one.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, files: 0, since: Instant::now() }
    }

    /// Counts a file; true where it is time for a rest.
    pub fn is_over_after_one_more(&mut self) -> bool {
        self.files += 1;
        self.files >= self.pace.files || self.since.elapsed() >= self.pace.threshold
    }
}

fn is_within_limits(cache: &Cache) -> bool {
    let fill = cache.zone.fill();
    if fill.octets >= cache.limits.octets_max || fill.nodes >= fill.watermark {
        return false;
    }
    if cache.limits.octets_free == 0 {
        return true;
    }
    let free = rustix::fs::statvfs(&cache.folder).map(|system| system.f_bavail.saturating_mul(system.f_frsize));
    free.map_or(true, |free| free > cache.limits.octets_free)
}
