//! Header compression (RFC 7541).

mod decoder;
mod encoder;
mod huffman;
mod table;

pub use decoder::{BlockLimits, BlockScan, Decoder};
pub use encoder::{write_field, write_known_field, write_path, write_request_pseudo, write_size_update, write_status};

use super::frame::ErrorCode;

/// Octets of the table that both sides begin with.
pub const DEFAULT_TABLE_BYTES: usize = 4_096;

/// Why a header block cannot be read. Both sides' tables differ from then on: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// The block ends within a number.
    #[error("client sent header block with incorrect length")]
    CutInteger,
    /// The block ends within a field.
    #[error("client sent header field with incorrect length")]
    CutField,
    /// A number is larger than any that is needed.
    #[error("client sent header block with too long integer")]
    Integer,
    /// No field has this number.
    #[error("client sent invalid hpack table index {0}")]
    Index(usize),
    /// The table is made larger than it may be, or in the middle of a block.
    #[error("client sent invalid table size update: {0}")]
    TableSize(usize),
    /// A text is not in the code that it should be in.
    #[error("client sent invalid encoded header field")]
    Huffman,
    /// A field has no name.
    #[error("client sent zero header name length")]
    NoName,
    /// A name or value is longer than it may be.
    #[error("client sent too large header field")]
    FieldTooLarge,
    /// All of them together are.
    #[error("client sent too large header")]
    TooLarge,
}

impl HpackError {
    /// What the peer is told.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::CutInteger => ErrorCode::FRAME_SIZE_ERROR,
            Self::NoName => ErrorCode::PROTOCOL_ERROR,
            Self::FieldTooLarge | Self::TooLarge => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::COMPRESSION_ERROR,
        }
    }
}

/// Reads a number whose first octet has `prefix` bits of it, from `at` on, and moves behind it (RFC 7541 §5.1).
fn read_integer(block: &[u8], at: &mut usize, prefix: u32) -> Result<usize, HpackError> {
    let mask = (1_usize << prefix) - 1;
    let first = usize::from(*block.get(*at).ok_or(HpackError::CutField)?) & mask;
    *at += 1;
    if first < mask {
        return Ok(first);
    }
    let mut value = mask;
    for shift in [0, 7, 14] {
        let octet = usize::from(*block.get(*at).ok_or(HpackError::CutInteger)?);
        *at += 1;
        value += (octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(HpackError::Integer)
}

/// Appends a number, its first octet shared with the bits `above`.
fn write_integer(value: usize, prefix: u32, above: u8, out: &mut Vec<u8>) {
    let mask = (1_usize << prefix) - 1;
    if value < mask {
        out.push(above | (value & mask) as u8);
        return;
    }
    out.push(above | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests;
