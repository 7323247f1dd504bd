//! Names of subjects and issuers as text.
//!
//! # Source
//! RFC 2253, as OpenSSL writes it by `XN_FLAG_RFC2253`; its `X509_NAME_oneline` for the older form.

use std::fmt::Write as _;

use super::der::{self, Der, Value, tag};

/// The name by RFC 2253: the last part first, with commas between. `name` is encoded.
#[must_use]
pub fn rfc2253(name: &[u8]) -> String {
    let Some(parts) = Der::new(name).enter(tag::SEQUENCE) else { return String::new() };
    let mut shown: Vec<_> =
        parts.map(|part| Der::new(part.content).filter_map(attribute).collect::<Vec<_>>().join("+")).collect();
    shown.reverse();
    shown.join(",")
}

fn attribute(attribute: Value<'_>) -> Option<String> {
    let mut parts = Der::new(attribute.content);
    let identifier = parts.expect(tag::OBJECT_IDENTIFIER)?.content;
    let value = parts.next_value()?;
    Some(match (short_name(identifier), text_of(&value)) {
        (Some(name), Some(text)) => format!("{name}={}", escaped(&text)),
        (name, _) => {
            let name = name.map_or_else(|| der::dotted(identifier), str::to_owned);
            value.whole.iter().fold(format!("{name}=#"), |mut shown, octet| {
                let _ = write!(shown, "{octet:02X}"); // Into a text.
                shown
            })
        }
    })
}

/// The value as octets of UTF-8; `None` where it is no text.
fn text_of(value: &Value<'_>) -> Option<Vec<u8>> {
    const NUMERIC_STRING: u8 = 0x12;
    const PRINTABLE_STRING: u8 = 0x13;
    const T61_STRING: u8 = 0x14;
    const IA5_STRING: u8 = 0x16;
    const VISIBLE_STRING: u8 = 0x1a;
    let of_units = |characters: Vec<u32>| {
        let text: Option<String> = characters.into_iter().map(char::from_u32).collect();
        text.map(String::into_bytes)
    };
    match value.tag {
        tag::UTF8_STRING | NUMERIC_STRING | PRINTABLE_STRING | IA5_STRING | VISIBLE_STRING => {
            Some(value.content.to_vec())
        }
        T61_STRING => of_units(value.content.iter().map(|octet| u32::from(*octet)).collect()),
        tag::BMP_STRING => of_units(
            value
                .content
                .chunks(2)
                .map(|unit| unit.iter().fold(0, |one, octet| one << 8 | u32::from(*octet)))
                .collect(),
        ),
        tag::UNIVERSAL_STRING => of_units(
            value
                .content
                .chunks(4)
                .map(|unit| unit.iter().fold(0, |one, octet| one << 8 | u32::from(*octet)))
                .collect(),
        ),
        _ => None,
    }
}

fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, octet) in text.iter().enumerate() {
        let is_at_edge = at == 0 || at + 1 == text.len();
        match octet {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', char::from(*octet)]),
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if is_at_edge => out.push_str("\\ "),
            0x20..=0x7e => out.push(char::from(*octet)),
            octet => drop(write!(out, "\\{octet:02X}")),
        }
    }
    out
}

/// The name in the older form: `/C=US/CN=example.com`.
#[must_use]
pub fn one_line(name: &[u8]) -> String {
    let mut out = String::new();
    let sets = Der::new(name).enter(tag::SEQUENCE).into_iter().flatten();
    for attribute in sets.flat_map(|set| Der::new(set.content)) {
        let mut parts = Der::new(attribute.content);
        let (Some(identifier), Some(value)) = (parts.expect(tag::OBJECT_IDENTIFIER), parts.next_value()) else {
            continue;
        };
        let name = short_name(identifier.content).map_or_else(|| der::dotted(identifier.content), str::to_owned);
        let _ = write!(out, "/{name}="); // Into a text.
        for octet in value.content {
            match octet {
                0x20..=0x7e => out.push(char::from(*octet)),
                octet => drop(write!(out, "\\x{octet:02X}")),
            }
        }
    }
    out
}

/// OpenSSL's short names of attributes.
fn short_name(identifier: &[u8]) -> Option<&'static str> {
    Some(match identifier {
        [0x55, 0x04, last] => match last {
            3 => "CN",
            4 => "SN",
            5 => "serialNumber",
            6 => "C",
            7 => "L",
            8 => "ST",
            9 => "street",
            10 => "O",
            11 => "OU",
            12 => "title",
            13 => "description",
            15 => "businessCategory",
            17 => "postalCode",
            20 => "telephoneNumber",
            41 => "name",
            42 => "GN",
            43 => "initials",
            44 => "generationQualifier",
            45 => "x500UniqueIdentifier",
            46 => "dnQualifier",
            65 => "pseudonym",
            97 => "organizationIdentifier",
            _ => return None,
        },
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => "emailAddress",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x02] => "unstructuredName",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        [0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x01] => "jurisdictionL",
        [0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x02] => "jurisdictionST",
        [0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x03] => "jurisdictionC",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::der::encode;

    #[test]
    fn names_as_text() {
        let part = |identifier: &[u8], kind: u8, value: &[u8]| {
            let pair = [encode(tag::OBJECT_IDENTIFIER, &[identifier]), encode(kind, &[value])].concat();
            encode(tag::SET, &[&encode(tag::SEQUENCE, &[&pair])])
        };
        let name = encode(
            tag::SEQUENCE,
            &[
                &part(&[0x55, 4, 6], 0x13, b"US"),
                &part(&[0x55, 4, 10], tag::UTF8_STRING, "Ü, Co ".as_bytes()),
                &part(&[0x55, 4, 3], tag::UTF8_STRING, b"#one"),
                &part(&[0x2a, 3], tag::UTF8_STRING, b"x"),
            ],
        );
        assert_eq!(rfc2253(&name), r"1.2.3=#0C0178,CN=\#one,O=\C3\9C\, Co\ ,C=US");
        assert_eq!(one_line(&name), r"/C=US/O=\xC3\x9C, Co /CN=#one/1.2.3=x");
        assert_eq!(rfc2253(b"nothing"), "");
    }
}
