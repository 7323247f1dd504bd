//! ASN.1 in its distinguished encoding, as far as certificates and keys have it: a cursor over tagged values, and their making.

/// Tags, class and form included.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OBJECT_IDENTIFIER: u8 = 0x06;
    /// ENUMERATED.
    pub const ENUMERATED: u8 = 0x0a;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// BMPString: two octets a character.
    pub const BMP_STRING: u8 = 0x1e;
    /// UniversalString: four octets a character.
    pub const UNIVERSAL_STRING: u8 = 0x1c;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// SEQUENCE.
    pub const SEQUENCE: u8 = 0x30;
    /// SET.
    pub const SET: u8 = 0x31;

    /// `[number]`, holding other values.
    #[must_use]
    pub const fn context(number: u8) -> u8 {
        0xa0 | number
    }

    /// `[number]`, holding octets.
    #[must_use]
    pub const fn context_primitive(number: u8) -> u8 {
        0x80 | number
    }
}

/// What is left to read of a run of values.
#[derive(Clone, Copy, Debug)]
pub struct Der<'a> {
    rest: &'a [u8],
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// Class, form and number.
    pub tag: u8,
    /// What it holds.
    pub content: &'a [u8],
    /// All of it, tag and length included.
    pub whole: &'a [u8],
}

impl<'a> Der<'a> {
    /// Reads from the start of `octets`.
    #[must_use]
    pub fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value; `None` at the end, and where there is none that is well formed.
    pub fn next_value(&mut self) -> Option<Value<'a>> {
        let [tag, first, behind @ ..] = self.rest else { return None };
        if tag & 0x1f == 0x1f {
            return None; // Numbers above 30 are in nothing that is read here.
        }
        let (length, behind) = match first {
            0..=0x7f => (usize::from(*first), behind),
            0x81..=0x84 => {
                let (octets, behind) = behind.split_at_checked(usize::from(first & 0x7f))?;
                (octets.iter().fold(0_usize, |length, octet| length << 8 | usize::from(*octet)), behind)
            }
            _ => return None,
        };
        let content = behind.get(..length)?;
        let whole = &self.rest[..self.rest.len() - behind.len() + length];
        self.rest = &behind[length..];
        Some(Value { tag: *tag, content, whole })
    }

    /// The next value, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Option<Value<'a>> {
        self.next_value().filter(|value| value.tag == tag)
    }

    /// What the next value holds, which must have this tag.
    pub fn enter(&mut self, tag: u8) -> Option<Der<'a>> {
        self.expect(tag).map(|value| Self::new(value.content))
    }

    /// The next value if it has this tag; else nothing is read.
    pub fn optional(&mut self, tag: u8) -> Option<Value<'a>> {
        if self.rest.first() == Some(&tag) { self.next_value() } else { None }
    }

    /// A small non-negative INTEGER.
    pub fn number(&mut self) -> Option<u64> {
        let content = self.expect(tag::INTEGER)?.content;
        let is_fitting = content.len() <= 9 && content.first().is_some_and(|first| *first < 0x80);
        is_fitting.then(|| content.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)))
    }

    /// The octets of a BIT STRING whose bits fill them.
    pub fn bit_string(&mut self) -> Option<&'a [u8]> {
        match self.expect(tag::BIT_STRING)?.content {
            [0, octets @ ..] => Some(octets),
            _ => None,
        }
    }
}

impl<'a> Iterator for Der<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.next_value()
    }
}

/// A value of these parts, one behind the other.
#[must_use]
pub fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let octets = length.to_be_bytes();
        let significant = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
        out.push(0x80 | significant.len() as u8);
        out.extend_from_slice(significant);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A time as UTCTime or GeneralizedTime, in seconds since 1970.
///
/// # Source
/// RFC 5280 §4.1.2.5: in UTC, with seconds; years of two digits from 50 on are of the last century.
#[must_use]
pub fn time_of(value: &Value<'_>) -> Option<i64> {
    let digits = value.content.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |octets: &[u8]| octets.iter().fold(0_i64, |number, octet| number * 10 + i64::from(octet - b'0'));
    let (year, rest) = match (value.tag, digits.len()) {
        (tag::UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            (if number(year) < 50 { 2_000 } else { 1_900 } + number(year), rest)
        }
        (tag::GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at(4);
            (number(year), rest)
        }
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&rest[at..at + 2]));
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    is_date.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// A time, in seconds since 1970, as UTCTime up to 2049 and GeneralizedTime from then on.
#[must_use]
pub fn utc_time(seconds: i64) -> Vec<u8> {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut year = 1970 + days / 366;
    while days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days_since_1970(year, *month, 1) <= days).unwrap_or(1);
    let day = days - days_since_1970(year, month, 1) + 1;
    let clock = format!("{month:02}{day:02}{:02}{:02}{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60);
    match year {
        1950..=2049 => encode(tag::UTC_TIME, &[format!("{:02}", year % 100).as_bytes(), clock.as_bytes()]),
        _ => encode(tag::GENERALIZED_TIME, &[format!("{year:04}").as_bytes(), clock.as_bytes()]),
    }
}

/// Days of the Gregorian calendar, after Howard Hinnant's `days_from_civil`.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// An object identifier in its dotted form.
#[must_use]
pub fn dotted(identifier: &[u8]) -> String {
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for octet in identifier {
        arc = arc << 7 | u64::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first);
                arcs.push(arc - first * 40);
            } else {
                arcs.push(arc);
            }
            arc = 0;
        }
    }
    arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_read() {
        let long = vec![7_u8; 300];
        let made = encode(tag::SEQUENCE, &[&encode(tag::INTEGER, &[&[5]]), &encode(tag::OCTET_STRING, &[&long])]);
        let mut inner = Der::new(&made).enter(tag::SEQUENCE).expect("a sequence");
        assert_eq!(inner.number(), Some(5));
        assert_eq!(inner.expect(tag::OCTET_STRING).expect("octets").content, long);
        assert!(inner.is_at_end());
        for length in 0..made.len() {
            assert!(Der::new(&made[..length]).next_value().is_none(), "{length}");
        }
    }

    #[test]
    fn times_and_identifiers() {
        let time = |tag, text: &'static str| time_of(&Value { tag, content: text.as_bytes(), whole: b"" });
        assert_eq!(time(tag::UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(time(tag::GENERALIZED_TIME, "20240229120001Z"), Some(1_709_208_001));
        assert_eq!(time(tag::UTC_TIME, "240229120001Z"), Some(1_709_208_001));
        assert_eq!(time(tag::UTC_TIME, "2402291200Z"), None);
        for seconds in
            [0, 86_399, 951_782_400, 1_709_208_001, 1_735_689_599, 1_735_689_600, 2_524_607_999, 2_524_608_000]
        {
            let made = utc_time(seconds);
            let value = Der::new(&made).next_value().expect("a time");
            assert_eq!(time_of(&value), Some(seconds));
        }
        assert_eq!(dotted(&[0x55, 0x04, 0x03]), "2.5.4.3");
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01]), "1.2.840.113549.1.9.1");
    }
}
