//! Name-value pairs (§3.4): lengths of one octet, or of four with the first bit set.

use crate::variable::{Full, VariableName, VariableSink};

/// Writes pairs behind whatever `out` holds already.
#[derive(Debug)]
pub struct PairsWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    limit: usize,
}

impl<'a> PairsWriter<'a> {
    /// Pairs of `limit` octets together at most.
    pub fn new(out: &'a mut Vec<u8>, limit: usize) -> Self {
        let start = out.len();
        Self { out, start, limit }
    }
}

impl VariableSink for PairsWriter<'_> {
    fn variable(&mut self, name: VariableName<'_>, parts: &[&[u8]]) -> Result<(), Full> {
        let full = Full { limit: self.limit };
        let value_len = parts.iter().map(|part| part.len()).sum::<usize>();
        let grown = self.out.len() - self.start + 8 + name.len() + value_len;
        if grown > self.limit {
            return Err(full);
        }
        let name_len = u32::try_from(name.len()).map_err(|_| full)?;
        let value_len = u32::try_from(value_len).map_err(|_| full)?;
        write_length(name_len, self.out);
        write_length(value_len, self.out);
        name.write(self.out);
        for part in parts {
            self.out.extend_from_slice(part);
        }
        Ok(())
    }
}

/// The pairs of `octets`; ends behind the first error.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

/// A length points outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a FastCGI name or value is longer than what is left of its record")]
pub struct PairError;

impl<'a> Pairs<'a> {
    /// The pairs that `octets` consist of.
    #[must_use]
    pub fn of(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    fn pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let name_len = self.length()?;
        let value_len = self.length()?;
        Some((self.take(name_len)?, self.take(value_len)?))
    }

    fn length(&mut self) -> Option<usize> {
        let (&first, rest) = self.rest.split_first()?;
        if first < LONG {
            self.rest = rest;
            return Some(usize::from(first));
        }
        let octets = self.take(4)?;
        let &[a, b, c, d] = octets else { return None };
        usize::try_from(u32::from_be_bytes([a & !LONG, b, c, d])).ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), PairError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let pair = self.pair();
        if pair.is_none() {
            self.rest = &[];
        }
        Some(pair.ok_or(PairError))
    }
}

fn write_length(length: u32, out: &mut Vec<u8>) {
    match u8::try_from(length) {
        Ok(short) if short < LONG => out.push(short),
        _ => out.extend_from_slice(&(length | u32::from(LONG) << 24).to_be_bytes()),
    }
}

/// The bit that tells a length of four octets.
const LONG: u8 = 0x80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::variable::VariableId;

    #[test]
    fn the_octets_are_those_of_the_specification() {
        let mut out = Vec::new();
        let mut writer = PairsWriter::new(&mut out, 4096);
        writer.variable(VariableName::Known(VariableId::PATH_INFO), &[b"/a"]).expect("fits");
        writer.variable(VariableName::Literal(b"L"), &[&[b'x'; 200]]).expect("fits");
        let mut expected = b"\x09\x02PATH_INFO/a\x01\x80\x00\x00\xc8L".to_vec();
        expected.extend_from_slice(&[b'x'; 200]);
        assert_eq!(out, expected);
        let read: Vec<_> = Pairs::of(&out).map(|pair| pair.expect("whole")).collect();
        assert_eq!(read, [(&b"PATH_INFO"[..], &b"/a"[..]), (b"L", &[b'x'; 200])]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_smaller_ones_still_fit() {
        let mut out = Vec::new();
        let mut writer = PairsWriter::new(&mut out, 30);
        assert_eq!(writer.variable(VariableName::Literal(b"A"), &[&[b'x'; 40]]), Err(Full { limit: 30 }));
        writer.variable(VariableName::Literal(b"B"), &[b"y"]).expect("fits");
        assert_eq!(Pairs::of(&out).count(), 1);
    }

    #[test]
    fn a_length_that_points_outside_is_an_error() {
        for octets in [&b"\x05\x00a"[..], b"\x01", b"\x80\x00", b"\xff\xff\xff\xff\x01a", b"\x01\x7fab"] {
            assert_eq!(Pairs::of(octets).last(), Some(Err(PairError)), "{octets:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(input: Vec<u8>) {
            prop_assert!(Pairs::of(&input).count() <= input.len() / 2 + 1);
        }
    }
}
