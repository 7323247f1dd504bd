//! How bodies and answers cross the connection: `limit_rate`, `lingering_close`, `client_body_in_file_only` and their
//! neighbours.

use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Arity, Directive, parse_size};

use super::{Core, HTTP_SERVER, WITH_IF};
use crate::body::InFile;
use crate::config::{HTTP_SERVER_LOCATION, inherit, setter};
use crate::connection::Rate;
use crate::log::Level;
use crate::request::Request;
use crate::variable::Template;

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Transfer {
    limit_rate: Option<Template>,
    limit_rate_after: Option<Template>,
    reset_timedout_connection: Option<bool>,
    lingering_close: Option<LingeringClose>,
    lingering_time: Option<Duration>,
    lingering_timeout: Option<Duration>,
    body_in_file: Option<InFile>,
    body_early_read: Option<Vec<Template>>,
    disable_symlinks: Option<DisableSymlinks>,
}

/// `disable_symlinks`.
#[derive(Clone)]
pub struct DisableSymlinks {
    /// Which links are not followed.
    pub mode: LinkMode,
    /// The front of a path that is not looked at.
    pub from: Option<Template>,
}

/// Which symbolic links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode {
    /// All are followed.
    Off,
    /// None is.
    On,
    /// None that belongs to another user than what it leads to.
    IfNotOwner,
}

/// `lingering_close`: whether a connection that ends still takes what its client sends, so that it sees the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LingeringClose {
    /// Never.
    Off,
    /// Where something is to be expected.
    On,
    /// Always.
    Always,
}

pub(super) const DIRECTIVES: &[Directive<Core>] = &[
    Directive {
        name: "limit_rate",
        contexts: WITH_IF,
        arity: Arity::Exactly(1),
        default: "0",
        help: "rate: octets of an answer that go out in a second; 0 is no limit",
        set: |core, arguments| {
            let rate = read_rate(arguments)?;
            arguments.set_once(&mut core.transfer.limit_rate, rate)
        },
    },
    Directive {
        name: "limit_rate_after",
        contexts: WITH_IF,
        arity: Arity::Exactly(1),
        default: "0",
        help: "size: octets of an answer that go out before limit_rate holds",
        set: |core, arguments| {
            let size = read_rate(arguments)?;
            arguments.set_once(&mut core.transfer.limit_rate_after, size)
        },
    },
    Directive {
        name: "reset_timedout_connection",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Flag,
        default: "off",
        help: "on|off: connections that took nothing in time, and those ended by 444, are reset",
        set: |core, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut core.transfer.reset_timedout_connection, flag)
        },
    },
    Directive {
        name: "lingering_close",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "on",
        help: "off|on|always: whether a connection that ends still takes what its client sends; on: where something is to be expected",
        set: |core, arguments| {
            let choices =
                [("off", LingeringClose::Off), ("on", LingeringClose::On), ("always", LingeringClose::Always)];
            let value = arguments.choice(0, &choices)?;
            arguments.set_once(&mut core.transfer.lingering_close, value)
        },
    },
    Directive {
        name: "lingering_time",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "30s",
        help: "time: how long a connection that ends takes what its client sends",
        set: |core, arguments| {
            let time = arguments.time(0)?;
            arguments.set_once(&mut core.transfer.lingering_time, time)
        },
    },
    Directive {
        name: "lingering_timeout",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "5s",
        help: "time: how long a connection that ends waits for more of its client",
        set: |core, arguments| {
            let time = arguments.time(0)?;
            arguments.set_once(&mut core.transfer.lingering_timeout, time)
        },
    },
    Directive {
        name: "client_body_in_file_only",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "off",
        help: "on|clean|off: every request body is put into a file with a name, for good or until the request ends",
        set: |core, arguments| {
            let choices = [("off", InFile::Large), ("on", InFile::Kept), ("clean", InFile::Always)];
            let value = arguments.choice(0, &choices)?;
            arguments.set_once(&mut core.transfer.body_in_file, value)
        },
    },
    Directive {
        name: "client_body_early_read",
        contexts: HTTP_SERVER,
        arity: Arity::AtLeast(1),
        default: "none",
        help: "string ...: where one of them is neither empty nor 0, the request body is read before anything else is done",
        set: |core, arguments| {
            let strings =
                (0..arguments.len()).map(|index| setter::template(arguments, index)).collect::<Result<_, _>>()?;
            arguments.set_once(&mut core.transfer.body_early_read, strings)
        },
    },
    Directive {
        name: "disable_symlinks",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Between(1, 2),
        default: "off",
        help: "off | on|if_not_owner [from=part]: symbolic links are not followed, or not to files of others; the path's front may be left out",
        set: set_disable_symlinks,
    },
];

fn set_disable_symlinks(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let (mut mode, mut from) = (None, None);
    for index in 0..arguments.len() {
        match (arguments.text(index)?, arguments.parameter(index)) {
            ("off", _) => mode = Some(LinkMode::Off),
            ("on", _) => mode = Some(LinkMode::On),
            ("if_not_owner", _) => mode = Some(LinkMode::IfNotOwner),
            (_, Some(("from", text))) => {
                let span = arguments.word(index)?.span;
                let parsed = Template::parse_at(text, Some(span));
                from = Some(parsed.map_err(|error| ArgumentError::new(Some(index), error.to_string()))?);
            }
            _ => return Err(arguments.invalid_parameter(index)),
        }
    }
    let mode = mode.ok_or_else(|| {
        let message = format!("\"{}\" must have \"off\", \"on\" or \"if_not_owner\" parameter", arguments.name());
        ArgumentError::new(None, message)
    })?;
    arguments.set_once(&mut core.transfer.disable_symlinks, DisableSymlinks { mode, from })
}

/// A size, or a text that gives one for each request.
fn read_rate(arguments: &Arguments<'_>) -> Result<Template, ArgumentError> {
    let template = setter::template(arguments, 0)?;
    let is_size = |octets: &[u8]| size_of(octets).is_some();
    match template.as_constant() {
        Some(octets) if !is_size(octets) => {
            Err(ArgumentError::new(Some(0), format!("\"{}\" directive invalid value", arguments.name())))
        }
        _ => Ok(template),
    }
}

/// Octets that a text such as `12k` names.
#[must_use]
pub(crate) fn size_of(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok().and_then(parse_size)
}

impl Transfer {
    pub(super) fn merge(parent: &Self, child: &mut Self) {
        inherit!(parent, child;
            limit_rate, limit_rate_after, reset_timedout_connection, lingering_close, lingering_time, lingering_timeout,
            body_in_file, body_early_read, disable_symlinks);
    }

    /// Octets a second for the answer to `request`, where the location limits them.
    #[must_use]
    pub fn limit_rate(&self, request: &Request) -> u64 {
        self.limit_rate.as_ref().and_then(|rate| size(rate, request)).unwrap_or(0)
    }

    /// How fast the answer to `request` may go out: what the request was given, or the location says.
    pub(crate) fn rate(&self, request: &Request) -> Option<Rate> {
        let octets = match request.limit_rate {
            Some(rate) => rate,
            None => self.limit_rate(request),
        };
        if octets == 0 {
            return None;
        }
        let after = self.limit_rate_after.as_ref().and_then(|size_text| size(size_text, request)).unwrap_or(0);
        Some(Rate { octets, after })
    }

    /// Whether a connection that took nothing in time is reset.
    #[must_use]
    pub fn reset_timedout_connection(&self) -> bool {
        self.reset_timedout_connection.unwrap_or(false)
    }

    /// Whether a connection that ends still takes what its client sends.
    #[must_use]
    pub fn lingering_close(&self) -> LingeringClose {
        self.lingering_close.unwrap_or(LingeringClose::On)
    }

    /// All of a lingering close.
    #[must_use]
    pub fn lingering_time(&self) -> Duration {
        self.lingering_time.unwrap_or(Duration::from_secs(30))
    }

    /// Time between two reads of a lingering close.
    #[must_use]
    pub fn lingering_timeout(&self) -> Duration {
        self.lingering_timeout.unwrap_or(Duration::from_secs(5))
    }

    /// Which request bodies go to files.
    #[must_use]
    pub fn body_in_file(&self) -> InFile {
        self.body_in_file.unwrap_or(InFile::Large)
    }

    /// Whether the body of `request` is read before its phases.
    #[must_use]
    pub fn reads_body_early(&self, request: &Request) -> bool {
        self.body_early_read.iter().flatten().any(|text| text.is_true(request))
    }
}

fn size(template: &Template, request: &Request) -> Option<u64> {
    let text = template.value(request);
    let size = size_of(&text);
    if size.is_none() {
        request.log(Level::Error, format_args!("invalid size \"{}\"", String::from_utf8_lossy(&text)));
    }
    size
}

/// What of these settings is asked for by the core's name.
impl Core {
    /// Which symbolic links are not followed, where that is said.
    #[must_use]
    pub fn disable_symlinks(&self) -> Option<&DisableSymlinks> {
        self.transfer.disable_symlinks.as_ref()
    }
}
