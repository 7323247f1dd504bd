//! Host names with wildcards, and the order in which nginx looks them up.

use std::collections::HashMap;

/// A table from host names to values: exact names, `*.example.org`, `.example.org`, `www.*`.
#[derive(Clone)]
pub struct HostNames<T> {
    exact: HashMap<Vec<u8>, T>,
    /// `.example.org` of `*.example.org` and `.example.org`; longest first.
    leading: Vec<(Vec<u8>, T)>,
    /// `www.` of `www.*`; longest first.
    trailing: Vec<(Vec<u8>, T)>,
}

/// A star elsewhere than at an end and beside a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidWildcard;

impl<T> Default for HostNames<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), leading: Vec::new(), trailing: Vec::new() }
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
            return is_valid
                .then(|| insert_longest_first(&mut self.leading, &lower[1..], value))
                .ok_or(InvalidWildcard);
        }
        if let Some(prefix) = lower.strip_suffix(".*") {
            let is_valid = !prefix.is_empty() && !prefix.contains('*');
            let with_point = &lower[..lower.len() - 1];
            return is_valid
                .then(|| insert_longest_first(&mut self.trailing, with_point, value))
                .ok_or(InvalidWildcard);
        }
        if lower.contains('*') {
            return Err(InvalidWildcard);
        }
        if let Some(bare) = lower.strip_prefix('.') {
            insert_longest_first(&mut self.leading, &lower, value.clone());
            return Ok(self.insert_exact(bare, value));
        }
        Ok(self.insert_exact(&lower, value))
    }

    /// Adds a text, in lower case, that is taken as it stands. False where the table has it.
    pub fn insert_exact(&mut self, lower: &str, value: T) -> bool {
        let is_new = !self.exact.contains_key(lower.as_bytes());
        self.exact.entry(lower.as_bytes().to_vec()).or_insert(value);
        is_new
    }

    /// Whether the table has no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.leading.is_empty() && self.trailing.is_empty()
    }

    /// The value for `host`, which is in lower case and has no port: exact, then the longest `*.`, then the longest `.*`.
    #[must_use]
    pub fn find(&self, host: &[u8]) -> Option<&T> {
        let by_end = || self.leading.iter().find(|(suffix, _)| host.len() > suffix.len() && host.ends_with(suffix));
        let by_start =
            || self.trailing.iter().find(|(prefix, _)| host.len() > prefix.len() && host.starts_with(prefix));
        self.exact.get(host).or_else(|| by_end().or_else(by_start).map(|(_, value)| value))
    }
}

fn insert_longest_first<T>(list: &mut Vec<(Vec<u8>, T)>, name: &str, value: T) -> bool {
    if list.iter().any(|(other, _)| other == name.as_bytes()) {
        return false;
    }
    let at = list.partition_point(|(other, _)| other.len() >= name.len());
    list.insert(at, (name.as_bytes().to_vec(), value));
    true
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
