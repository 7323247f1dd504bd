//! Names that a request gives: `proxy_pass http://$host`.

use std::net::IpAddr;
use std::sync::Arc;

use daemun_http::StatusCode;
use daemun_server::log::Level;
use daemun_server::{Outcome, Request};

use super::ResolverInForce;
use crate::upstream::{Place, Upstream, UpstreamAddress};

impl ResolverInForce {
    /// The servers at a place that is no group of the configuration, with the port where the place has none; `authority` is what they
    /// are called in logs. A name is looked up, and the request waits for that.
    ///
    /// # Errors
    /// What the request ends with; the reason is in the log.
    pub async fn servers_at(
        &self,
        place: &Place,
        authority: &str,
        port: u16,
        request: &Request,
    ) -> Result<Arc<Upstream>, Outcome> {
        let addresses = match place {
            Place::Unix(path) => vec![UpstreamAddress::Unix(path.clone())],
            Place::Host { host, port: own } => {
                let port = own.unwrap_or(port);
                let inet = |address: IpAddr| UpstreamAddress::Inet((address, port).into());
                match host.parse::<IpAddr>() {
                    Ok(address) => vec![inet(address)],
                    Err(_) => self.look_up(host, request).await?.into_iter().map(inet).collect(),
                }
            }
        };
        Ok(Arc::new(Upstream::of_addresses(authority, addresses)))
    }

    async fn look_up(&self, host: &str, request: &Request) -> Result<Vec<IpAddr>, Outcome> {
        let failed = Outcome::Finish(StatusCode::BAD_GATEWAY);
        let Some(resolver) = &self.resolver else {
            request.log(Level::Error, format_args!("no resolver defined to resolve {host}"));
            return Err(failed);
        };
        match resolver.addresses(host, self.timeout).await {
            Ok(found) => Ok(found.addresses),
            Err(error) => {
                request.log(Level::Error, format_args!("{host} could not be resolved {error}"));
                Err(failed)
            }
        }
    }
}
