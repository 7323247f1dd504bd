//! 103 from a server on its way to the client.

use std::future::poll_fn;

use daemun_http::{HEAD_END, Header, HeaderId, ResponseHead, StatusCode, Version, write_header, write_status_line};
use daemun_server::Request;
use daemun_server::log::Level;

use super::link::Link;
use crate::pass::PassSettings;

/// The early hints of one answer.
pub struct EarlyHints {
    /// Octets that they may still have.
    rest: usize,
}

impl EarlyHints {
    /// So many octets of them are passed on, as `..._buffer_size` says.
    pub fn new(most: usize) -> Self {
        Self { rest: most }
    }

    /// Hands an interim answer of `length` octets to the client, if it is 103 and `early_hints` allows.
    pub async fn pass(
        &mut self,
        head: &ResponseHead,
        length: usize,
        settings: &PassSettings,
        link: &Link,
        request: &Request,
    ) {
        if head.status != StatusCode::EARLY_HINTS {
            return;
        }
        let Some(rest) = self.rest.checked_sub(length) else {
            request.log_upstream(
                Level::Info,
                format_args!("upstream sent too big early hints while reading response header from upstream"),
                link,
            );
            return;
        };
        self.rest = rest;
        // What a part of a page has to say, or who is asked who may, is nothing to the client.
        if request.is_subrequest()
            || request.head.version < Version::Http11
            || !request.core().sends_early_hints(request)
        {
            return;
        }
        let is_passed = |field: &Header<'_>| !settings.hidden().contains(field) && field.id != HeaderId::ContentLength;
        let fields = head.headers.iter().filter(is_passed);
        if fields.clone().next().is_none() {
            return;
        }
        if request.client.is_http2() {
            return request.client.send_interim(StatusCode::EARLY_HINTS, fields);
        }
        let mut out = Vec::with_capacity(length + 32);
        write_status_line(Version::Http11, StatusCode::EARLY_HINTS, b"", &mut out);
        for field in fields {
            write_header(&mut out, field.name, field.value);
        }
        out.extend_from_slice(HEAD_END);
        let client = &request.client;
        client.set_deadline(request.core().send_timeout());
        let mut written = 0;
        while let Some(left) = out.get(written..).filter(|left| !left.is_empty()) {
            // A client that is gone is noticed when it gets its answer.
            match poll_fn(|context| client.poll_write(context, left)).await {
                Ok(count) => written += count,
                Err(_) => break,
            }
        }
        client.clear_deadline();
    }
}
