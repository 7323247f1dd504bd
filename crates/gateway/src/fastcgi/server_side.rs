//! A connection as the application's side hears it.

use std::ops::Range;

use super::{
    BODY_LEN, FastCgiError, Framing, KEEP_CONN, Kind, Pairs, PairsWriter, ProtocolStatus, RESPONDER, RecordHead, Step,
    write_end_request, write_head,
};
use crate::variable::{VariableName, VariableSink};

/// Hears the requests of one connection, one after the other.
///
/// What the other side has to be told meanwhile (a request refused, a question answered) gathers in
/// [`replies`](Self::take_replies), to be sent between two records of ours.
#[derive(Debug)]
pub struct ServerSide {
    framing: Framing,
    /// The record whose content is being read.
    record: Option<RecordHead>,
    request: Option<Active>,
    params: Vec<u8>,
    params_max: usize,
    /// Content of a record that is read as a whole.
    gathered: Vec<u8>,
    replies: Vec<u8>,
    connections_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    id: u16,
    keeps: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Params,
    Stdin,
    Answer,
}

/// What has been heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestEvent {
    /// Nothing that matters yet; all of the input is used up.
    NeedMore,
    /// All variables are here: [`ServerSide::pairs`].
    Params,
    /// Octets of the request's body.
    Stdin(Range<usize>),
    /// The body is complete.
    StdinEnd,
    /// The other side gives the request up.
    Aborted,
}

impl ServerSide {
    /// A new connection. A request's variables may have `params_max` octets; `connections_max` is what a peer that
    /// asks is told.
    #[must_use]
    pub fn new(params_max: usize, connections_max: usize) -> Self {
        Self {
            framing: Framing::default(),
            record: None,
            request: None,
            params: Vec::new(),
            params_max,
            gathered: Vec::new(),
            replies: Vec::new(),
            connections_max,
        }
    }

    /// Reads from the front of `input` up to the next event; the first value is how many octets are used up.
    ///
    /// # Errors
    /// [`FastCgiError`]; the connection cannot be used any more.
    pub fn next(&mut self, input: &[u8]) -> Result<(usize, RequestEvent), FastCgiError> {
        let mut used = 0;
        loop {
            let (taken, step) = self.framing.next(input.get(used..).unwrap_or_default())?;
            let event = match step {
                Step::NeedMore => return Ok((used + taken, RequestEvent::NeedMore)),
                Step::Head(head) => self.begin_record(head)?,
                Step::Content(range) => self.content(input, used + range.start..used + range.end)?,
            };
            used += taken;
            if let Some(event) = event {
                return Ok((used, event));
            }
        }
    }

    /// The variables, once [`RequestEvent::Params`] has been told.
    #[must_use]
    pub fn pairs(&self) -> Pairs<'_> {
        Pairs::of(&self.params)
    }

    /// The id of the request that is under way.
    #[must_use]
    pub fn request_id(&self) -> Option<u16> {
        self.request.map(|request| request.id)
    }

    /// Whether the other side wants the connection to outlive the request.
    #[must_use]
    pub fn keeps_connection(&self) -> bool {
        self.request.is_some_and(|request| request.keeps)
    }

    /// What has to be sent before the next record of ours.
    #[must_use]
    pub fn take_replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.replies)
    }

    /// The request has been answered: what still comes of it is skipped.
    pub fn finish_request(&mut self) {
        self.request = None;
        self.params.clear();
    }

    fn begin_record(&mut self, head: RecordHead) -> Result<Option<RequestEvent>, FastCgiError> {
        self.record = Some(head);
        self.gathered.clear();
        let length_error = FastCgiError::Length { kind: head.kind.0, length: head.content };
        match head.kind {
            Kind::BEGIN_REQUEST if usize::from(head.content) != BODY_LEN => Err(length_error),
            Kind::BEGIN_REQUEST if head.id == 0 => Err(FastCgiError::Id(0)),
            Kind::GET_VALUES if usize::from(head.content) > VALUES_MAX => Err(length_error),
            Kind::GET_VALUES if head.content == 0 => self.answer_values().map(|()| None),
            Kind::PARAMS | Kind::STDIN if head.content == 0 => self.end_stream(head),
            Kind::ABORT_REQUEST => Ok(self.of_request(head.id).map(|_| RequestEvent::Aborted)),
            Kind::PARAMS => {
                let is_due = self.of_request(head.id).is_none_or(|request| request.stage == Stage::Params);
                if is_due { Ok(None) } else { Err(FastCgiError::unexpected(head.kind)) }
            }
            Kind::STDIN => {
                let is_due = self.of_request(head.id).is_none_or(|request| request.stage != Stage::Params);
                if is_due { Ok(None) } else { Err(FastCgiError::unexpected(head.kind)) }
            }
            kind if head.id == 0 && kind != Kind::GET_VALUES => {
                self.reply(|out| {
                    write_head(Kind::UNKNOWN_TYPE, 0, BODY_LEN, out);
                    out.extend_from_slice(&[kind.0, 0, 0, 0, 0, 0, 0, 0]);
                })?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn of_request(&self, id: u16) -> Option<Active> {
        self.request.filter(|request| request.id == id)
    }

    fn end_stream(&mut self, head: RecordHead) -> Result<Option<RequestEvent>, FastCgiError> {
        let Some(request) = self.request.as_mut().filter(|request| request.id == head.id) else { return Ok(None) };
        match (head.kind, request.stage) {
            (Kind::PARAMS, Stage::Params) => {
                request.stage = Stage::Stdin;
                Pairs::of(&self.params)
                    .find_map(Result::err)
                    .map_or(Ok(Some(RequestEvent::Params)), |error| Err(FastCgiError::Pairs(error)))
            }
            (Kind::STDIN, Stage::Stdin) => {
                request.stage = Stage::Answer;
                Ok(Some(RequestEvent::StdinEnd))
            }
            // Behind its end a stream has nothing to say, and some senders say so twice.
            (Kind::STDIN, Stage::Answer) => Ok(None),
            _ => Err(FastCgiError::unexpected(head.kind)),
        }
    }

    fn content(&mut self, input: &[u8], range: Range<usize>) -> Result<Option<RequestEvent>, FastCgiError> {
        let Some(head) = self.record else { return Ok(None) };
        let octets = input.get(range.clone()).unwrap_or_default();
        match head.kind {
            Kind::BEGIN_REQUEST | Kind::GET_VALUES => {
                self.gathered.extend_from_slice(octets);
                if self.framing.content_left() > 0 {
                    return Ok(None);
                }
                if head.kind == Kind::BEGIN_REQUEST { self.begin_request(head.id) } else { self.answer_values() }?;
            }
            Kind::PARAMS if self.of_request(head.id).is_some() => {
                if self.params.len() + octets.len() > self.params_max {
                    return Err(FastCgiError::TooLarge { limit: self.params_max });
                }
                self.params.extend_from_slice(octets);
            }
            Kind::STDIN if self.of_request(head.id).is_some_and(|request| request.stage == Stage::Stdin) => {
                return Ok(Some(RequestEvent::Stdin(range)));
            }
            _ => {} // Of a request that was refused or has been answered, or nothing we know.
        }
        Ok(None)
    }

    fn begin_request(&mut self, id: u16) -> Result<(), FastCgiError> {
        let &[high, low, flags, ..] = self.gathered.as_slice() else { return Ok(()) };
        if self.of_request(id).is_some() {
            return Err(FastCgiError::Id(id));
        }
        if self.request.is_some() {
            return self.reply(|out| write_end_request(id, ProtocolStatus::CantMultiplex, out));
        }
        if u16::from_be_bytes([high, low]) != RESPONDER {
            return self.reply(|out| write_end_request(id, ProtocolStatus::UnknownRole, out));
        }
        self.params.clear();
        self.request = Some(Active { id, keeps: flags & KEEP_CONN != 0, stage: Stage::Params });
        Ok(())
    }

    /// Tells what is asked for and known (§4.1); other names are left out.
    fn answer_values(&mut self) -> Result<(), FastCgiError> {
        let mut values = Vec::new();
        let mut writer = PairsWriter::new(&mut values, VALUES_MAX);
        let connections = self.connections_max.to_string();
        for pair in Pairs::of(&self.gathered) {
            let value = match pair?.0 {
                b"FCGI_MAX_CONNS" | b"FCGI_MAX_REQS" => connections.as_bytes(),
                b"FCGI_MPXS_CONNS" => b"0",
                _ => continue,
            };
            // A question longer than the answer may be was refused at its head.
            let _ = writer.variable(VariableName::Literal(pair?.0), &[value]);
        }
        self.reply(|out| {
            write_head(Kind::GET_VALUES_RESULT, 0, values.len(), out);
            out.extend_from_slice(&values);
        })
    }

    fn reply(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), FastCgiError> {
        if self.replies.len() > REPLIES_MAX {
            return Err(FastCgiError::TooManyRefusals);
        }
        write(&mut self.replies);
        Ok(())
    }
}

/// Octets of the names that a peer may ask for, and of the answer.
const VALUES_MAX: usize = 1024;

/// Octets of replies that wait for their turn; a peer that causes more is not worth it.
const REPLIES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{write_begin, write_stream};
    use super::*;

    fn pairs(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = PairsWriter::new(&mut out, 1 << 20);
        for (name, value) in pairs {
            writer.variable(VariableName::Literal(name), &[value]).expect("fits");
        }
        out
    }

    fn request(id: u16, keeps: bool, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_begin(id, keeps, &mut out);
        write_stream(Kind::PARAMS, id, &pairs(&[(b"A", b"1"), (b"B", &[b'2'; 300])]), &mut out);
        write_head(Kind::PARAMS, id, 0, &mut out);
        write_stream(Kind::STDIN, id, body, &mut out);
        write_head(Kind::STDIN, id, 0, &mut out);
        out
    }

    /// Feeds `octets` in portions of `portion` and returns what is told, bodies gathered.
    fn hear(
        side: &mut ServerSide,
        octets: &[u8],
        portion: usize,
    ) -> Result<(Vec<RequestEvent>, Vec<u8>), FastCgiError> {
        let (mut events, mut body, mut input) = (Vec::new(), Vec::new(), Vec::new());
        for part in octets.chunks(portion) {
            input.extend_from_slice(part);
            loop {
                let (used, event) = side.next(&input)?;
                match &event {
                    RequestEvent::Stdin(range) => body.extend_from_slice(&input[range.clone()]),
                    RequestEvent::NeedMore => {}
                    _ => events.push(event.clone()),
                }
                input.drain(..used);
                if event == RequestEvent::NeedMore {
                    break;
                }
            }
        }
        Ok((events, body))
    }

    fn side() -> ServerSide {
        ServerSide::new(4096, 7)
    }

    #[test]
    fn a_request_is_heard_in_any_portions() {
        let octets = request(3, true, b"the body");
        for portion in [1, 2, 7, 8, 9, 1000] {
            let mut side = side();
            let (events, body) = hear(&mut side, &octets, portion).expect("good");
            assert_eq!(events, [RequestEvent::Params, RequestEvent::StdinEnd], "{portion}");
            assert_eq!(body, b"the body");
            assert_eq!((side.request_id(), side.keeps_connection()), (Some(3), true));
            let names: Vec<_> = side.pairs().map(|pair| pair.expect("whole").0.to_vec()).collect();
            assert_eq!(names, [b"A", b"B"]);
        }
    }

    #[test]
    fn padding_is_skipped() {
        let mut octets = Vec::new();
        write_begin(1, false, &mut octets);
        RecordHead { kind: Kind::PARAMS, id: 1, content: 4, padding: 255 }.write(&mut octets);
        octets.extend_from_slice(b"\x01\x01ab");
        octets.extend_from_slice(&[0xff; 255]);
        RecordHead { kind: Kind::PARAMS, id: 1, content: 0, padding: 8 }.write(&mut octets);
        octets.extend_from_slice(&[0xff; 8]);
        write_head(Kind::STDIN, 1, 0, &mut octets);
        for portion in [1, 13, 1000] {
            let (events, _) = hear(&mut side(), &octets, portion).expect("good");
            assert_eq!(events, [RequestEvent::Params, RequestEvent::StdinEnd]);
        }
    }

    #[test]
    fn a_second_request_at_once_is_refused_and_the_first_goes_on() {
        let mut octets = Vec::new();
        write_begin(1, true, &mut octets);
        octets.extend_from_slice(&request(2, true, b"not for us"));
        octets.extend_from_slice(request(1, true, b"ours").get(16..).expect("longer"));
        let mut side = side();
        let (events, body) = hear(&mut side, &octets, 5).expect("good");
        assert_eq!(events, [RequestEvent::Params, RequestEvent::StdinEnd]);
        assert_eq!(body, b"ours");
        assert_eq!(side.take_replies(), b"\x01\x03\x00\x02\x00\x08\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00");
    }

    #[test]
    fn requests_follow_one_another() {
        let mut side = side();
        for id in [1, 1, 2] {
            let (events, _) = hear(&mut side, &request(id, true, b"x"), 4).expect("good");
            assert_eq!(events, [RequestEvent::Params, RequestEvent::StdinEnd]);
            side.finish_request();
        }
    }

    #[test]
    fn what_is_left_of_an_answered_request_is_skipped() {
        let mut side = side();
        let octets = request(1, true, b"a body that nobody read");
        let params_end = octets.len() - 8 - 23 - 8;
        hear(&mut side, &octets[..params_end], 64).expect("good");
        side.finish_request();
        let (events, body) = hear(&mut side, &octets[params_end..], 64).expect("good");
        assert_eq!((events, body), (Vec::new(), Vec::new()));
    }

    #[test]
    fn questions_are_answered_and_unknown_ones_said_to_be_so() {
        let mut octets = Vec::new();
        let asked = pairs(&[(b"FCGI_MPXS_CONNS", b""), (b"FCGI_MAX_CONNS", b""), (b"OTHER", b"")]);
        write_stream(Kind::GET_VALUES, 0, &asked, &mut octets);
        write_head(Kind(99), 0, 3, &mut octets);
        octets.extend_from_slice(b"abc");
        let mut side = side();
        hear(&mut side, &octets, 3).expect("good");
        let mut expected = Vec::new();
        write_stream(
            Kind::GET_VALUES_RESULT,
            0,
            &pairs(&[(b"FCGI_MPXS_CONNS", b"0"), (b"FCGI_MAX_CONNS", b"7")]),
            &mut expected,
        );
        expected.extend_from_slice(b"\x01\x0b\x00\x00\x00\x08\x00\x00\x63\x00\x00\x00\x00\x00\x00\x00");
        assert_eq!(side.take_replies(), expected);
        for _ in 0..1000 {
            if let Err(error) = hear(&mut side, &octets, 100) {
                assert_eq!(error, FastCgiError::TooManyRefusals);
                return;
            }
        }
        panic!("replies grow without a limit");
    }

    #[test]
    fn other_roles_are_refused() {
        let mut octets = Vec::new();
        write_head(Kind::BEGIN_REQUEST, 5, 8, &mut octets);
        octets.extend_from_slice(&[0, 3, 0, 0, 0, 0, 0, 0]);
        let mut side = side();
        hear(&mut side, &octets, 100).expect("good");
        assert_eq!(side.request_id(), None);
        assert_eq!(side.take_replies().get(12), Some(&3));
    }

    #[test]
    fn a_request_may_be_given_up() {
        let mut octets = Vec::new();
        write_begin(1, false, &mut octets);
        write_head(Kind::ABORT_REQUEST, 9, 0, &mut octets);
        write_head(Kind::ABORT_REQUEST, 1, 0, &mut octets);
        assert_eq!(hear(&mut side(), &octets, 100).expect("good").0, [RequestEvent::Aborted]);
    }

    #[test]
    fn nonsense_is_refused() {
        let error = |octets: &[u8]| hear(&mut side(), octets, 100).err();
        assert_eq!(error(b"GET / HTTP/1.1\r\n\r\n"), Some(FastCgiError::Version(b'G')));
        assert_eq!(error(b"\x01\x01\x00\x01\x00\x07\x00\x00"), Some(FastCgiError::Length { kind: 1, length: 7 }));
        assert_eq!(error(b"\x01\x01\x00\x00\x00\x08\x00\x00"), Some(FastCgiError::Id(0)));
        assert_eq!(error(b"\x01\x09\x00\x00\xff\xff\x00\x00"), Some(FastCgiError::Length { kind: 9, length: 65535 }));
        let mut early = Vec::new();
        write_begin(1, false, &mut early);
        write_stream(Kind::STDIN, 1, b"x", &mut early);
        assert_eq!(error(&early), Some(FastCgiError::Unexpected(5)));
        let mut large = Vec::new();
        write_begin(1, false, &mut large);
        write_stream(Kind::PARAMS, 1, &[0; 5000], &mut large);
        assert_eq!(error(&large), Some(FastCgiError::TooLarge { limit: 4096 }));
        let mut outside = Vec::new();
        write_begin(1, false, &mut outside);
        write_stream(Kind::PARAMS, 1, b"\x09\x09ab", &mut outside);
        write_head(Kind::PARAMS, 1, 0, &mut outside);
        assert!(matches!(error(&outside), Some(FastCgiError::Pairs(_))));
    }

    proptest! {
        #[test]
        fn any_octets_are_heard_without_a_panic(kinds in proptest::collection::vec((0_u8..13, 0_u16..3, proptest::collection::vec(any::<u8>(), 0..40), any::<u8>()), 0..20), portion in 1_usize..50) {
            let mut octets = Vec::new();
            for (kind, id, content, padding) in kinds {
                RecordHead { kind: Kind(kind), id, content: content.len() as u16, padding }.write(&mut octets);
                octets.extend_from_slice(&content);
                octets.resize(octets.len() + usize::from(padding), 0);
            }
            let _ = hear(&mut side(), &octets, portion);
        }

        #[test]
        fn a_request_is_the_same_in_all_portions(body: Vec<u8>, portion in 1_usize..100) {
            let (events, heard) = hear(&mut side(), &request(1, false, &body), portion).expect("good");
            prop_assert_eq!(events, [RequestEvent::Params, RequestEvent::StdinEnd]);
            prop_assert_eq!(heard, body);
        }
    }
}
