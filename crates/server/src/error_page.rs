//! The program's own pages for statuses without a body.

use daemun_http::{HeaderId, StatusCode};

use crate::config::ServerTokens;
use crate::request::Request;
use crate::response::{Body, Response};

/// Name and version, as `Server` and error pages tell them.
#[must_use]
pub fn server_name(tokens: ServerTokens) -> &'static str {
    match tokens {
        ServerTokens::On => concat!("daemun/", env!("CARGO_PKG_VERSION")),
        ServerTokens::Off => "daemun",
    }
}

/// Gives `response` the page for its status.
pub fn fill(request: &Request, response: &mut Response) {
    let core = request.core();
    let status = response.head.status;
    if status.as_u16() < 300 || status == StatusCode::NOT_MODIFIED {
        return;
    }
    let agent = request.headers().first(HeaderId::UserAgent).map_or(Agent::Other, Agent::of);
    if agent == Agent::Msie && core.msie_refresh() && refresh(response) {
        return;
    }
    // 494 to 497 are nginx's own and go out as 400, with a word on the cause.
    response.head.status = status.on_the_wire();
    let phrase = match response.head.status {
        StatusCode::UNAUTHORIZED => "Authorization Required", // The page's word, not the status line's.
        status => status.reason(),
    };
    if phrase.is_empty() {
        return; // A status that nginx has no name for has no page either.
    }
    let code = response.head.status;
    let (title, explanation) = match cause(status) {
        Some(cause) => (cause, format!("<center>{cause}</center>\r\n")),
        None => (phrase, String::new()),
    };
    let server = server_name(core.server_tokens());
    let is_padded = agent != Agent::Other && core.msie_padding() && status.as_u16() >= 400;
    let padding = if is_padded { PADDING.repeat(PADDING_LINES) } else { String::new() };
    let page = format!(
        "<html>\r\n<head><title>{code} {title}</title></head>\r\n<body>\r\n<center><h1>{code} {phrase}</h1></center>\r\n{explanation}<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n{padding}"
    );
    response.head.headers.remove_known(HeaderId::ContentLength);
    response.head.headers.set_known(HeaderId::ContentType, b"text/html");
    response.body = Body::Bytes(page.into());
}

/// What shows short error pages as pages of its own: Internet Explorer, and Chrome after its manner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agent {
    Msie,
    Chrome,
    Other,
}

impl Agent {
    fn of(agent: &[u8]) -> Self {
        let has = |name: &[u8]| agent.windows(name.len()).any(|window| window == name);
        match () {
            () if has(b"Opera") => Self::Other,
            () if has(b"MSIE ") => Self::Msie,
            () if has(b"Chrome/") && !has(b"Gecko/") => Self::Chrome,
            () => Self::Other,
        }
    }
}

/// `msie_refresh`: a page that sends the browser elsewhere in place of a redirect. False where the answer is none.
fn refresh(response: &mut Response) -> bool {
    let is_redirect = matches!(response.head.status.as_u16(), 301 | 302);
    let Some(target) = response.head.headers.first(HeaderId::Location).filter(|_| is_redirect) else { return false };
    let mut page = b"<html><head><meta http-equiv=\"Refresh\" content=\"0; URL=".to_vec();
    for octet in target {
        match octet {
            0..=b' ' | b'"' | b'%' | b'\'' | 0x7f.. => page.extend_from_slice(format!("%{octet:02X}").as_bytes()),
            octet => page.push(*octet),
        }
    }
    page.extend_from_slice(b"\"></head><body></body></html>\r\n");
    response.head.headers.remove_known(HeaderId::Location);
    response.head.status = StatusCode::OK;
    response.head.headers.set_known(HeaderId::ContentType, b"text/html");
    response.body = Body::Bytes(page.into());
    true
}

/// With so many lines of padding a page has more than the 512 octets below which it is not shown.
const PADDING_LINES: usize = 6;

const PADDING: &str = "<!-- so that Internet Explorer and Chrome show this page, it is a little longer -->\r\n";

/// What a page for 400 says of nginx's finer distinctions.
fn cause(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        494 => Some("Request Header Or Cookie Too Large"),
        495 => Some("The SSL certificate error"),
        496 => Some("No required SSL certificate was sent"),
        497 => Some("The plain HTTP request was sent to HTTPS port"),
        _ => None,
    }
}

/// Whether a request that ends with this status leaves the connection in an unknown state.
#[must_use]
pub fn closes_connection(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 408 | 413 | 414 | 494..=497 | 500 | 501)
}
