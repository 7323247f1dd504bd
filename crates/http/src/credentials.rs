//! What `Authorization: Basic` holds, and base64 as it is written in.

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicCredentials {
    decoded: Vec<u8>,
    colon: usize,
}

impl BasicCredentials {
    /// Reads the value of `Authorization`; `None` where it is of another scheme or is not well formed.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (scheme, credentials) = value.split_at_checked(BASIC.len())?;
        if !scheme.eq_ignore_ascii_case(BASIC) {
            return None;
        }
        let decoded = decode_base64(credentials.trim_ascii())?;
        let colon = decoded.iter().position(|octet| *octet == b':')?;
        Some(Self { decoded, colon })
    }

    /// The name.
    #[must_use]
    pub fn user(&self) -> &[u8] {
        &self.decoded[..self.colon]
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &[u8] {
        &self.decoded[self.colon + 1..]
    }
}

const BASIC: &[u8] = b"Basic ";

/// Octets of a base64 text with or without its padding; `None` where a character is none of its alphabet.
#[must_use]
pub fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut octets = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let missing = 4 - group.len();
        let all = (bits << (6 * missing)).to_be_bytes();
        octets.extend_from_slice(all.get(1..4 - missing)?);
    }
    Some(octets)
}

/// A base64 text with its padding.
#[must_use]
pub fn encode_base64(octets: &[u8]) -> Vec<u8> {
    const DIGITS: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let octet = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { digit } else { b'=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_length() {
        assert_eq!(decode_base64(b"dXNlcjpwYXNz").as_deref(), Some(&b"user:pass"[..]));
        assert_eq!(decode_base64(b"dTo=").as_deref(), Some(&b"u:"[..]));
        assert_eq!(decode_base64(b"dQ==").as_deref(), Some(&b"u"[..]));
        assert_eq!(decode_base64(b"").as_deref(), Some(&b""[..]));
        assert_eq!(decode_base64(b"d*==").as_deref(), None);
        assert_eq!(decode_base64(b"A").as_deref(), Some(&b""[..]));
        for (octets, text) in [("", ""), ("u", "dQ=="), ("u:", "dTo="), ("u:p", "dTpw"), ("user:pass", "dXNlcjpwYXNz")]
        {
            assert_eq!(encode_base64(octets.as_bytes()), text.as_bytes());
        }
        assert_eq!(decode_base64(&encode_base64(&[0xff, 0, 0x80, 0xfb])).as_deref(), Some(&[0xff, 0, 0x80, 0xfb][..]));
    }

    #[test]
    fn credentials_have_a_colon() {
        let parsed = BasicCredentials::parse(b"basic  dTpwOng=").expect("well formed");
        assert_eq!((parsed.user(), parsed.password()), (&b"u"[..], &b"p:x"[..]));
        for value in [&b"Basic dQ=="[..], b"Bearer dTpw", b"Basic", b"Basic d*"] {
            assert_eq!(BasicCredentials::parse(value), None);
        }
    }
}
