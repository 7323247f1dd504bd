//! A body in another character set.

use std::sync::Arc;

use bytes::Bytes;
use daemun_server::limits::SMALL_FILE_BYTES;
use daemun_server::response::{Body, BodyError};

use super::map::{CharsetMap, Table, Way};
use crate::coded_body::{CodedBody, Coder};

/// Octets of one set as those of the other.
pub(super) struct Recoder {
    maps: Arc<[CharsetMap]>,
    /// Number of the map among `maps`.
    number: usize,
    way: Way,
    /// The beginning of a character of UTF-8 whose rest is still to come.
    begun: Vec<u8>,
}

impl Recoder {
    /// The way from one set to the other; `None` where no map leads there.
    pub(super) fn between(maps: &Arc<[CharsetMap]>, from: &[u8], to: &[u8]) -> Option<Self> {
        let (number, way) = maps.iter().enumerate().find_map(|(number, map)| Some((number, map.is_for(from, to)?)))?;
        Some(Self { maps: Arc::clone(maps), number, way, begun: Vec::new() })
    }

    /// Whether each octet stays one.
    pub(super) fn keeps_length(&self) -> bool {
        matches!(self.maps[self.number].table, Table::Octets { .. })
    }

    /// The body recoded; a short one at once, so that its length is known and parts of it can be had.
    pub(super) fn apply(self, body: Body) -> Body {
        match body {
            Body::Empty => Body::Empty,
            Body::Bytes(octets) if octets.len() as u64 <= SMALL_FILE_BYTES => self.whole(&octets),
            Body::File(part) if part.length <= SMALL_FILE_BYTES => {
                let mut unread = part.clone();
                match unread.read(SMALL_FILE_BYTES as usize) {
                    Ok(octets) if unread.length == 0 => self.whole(&octets),
                    // What is wrong with it is met again when it is sent.
                    _ => CodedBody::wrap(Body::File(part), self),
                }
            }
            body if self.keeps_length() => CodedBody::wrap(body, OctetByOctet(self)),
            body => CodedBody::wrap(body, self),
        }
    }

    fn whole(mut self, octets: &[u8]) -> Body {
        let mut out = Vec::with_capacity(octets.len());
        self.recode(octets, &mut out);
        self.end(&mut out);
        Body::Bytes(Bytes::from(out))
    }

    fn recode(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let map = &self.maps[self.number];
        match (&map.table, self.way) {
            (Table::Octets { forth, .. }, Way::Forth) => {
                out.extend(octets.iter().map(|octet| forth[usize::from(*octet)]))
            }
            (Table::Octets { back, .. }, Way::Back) => out.extend(octets.iter().map(|octet| back[usize::from(*octet)])),
            (Table::Utf8 { forth, .. }, Way::Forth) => {
                octets.iter().for_each(|octet| out.extend_from_slice(forth[usize::from(*octet)].as_slice()));
            }
            (Table::Utf8 { back, .. }, Way::Back) => {
                let mut joined = std::mem::take(&mut self.begun);
                joined.extend_from_slice(octets);
                self.begun = joined.split_off(joined.len() - begun_length(&joined));
                from_utf8(&joined, |character| back.get(&character).copied(), out);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.begun).is_empty() {
            out.push(b'?');
        }
    }
}

/// Octets at the end that begin a character without ending it: three at most.
fn begun_length(octets: &[u8]) -> usize {
    let tail = octets.iter().rev().take(3).take_while(|octet| **octet & 0xc0 == 0x80).count();
    let wanted = match octets.len().checked_sub(tail + 1).and_then(|at| octets.get(at)) {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 0,
    };
    if wanted > tail + 1 { tail + 1 } else { 0 }
}

/// What the other set has no octet for is named by its number, as HTML has it; what is no UTF-8 is a question mark.
fn from_utf8(octets: &[u8], known: impl Fn(char) -> Option<u8>, out: &mut Vec<u8>) {
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            match known(character) {
                _ if character.is_ascii() => out.push(character as u8),
                Some(octet) => out.push(octet),
                None => out.extend_from_slice(format!("&#{};", u32::from(character)).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.push(b'?');
        }
    }
}

impl Coder for Recoder {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.recode(octets, out);
        Ok(())
    }

    /// A character that is not whole waits for its rest.
    fn flush(&mut self, _: &mut Vec<u8>) -> Result<(), BodyError> {
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.end(out);
        Ok(())
    }
}

/// A [`Recoder`] between two sets of one octet for a character.
struct OctetByOctet(Recoder);

impl Coder for OctetByOctet {
    const KEEPS_LENGTH: bool = true;

    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.0.push(octets, out)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.0.flush(out)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.0.finish(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_taken_whole_however_they_come() {
        let text = "aф€𝄞\u{80}z".as_bytes();
        for size in 1..text.len() {
            let (mut begun, mut out) = (Vec::new(), Vec::new());
            for piece in text.chunks(size) {
                begun.extend_from_slice(piece);
                let rest = begun.split_off(begun.len() - begun_length(&begun));
                from_utf8(&begun, |character| (character == 'ф').then_some(0xc6), &mut out);
                begun = rest;
            }
            assert_eq!(out, b"a\xc6&#8364;&#119070;&#128;z", "pieces of {size}");
            assert!(begun.is_empty());
        }
    }

    #[test]
    fn what_is_no_text_is_a_question_mark() {
        let mut out = Vec::new();
        from_utf8(b"a\xffb\xc3(", |_| None, &mut out);
        assert_eq!(out, b"a?b?(");
        assert_eq!(begun_length(b"a\xe2\x82"), 2);
        assert_eq!(begun_length(b"\x82\x82\x82\x82"), 0);
        assert_eq!(begun_length(b"a\xff"), 0);
        assert_eq!(begun_length(b""), 0);
    }
}
