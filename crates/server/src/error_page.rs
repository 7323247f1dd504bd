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
    // 494 to 497 are nginx's own and go out as 400.
    if (494..=497).contains(&status.as_u16()) {
        response.head.status = StatusCode::BAD_REQUEST;
    }
    let title = title(status);
    let server = server_name(core.server_tokens());
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n{}<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n",
        explanation(status)
    );
    response.head.headers.remove_known(HeaderId::ContentLength);
    response.head.headers.set_known(HeaderId::ContentType, b"text/html");
    response.body = Body::Bytes(page.into());
}

fn title(status: StatusCode) -> String {
    match status.as_u16() {
        494 => "400 Request Header Or Cookie Too Large".to_owned(),
        495 => "400 The SSL certificate error".to_owned(),
        496 => "400 No required SSL certificate was sent".to_owned(),
        497 => "400 The plain HTTP request was sent to HTTPS port".to_owned(),
        code => format!("{code} {}", status.reason()).trim_end().to_owned(),
    }
}

fn explanation(status: StatusCode) -> &'static str {
    match status.as_u16() {
        494 => "<center>Request Header Or Cookie Too Large</center>\r\n",
        _ => "",
    }
}

/// Whether a request that ends with this status leaves the connection in an unknown state.
#[must_use]
pub fn closes_connection(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 408 | 413 | 414 | 494..=497 | 500 | 501)
}
