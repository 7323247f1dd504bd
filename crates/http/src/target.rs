//! Request targets: taken apart, decoded and normalised, and escaped again.

/// A request target, cut at its first `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetParts<'a> {
    /// The path, as received.
    pub path: &'a [u8],
    /// What follows `?`, without `#` and what follows that; `None` without `?`.
    pub args: Option<&'a [u8]>,
}

/// Why a path is refused; the request is to be answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A `%` without two hexadecimal digits.
    #[error("\"%\" without two hexadecimal digits")]
    Percent,

    /// An octet of value 0, as such or as `%00`.
    #[error("NUL in the path")]
    Nul,

    /// A `..` that leads above the root.
    #[error("path leads above the root")]
    AboveRoot,

    /// The path does not begin with a slash.
    #[error("path without a slash at its beginning")]
    Relative,
}

/// Cuts `target`, a path with arguments as [`crate::RequestHead::target`] gives it.
///
/// `?` counts before anything is decoded, so `%3F` is part of the path. A fragment, which a client
/// ought not to send, is dropped.
#[must_use]
pub fn split(target: &[u8]) -> TargetParts<'_> {
    let Some(end) = memchr::memchr2(b'?', b'#', target) else { return TargetParts { path: target, args: None } };
    let (path, rest) = target.split_at_checked(end).unwrap_or((target, &[]));
    let args = rest.strip_prefix(b"?").map(|args| args.split(|octet| *octet == b'#').next().unwrap_or_default());
    TargetParts { path, args }
}

/// Appends the path that `raw_path` means to `out`: decoded once, without `.`, `..` and, with
/// `merge_slashes`, doubled slashes.
///
/// What is decoded takes part in this: `%2e%2e` is `..` and `%2f` is a slash, so nothing that a file
/// system would resolve is left. `%3f`, `%23` and `%25` become plain characters of the path; a path
/// ends at a bare `?` or `#`. On error `out` is as long as before.
///
/// # Errors
///
/// [`TargetError`], to be answered 400.
///
/// # Source
///
/// `ngx_http_parse_complex_uri` of nginx 1.31; RFC 3986 §5.2.4, §6.2.2.
pub fn normalize(raw_path: &[u8], merge_slashes: bool, out: &mut Vec<u8>) -> Result<(), TargetError> {
    if raw_path.first() != Some(&b'/') {
        return Err(TargetError::Relative);
    }
    let start = out.len();
    let plain = plain_prefix(raw_path);
    out.extend_from_slice(raw_path.get(..plain).unwrap_or_default());
    if plain == raw_path.len() {
        return Ok(());
    }
    let segment = out.iter().rposition(|octet| *octet == b'/').map_or(start, |slash| slash + 1);
    let outcome = Normalizer { out, start, segment, merge_slashes }.run(raw_path.get(plain..).unwrap_or_default());
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

/// Length of the part that means itself: no escape, no end, no slash that is followed by a slash or a dot.
fn plain_prefix(path: &[u8]) -> usize {
    let mut after_slash = false;
    let special = path.iter().position(|&octet| {
        let class = CLASSES[octet as usize];
        let is_special = class & SPECIAL != 0 || (after_slash && class & DOT_OR_SLASH != 0);
        after_slash = octet == b'/';
        is_special
    });
    special.unwrap_or(path.len())
}

/// The slow way: one octet after the other.
struct Normalizer<'a> {
    out: &'a mut Vec<u8>,
    /// Where the path begins in `out`.
    start: usize,
    /// Where the present segment begins in `out`, behind a slash.
    segment: usize,
    merge_slashes: bool,
}

impl Normalizer<'_> {
    fn run(mut self, rest: &[u8]) -> Result<(), TargetError> {
        let mut octets = rest.iter().copied();
        while let Some(octet) = octets.next() {
            match octet {
                b'?' | b'#' => break,
                0 => return Err(TargetError::Nul),
                b'/' => self.slash()?,
                b'%' => match decode(octets.next(), octets.next())? {
                    0 => return Err(TargetError::Nul),
                    b'/' => self.slash()?,
                    decoded => self.out.push(decoded),
                },
                _ => self.out.push(octet),
            }
        }
        self.resolve_dots().map(|_| ())
    }

    /// Ends a segment.
    fn slash(&mut self) -> Result<(), TargetError> {
        let is_empty = self.out.len() == self.segment;
        if self.resolve_dots()? || (is_empty && self.merge_slashes) {
            return Ok(()); // The slash before the segment stands for this one.
        }
        self.out.push(b'/');
        self.segment = self.out.len();
        Ok(())
    }

    /// Takes away the present segment if it is `.`, and with it the one before if it is `..`.
    fn resolve_dots(&mut self) -> Result<bool, TargetError> {
        match self.out.get(self.segment..) {
            Some(b".") => {}
            Some(b"..") => {
                let parents = self.out.get(self.start..self.segment.saturating_sub(1)).unwrap_or_default();
                let slash = parents.iter().rposition(|octet| *octet == b'/').ok_or(TargetError::AboveRoot)?;
                self.segment = self.start + slash + 1;
            }
            _ => return Ok(false),
        }
        self.out.truncate(self.segment);
        Ok(true)
    }
}

/// The octet that two hexadecimal digits say.
fn decode(high: Option<u8>, low: Option<u8>) -> Result<u8, TargetError> {
    let digit = |octet: Option<u8>| octet.and_then(|octet| (octet as char).to_digit(16)).ok_or(TargetError::Percent);
    Ok((digit(high)? << 4 | digit(low)?) as u8)
}

/// Appends `octets` with each `%XX` decoded; a `%` before anything else stays.
pub fn decode_percent(octets: &[u8], out: &mut Vec<u8>) {
    let mut rest = octets;
    while let Some((&first, after)) = rest.split_first() {
        match decode(after.first().copied(), after.get(1).copied()) {
            Ok(octet) if first == b'%' => {
                out.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
}

/// Appends `octets` to `out`, with everything escaped that may not stand in a path: nginx's
/// `NGX_ESCAPE_URI`, for `Location` and for requests to other servers.
pub fn escape_uri(octets: &[u8], out: &mut Vec<u8>) {
    escape(octets, PATH_ESCAPE, out);
}

/// [`escape_uri`] for a value within arguments: `&`, `+` and `;` are escaped too (`NGX_ESCAPE_ARGS`).
pub fn escape_args(octets: &[u8], out: &mut Vec<u8>) {
    escape(octets, ARGS_ESCAPE, out);
}

/// [`escape_uri`] for a link in a page, `?` and all: what HTML could not hold is escaped too (`NGX_ESCAPE_HTML`).
pub fn escape_link(octets: &[u8], out: &mut Vec<u8>) {
    escape(octets, LINK_ESCAPE, out);
}

/// [`escape_uri`] for anything: all but letters, digits, `-`, `.`, `_` and `~` is escaped
/// (`NGX_ESCAPE_URI_COMPONENT`).
pub fn escape_component(octets: &[u8], out: &mut Vec<u8>) {
    escape(octets, COMPONENT_ESCAPE, out);
}

fn escape(octets: &[u8], class: u8, out: &mut Vec<u8>) {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    out.reserve(octets.len());
    for &octet in octets {
        if CLASSES[octet as usize] & class == 0 {
            out.push(octet);
        } else {
            out.extend_from_slice(&[b'%', HEX[(octet >> 4) as usize], HEX[(octet & 15) as usize]]);
        }
    }
}

/// A path and arguments that somebody names who may name any path below the root, but none above: a page, an upstream.
///
/// The path is decoded and otherwise left as it is: it need not begin with a slash, and a `%` that no two hexadecimal
/// digits follow is dropped. `None` where it is empty or has a NUL or a segment `..`.
///
/// # Source
///
/// `ngx_http_parse_unsafe_uri` of nginx 1.31.
#[must_use]
pub fn split_unsafe(uri: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let end = memchr::memchr(b'?', uri).unwrap_or(uri.len());
    let (raw, args) = uri.split_at_checked(end)?;
    let mut path = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        match (octet, behind) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                path.push(decode(Some(*high), Some(*low)).ok()?);
                rest = after;
            }
            (b'%', _) => {}
            _ => path.push(octet),
        }
    }
    let climbs = |path: &[u8]| path.split(|octet| *octet == b'/').any(|segment| segment == b"..");
    let is_unsafe = raw.is_empty() || path.contains(&0) || climbs(raw) || climbs(&path);
    (!is_unsafe).then(|| (path, args.get(1..).unwrap_or_default()))
}

/// Octets that [`normalize`] must look at wherever they are.
const SPECIAL: u8 = 1;
/// Octets that [`normalize`] must look at behind a slash.
const DOT_OR_SLASH: u8 = 2;
/// Octets that [`escape_uri`] escapes.
const PATH_ESCAPE: u8 = 4;
/// Octets that [`escape_args`] escapes.
const ARGS_ESCAPE: u8 = 8;
/// Octets that [`escape_component`] escapes.
const COMPONENT_ESCAPE: u8 = 16;
/// Octets that [`escape_link`] escapes.
const LINK_ESCAPE: u8 = 32;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut number = 0;
    while number < 256 {
        let octet = number as u8;
        classes[number] = match octet {
            0 | b'%' | b'?' | b'#' => SPECIAL,
            b'.' | b'/' => DOT_OR_SLASH,
            _ => 0,
        };
        if !octet.is_ascii_graphic()
            || matches!(octet, b'"' | b'#' | b'%' | b'<' | b'>' | b'?' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        {
            classes[number] |= PATH_ESCAPE | ARGS_ESCAPE;
            if octet != b'?' {
                classes[number] |= LINK_ESCAPE;
            }
        }
        if octet == b'\'' {
            classes[number] |= LINK_ESCAPE;
        }
        if matches!(octet, b'&' | b'+' | b';') {
            classes[number] |= ARGS_ESCAPE;
        }
        if !octet.is_ascii_alphanumeric() && !matches!(octet, b'-' | b'.' | b'_' | b'~') {
            classes[number] |= COMPONENT_ESCAPE;
        }
        number += 1;
    }
    classes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalized(path: &str, merge_slashes: bool) -> Result<String, TargetError> {
        let mut out = b"kept".to_vec();
        let outcome = normalize(path.as_bytes(), merge_slashes, &mut out);
        assert!(out.starts_with(b"kept"));
        if outcome.is_err() {
            assert_eq!(out, b"kept");
        }
        outcome.map(|()| String::from_utf8_lossy(&out[4..]).into_owned())
    }

    #[test]
    fn what_others_name_stays_below_the_root() {
        for (uri, expected) in [
            ("/a?b=%20?c", Some(("/a", "b=%20?c"))),
            ("/a%3fb?c", Some(("/a?b", "c"))),
            ("a", Some(("a", ""))),
            ("/%zz%41", Some(("/zzA", ""))),
            ("/a..b/..c", Some(("/a..b/..c", ""))),
            ("/a/%2e%2e/b", None),
            ("/a/..", None),
            ("../a", None),
            ("/a%00", None),
            ("?a", None),
            ("", None),
        ] {
            let expected = expected.map(|(path, args)| (path.as_bytes().to_vec(), args.as_bytes()));
            assert_eq!(split_unsafe(uri.as_bytes()), expected, "{uri}");
        }
    }

    #[test]
    fn targets_are_cut() {
        for (target, path, args) in [
            ("/", "/", None),
            ("/a?", "/a", Some("")),
            ("/a?b?c", "/a", Some("b?c")),
            ("/a?b#c", "/a", Some("b")),
            ("/a#b?c", "/a", None),
            ("/a%3Fb", "/a%3Fb", None),
            ("/a?#", "/a", Some("")),
        ] {
            let expected = TargetParts { path: path.as_bytes(), args: args.map(str::as_bytes) };
            assert_eq!(split(target.as_bytes()), expected, "{target}");
        }
    }

    #[test]
    fn paths_are_normalized() {
        for (raw, path) in [
            ("/", "/"),
            ("/foo/bar", "/foo/bar"),
            ("/foo/bar/.", "/foo/bar/"),
            ("/foo/bar/./", "/foo/bar/"),
            ("/foo/bar/..", "/foo/"),
            ("/foo/bar/../", "/foo/"),
            ("/foo/bar/..#frag", "/foo/"),
            ("/foo/bar/.?args", "/foo/bar/"),
            ("/foo/./bar/../baz", "/foo/baz"),
            ("/a/b/c/../../d", "/a/d"),
            ("/a/..", "/"),
            ("//", "/"),
            ("///a//b///", "/a/b/"),
            ("/a//../b", "/b"),
            ("/...", "/..."),
            ("/.a/..b/a..", "/.a/..b/a.."),
            ("/%2e%2e%2f", "?"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a%2f..%2Fb", "/b"),
            ("/a%2f%2fb", "/a/b"),
            ("/%41%7a", "/Az"),
            ("/%02", "/\u{2}"),
            ("/a%25b", "/a%b"),
            ("/a%252e", "/a%2e"),
            ("/a%3fb%23c", "/a?b#c"),
            ("/%3f/..", "/"),
            ("/.%3f", "/.?"),
            ("/%C3%a9", "/\u{e9}"),
            ("/a b", "/a b"),
            ("/a+b%2b", "/a+b+"),
        ] {
            let expected = if path == "?" { Err(TargetError::AboveRoot) } else { Ok(path.to_owned()) };
            assert_eq!(normalized(raw, true), expected, "{raw}");
        }
    }

    #[test]
    fn slashes_may_be_kept() {
        for (raw, path) in [
            ("//", "//"),
            ("/a//b", "/a//b"),
            ("/a//../b", "/a/b"),
            ("//..", "/"),
            ("/a/./b", "/a/b"),
            ("/a//./b", "/a//b"),
            ("/a%2f%2fb", "/a//b"),
        ] {
            assert_eq!(normalized(raw, false).as_deref(), Ok(path), "{raw}");
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        for (raw, error) in [
            ("", TargetError::Relative),
            ("a", TargetError::Relative),
            ("*", TargetError::Relative),
            ("/%", TargetError::Percent),
            ("/%1", TargetError::Percent),
            ("/%1g", TargetError::Percent),
            ("/%g1", TargetError::Percent),
            ("/%+1", TargetError::Percent),
            ("/%%41", TargetError::Percent),
            ("/%00", TargetError::Nul),
            ("/a\0b", TargetError::Nul),
            ("/..", TargetError::AboveRoot),
            ("/../", TargetError::AboveRoot),
            ("/a/../..", TargetError::AboveRoot),
            ("/a/../../b", TargetError::AboveRoot),
            ("/./../a", TargetError::AboveRoot),
            ("//../..", TargetError::AboveRoot),
            ("/%2e%2e/etc/passwd", TargetError::AboveRoot),
            ("/..%2fetc", TargetError::AboveRoot),
            ("/a/..?/..", TargetError::Relative),
        ] {
            if raw == "/a/..?/.." {
                assert_eq!(normalized(raw, true).as_deref(), Ok("/"), "what follows `?` is not looked at");
                continue;
            }
            assert_eq!(normalized(raw, true), Err(error), "{raw:?}");
        }
    }

    #[test]
    fn escapes_are_those_of_nginx() {
        let mut out = Vec::new();
        escape_uri(b"/a b\"#%<>?\\^`{|}\x7f\xe9\x01~!$&'()*+,;=:@[]", &mut out);
        assert_eq!(out, b"/a%20b%22%23%25%3C%3E%3F%5C%5E%60%7B%7C%7D%7F%E9%01~!$&'()*+,;=:@[]");
        out.clear();
        escape_args(b"a&b+c;d=/", &mut out);
        assert_eq!(out, b"a%26b%2Bc%3Bd=/");
        out.clear();
        escape_component(b"a/b-._~!:", &mut out);
        assert_eq!(out, b"a%2Fb-._~%21%3A");
    }

    /// Paths rich in what matters.
    fn raw_path() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/"),
            Just("."),
            Just(".."),
            Just("//"),
            Just("%2e"),
            Just("%2f"),
            Just("%25"),
            Just("a"),
            Just("b.c"),
            Just("%"),
            Just("%00"),
            Just("?"),
            Just("#"),
            Just("%3f"),
            Just("%41"),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn nothing_to_resolve_is_left(raw in raw_path()) {
            if let Ok(path) = normalized(&raw, true) {
                prop_assert!(path.starts_with('/'));
                prop_assert!(!path.contains("//") && !path.contains('\0'));
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
            }
        }

        #[test]
        fn a_normalized_path_stays_as_it_is(raw in raw_path(), merge_slashes: bool) {
            if let Ok(path) = normalized(&raw, merge_slashes) {
                let mut escaped = Vec::new();
                escape_uri(path.as_bytes(), &mut escaped);
                let escaped = String::from_utf8(escaped).expect("escaped text is ascii");
                prop_assert_eq!(normalized(&escaped, merge_slashes), Ok(path));
            }
        }

        #[test]
        fn any_octets_are_survived(raw in proptest::collection::vec(any::<u8>(), 0..40), merge_slashes: bool) {
            let _ = normalize(&raw, merge_slashes, &mut Vec::new());
            let _ = split(&raw);
        }
    }
}
