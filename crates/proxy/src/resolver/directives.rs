//! `resolver` and `resolver_timeout`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Arity, Diagnostic, Directive, parse_seconds};
use daemun_server::Module;
use daemun_server::config::{Build, HTTP_SERVER_LOCATION};

use super::Resolver;
use crate::health_check::PassedTo;
use crate::upstream::UpstreamAddress;

/// Named once, in the program's list of modules, before all that look names up.
pub static MODULE: Module<ResolverSettings> = Module {
    name: "resolver",
    directives: &[
        Directive {
            name: "resolver",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::AtLeast(1),
            default: "none",
            help: "address ... [valid=time] [ipv4=on|off] [ipv6=on|off]: who is asked for names while requests are served",
            set: |settings, arguments| {
                let resolver = Arc::new(read_resolver(arguments)?);
                arguments.set_once(&mut settings.resolver, resolver)
            },
        },
        Directive {
            name: "resolver_timeout",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "30s",
            help: "time: how long a name is waited for",
            set: |settings, arguments| {
                let time = arguments.time(0)?;
                arguments.set_once(&mut settings.timeout, time)
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; resolver, timeout);
    },
    finish: publish,
    is_active: |_| true, // Every block says who looks names up in it.
    phases: &[],
    filters: &[],
    variables: &[],
};

/// Settings of one block.
#[derive(Default)]
pub struct ResolverSettings {
    resolver: Option<Arc<Resolver>>,
    timeout: Option<Duration>,
}

/// The resolver of the block that is being closed: what a module's `finish` asks `Build::published` for and keeps.
#[derive(Clone, Debug)]
pub struct ResolverInForce {
    /// `None` where there is no `resolver`: a name that must be looked up is an error.
    pub resolver: Option<Arc<Resolver>>,
    /// How long a name is waited for.
    pub timeout: Duration,
}

/// nginx's default.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Default for ResolverInForce {
    fn default() -> Self {
        Self { resolver: None, timeout: TIMEOUT }
    }
}

fn publish(settings: &mut ResolverSettings, build: &mut Build<'_>) -> Result<(), Diagnostic> {
    let (resolver, timeout) = (settings.resolver.clone(), settings.timeout.unwrap_or(TIMEOUT));
    build.publish(ResolverInForce { resolver, timeout });
    // Each block has its own, if it passes requests on at all.
    build.publish(None::<PassedTo>);
    Ok(())
}

/// Reads the words of a `resolver` line.
///
/// # Errors
/// In nginx's words.
pub fn read_resolver(arguments: &Arguments<'_>) -> Result<Resolver, ArgumentError> {
    let (mut servers, mut valid, mut wants_v4, mut wants_v6) = (Vec::new(), None, true, true);
    for (position, word) in arguments.words().iter().enumerate() {
        let text = word.text.as_str();
        let error = |message: String| ArgumentError::new(Some(position), message);
        let invalid = || error(format!("invalid parameter: {text}"));
        let flag = |value: &str| match value {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(invalid()),
        };
        match text.split_once('=') {
            Some(("valid", value)) => valid = Some(parse_seconds(value).ok_or_else(invalid)?),
            Some(("ipv4", value)) => wants_v4 = flag(value)?,
            Some(("ipv6", value)) => wants_v6 = flag(value)?,
            Some(("status_zone", _)) => {
                return Err(error("the parameter \"status_zone\" is not supported by daemun yet".to_owned()));
            }
            _ => servers.extend(server_addresses(text).map_err(error)?),
        }
    }
    if !wants_v4 && !wants_v6 {
        return Err(ArgumentError::new(None, "\"ipv4\" and \"ipv6\" cannot both be \"off\""));
    }
    if servers.is_empty() {
        return Err(ArgumentError::new(None, "no name servers defined"));
    }
    Ok(Resolver::new(servers, valid.filter(|time| !time.is_zero()), wants_v4, wants_v6))
}

fn server_addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let found =
        UpstreamAddress::parse(text, Some(53)).map_err(|message| message.replace("in upstream", "in resolver"))?;
    let address = |address: UpstreamAddress| match address {
        UpstreamAddress::Inet(address) => Ok(address),
        UpstreamAddress::Unix(_) => Err(format!("invalid host in resolver \"{text}\"")),
    };
    found.into_iter().map(address).collect()
}
