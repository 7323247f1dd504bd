//! `daemun cert`: certificates for development, issued by a local authority.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use daemun_net::SystemCause;
use daemun_net::tls::{Authority, IssueError, Issued};
use daemun_server::clock;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Certified {
    /// Hosts and addresses; the first gives the files their name.
    pub names: Vec<String>,
    /// Where the files are.
    pub folder: PathBuf,
}

/// Makes a certificate, and the authority where there is none, and says what to do with them.
pub fn certify(asked: &Certified) -> ExitCode {
    match make(asked) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("daemun: {error}");
            ExitCode::FAILURE
        }
    }
}

/// # Errors
/// Why there is no certificate, in words.
fn make(asked: &Certified) -> Result<String, String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._:*".contains(&octet))
    };
    if let Some(name) = asked.names.iter().find(|name| !is_name(name)) {
        return Err(format!("\"{name}\" is no name of a host"));
    }
    let now = clock::unix_seconds();
    let at = |name: &str| asked.folder.join(name);
    let (authority_path, authority_key) = (at("daemun-authority.crt"), at("daemun-authority.key"));
    if !authority_path.exists() && !authority_key.exists() {
        let made = Authority::create("daemun local authority", now).map_err(in_words)?;
        write(&made, &authority_path, &authority_key)?;
    }
    let read = |path: &Path| std::fs::read(path).map_err(|error| of_file(path, &error));
    let authority = Authority::read(&read(&authority_path)?, &read(&authority_key)?).map_err(in_words)?;
    let file = asked.names.first().map_or("localhost", String::as_str).replace('*', "any").replace(':', "_");
    let (certificate, key) = (at(&format!("{file}.crt")), at(&format!("{file}.key")));
    write(&authority.issue(&asked.names, now).map_err(in_words)?, &certificate, &key)?;
    let (authority, certificate, key) = (authority_path.display(), certificate.display(), key.display());
    Ok(format!(
        "ssl_certificate {certificate};\nssl_certificate_key {key};\n\n# Browsers and clients believe it once they trust {authority},\n# as by: curl --cacert {authority}"
    ))
}

/// Keys are for their owner alone.
fn write(issued: &Issued, certificate: &Path, key: &Path) -> Result<(), String> {
    for (path, text, mode) in [(key, &issued.key, 0o600), (certificate, &issued.certificate, 0o644)] {
        let failed = |error| of_file(path, &error);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
        file.map_err(failed)?.write_all(text.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

fn in_words(error: IssueError) -> String {
    error.to_string()
}

fn of_file(path: &Path, error: &io::Error) -> String {
    format!("\"{}\" failed ({})", path.display(), SystemCause(error))
}
