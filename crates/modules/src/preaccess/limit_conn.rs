//! `limit_conn`: turns a request away when its key already has too many under way.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Span};
use daemun_server::config::{Build, HTTP_SERVER_LOCATION};
use daemun_server::variable::Variable;
use daemun_server::{Handler, Module, Outcome, Phase, Request};

use super::limit::{Consequences, Zone, ZoneTable, key_of};

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
            set: |conf, arguments| conf.zones.declare(arguments, |at| Err(arguments.invalid_parameter(at)), || ()),
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
            set: |conf, arguments| conf.consequences.set_log_level(arguments),
        },
        Directive {
            name: "limit_conn_status",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "503",
            help: "code: status of a refused request, 400 to 599",
            set: |conf, arguments| conf.consequences.set_status(arguments),
        },
        Directive {
            name: "limit_conn_dry_run",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: requests beyond the limit are logged and let pass",
            set: |conf, arguments| conf.consequences.set_dry_run(arguments),
        },
    ],
    merge: LimitConn::merge,
    finish: LimitConn::finish,
    is_active: |conf| !conf.limits.is_empty(),
    phases: &[(Phase::Preaccess, Handler::Sync(limit_conn))],
    filters: &[],
    variables: &[Variable {
        name: "limit_conn_status",
        evaluate: |request, _, out| {
            let status = request.kept::<Status>();
            status.map(|status| out.extend_from_slice(status.0.as_bytes())).is_some()
        },
    }],
};

/// Settings of one location. A block without limits has those of the enclosing block.
#[derive(Default)]
pub struct LimitConn {
    zones: ZoneTable<(), u32>,
    written: Vec<Written>,
    limits: Arc<[Limit]>,
    consequences: Consequences,
}

/// One `limit_conn` as written.
struct Written {
    zone: String,
    most: u32,
    span: Span,
}

struct Limit {
    zone: Arc<CountZone>,
    most: u32,
}

/// Requests under way by key.
type CountZone = Zone<(), u32>;

/// `$limit_conn_status` of a request that was counted.
struct Status(&'static str);

fn set_limit_conn(conf: &mut LimitConn, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let zone = arguments.text(0)?;
    if conf.written.iter().any(|written| written.zone == zone) {
        return Err(arguments.duplicate());
    }
    let text = arguments.text(1)?;
    let most = text.parse::<u64>().ok().filter(|most| *most > 0);
    let most = most.ok_or_else(|| ArgumentError::new(Some(1), format!("invalid number of connections \"{text}\"")))?;
    if most > u64::from(u16::MAX) {
        return Err(ArgumentError::new(Some(1), "connection limit must be less 65536"));
    }
    conf.written.push(Written { zone: zone.to_owned(), most: most as u32, span: arguments.span() });
    Ok(())
}

impl LimitConn {
    fn merge(parent: &Self, child: &mut Self) {
        child.zones.merge(&parent.zones);
        if child.written.is_empty() {
            child.limits = Arc::clone(&parent.limits);
        }
        child.consequences.merge(&parent.consequences);
    }

    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.zones.finish("limit_conn_zone", build)?;
        if !self.written.is_empty() {
            let limit = |written: &Written| {
                let zone = self.zones.find(&written.zone, written.span)?;
                Ok(Limit { zone, most: written.most })
            };
            self.limits = self.written.iter().map(limit).collect::<Result<_, _>>()?;
        }
        Ok(())
    }
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
    if request.kept::<Status>().is_some() {
        return Outcome::Continue; // An internal redirect is the same request.
    }
    let mut places = Vec::new();
    for limit in conf.limits.iter() {
        let Some(key) = key_of(&limit.zone, request, KEY_OCTETS_MAX) else { continue };
        match Place::take(&limit.zone, key, limit.most) {
            Ok(place) => places.push(place),
            Err(refusal) => return refuse(conf, &limit.zone.name, &refusal, request),
        }
    }
    if !places.is_empty() {
        request.keep(Status("PASSED"));
    }
    for place in places {
        request.keep(place);
    }
    Outcome::Continue
}

/// What was taken before is given back: a request that is let pass in a dry run is not counted.
fn refuse(conf: &LimitConn, zone: &str, refusal: &Refusal, request: &mut Request) -> Outcome {
    let is_dry_run = conf.consequences.is_dry_run();
    if *refusal == Refusal::Limit {
        let dry_run = if is_dry_run { ", dry run," } else { "" };
        request.log(conf.consequences.log_level(), format_args!("limiting connections{dry_run} by zone \"{zone}\""));
    }
    if is_dry_run {
        request.keep(Status("REJECTED_DRY_RUN"));
        return Outcome::Continue;
    }
    request.keep(Status("REJECTED"));
    Outcome::Finish(conf.consequences.status())
}

/// Octets of a key.
const KEY_OCTETS_MAX: usize = 255;
