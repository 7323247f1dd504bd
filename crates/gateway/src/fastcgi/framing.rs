//! Where records begin and end in a stream of octets.

use std::ops::Range;

use super::{HEAD_LEN, Kind, PairError, RecordHead, VERSION};

/// Cuts a stream of octets into records. It holds no more than a record's head: content is handed out as it comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framing {
    /// The next record's head as far as it has come.
    head: [u8; HEAD_LEN],
    /// Octets of it.
    head_len: usize,
    /// Octets of the present record's content that are still to come.
    content: usize,
    /// Octets of its padding behind that.
    padding: usize,
}

/// What stands at the front of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing that could be told yet; all of the input is used up.
    NeedMore,
    /// A record begins; its content, if it has any, follows by further steps.
    Head(RecordHead),
    /// Content of the record, the next part of it.
    Content(Range<usize>),
}

/// Why a connection is given up: nobody knows any more where its records are, or what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FastCgiError {
    /// Not version 1. A peer that speaks something else looks like this too.
    #[error("unsupported FastCGI protocol version: {0}")]
    Version(u8),
    /// A record that has no place here.
    #[error("unexpected FastCGI record of type {0}")]
    Unexpected(u8),
    /// A record of a request that is not under way.
    #[error("unexpected FastCGI request id {0}")]
    Id(u16),
    /// A record's content is not as long as its kind wants.
    #[error("FastCGI record of type {kind} with {length} bytes of content")]
    Length {
        /// Its kind.
        kind: u8,
        /// Its length in octets.
        length: u16,
    },
    /// The variables are larger than allowed.
    #[error("FastCGI parameters are larger than {limit} bytes")]
    TooLarge {
        /// The limit in octets.
        limit: usize,
    },
    /// The variables cannot be read.
    #[error(transparent)]
    Pairs(#[from] PairError),
    /// A peer asks for more than it can want to know.
    #[error("too many FastCGI records that had to be refused")]
    TooManyRefusals,
}

impl Framing {
    /// Reads from the front of `input`; the first value is how many octets of it are used up, a range's own included.
    ///
    /// # Errors
    /// [`FastCgiError::Version`].
    pub fn next(&mut self, input: &[u8]) -> Result<(usize, Step), FastCgiError> {
        if self.content > 0 {
            let count = self.content.min(input.len());
            self.content -= count;
            let step = if count == 0 { Step::NeedMore } else { Step::Content(0..count) };
            return Ok((count, step));
        }
        let skipped = self.padding.min(input.len());
        self.padding -= skipped;
        let mut used = skipped;
        while self.head_len < HEAD_LEN {
            let Some(&octet) = input.get(used) else { return Ok((used, Step::NeedMore)) };
            // What speaks another protocol is told by its first octet, and may never send eight.
            if self.head_len == 0 && octet != VERSION {
                return Err(FastCgiError::Version(octet));
            }
            if let Some(place) = self.head.get_mut(self.head_len) {
                *place = octet;
            }
            self.head_len += 1;
            used += 1;
        }
        self.head_len = 0;
        let head = RecordHead::read(self.head)?;
        self.content = usize::from(head.content);
        self.padding = usize::from(head.padding);
        Ok((used, Step::Head(head)))
    }

    /// Octets of the present record's content that are still to come.
    #[must_use]
    pub fn content_left(&self) -> usize {
        self.content
    }

    /// Whether the last record, its padding included, is over.
    #[must_use]
    pub fn is_between_records(&self) -> bool {
        self.content == 0 && self.padding == 0 && self.head_len == 0
    }
}

impl FastCgiError {
    /// A record of this kind has no place here.
    pub(super) fn unexpected(kind: Kind) -> Self {
        Self::Unexpected(kind.0)
    }
}
