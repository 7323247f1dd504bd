//! The fields of a request to a server: `proxy_set_header`, what mainline sets itself, and the client's own.

use daemun_http::{HeaderId, write_header};
use daemun_server::{Request, Template};

use crate::pass::HeaderNames;
use crate::transport::BodyAhead;

/// One `proxy_set_header`.
#[derive(Clone)]
pub struct SetHeader {
    /// The field's name as written.
    pub name: Box<[u8]>,
    /// Its value; an empty one leaves the field out.
    pub value: Template,
}

/// The fields of all requests of a location.
#[derive(Default)]
pub struct RequestFields {
    /// `Host`, where it is set.
    host: Option<Template>,
    set: Vec<SetHeader>,
    /// The client's fields that do not go on.
    replaced: HeaderNames,
    sets_length: bool,
    sets_coding: bool,
}

impl RequestFields {
    /// The fields that `set` says, with the usual ones where it is silent.
    pub fn new(set: &[SetHeader]) -> Self {
        let mut fields = Self::default();
        for name in OWN {
            fields.replaced.insert(name.as_bytes());
        }
        for header in set {
            fields.replaced.insert(&header.name);
            match HeaderId::of(&header.name) {
                HeaderId::Host => {
                    fields.host = Some(header.value.clone());
                    continue;
                }
                HeaderId::ContentLength => fields.sets_length = true,
                HeaderId::TransferEncoding => fields.sets_coding = true,
                _ => {}
            }
            if header.value.as_constant() != Some(b"") {
                fields.set.push(header.clone());
            }
        }
        fields
    }

    /// Appends `Host`: as set, else `host`; left out where it is set to nothing, which HTTP/1.1 does not allow.
    pub fn write_host(&self, request: &Request, host: &str, must_be: bool, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(b"Host: ");
        let value = out.len();
        match &self.host {
            Some(set) => render_value(set, request, out),
            None => out.extend_from_slice(host.as_bytes()),
        }
        if out.len() == value && self.host.is_some() {
            if !must_be {
                return out.truncate(start);
            }
            out.extend_from_slice(host.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends what is set, and what tells of the body.
    pub fn write(&self, request: &Request, body: Option<BodyAhead>, out: &mut Vec<u8>) {
        for header in &self.set {
            let start = out.len();
            out.extend_from_slice(&header.name);
            out.extend_from_slice(b": ");
            let value = out.len();
            render_value(&header.value, request, out);
            if out.len() == value {
                out.truncate(start);
                continue;
            }
            out.extend_from_slice(b"\r\n");
        }
        match body {
            Some(BodyAhead::Length(length)) if !self.sets_length => {
                out.extend_from_slice(b"Content-Length: ");
                daemun_http::write_decimal(length, out);
                out.extend_from_slice(b"\r\n");
            }
            Some(BodyAhead::Unknown) if !self.sets_coding => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            }
            _ => {}
        }
    }

    /// Appends the client's fields that nothing stands for.
    pub fn write_passed(&self, request: &Request, out: &mut Vec<u8>) {
        for field in request.passed_headers().iter().filter(|field| !self.replaced.contains(field)) {
            write_header(out, field.name, field.value);
        }
    }
}

/// Appends a field's value. What a variable got from the client must not become a field.
fn render_value(value: &Template, request: &Request, out: &mut Vec<u8>) {
    let start = out.len();
    value.render(request, out);
    for octet in out.get_mut(start..).unwrap_or_default() {
        if matches!(octet, b'\r' | b'\n' | 0) {
            *octet = b' ';
        }
    }
}

/// Fields that are this connection's, not the client's.
const OWN: &[&str] = &[
    "Host",
    "Connection",
    "Proxy-Connection",
    "Content-Length",
    "Transfer-Encoding",
    "TE",
    "Keep-Alive",
    "Expect",
    "Upgrade",
];
