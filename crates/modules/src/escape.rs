//! Texts within other texts: what must be written otherwise there.

/// Appends `octets` as HTML and XML want them, between tags and in attributes.
pub(crate) fn html(octets: &[u8], out: &mut Vec<u8>) {
    for octet in octets {
        match octet {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => out.push(*octet),
        }
    }
}

/// Appends `octets` as a string of JSON wants them; what is no UTF-8 stays as it is.
pub(crate) fn json(octets: &[u8], out: &mut Vec<u8>) {
    for octet in octets {
        match octet {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *octet]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..b' ' => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEXADECIMAL[usize::from(octet >> 4)], HEXADECIMAL[usize::from(octet & 15)]]);
            }
            _ => out.push(*octet),
        }
    }
}

/// The digits, in upper case.
pub(crate) const HEXADECIMAL: [u8; 16] = *b"0123456789ABCDEF";
