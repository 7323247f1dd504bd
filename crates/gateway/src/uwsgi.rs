//! The uwsgi protocol: a request's variables in one packet, both ways.
//!
//! ```text
//! u8 modifier1, u16 size, u8 modifier2, then `size` octets:
//! { u16 name length, name, u16 value length, value }*
//! ```
//!
//! All numbers are little-endian. The request body follows the packet as it is; the answer is
//! HTTP/1 or CGI text and no concern of this file.
//!
//! # Source
//!
//! The uwsgi protocol specification (uwsgi-docs, `Protocol.rst`).

use crate::cursor::Cursor;
use crate::variable::{Full, VariableName, VariableSink};

/// Writes a packet behind whatever `out` holds already.
///
/// A writer that is dropped without [`finish`](Self::finish) leaves an unfinished packet in `out`.
#[derive(Debug)]
pub struct PacketWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> PacketWriter<'a> {
    /// Begins a packet; a WSGI request has both modifiers 0.
    pub fn new(out: &'a mut Vec<u8>, modifier1: u8, modifier2: u8) -> Self {
        let start = out.len();
        out.extend_from_slice(&[modifier1, 0, 0, modifier2]);
        Self { out, start }
    }

    /// Writes the size into the packet's head.
    pub fn finish(self) {
        let size = self.out.len() - self.start - HEAD_LEN;
        let size = u16::try_from(size).expect("`variable` refuses what makes the packet larger");
        if let Some(field) = self.out.get_mut(self.start + 1..self.start + 3) {
            field.copy_from_slice(&size.to_le_bytes());
        }
    }
}

impl VariableSink for PacketWriter<'_> {
    fn variable(&mut self, name: VariableName<'_>, parts: &[&[u8]]) -> Result<(), Full> {
        let full = Full { limit: SIZE_MAX };
        let value_len = parts.iter().map(|part| part.len()).sum::<usize>();
        let grown = self.out.len() - self.start - HEAD_LEN + 4 + name.len() + value_len;
        if grown > SIZE_MAX {
            return Err(full);
        }
        let name_len = u16::try_from(name.len()).map_err(|_| full)?;
        let value_len = u16::try_from(value_len).map_err(|_| full)?;

        self.out.extend_from_slice(&name_len.to_le_bytes());
        name.write(self.out);
        self.out.extend_from_slice(&value_len.to_le_bytes());
        for part in parts {
            self.out.extend_from_slice(part);
        }
        Ok(())
    }
}

/// The first four octets of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHead {
    /// What the packet is for: 0 is a WSGI request, 5 a PSGI one, 100 a ping.
    pub modifier1: u8,
    /// The length of the variables in bytes.
    pub size: u16,
    /// A detail of the first modifier; 0 for WSGI.
    pub modifier2: u8,
}

/// What [`decode`] found.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// The packet is not all there; it needs `total` octets or, before its head has come, at least that.
    Incomplete {
        /// Octets of the packet, its head included.
        total: usize,
    },
    /// A whole packet.
    Packet {
        /// Its head.
        head: PacketHead,
        /// Its variables, checked.
        variables: Variables<'a>,
        /// The octets of `input` it used; the request body begins there.
        taken: usize,
    },
}

/// Decodes the packet at the front of `input`, which is whatever has arrived so far.
///
/// Keeps no state: after [`Decoded::Incomplete`], call it again with the same octets and the new
/// ones. `size_max` bounds the variables, `0..=65535` bytes (uWSGI's `buffer-size`).
///
/// # Errors
///
/// Each is fatal to the connection: the packet's end is not known, or its sender is broken.
///
/// # Source
///
/// The uwsgi protocol specification.
pub fn decode(input: &[u8], size_max: usize) -> Result<Decoded<'_>, PacketError> {
    let Some((&[modifier1, low, high, modifier2], rest)) = input.split_first_chunk::<HEAD_LEN>() else {
        return Ok(Decoded::Incomplete { total: HEAD_LEN });
    };
    let head = PacketHead { modifier1, size: u16::from_le_bytes([low, high]), modifier2 };
    let size = usize::from(head.size);
    if size > size_max {
        return Err(PacketError::Size { size, size_max });
    }
    let Some(body) = rest.get(..size) else {
        return Ok(Decoded::Incomplete { total: HEAD_LEN + size });
    };
    let variables = Variables { rest: Cursor::new(body) };
    let mut check = variables;
    while !check.rest.is_empty() {
        check.pair().ok_or(PacketError::Variables { size })?;
    }
    Ok(Decoded::Packet { head, variables, taken: HEAD_LEN + size })
}

/// The variables of a packet: names and values in the order they were sent, repeated ones included.
#[derive(Clone, Copy, Debug)]
pub struct Variables<'a> {
    rest: Cursor<'a>,
}

impl<'a> Variables<'a> {
    fn pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let name_len = self.rest.u16()?;
        let name = self.rest.bytes(usize::from(name_len))?;
        let value_len = self.rest.u16()?;
        let value = self.rest.bytes(usize::from(value_len))?;
        Some((name, value))
    }
}

impl<'a> Iterator for Variables<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.pair()
    }
}

/// Why a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The variables are larger than allowed. A client that speaks HTTP to this socket looks
    /// like this too.
    #[error("invalid request block size: {size} (max {size_max})")]
    Size {
        /// What the packet's head says, in bytes.
        size: usize,
        /// The limit, in bytes.
        size_max: usize,
    },
    /// A length within the variables points outside of them.
    #[error("a variable is longer than the request block of {size} bytes")]
    Variables {
        /// What the packet's head says, in bytes.
        size: usize,
    },
}

/// The greatest size that a packet's head can say, in bytes.
pub const SIZE_MAX: usize = 65535;

const HEAD_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::variable::VariableId;

    fn sample() -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, 0, 0);
        writer.variable(VariableName::Known(VariableId::PATH_INFO), &[b"/a"]).expect("fits");
        writer.variable(VariableName::Header(b"X-Foo"), &[b"1", b", ", b"2"]).expect("fits");
        writer.finish();
        out
    }

    #[test]
    fn the_octets_are_those_of_the_specification() {
        assert_eq!(sample(), b"\x00\x21\x00\x00\x09\x00PATH_INFO\x02\x00/a\x0a\x00HTTP_X_FOO\x04\x001, 2");
    }

    #[test]
    fn what_is_written_is_decoded_and_the_body_left_alone() {
        let mut input = sample();
        let length = input.len();
        input.extend_from_slice(b"body");
        let Ok(Decoded::Packet { head, variables, taken }) = decode(&input, SIZE_MAX) else { panic!("whole") };
        assert_eq!(head, PacketHead { modifier1: 0, size: 0x21, modifier2: 0 });
        assert_eq!(taken, length);
        assert_eq!(variables.collect::<Vec<_>>(), [(&b"PATH_INFO"[..], &b"/a"[..]), (b"HTTP_X_FOO", b"1, 2")]);
    }

    #[test]
    fn a_packet_that_has_not_all_come_says_what_it_needs() {
        let input = sample();
        for end in 0..input.len() {
            let Ok(Decoded::Incomplete { total }) = decode(&input[..end], SIZE_MAX) else { panic!("{end}") };
            assert_eq!(total, if end < 4 { 4 } else { input.len() });
        }
    }

    #[test]
    fn a_size_over_the_limit_is_refused_at_the_head() {
        assert_eq!(decode(b"GET / HT", 4096).err(), Some(PacketError::Size { size: 0x5445, size_max: 4096 }));
    }

    #[test]
    fn a_length_that_points_outside_is_refused() {
        assert_eq!(decode(b"\0\x03\0\0\x09\0a", SIZE_MAX).err(), Some(PacketError::Variables { size: 3 }));
        assert!(matches!(decode(b"\0\0\0\0", SIZE_MAX), Ok(Decoded::Packet { .. })));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_leaves_the_packet_whole() {
        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, 0, 0);
        let large = vec![b'x'; 60_000];
        writer.variable(VariableName::Literal(b"A"), &[&large]).expect("fits");
        assert_eq!(writer.variable(VariableName::Literal(b"B"), &[&large]), Err(Full { limit: SIZE_MAX }));
        writer.variable(VariableName::Literal(b"C"), &[b"small"]).expect("fits");
        writer.finish();
        let Ok(Decoded::Packet { variables, .. }) = decode(&out, SIZE_MAX) else { panic!("whole") };
        assert_eq!(variables.count(), 2);
    }

    proptest! {
        #[test]
        fn any_octets_are_decoded_without_a_panic(input: Vec<u8>) {
            if let Ok(Decoded::Packet { taken, .. }) = decode(&input, SIZE_MAX) {
                prop_assert!(taken <= input.len());
            }
        }
    }
}
