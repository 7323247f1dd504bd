//! The request record: what a worker is told about a request, laid out to be read without parsing.
//!
//! ```text
//! 0   u64  request id            pair:  u16 name number (0: the name follows)
//! 8   i64  content length (-1)          u16 name length (0 when numbered)
//! 16  u64  deadline, ms (0: none)       u32 value length
//! 24  u16  flags                        name, value
//! 26  u16  number of pairs
//! 28  u32  length of the record, this front included
//! 32  pairs
//! ```
//!
//! All numbers are little-endian and unaligned.

use crate::cursor::Cursor;
use crate::variable::{Full, VariableId, VariableName, VariableSink};

/// The fixed fields at the front of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordFront {
    /// The number that the log gives this request.
    pub request_id: u64,
    /// The length of the request body in bytes, `None` when only its end will tell.
    pub content_length: Option<u64>,
    /// When the answer is no longer wanted, CLOCK_MONOTONIC in milliseconds; 0: never.
    pub deadline_ms: u64,
    /// What is true of the request.
    pub flags: RecordFlags,
}

/// Facts about a request, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordFlags(u16);

impl RecordFlags {
    /// The request came by TLS, or a trusted proxy said so: `wsgi.url_scheme` is `https`.
    pub const HTTPS: Self = Self(1);
    /// The method is HEAD: no octet of the body will be sent.
    pub const HEAD: Self = Self(2);
    /// The client connection outlives the request.
    pub const KEEP_ALIVE: Self = Self(4);
    /// There is a request body, here or yet to come.
    pub const BODY: Self = Self(8);

    /// No fact.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// These facts and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Adds the facts of `other` when `condition` holds.
    #[must_use]
    pub const fn with_if(self, condition: bool, other: Self) -> Self {
        if condition { self.with(other) } else { self }
    }

    /// Whether all facts of `other` hold.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Writes a record behind whatever `out` holds already.
///
/// A writer that is dropped without [`finish`](Self::finish) leaves an unfinished record in `out`.
#[derive(Debug)]
pub struct RecordWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    limit: usize,
    pairs: u16,
}

impl<'a> RecordWriter<'a> {
    /// Begins a record that may grow to `limit` bytes.
    pub fn new(out: &'a mut Vec<u8>, limit: usize, front: &RecordFront) -> Self {
        let start = out.len();
        let content_length = front.content_length.and_then(|length| i64::try_from(length).ok());
        out.extend_from_slice(&front.request_id.to_le_bytes());
        out.extend_from_slice(&content_length.unwrap_or(-1).to_le_bytes());
        out.extend_from_slice(&front.deadline_ms.to_le_bytes());
        out.extend_from_slice(&front.flags.0.to_le_bytes());
        out.extend_from_slice(&[0; 6]); // Number of pairs and length: `finish` knows them.
        Self { out, start, limit, pairs: 0 }
    }

    /// Adds a well-known variable.
    ///
    /// # Errors
    ///
    /// [`Full`] when it does not fit.
    #[inline]
    pub fn known(&mut self, id: VariableId, value: &[u8]) -> Result<(), Full> {
        self.variable(VariableName::Known(id), &[value])
    }

    /// Adds a variable by its name; one that has a number is written by its number.
    ///
    /// # Errors
    ///
    /// [`Full`] when it does not fit.
    pub fn named(&mut self, name: &[u8], value: &[u8]) -> Result<(), Full> {
        let name = VariableId::of(name).map_or(VariableName::Literal(name), VariableName::Known);
        self.variable(name, &[value])
    }

    /// Completes the front and returns the length of the record in bytes.
    pub fn finish(self) -> usize {
        let length = self.out.len() - self.start;
        let tail = self.start + PAIRS_OFFSET;
        if let Some(front) = self.out.get_mut(tail..tail + 6) {
            front[..2].copy_from_slice(&self.pairs.to_le_bytes());
            front[2..].copy_from_slice(&(length as u32).to_le_bytes());
        }
        length
    }
}

impl VariableSink for RecordWriter<'_> {
    fn variable(&mut self, name: VariableName<'_>, parts: &[&[u8]]) -> Result<(), Full> {
        let full = Full { limit: self.limit };
        let (number, name_len) = match name {
            VariableName::Known(id) => (id.number(), 0),
            other => (0, other.len()),
        };
        let value_len = parts.iter().map(|part| part.len()).sum::<usize>();
        let grown = self.out.len() - self.start + PAIR_HEAD_LEN + name_len + value_len;
        if grown > self.limit || self.pairs == u16::MAX {
            return Err(full);
        }
        let name_len = u16::try_from(name_len).map_err(|_| full)?;
        let value_len = u32::try_from(value_len).map_err(|_| full)?;

        let mut head = [0; PAIR_HEAD_LEN];
        head[..2].copy_from_slice(&number.to_le_bytes());
        head[2..4].copy_from_slice(&name_len.to_le_bytes());
        head[4..].copy_from_slice(&value_len.to_le_bytes());
        self.out.extend_from_slice(&head);
        if number == 0 {
            name.write(self.out);
        }
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.pairs += 1;
        Ok(())
    }
}

/// A record as the worker reads it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    front: RecordFront,
    pairs: u16,
    rest: Cursor<'a>,
}

impl<'a> Record<'a> {
    /// Reads the front of the record at the start of `input`; octets behind the record are ignored.
    ///
    /// # Errors
    ///
    /// [`RecordError`] when `input` is shorter than the record says.
    pub fn read(input: &'a [u8]) -> Result<Self, RecordError> {
        let mut cursor = Cursor::new(input);
        let mut front = || {
            let request_id = cursor.u64()?;
            let content_length = cursor.u64()?;
            let deadline_ms = cursor.u64()?;
            let flags = RecordFlags(cursor.u16()?);
            let pairs = cursor.u16()?;
            let length = (cursor.u32()? as usize).checked_sub(FRONT_LEN)?;
            let content_length = (content_length <= i64::MAX as u64).then_some(content_length);
            let front = RecordFront { request_id, content_length, deadline_ms, flags };
            Some(Self { front, pairs, rest: Cursor::new(cursor.bytes(length)?) })
        };
        front().ok_or(RecordError::Cut)
    }

    /// The fixed fields.
    #[inline]
    pub fn front(&self) -> &RecordFront {
        &self.front
    }

    /// The variables in the order they were written.
    #[inline]
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs { rest: self.rest, left: self.pairs }
    }
}

/// The variables of a record; ends behind the first [`RecordError`].
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    rest: Cursor<'a>,
    left: u16,
}

impl<'a> Pairs<'a> {
    #[inline]
    fn pair(&mut self) -> Option<(VariableName<'a>, &'a [u8])> {
        let number = self.rest.u16()?;
        let name_len = self.rest.u16()?;
        let value_len = self.rest.u32()?;
        let name = self.rest.bytes(usize::from(name_len))?;
        let value = self.rest.bytes(value_len as usize)?;
        let name = match number {
            0 => VariableName::Literal(name),
            number => VariableName::Known(VariableId::from_number(number)?),
        };
        Some((name, value))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(VariableName<'a>, &'a [u8]), RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let pair = self.pair();
        if pair.is_none() {
            self.left = 0;
        }
        Some(pair.ok_or(RecordError::Cut))
    }
}

/// Why a record cannot be read. Our own edge never writes such a record: a bug, or a torn segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A length points outside, or a number has no name.
    #[error("request record is cut short or has an unknown variable number")]
    Cut,
}

/// Bytes of the fixed fields.
pub const FRONT_LEN: usize = 32;

const PAIRS_OFFSET: usize = 26;
const PAIR_HEAD_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Vec<u8> {
        let front = RecordFront {
            request_id: 7,
            content_length: Some(12),
            deadline_ms: 99,
            flags: RecordFlags::HTTPS.with_if(true, RecordFlags::BODY).with_if(false, RecordFlags::HEAD),
        };
        let mut out = b"before".to_vec();
        let mut writer = RecordWriter::new(&mut out, 200, &front);
        writer.known(VariableId::REQUEST_METHOD, b"POST").expect("fits");
        writer.named(b"MY_PARAM", b"").expect("fits");
        writer.named(b"PATH_INFO", b"/\xff").expect("fits");
        writer.variable(VariableName::Header(b"X-A"), &[b"1", b", ", b"2"]).expect("fits");
        let length = writer.finish();
        assert_eq!(out.len(), 6 + length);
        out.split_off(6)
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample();
        let record = Record::read(&bytes).expect("a whole record");
        assert_eq!(record.front().request_id, 7);
        assert_eq!(record.front().content_length, Some(12));
        assert_eq!(record.front().deadline_ms, 99);
        assert!(record.front().flags.contains(RecordFlags::HTTPS.with(RecordFlags::BODY)));
        assert!(!record.front().flags.contains(RecordFlags::HEAD));
        let pairs = record.pairs().collect::<Result<Vec<_>, _>>().expect("whole pairs");
        assert_eq!(
            pairs,
            [
                (VariableName::Known(VariableId::REQUEST_METHOD), &b"POST"[..]),
                (VariableName::Literal(b"MY_PARAM"), b""),
                (VariableName::Known(VariableId::PATH_INFO), b"/\xff"),
                (VariableName::Literal(b"HTTP_X_A"), b"1, 2"),
            ]
        );
    }

    #[test]
    fn an_unknown_length_stays_unknown() {
        let mut out = Vec::new();
        RecordWriter::new(&mut out, 100, &RecordFront::default()).finish();
        assert_eq!(out.len(), FRONT_LEN);
        assert_eq!(Record::read(&out).expect("whole").front().content_length, None);
    }

    #[test]
    fn the_limit_refuses_what_is_larger_and_only_that() {
        let mut out = Vec::new();
        let mut writer = RecordWriter::new(&mut out, FRONT_LEN + 12, &RecordFront::default());
        assert_eq!(writer.known(VariableId::PATH_INFO, b"12345"), Err(Full { limit: FRONT_LEN + 12 }));
        assert_eq!(writer.known(VariableId::PATH_INFO, b"1234"), Ok(()));
        assert_eq!(writer.finish(), FRONT_LEN + 12);
        assert_eq!(Record::read(&out).expect("whole").pairs().count(), 1);
    }

    #[test]
    fn a_record_cut_anywhere_is_an_error() {
        let bytes = sample();
        for end in 0..bytes.len() {
            assert_eq!(Record::read(&bytes[..end]).err(), Some(RecordError::Cut), "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(position in 0_usize..100, octet: u8) {
            let mut bytes = sample();
            let at = position % bytes.len();
            bytes[at] = octet;
            if let Ok(record) = Record::read(&bytes) {
                prop_assert!(record.pairs().count() <= usize::from(u16::MAX));
            }
        }
    }
}
