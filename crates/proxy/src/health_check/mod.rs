//! `health_check`: servers of a group are asked whether they are well, whether or not there are requests for them.
//!
//! ```text
//!   HealthCheck::run -> a round per interval -> Probe::ask of every server -> Health of its ServerState
//! ```
//!
//! A server that is not well gets no requests until it is; what it is given then grows with `slow_start`.

pub mod matching;
mod probe;

use std::sync::{Arc, Weak};
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Span, parse_milliseconds};
use daemun_server::background::Background;
use daemun_server::config::Build;
use daemun_server::log::{ErrorLog, Level};
use daemun_server::{LocalFuture, Module, thread};
use tokio::task::JoinSet;

use crate::pass::UpstreamTls;
use crate::upstream::{ServerState, Upstream};
use matching::Match;
use probe::{Probe, ProbeProtocol};

/// Named once, in the program's list of modules, after all that pass requests on.
pub static MODULE: Module<HealthChecks> = Module {
    name: "health_check",
    directives: &[
        Directive {
            name: "health_check",
            contexts: Context::LOCATION,
            arity: Arity::AtLeast(0),
            default: "none",
            help: "[interval=time] [jitter=time] [fails=number] [passes=number] [uri=text] [port=number] [match=name] [mandatory [persistent]]: asks the servers of the location's group whether they are well",
            set: set_health_check,
        },
        Directive {
            name: "match",
            contexts: Context::HTTP,
            arity: Arity::Block { min: 1, max: 1 },
            default: "status 200-399",
            help: "name block: what the answer of a server that is well is like, by `status`, `header` and `body`",
            set: |checks, arguments| {
                let read = Match::read(arguments)?;
                if checks.matches.iter().any(|other| other.name == read.name) {
                    return Err(ArgumentError::new(Some(0), format!("duplicate match \"{}\"", read.name)));
                }
                checks.matches.push(Arc::new(read));
                Ok(())
            },
        },
    ],
    merge: |parent, child| child.matches.extend(parent.matches.iter().cloned()),
    finish: HealthChecks::finish,
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: &[],
};

/// Settings of one block.
#[derive(Default)]
pub struct HealthChecks {
    matches: Vec<Arc<Match>>,
    check: Option<Settings>,
}

/// The group that a location passes its requests on to: what a pass publishes for the check beside it.
#[derive(Clone)]
pub struct PassedTo {
    /// The group.
    pub upstream: Arc<Upstream>,
    /// The protocol, as log lines call it.
    pub scheme: &'static str,
    /// How connections are encrypted, where they are, and the name of the URL.
    pub encryption: Option<(Arc<UpstreamTls>, Arc<str>)>,
}

/// A `health_check` line.
struct Settings {
    interval: Duration,
    jitter: Duration,
    fails: u32,
    passes: u32,
    uri: Option<String>,
    port: Option<u16>,
    is_mandatory: bool,
    is_persistent: bool,
    expected: Option<(String, usize)>,
    span: Span,
}

fn set_health_check(checks: &mut HealthChecks, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mut settings = Settings {
        interval: Duration::from_secs(5),
        jitter: Duration::ZERO,
        fails: 1,
        passes: 1,
        uri: None,
        port: None,
        is_mandatory: false,
        is_persistent: false,
        expected: None,
        span: arguments.span(),
    };
    for (position, word) in arguments.words().iter().enumerate() {
        settings.set(position, &word.text).map_err(|message| ArgumentError::new(Some(position), message))?;
    }
    if settings.is_persistent && !settings.is_mandatory {
        return Err(ArgumentError::new(None, "\"persistent\" requires \"mandatory\""));
    }
    arguments.set_once(&mut checks.check, settings)
}

impl Settings {
    fn set(&mut self, position: usize, text: &str) -> Result<(), String> {
        let invalid = || format!("invalid parameter \"{text}\"");
        let count = |value: &str| value.parse::<u32>().ok().filter(|count| *count > 0).ok_or_else(invalid);
        match text.split_once('=') {
            None if text == "mandatory" => self.is_mandatory = true,
            None if text == "persistent" => self.is_persistent = true,
            Some(("interval", value)) => {
                self.interval = parse_milliseconds(value).filter(|time| !time.is_zero()).ok_or_else(invalid)?;
            }
            Some(("jitter", value)) => self.jitter = parse_milliseconds(value).ok_or_else(invalid)?,
            Some(("fails", value)) => self.fails = count(value)?,
            Some(("passes", value)) => self.passes = count(value)?,
            Some(("uri", value)) if value.starts_with('/') && !value.contains(char::is_whitespace) => {
                self.uri = Some(value.to_owned());
            }
            Some(("port", value)) => {
                self.port = Some(value.parse().ok().filter(|port| *port > 0).ok_or_else(invalid)?);
            }
            Some(("match", value)) if !value.is_empty() => self.expected = Some((value.to_owned(), position)),
            Some(("type" | "grpc_service" | "grpc_status" | "keepalive_time", _)) => {
                return Err(format!("the parameter \"{text}\" of \"health_check\" is not supported by daemun yet"));
            }
            _ => return Err(invalid()),
        }
        Ok(())
    }
}

impl HealthChecks {
    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        let Some(settings) = self.check.take() else { return Ok(()) };
        let error = |message: String| Diagnostic::error(settings.span, message);
        let passed = build.published::<Option<PassedTo>>().cloned().flatten();
        let Some(PassedTo { upstream, scheme, encryption }) = passed else {
            return Err(error(
                "\"health_check\" needs a location that passes requests on to an upstream group".to_owned(),
            ));
        };
        let protocol = ProbeProtocol::of_scheme(scheme).ok_or_else(|| {
            error(format!("\"health_check\" of servers that speak {scheme} is not supported by daemun yet"))
        })?;
        let encryption = encryption.map(|(tls, name)| tls.for_nobody(&name)).transpose();
        let encryption = encryption
            .map_err(|what| error(format!("\"health_check\" by TLS with {what} is not supported by daemun yet")))?;
        let expected = match &settings.expected {
            None => None,
            Some((name, _)) => {
                let found = self.matches.iter().find(|found| found.name == *name).cloned();
                Some(found.ok_or_else(|| error(format!("match \"{name}\" is not found")))?)
            }
        };
        let probe = Probe {
            protocol,
            encryption,
            uri: settings.uri.clone(),
            host: upstream.name.clone(),
            expected,
            timeout: settings.interval.clamp(TIMEOUT_MIN, TIMEOUT_MAX),
            port: settings.port,
        };
        if !upstream.begin_checks(settings.is_mandatory, settings.is_persistent) {
            let name = &upstream.name;
            return Err(error(format!(
                "a second \"health_check\" of upstream \"{name}\" is not supported by daemun yet"
            )));
        }
        build.run_beside(Arc::new(HealthCheck {
            upstream: Arc::downgrade(&upstream),
            probe: Arc::new(probe),
            interval: settings.interval,
            jitter: settings.jitter,
            fails: settings.fails,
            passes: settings.passes,
        }));
        Ok(())
    }
}

/// A server has as long for its answer as there is between two checks, within these.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Looks after the servers of one group.
struct HealthCheck {
    upstream: Weak<Upstream>,
    probe: Arc<Probe>,
    interval: Duration,
    jitter: Duration,
    fails: u32,
    passes: u32,
}

impl Background for HealthCheck {
    fn run(self: Arc<Self>, log: ErrorLog) -> LocalFuture<'static, ()> {
        Box::pin(async move {
            while let Some(upstream) = self.upstream.upgrade() {
                self.round(&upstream, &log).await;
                drop(upstream);
                tokio::time::sleep(self.pause()).await;
            }
        })
    }
}

impl HealthCheck {
    /// Asks every server at once, and waits for all of them.
    async fn round(&self, upstream: &Upstream, log: &ErrorLog) {
        let mut probes = JoinSet::new();
        for server in upstream.roster().servers() {
            let (server, probe) = (Arc::clone(server), Arc::clone(&self.probe));
            probes.spawn_local(async move {
                let result = probe.ask(&server.address).await;
                (server, result)
            });
        }
        while let Some(probed) = probes.join_next().await {
            let Ok((server, result)) = probed else { continue };
            let result = result.map_err(|error| error.to_string());
            self.note(&server, result, &upstream.name, log);
        }
    }

    fn note(&self, server: &ServerState, result: Result<(), String>, group: &str, log: &ErrorLog) {
        let name = &server.name;
        match result {
            Ok(()) => {
                if server.health.pass(self.passes) {
                    server.begin_slow_start();
                    log.write(Level::Notice, format_args!("peer {name} in upstream \"{group}\" is healthy"));
                }
            }
            Err(why) => {
                if server.health.fail(self.fails) {
                    let text = format_args!("peer {name} in upstream \"{group}\" is unhealthy: {why}");
                    log.write(Level::Warn, text);
                }
            }
        }
    }

    fn pause(&self) -> Duration {
        let most = u64::try_from(self.jitter.as_millis()).unwrap_or(0);
        self.interval + Duration::from_millis(thread::random().checked_rem(most).unwrap_or(0))
    }
}
