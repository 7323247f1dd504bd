//! Which server a request is at, by what protocol, with what path: what log lines show, and how its connection is kept.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::SentHead;
use crate::upstream::{IdleKey, Peer, Upstream, UpstreamAddress, UpstreamConnection, idle};

/// The way to a server.
pub struct Link {
    upstream: Arc<Upstream>,
    peer: Peer,
    key: IdleKey,
    sent: Rc<SentHead>,
}

impl Link {
    pub(super) fn new(upstream: Arc<Upstream>, peer: Peer, key: IdleKey, sent: Rc<SentHead>) -> Self {
        Self { upstream, peer, key, sent }
    }

    /// The server.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What its connections may be used for.
    pub fn key(&self) -> IdleKey {
        self.key
    }

    /// Keeps the connection for the next request.
    pub fn keep(&self, connection: UpstreamConnection) {
        idle::put(&self.upstream, &self.peer, self.key, connection);
    }
}

/// As nginx shows it: `http://127.0.0.1:8080/path`, `http://unix:/run/a.sock:/path`.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if matches!(self.peer.address(), UpstreamAddress::Unix(_)) { ":" } else { "" };
        if !self.key.scheme.is_empty() {
            write!(f, "{}://", self.key.scheme)?;
        }
        write!(f, "{}{colon}{}", self.peer.name(), self.sent.path())
    }
}
