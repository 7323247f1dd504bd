//! `slice`: a large answer is asked for in pieces of one size, each of which may be kept by itself.
//!
//! The location passes `$slice_range` on in place of the client's range. What comes back is the piece in which the client's range
//! begins; the others are asked for as the client takes them, by a twin of the request.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use daemun_conf::{Arity, Directive};
use daemun_http::{HeaderId, Headers, StatusCode, date};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::response::{BodyError, BodyPieces, BodyStream, Piece, ReadAhead, UpstreamMessage};
use daemun_server::subrequest::Twin;
use daemun_server::variable::Variable;
use daemun_server::{Body, LocalFuture, Module, Outcome, Request, Response};

/// Named once, in the program's list of modules; the first of the filters.
pub static MODULE: Module<Slice> = Module {
    name: "slice",
    directives: &[Directive {
        name: "slice",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "0",
        help: "size: of the pieces that an answer is asked for in, where $slice_range is passed on as Range; 0 is none",
        set: |conf, arguments| {
            let size = arguments.size(0)?;
            arguments.set_once(&mut conf.size, size)
        },
    }],
    merge: |parent, child| daemun_server::inherit!(parent, child; size),
    finish: nothing_to_finish,
    is_active: |conf| conf.size() > 0,
    phases: &[],
    filters: &[slice],
    variables: &[Variable { name: "slice_range", evaluate: |request, _, out| slice_range(request, out) }],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Debug, Default)]
pub struct Slice {
    size: Option<u64>,
}

impl Slice {
    fn size(&self) -> u64 {
        self.size.unwrap_or(0)
    }
}

/// Whether a request has asked for its range: without that, nothing is sliced.
#[derive(Default)]
struct Asked(Cell<bool>);

/// The first octet of the slice that a twin is to get.
struct Wanted(u64);

/// `$slice_range`: the slice that is to be asked for, as a `Range`.
fn slice_range(request: &Request, out: &mut Vec<u8>) -> bool {
    let size = request.location().settings::<Slice>().map_or(0, Slice::size);
    let start = match request.extensions.get::<Wanted>() {
        Some(wanted) => wanted.0,
        None if size == 0 || (request.is_subrequest() && !request.is_twin()) => return false,
        None => {
            request.family().kept_or_default::<Asked>().0.set(true);
            first_slice(request.headers(), size)
        }
    };
    out.extend_from_slice(format!("bytes={start}-{}", start.saturating_add(size) - 1).as_bytes());
    true
}

/// Where the slice begins that has the first octet which the client wants. Several ranges and the last octets of what is not known
/// begin at the front, and so does what is only wanted if nothing has changed.
fn first_slice(headers: &Headers, size: u64) -> u64 {
    let range = headers.first(HeaderId::Range).filter(|_| !headers.has(HeaderId::IfRange)).unwrap_or_default();
    let Some((unit, ranges)) = range.split_at_checked(6) else { return 0 };
    if !unit.eq_ignore_ascii_case(b"bytes=") || ranges.contains(&b',') {
        return 0;
    }
    let digits = ranges.trim_ascii_start().split(|octet| !octet.is_ascii_digit()).next().unwrap_or_default();
    let start: u64 = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    start / size * size
}

fn slice(conf: &Slice, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    let is_asked = || request.kept::<Asked>().is_some_and(|asked| asked.0.get());
    if request.is_subrequest() || response.status() != StatusCode::PARTIAL_CONTENT || !is_asked() {
        return response;
    }
    let start = first_slice(request.headers(), conf.size());
    let whole = match Part::of(&response, start, conf.size()) {
        Ok(part) => part,
        Err(wrong) => {
            request.log(Level::Error, format_args!("{wrong}"));
            response.is_void = true;
            return response;
        }
    };
    let headers = &mut response.head.headers;
    response.head.status = StatusCode::OK;
    response.head.reason.clear();
    headers.remove_known(HeaderId::ContentRange);
    headers.remove_known(HeaderId::AcceptRanges);
    headers.set_known(HeaderId::ContentLength, whole.complete.to_string().as_bytes());
    response.last_modified = headers.first(HeaderId::LastModified).and_then(date::parse_http_date);
    response.allows_ranges = true;
    let begins = Rc::new(Cell::new(whole.start));
    response.begins = Some(Rc::clone(&begins));
    let first = BodyPieces::from(std::mem::replace(&mut response.body, Body::Empty));
    response.body = Body::Stream(Box::new(Slices {
        size: conf.size(),
        complete: whole.complete,
        etag: headers.first(HeaderId::ETag).map(<[u8]>::to_vec),
        position: whole.start,
        begins: Some(begins),
        state: State::Reading { twin: Twin::of(request), body: first, end: whole.end },
    }));
    response
}

/// What a slice says of itself: octets from `start` to `end` of `complete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: u64,
    end: u64,
    complete: u64,
}

/// Why an answer is no slice, or not the one that was asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NoSlice {
    #[error("unexpected status code {0} in slice response")]
    Status(u16),
    #[error("etag mismatch in slice response")]
    ETag,
    #[error("invalid range in slice response")]
    Range,
    #[error("no complete length in slice response")]
    Length,
    #[error("unexpected range in slice response: {0}-{1}, expected: {2}-{3}")]
    Other(u64, u64, u64, u64),
}

impl Part {
    /// The slice of this size that begins at `start`, if that is what the answer is.
    fn of(response: &Response, start: u64, size: u64) -> Result<Self, NoSlice> {
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(NoSlice::Status(response.status().as_u16()));
        }
        let part = Self::parse(response.head.headers.first(HeaderId::ContentRange).unwrap_or_default())?;
        let end = start.saturating_add(size).min(part.complete);
        if part.start != start || part.end != end {
            return Err(NoSlice::Other(part.start, part.end, start, end));
        }
        Ok(part)
    }

    /// Reads a `Content-Range`.
    fn parse(text: &[u8]) -> Result<Self, NoSlice> {
        let text = std::str::from_utf8(text).map_err(|_| NoSlice::Range)?;
        let (range, complete) =
            text.strip_prefix("bytes ").and_then(|range| range.split_once('/')).ok_or(NoSlice::Range)?;
        let (start, last) = range.split_once('-').ok_or(NoSlice::Range)?;
        let number = |text: &str| {
            let digits = Some(text.trim()).filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()));
            digits.and_then(|digits| digits.parse::<u64>().ok()).ok_or(NoSlice::Range)
        };
        let (start, last) = (number(start)?, number(last)?);
        if complete.trim() == "*" {
            return Err(NoSlice::Length);
        }
        Ok(Self { start, end: last.checked_add(1).ok_or(NoSlice::Range)?, complete: number(complete)? })
    }
}

/// A body slice by slice.
struct Slices {
    size: u64,
    /// Octets of the whole.
    complete: u64,
    /// Of the first slice: all others must have it.
    etag: Option<Vec<u8>>,
    /// The octet of the whole that comes next.
    position: u64,
    /// Where the body is to begin, until it has.
    begins: Option<Rc<Cell<u64>>>,
    state: State,
}

enum State {
    /// A slice comes in, up to this octet of the whole.
    Reading {
        twin: Twin,
        body: BodyPieces,
        end: u64,
    },
    /// The next one is asked for.
    Asking(LocalFuture<'static, (Twin, Outcome)>),
    /// One was not what was asked for.
    Failed,
    Done,
}

impl Slices {
    /// Asks for the slice that has the octet at `position`, if there is one.
    fn ask(&mut self, mut twin: Twin) {
        if self.position >= self.complete {
            self.state = State::Done;
            return;
        }
        let start = self.position / self.size * self.size;
        self.position = start;
        let request = twin.request();
        request.extensions.clear();
        request.extensions.insert_for_twins(Rc::new(Wanted(start)));
        self.state = State::Asking(Box::pin(async move {
            let outcome = twin.content().await;
            (twin, outcome)
        }));
    }

    /// Begins where it was told to, which is not where the client's range had it begin if nobody cuts that range out.
    fn begin(&mut self) {
        let Some(begins) = self.begins.take().filter(|begins| begins.get() != self.position) else { return };
        self.position = begins.get();
        if let State::Reading { twin, .. } = std::mem::replace(&mut self.state, State::Done) {
            self.ask(twin);
        }
    }

    fn read(&mut self, mut twin: Twin, outcome: Outcome) -> Result<(), BodyError> {
        let read = match outcome {
            Outcome::Respond(response) => Part::of(&response, self.position, self.size).and_then(|part| {
                let is_same = response.head.headers.first(HeaderId::ETag) == self.etag.as_deref();
                if self.etag.is_some() && !is_same { Err(NoSlice::ETag) } else { Ok((response, part)) }
            }),
            Outcome::Finish(status) => Err(NoSlice::Status(status.as_u16())),
            _ => Err(NoSlice::Status(0)),
        };
        match read {
            Ok((response, part)) => {
                self.state = State::Reading { twin, body: BodyPieces::from(response.body), end: part.end };
                Ok(())
            }
            Err(wrong) => {
                let request = twin.request();
                request.log(Level::Error, format_args!("{wrong}"));
                self.state = State::Failed;
                Err(BodyError::Subrequest(String::from_utf8_lossy(&request.uri).into_owned()))
            }
        }
    }
}

impl BodyStream for Slices {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        self.begin();
        loop {
            match &mut self.state {
                State::Reading { body, end, .. } => match ready!(body.poll_next(context)) {
                    Some(Ok(piece)) if self.position + piece.length() <= *end => {
                        self.position += piece.length();
                        return Poll::Ready(Some(Ok(piece)));
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None if self.position == *end => {
                        if let State::Reading { twin, .. } = std::mem::replace(&mut self.state, State::Done) {
                            self.ask(twin);
                        }
                    }
                    None | Some(Ok(_)) => {
                        return Poll::Ready(Some(Err(BodyError::Truncated("a slice of another length".to_owned()))));
                    }
                },
                State::Asking(asking) => {
                    let (twin, outcome) = ready!(asking.as_mut().poll(context));
                    if let Err(error) = self.read(twin, outcome) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                State::Failed | State::Done => return Poll::Ready(None),
            }
        }
    }

    fn length(&self) -> Option<u64> {
        let begins = self.begins.as_ref().map_or(self.position, |begins| begins.get());
        Some(self.complete.saturating_sub(begins))
    }

    /// Slices that nobody wants are not asked for.
    fn skip(&mut self, octets: u64) -> u64 {
        self.begin();
        let from = self.position;
        let State::Reading { end, .. } = &self.state else { return 0 };
        if from.saturating_add(octets) < *end {
            return 0;
        }
        self.position = from.saturating_add(octets);
        if let State::Reading { twin, .. } = std::mem::replace(&mut self.state, State::Done) {
            self.ask(twin);
        }
        self.position.saturating_sub(from)
    }

    /// Where the next slice is not what it should be, the client has seen nothing of the answer.
    fn is_held_together(&self) -> bool {
        matches!(self.state, State::Asking(_) | State::Failed)
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        if let State::Reading { body, .. } = &self.state { body.read_ahead() } else { None }
    }

    fn take_message(&mut self) -> Option<UpstreamMessage> {
        if let State::Reading { body, .. } = &mut self.state { body.take_message() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(range: &str, if_range: Option<&str>) -> u64 {
        let mut headers = Headers::new();
        headers.append(b"Range", range.as_bytes());
        if let Some(value) = if_range {
            headers.append(b"If-Range", value.as_bytes());
        }
        first_slice(&headers, 10)
    }

    #[test]
    fn a_range_begins_in_a_slice() {
        assert_eq!([first("bytes=0-5", None), first("bytes=9-", None), first("Bytes= 25-30", None)], [0, 0, 20]);
        for other in ["bytes=-25", "bytes=25-30,40-50", "lines=25-", "bytes=99999999999999999999-", "bytes", ""] {
            assert_eq!(first(other, None), 0, "{other}");
        }
        assert_eq!(first("bytes=25-", Some("\"x\"")), 0);
    }

    #[test]
    fn slices_say_what_they_are() {
        let part = |text: &str| Part::parse(text.as_bytes());
        assert_eq!(part("bytes 0-9/100"), Ok(Part { start: 0, end: 10, complete: 100 }));
        assert_eq!(part("bytes  5 - 9 / 100"), Ok(Part { start: 5, end: 10, complete: 100 }));
        assert_eq!(part("bytes 0-9/*"), Err(NoSlice::Length));
        for wrong in [
            "",
            "bytes",
            "bytes 0/9",
            "bytes -9/100",
            "bytes 0-x/100",
            "lines 0-9/100",
            "bytes 0-9/99999999999999999999",
            "bytes 0-18446744073709551615/1",
        ] {
            assert_eq!(part(wrong), Err(NoSlice::Range), "{wrong}");
        }
    }
}
