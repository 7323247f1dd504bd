//! A set of names of header fields.

use daemun_http::{Header, HeaderId};

/// Names of header fields, in whatever case they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderNames {
    /// One bit for each [`HeaderId`].
    known: u128,
    /// The others.
    other: Vec<Box<[u8]>>,
}

impl HeaderNames {
    /// Adds a name.
    pub fn insert(&mut self, name: &[u8]) {
        match HeaderId::of(name) {
            HeaderId::Other if !self.has_other(name) => self.other.push(name.into()),
            HeaderId::Other => {}
            id => self.known |= bit(id),
        }
    }

    /// Takes a name out.
    pub fn remove(&mut self, name: &[u8]) {
        match HeaderId::of(name) {
            HeaderId::Other => self.other.retain(|other| !other.eq_ignore_ascii_case(name)),
            id => self.known &= !bit(id),
        }
    }

    /// Whether the field's name is in the set.
    #[must_use]
    pub fn contains(&self, field: &Header<'_>) -> bool {
        match field.id {
            HeaderId::Other => self.has_other(field.name),
            id => self.known & bit(id) != 0,
        }
    }

    fn has_other(&self, name: &[u8]) -> bool {
        self.other.iter().any(|other| other.eq_ignore_ascii_case(name))
    }
}

fn bit(id: HeaderId) -> u128 {
    1 << id as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &[u8]) -> Header<'_> {
        Header { id: HeaderId::of(name), name, value: b"" }
    }

    #[test]
    fn names_known_and_unknown_in_any_case() {
        let mut names = HeaderNames::default();
        names.insert(b"X-Pad");
        names.insert(b"server");
        assert!(names.contains(&field(b"x-pad")) && names.contains(&field(b"Server")));
        assert!(!names.contains(&field(b"Date")) && !names.contains(&field(b"X-Other")));
        names.remove(b"X-PAD");
        names.remove(b"Server");
        assert_eq!(names, HeaderNames::default());
    }
}
