//! `server NAME resolve`: the servers of a group follow what its names stand for.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use daemun_server::LocalFuture;
use daemun_server::background::Background;
use daemun_server::log::{ErrorLog, Level};
use tokio::time::Instant;

use super::address::UpstreamAddress;
use super::group::Upstream;
use super::server::{ServerSettings, ServerState};
use crate::limits::SERVERS_MAX;
use crate::resolver::{ResolveError, Resolver};

/// A `server` line with `resolve`.
#[derive(Clone, Debug)]
pub struct ServerName {
    /// The name.
    pub host: String,
    /// The port of its addresses; those of a service have their own.
    pub port: u16,
    /// `service=`
    pub service: Option<String>,
    /// What else the line says.
    pub settings: Arc<ServerSettings>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The host of a service; `None` for an address of the name itself.
    pub host: Option<String>,
    /// Its share, by the service.
    pub weight: u32,
    /// Whether the service puts others first.
    pub is_backup: bool,
}

impl ServerName {
    /// The server that `member` is.
    fn state(&self, member: &Member, origin: usize) -> ServerState {
        let mut settings = ServerSettings::clone(&self.settings);
        if let Some(host) = &member.host {
            settings.name = host.as_str().into();
            // A weight that the line gives holds for all of them.
            if settings.weight == 1 {
                settings.weight = member.weight;
            }
            settings.is_backup |= member.is_backup;
        }
        ServerState::of_name(UpstreamAddress::Inet(member.address), Arc::new(settings), origin)
    }

    /// Whether `server`, which came of this line, is what the line makes of `member`.
    fn is_still(&self, server: &ServerState, member: &Member) -> bool {
        let fresh = self.state(member, 0);
        server.address == fresh.address
            && server.settings.name == fresh.settings.name
            && server.settings.weight == fresh.settings.weight
            && server.settings.is_backup == fresh.settings.is_backup
    }
}

impl Upstream {
    /// Puts `members` in the place of the servers that name number `origin` stood for until now. Who stays keeps its state.
    pub fn replace_members(&self, origin: usize, mut members: Vec<Member>) {
        let Some(name) = self.settings.names.get(origin) else { return };
        members.truncate(SERVERS_MAX);
        self.change_servers(|servers| {
            servers.retain(|server| {
                if server.origin != Some(origin) {
                    return true;
                }
                let place = members.iter().position(|member| name.is_still(server, member));
                place.map(|place| members.remove(place)).is_some()
            });
            servers.extend(members.iter().map(|member| Arc::new(name.state(member, origin))));
        });
    }
}

/// Looks the names of one group up, again whenever what is known no longer holds.
pub struct Resolving {
    /// The group goes with the configuration, not with this.
    pub upstream: Weak<Upstream>,
    /// Number of the name.
    pub origin: usize,
    /// Who is asked.
    pub resolver: Arc<Resolver>,
    /// How long is waited for an answer.
    pub timeout: Duration,
}

impl Background for Resolving {
    fn run(self: Arc<Self>, log: ErrorLog) -> LocalFuture<'static, ()> {
        Box::pin(async move {
            while let Some(pause) = self.resolve(&log).await {
                tokio::time::sleep(pause).await;
            }
        })
    }
}

impl Resolving {
    /// Looks the name up. Gives the time until it should be done again; `None` once the group is gone.
    async fn resolve(&self, log: &ErrorLog) -> Option<Duration> {
        let name = self.upstream.upgrade()?.settings.names.get(self.origin)?.clone();
        let found = match &name.service {
            Some(service) => self.members_of_service(&name, service, log).await,
            None => self.members_of_name(&name).await,
        };
        let (members, until) = match found {
            Ok(found) => found,
            Err(error) => {
                let host = &name.host;
                let whose = name
                    .service
                    .as_ref()
                    .map_or_else(|| host.clone(), |service| format!("service {service} of {host}"));
                log.write(Level::Error, format_args!("{whose} could not be resolved {error}"));
                if error != ResolveError::NotFound {
                    return Some(self.timeout.max(SECOND));
                }
                (Vec::new(), Instant::now())
            }
        };
        self.upstream.upgrade()?.replace_members(self.origin, members);
        Some(until.saturating_duration_since(Instant::now()) + SECOND)
    }

    async fn members_of_name(&self, name: &ServerName) -> Result<(Vec<Member>, Instant), ResolveError> {
        let found = self.resolver.addresses(&name.host, self.timeout).await?;
        let member = |address: IpAddr| Member {
            address: SocketAddr::new(address, name.port),
            host: None,
            weight: 1,
            is_backup: false,
        };
        Ok((found.addresses.into_iter().map(member).collect(), found.until))
    }

    async fn members_of_service(
        &self,
        name: &ServerName,
        service: &str,
        log: &ErrorLog,
    ) -> Result<(Vec<Member>, Instant), ResolveError> {
        let found = self.resolver.services(service, &name.host, self.timeout).await?;
        for (host, error) in &found.failed {
            let whose = &name.host;
            log.write(
                Level::Error,
                format_args!("{host} could not be resolved {error} while resolving service {service} of {whose}"),
            );
        }
        let first = found.hosts.first().map(|host| host.priority);
        let members = found.hosts.into_iter().map(|host| Member {
            address: host.address,
            host: Some(host.name),
            weight: u32::from(host.weight),
            is_backup: Some(host.priority) != first,
        });
        Ok((members.collect(), found.until))
    }
}

/// nginx looks a name up a second after its answer has become too old.
const SECOND: Duration = Duration::from_secs(1);

/// The groups of a `zone`, so that the next configuration begins with what the names stood for in this one.
#[derive(Debug, Default)]
pub struct ZoneGroups(Mutex<HashMap<String, Weak<Upstream>>>);

impl ZoneGroups {
    /// Takes over for `group` what names stand for in the group of its name, and puts it in that one's place.
    pub fn succeed(&self, group: &Arc<Upstream>) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = groups.insert(group.name.clone(), Arc::downgrade(group)).and_then(|earlier| earlier.upgrade());
        let Some(earlier) = earlier else { return };
        let roster = earlier.roster();
        for (origin, name) in group.settings.names.iter().enumerate() {
            let is_same = |other: &ServerName| other.host == name.host && other.service == name.service;
            let Some(before) = earlier.settings.names.iter().position(is_same) else { continue };
            let members = roster.servers().filter(|server| server.origin == Some(before)).filter_map(|server| {
                let UpstreamAddress::Inet(mut address) = server.address else { return None };
                if name.service.is_none() {
                    address.set_port(name.port);
                }
                Some(Member {
                    address,
                    host: name.service.as_ref().map(|_| server.settings.name.to_string()),
                    weight: server.settings.weight,
                    is_backup: server.settings.is_backup,
                })
            });
            group.replace_members(origin, members.collect());
        }
        for server in group.roster().servers() {
            if let Some(before) = roster.servers().find(|before| before.address == server.address) {
                server.health.note_earlier(&before.health);
            }
        }
    }
}
