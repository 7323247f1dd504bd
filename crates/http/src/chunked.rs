//! The chunked transfer coding, both ways (RFC 9112 §7.1).

use std::ops::Range;

use crate::HeaderId;
use crate::limits::{CHUNK_LINE_MAX, CHUNK_OVERHEAD_MAX, TRAILERS_MAX};
use crate::octets::{LENGTH_MAX, is_writable_name};

/// Takes a chunked body apart as it arrives, without copying it.
///
/// One decoder reads one body. All it keeps is where it stands: octets that it has taken need not
/// be kept for it.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    state: State,
    /// Octets of the present chunk that are still to come.
    left: u64,
    /// Octets of the present chunk line or of the trailer section so far.
    line_length: usize,
    /// Octets beside the data, less what that much data may cost.
    overhead: usize,
    /// Whether lines may end in LF alone.
    is_lenient: bool,
    /// The trailer section so far.
    trailers: Vec<u8>,
}

/// What [`Decoder::decode`] found at the front of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Octets of the body, never none. Call again with what follows them.
    Data(Range<usize>),
    /// The input is used up, all of it taken, and the body goes on.
    NeedMore,
    /// The body is over; what follows `taken` belongs to the next message.
    End {
        /// Octets of the input that belong to this body.
        taken: usize,
    },
}

/// Why a body is refused. The end of the message is no longer known: the request is to be answered
/// 400 and the connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// No hexadecimal digit at the front of a chunk, or a size above `i64::MAX`. Leading zeros are legal.
    #[error("invalid chunk size")]
    Size,

    /// CR without LF, or LF without CR. Stricter than for heads: two readings of one line end are how
    /// requests are smuggled, and no client of note sends bare LF here.
    #[error("invalid line end in chunked body")]
    LineEnd,

    /// A control character in an extension or trailer.
    #[error("control character in chunk extension or trailer")]
    Control,

    /// A trailer is no field, or says something about host or length that was to be said in the head.
    #[error("invalid trailer")]
    Trailer,

    /// A chunk line or the trailer section is longer than it may be, or the body is mostly overhead.
    #[error("too long chunk extension or trailer")]
    TooLong,
}

/// Octets that each chunk may cost for nothing.
const OVERHEAD_PER_CHUNK: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the first digit of a size.
    #[default]
    Start,
    Size,
    /// Behind white space after the size: an extension must follow, if lines are read strictly.
    Blank,
    Extension,
    /// Behind the CR of a chunk line.
    LineEnd,
    Data,
    /// Behind the data, before CR.
    DataEnd,
    /// Behind that CR.
    DataLineEnd,
    /// At the start of a trailer line or of the empty line.
    Trailer,
    TrailerLine,
    /// Behind the CR of a trailer line.
    TrailerLineEnd,
    /// Behind the CR of the empty line.
    LastLineEnd,
    Over,
}

impl Decoder {
    /// A decoder at the front of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder of an answer's body: as nginx has it, lines may end in LF alone, and trailers are whatever they are.
    #[must_use]
    pub fn of_answer() -> Self {
        Self { is_lenient: true, ..Self::default() }
    }

    /// The trailer section as it came, without its empty line.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Octets of the present chunk that are still to come, as far as its size has been read.
    #[must_use]
    pub fn announced(&self) -> u64 {
        self.left
    }

    /// Whether the body is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Finds the next octets of the body in `input`, which may end anywhere.
    ///
    /// `input` goes on where the last call's taken octets ended: behind the range of [`Step::Data`],
    /// behind all of the input with [`Step::NeedMore`]. Extensions and trailers are skipped: no
    /// recipient we know acts on them, and nginx passes none on.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]; the decoder cannot be used after it.
    ///
    /// # Source
    ///
    /// RFC 9112 §7.1 (grammar, overflow), §7.1.1 (extensions); `ngx_http_parse_chunked` of nginx 1.31.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, ChunkError> {
        let mut at = 0;
        while let Some(&octet) = input.get(at) {
            if self.state == State::Data {
                return Ok(self.take_data(at, input.len()));
            }
            if self.state == State::Over {
                return Ok(Step::End { taken: at });
            }
            self.state = self.next_state(octet)?;
            at += 1;
        }
        Ok(if self.state == State::Over { Step::End { taken: at } } else { Step::NeedMore })
    }

    /// Gives out the data that begins at `at`, which is before `end`.
    fn take_data(&mut self, at: usize, end: usize) -> Step {
        let available = (end - at) as u64;
        let taken = self.left.min(available);
        self.left -= taken;
        self.overhead = self.overhead.saturating_sub(taken as usize);
        if self.left == 0 {
            self.state = State::DataEnd;
        }
        Step::Data(at..at + taken as usize)
    }

    /// The state behind `octet`, which is not one of the data.
    fn next_state(&mut self, octet: u8) -> Result<State, ChunkError> {
        match self.state {
            State::Start => {
                self.left = u64::from(hex_digit(octet).ok_or(ChunkError::Size)?);
                self.line_length = 1;
                Ok(State::Size)
            }
            State::Size | State::Blank | State::Extension | State::LineEnd => self.in_chunk_line(octet),
            State::DataEnd if self.is_lenient && octet == b'\n' => Ok(State::Start),
            State::DataEnd => expect(octet, b'\r', State::DataLineEnd),
            State::DataLineEnd => expect(octet, b'\n', State::Start),
            State::Trailer | State::TrailerLine | State::TrailerLineEnd | State::LastLineEnd => self.in_trailers(octet),
            State::Data | State::Over => Ok(self.state),
        }
    }

    fn in_chunk_line(&mut self, octet: u8) -> Result<State, ChunkError> {
        self.count(CHUNK_LINE_MAX)?;
        match (self.state, octet) {
            (State::LineEnd, b'\n') => self.end_chunk_line(),
            (_, b'\n') if self.is_lenient => self.end_chunk_line(),
            (State::LineEnd, _) | (_, b'\n') => Err(ChunkError::LineEnd),
            (State::Blank, b'\r') if !self.is_lenient => Err(ChunkError::Size),
            (_, b'\r') => Ok(State::LineEnd),
            (State::Size | State::Blank, b';') => Ok(State::Extension),
            (State::Size | State::Blank, b' ' | b'\t') => Ok(State::Blank),
            (State::Blank, _) if !self.is_lenient => Err(ChunkError::Size),
            (State::Size, _) => {
                let digit = hex_digit(octet).ok_or(ChunkError::Size)?;
                if self.left > LENGTH_MAX >> 4 {
                    return Err(ChunkError::Size);
                }
                self.left = self.left << 4 | u64::from(digit);
                Ok(State::Size)
            }
            _ => skipped(octet, State::Extension),
        }
    }

    fn end_chunk_line(&mut self) -> Result<State, ChunkError> {
        self.overhead = (self.overhead + self.line_length).saturating_sub(OVERHEAD_PER_CHUNK);
        if self.overhead > CHUNK_OVERHEAD_MAX {
            return Err(ChunkError::TooLong);
        }
        self.line_length = 0;
        Ok(if self.left == 0 { State::Trailer } else { State::Data })
    }

    fn in_trailers(&mut self, octet: u8) -> Result<State, ChunkError> {
        self.count(TRAILERS_MAX)?;
        self.trailers.push(octet);
        match (self.state, octet) {
            (State::Trailer, b'\n') if self.is_lenient => Ok(State::Over),
            (State::TrailerLine, b'\n') if self.is_lenient => Ok(State::Trailer),
            (State::LastLineEnd, b'\n') if self.is_lenient || are_harmless(&self.trailers) => Ok(State::Over),
            (State::LastLineEnd, b'\n') => Err(ChunkError::Trailer),
            (State::TrailerLineEnd, b'\n') => Ok(State::Trailer),
            (State::LastLineEnd | State::TrailerLineEnd, _) | (_, b'\n') => Err(ChunkError::LineEnd),
            (State::Trailer, b'\r') => Ok(State::LastLineEnd),
            (_, b'\r') => Ok(State::TrailerLineEnd),
            _ => skipped(octet, State::TrailerLine),
        }
    }

    fn count(&mut self, limit: usize) -> Result<(), ChunkError> {
        self.line_length += 1;
        if self.line_length > limit { Err(ChunkError::TooLong) } else { Ok(()) }
    }
}

fn expect(octet: u8, wanted: u8, next: State) -> Result<State, ChunkError> {
    if octet == wanted { Ok(next) } else { Err(ChunkError::LineEnd) }
}

/// Whether every line of a trailer section is a field, and none one that says where a message ends or whom it is for
/// (RFC 9110 §6.5.1).
fn are_harmless(trailers: &[u8]) -> bool {
    let lines = trailers.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).all(|line| {
        let end = line.iter().position(|octet| *octet == b':').unwrap_or_default();
        let name = line.get(..end).unwrap_or_default();
        let id = HeaderId::of(name);
        is_writable_name(name) && !matches!(id, HeaderId::ContentLength | HeaderId::TransferEncoding | HeaderId::Host)
    })
}

fn skipped(octet: u8, next: State) -> Result<State, ChunkError> {
    if (octet < 0x20 && octet != b'\t') || octet == 0x7f { Err(ChunkError::Control) } else { Ok(next) }
}

fn hex_digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

/// Appends the line before a chunk of `length` octets, which is not 0: that would be the end.
///
/// Behind the data belongs [`CHUNK_END`].
pub fn write_chunk_header(length: usize, out: &mut Vec<u8>) {
    debug_assert!(length > 0, "an empty chunk ends the body");
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[length >> (place * 4) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// What follows a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The end of a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes `input` handed over in `pieces`; gives the body and what follows it, `None` where it has no end.
    fn decode(pieces: &[&[u8]]) -> Result<Option<(Vec<u8>, usize)>, ChunkError> {
        let mut decoder = Decoder::new();
        let mut body = Vec::new();
        let mut before = 0;
        for piece in pieces {
            let mut at = 0;
            loop {
                match decoder.decode(&piece[at..])? {
                    Step::Data(range) => {
                        assert!(!range.is_empty());
                        body.extend_from_slice(&piece[at..][range.clone()]);
                        at += range.end;
                    }
                    Step::NeedMore => break,
                    Step::End { taken } => {
                        assert!(decoder.is_over());
                        return Ok(Some((body, before + at + taken)));
                    }
                }
            }
            before += piece.len();
        }
        Ok(None)
    }

    #[test]
    fn bodies_are_read() {
        for (input, body, rest) in [
            ("0\r\n\r\n", "", ""),
            ("0\r\n\r\nGET /", "", "GET /"),
            ("3\r\nabc\r\n0\r\n\r\n", "abc", ""),
            ("3;a=b\r\nabc\r\n0;c\r\n\r\n", "abc", ""),
            ("3 ; a=\"b c\"\r\nabc\r\n00\r\n\r\n", "abc", ""),
            ("0000000000000000000A\r\n0123456789\r\n0\r\n\r\n", "0123456789", ""),
            ("1\r\na\r\n1\r\nb\r\n0\r\nX: y\r\nZ:\r\n\r\nrest", "ab", "rest"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ] {
            let expected = Ok(Some((body.as_bytes().to_vec(), input.len() - rest.len())));
            assert_eq!(decode(&[input.as_bytes()]), expected, "{input:?}");
        }
    }

    #[test]
    fn bad_bodies_are_refused() {
        for (input, error) in [
            ("\r\n", ChunkError::Size),
            ("g\r\n", ChunkError::Size),
            ("-1\r\n", ChunkError::Size),
            ("+1\r\n", ChunkError::Size),
            (" 1\r\n", ChunkError::Size),
            ("0x1\r\n", ChunkError::Size),
            (";a\r\n", ChunkError::Size),
            ("1,\r\n", ChunkError::Size),
            ("1 \r\n", ChunkError::Size),
            ("1 x\r\n", ChunkError::Size),
            ("0\r\nContent-Length: 1\r\n\r\n", ChunkError::Trailer),
            ("0\r\nX: y\r\ntransfer-encoding: x\r\n\r\n", ChunkError::Trailer),
            ("0\r\nHost: x\r\n\r\n", ChunkError::Trailer),
            ("0\r\nX: y\r\n z\r\n\r\n", ChunkError::Trailer),
            ("0\r\nX\r\n\r\n", ChunkError::Trailer),
            ("8000000000000000\r\n", ChunkError::Size),
            ("fffffffffffffffff\r\n", ChunkError::Size),
            ("10000000000000000\r\n", ChunkError::Size),
            ("1\na\r\n", ChunkError::LineEnd),
            ("1\ra\r\n", ChunkError::LineEnd),
            ("1;a\nb\r\n", ChunkError::LineEnd),
            ("1;a\rb\r\n", ChunkError::LineEnd),
            ("1;a\0\r\n", ChunkError::Control),
            ("4\r\nSEE-THIS\r\n0\r\n\r\n", ChunkError::LineEnd),
            ("1\r\na\n", ChunkError::LineEnd),
            ("1\r\nab", ChunkError::LineEnd),
            ("1\r\na\r0", ChunkError::LineEnd),
            ("0\r\n\n", ChunkError::LineEnd),
            ("0\r\nX: y\n\r\n", ChunkError::LineEnd),
            ("0\r\nX: y\rz\r\n", ChunkError::LineEnd),
            ("0\r\nX: \0\r\n\r\n", ChunkError::Control),
            ("0\r\n\rX", ChunkError::LineEnd),
        ] {
            assert_eq!(decode(&[input.as_bytes()]), Err(error), "{input:?}");
        }
    }

    #[test]
    fn overhead_is_limited() {
        let long_line = format!("1;{}", "x".repeat(CHUNK_LINE_MAX));
        assert_eq!(decode(&[long_line.as_bytes()]), Err(ChunkError::TooLong));
        let zeros = "0".repeat(CHUNK_LINE_MAX + 1);
        assert_eq!(decode(&[zeros.as_bytes()]), Err(ChunkError::TooLong));
        let trailers = format!("0\r\n{}", "X: y\r\n".repeat(TRAILERS_MAX / 6 + 1));
        assert_eq!(decode(&[trailers.as_bytes()]), Err(ChunkError::TooLong));
        let mostly_extension = format!("1;{}\r\na\r\n", "x".repeat(100)).repeat(300);
        assert_eq!(decode(&[mostly_extension.as_bytes()]), Err(ChunkError::TooLong));
        // Signed uploads carry an extension per chunk; small chunks alone are no offence.
        let signed = format!("400;chunk-signature={}\r\n{}\r\n", "f".repeat(64), "d".repeat(1024)).repeat(1000);
        assert_eq!(decode(&[signed.as_bytes()]), Ok(None));
        assert_eq!(decode(&["1\r\na\r\n".repeat(10_000).as_bytes()]), Ok(None));
    }

    #[test]
    fn headers_are_written() {
        for (length, text) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0xabc_def0, "abcdef0\r\n")] {
            let mut out = Vec::new();
            write_chunk_header(length, &mut out);
            assert_eq!(out, text.as_bytes());
        }
        let mut out = Vec::new();
        write_chunk_header(usize::MAX, &mut out);
        assert_eq!(out.len(), 18);
    }

    fn encode(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in chunks {
            write_chunk_header(chunk.len(), &mut out);
            out.extend_from_slice(chunk);
            out.extend_from_slice(CHUNK_END);
        }
        out.extend_from_slice(LAST_CHUNK);
        out
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            let encoded = encode(&chunks);
            let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(encoded.len())).collect();
            places.push(0);
            places.push(encoded.len());
            places.sort_unstable();
            let pieces: Vec<_> = places.windows(2).map(|pair| &encoded[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&pieces), Ok(Some((chunks.concat(), encoded.len()))));
        }

        #[test]
        fn cuts_change_nothing(input in "[0-3a\\r\\n; \\x00]{0,24}") {
            let octets: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
            prop_assert_eq!(decode(&octets), decode(&[input.as_bytes()]));
        }
    }
}
