//! The uwsgi protocol: one packet of variables, the body as it is, an answer as CGI has it, up to the connection's end.

use bytes::{Buf, BytesMut};
use daemun_gateway::uwsgi::{PacketWriter, SIZE_MAX};
use daemun_http::{AnswerForm, AnswerFraming, AnswerLimits, AnswerReader, Parsed, ResponseHead, StatusCode};
use daemun_server::backend::Environment;
use daemun_server::log::Level;
use daemun_server::{Outcome, Request};

use super::{AnswerCodec, BodyAhead, BodyExtent, BodyStep, HeadFault, HeadStep, Transport, Written, take};

/// The protocol with what a location says of it.
pub struct Uwsgi<'a> {
    /// Who writes the variables.
    pub environment: &'a dyn Environment,
    /// Whether the body goes too.
    pub passes_body: bool,
    /// Both modifiers of the packet.
    pub modifiers: (u8, u8),
    /// The name that the server goes by, where the connection to it is encrypted.
    pub encrypted_to: Option<&'a str>,
}

impl Transport for Uwsgi<'_> {
    fn scheme(&self) -> &'static str {
        if self.encrypted_to.is_some() { "suwsgi" } else { "uwsgi" }
    }

    fn encrypted_to(&self) -> Option<&str> {
        self.encrypted_to
    }

    fn write_request(&self, request: &mut Request, _: BodyAhead, out: &mut Vec<u8>) -> Result<Written, Outcome> {
        let mut writer = PacketWriter::new(out, self.modifiers.0, self.modifiers.1);
        if let Err(full) = self.environment.write(request, &mut writer) {
            request.log(Level::Error, format_args!("{full}: a uwsgi packet holds {SIZE_MAX}"));
            return Err(Outcome::Finish(StatusCode::REQUEST_HEADER_TOO_LARGE));
        }
        writer.finish();
        Ok(Written { passes_body: self.passes_body, framing: None, is_head: request.passes_head(), path: 0..0 })
    }

    fn codec(&self, _: &Request) -> Box<dyn AnswerCodec> {
        Box::new(CgiAnswer::new())
    }
}

/// An answer as CGI has it (RFC 3875 §6), its end told by `Content-Length` or the connection's end.
pub struct CgiAnswer {
    reader: AnswerReader,
    /// Octets still to come; `None` up to the end.
    rest: Option<u64>,
}

impl CgiAnswer {
    /// At the answer's front.
    #[must_use]
    pub fn new() -> Self {
        Self { reader: AnswerReader::new(AnswerForm::Gateway), rest: None }
    }
}

impl Default for CgiAnswer {
    fn default() -> Self {
        Self::new()
    }
}

impl AnswerCodec for CgiAnswer {
    fn read_head(
        &mut self,
        input: &mut BytesMut,
        limits: &AnswerLimits,
        head: &mut ResponseHead,
    ) -> Result<HeadStep, HeadFault> {
        let Parsed::Complete { taken } = self.reader.parse(input, limits, head)? else { return Ok(HeadStep::NeedMore) };
        input.advance(taken);
        if head.status.is_informational() {
            return Err(HeadFault::Protocol(format!(
                "upstream sent status {}, which is no final answer,",
                head.status
            )));
        }
        Ok(HeadStep::Complete)
    }

    fn begin_body(&mut self, head: &ResponseHead, to_head: bool) -> BodyExtent {
        match self.reader.framing(head, to_head) {
            AnswerFraming::None => {
                self.rest = Some(0);
                BodyExtent::None
            }
            AnswerFraming::Length(length) => {
                self.rest = Some(length);
                BodyExtent::Length(length)
            }
            // The protocol has no chunks: the connection's end is the body's.
            AnswerFraming::Chunked | AnswerFraming::UntilClose => BodyExtent::Unknown,
        }
    }

    fn read_body(&mut self, input: &mut BytesMut) -> Result<BodyStep, &'static str> {
        let available = match self.rest {
            Some(0) => return Ok(BodyStep::End { is_kept: false, surplus: None }),
            Some(rest) => input.len().min(usize::try_from(rest).unwrap_or(usize::MAX)),
            None => input.len(),
        };
        if available == 0 {
            return Ok(BodyStep::NeedMore);
        }
        if let Some(rest) = &mut self.rest {
            *rest -= available as u64;
        }
        Ok(BodyStep::Data(take(input, available)))
    }

    fn may_end_here(&self) -> bool {
        matches!(self.rest, None | Some(0))
    }
}
