//! The format of a cache's files: what is known of an answer, its key and its head, all under one checksum; then its body.
//!
//! ```text
//!   magic, version, checksum | lengths | times | main key, variant | key, Vary, ETag, head | body
//! ```
//!
//! Numbers are little-endian. A file of another version, or whose checksum or length is wrong, is none.

use std::rc::Rc;

use daemun_http::{AnswerForm, AnswerLimits, AnswerReader, HEAD_END, Parsed, ResponseHead, Version};

use crate::limits::{ETAG_BYTES_MAX, FRONT_BYTES_MAX, KEY_BYTES_MAX, VARY_BYTES_MAX};
use crate::zone::Key;

/// What stands before the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// Until when, and beyond, the answer may be given.
    pub times: Times,
    /// `Last-Modified` in Unix seconds.
    pub last_modified: Option<i64>,
    /// Octets of the body.
    pub body_length: u64,
    /// The sum of the fields that `Vary` names; of no meaning without one.
    pub variant: Key,
    /// The key's text.
    pub key: Vec<u8>,
    /// `Vary`, several lines joined.
    pub vary: Vec<u8>,
    /// `ETag`, empty where there is none to ask about.
    pub etag: Vec<u8>,
    /// Status and fields as they came.
    pub head: Rc<ResponseHead>,
}

/// Until when an answer is good. Unix seconds, and seconds beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// It is fresh until here.
    pub valid_until: i64,
    /// So much longer it may be given while it is got anew.
    pub updating: i64,
    /// So much longer it may be given where it cannot be had anew.
    pub error: i64,
}

impl Times {
    /// Whether the answer is stale.
    #[must_use]
    pub fn is_stale(&self, now: i64) -> bool {
        self.valid_until < now
    }

    /// Whether a stale answer may be given while it is got anew.
    #[must_use]
    pub fn allows_updating(&self, now: i64) -> bool {
        self.valid_until.saturating_add(self.updating) >= now
    }

    /// Whether a stale answer may be given where it cannot be had anew.
    #[must_use]
    pub fn allows_error(&self, now: i64) -> bool {
        self.valid_until.saturating_add(self.error) >= now
    }
}

/// Why octets are no front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontError {
    /// So many octets are needed.
    #[error("ends after less than {0} octets")]
    Short(usize),
    /// It begins otherwise.
    #[error("is no file of a cache of this version")]
    Foreign,
    /// The checksum is another one.
    #[error("is damaged")]
    Damaged,
    /// A length is beyond what is ever written.
    #[error("has impossible lengths")]
    Lengths,
    /// The head is none.
    #[error("contains invalid header")]
    Head,
}

const MAGIC: &[u8; 8] = b"daemun\x01c";
const VERSION: u32 = 1;
/// Magic, version, checksum; key, Vary, ETag, head; body; three times, last change; main key's place, variant.
const FIXED: usize = 8 + 4 + 4 + 4 * 4 + 8 + 4 * 8 + 16;
const SUM_AT: std::ops::Range<usize> = 12..16;

impl Front {
    /// Appends the octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mut head = Vec::with_capacity(512);
        self.head.write(Version::Http11, &mut head);
        head.extend_from_slice(HEAD_END);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for part in [&self.key, &self.vary, &self.etag, &head] {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        out.extend_from_slice(&self.body_length.to_le_bytes());
        let Times { valid_until, updating, error } = self.times;
        for time in [valid_until, updating, error, self.last_modified.unwrap_or(NO_TIME)] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        out.extend_from_slice(&self.variant);
        for part in [&self.key, &self.vary, &self.etag, &head] {
            out.extend_from_slice(part);
        }
        let sum = crc32fast::hash(out.get(start..).unwrap_or_default());
        if let Some(place) = out.get_mut(start + SUM_AT.start..start + SUM_AT.end) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
    }

    /// Reads a front, and tells how many octets it takes.
    ///
    /// # Errors
    /// [`FrontError`]; after [`FrontError::Short`] with more octets it may be one.
    pub fn read(octets: &[u8]) -> Result<(Self, usize), FrontError> {
        let (fixed, _) = octets.split_at_checked(FIXED).ok_or(FrontError::Short(FIXED))?;
        let mut fields = Fields(fixed);
        if fields.take::<8>() != *MAGIC || u32::from_le_bytes(fields.take()) != VERSION {
            return Err(FrontError::Foreign);
        }
        let sum = u32::from_le_bytes(fields.take());
        let lengths: [usize; 4] = std::array::from_fn(|_| u32::from_le_bytes(fields.take()) as usize);
        let total = lengths.iter().fold(FIXED, |total, length| total.saturating_add(*length));
        let [key, vary, etag, _] = lengths;
        if total > FRONT_BYTES_MAX || key > KEY_BYTES_MAX || vary > VARY_BYTES_MAX || etag > ETAG_BYTES_MAX {
            return Err(FrontError::Lengths);
        }
        let whole = octets.get(..total).ok_or(FrontError::Short(total))?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(whole.get(..SUM_AT.start).unwrap_or_default());
        hasher.update(&[0; 4]);
        hasher.update(whole.get(SUM_AT.end..).unwrap_or_default());
        if hasher.finalize() != sum {
            return Err(FrontError::Damaged);
        }
        let mut front = Self { body_length: u64::from_le_bytes(fields.take()), ..Self::default() };
        let mut time = || i64::from_le_bytes(fields.take());
        front.times = Times { valid_until: time(), updating: time(), error: time() };
        front.last_modified = Some(time()).filter(|time| *time != NO_TIME);
        front.variant = fields.take();
        let mut rest = whole.get(FIXED..).unwrap_or_default();
        let mut part = |length: usize| {
            let (part, behind) = rest.split_at_checked(length).unwrap_or_default();
            rest = behind;
            part
        };
        front.key = part(lengths[0]).to_vec();
        front.vary = part(lengths[1]).to_vec();
        front.etag = part(lengths[2]).to_vec();
        let mut head = ResponseHead::default();
        read_head(part(lengths[3]), &mut head)?;
        front.head = Rc::new(head);
        Ok((front, total))
    }
}

fn read_head(octets: &[u8], head: &mut ResponseHead) -> Result<(), FrontError> {
    let limits = AnswerLimits { head_bytes: FRONT_BYTES_MAX, headers: usize::MAX };
    match AnswerReader::new(AnswerForm::Http).parse(octets, &limits, head) {
        Ok(Parsed::Complete { taken }) if taken == octets.len() => Ok(()),
        _ => Err(FrontError::Head),
    }
}

/// No time that a server could mean.
const NO_TIME: i64 = i64::MIN;

/// Octets taken from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next octets; zeros where there are none, which the fixed length rules out.
    fn take<const LENGTH: usize>(&mut self) -> [u8; LENGTH] {
        let (field, rest) =
            self.0.split_first_chunk::<LENGTH>().map_or(([0; LENGTH], &[][..]), |(field, rest)| (*field, rest));
        self.0 = rest;
        field
    }
}

#[cfg(test)]
mod tests {
    use daemun_http::{HeaderId, StatusCode};

    use super::*;

    fn front() -> Front {
        let mut head = ResponseHead::new(StatusCode::NOT_FOUND);
        head.headers.append_known(HeaderId::ContentType, b"text/plain");
        head.headers.append(b"X-Empty", b"");
        Front {
            times: Times { valid_until: 5, updating: 6, error: 7 },
            last_modified: Some(8),
            body_length: 9,
            variant: [10; 16],
            key: b"http://a/b".to_vec(),
            vary: b"Accept".to_vec(),
            etag: b"\"x\"".to_vec(),
            head: Rc::new(head),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut octets = Vec::new();
        front().write(&mut octets);
        let length = octets.len();
        octets.extend_from_slice(b"body");
        assert_eq!(Front::read(&octets), Ok((front(), length)));
    }

    #[test]
    fn no_changed_and_no_cut_front_is_read() {
        let mut octets = Vec::new();
        front().write(&mut octets);
        for at in 0..octets.len() {
            assert!(matches!(Front::read(&octets[..at]), Err(FrontError::Short(_))), "cut at {at}");
            let mut changed = octets.clone();
            changed[at] ^= 0x41;
            assert!(Front::read(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn stale_answers_may_be_given_for_a_while() {
        let times = Times { valid_until: 100, updating: 10, error: 20 };
        assert!(!times.is_stale(100) && times.is_stale(101));
        assert!(times.allows_updating(110) && !times.allows_updating(111));
        assert!(times.allows_error(120) && !times.allows_error(121));
        let forever = Times { valid_until: i64::MAX, updating: i64::MAX, error: 0 };
        assert!(forever.allows_updating(i64::MAX));
    }
}
