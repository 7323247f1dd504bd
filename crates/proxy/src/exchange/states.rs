//! What is known of a request's way through its upstreams: the `$upstream_...` variables.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use daemun_http::{HeaderId, Headers, ResponseHead};
use daemun_server::variable::Variable;
use daemun_server::{Request, clock};

/// All servers that one request was passed to, in order, and the last one's fields.
#[derive(Default)]
pub struct UpstreamStates(RefCell<Noted>);

#[derive(Default)]
struct Noted {
    states: Vec<UpstreamState>,
    /// The fields of a server's answer, unless `kept` has them.
    head: Headers,
    /// The head of an answer that a cache keeps.
    kept: Option<Rc<ResponseHead>>,
    trailers: Headers,
}

impl Noted {
    fn headers(&self) -> &Headers {
        self.kept.as_ref().map_or(&self.head, |kept| &kept.headers)
    }

    /// Forgets everything but its memory.
    fn clear(&mut self) {
        self.states.clear();
        self.head.clear();
        self.kept = None;
        self.trailers.clear();
    }
}

thread_local! {
    /// The memory of an earlier request's.
    static SPARE: Cell<Option<Noted>> = const { Cell::new(None) };
}

/// One server's part in a request. Times are milliseconds since it was chosen.
#[derive(Clone, Debug, Default)]
pub struct UpstreamState {
    /// Its address.
    pub address: Option<Arc<str>>,
    /// The status of its answer, or the one that stands for its failure; 0 before either.
    pub status: u16,
    /// When it was chosen, in milliseconds of the monotonic clock.
    pub started_ms: u64,
    /// Until the connection was made.
    pub connect_ms: Option<u64>,
    /// Until the head was read.
    pub header_ms: Option<u64>,
    /// Until the answer's end.
    pub response_ms: Option<u64>,
    /// Octets of the body.
    pub response_length: u64,
    /// Octets that came from it.
    pub received: u64,
    /// Octets that went to it.
    pub sent: u64,
    /// Whether it is the first after an internal redirect.
    pub begins_group: bool,
}

impl UpstreamStates {
    /// The request's, made where it has none. From here on a new group of servers is asked.
    pub fn of(request: &mut Request) -> Rc<Self> {
        match request.extensions.share::<Self>() {
            Some(states) => states,
            None => {
                let states = Rc::new(Self(RefCell::new(SPARE.take().unwrap_or_default())));
                request.extensions.insert(Rc::clone(&states));
                states
            }
        }
    }

    /// A server is chosen; `begins_group` for the first one of an exchange.
    pub fn push(&self, address: Arc<str>, begins_group: bool) {
        let Noted { states, head, kept, trailers } = &mut *self.0.borrow_mut();
        let begins_group = begins_group && !states.is_empty();
        let started_ms = clock::monotonic_ms();
        states.reserve_exact(1); // Most requests ask one server.
        states.push(UpstreamState { address: Some(address), started_ms, begins_group, ..UpstreamState::default() });
        head.clear();
        *kept = None;
        trailers.clear();
    }

    /// Changes the state of the server that was chosen last; tells the time since.
    pub fn change(&self, change: impl FnOnce(&mut UpstreamState, u64)) {
        if let Some(state) = self.0.borrow_mut().states.last_mut() {
            let elapsed = clock::monotonic_ms().saturating_sub(state.started_ms);
            change(state, elapsed);
        }
    }

    /// Keeps the fields of an answer.
    pub fn set_head(&self, headers: &Headers) {
        let mut noted = self.0.borrow_mut();
        noted.kept = None;
        noted.head.clone_from(headers);
    }

    /// Keeps the head of an answer that a cache keeps.
    pub fn share_head(&self, head: &Rc<ResponseHead>) {
        self.0.borrow_mut().kept = Some(Rc::clone(head));
    }

    /// Keeps the fields behind an answer's body.
    pub fn set_trailers(&self, headers: &Headers) {
        self.0.borrow_mut().trailers.clone_from(headers);
    }

    /// The fields behind the last answer's body.
    pub fn trailers(&self) -> Ref<'_, Headers> {
        Ref::map(self.0.borrow(), |noted| &noted.trailers)
    }

    /// Each server's value, with the commas and colons between them.
    fn list(&self, out: &mut Vec<u8>, mut write: impl FnMut(&UpstreamState, &mut Vec<u8>)) -> bool {
        let states = &self.0.borrow().states;
        for (index, state) in states.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(if state.begins_group { b" : " } else { b", " });
            }
            write(state, out);
        }
        !states.is_empty()
    }
}

impl Drop for UpstreamStates {
    fn drop(&mut self) {
        let mut noted = std::mem::take(self.0.get_mut());
        noted.clear();
        // At the thread's end there is nobody left to have it.
        let _ = SPARE.try_with(|spare| spare.set(Some(noted)));
    }
}

/// A variable that tells something of each server that was asked.
macro_rules! of_each_server {
    ($name:literal, $write:expr) => {
        Variable { name: $name, evaluate: |request, _, out| list(request, out, $write) }
    };
}

/// The variables of every upstream.
pub static VARIABLES: &[Variable] = &[
    of_each_server!("upstream_addr", |state, out| {
        out.extend_from_slice(state.address.as_deref().unwrap_or("-").as_bytes());
    }),
    of_each_server!("upstream_status", |state, out| match state.status {
        0 => out.push(b'-'),
        status => out.extend_from_slice(status.to_string().as_bytes()),
    }),
    of_each_server!("upstream_connect_time", |state, out| seconds(state.connect_ms, out)),
    of_each_server!("upstream_header_time", |state, out| seconds(state.header_ms, out)),
    of_each_server!("upstream_response_time", |state, out| seconds(state.response_ms, out)),
    of_each_server!("upstream_response_length", |state, out| number(state.response_length, out)),
    of_each_server!("upstream_bytes_received", |state, out| number(state.received, out)),
    of_each_server!("upstream_bytes_sent", |state, out| number(state.sent, out)),
    Variable {
        name: "upstream_http_",
        evaluate: |request, name, out| {
            states(request).is_some_and(|states| field(states.0.borrow().headers(), name, out))
        },
    },
    Variable {
        name: "upstream_trailer_",
        evaluate: |request, name, out| states(request).is_some_and(|states| field(&states.trailers(), name, out)),
    },
    Variable {
        name: "upstream_cookie_",
        evaluate: |request, name, out| {
            states(request).is_some_and(|states| cookie(states.0.borrow().headers(), name.as_bytes(), out))
        },
    },
];

fn states(request: &Request) -> Option<&UpstreamStates> {
    request.extensions.get()
}

fn list(request: &Request, out: &mut Vec<u8>, write: impl FnMut(&UpstreamState, &mut Vec<u8>)) -> bool {
    states(request).is_some_and(|states| states.list(out, write))
}

fn seconds(milliseconds: Option<u64>, out: &mut Vec<u8>) {
    match milliseconds {
        Some(time) => out.extend_from_slice(format!("{}.{:03}", time / 1_000, time % 1_000).as_bytes()),
        None => out.push(b'-'),
    }
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// `name` is in lower case with `_` for `-`; repeated fields are joined by a comma.
fn field(headers: &Headers, name: &str, out: &mut Vec<u8>) -> bool {
    daemun_server::variable::header_by_name(headers, name, out)
}

/// The value that `Set-Cookie` gives to a name.
fn cookie(headers: &Headers, name: &[u8], out: &mut Vec<u8>) -> bool {
    let value = headers.all(HeaderId::SetCookie).find_map(|line| {
        let (found, rest) = line.split_at_checked(name.len()).filter(|(_, rest)| !rest.is_empty())?;
        let value = skip_spaces(rest).strip_prefix(b"=").filter(|_| found.eq_ignore_ascii_case(name))?;
        skip_spaces(value).split(|octet| *octet == b';').next()
    });
    value.map(|value| out.extend_from_slice(value)).is_some()
}

/// As nginx: spaces alone, no tabs.
fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|octet| **octet == b' ').count();
    text.get(spaces..).unwrap_or_default()
}
