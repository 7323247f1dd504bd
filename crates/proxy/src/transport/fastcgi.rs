//! FastCGI: the request as records, an answer as CGI has it within records, the connection kept where both sides want it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use daemun_gateway::fastcgi::{
    AnswerEvent, ClientSide, FastCgiError, HEAD_LEN, Kind, PairsWriter, RecordHead, write_begin, write_head,
};
use daemun_http::{AnswerForm, AnswerFraming, AnswerLimits, AnswerReader, Parsed, ResponseHead, StatusCode};
use daemun_server::log::Level;
use daemun_server::{Outcome, Request};

use super::{AnswerCodec, BodyAhead, BodyExtent, BodyStep, Framing, HeadFault, HeadStep, Transport, Written, take};
use crate::limits::PARAMETERS_BYTES;
use crate::parameters::Parameters;

/// The protocol with what a location says of it.
pub struct FastCgi<'a> {
    /// The variables.
    pub parameters: &'a Parameters,
    /// Whether the request's fields become variables too.
    pub passes_fields: bool,
    /// Whether the body goes too.
    pub passes_body: bool,
    /// Whether the server is asked to keep the connection.
    pub keeps_connection: bool,
    /// Texts in a server's complaints that make its answer none.
    pub caught: &'a Arc<Vec<String>>,
}

/// A body in records.
static STDIN: Framing = Framing {
    begin: |length, out| {
        let content = u16::try_from(length).unwrap_or(u16::MAX);
        RecordHead { kind: Kind::STDIN, id: REQUEST_ID, content, padding: padding_of(length) }.write(out);
    },
    end: |length, out| out.resize(out.len() + usize::from(padding_of(length)), 0),
    last: &[1, Kind::STDIN.0, 0, 1, 0, 0, 0, 0],
};

impl Transport for FastCgi<'_> {
    fn scheme(&self) -> &'static str {
        "fastcgi"
    }

    fn takes_unknown_length(&self) -> bool {
        true
    }

    fn write_request(&self, request: &mut Request, _: BodyAhead, out: &mut Vec<u8>) -> Result<Written, Outcome> {
        let mut pairs = Vec::with_capacity(1024);
        let mut writer = PairsWriter::new(&mut pairs, PARAMETERS_BYTES);
        if let Err(full) = self.parameters.write(request, self.passes_fields, &mut writer) {
            request.log(Level::Error, format_args!("{full}"));
            return Err(Outcome::Finish(StatusCode::REQUEST_HEADER_TOO_LARGE));
        }
        write_parameters(self.keeps_connection, &pairs, out);
        if !self.passes_body {
            out.extend_from_slice(STDIN.last);
        }
        let framing = self.passes_body.then_some(&STDIN);
        Ok(Written { passes_body: self.passes_body, framing, is_head: request.passes_head(), path: 0..0 })
    }

    fn codec(&self, _: &Request) -> Box<dyn AnswerCodec> {
        Box::new(FastCgiAnswer::new(self.keeps_connection, Arc::clone(self.caught)))
    }
}

/// Appends a whole request without a body.
pub fn write_question(keeps_connection: bool, pairs: &[u8], out: &mut Vec<u8>) {
    write_parameters(keeps_connection, pairs, out);
    out.extend_from_slice(STDIN.last);
}

/// Appends the request up to its body.
fn write_parameters(keeps_connection: bool, pairs: &[u8], out: &mut Vec<u8>) {
    write_begin(REQUEST_ID, keeps_connection, out);
    for part in pairs.chunks(PARAMS_CONTENT_MAX) {
        let (content, padding) = (u16::try_from(part.len()).unwrap_or(u16::MAX), padding_of(part.len()));
        RecordHead { kind: Kind::PARAMS, id: REQUEST_ID, content, padding }.write(out);
        out.extend_from_slice(part);
        out.resize(out.len() + usize::from(padding), 0);
    }
    write_head(Kind::PARAMS, REQUEST_ID, 0, out);
}

/// One answer.
pub struct FastCgiAnswer {
    side: ClientSide,
    reader: AnswerReader,
    /// Octets of the answer that were taken out of their records and not read.
    stdout: BytesMut,
    is_stdout_over: bool,
    is_over: bool,
    keeps_connection: bool,
    caught: Arc<Vec<String>>,
    /// What the server wrote for the log.
    complaints: VecDeque<String>,
    has_caught: bool,
    /// What is wrong with the records.
    fault: Option<FastCgiError>,
    /// Octets of the body still to come; `None` up to the end.
    rest: Option<u64>,
    /// The answer has no body, whatever the server sends.
    is_bodiless: bool,
    stage: &'static str,
}

impl FastCgiAnswer {
    /// At the answer's front. `caught` are texts in complaints that make it none.
    #[must_use]
    pub fn new(keeps_connection: bool, caught: Arc<Vec<String>>) -> Self {
        Self {
            side: ClientSide::new(REQUEST_ID),
            reader: AnswerReader::new(AnswerForm::Gateway),
            stdout: BytesMut::new(),
            is_stdout_over: false,
            is_over: false,
            keeps_connection,
            caught,
            complaints: VecDeque::new(),
            has_caught: false,
            fault: None,
            rest: None,
            is_bodiless: false,
            stage: "reading response header from upstream",
        }
    }

    /// Takes the next event off `input`; false where there is none.
    fn step(&mut self, input: &mut BytesMut) -> bool {
        if self.is_over || self.fault.is_some() || input.is_empty() {
            return false;
        }
        let (used, event) = match self.side.next(input) {
            Ok(step) => step,
            Err(error) => {
                self.fault = Some(error);
                return false;
            }
        };
        match event {
            AnswerEvent::Stdout(range) => {
                input.advance(range.start);
                let octets = input.split_to(range.len());
                match self.stdout.is_empty() {
                    true => self.stdout = octets,
                    false => self.stdout.extend_from_slice(&octets),
                }
                return true;
            }
            AnswerEvent::Stderr(range) => {
                let text = String::from_utf8_lossy(input.get(range).unwrap_or_default()).into_owned();
                self.complain(&text);
            }
            AnswerEvent::StdoutEnd => self.is_stdout_over = true,
            AnswerEvent::End { .. } => self.is_over = true,
            AnswerEvent::NeedMore => {
                input.advance(used);
                return false;
            }
        }
        input.advance(used);
        true
    }

    fn complain(&mut self, text: &str) {
        let text = text.trim_end_matches(['\n', '\r', '.', ' ']);
        self.has_caught |= self.caught.iter().any(|caught| text.contains(caught.as_str()));
        let message = format!("FastCGI sent in stderr: \"{text}\" while {}", self.stage);
        // Who complains without an end fills no memory: what was not taken in time is replaced.
        if self.complaints.len() >= COMPLAINTS_MAX {
            self.complaints.pop_back();
        }
        self.complaints.push_back(message);
    }

    /// Why there is no head in what has come.
    fn head_fault(&self) -> Option<HeadFault> {
        let text = match &self.fault {
            Some(error) => describe(error),
            None if self.has_caught => "FastCGI sent in stderr what fastcgi_catch_stderr names".to_owned(),
            None if self.is_stdout_over => "upstream prematurely closed FastCGI stdout".to_owned(),
            None if self.is_over => format!("upstream sent unexpected FastCGI record: {}", Kind::END_REQUEST.0),
            None => return None,
        };
        Some(HeadFault::Protocol(text))
    }

    /// What of the body has been taken out of its records.
    fn take_data(&mut self) -> Option<BodyStep> {
        if self.stdout.is_empty() {
            return None;
        }
        if self.is_bodiless {
            self.stdout.clear();
            return None;
        }
        let available = match self.rest {
            Some(0) => return Some(BodyStep::End { is_kept: false, surplus: Some(MORE_THAN_DECLARED) }),
            Some(rest) => self.stdout.len().min(usize::try_from(rest).unwrap_or(usize::MAX)),
            None => self.stdout.len(),
        };
        if let Some(rest) = &mut self.rest {
            *rest -= available as u64;
        }
        Some(BodyStep::Data(take(&mut self.stdout, available)))
    }

    fn is_short(&self) -> bool {
        !self.is_bodiless && self.rest.is_some_and(|rest| rest > 0)
    }

    /// The body's end, if it is here.
    fn end(&self, input: &BytesMut) -> Result<Option<BodyStep>, &'static str> {
        if self.fault.is_some() {
            return Err("upstream sent an invalid FastCGI record");
        }
        if self.is_over {
            if self.is_short() {
                return Err("upstream prematurely closed FastCGI request");
            }
            let is_kept = self.keeps_connection && input.is_empty() && self.side.is_between_records();
            return Ok(Some(BodyStep::End { is_kept, surplus: None }));
        }
        if self.is_stdout_over && self.is_short() {
            return Err("upstream prematurely closed FastCGI stdout");
        }
        // Whoever is not kept is let go where there is no body; else it may still have to say what went wrong.
        Ok((self.is_bodiless && !self.keeps_connection).then_some(BodyStep::End { is_kept: false, surplus: None }))
    }
}

impl AnswerCodec for FastCgiAnswer {
    fn read_head(
        &mut self,
        input: &mut BytesMut,
        limits: &AnswerLimits,
        head: &mut ResponseHead,
    ) -> Result<HeadStep, HeadFault> {
        // All of it leaves its records: what is left of the head's read is the body's.
        while self.step(input) {}
        if self.has_caught {
            return Err(self.head_fault().unwrap_or(HeadFault::Protocol(String::new())));
        }
        match self.reader.parse(&self.stdout, limits, head)? {
            Parsed::Complete { taken } => self.stdout.advance(taken),
            Parsed::Incomplete => return self.head_fault().map_or(Ok(HeadStep::NeedMore), Err),
        }
        if head.status.is_informational() {
            return Err(HeadFault::Protocol(format!(
                "upstream sent status {}, which is no final answer,",
                head.status
            )));
        }
        self.stage = "reading upstream";
        Ok(HeadStep::Complete)
    }

    fn begin_body(&mut self, head: &ResponseHead, to_head: bool) -> BodyExtent {
        match self.reader.framing(head, to_head) {
            AnswerFraming::None => {
                (self.rest, self.is_bodiless) = (Some(0), true);
                BodyExtent::None
            }
            AnswerFraming::Length(length) => {
                self.rest = Some(length);
                BodyExtent::Length(length)
            }
            // There are no chunks: the stream's end is the body's.
            AnswerFraming::Chunked | AnswerFraming::UntilClose => BodyExtent::Unknown,
        }
    }

    fn read_body(&mut self, input: &mut BytesMut) -> Result<BodyStep, &'static str> {
        loop {
            if let Some(step) = self.take_data() {
                return Ok(step);
            }
            if let Some(end) = self.end(input)? {
                return Ok(end);
            }
            if !self.step(input) && self.stdout.is_empty() && self.fault.is_none() && !self.is_over {
                return Ok(self.end(input)?.unwrap_or(BodyStep::NeedMore));
            }
        }
    }

    fn may_end_here(&self) -> bool {
        !self.is_short() && (self.is_stdout_over || self.rest.is_some())
    }

    fn take_message(&mut self) -> Option<(Level, String)> {
        self.complaints.pop_front().map(|text| (Level::Error, text))
    }
}

/// What nginx says of records that are none.
fn describe(error: &FastCgiError) -> String {
    match error {
        FastCgiError::Version(version) => format!("upstream sent unsupported FastCGI protocol version: {version}"),
        FastCgiError::Unexpected(kind) => format!("upstream sent invalid FastCGI record type: {kind}"),
        FastCgiError::Id(id) if *id > u16::from(u8::MAX) => {
            format!("upstream sent unexpected FastCGI request id high byte: {}", id >> 8)
        }
        FastCgiError::Id(id) => format!("upstream sent unexpected FastCGI request id low byte: {id}"),
        other => format!("upstream sent an invalid answer: {other}"),
    }
}

/// Octets that make a record's length a multiple of eight.
fn padding_of(length: usize) -> u8 {
    u8::try_from(length.wrapping_neg() % HEAD_LEN).unwrap_or(0)
}

/// The only request of its connection.
const REQUEST_ID: u16 = 1;

/// Octets of variables in one record, a multiple of eight.
const PARAMS_CONTENT_MAX: usize = 65_528;

/// Complaints that wait to be logged.
const COMPLAINTS_MAX: usize = 32;

const MORE_THAN_DECLARED: &str = "upstream sent more data than specified in \"Content-Length\" header";

#[cfg(test)]
mod tests {
    use daemun_gateway::fastcgi::{write_end, write_stream};

    use super::*;

    /// What is read of `octets` that come in portions: status, body, end.
    fn read(octets: &[u8], portion: usize, keeps: bool) -> Result<(u16, Vec<u8>, Option<bool>), String> {
        let mut answer = FastCgiAnswer::new(keeps, Arc::new(vec!["fatal".to_owned()]));
        let (mut head, mut input) = (ResponseHead::default(), BytesMut::new());
        let (mut body, mut end, mut has_head) = (Vec::new(), None, false);
        for part in octets.chunks(portion) {
            input.extend_from_slice(part);
            if !has_head {
                let step = answer.read_head(&mut input, &AnswerLimits::default(), &mut head);
                has_head = step.map_err(|fault| fault.to_string())? == HeadStep::Complete;
                if !has_head {
                    continue;
                }
                answer.begin_body(&head, false);
            }
            while end.is_none() {
                match answer.read_body(&mut input)? {
                    BodyStep::NeedMore => break,
                    BodyStep::Data(octets) => body.extend_from_slice(&octets),
                    BodyStep::End { is_kept, .. } => end = Some(is_kept),
                }
            }
        }
        Ok((head.status.as_u16(), body, end))
    }

    fn stdout(octets: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for part in octets.as_bytes().chunks(7) {
            write_stream(Kind::STDOUT, 1, part, &mut out);
        }
        out
    }

    #[test]
    fn answers_are_read_in_any_portions_and_records() {
        let mut octets = stdout("Status: 201 Made\r\nContent-Type: text/plain\r\n\r\nsome body");
        write_end(1, &mut octets);
        for portion in [1, 3, 11, 1000] {
            assert_eq!(read(&octets, portion, true), Ok((201, b"some body".to_vec(), Some(true))), "{portion}");
            let (status, body, end) = read(&octets, portion, false).expect("good");
            assert_eq!((status, body.as_slice(), end), (201, &b"some body"[..], Some(false)), "{portion}");
        }
    }

    #[test]
    fn lengths_are_held_to() {
        let mut longer = stdout("Content-Length: 4\r\n\r\nsome body");
        write_end(1, &mut longer);
        let mut shorter = stdout("Content-Length: 40\r\n\r\nsome body");
        write_end(1, &mut shorter);
        for portion in [1, 1000] {
            assert_eq!(read(&longer, portion, true), Ok((200, b"some".to_vec(), Some(false))));
            assert!(read(&shorter, portion, true).is_err());
        }
    }

    #[test]
    fn complaints_may_spoil_an_answer() {
        let mut octets = Vec::new();
        write_stream(Kind::STDERR, 1, b"a fatal error.\r\n", &mut octets);
        octets.extend_from_slice(&stdout("\r\n"));
        assert!(read(&octets, 1000, false).is_err());
        assert_eq!(
            read(b"HTTP/1.1 200", 12, false),
            Err("upstream sent unsupported FastCGI protocol version: 72".into())
        );
        let mut closed = Vec::new();
        write_end(1, &mut closed);
        assert_eq!(read(&closed, 100, false), Err("upstream prematurely closed FastCGI stdout".into()));
    }

    #[test]
    fn records_are_padded_to_eight() {
        assert_eq!([0, 1, 7, 8, 9].map(padding_of), [0, 7, 1, 0, 7]);
    }
}
