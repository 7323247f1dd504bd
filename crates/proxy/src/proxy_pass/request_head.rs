//! The request to a server, all but its body.

use std::ops::Range;

use daemun_http::{HeaderId, Headers, ResponseHead, StatusCode, Version, target};
use daemun_server::log::Level;
use daemun_server::{Outcome, Request};

use super::ProxyPass;
use super::cookies;
use super::redirect;
use super::target::{Destination, Target};
use super::variables::has_body;
use crate::transport::http::{CHUNKED, HttpAnswer};
use crate::transport::{AnswerCodec, BodyAhead, Transport, Written};

/// HTTP with what a location says of it, and where one request goes.
pub struct HttpRequest<'a> {
    /// The location's settings.
    pub settings: &'a ProxyPass,
    /// What `proxy_pass` says.
    pub target: &'a Target,
    /// Where it leads.
    pub destination: &'a Destination,
}

impl Transport for HttpRequest<'_> {
    fn scheme(&self) -> &'static str {
        if self.destination.is_encrypted { "https" } else { "http" }
    }

    fn encrypted_to(&self) -> Option<&str> {
        Some(&*self.destination.host).filter(|_| self.destination.is_encrypted)
    }

    fn takes_unknown_length(&self) -> bool {
        self.settings.http_version() == Version::Http11
    }

    fn write_request(&self, request: &mut Request, body: BodyAhead, out: &mut Vec<u8>) -> Result<Written, Outcome> {
        let settings = self.settings;
        let is_http11 = settings.http_version() == Version::Http11;
        let method = out.len();
        match &settings.method {
            Some(template) => write_one_word(&template.value(request), out),
            None => out.extend_from_slice(request.passed_method().as_str().as_bytes()),
        }
        let is_head = out.get(method..).is_some_and(|method| method.eq_ignore_ascii_case(b"HEAD"));
        out.push(b' ');
        let path = self.write_path(request, out)?;
        out.extend_from_slice(if is_http11 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
        settings.fields.write_host(request, &self.destination.host, is_http11, out);
        let set_body = settings.set_body.as_ref().map(|template| template.value(request));
        let passes_body = set_body.is_none() && settings.pass.pass_request_body();
        let announced = match &set_body {
            Some(octets) => Some(BodyAhead::Length(octets.len() as u64)),
            None => Some(body).filter(|_| has_body(request)),
        };
        settings.fields.write(request, announced, out);
        if settings.pass.pass_request_headers() {
            settings.fields.write_passed(request, out);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(set_body.as_deref().unwrap_or_default());
        let framing = (body == BodyAhead::Unknown).then_some(&CHUNKED);
        Ok(Written { passes_body, framing, is_head, path })
    }

    fn codec(&self, _: &Request) -> Box<dyn AnswerCodec> {
        Box::new(HttpAnswer::new())
    }

    fn rewrite_head(&self, request: &Request, head: &mut ResponseHead) {
        rewrite_fields(self.settings, request, &mut head.headers);
    }
}

impl HttpRequest<'_> {
    /// Appends path and arguments, and says where.
    pub fn write_path(&self, request: &Request, out: &mut Vec<u8>) -> Result<Range<usize>, Outcome> {
        let start = out.len();
        let path = self.destination.path.as_bytes();
        if self.destination.is_whole_path {
            write_one_word(path, out);
        } else if path.is_empty() && request.is_target_intact {
            out.extend_from_slice(request.head.target());
        } else {
            let replaced = match request.is_location_intact && !path.is_empty() {
                true => self.target.location.len().min(request.uri.len()),
                false => 0,
            };
            if request.is_location_intact {
                out.extend_from_slice(path);
            }
            let rest = request.uri.get(replaced..).unwrap_or_default();
            if request.is_internal || request.head.target().contains(&b'%') {
                target::escape_uri(rest, out);
            } else {
                out.extend_from_slice(rest);
            }
            if !request.args.is_empty() {
                out.push(b'?');
                out.extend_from_slice(&request.args);
            }
        }
        if out.len() == start {
            request.log(Level::Error, format_args!("zero length URI to proxy"));
            return Err(Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR));
        }
        Ok(start..out.len())
    }
}

/// What a variable got from the client must not end the request line: `$uri` has decoded what the client encoded.
fn write_one_word(text: &[u8], out: &mut Vec<u8>) {
    for &octet in text {
        if octet <= b' ' || octet == 0x7f {
            out.extend_from_slice(format!("%{octet:02X}").as_bytes());
        } else {
            out.push(octet);
        }
    }
}

/// `proxy_redirect` and `proxy_cookie_...` on an answer's fields.
pub fn rewrite_fields(settings: &ProxyPass, request: &Request, headers: &mut Headers) {
    if !settings.rewrites.is_empty() {
        for id in [HeaderId::Location, HeaderId::Refresh] {
            let changed = headers.first(id).and_then(|value| redirect::rewrite(&settings.rewrites, id, value, request));
            if let Some(mut value) = changed {
                if id == HeaderId::Location && !value.is_empty() {
                    value = daemun_server::redirect::location(request, &value);
                }
                headers.set_known(id, &value);
            }
        }
    }
    if headers.has(HeaderId::SetCookie) && cookies::is_active(settings) {
        let rewritten: Vec<_> =
            headers.all(HeaderId::SetCookie).map(|value| cookies::rewrite(settings, value, request)).collect();
        headers.remove_known(HeaderId::SetCookie);
        for value in rewritten {
            headers.append_known(HeaderId::SetCookie, &value);
        }
    }
}
