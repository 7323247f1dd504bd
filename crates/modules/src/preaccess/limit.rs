//! What `limit_req` and `limit_conn` share: zones by name, and what is said and done when a limit is reached.

use std::marker::PhantomData;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Diagnostic, Span};
use daemun_http::StatusCode;
use daemun_server::config::{Build, setter};
use daemun_server::log::Level;
use daemun_server::zone::ZoneName;
use daemun_server::{Outcome, Request, Template, inherit};

use crate::keyed_zone::{KeyedZone, read_zone, without_zone};

/// A zone in force: its key, what it is bound to, and what it holds. `S` is the zone's own setting, such as a rate.
pub(super) struct Zone<S, V> {
    pub(super) name: String,
    pub(super) key: Template,
    pub(super) setting: S,
    pub(super) state: Arc<KeyedZone<V>>,
}

/// A zone as written.
pub(super) struct Declared<S> {
    name: String,
    key: Template,
    key_text: String,
    setting: S,
    octets: u64,
    span: Span,
}

/// The zones that a block knows: those of `http`.
pub(super) struct ZoneTable<S, V> {
    declared: Vec<Declared<S>>,
    zones: Vec<Arc<Zone<S, V>>>,
}

impl<S, V> Default for ZoneTable<S, V> {
    fn default() -> Self {
        Self { declared: Vec::new(), zones: Vec::new() }
    }
}

impl<S, V: Send + 'static> ZoneTable<S, V> {
    /// Reads `key zone=name:size ...`; `read` takes the parameters that are not `zone`.
    pub(super) fn declare(
        &mut self,
        arguments: &Arguments<'_>,
        mut read: impl FnMut(usize) -> Result<(), ArgumentError>,
        setting: impl FnOnce() -> S,
    ) -> Result<(), ArgumentError> {
        let key = setter::template(arguments, 0)?;
        let mut zone = None;
        for at in 1..arguments.len() {
            match arguments.parameter(at) {
                Some(("zone", _)) => zone = Some(read_zone(arguments, at)?),
                _ => read(at)?,
            }
        }
        let (name, octets) = zone.ok_or_else(|| without_zone(arguments))?;
        if let Some(known) = self.declared.iter().find(|known| known.name == name) {
            let (directive, key) = (arguments.name(), &known.key_text);
            return Err(ArgumentError::new(None, format!("{directive} \"{name}\" is already bound to key \"{key}\"")));
        }
        self.declared.push(Declared {
            name: name.to_owned(),
            key,
            key_text: arguments.text(0)?.to_owned(),
            setting: setting(),
            octets,
            span: arguments.span(),
        });
        Ok(())
    }

    /// A block has the zones of the one around it.
    pub(super) fn merge(&mut self, parent: &Self) {
        self.zones.clone_from(&parent.zones);
    }

    /// Makes the zones of this block, or takes them over from an earlier runtime.
    pub(super) fn finish(&mut self, owner: &'static str, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        for Declared { name, key, key_text, setting, octets, span } in std::mem::take(&mut self.declared) {
            let zone_name = ZoneName { name: &name, owner, octets, span };
            let state = build.zone(&zone_name, || KeyedZone::new(&key_text, octets))?;
            if *state.key != key_text {
                let before = &state.key;
                return Err(Diagnostic::error(
                    span,
                    format!(
                        "{owner} \"{name}\" uses the \"{key_text}\" key while previously it used the \"{before}\" key"
                    ),
                ));
            }
            self.zones.push(Arc::new(Zone { name, key, setting, state }));
        }
        Ok(())
    }

    /// The zone called `name`.
    pub(super) fn find(&self, name: &str, span: Span) -> Result<Arc<Zone<S, V>>, Diagnostic> {
        let zone = self.zones.iter().find(|zone| zone.name == name).cloned();
        zone.ok_or_else(|| Diagnostic::error(span, format!("zero size shared memory zone \"{name}\"")))
    }
}

/// The limits of one location. A block without limits has those of the enclosing block. `T` is what one limit allows.
pub(super) struct Limits<S, V, T> {
    pub(super) zones: ZoneTable<S, V>,
    written: Vec<Written<T>>,
    in_force: Arc<[Limit<S, V, T>]>,
    pub(super) consequences: Consequences,
}

/// One limit as written.
struct Written<T> {
    zone: String,
    terms: T,
    span: Span,
}

/// One limit in force.
pub(super) struct Limit<S, V, T> {
    pub(super) zone: Arc<Zone<S, V>>,
    pub(super) terms: T,
}

impl<S, V, T> Default for Limits<S, V, T> {
    fn default() -> Self {
        Self {
            zones: ZoneTable::default(),
            written: Vec::new(),
            in_force: Arc::new([]),
            consequences: Consequences::default(),
        }
    }
}

impl<S, V: Send + 'static, T: Copy> Limits<S, V, T> {
    /// Adds a limit by the zone of this name, of which there may be one.
    pub(super) fn add(&mut self, zone: &str, terms: T, arguments: &Arguments<'_>) -> Result<(), ArgumentError> {
        if self.written.iter().any(|written| written.zone == zone) {
            return Err(arguments.duplicate());
        }
        self.written.push(Written { zone: zone.to_owned(), terms, span: arguments.span() });
        Ok(())
    }

    pub(super) fn merge(&mut self, parent: &Self) {
        self.zones.merge(&parent.zones);
        if self.written.is_empty() {
            self.in_force = Arc::clone(&parent.in_force);
        }
        self.consequences.merge(&parent.consequences);
    }

    /// Makes the zones, whose `owner` is the directive that declares them, and finds those of the limits.
    pub(super) fn finish(&mut self, owner: &'static str, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.zones.finish(owner, build)?;
        if !self.written.is_empty() {
            let limit = |written: &Written<T>| {
                let zone = self.zones.find(&written.zone, written.span)?;
                Ok(Limit { zone, terms: written.terms })
            };
            self.in_force = self.written.iter().map(limit).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    pub(super) fn in_force(&self) -> &[Limit<S, V, T>] {
        &self.in_force
    }
}

/// What has come of a request that was counted, for `$limit_conn_status` and `$limit_req_status`; `K` tells the two apart.
pub(super) struct Status<K> {
    text: &'static str,
    kind: PhantomData<K>,
}

impl<K: 'static> Status<K> {
    pub(super) fn keep(request: &Request, text: &'static str) {
        request.keep(Self { text, kind: PhantomData });
    }

    /// Whether the request has been counted: an internal redirect is the same request.
    pub(super) fn is_kept(request: &Request) -> bool {
        request.kept::<Self>().is_some()
    }

    pub(super) fn write(request: &Request, out: &mut Vec<u8>) -> bool {
        request.kept::<Self>().map(|status| out.extend_from_slice(status.text.as_bytes())).is_some()
    }

    /// The end of a request beyond a limit, unless limits are only tried out.
    pub(super) fn turn_away(consequences: &Consequences, request: &Request) -> Outcome {
        if consequences.is_dry_run() {
            Self::keep(request, "REJECTED_DRY_RUN");
            return Outcome::Continue;
        }
        Self::keep(request, "REJECTED");
        Outcome::Finish(consequences.status())
    }
}

/// What happens to a request beyond a limit.
#[derive(Default, Clone)]
pub(super) struct Consequences {
    pub(super) log_level: Option<Level>,
    pub(super) status: Option<StatusCode>,
    pub(super) dry_run: Option<bool>,
}

impl Consequences {
    pub(super) fn merge(&mut self, parent: &Self) {
        let child = self;
        inherit!(parent, child; log_level, status, dry_run);
    }

    pub(super) fn log_level(&self) -> Level {
        self.log_level.unwrap_or(Level::Error)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run.unwrap_or(false)
    }

    pub(super) fn set_log_level(&mut self, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
        let levels = [("info", Level::Info), ("notice", Level::Notice), ("warn", Level::Warn), ("error", Level::Error)];
        let level = arguments.choice(0, &levels)?;
        arguments.set_once(&mut self.log_level, level)
    }

    pub(super) fn set_status(&mut self, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
        let code = arguments.number(0, 400..=599)?;
        let status = u16::try_from(code).ok().and_then(StatusCode::new).ok_or_else(|| arguments.invalid_value(0))?;
        arguments.set_once(&mut self.status, status)
    }

    pub(super) fn set_dry_run(&mut self, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
        let flag = arguments.flag(0)?;
        arguments.set_once(&mut self.dry_run, flag)
    }
}

/// The key of a request in `zone`; `None` where it is empty or longer than `most` octets, and nothing is counted.
pub(super) fn key_of<S, V>(zone: &Zone<S, V>, request: &Request, most: usize) -> Option<Vec<u8>> {
    let key = zone.key.value(request);
    if key.len() > most {
        let (name, shown) = (&zone.state.key, String::from_utf8_lossy(&key));
        request
            .log(Level::Error, format_args!("the value of the \"{name}\" key is more than {most} bytes: \"{shown}\""));
        return None;
    }
    (!key.is_empty()).then_some(key)
}
