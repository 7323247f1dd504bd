//! HTTP/1.0 and 1.1 towards a server: how an answer is read, and how a body of unknown length is sent.

use bytes::{Buf, BytesMut};
use daemun_http::chunked::{self, Decoder, Step};
use daemun_http::{
    AnswerError, AnswerForm, AnswerFraming, AnswerLimits, AnswerReader, Headers, Parsed, ResponseHead, StatusCode,
    Version,
};
use daemun_server::log::Level;

use super::{AnswerCodec, BodyExtent, BodyStep, Framing, HeadFault, HeadStep, take};

/// A body in chunks.
pub static CHUNKED: Framing = Framing {
    begin: chunked::write_chunk_header,
    end: |_, out| out.extend_from_slice(chunked::CHUNK_END),
    last: chunked::LAST_CHUNK,
};

/// An answer by HTTP/1.
pub struct HttpAnswer {
    reader: AnswerReader,
    body: Body,
    is_kept: bool,
    message: Option<String>,
}

enum Body {
    /// So many octets are still to come.
    Length(u64),
    Chunked(Box<Decoder>),
    UntilClose,
}

impl HttpAnswer {
    /// At the answer's front.
    #[must_use]
    pub fn new() -> Self {
        Self { reader: AnswerReader::new(AnswerForm::Http), body: Body::UntilClose, is_kept: false, message: None }
    }

    /// Whatever does not begin as HTTP/1 does is an answer all the same, as nginx has it: HTTP/0.9, without a head.
    fn read_headless(&mut self, head: &mut ResponseHead) -> HeadStep {
        self.message =
            Some("upstream sent no valid HTTP/1.0 header while reading response header from upstream".into());
        head.clear();
        self.reader = AnswerReader::new(AnswerForm::Http);
        HeadStep::Complete
    }
}

impl Default for HttpAnswer {
    fn default() -> Self {
        Self::new()
    }
}

impl AnswerCodec for HttpAnswer {
    fn read_head(
        &mut self,
        input: &mut BytesMut,
        limits: &AnswerLimits,
        head: &mut ResponseHead,
    ) -> Result<HeadStep, HeadFault> {
        let begun = input.len().min(PREFIX.len());
        if input.get(..begun) != PREFIX.get(..begun) {
            return Ok(self.read_headless(head));
        }
        let taken = match self.reader.parse(input, limits, head) {
            Ok(Parsed::Complete { taken }) => taken,
            Ok(Parsed::Incomplete) => return Ok(HeadStep::NeedMore),
            Err(AnswerError::StatusLine { .. }) => return Ok(self.read_headless(head)),
            Err(error) => return Err(error.into()),
        };
        input.advance(taken);
        let is_http11 = self.reader.version() == Version::Http11;
        if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
            if head.status == StatusCode::EARLY_HINTS && !is_http11 {
                return Err(HeadFault::Protocol("upstream sent HTTP/1.0 response with early hints".into()));
            }
            self.reader = AnswerReader::new(AnswerForm::Http);
            return Ok(HeadStep::Interim);
        }
        self.is_kept = is_http11 && self.reader.keep_alive();
        Ok(HeadStep::Complete)
    }

    fn begin_body(&mut self, head: &ResponseHead, to_head: bool) -> BodyExtent {
        let framing = self.reader.framing(head, to_head);
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            self.is_kept = false;
        }
        let (body, extent) = match framing {
            AnswerFraming::None => (Body::Length(0), BodyExtent::None),
            AnswerFraming::Length(length) => (Body::Length(length), BodyExtent::Length(length)),
            AnswerFraming::Chunked => (Body::Chunked(Box::new(Decoder::of_answer())), BodyExtent::Unknown),
            AnswerFraming::UntilClose => (Body::UntilClose, BodyExtent::Unknown),
        };
        self.body = body;
        extent
    }

    fn read_body(&mut self, input: &mut BytesMut) -> Result<BodyStep, &'static str> {
        match &mut self.body {
            Body::Length(0) => {
                let surplus = (!input.is_empty()).then_some(MORE_THAN_DECLARED);
                Ok(BodyStep::End { is_kept: self.is_kept && surplus.is_none(), surplus })
            }
            _ if input.is_empty() => Ok(BodyStep::NeedMore),
            Body::Length(rest) => {
                let available = input.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
                *rest -= available as u64;
                Ok(BodyStep::Data(take(input, available)))
            }
            Body::UntilClose => {
                let available = input.len();
                Ok(BodyStep::Data(take(input, available)))
            }
            Body::Chunked(decoder) => {
                match decoder.decode(input).map_err(|_| "upstream sent invalid chunked response")? {
                    Step::NeedMore => {
                        input.clear();
                        Ok(BodyStep::NeedMore)
                    }
                    Step::Data(range) => {
                        input.advance(range.start);
                        Ok(BodyStep::Data(take(input, range.end - range.start)))
                    }
                    Step::End { taken } => {
                        input.advance(taken);
                        let surplus = (!input.is_empty()).then_some("upstream sent data after final chunk");
                        Ok(BodyStep::End { is_kept: self.is_kept && surplus.is_none(), surplus })
                    }
                }
            }
        }
    }

    fn may_end_here(&self) -> bool {
        matches!(self.body, Body::UntilClose | Body::Length(0))
    }

    fn take_trailers(&mut self) -> Option<Headers> {
        let Body::Chunked(decoder) = &self.body else { return None };
        let mut headers = Headers::new();
        for line in decoder.trailers().split(|octet| *octet == b'\n') {
            if let Some(colon) = line.iter().position(|octet| *octet == b':') {
                let (name, value) = line.split_at(colon);
                headers.append(name, value[1..].trim_ascii());
            }
        }
        (!headers.is_empty()).then_some(headers)
    }

    fn take_message(&mut self) -> Option<(Level, String)> {
        self.message.take().map(|message| (Level::Error, message))
    }
}

const PREFIX: &[u8] = b"HTTP/";
const MORE_THAN_DECLARED: &str = "upstream sent more data than specified in \"Content-Length\" header";

#[cfg(test)]
mod tests {
    use super::*;

    /// Head, body, and how the body ended.
    type Answer = (ResponseHead, Vec<u8>, Option<(bool, Option<&'static str>)>);

    fn read(octets: &str) -> Answer {
        let mut answer = HttpAnswer::new();
        let mut head = ResponseHead::default();
        let mut input = BytesMut::from(octets);
        while answer.read_head(&mut input, &AnswerLimits::default(), &mut head).expect("a head") == HeadStep::Interim {
            head.clear();
        }
        answer.begin_body(&head, false);
        let mut body = Vec::new();
        loop {
            match answer.read_body(&mut input).expect("a body") {
                BodyStep::NeedMore => return (head, body, None),
                BodyStep::Data(octets) => body.extend_from_slice(&octets),
                BodyStep::End { is_kept, surplus } => return (head, body, Some((is_kept, surplus))),
            }
        }
    }

    #[test]
    fn bodies_in_every_framing() {
        let (head, body, end) = read("HTTP/1.1 103 X\r\nLink: a\r\n\r\nHTTP/1.1 201 Made\nContent-Length: 2\n\nok");
        assert_eq!((head.status, body.as_slice(), end), (StatusCode::CREATED, &b"ok"[..], Some((true, None))));
        let (_, body, end) =
            read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\n!\n0\r\nX: y\r\n\r\n");
        assert_eq!((body.as_slice(), end), (&b"ok!"[..], Some((true, None))));
        let (_, body, end) = read("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nab");
        assert_eq!((body.as_slice(), end), (&b"a"[..], Some((false, Some(MORE_THAN_DECLARED)))));
        let (head, body, end) = read("anything");
        assert_eq!((head.status, body.as_slice(), end), (StatusCode::OK, &b"anything"[..], None));
    }
}
