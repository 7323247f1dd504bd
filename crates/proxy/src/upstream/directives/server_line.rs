//! `server` of an `upstream` block, as it stands in a configuration.

use std::net::IpAddr;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, parse_milliseconds, parse_seconds};

use super::{Upstreams, draft};
use crate::limits::{ROUTE_BYTES_MAX, SERVERS_MAX};
use crate::upstream::address::{Place, UpstreamAddress};
use crate::upstream::balance::Method;
use crate::upstream::resolving::ServerName;
use crate::upstream::server::{ServerSettings, ServerState};

/// Reads a line into the group whose block is being read.
pub fn set_server(upstreams: &mut Upstreams, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let text = arguments.text(0)?;
    let mut line = ServerLine { settings: ServerSettings::new(text), resolves: false, service: None };
    for (position, word) in arguments.words().iter().enumerate().skip(1) {
        line.set_parameter(&word.text).map_err(|message| ArgumentError::new(Some(position), message))?;
        let method = draft(upstreams)?.method.as_ref();
        let is_refused = match word.text.as_str() {
            "backup" => !method.is_none_or(Method::allows_backup),
            text => text.starts_with("slow_start=") && !method.is_none_or(Method::allows_slow_start),
        };
        if is_refused {
            let message = format!("balancing method does not support parameter \"{}\"", word.text);
            return Err(ArgumentError::new(Some(position), message));
        }
    }
    let error = |message: String| ArgumentError::new(Some(0), message);
    if line.service.is_some() && !line.resolves {
        return Err(error(format!("service upstream \"{text}\" requires \"resolve\" parameter")));
    }
    let group = draft(upstreams)?;
    let room = SERVERS_MAX.saturating_sub(group.servers.len() + group.names.len());
    if let Some(name) = line.name_to_resolve(text).map_err(error)? {
        if room == 0 {
            return Err(error(format!("more than {SERVERS_MAX} servers in one upstream")));
        }
        group.names.push(name);
        return Ok(());
    }
    let addresses = UpstreamAddress::parse(text, Some(80)).map_err(error)?;
    if addresses.len() > room {
        return Err(error(format!("more than {SERVERS_MAX} servers in one upstream")));
    }
    let settings = Arc::new(line.settings);
    group
        .servers
        .extend(addresses.into_iter().map(|address| Arc::new(ServerState::new(address, Arc::clone(&settings)))));
    Ok(())
}

/// The parameters of a line.
struct ServerLine {
    settings: ServerSettings,
    resolves: bool,
    service: Option<String>,
}

impl ServerLine {
    /// The name that is looked up while requests are served; `None` where the line has an address, or does not want it.
    fn name_to_resolve(&self, text: &str) -> Result<Option<ServerName>, String> {
        if !self.resolves {
            return Ok(None);
        }
        let place = Place::parse(text).map_err(|message| format!("{message} in upstream \"{text}\""))?;
        let (host, port) = match place {
            Place::Host { host, port } if host.parse::<IpAddr>().is_err() => (host, port),
            _ if self.service.is_some() => return Err(format!("service upstream \"{text}\" requires domain name")),
            _ => return Ok(None),
        };
        if self.service.is_some() && port.is_some() {
            return Err(format!("service upstream \"{text}\" may not have port"));
        }
        let settings = Arc::new(self.settings.clone());
        Ok(Some(ServerName { host, port: port.unwrap_or(80), service: self.service.clone(), settings }))
    }

    fn set_parameter(&mut self, text: &str) -> Result<(), String> {
        match text.split_once('=') {
            None if text == "resolve" => self.resolves = true,
            Some(("service", "")) => return Err("service is empty".to_owned()),
            Some(("service", service)) => self.service = Some(service.to_owned()),
            _ => return set_parameter(&mut self.settings, text),
        }
        Ok(())
    }
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
        Some(("slow_start", value)) => server.slow_start = parse_milliseconds(value).ok_or_else(invalid)?,
        Some(("fail_timeout", value)) => server.fail_timeout = parse_seconds(value).ok_or_else(invalid)?,
        _ => return Err(invalid()),
    }
    Ok(())
}
