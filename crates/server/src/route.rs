//! Which server and which location a request belongs to.

use std::collections::HashMap;

use crate::host_names::{HostNames, InvalidWildcard, NameKind};
use crate::pattern::{Pattern, PatternError};
use crate::request::Request;
use crate::runtime::{LocationId, ServerId};

/// Servers of one listener by name.
#[derive(Default)]
pub struct ServerNames {
    names: HostNames<ServerId>,
    regex: Vec<(Pattern, ServerId)>,
}

/// Why a server has been chosen by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMatch<'a> {
    /// A name without an expression: its kind, and what of the host it names.
    Name(NameKind, &'a [u8]),
    /// The first expression that matches: its number among those of the listener.
    Regex(usize),
}

/// Why a `server_name` is refused.
#[derive(Debug, thiserror::Error)]
pub enum ServerNameError {
    /// A star elsewhere than at an end and beside a point.
    #[error("invalid server name or wildcard \"{0}\"")]
    Wildcard(String),
    /// The expression does not compile.
    #[error(transparent)]
    Regex(#[from] PatternError),
}

impl ServerNames {
    /// Adds `name` as written in `server_name`. False where the listener already has that name: the first one counts.
    ///
    /// # Errors
    /// See [`ServerNameError`].
    pub fn insert(&mut self, name: &str, server: ServerId) -> Result<bool, ServerNameError> {
        if let Some(pattern) = name.strip_prefix('~') {
            self.regex.push((Pattern::new(pattern, true)?, server));
            return Ok(true);
        }
        self.names.insert(name, server).map_err(|InvalidWildcard| ServerNameError::Wildcard(name.to_owned()))
    }

    /// Whether the listener has one server for all names, so that the name need not be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.regex.is_empty()
    }

    /// The server for `host`, which is in lower case and has no port: exact, then the longest `*.`, then the
    /// longest `.*`, then the first regular expression.
    #[must_use]
    pub fn find(&self, host: &[u8]) -> Option<ServerId> {
        self.find_by(host, |pattern| pattern.is_match(host), |_| {})
    }

    /// As [`ServerNames::find`]; the groups of an expression that matches become the request's, and `tell` hears why.
    #[must_use]
    pub fn find_for<'a>(
        &self,
        request: &Request,
        host: &'a [u8],
        tell: impl FnOnce(ServerMatch<'a>),
    ) -> Option<ServerId> {
        self.find_by(host, |pattern| pattern.test(request, host), tell)
    }

    fn find_by<'a>(
        &self,
        host: &'a [u8],
        matches: impl Fn(&Pattern) -> bool,
        tell: impl FnOnce(ServerMatch<'a>),
    ) -> Option<ServerId> {
        if let Some((kind, part, server)) = self.names.look_up(host) {
            tell(ServerMatch::Name(kind, part));
            return Some(*server);
        }
        let (number, (_, server)) = self.regex.iter().enumerate().find(|(_, (regex, _))| matches(regex))?;
        tell(ServerMatch::Regex(number));
        Some(*server)
    }

    /// The names that are no expressions.
    #[must_use]
    pub fn plain_names(&self) -> Vec<(NameKind, String, &ServerId)> {
        self.names.names()
    }

    /// The expressions in their order.
    #[must_use]
    pub fn expressions(&self) -> &[(Pattern, ServerId)] {
        &self.regex
    }
}

/// The locations of one server.
#[derive(Default)]
pub struct LocationTree {
    /// `location = /path`.
    exact: HashMap<Vec<u8>, LocationId>,
    /// Names without their final slash, of locations that somebody else answers for.
    lacking_slash: HashMap<Vec<u8>, LocationId>,
    /// Prefixes in byte order.
    prefixes: Vec<Prefix>,
    /// Regular expressions at the server's level, in order.
    regex: Vec<(Pattern, LocationId)>,
}

struct Prefix {
    name: Vec<u8>,
    location: LocationId,
    /// `^~`: regular expressions are not looked at.
    is_final: bool,
    /// The longest other prefix that this one starts with.
    parent: Option<usize>,
    /// Regular expressions nested in this prefix.
    regex: Vec<(Pattern, LocationId)>,
}

/// What the search for a location has looked at, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Considered {
    /// A name that is the path: nothing else is looked at.
    Exact(LocationId),
    /// The longest prefix; whether it is `^~`, so that no expression is looked at.
    Longest(LocationId, bool),
    /// An expression; whether it matches, so that nothing else is looked at.
    Regex(LocationId, bool),
}

/// A location as the tree has it.
#[derive(Clone, Copy, Debug)]
pub enum TreeEntry<'a> {
    /// `= name`
    Exact(&'a [u8]),
    /// `name` or `^~ name`
    Prefix(&'a [u8]),
    /// An expression, and the prefix that it is nested in.
    Regex(Option<&'a [u8]>),
}

/// How a location matches.
pub enum Matcher {
    /// `= /path`
    Exact(String),
    /// `/path`, or `^~ /path` when `is_final`.
    Prefix {
        /// The prefix.
        name: String,
        /// Whether regular expressions are not looked at.
        is_final: bool,
    },
    /// `~ pattern` or `~* pattern`
    Regex(Pattern),
}

impl LocationTree {
    /// Makes the tree. Each entry: the matcher, the location, and for a regular expression nested in a prefix
    /// location that prefix.
    #[must_use]
    pub fn new(entries: Vec<(Matcher, LocationId, Option<String>)>) -> Self {
        let mut tree = Self::default();
        let mut nested = Vec::new();
        for (matcher, location, within) in entries {
            match (matcher, within) {
                (Matcher::Exact(name), _) => {
                    tree.exact.insert(name.into_bytes(), location);
                }
                (Matcher::Prefix { name, is_final }, _) => {
                    tree.prefixes.push(Prefix {
                        name: name.into_bytes(),
                        location,
                        is_final,
                        parent: None,
                        regex: Vec::new(),
                    });
                }
                (Matcher::Regex(regex), None) => tree.regex.push((regex, location)),
                (Matcher::Regex(regex), Some(prefix)) => nested.push((prefix.into_bytes(), regex, location)),
            }
        }
        tree.prefixes.sort_by(|a, b| a.name.cmp(&b.name));
        tree.link_parents();
        for (prefix, regex, location) in nested {
            if let Ok(at) = tree.prefixes.binary_search_by(|entry| entry.name.cmp(&prefix)) {
                tree.prefixes[at].regex.push((regex, location));
            }
        }
        tree
    }

    /// In byte order all prefixes of a name stand before it: a stack of open ones finds the longest.
    fn link_parents(&mut self) {
        let mut open: Vec<usize> = Vec::new();
        for at in 0..self.prefixes.len() {
            while let Some(top) = open.last() {
                if self.prefixes[at].name.starts_with(&self.prefixes[*top].name) {
                    break;
                }
                open.pop();
            }
            self.prefixes[at].parent = open.last().copied();
            open.push(at);
        }
    }

    /// The location for `path`: exact, else the longest prefix unless a regular expression matches.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> Option<LocationId> {
        self.find_by(path, |pattern| pattern.is_match(path), |_| {})
    }

    /// As [`LocationTree::find`] for the request's path; the groups of an expression that matches become the request's.
    #[must_use]
    pub fn find_for(&self, request: &Request) -> Option<LocationId> {
        self.find_telling(request, |_| {})
    }

    /// As [`LocationTree::find_for`]; `tell` hears of all that is looked at.
    #[must_use]
    pub fn find_telling(&self, request: &Request, tell: impl FnMut(Considered)) -> Option<LocationId> {
        self.find_by(&request.uri, |pattern| pattern.test(request, &request.uri), tell)
    }

    fn find_by(
        &self,
        path: &[u8],
        matches: impl Fn(&Pattern) -> bool,
        mut tell: impl FnMut(Considered),
    ) -> Option<LocationId> {
        if !self.exact.is_empty()
            && let Some(location) = self.exact.get(path)
        {
            tell(Considered::Exact(*location));
            return Some(*location);
        }
        let longest = self.longest_prefix(path).map(|at| &self.prefixes[at]);
        if let Some(prefix) = longest {
            tell(Considered::Longest(prefix.location, prefix.is_final));
            if prefix.is_final {
                return Some(prefix.location);
            }
        }
        for (regex, location) in longest.iter().flat_map(|prefix| &prefix.regex).chain(&self.regex) {
            let is_match = matches(regex);
            tell(Considered::Regex(*location, is_match));
            if is_match {
                return Some(*location);
            }
        }
        longest.map(|prefix| prefix.location)
    }

    /// All locations but the named ones: names that must be the path, prefixes in the order of their octets, expressions in the
    /// order in which they are looked at.
    pub fn entries(&self) -> impl Iterator<Item = (LocationId, TreeEntry<'_>)> {
        let exact = self.exact.iter().map(|(name, location)| (*location, TreeEntry::Exact(name)));
        let prefixes = self.prefixes.iter().map(|prefix| (prefix.location, TreeEntry::Prefix(&prefix.name)));
        let nested = self.prefixes.iter().flat_map(|prefix| {
            prefix.regex.iter().map(|(_, location)| (*location, TreeEntry::Regex(Some(&prefix.name))))
        });
        let regex = self.regex.iter().map(|(_, location)| (*location, TreeEntry::Regex(None)));
        exact.chain(prefixes).chain(nested).chain(regex)
    }

    /// The same, where a path that lacks but the slash at the end of one of these names is redirected to it.
    #[must_use]
    pub fn with_redirects(mut self, names: Vec<(Vec<u8>, LocationId)>) -> Self {
        self.lacking_slash = names.into_iter().filter(|(name, _)| !self.has(name)).collect();
        self
    }

    /// Whether a location that is no expression has this name.
    fn has(&self, name: &[u8]) -> bool {
        self.exact.contains_key(name) || self.prefixes.binary_search_by(|entry| entry.name.as_slice().cmp(name)).is_ok()
    }

    /// The location whose name is `path` and a slash, where that is worth a redirect.
    #[must_use]
    pub fn lacking_slash(&self, path: &[u8]) -> Option<LocationId> {
        if self.lacking_slash.is_empty() { None } else { self.lacking_slash.get(path).copied() }
    }

    fn longest_prefix(&self, path: &[u8]) -> Option<usize> {
        let end = self.prefixes.partition_point(|entry| entry.name.as_slice() <= path);
        let mut candidate = end.checked_sub(1);
        while let Some(at) = candidate {
            if path.starts_with(&self.prefixes[at].name) {
                return Some(at);
            }
            candidate = self.prefixes[at].parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[(&str, bool)]) -> LocationTree {
        let entry = |(number, (name, is_final)): (usize, &(&str, bool))| {
            let id = LocationId(u32::try_from(number).expect("few"));
            let matcher = match name.strip_prefix('~') {
                Some(pattern) => Matcher::Regex(Pattern::new(pattern, false).expect("pattern")),
                None => Matcher::Prefix { name: (*name).to_owned(), is_final: *is_final },
            };
            (matcher, id, None)
        };
        LocationTree::new(names.iter().enumerate().map(entry).collect())
    }

    #[test]
    fn longest_prefix_wins_unless_a_regex_matches() {
        let tree = tree(&[
            ("/", false),
            ("/a", false),
            ("/a/b", false),
            ("/ab", false),
            ("~\\.php$", false),
            ("/a/b/fixed", true),
        ]);
        let found = |path: &str| tree.find(path.as_bytes()).map(|id| id.0);
        assert_eq!(found("/"), Some(0));
        assert_eq!(found("/zzz"), Some(0));
        assert_eq!(found("/a"), Some(1));
        assert_eq!(found("/aa"), Some(1));
        assert_eq!(found("/a/b/c"), Some(2));
        assert_eq!(found("/abc"), Some(3));
        assert_eq!(found("/a/b/c.php"), Some(4));
        assert_eq!(found("/a/b/fixed.php"), Some(5));
    }

    #[test]
    fn a_path_below_a_sibling_of_the_nearest_entry_finds_its_parent() {
        let tree = tree(&[("/a/", false), ("/a/m/n", false)]);
        assert_eq!(tree.find(b"/a/m/z").map(|id| id.0), Some(0));
        assert_eq!(tree.find(b"/b"), None);
        let tree = tree.with_redirects(vec![(b"/a".to_vec(), LocationId(7))]);
        assert_eq!(tree.lacking_slash(b"/a"), Some(LocationId(7)));
        assert_eq!(tree.lacking_slash(b"/a/"), None);
    }

    #[test]
    fn server_names_in_nginx_order() {
        let mut names = ServerNames::default();
        for (number, name) in ["*.example.org", "*.b.example.org", "www.*", "www.example.org", "~^w\\d+\\.", ".dot.net"]
            .iter()
            .enumerate()
        {
            let id = ServerId(u32::try_from(number).expect("few"));
            assert!(names.insert(name, id).expect("valid name"));
        }
        let found = |host: &str| names.find(host.as_bytes()).map(|id| id.0);
        assert_eq!(found("www.example.org"), Some(3));
        assert_eq!(found("x.example.org"), Some(0));
        assert_eq!(found("x.b.example.org"), Some(1));
        assert_eq!(found("www.other.net"), Some(2));
        assert_eq!(found("w12.other.net"), Some(4));
        assert_eq!(found("dot.net"), Some(5));
        assert_eq!(found("a.dot.net"), Some(5));
        assert_eq!(found("other.net"), None);
        assert!(names.insert("a*b", ServerId(9)).is_err());
    }
}
