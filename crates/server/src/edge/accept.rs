//! Taking connections in, as many as `worker_connections` allows.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use daemun_net::Acceptor;

use super::EdgeThread;
use crate::log::Level;
use crate::runtime::ListenerId;

/// Accepts for ever on one socket. `listener` says which listener of the configuration in force it is.
pub(super) async fn accept_all(acceptor: Acceptor, listener: Rc<Cell<ListenerId>>, edge: Rc<EdgeThread>) {
    loop {
        match acceptor.accept().await {
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

/// How long accepting rests when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
