//! `Range`: parts of a file in place of the whole.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use daemun_http::range::{self, Ranges};
use daemun_http::{HeaderId, StatusCode, conditional};
use daemun_server::module::nothing_to_finish;
use daemun_server::response::{BodyError, BodyStream, FilePart, Piece, ReadAhead, UpstreamMessage};
use daemun_server::{Body, Module, Request, Response, error_page, thread};

/// Named once, in the program's list of modules; between `gzip` and what names the charset of its page.
pub static REFUSAL: Module<RangeRefusal> = Module {
    name: "range_refusal",
    directives: &[],
    merge: |_, _| {},
    finish: nothing_to_finish,
    is_active: |_| true,
    phases: &[],
    filters: &[refuse_unsatisfiable],
    variables: &[],
};

/// Named once, in the program's list of modules; the last of the filters. Its settings are the http core's `max_ranges`.
pub static MODULE: Module<RangeFilter> = Module {
    name: "range",
    directives: &[],
    merge: |_, _| {},
    finish: nothing_to_finish,
    is_active: |_| true,
    phases: &[],
    filters: &[range],
    variables: &[],
};

/// No settings of its own.
#[derive(Debug, Default)]
pub struct RangeRefusal;

/// No settings of its own.
#[derive(Debug, Default)]
pub struct RangeFilter;

fn refuse_unsatisfiable(_: &RangeRefusal, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    if request.headers().has(HeaderId::Range)
        && let Some((Ranges::Unsatisfiable, length)) = wanted(request, &response)
    {
        refuse(request, &mut response, length);
    }
    response
}

fn range(_: &RangeFilter, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    apply(request, &mut response);
    if response.status() != StatusCode::PARTIAL_CONTENT
        && let Some(begins) = &response.begins
    {
        begins.set(0); // The whole is sent after all.
    }
    response
}

fn apply(request: &Request, response: &mut Response) {
    let Some((ranges, length)) = wanted(request, response) else { return };
    match ranges {
        Ranges::Whole => response.head.headers.append_known(HeaderId::AcceptRanges, b"bytes"),
        Ranges::Unsatisfiable => {} // Refused before it came here.
        Ranges::One(part) => {
            let content_range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            let begins = response.begins.as_ref().map_or(0, |begins| begins.get());
            let in_body = part.start.saturating_sub(begins)..part.end.saturating_sub(begins);
            if let Some(body) = cut(&mut response.body, &in_body) {
                begin(response);
                response.head.headers.set_known(HeaderId::ContentRange, content_range.as_bytes());
                response.body = body.into_body();
            }
        }
        Ranges::Several(parts) => send_several(request, response, &parts, length),
    }
}

/// What the request asks for of this very answer, and the answer's length; `None` for one that ranges are not for.
fn wanted(request: &Request, response: &Response) -> Option<(Ranges, u64)> {
    let max_ranges = request.core().max_ranges().map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    if request.is_subrequest()
        || !response.allows_ranges
        || response.status() != StatusCode::OK
        || max_ranges == Some(0)
    {
        return None;
    }
    let length = response.content_length()? + response.begins.as_ref().map_or(0, |begins| begins.get());
    // What comes as a stream is gone through once: one part at most, as nginx has it.
    let max_ranges = if matches!(response.body, Body::Stream(_)) { Some(1) } else { max_ranges };
    let ranges = match request.headers().first(HeaderId::Range) {
        Some(value) => {
            let etag = response.head.headers.first(HeaderId::ETag);
            let applies = conditional::range_applies(request.headers(), etag, response.last_modified);
            if applies { range::parse(value, length, max_ranges) } else { Ranges::Whole }
        }
        None => Ranges::Whole,
    };
    Some((ranges, length))
}

fn refuse(request: &Request, response: &mut Response, length: u64) {
    response.head.status = StatusCode::RANGE_NOT_SATISFIABLE;
    for field in [HeaderId::AcceptRanges, HeaderId::ContentEncoding, HeaderId::LastModified, HeaderId::ETag] {
        response.head.headers.remove_known(field);
    }
    response.head.headers.set_known(HeaderId::ContentRange, format!("bytes */{length}").as_bytes());
    error_page::fill(request.core(), response);
}

fn begin(response: &mut Response) {
    response.head.status = StatusCode::PARTIAL_CONTENT;
    response.head.reason.clear();
    response.head.headers.remove_known(HeaderId::ContentLength);
}

/// `multipart/byteranges`: each part has a head with the type of the whole and its place in it.
fn send_several(request: &Request, response: &mut Response, parts: &[std::ops::Range<u64>], length: u64) {
    let boundary = format!("{:020}", thread::process_seed() ^ request.serial);
    let content_type = response.head.headers.first(HeaderId::ContentType).unwrap_or_default();
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for part in parts {
        let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
        if !content_type.is_empty() {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(content_type);
            head.extend_from_slice(b"\r\n");
        }
        let place = format!("Content-Range: bytes {}-{}/{length}\r\n\r\n", part.start, part.end - 1);
        head.extend_from_slice(place.as_bytes());
        pieces.push(Piece::Bytes(head.into()));
        let Some(cut) = cut(&mut response.body, part) else { return };
        pieces.push(cut.into_piece());
    }
    pieces.push(Piece::Bytes(format!("\r\n--{boundary}--\r\n").into()));
    begin(response);
    response.head.headers.remove_known(HeaderId::ContentRange);
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    response.head.headers.set_known(HeaderId::ContentType, content_type.as_bytes());
    response.body = Body::Pieces(pieces);
}

/// A part of a body.
enum Cut {
    Bytes(Bytes),
    File(FilePart),
    Stream(Box<PartOfStream>),
}

/// `part` lies within the body. `None` for a body that cannot be cut.
fn cut(body: &mut Body, part: &std::ops::Range<u64>) -> Option<Cut> {
    match body {
        Body::Stream(_) => match std::mem::replace(body, Body::Empty) {
            Body::Stream(stream) => Some(Cut::Stream(Box::new(PartOfStream {
                stream: Some(stream),
                skipped: part.start,
                rest: part.end - part.start,
            }))),
            _ => None,
        },
        Body::Bytes(bytes) => {
            let (start, end) = (usize::try_from(part.start).ok()?, usize::try_from(part.end).ok()?);
            (end <= bytes.len()).then(|| Cut::Bytes(bytes.slice(start..end)))
        }
        Body::File(whole) => Some(Cut::File(FilePart {
            file: std::rc::Rc::clone(&whole.file),
            offset: whole.offset + part.start,
            length: part.end - part.start,
        })),
        Body::Empty | Body::Pieces(_) | Body::Tunnel(_) => None,
    }
}

impl Cut {
    fn into_body(self) -> Body {
        match self {
            Self::Bytes(bytes) => Body::Bytes(bytes),
            Self::File(part) => Body::File(part),
            Self::Stream(stream) => Body::Stream(stream),
        }
    }

    /// A part among several; none are made of streams.
    fn into_piece(self) -> Piece {
        match self {
            Self::Bytes(bytes) => Piece::Bytes(bytes),
            Self::File(part) => Piece::File(part),
            Self::Stream(_) => Piece::Bytes(Bytes::new()),
        }
    }
}

/// A part of a body that comes bit by bit.
struct PartOfStream {
    /// `None` once the part is over.
    stream: Option<Box<dyn BodyStream>>,
    /// Octets before the part that are still to come.
    skipped: u64,
    /// Octets of the part that are still to come.
    rest: u64,
}

impl BodyStream for PartOfStream {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        if let Some(stream) = self.stream.as_mut().filter(|_| self.skipped > 0) {
            self.skipped -= stream.skip(self.skipped);
        }
        while let Some(stream) = self.stream.as_mut().filter(|_| self.rest > 0) {
            let Some(piece) = ready!(stream.poll_next(context)) else { break };
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            let skipped = self.skipped.min(piece.length());
            self.skipped -= skipped;
            if let Some(piece) = piece.part(skipped, self.rest) {
                self.rest -= piece.length();
                return Poll::Ready(Some(Ok(piece)));
            }
        }
        self.stream = None;
        Poll::Ready(None)
    }

    fn length(&self) -> Option<u64> {
        Some(self.rest)
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        self.stream.as_ref().and_then(|stream| stream.read_ahead())
    }

    fn take_message(&mut self) -> Option<UpstreamMessage> {
        self.stream.as_mut().and_then(|stream| stream.take_message())
    }
}
