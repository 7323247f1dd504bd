//! Groups that a configuration makes by naming an address: whoever names it again, be it by variables, gets the same group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use daemun_server::config::Build;

use super::{Place, Upstream, UpstreamAddress};

/// The groups of one configuration, by their address.
#[derive(Clone, Default)]
pub struct ImplicitGroups(Arc<Mutex<HashMap<String, Arc<Upstream>>>>);

impl ImplicitGroups {
    /// Those of the configuration that is being read.
    #[must_use]
    pub fn of(build: &mut Build<'_>) -> Self {
        match build.published::<Self>() {
            Some(groups) => groups.clone(),
            None => {
                let groups = Self::default();
                build.publish(groups.clone());
                groups
            }
        }
    }

    /// The group of an address that the configuration names, made at its first use.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn name(&self, authority: &str, port: u16) -> Result<Arc<Upstream>, String> {
        let key = key(authority, port);
        if let Some(known) = self.find(authority, port) {
            return Ok(known);
        }
        let addresses = UpstreamAddress::parse(authority, Some(port))?;
        let group = Arc::new(Upstream::of_addresses(authority, addresses));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&group));
        Ok(group)
    }

    /// The group of an address, if the configuration names it.
    #[must_use]
    pub fn find(&self, authority: &str, port: u16) -> Option<Arc<Upstream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key(authority, port)).cloned()
    }
}

/// The same for a port that is written and one that is left out.
fn key(authority: &str, port: u16) -> String {
    match Place::parse(authority) {
        Ok(Place::Host { host, port: own }) => format!("{}:{}", host.to_ascii_lowercase(), own.unwrap_or(port)),
        _ => authority.to_owned(),
    }
}
