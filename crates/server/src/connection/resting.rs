//! Connections that wait, in a hundred octets each.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use daemun_net::{PeerAddress, Socket};

use super::client::Client;
use crate::listener::Protocol;
use crate::runtime::{ListenerId, ThreadRuntime};
use crate::statistics::Counted;

/// What is kept of a connection between two requests that are far apart: its socket, and what the next request is told of it.
pub(crate) struct Resting {
    pub(crate) socket: Socket,
    ip: Option<IpAddr>,
    port: Option<u16>,
    listener: ListenerId,
    runtime: Rc<ThreadRuntime>,
    serial: u64,
    started_ms: u64,
    requests: u32,
    keepalive_timeout: Duration,
    idle_since_ms: u64,
    counted: Counted,
}

impl Resting {
    /// Whether it has waited for as long as it may.
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        u128::from(now_ms.saturating_sub(self.idle_since_ms)) >= self.keepalive_timeout.as_millis()
    }

    /// Since when it has waited, monotonic time in milliseconds.
    pub(crate) fn idle_since_ms(&self) -> u64 {
        self.idle_since_ms
    }

    /// As [`Client::go_over_to`].
    pub(crate) fn go_over_to(&mut self, next: &Rc<ThreadRuntime>) -> bool {
        let Some(place) = self.runtime.place_in(self.listener, next) else { return false };
        self.listener = place;
        self.runtime = Rc::clone(next);
        true
    }
}

impl Client {
    /// Whether nothing but its socket has to be kept of the connection, which waits since before `since_ms`.
    pub(crate) fn can_rest(&self, since_ms: u64) -> bool {
        self.is_idle.get()
            && self.idle_since_ms.get() < since_ms
            && self.protocol == Protocol::Http
            && !self.is_on_tls_listener()
            && !self.is_last_request.get()
            && self.proxy_header().is_none()
            && !self.has_pending_input()
            && !self.is_watched() // An HTTP/2 connection has tables and windows.
    }

    /// Takes the connection out of this client, which is closed. `None` where it is closed already, or lost.
    pub(crate) fn rest(&self) -> Option<Resting> {
        let (stream, counted, runtime) = self.take_apart()?;
        Some(Resting {
            socket: Socket::laid_aside(stream).ok()?,
            ip: self.remote.ip,
            port: self.remote.port,
            listener: self.listener(),
            runtime,
            serial: self.serial,
            started_ms: self.started_ms,
            requests: self.requests.get(),
            keepalive_timeout: self.keepalive_timeout.get().saturating_sub(self.keepalive_min_timeout.get()),
            idle_since_ms: self.idle_since_ms.get(),
            counted,
        })
    }

    /// The connection of [`Client::rest`], with all that a request needs.
    ///
    /// # Errors
    /// The event loop does not take the socket.
    pub(crate) fn resume(resting: Resting) -> io::Result<Self> {
        let peer = match (resting.ip, resting.port) {
            (Some(ip), Some(port)) => PeerAddress::Tcp((ip, port).into()),
            _ => PeerAddress::Unix,
        };
        let stream = resting.socket.taken_up()?;
        let mut client = Self::counted_as(resting.counted, stream, peer, resting.listener, &resting.runtime);
        client.serial = resting.serial;
        client.started_ms = resting.started_ms;
        client.requests.set(resting.requests);
        client.keepalive_timeout.set(resting.keepalive_timeout);
        client.has_begun.set(true);
        Ok(client)
    }
}
