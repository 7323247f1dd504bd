//! Certificates made by the openssl command, and Debian's curl as a client over TLS.

use std::path::PathBuf;
use std::process::Command;

use crate::{Address, Scratch};

/// Makes `NAME.crt` and `NAME.key` in the scratch folder: a certificate for `name` that is its own issuer.
#[track_caller]
pub fn self_signed(scratch: &Scratch, name: &str) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    self_signed_with(scratch, name, &key);
}

/// As [`self_signed`], the key as openssl's `req` is told by `key`.
#[track_caller]
pub fn self_signed_with(scratch: &Scratch, name: &str, key: &[&str]) {
    let (subject, names) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
    let (certificate, secret) = (format!("{name}.crt"), format!("{name}.key"));
    let rest = ["-days", "30", "-subj", &subject, "-addext", &names, "-out", &certificate, "-keyout", &secret];
    openssl(scratch, &[&["req", "-x509"][..], key, &rest[..]].concat());
}

/// Makes `NAME.crt` and `NAME.key`, a certificate issued by that of `issuer`, with the lines of `extensions`.
#[track_caller]
pub fn issued(scratch: &Scratch, name: &str, issuer: &str, extensions: &str) {
    let file = |ending: &str| format!("{name}.{ending}");
    let (subject, request, secret) = (format!("/CN={name}"), file("csr"), file("key"));
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(
        scratch,
        &[&["req", "-new"][..], &key, &["-subj", &subject, "-out", &request, "-keyout", &secret]].concat(),
    );
    scratch.write(&file("ext"), extensions);
    let (authority, authority_key) = (format!("{issuer}.crt"), format!("{issuer}.key"));
    let made = ["x509", "-req", "-in", &request, "-CA", &authority, "-CAkey", &authority_key, "-CAcreateserial"];
    openssl(scratch, &[&made[..], &["-days", "30", "-extfile", &file("ext"), "-out", &file("crt")]].concat());
}

/// Runs openssl in the scratch folder; what it prints.
#[track_caller]
pub fn openssl(scratch: &Scratch, arguments: &[&str]) -> String {
    let run = Command::new("openssl").args(arguments).current_dir(scratch.folder()).output();
    let output = run.expect("openssl is not installed: run scripts/install-peers");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    text.into_owned()
}

/// A request by curl.
#[derive(Debug)]
pub struct Curl {
    command: Command,
    url: String,
}

impl Curl {
    /// For `target` of the server called `name` at `address`, whose certificate is not looked at.
    pub fn new(address: &Address, name: &str, target: &str) -> Self {
        let Address::Tcp(address) = address else { unreachable!("curl connects over TCP") };
        let (host, port) = (address.ip(), address.port());
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--http1.1", "--insecure"]);
        command.arg("--connect-to").arg(format!("{name}:{port}:{host}:{port}"));
        Self { command, url: format!("https://{name}:{port}{target}") }
    }

    /// With another argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<PathBuf>) -> Self {
        self.command.arg(argument.into());
        self
    }

    /// The same by TLS of no more than this version.
    #[must_use]
    pub fn at_most(self, version: &str) -> Self {
        self.arg("--tls-max").arg(version)
    }

    /// With the certificate and key called `name` of the scratch folder.
    #[must_use]
    pub fn with_certificate(self, scratch: &Scratch, name: &str) -> Self {
        let (certificate, key) = (scratch.path(&format!("{name}.crt")), scratch.path(&format!("{name}.key")));
        self.arg("--cert").arg(certificate).arg("--key").arg(key)
    }

    /// The answer's body; the error is curl's number, such as 35 for a handshake that failed.
    ///
    /// # Errors
    /// curl's exit code.
    pub fn body(self) -> Result<Vec<u8>, i32> {
        let Self { mut command, url } = self;
        let output = command.arg(url).output().expect("curl is not installed: run scripts/install-peers");
        if output.status.success() { Ok(output.stdout) } else { Err(output.status.code().unwrap_or(-1)) }
    }

    /// The answer's body as text, or `curl N` where there is none.
    pub fn text(self) -> String {
        match self.body() {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            Err(number) => format!("curl {number}"),
        }
    }
}
