//! Gunicorn's corpus of malformed requests, which scripts/install-peers fetches; nothing of it lies in this repository.

use std::fs;
use std::path::Path;

use harness::programs;

/// Requests that Gunicorn refuses and nginx serves, as daemun does, with the reason.
const SERVED: &[(&str, &str)] = &[
    ("006", "a request line longer than Gunicorn's limit, which is half of nginx's"),
    ("008", "a header line of about the limit that nginx has, too"),
    ("009", "more than 100 header lines, where nginx has 1,000"),
    ("041", "Content-Type twice, which says nothing about the message's end"),
    ("rfc9112_bare_lf_01", "LF alone ends a line of the head (RFC 9112 section 2.2)"),
    ("rfc9112_leading_crlf_02", "empty lines before the request line are skipped (RFC 9112 section 2.2)"),
    ("rfc9112_target_non_ascii_01", "octets above 0x7f in a path"),
    ("rfc9112_target_non_ascii_02", "octets above 0x7f in a path"),
];

/// Name and octets of each request that must be refused: whose neighbour, a Python file, changes no setting of Gunicorn's.
pub(super) fn requests() -> Vec<(String, Vec<u8>)> {
    let folder = programs::gunicorn_requests();
    let mut requests: Vec<_> = folder
        .read_dir()
        .expect("the folder is readable")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http") && !needs_a_setting(path))
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, octets_of(&fs::read(&path).expect("the file is readable")))
        })
        .filter(|(name, _)| SERVED.iter().all(|(served, _)| served != name))
        .collect();
    requests.sort();
    requests
}

fn needs_a_setting(path: &Path) -> bool {
    fs::read_to_string(path.with_extension("py")).expect("every request has its neighbour").contains("cfg.set(")
}

/// The octets that a file means: its line ends count for nothing, escapes do.
fn octets_of(file: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = file;
    while let Some((&first, behind)) = rest.split_first() {
        let (octet, after) = match rest {
            [b'\\', b'r', after @ ..] => (b'\r', after),
            [b'\\', b'n', after @ ..] => (b'\n', after),
            [b'\\', b't', after @ ..] => (b'\t', after),
            [b'\\', b'0', after @ ..] => (0, after),
            [b'\\', b'x', high, low, after @ ..] => (hexadecimal(*high) << 4 | hexadecimal(*low), after),
            _ => (first, behind),
        };
        if first != b'\n' {
            octets.push(octet);
        }
        rest = after;
    }
    octets
}

fn hexadecimal(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).expect("an escape has two digits")
}
