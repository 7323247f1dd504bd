//! File name patterns as glob(3) has them with no flags set: sorted by bytes, hidden files only by a written dot.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::limits::GLOB_MATCHES_MAX;

/// Whether the text is a pattern at all.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The paths that `pattern` matches.
///
/// # Errors
///
/// When a folder on the way is there and cannot be read, or too many paths match.
pub(crate) fn expand(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let bytes = pattern.as_os_str().as_bytes();
    let mut found: Vec<Vec<u8>> = vec![if bytes.starts_with(b"/") { b"/".to_vec() } else { Vec::new() }];
    let parts: Vec<&[u8]> = bytes.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        let mut next = Vec::new();
        for base in &found {
            if part.iter().any(|byte| b"*?[".contains(byte)) {
                matches_in(base, part, &mut next)?;
            } else {
                next.push(joined(base, part));
            }
            if next.len() > GLOB_MATCHES_MAX {
                return Err(io::Error::other(format!("more than {GLOB_MATCHES_MAX} paths match")));
            }
        }
        // A written part behind a pattern ("*/site.conf") need not be there in every folder.
        next.retain(|path| exists(path, is_last));
        found = next;
    }
    found.sort();
    Ok(found.into_iter().map(|path| PathBuf::from(std::ffi::OsString::from_vec(path))).collect())
}

fn joined(base: &[u8], part: &[u8]) -> Vec<u8> {
    let mut path = base.to_vec();
    if !path.is_empty() && !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(part);
    path
}

fn exists(path: &[u8], is_last: bool) -> bool {
    let path = Path::new(OsStr::from_bytes(path));
    if is_last { path.symlink_metadata().is_ok() } else { path.is_dir() }
}

fn matches_in(base: &[u8], pattern: &[u8], found: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let folder = if base.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(base)) };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let name = name.as_bytes();
        if name.starts_with(b".") && !pattern.starts_with(b".") {
            continue;
        }
        if matches(pattern, name) {
            found.push(joined(base, name));
        }
    }
    Ok(())
}

/// Whether `name` matches `pattern`, in time at most the product of their lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when the rest does not match: behind the last `*`, one more byte of the name given to it.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, n));
            continue;
        }
        if let Some(taken) = matches_one(&pattern[p..], name[n]) {
            p += taken;
            n += 1;
            continue;
        }
        let Some((behind_star, given)) = retry else {
            return false;
        };
        p = behind_star;
        n = given + 1;
        retry = Some((behind_star, n));
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// How many bytes of the pattern match this one byte.
fn matches_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', ..] => match set_end(pattern) {
            Some(end) => set_has(&pattern[1..end], byte).then_some(end + 1),
            None => (byte == b'[').then_some(1),
        },
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [first, ..] => (*first == byte).then_some(1),
        [] => None,
    }
}

/// Where the `]` of a set stands; a `]` that comes first belongs to the set.
fn set_end(pattern: &[u8]) -> Option<usize> {
    let first = if matches!(pattern.get(1), Some(b'!' | b'^')) { 3 } else { 2 };
    let behind = pattern.get(first..)?;
    behind.iter().position(|&byte| byte == b']').map(|position| first + position)
}

fn set_has(set: &[u8], byte: u8) -> bool {
    let (is_negated, mut rest) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut is_in = false;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if let [b'-', last, behind @ ..] = rest {
            is_in |= (first..=*last).contains(&byte);
            rest = behind;
        } else {
            is_in |= first == byte;
        }
    }
    is_in != is_negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let is_match = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        assert!(is_match("*.conf", "a.conf"));
        assert!(is_match("*", "default"));
        assert!(is_match("a*b*c", "aXbYbc"));
        assert!(is_match("site?", "site1"));
        assert!(is_match("[a-c]*", "bob"));
        assert!(is_match("[!a-c]*", "dan"));
        assert!(is_match("[]x]", "]"));
        assert!(is_match("[", "["));
        assert!(is_match("\\*", "*"));
        assert!(!is_match("*.conf", "a.conf~"));
        assert!(!is_match("[a-c]*", "dan"));
        assert!(!is_match("site?", "site"));
        assert!(!is_match(&"*a".repeat(30), &"a".repeat(29)));
        assert!(!is_match(&format!("{}b", "*a".repeat(100)), &"a".repeat(10_000)));
    }

    #[test]
    fn folders() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["b.conf", "a.conf", ".hidden.conf", "c.txt", "sub/x.conf", "sub2/y.conf"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, "").expect("a file");
        }
        let found = |pattern: &str| -> Vec<String> {
            let paths = expand(&folder.path().join(pattern)).expect("a readable folder");
            let relative = paths.iter().map(|path| path.strip_prefix(folder.path()).expect("below the folder"));
            relative.map(|path| path.display().to_string()).collect()
        };
        assert_eq!(found("*.conf"), ["a.conf", "b.conf"]);
        assert_eq!(found("sub*/*.conf"), ["sub/x.conf", "sub2/y.conf"]);
        assert_eq!(found("*/x.conf"), ["sub/x.conf"]);
        assert_eq!(found(".h*"), [".hidden.conf"]);
        assert!(found("nothing/*.conf").is_empty());
        assert!(found("a.conf/*").is_empty());
    }
}
