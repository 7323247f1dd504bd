//! Header fields of one message, in one block of memory.

use std::fmt;
use std::ops::Range;

use crate::HeaderId;

/// The header fields of a request or an answer, in order of arrival.
///
/// Names and values lie in one arena, entries in one list, so that a cleared object takes the
/// fields of the next message without allocating. Values are any octets: what reads them from a
/// peer sees to it that no control character but HTAB gets in, and what writes them to a peer sees
/// to it that no line end gets out (see [`crate::ResponseHead::write`]).
#[derive(Default)]
pub struct Headers {
    octets: Vec<u8>,
    entries: Vec<Entry>,
    /// Bits of the ids that occur; a clear bit saves the search.
    present: u128,
}

/// One field as [`Headers`] shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name's number; [`HeaderId::Other`] for a name without one.
    pub id: HeaderId,
    /// The name as it was written.
    pub name: &'a [u8],
    /// The value without white space around it.
    pub value: &'a [u8],
}

/// Where a field lies in the arena.
#[derive(Clone, Copy)]
struct Entry {
    name: u32,
    /// 0 where the name is the id's own.
    name_length: u32,
    value: u32,
    value_length: u32,
    id: HeaderId,
}

impl Headers {
    /// No fields, no memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all fields and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.octets.clear();
        self.entries.clear();
        self.present = 0;
    }

    /// Octets that the arena has room for without allocating.
    #[must_use]
    pub fn capacity_octets(&self) -> usize {
        self.octets.capacity()
    }

    /// Number of fields; a name that comes twice counts twice.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a field behind the others, whether or not the name occurs already.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        let id = HeaderId::of(name);
        let start = self.octets.len();
        self.octets.extend_from_slice(name);
        self.octets.extend_from_slice(value);
        let value_start = start + name.len();
        self.push(id, start..value_start, value_start..self.octets.len());
    }

    /// Adds a field with a known name behind the others.
    ///
    /// [`HeaderId::Other`] names no field; with it nothing is added.
    #[inline]
    pub fn append_known(&mut self, id: HeaderId, value: &[u8]) {
        if id == HeaderId::Other {
            return;
        }
        let start = self.octets.len();
        self.octets.extend_from_slice(value);
        self.push(id, 0..0, start..self.octets.len());
    }

    /// Gives `name` the one value `value`: the first field of that name is changed where it stands,
    /// the others go; without one, the field is added.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        match HeaderId::of(name) {
            HeaderId::Other => {
                let Some(position) = self.position_by_name(name) else { return self.append(name, value) };
                self.replace(position, value);
                self.remove_from(position + 1, |header| header.name.eq_ignore_ascii_case(name));
            }
            id => self.set_known(id, value),
        }
    }

    /// [`Headers::set`] for a known name; nothing is done for [`HeaderId::Other`].
    pub fn set_known(&mut self, id: HeaderId, value: &[u8]) {
        if id == HeaderId::Other {
            return;
        }
        let Some(position) = self.position(id) else { return self.append_known(id, value) };
        self.replace(position, value);
        self.remove_from(position + 1, |header| header.id == id);
    }

    /// Removes all fields called `name`.
    pub fn remove(&mut self, name: &[u8]) {
        match HeaderId::of(name) {
            HeaderId::Other => {
                self.remove_from(0, |header| header.id == HeaderId::Other && header.name.eq_ignore_ascii_case(name));
            }
            id => self.remove_known(id),
        }
    }

    /// Removes all fields with this id; for [`HeaderId::Other`] nothing is done.
    pub fn remove_known(&mut self, id: HeaderId) {
        if id != HeaderId::Other && self.has(id) {
            self.remove_from(0, |header| header.id == id);
            self.present &= !id.bit();
        }
    }

    /// Keeps only the fields for which `keep` says true.
    pub fn retain(&mut self, mut keep: impl FnMut(Header<'_>) -> bool) {
        self.remove_from(0, |header| !keep(header));
        self.present = self.entries.iter().fold(0, |present, entry| present | entry.id.bit());
    }

    /// Whether a field with this id occurs.
    #[inline]
    #[must_use]
    pub fn has(&self, id: HeaderId) -> bool {
        self.present & id.bit() != 0
    }

    /// Whether a field with one of the ids in a set of [`HeaderId::bit`]s occurs.
    #[inline]
    pub(crate) fn has_any(&self, ids: u128) -> bool {
        self.present & ids != 0
    }

    /// The value of the first field with this id.
    #[inline]
    #[must_use]
    pub fn first(&self, id: HeaderId) -> Option<&[u8]> {
        self.all(id).next()
    }

    /// The value of the first field called `name`.
    #[must_use]
    pub fn first_by_name(&self, name: &[u8]) -> Option<&[u8]> {
        match HeaderId::of(name) {
            HeaderId::Other => {
                self.position_by_name(name).and_then(|at| self.entries.get(at)).map(|entry| self.value(entry))
            }
            id => self.first(id),
        }
    }

    /// The values of all fields with this id, in order.
    #[inline]
    pub fn all(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        let entries = if self.has(id) { self.entries.as_slice() } else { &[] };
        entries.iter().filter(move |entry| entry.id == id).map(|entry| self.value(entry))
    }

    /// All fields, in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Header<'_>> + Clone {
        self.entries.iter().map(|entry| self.header(entry))
    }

    /// The field with the longest value, for messages about heads that are too large.
    pub(crate) fn largest(&self) -> Option<Header<'_>> {
        self.iter().max_by_key(|header| header.value.len())
    }

    /// Capacities, for tests of their constancy.
    #[cfg(test)]
    pub(crate) fn capacities(&self) -> (usize, usize) {
        (self.octets.capacity(), self.entries.capacity())
    }

    /// Octets of the arena in use; where [`Headers::push`] takes its ranges from.
    #[inline]
    pub(crate) fn arena_len(&self) -> usize {
        self.octets.len()
    }

    /// Puts `octets` into the arena.
    #[inline]
    pub(crate) fn extend_arena(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// Adds a field whose octets are in the arena or about to be put there by [`Headers::extend_arena`].
    #[inline]
    pub(crate) fn push(&mut self, id: HeaderId, name: Range<usize>, value: Range<usize>) {
        // An arena beyond 4 GiB cannot come from limited heads; such a field is left out rather than misread.
        let (Ok(name_start), Ok(value_start), Ok(_)) =
            (u32::try_from(name.start), u32::try_from(value.start), u32::try_from(value.end.max(name.end)))
        else {
            return;
        };
        self.present |= id.bit();
        self.entries.push(Entry {
            name: name_start,
            name_length: name.len() as u32,
            value: value_start,
            value_length: value.len() as u32,
            id,
        });
    }

    fn position(&self, id: HeaderId) -> Option<usize> {
        if self.has(id) { self.entries.iter().position(|entry| entry.id == id) } else { None }
    }

    fn position_by_name(&self, name: &[u8]) -> Option<usize> {
        self.iter().position(|header| header.id == HeaderId::Other && header.name.eq_ignore_ascii_case(name))
    }

    fn replace(&mut self, position: usize, value: &[u8]) {
        let (Ok(start), Ok(length)) = (u32::try_from(self.octets.len()), u32::try_from(value.len())) else { return };
        if let Some(entry) = self.entries.get_mut(position) {
            self.octets.extend_from_slice(value);
            entry.value = start;
            entry.value_length = length;
        }
    }

    fn remove_from(&mut self, first: usize, mut is_unwanted: impl FnMut(Header<'_>) -> bool) {
        let octets = &self.octets;
        let mut position = 0;
        self.entries.retain(|entry| {
            position += 1;
            position <= first || !is_unwanted(entry.header(octets))
        });
    }

    #[inline]
    fn header(&self, entry: &Entry) -> Header<'_> {
        entry.header(&self.octets)
    }

    #[inline]
    fn value(&self, entry: &Entry) -> &[u8] {
        slice(&self.octets, entry.value, entry.value_length)
    }
}

impl Entry {
    #[inline]
    fn header<'a>(&self, octets: &'a [u8]) -> Header<'a> {
        let name = match self.name_length {
            0 => self.id.name().as_bytes(),
            length => slice(octets, self.name, length),
        };
        Header { id: self.id, name, value: slice(octets, self.value, self.value_length) }
    }
}

#[inline]
fn slice(octets: &[u8], start: u32, length: u32) -> &[u8] {
    let start = start as usize;
    octets.get(start..start + length as usize).unwrap_or_default()
}

impl Clone for Headers {
    fn clone(&self) -> Self {
        Self { octets: self.octets.clone(), entries: self.entries.clone(), present: self.present }
    }

    /// Keeps the memory.
    fn clone_from(&mut self, source: &Self) {
        self.octets.clone_from(&source.octets);
        self.entries.clone_from(&source.entries);
        self.present = source.present;
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name.escape_ascii(), self.value.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Headers {
        let mut headers = Headers::new();
        headers.append(b"host", b"a");
        headers.append(b"X-One", b"1");
        headers.append(b"Set-Cookie", b"a=1");
        headers.append_known(HeaderId::SetCookie, b"b=2");
        headers.append(b"x-one", b"2");
        headers
    }

    fn names(headers: &Headers) -> Vec<String> {
        headers.iter().map(|header| String::from_utf8_lossy(header.name).into_owned()).collect()
    }

    #[test]
    fn looks_up_by_id_and_name() {
        let headers = sample();
        assert_eq!(headers.len(), 5);
        assert_eq!(headers.first(HeaderId::Host), Some(&b"a"[..]));
        assert_eq!(headers.first(HeaderId::Other), Some(&b"1"[..]));
        assert_eq!(headers.first_by_name(b"HOST"), Some(&b"a"[..]));
        assert_eq!(headers.first_by_name(b"X-ONE"), Some(&b"1"[..]));
        assert_eq!(headers.first_by_name(b"x-two"), None);
        assert_eq!(headers.all(HeaderId::SetCookie).collect::<Vec<_>>(), [b"a=1", b"b=2"]);
        assert_eq!(headers.first(HeaderId::Date), None);
        assert_eq!(names(&headers), ["host", "X-One", "Set-Cookie", "Set-Cookie", "x-one"]);
    }

    #[test]
    fn set_changes_the_first_and_drops_the_rest() {
        let mut headers = sample();
        headers.set(b"set-cookie", b"c=3");
        headers.set(b"X-ONE", b"3");
        headers.set(b"Date", b"now");
        headers.set(b"X-New", b"");
        assert_eq!(names(&headers), ["host", "X-One", "Set-Cookie", "Date", "X-New"]);
        assert_eq!(headers.first(HeaderId::SetCookie), Some(&b"c=3"[..]));
        assert_eq!(headers.first_by_name(b"x-one"), Some(&b"3"[..]));
        assert_eq!(headers.first_by_name(b"x-new"), Some(&b""[..]));
    }

    #[test]
    fn remove_drops_all_of_a_name() {
        let mut headers = sample();
        headers.remove(b"X-oNe");
        headers.remove_known(HeaderId::SetCookie);
        headers.remove_known(HeaderId::Other);
        assert_eq!(names(&headers), ["host"]);
        assert!(!headers.has(HeaderId::SetCookie));
        headers.remove(b"Host");
        assert!(headers.is_empty());
        assert_eq!(headers.first(HeaderId::Host), None);
    }

    #[test]
    fn retain_forgets_ids_that_are_gone() {
        let mut headers = sample();
        headers.retain(|header| header.value == b"1" || header.id == HeaderId::SetCookie);
        assert_eq!(names(&headers), ["X-One", "Set-Cookie", "Set-Cookie"]);
        assert!(!headers.has(HeaderId::Host));
        assert!(headers.has(HeaderId::Other));
    }

    #[test]
    fn clear_keeps_the_memory() {
        let mut headers = sample();
        let capacity = headers.octets.capacity();
        headers.clear();
        assert!(headers.is_empty() && !headers.has(HeaderId::Host));
        assert_eq!(headers.octets.capacity(), capacity);
    }
}
