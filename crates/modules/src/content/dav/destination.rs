//! What the head of a request says beside its path: `Destination`, `Depth`, `Overwrite`.

use daemun_http::{HeaderId, StatusCode, target};
use daemun_server::config::WHOLE_PATH;
use daemun_server::{Outcome, Request};

use super::{Depth, refused};

/// The path, decoded, that `Destination` names.
///
/// # Errors
/// 400 where there is none, or it is another server's.
pub(super) fn uri(request: &Request) -> Result<Vec<u8>, Outcome> {
    let bad = |message: std::fmt::Arguments<'_>| refused(request, StatusCode::BAD_REQUEST, message);
    let Some(value) = request.headers().first(HeaderId::Destination) else {
        return Err(bad(format_args!("client sent no \"Destination\" header")));
    };
    let shown = String::from_utf8_lossy(value);
    let invalid = || bad(format_args!("client sent invalid \"Destination\" header: \"{shown}\""));
    let raw = if value.first() == Some(&b'/') { value } else { path_of_url(request, value)?.ok_or_else(invalid)? };
    let mut uri = Vec::with_capacity(raw.len());
    let parts = target::split(raw);
    target::normalize(parts.path, request.core().merge_slashes(), &mut uri).map_err(|_| invalid())?;
    if super::is_folder(&request.uri) != super::is_folder(&uri) {
        let from = String::from_utf8_lossy(&request.uri);
        let message = format_args!(
            "both URI \"{from}\" and \"Destination\" URI \"{shown}\" should be either collections or non-collections"
        );
        return Err(refused(request, StatusCode::CONFLICT, message));
    }
    // What `alias` replaces must be there; nginx looks at its length alone.
    let location = request.location();
    let replaced = if location.core.alias.is_some() { location.prefix_length() } else { 0 };
    if replaced != WHOLE_PATH && uri.get(..replaced) != request.uri.get(..replaced) {
        return Err(invalid());
    }
    Ok(uri)
}

/// What follows the host of a URL of this server's own; `None` where the URL has no path.
fn path_of_url<'a>(request: &Request, url: &'a [u8]) -> Result<Option<&'a [u8]>, Outcome> {
    let bad = |message: std::fmt::Arguments<'_>| refused(request, StatusCode::BAD_REQUEST, message);
    let Some(host) = request.head.host().filter(|host| !host.is_empty()) else {
        return Err(bad(format_args!("client sent no \"Host\" header")));
    };
    let scheme = [request.scheme().as_bytes(), b"://"].concat();
    let Some(rest) = url.strip_prefix(scheme.as_slice()) else { return Ok(None) };
    let end = rest.iter().position(|octet| matches!(octet, b'/' | b':')).unwrap_or(rest.len());
    let (named, rest) = rest.split_at(end);
    if !named.eq_ignore_ascii_case(host) {
        let shown = String::from_utf8_lossy(url);
        let message =
            format_args!("\"Destination\" URI \"{shown}\" is handled by different repository than the source URI");
        return Err(bad(message));
    }
    Ok(rest.iter().position(|octet| *octet == b'/').map(|at| &rest[at..]))
}

/// `Depth`, or `default` without one; `None` for what is no depth.
pub(super) fn depth(request: &Request, default: Depth) -> Option<Depth> {
    match request.headers().first(HeaderId::Depth) {
        None => Some(default),
        Some(b"0") => Some(Depth::Zero),
        Some(b"1") => Some(Depth::One),
        Some(b"infinity") => Some(Depth::Infinity),
        Some(other) => {
            let shown = String::from_utf8_lossy(other);
            let _ = refused(
                request,
                StatusCode::BAD_REQUEST,
                format_args!("client sent invalid \"Depth\" header: \"{shown}\""),
            );
            None
        }
    }
}

/// Whether something that stands at the destination may be replaced.
///
/// # Errors
/// 400 for what is neither T nor F.
pub(super) fn overwrites(request: &Request) -> Result<bool, Outcome> {
    match request.headers().first(HeaderId::Overwrite) {
        None | Some(b"T" | b"t") => Ok(true),
        Some(b"F" | b"f") => Ok(false),
        Some(other) => {
            let shown = String::from_utf8_lossy(other);
            let message = format_args!("client sent invalid \"Overwrite\" header: \"{shown}\"");
            Err(refused(request, StatusCode::BAD_REQUEST, message))
        }
    }
}
