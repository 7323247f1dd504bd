//! SCGI: a request's variables as one netstring, both ways.
//!
//! ```text
//! "70:" { name NUL value NUL }* ","
//! ```
//!
//! `CONTENT_LENGTH` comes first and `SCGI` is `1`. The body follows as it is; the answer is CGI text and ends with the
//! connection.
//!
//! # Source
//!
//! Neil Schemenauer's SCGI specification (python.ca/scgi/protocol.txt, 2008).

use crate::variable::{Full, VariableName, VariableSink};

/// Writes the block behind whatever `out` holds already.
///
/// A writer that is dropped without [`finish`](Self::finish) leaves pairs without their length in `out`.
#[derive(Debug)]
pub struct BlockWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    limit: usize,
}

impl<'a> BlockWriter<'a> {
    /// Begins a block of at most `limit` octets.
    pub fn new(out: &'a mut Vec<u8>, limit: usize) -> Self {
        let start = out.len();
        Self { out, start, limit }
    }

    /// Puts the length before the pairs and the comma behind them.
    pub fn finish(self) {
        let length = format!("{}:", self.out.len() - self.start);
        self.out.splice(self.start..self.start, length.into_bytes());
        self.out.push(b',');
    }
}

impl VariableSink for BlockWriter<'_> {
    /// Octets that a block cannot hold, NUL, are left out.
    fn variable(&mut self, name: VariableName<'_>, parts: &[&[u8]]) -> Result<(), Full> {
        let value_len = parts.iter().map(|part| part.len()).sum::<usize>();
        if self.out.len() - self.start + name.len() + value_len + 2 > self.limit {
            return Err(Full { limit: self.limit });
        }
        let mut put = |octets: &[u8]| self.out.extend(octets.iter().filter(|octet| **octet != 0));
        let mut spelt = Vec::with_capacity(name.len());
        name.write(&mut spelt);
        put(&spelt);
        self.out.push(0);
        for part in parts {
            self.out.extend(part.iter().filter(|octet| **octet != 0));
        }
        self.out.push(0);
        Ok(())
    }
}

/// What [`decode`] found.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// The block is not all there.
    Incomplete,
    /// A whole block.
    Block {
        /// Its variables, checked.
        variables: Variables<'a>,
        /// The octets of `input` it used; the request body begins there.
        taken: usize,
    },
}

/// Decodes the block at the front of `input`, which is whatever has arrived so far and may end anywhere.
///
/// Keeps no state: after [`Decoded::Incomplete`], call it again with the same octets and the new ones. `size_max` bounds
/// the block in octets.
///
/// # Errors
///
/// Each is fatal to the connection: the block's end is not known, or its sender is broken.
pub fn decode(input: &[u8], size_max: usize) -> Result<Decoded<'_>, ScgiError> {
    let front = input.get(..DIGITS_MAX + 1).unwrap_or(input);
    let Some(colon) = front.iter().position(|octet| !octet.is_ascii_digit()) else {
        return if front.len() > DIGITS_MAX { Err(ScgiError::Length) } else { Ok(Decoded::Incomplete) };
    };
    let (digits, rest) = input.split_at(colon);
    // A netstring's length has no leading zero.
    if rest.first() != Some(&b':') || digits.is_empty() || digits.len() > 1 && digits.starts_with(b"0") {
        return Err(ScgiError::Length);
    }
    let size = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(ScgiError::Length)?;
    if size > size_max {
        return Err(ScgiError::Size { size, size_max });
    }
    let (Some(block), Some(&end)) = (rest.get(1..=size), rest.get(size + 1)) else { return Ok(Decoded::Incomplete) };
    if end != b',' {
        return Err(ScgiError::End);
    }
    // Names and values, each with its NUL.
    let is_whole =
        block.last().is_none_or(|last| *last == 0) && block.iter().filter(|octet| **octet == 0).count() % 2 == 0;
    if !is_whole {
        return Err(ScgiError::Pairs);
    }
    let variables = Variables { rest: block };
    if variables.clone().any(|(name, _)| name.is_empty()) {
        return Err(ScgiError::Pairs);
    }
    Ok(Decoded::Block { variables, taken: colon + 1 + size + 1 })
}

/// The variables of a block in the order they were sent.
#[derive(Clone, Copy, Debug)]
pub struct Variables<'a> {
    rest: &'a [u8],
}

impl<'a> Variables<'a> {
    fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|octet| *octet == 0)?;
        let text = self.rest.get(..end)?;
        self.rest = self.rest.get(end + 1..)?;
        Some(text)
    }
}

impl<'a> Iterator for Variables<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.text()?, self.text()?))
    }
}

/// Why a block is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScgiError {
    /// No number with a colon at the front. A client that speaks HTTP to this socket looks like this too.
    #[error("the request does not begin with a netstring's length")]
    Length,
    /// Larger than allowed.
    #[error("invalid request block size: {size} (max {size_max})")]
    Size {
        /// What the front says, in octets.
        size: usize,
        /// The limit in octets.
        size_max: usize,
    },
    /// No comma where the block should end.
    #[error("the netstring does not end in a comma")]
    End,
    /// A name without a value, or an empty name.
    #[error("the request block is not made of names and values")]
    Pairs,
}

/// Digits of a block's length: what is longer is no length.
const DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        let mut writer = BlockWriter::new(&mut out, 4096);
        for (name, value) in pairs {
            writer.variable(VariableName::Literal(name), &[value]).expect("fits");
        }
        writer.finish();
        out.split_off(6)
    }

    #[test]
    fn the_octets_are_those_of_the_specification() {
        let pairs: &[(&[u8], &[u8])] = &[
            (b"CONTENT_LENGTH", b"27"),
            (b"SCGI", b"1"),
            (b"REQUEST_METHOD", b"POST"),
            (b"REQUEST_URI", b"/deepthought"),
        ];
        let octets = written(pairs);
        assert_eq!(
            octets,
            b"70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/deepthought\x00,"
        );
        let mut input = octets.clone();
        input.extend_from_slice(b"What is the answer to life?");
        let Ok(Decoded::Block { variables, taken }) = decode(&input, 4096) else { panic!("whole") };
        assert_eq!(taken, octets.len());
        assert_eq!(variables.collect::<Vec<_>>(), pairs);
        for end in 0..octets.len() {
            assert!(matches!(decode(&octets[..end], 4096), Ok(Decoded::Incomplete)), "{end}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let error = |octets: &[u8]| decode(octets, 100).err();
        assert_eq!(error(b"GET / HTTP/1.1"), Some(ScgiError::Length));
        assert_eq!(error(b":"), Some(ScgiError::Length));
        assert_eq!(error(b"012:"), Some(ScgiError::Length));
        assert_eq!(error(b"1234567890"), Some(ScgiError::Length));
        assert_eq!(error(b"101:"), Some(ScgiError::Size { size: 101, size_max: 100 }));
        assert_eq!(error(b"4:A\x001\x00;"), Some(ScgiError::End));
        assert_eq!(error(b"3:A\x001,"), Some(ScgiError::Pairs));
        assert_eq!(error(b"2:A\x00,"), Some(ScgiError::Pairs));
        assert_eq!(error(b"2:\x00\x00,"), Some(ScgiError::Pairs));
        assert!(matches!(decode(b"0:,", 100), Ok(Decoded::Block { taken: 3, .. })));
    }

    #[test]
    fn a_nul_cannot_make_a_variable() {
        assert_eq!(written(&[(b"A", b"1\0B\x002")]), b"6:A\x001B2\x00,");
    }

    proptest! {
        #[test]
        fn any_octets_are_decoded_without_a_panic(mut input: Vec<u8>, size in 0_usize..40) {
            let _ = decode(&input, 4096);
            input.splice(0..0, format!("{size}:").into_bytes());
            if let Ok(Decoded::Block { taken, .. }) = decode(&input, 4096) {
                prop_assert!(taken <= input.len());
            }
        }
    }
}
