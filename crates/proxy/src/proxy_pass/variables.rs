//! `$proxy_host` and its neighbours.

use std::sync::Arc;

use daemun_http::{Framing, HeaderId};
use daemun_server::Request;
use daemun_server::variable::Variable;

use super::target::Destination;

/// Where a request goes, for the variables.
pub struct Names(pub Arc<Destination>);

/// The module's variables.
pub static VARIABLES: &[Variable] = &[
    Variable { name: "proxy_host", evaluate: |request, _, out| name(request, out, |destination| &destination.host) },
    Variable { name: "proxy_port", evaluate: |request, _, out| name(request, out, |destination| &destination.port) },
    Variable { name: "proxy_add_x_forwarded_for", evaluate: add_x_forwarded_for },
    Variable {
        name: "proxy_internal_body_length",
        evaluate: |request, _, out| {
            let length = request.body.length().filter(|_| has_body(request));
            length.map(|length| out.extend_from_slice(length.to_string().as_bytes())).is_some()
        },
    },
    Variable {
        name: "proxy_internal_chunked",
        evaluate: |request, _, out| {
            let is_chunked = request.body.length().is_none();
            if is_chunked {
                out.extend_from_slice(b"chunked");
            }
            is_chunked
        },
    },
];

fn name(request: &Request, out: &mut Vec<u8>, of: impl Fn(&Destination) -> &Arc<str>) -> bool {
    let names = request.extensions.get::<Names>();
    names.map(|names| out.extend_from_slice(of(&names.0).as_bytes())).is_some()
}

/// Whether the head announced a body, be it an empty one.
pub fn has_body(request: &Request) -> bool {
    request.headers().has(HeaderId::ContentLength) || request.head.framing() == Framing::Chunked
}

fn add_x_forwarded_for(request: &Request, _: &str, out: &mut Vec<u8>) -> bool {
    for value in request.headers().all(HeaderId::XForwardedFor) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(request.remote.address.as_bytes());
    true
}
