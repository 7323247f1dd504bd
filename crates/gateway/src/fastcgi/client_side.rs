//! A connection as the web server's side hears it: one answer.

use std::ops::Range;

use super::{BODY_LEN, FastCgiError, Framing, Kind, RecordHead, Step};

/// Hears one answer.
#[derive(Debug)]
pub struct ClientSide {
    framing: Framing,
    record: Option<RecordHead>,
    id: u16,
    /// Content of END_REQUEST as far as it has come.
    end: Vec<u8>,
    stdout_ended: bool,
}

/// What has been heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerEvent {
    /// Nothing that matters yet; all of the input is used up.
    NeedMore,
    /// Octets of the answer.
    Stdout(Range<usize>),
    /// Nothing more will come of the answer.
    StdoutEnd,
    /// Octets for the log.
    Stderr(Range<usize>),
    /// The request is over. Padding may follow.
    End {
        /// What the application says of itself, 0 where all is well.
        application_status: u32,
        /// [`ProtocolStatus`](super::ProtocolStatus) as a number.
        protocol_status: u8,
    },
}

impl ClientSide {
    /// The answer to the request with this id.
    #[must_use]
    pub fn new(id: u16) -> Self {
        Self { framing: Framing::default(), record: None, id, end: Vec::new(), stdout_ended: false }
    }

    /// Reads from the front of `input` up to the next event; the first value is how many octets are used up.
    ///
    /// # Errors
    /// [`FastCgiError`]; the connection cannot be used any more.
    pub fn next(&mut self, input: &[u8]) -> Result<(usize, AnswerEvent), FastCgiError> {
        let mut used = 0;
        loop {
            let (taken, step) = self.framing.next(input.get(used..).unwrap_or_default())?;
            let event = match step {
                Step::NeedMore => return Ok((used + taken, AnswerEvent::NeedMore)),
                Step::Head(head) => self.begin_record(head)?,
                Step::Content(range) => self.content(input, used + range.start..used + range.end),
            };
            used += taken;
            if let Some(event) = event {
                return Ok((used, event));
            }
        }
    }

    /// Whether nothing of the last record is still to come: the connection may carry another request.
    #[must_use]
    pub fn is_between_records(&self) -> bool {
        self.framing.is_between_records()
    }

    fn begin_record(&mut self, head: RecordHead) -> Result<Option<AnswerEvent>, FastCgiError> {
        if head.id != self.id {
            return Err(FastCgiError::Id(head.id));
        }
        self.record = Some(head);
        self.end.clear();
        match head.kind {
            Kind::STDOUT if head.content == 0 => {
                let is_first = !std::mem::replace(&mut self.stdout_ended, true);
                Ok(is_first.then_some(AnswerEvent::StdoutEnd))
            }
            Kind::STDOUT | Kind::STDERR => Ok(None),
            Kind::END_REQUEST if usize::from(head.content) != BODY_LEN => {
                Err(FastCgiError::Length { kind: head.kind.0, length: head.content })
            }
            Kind::END_REQUEST => Ok(None),
            other => Err(FastCgiError::unexpected(other)),
        }
    }

    fn content(&mut self, input: &[u8], range: Range<usize>) -> Option<AnswerEvent> {
        match self.record?.kind {
            Kind::STDOUT => Some(AnswerEvent::Stdout(range)),
            Kind::STDERR => Some(AnswerEvent::Stderr(range)),
            _ => {
                self.end.extend_from_slice(input.get(range).unwrap_or_default());
                let &[a, b, c, d, protocol_status, ..] = self.end.as_slice() else { return None };
                let application_status = u32::from_be_bytes([a, b, c, d]);
                let is_whole = self.framing.content_left() == 0;
                is_whole.then_some(AnswerEvent::End { application_status, protocol_status })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{write_end, write_stream};
    use super::*;

    /// STDOUT, STDERR and the other events.
    type Heard = (Vec<u8>, Vec<u8>, Vec<AnswerEvent>);

    fn hear(octets: &[u8], portion: usize) -> Result<Heard, FastCgiError> {
        let mut side = ClientSide::new(1);
        let (mut out, mut log, mut events, mut input) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for part in octets.chunks(portion) {
            input.extend_from_slice(part);
            loop {
                let (used, event) = side.next(&input)?;
                match event.clone() {
                    AnswerEvent::Stdout(range) => out.extend_from_slice(&input[range]),
                    AnswerEvent::Stderr(range) => log.extend_from_slice(&input[range]),
                    AnswerEvent::NeedMore => {}
                    other => events.push(other),
                }
                input.drain(..used);
                if event == AnswerEvent::NeedMore {
                    break;
                }
            }
        }
        Ok((out, log, events))
    }

    #[test]
    fn an_answer_is_heard_in_any_portions() {
        let mut octets = Vec::new();
        let large = vec![b'x'; 70_000];
        write_stream(Kind::STDOUT, 1, b"Status: 200\r\n\r\n", &mut octets);
        write_stream(Kind::STDERR, 1, b"a warning", &mut octets);
        write_stream(Kind::STDOUT, 1, &large, &mut octets);
        write_end(1, &mut octets);
        for portion in [1, 9, 100_000] {
            let (out, log, events) = hear(&octets, portion).expect("good");
            assert_eq!((out.len(), log.as_slice()), (70_015, &b"a warning"[..]));
            let end = AnswerEvent::End { application_status: 0, protocol_status: 0 };
            assert_eq!(events, [AnswerEvent::StdoutEnd, end]);
        }
    }

    #[test]
    fn what_has_no_place_here_is_refused() {
        assert_eq!(hear(b"\x01\x06\x00\x02\x00\x01\x00\x00x", 9).err(), Some(FastCgiError::Id(2)));
        assert_eq!(hear(b"\x01\x05\x00\x01\x00\x01\x00\x00x", 9).err(), Some(FastCgiError::Unexpected(5)));
        assert_eq!(hear(b"HTTP/1.1 200 OK", 9).err(), Some(FastCgiError::Version(b'H')));
    }

    proptest! {
        #[test]
        fn any_octets_are_heard_without_a_panic(mut octets: Vec<u8>, portion in 1_usize..50) {
            let _ = hear(&octets, portion);
            if let Some(first) = octets.first_mut() {
                *first = 1;
            }
            let _ = hear(&octets, portion);
        }
    }
}
