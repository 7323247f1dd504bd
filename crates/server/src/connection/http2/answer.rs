//! An answer as frames.

use std::io;
use std::rc::Rc;

use daemun_http::http2::hpack;
use daemun_http::{Header, HeaderId, Headers, ResponseHead, StatusCode};

use super::stream::Http2Stream;
use crate::clock;
use crate::connection::envelope::{Envelope, Given};
use crate::connection::writer::{
    Budget, Framing, declared_length, has_body, run_tunnel, send_bytes, send_stream, without_body,
};
use crate::error_page;
use crate::request::{Request, SentFraming};
use crate::response::{Body, Response, Withheld};
use crate::thread;

/// Sends `response` on the stream of the request's client.
///
/// # Errors
/// The stream or the connection is no more, or the body ended early.
pub(in crate::connection) async fn send(request: &mut Request, response: Box<Response>) -> io::Result<()> {
    let client = Rc::clone(&request.client);
    let Some(stream) = &client.http2 else { return Err(io::ErrorKind::NotConnected.into()) };
    if stream.is_timed_out.get() {
        return Err(io::ErrorKind::ConnectionAborted.into()); // As in nginx: whoever sends no whole body gets no answer.
    }
    let Response { mut head, body, withheld, trailers, .. } = *response;
    let body = if has_body(request, &head) { body } else { without_body(request, &head, body) };
    let framing = framing_of(request, &head, &body);
    let is_tunnel = matches!(body, Body::Tunnel(_));
    if head.status == StatusCode::SWITCHING_PROTOCOLS && is_tunnel {
        head.status = StatusCode::OK; // RFC 8441 §5.
    }
    let mut block = thread::take_write_buffer();
    write_own_fields(request, stream, &head, withheld, &mut block);
    write_fields(request, &head, &body, framing, &mut block);
    let is_all = match framing {
        Framing::NoBody => !is_tunnel,
        Framing::Length(0) => trailers.is_empty(),
        _ => false,
    };
    client.set_deadline(request.core().send_timeout());
    client.set_rate(request.core().transfer.rate(request), request.started_ms);
    let length = if let (Framing::Length(length), true) = (framing, trailers.is_empty()) { Some(length) } else { None };
    stream.expect(request.core().http2.chunk_size(), length);
    let written = stream.write_block(&block, is_all);
    thread::give_write_buffer(block);
    request.sent.status = head.status.as_u16();
    thread::give_spare_headers(std::mem::replace(&mut request.sent.headers, head.headers));
    let head_octets = stream.sent();
    let result = match (written, framing, body) {
        (Err(error), ..) => Err(error),
        (Ok(()), Framing::NoBody, Body::Tunnel(tunnel)) => {
            run_tunnel(request, &client, b"", tunnel).await.and_then(|()| stream.finish(&Headers::new()))
        }
        (Ok(()), ..) if is_all => Ok(()),
        (Ok(()), framing, body) => {
            let mut budget = Budget::new(framing);
            let sent = match body {
                Body::Bytes(bytes) if trailers.is_empty() => {
                    send_bytes(&client, &mut Vec::new(), &bytes, &mut budget).await
                }
                body => {
                    let Body::Stream(pieces) = Given::stream_of(body) else { return Err(io::ErrorKind::Other.into()) };
                    send_stream(request, &client, &mut Vec::new(), pieces, Envelope::Plain, trailers, &mut budget).await
                }
            };
            request.sent.body_bytes = budget.sent();
            sent.and_then(|()| budget.conclude(request)).and_then(|()| stream.finish(&request.sent.trailers.borrow()))
        }
    };
    client.clear_deadline();
    request.sent.bytes = stream.sent().max(head_octets);
    result
}

/// How the body's end is told: the stream's end tells it, whether or not its length is known.
fn framing_of(request: &Request, head: &ResponseHead, body: &Body) -> Framing {
    if head.status.is_bodiless() || request.is_head() || matches!(body, Body::Tunnel(_)) {
        return Framing::NoBody;
    }
    match declared_length(head).or_else(|| body.length()) {
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    }
}

/// The status, and what the connection says where the head does not.
fn write_own_fields(
    request: &Request,
    stream: &Http2Stream,
    head: &ResponseHead,
    withheld: Withheld,
    block: &mut Vec<u8>,
) {
    stream.begin_block(block);
    hpack::write_status(head.status, block);
    if !head.headers.has(HeaderId::Server) && !withheld.server {
        let name = error_page::server_name(request.core().server_tokens());
        hpack::write_known_field(HeaderId::Server, name.as_bytes(), block);
    }
    if !head.headers.has(HeaderId::Date) && !withheld.date {
        clock::with_http_date(|date| hpack::write_known_field(HeaderId::Date, date, block));
    }
}

fn write_fields(request: &mut Request, head: &ResponseHead, body: &Body, framing: Framing, block: &mut Vec<u8>) {
    for field in head.headers.iter().filter(is_end_to_end) {
        hpack::write_field(field.id, field.name, field.value, block);
    }
    let declared = declared_length(head);
    let length = match framing {
        Framing::Length(length) => Some(length),
        _ if request.is_head() && !head.status.is_bodiless() => match body {
            Body::Empty => None,
            body => Some(body.length().unwrap_or(0)),
        },
        _ => None,
    };
    if let (None, Some(length)) = (declared, length) {
        hpack::write_known_field(HeaderId::ContentLength, length.to_string().as_bytes(), block);
    }
    request.sent.framing = SentFraming { length: declared.or(length), is_chunked: false, keep_alive: None };
}

/// Whether a field may stand in HTTP/2 (RFC 9113 §8.2.2).
fn is_end_to_end(field: &Header<'_>) -> bool {
    !matches!(field.id, HeaderId::Connection | HeaderId::KeepAlive | HeaderId::TransferEncoding | HeaderId::Upgrade)
        && !field.name.eq_ignore_ascii_case(b"proxy-connection")
}
