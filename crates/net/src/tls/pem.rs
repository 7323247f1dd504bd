//! Blocks of base64 between lines of dashes.
//!
//! # Source
//! RFC 7468; the fields of an encrypted block: RFC 1421 §4.6.

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemBlock {
    /// What stands between `BEGIN` and the dashes.
    pub label: String,
    /// `DEK-Info` of a block that is encrypted by itself.
    pub encryption: Option<String>,
    /// What the base64 stands for.
    pub octets: Vec<u8>,
}

/// All blocks of a text, in order; what stands between them is passed over. `None` where a block is broken.
#[must_use]
pub fn blocks(text: &[u8]) -> Option<Vec<PemBlock>> {
    let mut blocks = Vec::new();
    let mut open: Option<(PemBlock, Vec<u8>)> = None;
    for line in text.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii) {
        match &mut open {
            None => {
                if let Some(label) = marked(line, b"-----BEGIN ") {
                    open = Some((PemBlock { label, encryption: None, octets: Vec::new() }, Vec::new()));
                }
            }
            Some((block, base64)) => {
                if let Some(label) = marked(line, b"-----END ") {
                    let octets = decode_base64(base64).filter(|_| label == block.label)?;
                    let (block, _) = open.take()?;
                    blocks.push(PemBlock { octets, ..block });
                } else if let Some(value) = line.strip_prefix(b"DEK-Info:") {
                    block.encryption = Some(String::from_utf8_lossy(value.trim_ascii()).into_owned());
                } else if !line.contains(&b':') {
                    base64.extend_from_slice(line);
                }
            }
        }
    }
    open.is_none().then_some(blocks)
}

/// A block of this label.
#[must_use]
pub fn encode(label: &str, octets: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in encode_base64(octets).as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn marked(line: &[u8], mark: &[u8]) -> Option<String> {
    let label = line.strip_prefix(mark)?.strip_suffix(b"-----")?;
    Some(String::from_utf8_lossy(label).into_owned())
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    for quantum in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in quantum {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let octets = quantum.len() * 6 / 8;
        bits <<= 6 * (4 - quantum.len());
        if octets == 0 {
            return None;
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..=octets]);
    }
    Some(out)
}

/// Octets as base64, padded.
#[must_use]
pub fn encode_base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let mut bytes = [0; 4];
        bytes[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bytes);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 0x3f;
            out.push(if digit > group.len() { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = "subject=x\n-----BEGIN A-----\r\nAQID\r\nBA==\r\n-----END A-----\n\
                    -----BEGIN B-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n/+8=\n-----END B-----\n";
        let found = blocks(text.as_bytes()).expect("blocks");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].label.as_str(), found[0].octets.as_slice()), ("A", &[1, 2, 3, 4][..]));
        assert_eq!(found[1].encryption.as_deref(), Some("AES-128-CBC,00"));
        assert_eq!(found[1].octets, [0xff, 0xef]);
        assert_eq!(blocks(b"-----BEGIN A-----\nAQID\n"), None);
        assert_eq!(blocks(b"-----BEGIN A-----\nA\n-----END A-----\n"), None);
        assert_eq!(blocks(b"nothing"), Some(vec![]));
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for length in 0..100 {
            let octets: Vec<u8> = (0..length).map(|octet: u8| octet.wrapping_mul(37)).collect();
            let found = blocks(encode("X", &octets).as_bytes()).expect("blocks");
            assert_eq!(found[0].octets, octets);
        }
    }
}
