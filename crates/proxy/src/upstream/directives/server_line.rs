//! `server` of an `upstream` block, as it stands in a configuration.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, parse_seconds};

use super::{Upstreams, draft};
use crate::limits::{ROUTE_BYTES_MAX, SERVERS_MAX};
use crate::upstream::address::UpstreamAddress;
use crate::upstream::balance::Method;
use crate::upstream::server::{ServerSettings, ServerState};

/// Reads a line into the group whose block is being read.
pub fn set_server(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let text = arguments.text(0)?;
    let mut settings = ServerSettings::new(text);
    for (position, word) in arguments.words().iter().enumerate().skip(1) {
        set_parameter(&mut settings, &word.text).map_err(|message| ArgumentError::new(Some(position), message))?;
        if word.text == "backup" && !draft(upstreams)?.method.as_ref().is_none_or(Method::allows_backup) {
            let message = "balancing method does not support parameter \"backup\"";
            return Err(ArgumentError::new(Some(position), message));
        }
    }
    let addresses = UpstreamAddress::parse(text, Some(80)).map_err(|message| ArgumentError::new(Some(0), message))?;
    let settings = Arc::new(settings);
    let group = draft(upstreams)?;
    for address in addresses {
        if group.servers.len() >= SERVERS_MAX {
            return Err(ArgumentError::new(None, format!("more than {SERVERS_MAX} servers in one upstream")));
        }
        group.servers.push(Arc::new(ServerState::new(address, Arc::clone(&settings))));
    }
    Ok(())
}

fn set_parameter(server: &mut ServerSettings, text: &str) -> Result<(), String> {
    let invalid = || format!("invalid parameter \"{text}\"");
    let number = |value: &str| value.parse::<u32>().map_err(|_| invalid());
    match text.split_once('=') {
        None if text == "backup" => server.is_backup = true,
        None if text == "down" => server.is_down = true,
        None if text == "drain" => server.is_draining = true,
        Some(("route", "")) => return Err("route is empty".to_owned()),
        Some(("route", route)) if route.len() > ROUTE_BYTES_MAX => {
            return Err(format!("route is longer than {ROUTE_BYTES_MAX}"));
        }
        Some(("route", route)) => server.route = Some(route.into()),
        Some(("weight", value)) => {
            server.weight = number(value).and_then(|weight| if weight > 0 { Ok(weight) } else { Err(invalid()) })?;
        }
        Some(("max_conns", value)) => server.max_conns = number(value)?,
        Some(("max_fails", value)) => server.max_fails = number(value)?,
        Some(("fail_timeout", value)) => server.fail_timeout = parse_seconds(value).ok_or_else(invalid)?,
        Some(("slow_start" | "service", _)) => {
            return Err(format!("the parameter \"{text}\" of an upstream's server is not supported by daemun yet"));
        }
        None if text == "resolve" => {
            return Err(format!("the parameter \"{text}\" of an upstream's server is not supported by daemun yet"));
        }
        _ => return Err(invalid()),
    }
    Ok(())
}
