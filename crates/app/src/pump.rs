//! The tasks that keep a pool's hop going on an event-loop thread.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use daemun_channel::control::{self, Message};
use daemun_channel::{ChannelError, Pool};
use daemun_net::watch_for_reading;
use daemun_server::log::{ErrorLog, Level};
use tokio::task::spawn_local;

use crate::backend::PoolThread;
use crate::workers::Workers;

/// Moves completions from the hop to the requests and wakes workers, for as long as the thread lives.
///
/// # Errors
/// When the wake descriptor cannot be watched.
pub async fn pump(thread: Rc<PoolThread>) -> io::Result<()> {
    let wake = watch_for_reading(thread.wake_descriptor()?)?;
    poll_fn(|context| {
        loop {
            // The eventfd is edge-triggered and never read: clearing is enough.
            while let Poll::Ready(ready) = wake.poll_read_ready(context) {
                match ready {
                    Ok(mut guard) => guard.clear_ready(),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if thread.turn(context) {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Hears from the pool's zygote which workers come and go. Runs on the first thread alone.
///
/// # Errors
/// When the control channel cannot be watched.
pub async fn watch(pool: Arc<Pool>, workers: Arc<Workers>, log: ErrorLog) -> io::Result<()> {
    let channel = watch_for_reading(pool.control().try_clone_to_owned()?)?;
    loop {
        let mut ready = channel.readable().await?;
        match control::receive(pool.control(), false) {
            Ok(Some((message, descriptor))) => obey(message, descriptor, &pool, &workers, &log),
            Ok(None) => return Ok(()), // The other end is closed for good: the master is ending.
            Err(ChannelError::System { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
                ready.clear_ready()
            }
            Err(ChannelError::System { source, .. }) => return Err(source),
            Err(error) => log.write(Level::Alert, format_args!("pool \"{}\": {error}", workers.pool_name())),
        }
    }
}

fn obey(message: Message, descriptor: Option<OwnedFd>, pool: &Arc<Pool>, workers: &Arc<Workers>, log: &ErrorLog) {
    let name = workers.pool_name();
    match message {
        Message::Ready { pid } => {
            log.write(Level::Notice, format_args!("application \"{name}\" is loaded (pid {pid})"));
            if let Some(descriptor) = descriptor {
                spawn_local(reset_after(descriptor, Arc::clone(pool), Arc::clone(workers), log.clone()));
            }
        }
        Message::Failed { reason } => {
            log.write(Level::Emerg, format_args!("application \"{name}\" cannot be loaded: {reason}"))
        }
        Message::Born { worker, pid, .. } => {
            log.write(Level::Notice, format_args!("worker {} of \"{name}\" started (pid {pid})", worker + 1));
        }
        Message::Died { worker, pid, wait_status, harakiri } => {
            workers.died(worker, pid, wait_status, harakiri);
            let seats = pool.layout().seats_of(worker);
            let level = if wait_status == 0 { Level::Notice } else { Level::Error };
            log.write(level, format_args!("{}", workers.describe_death(seats.start)));
            pool.worker_died(seats);
        }
        Message::Cleaned { .. } | Message::Kill { .. } | Message::Retire { .. } | Message::Stop { .. } => {
            log.write(Level::Alert, format_args!("zygote of \"{name}\" sent a message that only the edge sends"));
        }
    }
}

/// Once the zygote behind this pidfd is dead, its workers are too: what they had is taken back.
async fn reset_after(zygote: OwnedFd, pool: Arc<Pool>, workers: Arc<Workers>, log: ErrorLog) {
    let Ok(zygote) = watch_for_reading(zygote) else { return };
    if zygote.readable().await.is_ok() {
        log.write(Level::Error, format_args!("zygote of \"{}\" is gone", workers.pool_name()));
        pool.reset();
    }
}
