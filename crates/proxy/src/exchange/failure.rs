//! Why a server gave no answer: the words for the log, and whether another server may be asked.

use std::fmt;
use std::io;

use daemun_http::StatusCode;
use daemun_net::tls::ConnectError;
use daemun_server::body::RequestBodyError;
use daemun_server::log::Level;

use crate::pass::Condition;
use crate::transport::HeadFault;

/// What an exchange is at, in nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No connection yet.
    Connecting,
    /// The connection is being encrypted.
    Handshake,
    /// The request goes out.
    Sending,
    /// The answer's head is awaited.
    ReadingHead,
    /// The answer's body comes in.
    ReadingBody,
    /// Both sides talk freely.
    Tunnel,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting to upstream",
            Self::Handshake => "SSL handshaking to upstream",
            Self::Sending => "sending request to upstream",
            Self::ReadingHead => "reading response header from upstream",
            Self::ReadingBody => "reading upstream",
            Self::Tunnel => "proxying upgraded connection",
        })
    }
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The connection could not be made.
    #[error("connect(){to} failed {}{hint} while {}", SystemError(source), Stage::Connecting)]
    Connect {
        /// ` to unix:...`, or nothing.
        to: String,
        /// What the system says.
        source: io::Error,
        /// What may be the reason.
        hint: String,
    },
    /// The connection could not be encrypted, or the server is not who it should be.
    #[error("{0} while {stage}", stage = Stage::Handshake)]
    Tls(ConnectError),
    /// The server was silent too long.
    #[error("upstream timed out (110: Connection timed out) while {0}")]
    TimedOut(Stage),
    /// The server took no more, and said nothing.
    #[error("send() failed {} while {}", SystemError(.0), Stage::Sending)]
    Send(io::Error),
    /// The connection failed.
    #[error("recv() failed {} while {}", SystemError(.0), .1)]
    Receive(io::Error, Stage),
    /// The connection ended within the head.
    #[error("upstream prematurely closed connection while {}", Stage::ReadingHead)]
    Closed,
    /// The answer's head is none.
    #[error("{0} while {stage}", stage = Stage::ReadingHead)]
    Head(HeadFault),
    /// The request's body cannot be had: no server is to blame.
    #[error("{0}")]
    RequestBody(RequestBodyError),
    /// The answer has a status that has another server asked.
    #[error("upstream answered {}", .0.status())]
    Status(Condition),
}

impl Failure {
    /// What `..._next_upstream` calls it.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::TimedOut(_) => Condition::Timeout,
            Self::Head(_) => Condition::InvalidHeader,
            Self::Status(condition) => *condition,
            _ => Condition::Error,
        }
    }

    /// What the client is answered when no other server is asked.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.condition().status()
    }

    /// How grave it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Connect { source, .. } if !is_usual(source) => Level::Crit,
            Self::RequestBody(_) => Level::Info,
            _ => Level::Error,
        }
    }
}

/// Whether a server that is gone or far away explains it.
fn is_usual(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::TimedOut
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable
    )
}

/// An error of the system as nginx writes it: `(111: Connection refused)`.
pub struct SystemError<'a>(pub &'a io::Error);

impl fmt::Display for SystemError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match self.0.raw_os_error() {
            Some(number) => {
                let text = text.split(" (os error").next().unwrap_or_default();
                write!(f, "({number}: {text})")
            }
            None => write!(f, "({text})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_errors_have_number_and_text() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(SystemError(&refused).to_string(), "(111: Connection refused)");
        let failure = Failure::Connect { to: String::new(), source: refused, hint: String::new() };
        assert_eq!(failure.to_string(), "connect() failed (111: Connection refused) while connecting to upstream");
        assert_eq!(failure.level(), Level::Error);
    }
}
