//! `sticky`: requests of one session go to one server.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemun_http::date;
use daemun_server::recency::Recency;
use daemun_server::{Request, Template, clock};
use md_5::{Digest, Md5};

use super::server::ServerState;

/// How a session is known, and what it is bound by.
pub enum Sticky {
    /// By a cookie with the server's id, which we set.
    Cookie {
        /// `$cookie_NAME`.
        lookup: Template,
        /// The cookie that binds it.
        cookie: Box<Cookie>,
    },
    /// By the first of these that has a value, a server's id.
    Route(Vec<Template>),
    /// By what the server called the session before.
    Learn(Learn),
}

/// The cookie of `sticky cookie`.
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// `domain=`
    pub domain: Option<Template>,
    /// `path=`
    pub path: Option<String>,
    /// `expires=`
    pub expires: Option<Expires>,
    /// `httponly`
    pub is_http_only: bool,
    /// `secure`
    pub is_secure: bool,
    /// `samesite=`
    pub same_site: Option<Template>,
}

/// When the cookie is forgotten.
#[derive(Clone, Copy, Debug)]
pub enum Expires {
    /// As late as can be.
    Max,
    /// After so long.
    After(Duration),
}

/// The settings of `sticky learn`.
pub struct Learn {
    /// Where an answer names a new session.
    pub create: Vec<Template>,
    /// Where a request names its session.
    pub lookup: Vec<Template>,
    /// How long a session is remembered.
    pub timeout: Duration,
    /// Whether the head of an answer is enough to learn from, and not only its end.
    pub after_head: bool,
    /// The sessions.
    pub sessions: Arc<Sessions>,
}

impl fmt::Debug for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cookie { .. } => "Cookie",
            Self::Route(_) => "Route",
            Self::Learn(_) => "Learn",
        })
    }
}

impl Sticky {
    /// What the request says of its session: a server's id, or the session's name.
    #[must_use]
    pub fn session_of(&self, request: &Request) -> Option<Vec<u8>> {
        match self {
            Self::Cookie { lookup, .. } => first_value(std::slice::from_ref(lookup), request),
            Self::Route(lookup) | Self::Learn(Learn { lookup, .. }) => first_value(lookup, request),
        }
    }

    /// The id of the server that the session is bound to.
    #[must_use]
    pub fn server_of(&self, session: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Cookie { .. } | Self::Route(_) => Some(session.to_vec()),
            Self::Learn(learn) => learn.sessions.find(session, learn.timeout),
        }
    }

    /// The value of `Set-Cookie` that binds the session to `server`.
    #[must_use]
    pub fn set_cookie(&self, request: &Request, server: &ServerState) -> Option<Vec<u8>> {
        match self {
            Self::Cookie { cookie, .. } => Some(cookie.value(request, server)),
            Self::Route(_) | Self::Learn(_) => None,
        }
    }

    /// What is to be learnt of an answer whose head has come; `session` is what the request said.
    #[must_use]
    pub fn lesson(&self, request: &Request, session: Option<&[u8]>) -> Option<Lesson> {
        let Self::Learn(learn) = self else { return None };
        let created = first_value(&learn.create, request);
        let is_new = created.is_some();
        let session = created.or_else(|| session.map(<[u8]>::to_vec))?;
        Some(Lesson {
            sessions: Arc::clone(&learn.sessions),
            session,
            is_new,
            timeout: learn.timeout,
            is_due: learn.after_head,
        })
    }
}

fn first_value(templates: &[Template], request: &Request) -> Option<Vec<u8>> {
    templates.iter().map(|template| template.value(request)).find(|value| !value.is_empty())
}

/// A session and the server that it is to be bound to.
#[derive(Debug)]
pub struct Lesson {
    sessions: Arc<Sessions>,
    session: Vec<u8>,
    /// Whether a session that is not known is remembered from now on.
    is_new: bool,
    timeout: Duration,
    /// Whether this is known with the answer's head, and need not wait for its end.
    pub is_due: bool,
}

impl Lesson {
    /// Binds the session.
    pub fn learn(&self, server: &ServerState) {
        self.sessions.bind(&self.session, server.id(), self.is_new, self.timeout);
    }
}

/// Sessions and the servers they are bound to, shared by all threads; a reload leaves them alone.
#[derive(Debug)]
pub struct Sessions {
    /// The group whose servers these are.
    pub upstream: String,
    most: usize,
    by_name: Mutex<Recency<[u8; 16], Session>>,
}

#[derive(Debug)]
struct Session {
    server: Box<[u8]>,
    /// When it was last seen, in milliseconds of the monotonic clock.
    seen_ms: u64,
}

/// What one session takes of a zone's size; 1 MB holds about 8,000, as in nginx.
const SESSION_BYTES: u64 = 128;

impl Sessions {
    /// As many sessions as `octets` can hold.
    #[must_use]
    pub fn new(upstream: &str, octets: u64) -> Self {
        let most = usize::try_from(octets / SESSION_BYTES).unwrap_or(usize::MAX).max(1);
        Self { upstream: upstream.to_owned(), most, by_name: Mutex::default() }
    }

    fn find(&self, session: &[u8], timeout: Duration) -> Option<Vec<u8>> {
        self.living(timeout).get(&key(session)).map(|session| session.server.to_vec())
    }

    /// The sessions, less those that were last seen `timeout` ago.
    fn living(&self, timeout: Duration) -> MutexGuard<'_, Recency<[u8; 16], Session>> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::monotonic_ms();
        let is_over = |session: &Session| u128::from(now.saturating_sub(session.seen_ms)) >= timeout.as_millis();
        while by_name.oldest().is_some_and(|(_, session)| is_over(session)) {
            by_name.remove_oldest();
        }
        by_name
    }

    fn bind(&self, session: &[u8], server: &[u8], is_new: bool, timeout: Duration) {
        let (key, seen_ms) = (key(session), clock::monotonic_ms());
        let mut by_name = self.living(timeout);
        match by_name.ask(&key) {
            Some(known) => {
                known.seen_ms = seen_ms;
                if *known.server != *server {
                    known.server = server.into();
                }
            }
            None if is_new => {
                if by_name.len() >= self.most {
                    by_name.remove_oldest();
                }
                by_name.insert(key, Session { server: server.into(), seen_ms });
            }
            None => {}
        }
    }
}

/// Names of sessions are as long as clients like; what is kept of them is not.
fn key(session: &[u8]) -> [u8; 16] {
    Md5::digest(session).into()
}

impl Cookie {
    fn value(&self, request: &Request, server: &ServerState) -> Vec<u8> {
        let mut value = format!("{}=", self.name).into_bytes();
        value.extend_from_slice(server.id());
        match self.expires {
            None => {}
            Some(Expires::Max) => {
                value.extend_from_slice(b"; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000");
            }
            Some(Expires::After(time)) => {
                let at = clock::unix_seconds().saturating_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
                value.extend_from_slice(expires(at, time.as_secs()).as_bytes());
            }
        }
        let domain = self.domain.as_ref().map(|domain| domain.value(request)).unwrap_or_default();
        append(&mut value, b"; domain=", &domain);
        if self.is_http_only {
            value.extend_from_slice(b"; httponly");
        }
        if self.is_secure {
            value.extend_from_slice(b"; secure");
        }
        append(&mut value, b"; samesite=", &self.same_site(request));
        append(&mut value, b"; path=", self.path.as_deref().unwrap_or_default().as_bytes());
        value
    }

    /// A value that is none is the strictest.
    fn same_site(&self, request: &Request) -> Vec<u8> {
        let Some(template) = &self.same_site else { return Vec::new() };
        let value = template.value(request);
        if value.is_empty() || is_same_site(&value) { value } else { b"strict".to_vec() }
    }
}

/// Whether `value` is one of those that `SameSite` has.
#[must_use]
pub fn is_same_site(value: &[u8]) -> bool {
    [&b"strict"[..], b"lax", b"none"].iter().any(|known| known.eq_ignore_ascii_case(value))
}

fn append(value: &mut Vec<u8>, name: &[u8], text: &[u8]) {
    if !text.is_empty() {
        value.extend_from_slice(name);
        value.extend_from_slice(text);
    }
}

/// `; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=60`: hyphens in the date, two digits of the year up to 2037.
fn expires(unix_seconds: i64, seconds: u64) -> String {
    let date = date::format_http_date(unix_seconds);
    let text = String::from_utf8_lossy(&date);
    let parts: Vec<&str> = text.split(' ').collect();
    let mut written = String::new();
    if let [weekday, day, month, year, time, zone] = parts.as_slice() {
        let year = if *year <= "2037" { year.get(2..).unwrap_or(year) } else { year };
        // Writing to a text cannot fail.
        let _ = write!(written, "; expires={weekday} {day}-{month}-{year} {time} {zone}; max-age={seconds}");
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_cookies() {
        assert_eq!(expires(784_111_777, 60), "; expires=Sun, 06-Nov-94 08:49:37 GMT; max-age=60");
        assert_eq!(expires(2_177_452_800, 1), "; expires=Sat, 01-Jan-2039 00:00:00 GMT; max-age=1");
    }

    #[test]
    fn sessions_are_forgotten_when_there_are_too_many_or_they_are_too_old() {
        let sessions = Sessions::new("group", 2 * SESSION_BYTES);
        let hour = Duration::from_secs(3_600);
        for name in [b"a", b"b"] {
            sessions.bind(name, b"1", true, hour);
        }
        sessions.bind(b"a", b"2", false, hour);
        sessions.bind(b"c", b"1", true, hour);
        sessions.bind(b"d", b"1", false, hour);
        let found = |name: &[u8], timeout| sessions.find(name, timeout);
        assert_eq!(found(b"a", hour).as_deref(), Some(&b"2"[..]));
        assert_eq!([found(b"b", hour), found(b"d", hour)], [None, None]);
        assert!(found(b"c", hour).is_some());
        assert_eq!(found(b"c", Duration::ZERO), None);
        assert_eq!(found(b"c", hour), None);
    }
}
