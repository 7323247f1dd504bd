//! Field lines of a head, read one after the other as they arrive.

use std::ops::Range;

use crate::HeaderId;
use crate::octets::{find_control, find_octet};

/// Where the reading of a head stands; positions count from the head's first octet.
///
/// Whole lines are never looked at twice, and of an unfinished line only what is new: a sender of
/// single octets costs no more than linear time.
#[derive(Debug, Default, Clone)]
pub(crate) struct Progress {
    /// Where the line that is awaited begins.
    pub(crate) position: usize,
    /// Where the search for its end goes on.
    searched: usize,
}

/// What is at [`Progress::position`].
#[derive(Debug)]
pub(crate) enum Line {
    /// A field.
    Field(FieldLine),
    /// The empty line that ends the head.
    End,
    /// The line's end has not arrived.
    Incomplete,
    /// A line that is no field; its octets without the line end.
    Invalid(Range<usize>),
    /// The line is or will be longer than the limit; its beginning as far as it may go.
    TooLong(Range<usize>),
    /// The head is or will be longer than the limit.
    HeadTooLarge,
}

/// A field, as ranges of the input.
#[derive(Debug)]
pub(crate) struct FieldLine {
    pub(crate) id: HeaderId,
    pub(crate) name: Range<usize>,
    /// Without white space around it.
    pub(crate) value: Range<usize>,
    /// [`UNDERSCORE`] and [`ODD`] where the name has such octets.
    pub(crate) name_class: u8,
}

/// How far lines may reach.
#[derive(Clone, Copy)]
pub(crate) struct LineLimits {
    /// Octets of one line, its end included.
    pub(crate) line: usize,
    /// Where the head ends at the latest, as a position of the input.
    pub(crate) head_end: usize,
}

impl Progress {
    /// Begins at `position`.
    pub(crate) fn begin(&mut self, position: usize) {
        self.position = position;
        self.searched = position;
    }

    /// Reads the next field line, and moves behind it if it is whole and right.
    #[inline]
    pub(crate) fn next_field(&mut self, input: &[u8], limits: LineLimits) -> Line {
        if self.searched > self.position && self.find_line_end(input).is_none() {
            return self.unfinished(input, limits);
        }
        let cap = self.position.saturating_add(limits.line).min(limits.head_end);
        let (line, next) = match scan(input, self.position) {
            Scanned::Field(field, next) => (Line::Field(field), next),
            Scanned::End(next) => (Line::End, next),
            Scanned::Cut | Scanned::Invalid => return self.unfinished(input, limits),
        };
        if next > cap {
            return self.unfinished(input, limits);
        }
        self.begin(next);
        line
    }

    /// Position of the LF that ends the awaited line, if it has arrived.
    #[inline]
    pub(crate) fn find_line_end(&self, input: &[u8]) -> Option<usize> {
        let from = self.searched.max(self.position);
        memchr::memchr(b'\n', input.get(from..)?).map(|offset| from + offset)
    }

    /// Remembers that `input` has no line end.
    pub(crate) fn searched_all(&mut self, input: &[u8]) {
        self.searched = input.len();
    }

    /// Judges a line that was not read: a wrong line is wrong only once its end is there, so that the
    /// verdict does not depend on how the octets were cut on their way.
    #[cold]
    fn unfinished(&mut self, input: &[u8], limits: LineLimits) -> Line {
        let line_end = self.position.saturating_add(limits.line);
        let cap = line_end.min(limits.head_end);
        let found = self.find_line_end(input);
        if found.map_or(input.len(), |at| at + 1) > cap || (found.is_none() && input.len() >= cap) {
            return if limits.head_end < line_end {
                Line::HeadTooLarge
            } else {
                Line::TooLong(self.position..cap.min(input.len()))
            };
        }
        match found {
            Some(end) => Line::Invalid(self.position..end),
            None => {
                self.searched_all(input);
                Line::Incomplete
            }
        }
    }
}

/// What [`scan`] saw, with the position behind the line.
enum Scanned {
    Field(FieldLine, usize),
    End(usize),
    /// The input ended within the line, which is right so far.
    Cut,
    Invalid,
}

/// Reads one line at `start` in a single pass.
#[inline]
fn scan(input: &[u8], start: usize) -> Scanned {
    match input.get(start..).unwrap_or_default() {
        [b'\r', b'\n', ..] => return Scanned::End(start + 2),
        [b'\n', ..] => return Scanned::End(start + 1),
        [] | [b'\r'] => return Scanned::Cut,
        _ => {}
    }
    // The colon may be one of a later line: the name then has a line end in it and is not a known one.
    let name = start..find_octet(input, b':', start);
    let text = input.get(name.clone()).unwrap_or_default();
    let id = if name.end == input.len() { HeaderId::Other } else { HeaderId::of(text) };
    let name_class = if id == HeaderId::Other { classify(text) } else { 0 };
    if name_class & STOP != 0 || text.is_empty() {
        return Scanned::Invalid;
    }
    match scan_value(input, name.end + 1) {
        Ok((value, next)) => Scanned::Field(FieldLine { id, name, value, name_class }, next),
        Err(scanned) => scanned,
    }
}

/// The classes of all octets of a name.
fn classify(name: &[u8]) -> u8 {
    name.iter().fold(0, |class, &octet| class | NAME_CLASSES[octet as usize])
}

/// Reads a value and its line end; gives the value without white space around it and what is behind.
#[inline]
fn scan_value(input: &[u8], from: usize) -> Result<(Range<usize>, usize), Scanned> {
    let mut start = from;
    while let Some(b' ' | b'\t') = input.get(start) {
        start += 1;
    }
    let mut end = start;
    let next = loop {
        end = find_control(input, end);
        match input.get(end..).unwrap_or_default() {
            [b'\r', b'\n', ..] => break end + 2,
            [b'\n', ..] => break end + 1,
            [b'\t', ..] => end += 1,
            [] | [b'\r'] => return Err(Scanned::Cut),
            _ => return Err(Scanned::Invalid),
        }
    };
    while end > start && matches!(input.get(end - 1), Some(b' ' | b'\t')) {
        end -= 1;
    }
    Ok((start..end, next))
}

/// Class of `_`, which nginx takes in names only with `underscores_in_headers`.
pub(crate) const UNDERSCORE: u8 = 1;
/// Class of octets in names that nginx takes only with `ignore_invalid_headers off`.
pub(crate) const ODD: u8 = 2;
/// Class of what is never in a name: the colon, space, control characters.
const STOP: u8 = 4;

/// Classes of octets of names; 0 for letters, digits and `-`.
static NAME_CLASSES: [u8; 256] = name_classes();

const fn name_classes() -> [u8; 256] {
    let mut classes = [ODD; 256];
    let mut octet = 0;
    while octet < 256 {
        classes[octet] = match octet as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => 0,
            b'_' => UNDERSCORE,
            0..=b' ' | b':' | 0x7f => STOP,
            _ => ODD,
        };
        octet += 1;
    }
    classes
}
