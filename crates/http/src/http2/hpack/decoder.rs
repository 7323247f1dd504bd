//! Header blocks to fields.

use super::table::DynamicTable;
use super::{DEFAULT_TABLE_BYTES, HpackError, huffman, read_integer};

/// How much a header block may come to.
#[derive(Clone, Copy, Debug)]
pub struct BlockLimits {
    /// Octets of a name or a value as it is sent.
    pub text_bytes: usize,
    /// Octets of all names and values.
    pub total_bytes: usize,
}

/// Reads the header blocks of one connection.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    table_bytes_max: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        let table = DynamicTable::new(DEFAULT_TABLE_BYTES);
        Self { table, table_bytes_max: DEFAULT_TABLE_BYTES, name: Vec::new(), value: Vec::new() }
    }
}

impl Decoder {
    /// Reads a whole header block and calls `field` with each name and value.
    ///
    /// # Errors
    /// Each ends the connection, as [`HpackError::code`] says.
    pub fn decode(
        &mut self,
        block: &[u8],
        limits: BlockLimits,
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), HpackError> {
        let (mut at, mut rest, mut has_fields) = (0, limits.total_bytes, false);
        let mut charge = |name: &[u8], value: &[u8]| {
            rest = rest.checked_sub(name.len() + value.len()).ok_or(HpackError::TooLarge)?;
            Ok(())
        };
        while let Some(&first) = block.get(at) {
            match Form::of(first) {
                Form::Indexed => {
                    let index = read_integer(block, &mut at, 7)?;
                    let (name, value) = self.table.find(index).ok_or(HpackError::Index(index))?;
                    charge(name, value)?;
                    field(name, value);
                }
                Form::SizeUpdate => {
                    let size = read_integer(block, &mut at, 5)?;
                    if has_fields || size > self.table_bytes_max {
                        return Err(HpackError::TableSize(size));
                    }
                    self.table.resize(size);
                    continue;
                }
                Form::Literal { prefix } => {
                    self.read_literal(block, &mut at, prefix, limits.text_bytes)?;
                    charge(&self.name, &self.value)?;
                    if prefix == INDEXING_PREFIX {
                        self.table.insert(&self.name, &self.value);
                    }
                    field(&self.name, &self.value);
                }
            }
            has_fields = true;
        }
        Ok(())
    }

    fn read_literal(&mut self, block: &[u8], at: &mut usize, prefix: u32, most: usize) -> Result<(), HpackError> {
        let index = read_integer(block, at, prefix)?;
        self.name.clear();
        if index == 0 {
            read_text(block, at, most, &mut self.name)?;
            if self.name.is_empty() {
                return Err(HpackError::NoName);
            }
        } else {
            let (name, _) = self.table.find(index).ok_or(HpackError::Index(index))?;
            self.name.extend_from_slice(name);
        }
        self.value.clear();
        read_text(block, at, most, &mut self.value)
    }
}

/// How a field is written.
enum Form {
    Indexed,
    SizeUpdate,
    Literal { prefix: u32 },
}

impl Form {
    fn of(first: u8) -> Self {
        match first {
            0x80.. => Self::Indexed,
            0x40.. => Self::Literal { prefix: INDEXING_PREFIX },
            0x20.. => Self::SizeUpdate,
            _ => Self::Literal { prefix: 4 },
        }
    }
}

/// Bits of the name's number where the field is to be remembered.
const INDEXING_PREFIX: u32 = 6;

/// Length of a text and whether it is coded.
fn read_text_length(block: &[u8], at: &mut usize, most: usize) -> Result<(usize, bool), HpackError> {
    let is_coded = block.get(*at).is_some_and(|octet| octet & 0x80 != 0);
    let length = read_integer(block, at, 7)?;
    if length > most { Err(HpackError::FieldTooLarge) } else { Ok((length, is_coded)) }
}

fn read_text(block: &[u8], at: &mut usize, most: usize, out: &mut Vec<u8>) -> Result<(), HpackError> {
    let (length, is_coded) = read_text_length(block, at, most)?;
    let text = block.get(*at..).and_then(|rest| rest.get(..length)).ok_or(HpackError::CutField)?;
    *at += length;
    if is_coded {
        return huffman::decode(text, out);
    }
    out.extend_from_slice(text);
    Ok(())
}

/// Judges a header block while it arrives, so that nobody waits for the rest of one that is wrong already.
#[derive(Debug, Default)]
pub struct BlockScan {
    /// Where the first field begins that has not been seen whole.
    at: usize,
}

impl BlockScan {
    /// Looks at what has come so far; whole fields are looked at once.
    ///
    /// # Errors
    /// For a number or a text that is too large, whatever comes behind it.
    pub fn look(&mut self, so_far: &[u8], limits: BlockLimits) -> Result<(), HpackError> {
        while self.at < so_far.len() {
            match skip_field(so_far, self.at, limits.text_bytes) {
                Ok(next) if next <= so_far.len() => self.at = next,
                Ok(_) | Err(HpackError::CutInteger | HpackError::CutField) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Where the field at `start` ends.
fn skip_field(block: &[u8], start: usize, most: usize) -> Result<usize, HpackError> {
    let mut at = start;
    let prefix = match Form::of(*block.get(at).ok_or(HpackError::CutField)?) {
        Form::Indexed => 7,
        Form::SizeUpdate => 5,
        Form::Literal { prefix } => {
            let texts = if read_integer(block, &mut at, prefix)? == 0 { 2 } else { 1 };
            for _ in 0..texts {
                let (length, _) = read_text_length(block, &mut at, most)?;
                at += length;
            }
            return Ok(at);
        }
    };
    read_integer(block, &mut at, prefix)?;
    Ok(at)
}
