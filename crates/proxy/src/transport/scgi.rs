//! SCGI: one block of variables, the body as it is, an answer as CGI has it, up to the connection's end.

use daemun_gateway::scgi::BlockWriter;
use daemun_gateway::variable::{VariableId, VariableName, VariableSink};
use daemun_http::StatusCode;
use daemun_server::log::Level;
use daemun_server::{Outcome, Request};

use super::uwsgi::CgiAnswer;
use super::{AnswerCodec, BodyAhead, Transport, Written};
use crate::limits::PARAMETERS_BYTES;
use crate::parameters::Parameters;

/// The protocol with what a location says of it.
pub struct Scgi<'a> {
    /// The variables.
    pub parameters: &'a Parameters,
    /// Whether the request's fields become variables too.
    pub passes_fields: bool,
    /// Whether the body goes too.
    pub passes_body: bool,
}

impl Transport for Scgi<'_> {
    fn scheme(&self) -> &'static str {
        "scgi"
    }

    fn write_request(&self, request: &mut Request, body: BodyAhead, out: &mut Vec<u8>) -> Result<Written, Outcome> {
        let length = match body {
            BodyAhead::Length(length) if self.passes_body => length,
            _ => 0,
        };
        let mut writer = BlockWriter::new(out, PARAMETERS_BYTES);
        // It comes first, whatever the configuration says.
        let length = length.to_string();
        let written = writer
            .variable(VariableName::Known(VariableId::CONTENT_LENGTH), &[length.as_bytes()])
            .and_then(|()| self.parameters.write(request, self.passes_fields, &mut writer));
        if let Err(full) = written {
            request.log(Level::Error, format_args!("{full}"));
            return Err(Outcome::Finish(StatusCode::REQUEST_HEADER_TOO_LARGE));
        }
        writer.finish();
        Ok(Written { passes_body: self.passes_body, framing: None, is_head: request.passes_head(), path: 0..0 })
    }

    fn codec(&self, _: &Request) -> Box<dyn AnswerCodec> {
        Box::new(CgiAnswer::new())
    }
}
