//! Groups of servers: which one is asked, what becomes of the one that fails, and the connections that are kept to it.
//!
//! ```text
//!   Upstream::begin -> Attempts::next -> Peer -> idle::take, or a new connection
//!                                          |
//!             Attempts::report  <----------+--> idle::put
//! ```
//!
//! It opens no connection for a request and knows no protocol: that is whose `..._pass` asks.

pub mod address;
pub mod attempts;
pub mod balance;
mod directives;
pub mod group;
pub mod health;
pub mod idle;
mod implicit;
pub mod queue;
pub mod resolving;
pub mod server;
pub mod sticky;

use std::sync::Arc;

pub use address::{Place, UpstreamAddress};
pub use attempts::{Attempts, NoPeer, Peer, PeerResult};
pub use directives::{MODULE, Upstreams};
pub use group::{GroupSettings, Roster, Tier, Upstream};
pub use idle::{IdleKey, KeepAlive, UpstreamConnection};
pub use implicit::ImplicitGroups;
pub use server::{ServerSettings, ServerState};

/// What other modules look groups up in.
#[derive(Clone, Default)]
pub struct UpstreamTable(Vec<Arc<Upstream>>);

impl UpstreamTable {
    /// The group of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Upstream>> {
        self.0.iter().find(|group| group.name == name).cloned()
    }
}
