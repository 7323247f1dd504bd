//! The tasks that keep a pool's hop going on an event-loop thread.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use daemun_channel::control::{self, Message};
use daemun_channel::{ChannelError, Pool};
use daemun_net::watch_for_reading;
use daemun_server::log::{ErrorLog, Level};
use tokio::io::unix::AsyncFd;

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

/// Hears from the zygotes of one side of a pool, one after the other, which workers come and go. Runs on the first thread alone.
///
/// # Errors
/// When the control channel cannot be watched.
pub async fn watch(pool: Arc<Pool>, side: u16, workers: Arc<Workers>, log: ErrorLog) -> io::Result<()> {
    let channel = watch_for_reading(pool.control(side).try_clone_to_owned()?)?;
    let mut watcher = Watcher { pool, side, workers, log, zygote: None, is_zygote_dead: false, living: HashMap::new() };
    loop {
        match watcher.hear() {
            Heard::Message(message, descriptor) => watcher.take(message, descriptor).await,
            Heard::End => return Ok(()), // The other end is closed for good: the master is ending.
            Heard::Failure => tokio::time::sleep(FAILURE_PAUSE).await,
            Heard::Nothing if watcher.is_zygote_dead => watcher.bury_zygote().await,
            Heard::Nothing => {
                tokio::select! {
                    // Cleared before the next look, so that what comes after it is announced again.
                    ready = channel.readable() => ready?.clear_ready(),
                    // Its last words are read before it is buried.
                    () = death_of(watcher.zygote.as_ref()) => watcher.is_zygote_dead = true,
                }
            }
        }
    }
}

/// What the control channel holds.
enum Heard {
    Message(Message, Option<OwnedFd>),
    Nothing,
    /// One message was lost, or the system is out of something: neither ends the watch.
    Failure,
    End,
}

/// What is known of the pool's processes.
struct Watcher {
    pool: Arc<Pool>,
    side: u16,
    workers: Arc<Workers>,
    log: ErrorLog,
    zygote: Option<AsyncFd<OwnedFd>>,
    is_zygote_dead: bool,
    /// The pidfds of its workers, by their index.
    living: HashMap<u16, OwnedFd>,
}

impl Watcher {
    fn hear(&self) -> Heard {
        match control::receive(self.pool.control(self.side), false) {
            Ok(Some((message, descriptor))) => Heard::Message(message, descriptor),
            Ok(None) => Heard::End,
            Err(ChannelError::System { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => Heard::Nothing,
            // Closed with messages of ours unread.
            Err(ChannelError::System { source, .. }) if source.kind() == io::ErrorKind::ConnectionReset => Heard::End,
            Err(error) => {
                self.log.write(Level::Alert, format_args!("pool \"{}\": {error}", self.workers.pool_name()));
                Heard::Failure
            }
        }
    }

    async fn take(&mut self, message: Message, descriptor: Option<OwnedFd>) {
        let name = self.workers.pool_name();
        match message {
            Message::Ready { pid } => {
                self.bury_zygote().await;
                let name = self.workers.pool_name();
                self.log.write(Level::Notice, format_args!("application \"{name}\" is loaded (pid {pid})"));
                // Without the descriptor its death is noticed when its successor is ready.
                self.zygote = descriptor.and_then(|descriptor| watch_for_reading(descriptor).ok());
            }
            Message::Failed { reason } => {
                self.log.write(Level::Emerg, format_args!("application \"{name}\" cannot be loaded: {reason}"));
            }
            Message::Born { worker, number, pid, .. } => {
                self.workers.born(worker, number, pid);
                if let Some(descriptor) = descriptor {
                    self.living.insert(worker, descriptor);
                }
                self.log.write(Level::Notice, format_args!("worker {number} of \"{name}\" started (pid {pid})"));
            }
            Message::Died { worker, pid, wait_status, harakiri } => {
                self.living.remove(&worker);
                self.workers.died(worker, pid, wait_status, harakiri);
                let seats = self.pool.layout().seats_of(worker);
                let level = if wait_status == 0 { Level::Notice } else { Level::Error };
                self.log.write(level, format_args!("{}", self.workers.describe_death(seats.start)));
                self.pool.worker_died(seats, pid);
            }
            Message::Cleaned { .. }
            | Message::Kill { .. }
            | Message::Overdue { .. }
            | Message::Retire { .. }
            | Message::Stop { .. } => {
                let text = format_args!("zygote of \"{name}\" sent a message that only the edge sends");
                self.log.write(Level::Alert, text);
            }
        }
    }

    /// Takes back what the workers of a dead zygote had. Nothing of what it said is left on the channel: that was read
    /// before its death was looked at, or its successor has spoken since.
    async fn bury_zygote(&mut self) {
        self.is_zygote_dead = false;
        if self.zygote.take().is_none() && self.living.is_empty() {
            return;
        }
        self.log.write(Level::Notice, format_args!("zygote of \"{}\" is gone", self.workers.pool_name()));
        // The kernel has killed them with their zygote. Until they are dead, their seats are theirs.
        for worker in std::mem::take(&mut self.living).into_values() {
            if let Ok(worker) = watch_for_reading(worker) {
                death_of(Some(&worker)).await;
            }
        }
        let own = self.pool.layout().workers_of(self.side);
        self.workers.all_died_with_zygote(own.clone());
        self.pool.reset(self.side, !self.workers.is_any_living());
    }
}

/// Waits until the process behind a pidfd is dead; for ever without one.
async fn death_of(process: Option<&AsyncFd<OwnedFd>>) {
    match process {
        // An error would be the event loop's end, and everything's.
        Some(process) => drop(process.readable().await),
        None => std::future::pending().await,
    }
}

/// How long to leave the control channel alone when the system cannot read from it.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
