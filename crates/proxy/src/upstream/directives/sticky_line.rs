//! `sticky` as it stands in a configuration.

use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Diagnostic, Span, parse_milliseconds, parse_seconds, parse_size};
use daemun_server::Template;
use daemun_server::config::Build;
use daemun_server::zone::ZoneName;

use crate::limits::ZONE_BYTES_MIN;
use crate::upstream::sticky::{Cookie, Expires, Learn, Sessions, Sticky, is_same_site};

/// A `sticky` line, read.
pub enum StickyLine {
    /// `cookie` and `route`, which need nothing more.
    Ready(Sticky),
    /// `learn`, whose sessions are found once the configuration is built.
    Learn(LearnLine),
}

/// A `sticky learn` line, read.
pub struct LearnLine {
    create: Vec<Template>,
    lookup: Vec<Template>,
    timeout: Duration,
    after_head: bool,
    /// The zone's name.
    pub zone: String,
    octets: u64,
    span: Span,
}

impl StickyLine {
    /// Reads a line.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn read(arguments: &Arguments<'_>) -> Result<Self, ArgumentError> {
        match arguments.text(0)? {
            "cookie" => read_cookie(arguments).map(Self::Ready),
            "route" => read_route(arguments).map(Self::Ready),
            "learn" => read_learn(arguments).map(Self::Learn),
            other => Err(ArgumentError::new(Some(0), format!("unknown parameter \"{other}\""))),
        }
    }

    /// Finds the sessions that an earlier configuration has left, or begins anew.
    ///
    /// # Errors
    /// When the zone is somebody else's.
    pub fn finish(self, upstream: &str, build: &mut Build<'_>) -> Result<Sticky, Diagnostic> {
        let line = match self {
            Self::Ready(sticky) => return Ok(sticky),
            Self::Learn(line) => line,
        };
        let LearnLine { create, lookup, timeout, after_head, zone, octets, span } = line;
        let name = ZoneName { name: &zone, owner: "sticky", octets, span };
        let sessions = build.zone(&name, || Sessions::new(upstream, octets))?;
        if sessions.upstream != upstream {
            let before = &sessions.upstream;
            let message = format!(
                "sticky zone \"{zone}\" is used in upstream \"{upstream}\" while previously it was used in upstream \"{before}\""
            );
            return Err(Diagnostic::error(span, message));
        }
        Ok(Sticky::Learn(Learn { create, lookup, timeout, after_head, sessions }))
    }
}

/// What is wrong with the line as a whole.
fn wrong(message: &str) -> ArgumentError {
    ArgumentError::new(None, format!("\"sticky\" directive {message}"))
}

fn template(arguments: &Arguments<'_>, position: usize, text: &str) -> Result<Template, ArgumentError> {
    let span = arguments.word(position)?.span;
    Template::parse_at(text, Some(span)).map_err(|error| ArgumentError::new(Some(position), error.to_string()))
}

fn read_route(arguments: &Arguments<'_>) -> Result<Sticky, ArgumentError> {
    let lookup = |(position, word): (usize, &daemun_conf::Word)| match word.text.strip_prefix('$') {
        Some(_) => template(arguments, position, &word.text),
        None => Err(ArgumentError::new(Some(position), format!("invalid variable name \"{}\"", word.text))),
    };
    arguments.words().iter().enumerate().skip(1).map(lookup).collect::<Result<_, _>>().map(Sticky::Route)
}

fn read_cookie(arguments: &Arguments<'_>) -> Result<Sticky, ArgumentError> {
    let name = arguments.text(1)?.to_owned();
    if name.is_empty() {
        return Err(wrong("empty cookie name"));
    }
    let lookup = template(arguments, 1, &format!("${{cookie_{name}}}"))?;
    let mut cookie = Box::new(Cookie {
        name,
        domain: None,
        path: None,
        expires: None,
        is_http_only: false,
        is_secure: false,
        same_site: None,
    });
    for position in 2..arguments.len() {
        set_cookie_parameter(&mut cookie, arguments, position)?;
    }
    Ok(Sticky::Cookie { lookup, cookie })
}

fn set_cookie_parameter(cookie: &mut Cookie, arguments: &Arguments<'_>, position: usize) -> Result<(), ArgumentError> {
    let text = arguments.text(position)?;
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let value_of_its_own =
        || value.filter(|value| !value.is_empty()).ok_or_else(|| wrong(&format!("no value for \"{name}\"")));
    let is_repeated = match (name, value) {
        ("domain", Some(_)) => {
            let domain = template(arguments, position, value_of_its_own()?)?;
            cookie.domain.replace(domain).is_some()
        }
        ("path", Some(_)) => cookie.path.replace(value_of_its_own()?.to_owned()).is_some(),
        ("expires", Some("max")) => cookie.expires.replace(Expires::Max).is_some(),
        ("expires", Some(value)) => {
            let time = parse_seconds(value).ok_or_else(|| wrong("invalid \"expires\" parameter value"))?;
            cookie.expires.replace(Expires::After(time)).is_some()
        }
        ("httponly", None) => std::mem::replace(&mut cookie.is_http_only, true),
        ("secure", None) => std::mem::replace(&mut cookie.is_secure, true),
        ("samesite", Some(value)) => {
            let same_site = template(arguments, position, value)?;
            if same_site.as_constant().is_some_and(|constant| !is_same_site(constant)) {
                return Err(wrong("invalid \"samesite\" parameter value"));
            }
            cookie.same_site.replace(same_site).is_some()
        }
        _ => return Err(ArgumentError::new(Some(position), format!("unknown parameter \"{text}\""))),
    };
    if is_repeated { Err(wrong(&format!("parameter \"{name}\" is duplicate"))) } else { Ok(()) }
}

fn read_learn(arguments: &Arguments<'_>) -> Result<LearnLine, ArgumentError> {
    let (mut create, mut lookup, mut zone, mut timeout, mut after_head) = (Vec::new(), Vec::new(), None, None, false);
    for position in 1..arguments.len() {
        let text = arguments.text(position)?;
        match text.split_once('=') {
            None if text == "header" => after_head = true,
            Some(("zone", _)) if zone.is_some() => return Err(wrong("duplicate zone")),
            Some(("zone", value)) => zone = Some(read_zone(value)?),
            Some(("timeout", _)) if timeout.is_some() => return Err(wrong("duplicate timeout")),
            Some(("timeout", value)) => {
                let time = parse_milliseconds(value).filter(|time| !time.is_zero());
                timeout = Some(time.ok_or_else(|| wrong("invalid timeout"))?);
            }
            Some((name @ ("create" | "lookup"), value)) => {
                if !value.starts_with('$') {
                    return Err(wrong(&format!("missing variable in the \"{name}\" parameter")));
                }
                let list = if name == "create" { &mut create } else { &mut lookup };
                list.push(template(arguments, position, value)?);
            }
            _ => return Err(ArgumentError::new(Some(position), format!("unknown parameter \"{text}\""))),
        }
    }
    if lookup.is_empty() {
        return Err(wrong("\"lookup\" parameter is not specified"));
    }
    if create.is_empty() {
        return Err(wrong("\"create\" parameter is not specified"));
    }
    let (zone, octets) = zone.ok_or_else(|| wrong("\"zone\" parameter is not specified"))?;
    let timeout = timeout.unwrap_or(Duration::from_secs(600));
    Ok(LearnLine { create, lookup, timeout, after_head, zone, octets, span: arguments.span() })
}

fn read_zone(value: &str) -> Result<(String, u64), ArgumentError> {
    let (name, size) = value.split_once(':').ok_or_else(|| wrong("zone size is not specified"))?;
    if name.is_empty() {
        return Err(wrong("zone name is not specified"));
    }
    let octets = parse_size(size).ok_or_else(|| wrong("invalid zone size"))?;
    if octets < ZONE_BYTES_MIN {
        return Err(wrong("zone is too small"));
    }
    Ok((name.to_owned(), octets))
}
