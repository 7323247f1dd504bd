//! What setters of the table have in common, and those that are too long for it.

use std::num::NonZeroU32;
use std::time::Duration;

use daemun_conf::Diagnostic;

use crate::options::address::SocketAddress;
use crate::options::pool::{LogTarget, PoolOptions, PoolSocket, Protocol, StaticMap};
use crate::options::setting::Value;

#[expect(clippy::unnecessary_wraps, reason = "ends setters, which return a result")]
pub(crate) fn put<T>(setting: &mut Option<T>, value: T) -> Result<(), Diagnostic> {
    *setting = Some(value);
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "ends setters, which return a result")]
pub(crate) fn add<T>(list: &mut Vec<T>, value: T) -> Result<(), Diagnostic> {
    list.push(value);
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "a setter")]
pub(crate) fn nothing(_: &mut PoolOptions, _: &mut Value<'_>) -> Result<(), Diagnostic> {
    Ok(())
}

pub(crate) fn count(value: &mut Value<'_>) -> Result<NonZeroU32, Diagnostic> {
    let number = value.small_number(1..=COUNT_MAX)?;
    NonZeroU32::new(number).ok_or_else(|| value.invalid("it must be 1 or more"))
}

pub(crate) fn mount(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let (place, application) = value.pair()?;
    if !place.starts_with('/') || place.contains('|') {
        return Err(value.invalid("it must be /PATH=APPLICATION: server names are for nginx.conf"));
    }
    if application.is_empty() {
        return Err(value.invalid("which application is it?"));
    }
    add(&mut pool.mounts, (place, application))
}

pub(crate) fn static_map(
    pool: &mut PoolOptions,
    value: &mut Value<'_>,
    appends_whole_path: bool,
) -> Result<(), Diagnostic> {
    let (place, path) = value.pair()?;
    add(&mut pool.static_files.maps, StaticMap { place, path: path.into(), appends_whole_path })
}

pub(crate) fn threads(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let by_need = value.text().strip_prefix("auto").filter(|rest| rest.is_empty() || rest.starts_with(':'));
    pool.threads_by_need = by_need.is_some();
    pool.threads = match by_need.map(|rest| rest.trim_start_matches(':')) {
        Some("") => THREADS_BY_NEED_MAX,
        Some(most) => most.parse().map_err(|_| value.invalid("it must be a number, auto or auto:MOST"))?,
        None => count(value)?,
    };
    Ok(())
}

/// 0 switches a time limit off.
pub(crate) fn seconds(value: &mut Value<'_>) -> Result<Option<Duration>, Diagnostic> {
    let number = value.number(0..=u64::from(u32::MAX))?;
    Ok((number > 0).then(|| Duration::from_secs(number)))
}

pub(crate) fn small(value: &mut Value<'_>) -> Result<u16, Diagnostic> {
    Ok(u16::try_from(value.number(0..=u64::from(u16::MAX))?).unwrap_or(u16::MAX))
}

/// Megabytes in bytes; 0 switches the limit off.
pub(crate) fn megabytes(value: &mut Value<'_>) -> Result<Option<u64>, Diagnostic> {
    let number = value.number(0..=u64::from(u32::MAX))?;
    Ok((number > 0).then_some(number << 20))
}

pub(crate) fn socket(
    pool: &mut PoolOptions,
    value: &mut Value<'_>,
    protocol: Option<Protocol>,
) -> Result<(), Diagnostic> {
    let address = SocketAddress::parse(value.text()).map_err(|reason| value.invalid(reason))?;
    add(&mut pool.sockets, PoolSocket { address, protocol, span: value.span() })
}

pub(crate) fn logger(pool: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let text = value.text();
    // A logger may have a name of its own: "errors file:/var/log/errors.log".
    let target = text.split_once(' ').map_or(text, |(_, target)| target.trim_start());
    let is_file = |one: &LogTarget| one.file().is_some();
    let is_standard = target == "stdio" || target.starts_with("stdio:");
    // Standard error is one or the other.
    let is_other = |one: &LogTarget| matches!(one, LogTarget::StandardOutput);
    if (is_standard && pool.loggers.iter().any(is_file))
        || (target.starts_with("file:") && pool.loggers.iter().any(is_other))
    {
        value.not_yet("a second logger");
    }
    if target == "stdio" || target.starts_with("stdio:") {
        return add(&mut pool.loggers, LogTarget::StandardOutput);
    }
    match target.strip_prefix("file:") {
        Some(path) if !path.is_empty() && !path.contains('=') => add(&mut pool.loggers, LogTarget::File(path.into())),
        _ if ["socket:", "syslog", "rsyslog:", "fd:"].iter().any(|kind| target.starts_with(kind)) => {
            add(&mut pool.loggers, LogTarget::Other(target.to_owned()))
        }
        _ => {
            value.not_yet(&format!("logger \"{text}\", which is neither a file nor stdio, a socket or syslog,"));
            Ok(())
        }
    }
}

/// Somebody has said something about the lines of requests, so they are wanted.
#[expect(clippy::unnecessary_wraps, reason = "ends setters, which return a result")]
pub(crate) fn request_lines(pool: &mut PoolOptions) -> Result<(), Diagnostic> {
    pool.logs.is_asked = true;
    Ok(())
}

pub(crate) fn encoder(value: &mut Value<'_>) -> Result<(), Diagnostic> {
    let name = value.text().split([' ', ':']).next().unwrap_or_default();
    match name {
        "prefix" | "suffix" | "nl" | "format" | "json" => Ok(()),
        _ => Err(value.invalid("it must be prefix, suffix, nl, format or json")),
    }
}

pub(crate) fn plugins(_: &mut PoolOptions, value: &mut Value<'_>) -> Result<(), Diagnostic> {
    for name in value.text().split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let stem = name.trim_start_matches("0:");
        let is_there = ["python", "http", "logfile", "corerouter"].iter().any(|known| stem.starts_with(known));
        if !is_there {
            value.not_yet(&format!("plugin \"{name}\""));
        }
    }
    Ok(())
}

/// Most threads of a worker that starts them by need, where nobody says otherwise.
const THREADS_BY_NEED_MAX: NonZeroU32 = NonZeroU32::new(24).expect("not 0");

/// Most workers, and most threads of one.
const COUNT_MAX: u32 = 4096;
