//! The `Location` field of redirects that are this program's own, or that it has rewritten.

use daemun_http::{HeaderId, StatusCode, target};

use crate::listener::Protocol;
use crate::request::Request;
use crate::response::Response;

/// Gives `response` the field; a path gets scheme, host and port before it, as `absolute_redirect`,
/// `server_name_in_redirect` and `port_in_redirect` of the location say.
pub fn set_location(request: &Request, response: &mut Response, target: &[u8]) {
    if !target.is_empty() {
        response.head.headers.set_known(HeaderId::Location, &location(request, target));
    }
}

/// Sends the client to the same path with a slash, so that relative links below it work.
#[must_use]
pub fn to_folder(request: &Request) -> Box<Response> {
    let mut location = Vec::with_capacity(request.uri.len() + request.args.len() + 2);
    target::escape_uri(&request.uri, &mut location);
    location.push(b'/');
    if !request.args.is_empty() {
        location.push(b'?');
        location.extend_from_slice(&request.args);
    }
    let mut response = Response::new(StatusCode::MOVED_PERMANENTLY);
    set_location(request, &mut response, &location);
    response
}

/// The value of a `Location` that leads to `target`.
#[must_use]
pub fn location(request: &Request, target: &[u8]) -> Vec<u8> {
    let is_path = target.first() == Some(&b'/');
    let mut value = Vec::with_capacity(target.len() + 64);
    if is_path && request.core().absolute_redirect() {
        write_origin(request, &mut value);
    }
    value.extend_from_slice(target);
    value
}

/// The port that clients connect to: behind another web server not the one this program listens on.
fn public_port(request: &Request) -> Option<u16> {
    match request.client.protocol {
        Protocol::Http => request.client.local_port,
        Protocol::Uwsgi | Protocol::Scgi | Protocol::FastCgi => request.head.port(),
    }
}

/// Writes `http://host:port`; nothing where there is neither a name nor an address.
fn write_origin(request: &Request, out: &mut Vec<u8>) {
    let core = request.core();
    let client = &request.client;
    let host = if core.server_name_in_redirect() { Some(request.server().first_name()) } else { request.head.host() };
    let address = client.local_address();
    let (host, is_literal) = match host.filter(|host| !host.is_empty()) {
        Some(host) => (host, false),
        None if client.local_port.is_none() => return, // A unix socket has no address that a client could use.
        None => (address.as_bytes(), address.as_bytes().contains(&b':')),
    };
    out.extend_from_slice(request.scheme().as_bytes());
    out.extend_from_slice(b"://");
    if is_literal {
        out.push(b'[');
    }
    out.extend_from_slice(host);
    if is_literal {
        out.push(b']');
    }
    let default_port = if request.is_https { 443 } else { 80 };
    if let Some(port) = public_port(request).filter(|port| *port != default_port && core.port_in_redirect()) {
        out.push(b':');
        out.extend_from_slice(port.to_string().as_bytes());
    }
}
