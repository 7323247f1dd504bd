//! `limit_conn`: turns a request away when its key already has too many under way.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::variable::Variable;
use daemun_server::{Handler, Module, Outcome, Phase, Request};

use super::limit::{Limits, Status, Zone, key_of};

/// Named once, in the program's list of modules.
pub static MODULE: Module<LimitConn> = Module {
    name: "limit_conn",
    directives: &[
        Directive {
            name: "limit_conn_zone",
            contexts: Context::HTTP,
            arity: Arity::Exactly(2),
            default: "none",
            help: "key zone=name:size: where requests under way are counted by key; an empty key is not counted",
            set: |conf, arguments| {
                conf.limits.zones.declare(arguments, |at| Err(arguments.invalid_parameter(at)), || ())
            },
        },
        Directive {
            name: "limit_conn",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(2),
            default: "none",
            help: "zone number: a request whose key already counts this number is refused",
            set: set_limit_conn,
        },
        Directive {
            name: "limit_conn_log_level",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "error",
            help: "info|notice|warn|error: level of the line about a refused request",
            set: |conf, arguments| conf.limits.consequences.set_log_level(arguments),
        },
        Directive {
            name: "limit_conn_status",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "503",
            help: "code: status of a refused request, 400 to 599",
            set: |conf, arguments| conf.limits.consequences.set_status(arguments),
        },
        Directive {
            name: "limit_conn_dry_run",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: requests beyond the limit are logged and let pass",
            set: |conf, arguments| conf.limits.consequences.set_dry_run(arguments),
        },
    ],
    merge: |parent, child| child.limits.merge(&parent.limits),
    finish: |conf, build| conf.limits.finish("limit_conn_zone", build),
    is_active: |conf| !conf.limits.in_force().is_empty(),
    phases: &[(Phase::Preaccess, Handler::Sync(limit_conn))],
    filters: &[],
    variables: &[Variable { name: "limit_conn_status", evaluate: |request, _, out| ConnStatus::write(request, out) }],
};

/// Settings of one location.
#[derive(Default)]
pub struct LimitConn {
    limits: Limits<(), u32, Most>,
}

/// Requests of one key that may be under way.
#[derive(Clone, Copy)]
struct Most(u32);

/// Requests under way by key.
type CountZone = Zone<(), u32>;

type ConnStatus = Status<Most>;

fn set_limit_conn(conf: &mut LimitConn, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let zone = arguments.text(0)?;
    let text = arguments.text(1)?;
    let most = text.parse::<u64>().ok().filter(|most| *most > 0);
    let most = most.ok_or_else(|| ArgumentError::new(Some(1), format!("invalid number of connections \"{text}\"")))?;
    if most > u64::from(u16::MAX) {
        return Err(ArgumentError::new(Some(1), "connection limit must be less 65536"));
    }
    conf.limits.add(zone, Most(most as u32), arguments)
}

/// A request's place in a zone; it is free again when the value is dropped.
struct Place {
    zone: Arc<CountZone>,
    key: Vec<u8>,
}

impl Place {
    /// Takes a place where fewer than `most` are taken, and the zone has room.
    fn take(zone: &Arc<CountZone>, key: Vec<u8>, most: u32) -> Result<Self, Refusal> {
        let mut shard = zone.state.shard(&key);
        if let Some(count) = shard.values.ask(key.as_slice()) {
            if *count >= most {
                return Err(Refusal::Limit);
            }
            *count += 1;
        } else if !shard.insert(&key, 1) {
            return Err(Refusal::NoRoom);
        }
        drop(shard);
        Ok(Self { zone: Arc::clone(zone), key })
    }
}

/// Why there is no place.
#[derive(PartialEq, Eq)]
enum Refusal {
    Limit,
    NoRoom,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shard = self.zone.state.shard(&self.key);
        let Some(count) = shard.values.ask(self.key.as_slice()) else { return };
        *count -= 1;
        if *count == 0 {
            shard.remove(&self.key);
        }
    }
}

fn limit_conn(conf: &LimitConn, request: &mut Request) -> Outcome {
    if ConnStatus::is_kept(request) {
        return Outcome::Continue;
    }
    let mut places = Vec::new();
    for limit in conf.limits.in_force() {
        let Some(key) = key_of(&limit.zone, request, KEY_OCTETS_MAX) else { continue };
        match Place::take(&limit.zone, key, limit.terms.0) {
            Ok(place) => places.push(place),
            Err(refusal) => return refuse(conf, &limit.zone.name, &refusal, request),
        }
    }
    if !places.is_empty() {
        ConnStatus::keep(request, "PASSED");
    }
    for place in places {
        request.keep(place);
    }
    Outcome::Continue
}

/// What was taken before is given back: a request that is let pass in a dry run is not counted.
fn refuse(conf: &LimitConn, zone: &str, refusal: &Refusal, request: &mut Request) -> Outcome {
    let consequences = &conf.limits.consequences;
    if *refusal == Refusal::Limit {
        let dry_run = if consequences.is_dry_run() { ", dry run," } else { "" };
        request.log(consequences.log_level(), format_args!("limiting connections{dry_run} by zone \"{zone}\""));
    }
    ConnStatus::turn_away(consequences, request)
}

/// Octets of a key.
const KEY_OCTETS_MAX: usize = 255;
