//! The options of the `Connection` header field.

use crate::octets::list_members;

/// The options that HTTP/1 itself gives a meaning.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionOptions {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl ConnectionOptions {
    /// Adds the options that one field line names.
    ///
    /// nginx looks for the words anywhere in the value; here they must be options of their own.
    #[inline]
    pub(crate) fn note(&mut self, value: &[u8]) {
        // By far the commonest values.
        match value {
            b"keep-alive" => self.keep_alive = true,
            b"close" => self.close = true,
            _ => self.note_list(value),
        }
    }

    fn note_list(&mut self, value: &[u8]) {
        for option in list_members(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            }
        }
    }

    /// Whether the connection outlives the message; `close` wins over `keep-alive`.
    #[inline]
    pub(crate) const fn stays_open(self, by_default: bool) -> bool {
        !self.close && (self.keep_alive || by_default)
    }
}
