//! `syslog:server=...`: log lines as datagrams, in the form of RFC 3164.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;

use daemun_net::Datagrams;

use super::Level;
use crate::clock;

/// A syslog server and how its messages begin.
#[derive(Clone, Debug)]
pub struct Syslog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: Datagrams,
    facility: u8,
    severity: Level,
    tag: String,
    /// `None` with `nohostname`.
    hostname: Option<String>,
}

/// What a directive says behind `syslog:`.
#[derive(Default)]
struct Written<'a> {
    server: Option<&'a str>,
    facility: Option<u8>,
    severity: Option<Level>,
    tag: Option<&'a str>,
    has_no_hostname: bool,
}

impl Syslog {
    /// Reads what stands behind `syslog:`, parameters with commas between them. The server's name is looked up.
    ///
    /// # Errors
    /// What is wrong, in nginx's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut written = Written::default();
        for parameter in text.split(',') {
            written.read(parameter)?;
        }
        let server = written.server.ok_or("no syslog server specified")?;
        let server =
            Datagrams::to(server, DEFAULT_PORT).map_err(|error| format!("{error} in syslog server \"{server}\""))?;
        let hostname = || String::from_utf8_lossy(rustix::system::uname().nodename().to_bytes()).to_ascii_lowercase();
        let inner = Inner {
            server,
            facility: written.facility.unwrap_or(LOCAL7),
            severity: written.severity.unwrap_or(Level::Info),
            tag: written.tag.unwrap_or("nginx").to_owned(),
            hostname: (!written.has_no_hostname).then(hostname),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sends one message with the severity of `level`, or the configured one. A message that the socket does not take at
    /// once is lost.
    ///
    /// # Errors
    /// What the system says. The next message tries again.
    pub fn send(&self, level: Option<Level>, message: &[u8]) -> io::Result<()> {
        let Inner { server, facility, severity, tag, hostname } = &*self.inner;
        let priority = u32::from(*facility) * 8 + level.unwrap_or(*severity) as u32;
        let mut datagram = Vec::with_capacity(message.len() + 64);
        let time = clock::syslog_time();
        let _ = match hostname {
            Some(hostname) => write!(datagram, "<{priority}>{time} {hostname} {tag}: "),
            None => write!(datagram, "<{priority}>{time} {tag}: "),
        };
        datagram.extend_from_slice(message);
        server.send(&datagram)
    }
}

impl<'a> Written<'a> {
    fn read(&mut self, parameter: &'a str) -> Result<(), String> {
        match parameter.split_once('=') {
            Some(("server", server)) => put(&mut self.server, "server", server),
            Some(("facility", name)) => {
                let number = FACILITIES.iter().position(|facility| *facility == name);
                let number = number.ok_or_else(|| format!("unknown syslog facility \"{name}\""))?;
                put(&mut self.facility, "facility", number as u8)
            }
            Some(("severity", name)) => {
                let level = Level::parse(name).filter(|level| level.as_str() == name);
                put(&mut self.severity, "severity", level.ok_or_else(|| format!("unknown syslog severity \"{name}\""))?)
            }
            Some(("tag", tag)) => {
                if tag.len() > TAG_OCTETS_MAX {
                    return Err(format!("syslog tag length exceeds {TAG_OCTETS_MAX}"));
                }
                if !tag.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_') {
                    return Err("syslog \"tag\" only allows alphanumeric characters and underscore".to_owned());
                }
                put(&mut self.tag, "tag", tag)
            }
            None if parameter == "nohostname" => {
                self.has_no_hostname = true;
                Ok(())
            }
            _ => {
                let mut message = String::new();
                let _ = write!(message, "unknown syslog parameter \"{parameter}\"");
                Err(message)
            }
        }
    }
}

fn put<T>(field: &mut Option<T>, name: &str, value: T) -> Result<(), String> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("duplicate syslog \"{name}\"")),
    }
}

/// The facilities by number, with nginx's names.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The facility where nothing is said.
const LOCAL7: u8 = 23;

/// Octets of a tag, RFC 3164 section 4.1.3.
const TAG_OCTETS_MAX: usize = 32;

/// The port of syslog servers.
const DEFAULT_PORT: u16 = 514;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::{Level, Syslog};

    #[test]
    fn messages_have_priority_time_and_tag() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let address = socket.local_addr().expect("an address");
        let log = Syslog::parse(&format!("server={address},facility=user,tag=a_tag,severity=alert,nohostname"))
            .expect("parsed");
        let mut datagram = [0; 256];
        for (level, priority) in [(None, "<9>"), (Some(Level::Error), "<11>")] {
            log.send(level, b"a line").expect("sent");
            let length = socket.recv(&mut datagram).expect("received");
            let text = String::from_utf8_lossy(&datagram[..length]);
            assert!(text.starts_with(priority), "{text}");
            assert_eq!(&text[priority.len() + 15..], " a_tag: a line");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            ("tag=a", "no syslog server specified"),
            ("server=127.0.0.1,server=127.0.0.1", "duplicate syslog \"server\""),
            ("server=127.0.0.1,facility=none", "unknown syslog facility \"none\""),
            ("server=127.0.0.1,severity=none", "unknown syslog severity \"none\""),
            ("server=127.0.0.1,tag=a-b", "syslog \"tag\" only allows alphanumeric characters and underscore"),
            ("server=127.0.0.1,other", "unknown syslog parameter \"other\""),
            ("server=127.0.0.1:x", "invalid port in syslog server \"127.0.0.1:x\""),
        ] {
            assert_eq!(Syslog::parse(text).err().as_deref(), Some(message), "{text}");
        }
    }
}
