//! Messages of the domain name system: one question out, its answer in. No socket, no clock.
//!
//! # Source
//! RFC 1035 §4 (messages), RFC 3596 (AAAA), RFC 2782 (SRV).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::limits::{DNS_NAME_BYTES_MAX, DNS_RECORDS_MAX};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum RecordType {
    /// An IPv4 address.
    A = 1,
    /// An IPv6 address.
    Aaaa = 28,
    /// Hosts and ports of a service.
    Srv = 33,
}

/// What an answer says; records of other types are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name for the one that was asked for.
    Cname(String),
    /// A host that offers a service.
    Srv {
        /// The least is asked first.
        priority: u16,
        /// Its share among those of one priority; 0 where it hardly wants any.
        weight: u16,
        /// Where it listens.
        port: u16,
        /// The host's name.
        target: String,
    },
}

/// A record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Seconds for which it holds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// An answer to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 0 is success, 3 is a name that does not exist.
    pub code: u8,
    /// Whether it did not fit, so that the question is to be asked over TCP.
    pub is_truncated: bool,
    /// What it says.
    pub records: Vec<Record>,
}

/// Why octets are no answer to the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The name has no labels, an empty one, one of more than 63 octets, or is too long.
    #[error("it is no name of a host")]
    Name,
    /// It answers something else: a forgery, or an answer that comes too late.
    #[error("it answers another question")]
    OtherQuestion,
    /// It ends too early, or a name in it leads nowhere.
    #[error("it is malformed")]
    Malformed,
}

const HEADER_BYTES: usize = 12;
const CLASS_IN: u16 = 1;
const TYPE_CNAME: u16 = 5;

/// The question for records of `name`, recursion desired.
///
/// # Errors
/// [`MessageError::Name`].
pub fn question(id: u16, name: &str, kind: RecordType) -> Result<Vec<u8>, MessageError> {
    let mut message = Vec::with_capacity(HEADER_BYTES + name.len() + 6);
    for word in [id, 0x0100, 1, 0, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    if name.len() + 2 > DNS_NAME_BYTES_MAX {
        return Err(MessageError::Name);
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        message.push(length.ok_or(MessageError::Name)?);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&(kind as u16).to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    Ok(message)
}

/// Reads the answer to [`question`].
///
/// # Errors
/// [`MessageError::OtherQuestion`]: wait for another one. [`MessageError::Malformed`].
pub fn answer(octets: &[u8], id: u16, name: &str, kind: RecordType) -> Result<Answer, MessageError> {
    let mut reader = Reader { octets, at: 0 };
    let [seen, flags, questions, answers, _, _] = [(); 6].map(|()| reader.word());
    let (seen, flags) = (seen?, flags?);
    if seen != id || flags & 0x8000 == 0 {
        return Err(MessageError::OtherQuestion);
    }
    let mut answer = Answer { code: (flags & 0xf) as u8, is_truncated: flags & 0x0200 != 0, records: Vec::new() };
    if questions? != 1 {
        // Who did not understand the question need not repeat it.
        return if answer.code == 0 { Err(MessageError::Malformed) } else { Ok(answer) };
    }
    let is_ours = reader.name()?.eq_ignore_ascii_case(name);
    if !is_ours | (reader.word()? != kind as u16) | (reader.word()? != CLASS_IN) {
        return Err(MessageError::OtherQuestion);
    }
    if answer.is_truncated || answer.code != 0 {
        return Ok(answer);
    }
    for _ in 0..usize::from(answers?).min(DNS_RECORDS_MAX) {
        let record = reader.record()?;
        answer.records.extend(record);
    }
    Ok(answer)
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let taken = self.octets.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        self.at += N;
        taken.copied().ok_or(MessageError::Malformed)
    }

    fn word(&mut self) -> Result<u16, MessageError> {
        self.take().map(u16::from_be_bytes)
    }

    /// A record; `None` for a type that nobody asked for.
    fn record(&mut self) -> Result<Option<Record>, MessageError> {
        self.name()?;
        let (kind, class) = (self.word()?, self.word()?);
        let ttl = u32::from_be_bytes(self.take()?);
        let length = usize::from(self.word()?);
        let end = self.at + length;
        if end > self.octets.len() {
            return Err(MessageError::Malformed);
        }
        let data = match kind {
            _ if class != CLASS_IN => None,
            kind if kind == RecordType::A as u16 && length == 4 => Some(Data::A(self.take::<4>()?.into())),
            kind if kind == RecordType::Aaaa as u16 && length == 16 => Some(Data::Aaaa(self.take::<16>()?.into())),
            kind if kind == RecordType::Srv as u16 => Some(Data::Srv {
                priority: self.word()?,
                weight: self.word()?,
                port: self.word()?,
                target: self.name()?,
            }),
            TYPE_CNAME => Some(Data::Cname(self.name()?)),
            _ => None,
        };
        self.at = end;
        // A time beyond 31 bits is none: RFC 2181 §8.
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        Ok(data.map(|data| Record { ttl, data }))
    }

    /// A name with dots between its labels, none at its end. Pointers lead backwards only, so that they come to an end.
    fn name(&mut self) -> Result<String, MessageError> {
        let mut name = String::new();
        let mut at = self.at;
        let mut lowest = at;
        let mut end = None;
        loop {
            let length = *self.octets.get(at).ok_or(MessageError::Malformed)?;
            match length {
                0 => break,
                1..=63 => {
                    let label = self.octets.get(at + 1..at + 1 + usize::from(length)).ok_or(MessageError::Malformed)?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(&String::from_utf8_lossy(label));
                    at += 1 + usize::from(length);
                }
                0xc0.. => {
                    let low = *self.octets.get(at + 1).ok_or(MessageError::Malformed)?;
                    end = end.or(Some(at + 2));
                    at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if at >= lowest {
                        return Err(MessageError::Malformed);
                    }
                    lowest = at;
                }
                _ => return Err(MessageError::Malformed),
            }
            if name.len() > DNS_NAME_BYTES_MAX {
                return Err(MessageError::Malformed);
            }
        }
        self.at = end.unwrap_or(at + 1);
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "example.net";

    fn answered(flags: u16, records: &[&[u8]]) -> Vec<u8> {
        let mut message = question(7, NAME, RecordType::A).expect("a name");
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&u16::try_from(records.len()).expect("few").to_be_bytes());
        message.extend(records.concat());
        message
    }

    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).expect("short");
        [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, length], data].concat()
    }

    fn read(octets: &[u8]) -> Result<Answer, MessageError> {
        answer(octets, 7, NAME, RecordType::A)
    }

    #[test]
    fn a_question_is_as_the_rfc_says() {
        let expected = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x07example\x03net\0\0\x01\0\x01";
        assert_eq!(question(7, NAME, RecordType::A).as_deref(), Ok(&expected[..]));
        for wrong in ["", "a..b", ".a", "a.", &"a".repeat(64), &"a.".repeat(130)] {
            assert_eq!(question(7, wrong, RecordType::A), Err(MessageError::Name), "{wrong}");
        }
    }

    #[test]
    fn every_kind_of_record_is_read() {
        let records = [
            record(1, &[127, 0, 0, 1]),
            record(28, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            record(5, b"\x05alias\xc0\x0c"),
            record(33, b"\0\x01\0\x02\0\x50\x01h\0"),
            record(16, b"\x04text"),
        ];
        let answer = read(&answered(0x8180, &records.each_ref().map(Vec::as_slice))).expect("an answer");
        let data: Vec<_> = answer.records.iter().map(|record| record.data.clone()).collect();
        let srv = Data::Srv { priority: 1, weight: 2, port: 80, target: "h".to_owned() };
        let cname = Data::Cname("alias.example.net".to_owned());
        assert_eq!(data, [Data::A(Ipv4Addr::LOCALHOST), Data::Aaaa(Ipv6Addr::LOCALHOST), cname, srv]);
        assert_eq!(answer.records[0].ttl, 60);
    }

    #[test]
    fn what_answers_another_question_is_not_believed() {
        let right = answered(0x8183, &[]);
        assert_eq!(read(&right).map(|answer| answer.code), Ok(3));
        assert_eq!(answer(&right, 8, NAME, RecordType::A), Err(MessageError::OtherQuestion));
        assert_eq!(answer(&right, 7, "example.org", RecordType::A), Err(MessageError::OtherQuestion));
        assert_eq!(answer(&right, 7, NAME, RecordType::Aaaa), Err(MessageError::OtherQuestion));
        assert_eq!(read(&answered(0x0180, &[])), Err(MessageError::OtherQuestion));
        assert!(read(&answered(0x8380, &[])).expect("an answer").is_truncated);
    }

    #[test]
    fn no_octets_make_it_panic_or_go_round_for_ever() {
        let whole = answered(0x8180, &[&record(5, b"\x05alias\xc0\x0c"), &record(33, b"\0\x01\0\x02\0\x50\xc0\x30")]);
        for length in 0..whole.len() {
            let _ = read(&whole[..length]);
            for octet in [0, 0x3f, 0x40, 0xc0, 0xff] {
                let mut changed = whole.clone();
                changed[length] = octet;
                let _ = read(&changed);
            }
        }
        let circle = record(5, b"\xc0\x2a");
        assert_eq!(read(&answered(0x8180, &[&circle])), Err(MessageError::Malformed));
    }
}
