//! Taking connections in, as many as `worker_connections` allows.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use daemun_net::Acceptor;

use super::EdgeThread;
use crate::log::Level;
use crate::runtime::ListenerId;

/// Accepts on one socket until the edge closes. `listener` says which listener of the configuration in force it is.
pub(super) async fn accept_all(acceptor: Acceptor, listener: Rc<Cell<ListenerId>>, edge: Rc<EdgeThread>) {
    let mut closing = pin!(edge.closing.notified());
    // It may have been told before this task ran for the first time.
    closing.as_mut().enable();
    if edge.is_closing.get() {
        return accept_waiting(&acceptor, listener.get(), &edge).await;
    }
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = &mut closing => return accept_waiting(&acceptor, listener.get(), &edge).await,
        };
        match accepted {
            Ok((stream, peer)) => {
                if edge.has_room() {
                    edge.start(stream, peer, listener.get());
                }
            }
            Err(error) if Acceptor::is_exhausted(&error) => {
                let log = &edge.runtime().shared.error_log;
                log.write(Level::Crit, format_args!("accept() on {} failed: {error}", acceptor.address()));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Err(_) => {} // The client went away while it waited.
        }
        if !edge.runtime().shared.main.multi_accept() {
            tokio::task::yield_now().await;
        }
    }
}

/// Takes the connections that the kernel has made already: closing the socket would reset them.
async fn accept_waiting(acceptor: &Acceptor, listener: ListenerId, edge: &Rc<EdgeThread>) {
    tokio::task::yield_now().await; // The event loop hears of those that came since it last asked.
    for _ in 0..WAITING_MAX {
        match poll_fn(|context| Poll::Ready(acceptor.poll_accept(context))).await {
            Poll::Ready(Ok((stream, peer))) if edge.has_room() => edge.start(stream, peer, listener),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) if !Acceptor::is_exhausted(&error) => {} // One that went away while it waited.
            Poll::Ready(Err(_)) | Poll::Pending => return,
        }
    }
}

impl EdgeThread {
    /// Whether a connection more may be served; idle ones are closed for it. As in nginx, one that finds no place is closed unheard.
    fn has_room(&self) -> bool {
        let runtime = self.runtime();
        let (main, log) = (&runtime.shared.main, &runtime.shared.error_log);
        let connections_max = main.worker_connections();
        if self.len() < connections_max {
            return true;
        }
        if self.close_longest_idle() {
            if self.reuse_said.replace(runtime.generation.number) != runtime.generation.number {
                let text = "worker_connections are not enough, reusing connections";
                log.write(Level::Warn, format_args!("{connections_max} {text}"));
            }
            return true;
        }
        log.write(Level::Alert, format_args!("{connections_max} worker_connections are not enough"));
        false
    }

    /// Closes the idle connection that has waited for the longest time; false where there is none.
    fn close_longest_idle(&self) -> bool {
        if self.parking.close_first() {
            return true;
        }
        let connections = self.connections.borrow();
        let idle = connections.values().filter(|(client, _)| client.is_idle.get() && !client.is_doomed.get());
        let Some((client, task)) = idle.min_by_key(|(client, _)| (client.idle_since_ms.get(), client.serial)) else {
            return false;
        };
        // Its place on the list is free when its task is next looked at.
        client.is_doomed.set(true);
        if let Some(task) = task {
            task.abort();
        }
        true
    }
}

/// Connections taken from one queue at the end; longer than the kernel lets it be.
const WAITING_MAX: usize = 64 * 1024;

/// How long accepting rests when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
