//! The program's own pages for statuses without a body.

use daemun_http::{HeaderId, StatusCode};

use crate::config::{Core, ServerTokens};
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
pub fn fill(core: &Core, response: &mut Response) {
    let status = response.head.status;
    if status.as_u16() < 300 || status == StatusCode::NOT_MODIFIED {
        return;
    }
    // 494 to 497 are nginx's own and go out as 400, with a word on the cause.
    response.head.status = status.on_the_wire();
    let phrase = match response.head.status {
        // The page's words, not the status line's.
        StatusCode::UNAUTHORIZED => "Authorization Required",
        StatusCode::FOUND => "Found",
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
    let page = format!(
        "<html>\r\n<head><title>{code} {title}</title></head>\r\n<body>\r\n<center><h1>{code} {phrase}</h1></center>\r\n{explanation}<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
    );
    response.head.headers.remove_known(HeaderId::ContentLength);
    response.head.headers.set_known(HeaderId::ContentType, b"text/html");
    response.body = Body::Bytes(page.into());
}

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
