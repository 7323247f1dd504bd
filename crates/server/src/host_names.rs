//! Host names with wildcards, and the order in which nginx looks them up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A table from host names to values: exact names, `*.example.org`, `.example.org`, `www.*`.
#[derive(Clone)]
pub struct HostNames<T> {
    exact: HashMap<Vec<u8>, T>,
    /// By `.example.org`: `*.example.org` and `.example.org`.
    leading: HashMap<Vec<u8>, T>,
    /// By `www.`: `www.*`.
    trailing: HashMap<Vec<u8>, T>,
}

/// How a host has been found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameKind {
    /// Octet by octet.
    Exact,
    /// By `*.example.org` or `.example.org`.
    LeadingWildcard,
    /// By `www.*`.
    TrailingWildcard,
}

/// A star elsewhere than at an end and beside a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidWildcard;

impl<T> Default for HostNames<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), leading: HashMap::new(), trailing: HashMap::new() }
    }
}

impl<T: Clone> HostNames<T> {
    /// Adds `name`, whose case does not count. False where the table has that name: the first one stays.
    ///
    /// # Errors
    /// See [`InvalidWildcard`].
    pub fn insert(&mut self, name: &str, value: T) -> Result<bool, InvalidWildcard> {
        let lower = name.to_ascii_lowercase();
        if let Some(suffix) = lower.strip_prefix("*.") {
            let is_valid = !suffix.is_empty() && !suffix.contains('*');
            return is_valid.then(|| insert_new(&mut self.leading, &lower[1..], value)).ok_or(InvalidWildcard);
        }
        if let Some(prefix) = lower.strip_suffix(".*") {
            let is_valid = !prefix.is_empty() && !prefix.contains('*');
            let with_point = &lower[..lower.len() - 1];
            return is_valid.then(|| insert_new(&mut self.trailing, with_point, value)).ok_or(InvalidWildcard);
        }
        if lower.contains('*') {
            return Err(InvalidWildcard);
        }
        if let Some(bare) = lower.strip_prefix('.') {
            insert_new(&mut self.leading, &lower, value.clone());
            return Ok(self.insert_exact(bare, value));
        }
        Ok(self.insert_exact(&lower, value))
    }

    /// Adds a text, in lower case, that is taken as it stands. False where the table has it.
    pub fn insert_exact(&mut self, lower: &str, value: T) -> bool {
        insert_new(&mut self.exact, lower, value)
    }

    /// Whether the table has no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.leading.is_empty() && self.trailing.is_empty()
    }

    /// The value for `host`, which is in lower case and has no port: exact, then the longest `*.`, then the longest `.*`.
    #[must_use]
    pub fn find(&self, host: &[u8]) -> Option<&T> {
        self.look_up(host).map(|(_, _, value)| value)
    }

    /// As [`HostNames::find`], with the kind of name that fits, and what of `host` it names.
    #[must_use]
    pub fn look_up<'a>(&self, host: &'a [u8]) -> Option<(NameKind, &'a [u8], &T)> {
        if let Some(value) = self.exact.get(host) {
            return Some((NameKind::Exact, host, value));
        }
        if !self.leading.is_empty() {
            // The longest end first: every end that a wildcard can stand for begins with a point.
            let ends = points(host).filter(|at| *at > 0).map(|at| &host[at..]);
            for end in ends {
                if let Some(value) = self.leading.get(end) {
                    return Some((NameKind::LeadingWildcard, end, value));
                }
            }
        }
        if !self.trailing.is_empty() {
            let starts = points(host).rev().map(|at| &host[..=at]);
            for start in starts.filter(|start| start.len() < host.len()) {
                if let Some(value) = self.trailing.get(start) {
                    return Some((NameKind::TrailingWildcard, start, value));
                }
            }
        }
        None
    }

    /// All names, as they are written, by kind and in the order of their octets.
    #[must_use]
    pub fn names(&self) -> Vec<(NameKind, String, &T)> {
        let shown = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let exact = self.exact.iter().map(|(name, value)| (NameKind::Exact, shown(name), value));
        let leading =
            self.leading.iter().map(|(end, value)| (NameKind::LeadingWildcard, format!("*{}", shown(end)), value));
        let trailing = self
            .trailing
            .iter()
            .map(|(start, value)| (NameKind::TrailingWildcard, format!("{}*", shown(start)), value));
        let mut all: Vec<_> = exact.chain(leading).chain(trailing).collect();
        all.sort_by(|(kind, name, _), (other_kind, other, _)| (kind, name).cmp(&(other_kind, other)));
        all
    }
}

fn points(host: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    host.iter().enumerate().filter(|(_, octet)| **octet == b'.').map(|(at, _)| at)
}

fn insert_new<T>(names: &mut HashMap<Vec<u8>, T>, name: &str, value: T) -> bool {
    match names.entry(name.as_bytes().to_vec()) {
        Entry::Occupied(_) => false,
        Entry::Vacant(place) => {
            place.insert(value);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_nginx_order() {
        let mut names = HostNames::default();
        for name in ["example.org", "*.example.org", "*.a.example.org", "www.*", "www.example.org", ".dot.net"] {
            assert_eq!(names.insert(name, name), Ok(true), "{name}");
        }
        assert_eq!(names.insert("WWW.*", "again"), Ok(false));
        assert_eq!(names.insert("dot.net", "again"), Ok(false));
        for invalid in ["a*b", "*", "*.", ".*", "*.a.*", "www*", "*a"] {
            assert_eq!(names.insert(invalid, ""), Err(InvalidWildcard), "{invalid}");
        }
        let found = |host: &str| names.find(host.as_bytes()).copied();
        assert_eq!(found("example.org"), Some("example.org"));
        assert_eq!(found("x.example.org"), Some("*.example.org"));
        assert_eq!(found("x.a.example.org"), Some("*.a.example.org"));
        assert_eq!(found("www.example.org"), Some("www.example.org"));
        assert_eq!(found("www.other"), Some("www.*"));
        assert_eq!(found("dot.net"), Some(".dot.net"));
        assert_eq!(found("a.dot.net"), Some(".dot.net"));
        assert_eq!(found("other"), None);
    }
}
