//! Crates without clock and socket: their code takes octets and times as arguments.

use crate::finding::Finding;
use crate::metadata::Metadata;
use crate::rust::Source;
use crate::tree::crate_of;

/// The crates that touch nothing outside of their arguments.
const PURE: [&str; 3] = ["conf", "http", "gateway"];

/// Packages that bring clocks, sockets and the system into a crate.
const IMPURE_PACKAGES: [&str; 8] = ["tokio", "mio", "socket2", "rustix", "libc", "nix", "polling", "pyo3"];

/// Words that name a clock, a socket, a thread that sleeps, or a package that has them.
const IMPURE_WORDS: [&str; 21] = [
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "tokio",
    "mio",
    "socket2",
    "rustix",
    "libc",
    "nix",
    "polling",
    "pyo3",
    "sleep",
    "process",
    "thread",
];

/// The files of those crates that read files: the loader, which stands behind a trait, and its patterns.
const READS_FILES: [&str; 2] = ["crates/conf/src/loader.rs", "crates/conf/src/glob.rs"];

/// Reports clocks, sockets and files in the crates that have none.
pub fn check(sources: &[Source<'_>], metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (package, manifest) in metadata.members().filter(|(package, _)| PURE.contains(&package.short_name())) {
        let way = metadata.way_to(package, &IMPURE_PACKAGES);
        if !way.is_empty() {
            let message =
                format!("is built from {}; this crate knows no clock, no socket and no system", way.join(" -> "));
            findings.push(Finding::new(manifest, 1, message));
        }
    }
    for source in sources.iter().filter(|source| PURE.contains(&crate_of(source.path))) {
        for (_, token) in source.product_tokens() {
            let Some(word) = token.word() else { continue };
            let is_file_access = word == "fs" && !READS_FILES.contains(&source.path);
            if IMPURE_WORDS.contains(&word) || is_file_access {
                let message = format!(
                    "`{word}` in a crate without clock, socket and files; take octets and times as arguments, return what is to be done"
                );
                findings.push(Finding::new(source.path, token.line, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    fn found(path: &str, text: &str) -> Vec<String> {
        printed(&check(&[Source::read(path, text)], &Metadata::default()))
    }

    #[test]
    fn a_clock_is_found_in_a_pure_crate_only() {
        let text =
            "use std::net::IpAddr;\nuse std::time::{Duration, Instant};\n// Instant\n#[cfg(test)]\nuse std::fs;\n";
        let expected = "crates/http/src/date.rs:2: `Instant` in a crate without clock, socket and files; take octets and times as \
                        arguments, return what is to be done";
        assert_eq!(found("crates/http/src/date.rs", text), [expected]);
        assert!(found("crates/server/src/clock.rs", text).is_empty());
    }

    #[test]
    fn sockets_and_files_are_found() {
        for text in
            ["use std::net::TcpStream;", "fn a() { std::fs::read(b) }", "use tokio::net;", "std::thread::sleep(a)"]
        {
            assert!(!found("crates/gateway/src/uwsgi.rs", text).is_empty(), "{text}");
        }
        assert!(found("crates/conf/src/loader.rs", "use std::fs;").is_empty());
        assert!(!found("crates/conf/src/parser.rs", "use std::fs;").is_empty());
    }

    #[test]
    fn a_runtime_is_found_through_other_packages() {
        let metadata = Metadata::of(&[("http", &["codec"]), ("server", &["tokio"])]).with("codec", "MIT", &["tokio"]);
        let expected = "crates/http/Cargo.toml:1: is built from daemun-http -> codec -> tokio; this crate knows no clock, no socket \
                        and no system";
        assert_eq!(printed(&check(&[], &metadata)), [expected]);
    }
}
