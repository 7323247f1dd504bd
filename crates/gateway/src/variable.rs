//! The names of variables: a number for those everybody sends, the octets for the others.

use std::sync::LazyLock;

use daemun_http::HeaderId;

/// The name of a well-known variable as a number that both ends of the hop agree on.
///
/// Numbers below [`HEADER_BASE`] are positions in [`KNOWN`]; above, they are a [`HeaderId`] plus
/// that base. Both ends come from one build, so the numbers need not be stable between releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VariableId(u16);

/// The variables that no request header gives, in the order of their numbers.
///
/// Position 0 is empty: on the wire it says that a literal name follows.
pub const KNOWN: &[&str] = &[
    "",
    "REQUEST_METHOD",
    "QUERY_STRING",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "REQUEST_URI",
    "PATH_INFO",
    "SCRIPT_NAME",
    "DOCUMENT_ROOT",
    "DOCUMENT_URI",
    "SERVER_PROTOCOL",
    "REQUEST_SCHEME",
    "HTTPS",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "REMOTE_USER",
    "REMOTE_HOST",
    "REMOTE_IDENT",
    "AUTH_TYPE",
    "SERVER_ADDR",
    "SERVER_PORT",
    "SERVER_NAME",
    "SERVER_SOFTWARE",
    "GATEWAY_INTERFACE",
    "PATH_TRANSLATED",
    "SCRIPT_FILENAME",
    "REDIRECT_STATUS",
    "UWSGI_SCHEME",
    "UWSGI_SCRIPT",
    "UWSGI_MODULE",
    "UWSGI_CALLABLE",
    "UWSGI_FILE",
    "UWSGI_CHDIR",
    "UWSGI_APPID",
    "UWSGI_PYHOME",
    "UWSGI_TOUCH_RELOAD",
    "SSL_PROTOCOL",
    "SSL_CIPHER",
    "SSL_CLIENT_VERIFY",
    "SSL_CLIENT_S_DN",
    "SSL_CLIENT_CERT",
];

/// Where the numbers of the `HTTP_` variables begin.
pub const HEADER_BASE: u16 = 64;

/// One more than the greatest number a [`VariableId`] can have: the size of a table indexed by it.
pub const VARIABLE_ID_END: usize = HEADER_BASE as usize + 256;

const _: () = assert!(KNOWN.len() <= HEADER_BASE as usize);

macro_rules! variable_ids {
    ($($name:ident),* $(,)?) => {
        $(
            #[doc = concat!("`", stringify!($name), "`.")]
            pub const $name: Self = Self(position(stringify!($name)));
        )*
    };
}

impl VariableId {
    variable_ids!(
        REQUEST_METHOD,
        QUERY_STRING,
        CONTENT_TYPE,
        CONTENT_LENGTH,
        REQUEST_URI,
        PATH_INFO,
        SCRIPT_NAME,
        DOCUMENT_ROOT,
        DOCUMENT_URI,
        SERVER_PROTOCOL,
        REQUEST_SCHEME,
        HTTPS,
        REMOTE_ADDR,
        REMOTE_PORT,
        REMOTE_USER,
        SERVER_ADDR,
        SERVER_PORT,
        SERVER_NAME,
        SERVER_SOFTWARE,
        GATEWAY_INTERFACE,
        SCRIPT_FILENAME,
        REDIRECT_STATUS,
        UWSGI_SCHEME,
        UWSGI_SCRIPT,
    );

    /// `HTTP_COOKIE`.
    pub const HTTP_COOKIE: Self = Self(HEADER_BASE + HeaderId::Cookie as u16);
    /// `HTTP_AUTHORIZATION`.
    pub const HTTP_AUTHORIZATION: Self = Self(HEADER_BASE + HeaderId::Authorization as u16);
    /// `HTTP_HOST`.
    pub const HTTP_HOST: Self = Self(HEADER_BASE + HeaderId::Host as u16);

    /// The variable that a request header becomes; `None` for [`HeaderId::Other`].
    ///
    /// `Content-Type` and `Content-Length` are `CONTENT_TYPE` and `CONTENT_LENGTH`, all others
    /// `HTTP_` and the name.
    #[inline]
    pub fn of_header(id: HeaderId) -> Option<Self> {
        match id {
            HeaderId::Other => None,
            HeaderId::ContentType => Some(Self::CONTENT_TYPE),
            HeaderId::ContentLength => Some(Self::CONTENT_LENGTH),
            other => Some(Self(HEADER_BASE + other as u16)),
        }
    }

    /// The number of the variable called `name`, `None` when it has none.
    pub fn of(name: &[u8]) -> Option<Self> {
        if let Some(header) = name.strip_prefix(b"HTTP_") {
            return of_header_variable(header);
        }
        let position = KNOWN.iter().position(|known| known.as_bytes() == name)?;
        u16::try_from(position).ok().and_then(Self::from_number)
    }

    /// The variable with this number, `None` when no variable has it.
    #[inline]
    pub fn from_number(number: u16) -> Option<Self> {
        let id = Self(number);
        (!id.name().is_empty()).then_some(id)
    }

    /// The number, `1..VARIABLE_ID_END`.
    #[inline]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The name, such as `REQUEST_METHOD` or `HTTP_ACCEPT`.
    #[inline]
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).map_or("", String::as_str)
    }
}

/// How a variable is called where it is written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableName<'a> {
    /// A well-known variable.
    Known(VariableId),
    /// The name itself.
    Literal(&'a [u8]),
    /// The name of a request header without a [`HeaderId`]: `X-Foo` is written as `HTTP_X_FOO`.
    /// Readers never yield it.
    Header(&'a [u8]),
}

impl VariableName<'_> {
    /// The length of the name as [`write`](Self::write) writes it.
    pub fn len(&self) -> usize {
        match self {
            Self::Known(id) => id.name().len(),
            Self::Literal(name) => name.len(),
            Self::Header(name) => HTTP_PREFIX.len() + name.len(),
        }
    }

    /// Whether the name has no octet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the name to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Known(id) => out.extend_from_slice(id.name().as_bytes()),
            Self::Literal(name) => out.extend_from_slice(name),
            Self::Header(name) => write_header_variable_name(name, out),
        }
    }
}

/// Something that takes variables one by one: a record, a uwsgi packet.
pub trait VariableSink {
    /// Adds a variable whose value is the parts one behind the other.
    ///
    /// # Errors
    ///
    /// [`Full`] when it does not fit; nothing has been added then, and smaller ones may still fit.
    fn variable(&mut self, name: VariableName<'_>, parts: &[&[u8]]) -> Result<(), Full>;
}

/// The variables of a request are larger than what carries them.
///
/// The client's fault: an edge answers 431 (or nginx's 400 with code 494).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the variables of the request are larger than {limit} bytes")]
pub struct Full {
    /// The limit that would have been passed, in bytes.
    pub limit: usize,
}

/// Appends the variable name of a header to `out`: `X-Foo` becomes `HTTP_X_FOO`.
pub fn write_header_variable_name(name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(HTTP_PREFIX);
    out.extend(name.iter().map(|octet| match octet {
        b'-' => b'_',
        other => other.to_ascii_uppercase(),
    }));
}

fn of_header_variable(rest: &[u8]) -> Option<VariableId> {
    let mut hyphenated = [0_u8; LONGEST_HEADER_NAME];
    let name = hyphenated.get_mut(..rest.len())?;
    for (to, from) in name.iter_mut().zip(rest) {
        *to = match from {
            b'_' => b'-',
            // A variable name in lower case is some other variable.
            b'a'..=b'z' | b'-' => return None,
            other => *other,
        };
    }
    match HeaderId::of(name) {
        HeaderId::ContentType | HeaderId::ContentLength => None,
        id => VariableId::of_header(id),
    }
}

/// Names by number; empty where there is no variable.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut names = vec![String::new(); VARIABLE_ID_END];
    for (name, known) in names.iter_mut().zip(KNOWN) {
        *name = (*known).to_owned();
    }
    for id in HeaderId::ALL.iter().copied() {
        if matches!(id, HeaderId::Other | HeaderId::ContentType | HeaderId::ContentLength) {
            continue;
        }
        if let Some(name) = names.get_mut(usize::from(HEADER_BASE) + id as usize) {
            *name = format!("HTTP_{}", id.name().to_ascii_uppercase().replace('-', "_"));
        }
    }
    names
});

/// The position of a name in [`KNOWN`], for the constants of [`VariableId`].
const fn position(name: &str) -> u16 {
    let mut at = 1;
    while at < KNOWN.len() {
        if is_same(KNOWN[at].as_bytes(), name.as_bytes()) {
            return at as u16;
        }
        at += 1;
    }
    panic!("a constant of VariableId has no entry in KNOWN");
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

const HTTP_PREFIX: &[u8] = b"HTTP_";

/// No header name that has a [`HeaderId`] is longer.
const LONGEST_HEADER_NAME: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_the_name_it_was_made_from() {
        for number in 0..VARIABLE_ID_END as u16 {
            let Some(id) = VariableId::from_number(number) else { continue };
            assert_eq!(VariableId::of(id.name().as_bytes()), Some(id), "{}", id.name());
        }
    }

    #[test]
    fn headers_become_variables() {
        assert_eq!(VariableId::of_header(HeaderId::Host).map(VariableId::name), Some("HTTP_HOST"));
        assert_eq!(VariableId::of_header(HeaderId::ContentType), Some(VariableId::CONTENT_TYPE));
        assert_eq!(VariableId::of_header(HeaderId::Other), None);
        assert_eq!(VariableId::of(b"HTTP_ACCEPT_ENCODING"), VariableId::of_header(HeaderId::AcceptEncoding));
    }

    #[test]
    fn other_names_have_no_number() {
        for name in [
            &b"HTTP_X_FOO"[..],
            b"HTTP_",
            b"",
            b"http_host",
            b"HTTP_host",
            b"HTTP_CONTENT_TYPE",
            b"HTTP_ACCEPT-ENCODING",
        ] {
            assert_eq!(VariableId::of(name), None, "{}", name.escape_ascii());
        }
        assert_eq!(VariableId::from_number(0), None);
        assert_eq!(VariableId::from_number(u16::MAX), None);
    }

    #[test]
    fn a_literal_header_is_spelt_as_cgi_wants() {
        let mut out = Vec::new();
        write_header_variable_name(b"X-Foo9-bar", &mut out);
        assert_eq!(out, b"HTTP_X_FOO9_BAR");
        assert_eq!(VariableName::Header(b"X-Foo9-bar").len(), out.len());
    }
}
