//! How the http core's directives with more than one plain argument are read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Diagnostic};
use daemun_http::StatusCode;

use super::{
    Core, ErrorLogPlace, ErrorLogSetting, ErrorPage, IfModifiedSince, KeepAliveDisable, OpenFileCache, ServerTokens,
};
use crate::body::BodyFolder;
use crate::config::setter;
use crate::log::{Level, Syslog};

pub(super) fn set_root(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    if core.alias.is_some() {
        return Err(ArgumentError::new(
            None,
            "\"root\" directive is duplicate, \"alias\" directive was specified earlier",
        ));
    }
    let root = setter::template(arguments, 0)?;
    arguments.set_once(&mut core.root, root)
}

pub(super) fn set_alias(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    if core.root.is_some() {
        return Err(ArgumentError::new(
            None,
            "\"alias\" directive is duplicate, \"root\" directive was specified earlier",
        ));
    }
    arguments.set_once(&mut core.alias, setter::template(arguments, 0)?)
}

pub(super) fn set_tcp_nopush(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let is_on = arguments.flag(0)?;
    if !is_on {
        let message = "\"tcp_nopush off\" has no effect in daemun: the head always leaves together with the first octets of the file";
        arguments.report(Diagnostic::notice(arguments.span(), message));
    }
    arguments.set_once(&mut core.tcp_nopush, is_on)
}

pub(super) fn set_types(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mut types = core.types.take().map(|types| (*types).clone()).unwrap_or_default();
    for node in arguments.block().unwrap_or_default() {
        for extension in &node.args {
            types.insert(extension.text.to_ascii_lowercase().into_bytes(), node.name.text.clone().into_bytes());
        }
    }
    core.types = Some(Arc::new(types));
    Ok(())
}

pub(super) fn set_keepalive_timeout(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    if arguments.len() == 2 {
        core.keepalive_header = Some(arguments.time(1)?);
    }
    arguments.set_once(&mut core.keepalive_timeout, arguments.time(0)?)
}

pub(super) fn set_keepalive_disable(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mut disable = KeepAliveDisable::default();
    for index in 0..arguments.len() {
        match arguments.text(index)? {
            "none" => {}
            "msie6" => disable.msie6 = true,
            "safari" => disable.safari = true,
            other => return Err(ArgumentError::new(Some(index), format!("invalid value \"{other}\""))),
        }
    }
    arguments.set_once(&mut core.keepalive_disable, disable)
}

pub(super) fn set_server_tokens(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let text = arguments.text(0)?;
    let tokens = match text.to_ascii_lowercase().as_str() {
        "on" | "build" => ServerTokens::On,
        "off" => ServerTokens::Off,
        _ => return Err(ArgumentError::new(None, format!("invalid value \"{text}\""))),
    };
    arguments.set_once(&mut core.server_tokens, tokens)
}

pub(super) fn set_if_modified_since(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mode = match arguments.text(0)? {
        "off" => IfModifiedSince::Off,
        "exact" => IfModifiedSince::Exact,
        "before" => IfModifiedSince::Before,
        other => return Err(ArgumentError::new(None, format!("invalid value \"{other}\""))),
    };
    arguments.set_once(&mut core.if_modified_since, mode)
}

pub(super) fn set_error_page(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let last = arguments.len() - 1;
    let mut replacement = None;
    let mut statuses_end = last;
    if let Some(text) = arguments.text(last - 1)?.strip_prefix('=') {
        statuses_end = last - 1;
        replacement = Some(match text {
            "" => None,
            code => Some(
                status(code, 200..=599)
                    .ok_or_else(|| ArgumentError::new(None, format!("invalid value \"={code}\"")))?,
            ),
        });
    }
    let mut statuses = Vec::new();
    for index in 0..statuses_end {
        let text = arguments.text(index)?;
        let valid = status(text, 300..=599).filter(|status| status.as_u16() != 499);
        statuses.push(
            valid.ok_or_else(|| ArgumentError::new(None, format!("value \"{text}\" must be between 300 and 599")))?,
        );
    }
    if statuses.is_empty() {
        return Err(ArgumentError::new(None, "invalid number of arguments in \"error_page\" directive"));
    }
    let page = ErrorPage { statuses, replacement, target: setter::template(arguments, last)? };
    let mut pages = core.error_pages.take().map(|pages| (*pages).clone()).unwrap_or_default();
    pages.push(page);
    core.error_pages = Some(Arc::new(pages));
    Ok(())
}

fn status(text: &str, range: std::ops::RangeInclusive<u16>) -> Option<StatusCode> {
    text.parse().ok().filter(|code| range.contains(code)).and_then(StatusCode::new)
}

pub(super) fn set_open_file_cache(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mut files_max = None;
    let mut inactive = Duration::from_secs(60);
    for index in 0..arguments.len() {
        let text = arguments.text(index)?;
        if text == "off" {
            return arguments.set_once(&mut core.open_file_cache, None);
        } else if let Some(value) = text.strip_prefix("max=") {
            files_max = value.parse().ok().filter(|max| *max > 0);
        } else if let Some(value) = text.strip_prefix("inactive=") {
            inactive = daemun_conf::parse_milliseconds(value)
                .ok_or_else(|| ArgumentError::new(None, format!("invalid \"open_file_cache\" parameter \"{text}\"")))?;
        } else {
            return Err(ArgumentError::new(None, format!("invalid \"open_file_cache\" parameter \"{text}\"")));
        }
    }
    let files_max =
        files_max.ok_or_else(|| ArgumentError::new(None, "\"open_file_cache\" must have the \"max\" parameter"))?;
    arguments.set_once(&mut core.open_file_cache, Some(OpenFileCache { files_max, inactive }))
}

pub(super) fn set_large_client_header_buffers(
    core: &mut Core,
    arguments: &mut Arguments<'_>,
) -> Result<(), ArgumentError> {
    let value = (arguments.number(0, 1..=u64::from(u16::MAX))?, arguments.size(1)?);
    if value.1 == 0 {
        return Err(ArgumentError::new(Some(1), "\"large_client_header_buffers\" directive invalid value"));
    }
    arguments.set_once(&mut core.large_client_header_buffers, value)
}

pub(super) fn set_error_log(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let text = arguments.text(0)?;
    let place = match text.strip_prefix("syslog:") {
        Some(server) => {
            ErrorLogPlace::Syslog(Syslog::parse(server).map_err(|error| ArgumentError::new(Some(0), error))?)
        }
        None if text == "stderr" => ErrorLogPlace::Stderr,
        None if text.starts_with("memory:") => {
            return Err(ArgumentError::new(Some(0), format!("error_log \"{text}\" is not supported by daemun yet")));
        }
        None => ErrorLogPlace::File(PathBuf::from(text)),
    };
    let level = match arguments.len() {
        1 => Level::Error,
        2 => setter::level(arguments, 1)?,
        _ => read_debug_levels(arguments)?,
    };
    let mut logs = core.error_log.take().map(|logs| (*logs).clone()).unwrap_or_default();
    logs.push(ErrorLogSetting { place, level });
    core.error_log = Some(Arc::new(logs));
    Ok(())
}

/// Several levels: parts of what is for developers, each once.
fn read_debug_levels(arguments: &Arguments<'_>) -> Result<Level, ArgumentError> {
    for index in 1..arguments.len() {
        let text = arguments.text(index)?;
        if !text.starts_with("debug_") || Level::parse(text).is_none() {
            return Err(ArgumentError::new(Some(index), format!("invalid log level \"{text}\"")));
        }
        if arguments.words().iter().take(index).any(|word| word.text == text) {
            return Err(ArgumentError::new(Some(index), format!("duplicate log level \"{text}\"")));
        }
    }
    Ok(Level::Debug)
}

pub(super) fn set_client_body_temp_path(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let path = arguments.path(0)?.to_path_buf();
    let mut levels = Vec::new();
    for index in 1..arguments.len() {
        let level = arguments.text(index)?.parse().ok().filter(|level| (1..=3).contains(level));
        levels.push(level.ok_or_else(|| arguments.invalid_value(index))?);
    }
    arguments.set_once(&mut core.client_body_temp_path, BodyFolder { path, levels })
}

pub(super) fn set_early_hints(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let templates = (0..arguments.len()).map(|at| setter::template(arguments, at)).collect::<Result<Vec<_>, _>>()?;
    arguments.set_once(&mut core.early_hints, Arc::new(templates))
}
