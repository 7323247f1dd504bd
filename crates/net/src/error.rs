//! Why a socket could not be made ready.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::{Holder, ListenAddress};

/// Why a listening socket could not be bound. The text keeps nginx's form up to the closing parenthesis.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there already.
    #[error("bind() to {address} failed (98: Address already in use){}", held_by(.holder.as_ref()))]
    InUse {
        /// The address asked for.
        address: ListenAddress,
        /// Who listens there, if the system tells.
        holder: Option<Holder>,
    },

    /// A unix socket's path is taken by something that is no socket.
    #[error("bind() to unix:{} failed: a file that is not a socket is in the way", path.display())]
    NotASocket {
        /// The path asked for.
        path: PathBuf,
    },

    /// A unix socket's path does not fit into the system's address structure.
    #[error("bind() to unix:{} failed: the path is longer than {max} bytes", path.display())]
    PathTooLong {
        /// The path asked for.
        path: PathBuf,
        /// The longest path the system takes.
        max: usize,
    },

    /// A system call failed.
    #[error("{call}() to {address} failed ({}){}", SystemCause(.source), .hint)]
    System {
        /// The call's name.
        call: &'static str,
        /// The address asked for.
        address: ListenAddress,
        /// What the system said.
        source: io::Error,
        /// What to do about it, starting with `", "`, or empty.
        hint: String,
    },
}

fn held_by(holder: Option<&Holder>) -> String {
    holder.map(|holder| format!(", held by {holder}")).unwrap_or_default()
}

/// Writes a system error as nginx does: `13: Permission denied`.
pub struct SystemCause<'a>(pub &'a io::Error);

impl fmt::Display for SystemCause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match self.0.raw_os_error() {
            // The standard library appends the number; nginx puts it in front.
            Some(number) => {
                let name = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
                write!(f, "{number}: {name}")
            }
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_error_has_its_number_in_front() {
        let error = io::Error::from_raw_os_error(13);
        assert_eq!(SystemCause(&error).to_string(), "13: Permission denied");
    }
}
