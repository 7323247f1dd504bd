//! What is known of a request's way through its upstreams: the `$upstream_...` variables.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use daemun_http::{HeaderId, Headers, ResponseHead};
use daemun_server::variable::Variable;
use daemun_server::{Request, clock};

/// All servers that one request was passed to, in order, and the last one's fields.
#[derive(Default)]
pub struct UpstreamStates {
    states: RefCell<Vec<UpstreamState>>,
    head: RefCell<AnsweredHead>,
    trailers: RefCell<Headers>,
}

/// The head of an answer: a server's, or one that was kept.
enum AnsweredHead {
    Own(Headers),
    Kept(Rc<ResponseHead>),
}

impl Default for AnsweredHead {
    fn default() -> Self {
        Self::Own(Headers::default())
    }
}

impl AnsweredHead {
    fn headers(&self) -> &Headers {
        match self {
            Self::Own(headers) => headers,
            Self::Kept(head) => &head.headers,
        }
    }
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
                let states = Rc::new(Self::default());
                request.extensions.insert(Rc::clone(&states));
                states
            }
        }
    }

    /// A server is chosen; `begins_group` for the first one of an exchange.
    pub fn push(&self, address: Arc<str>, begins_group: bool) {
        let mut states = self.states.borrow_mut();
        let begins_group = begins_group && !states.is_empty();
        let started_ms = clock::monotonic_ms();
        states.push(UpstreamState { address: Some(address), started_ms, begins_group, ..UpstreamState::default() });
        self.head.take();
        self.trailers.borrow_mut().clear();
    }

    /// Changes the state of the server that was chosen last; tells the time since.
    pub fn change(&self, change: impl FnOnce(&mut UpstreamState, u64)) {
        if let Some(state) = self.states.borrow_mut().last_mut() {
            let elapsed = clock::monotonic_ms().saturating_sub(state.started_ms);
            change(state, elapsed);
        }
    }

    /// Keeps the fields of an answer.
    pub fn set_head(&self, headers: &Headers) {
        self.head.replace(AnsweredHead::Own(headers.clone()));
    }

    /// Keeps the head of an answer that a cache keeps.
    pub fn share_head(&self, head: &Rc<ResponseHead>) {
        self.head.replace(AnsweredHead::Kept(Rc::clone(head)));
    }

    /// Keeps the fields behind an answer's body.
    pub fn set_trailers(&self, headers: &Headers) {
        self.trailers.borrow_mut().clone_from(headers);
    }

    /// The fields behind the last answer's body.
    pub fn trailers(&self) -> Ref<'_, Headers> {
        self.trailers.borrow()
    }

    /// Each server's value, with the commas and colons between them.
    fn list(&self, out: &mut Vec<u8>, mut write: impl FnMut(&UpstreamState, &mut Vec<u8>)) -> bool {
        let states = self.states.borrow();
        for (index, state) in states.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(if state.begins_group { b" : " } else { b", " });
            }
            write(state, out);
        }
        !states.is_empty()
    }
}

/// The variables of every upstream.
pub static VARIABLES: &[Variable] = &[
    Variable {
        name: "upstream_addr",
        evaluate: |request, _, out| {
            list(request, out, |state, out| {
                out.extend_from_slice(state.address.as_deref().unwrap_or("-").as_bytes());
            })
        },
    },
    Variable {
        name: "upstream_status",
        evaluate: |request, _, out| {
            list(request, out, |state, out| match state.status {
                0 => out.push(b'-'),
                status => out.extend_from_slice(status.to_string().as_bytes()),
            })
        },
    },
    Variable {
        name: "upstream_connect_time",
        evaluate: |request, _, out| list(request, out, |state, out| seconds(state.connect_ms, out)),
    },
    Variable {
        name: "upstream_header_time",
        evaluate: |request, _, out| list(request, out, |state, out| seconds(state.header_ms, out)),
    },
    Variable {
        name: "upstream_response_time",
        evaluate: |request, _, out| list(request, out, |state, out| seconds(state.response_ms, out)),
    },
    Variable {
        name: "upstream_response_length",
        evaluate: |request, _, out| list(request, out, |state, out| number(state.response_length, out)),
    },
    Variable {
        name: "upstream_bytes_received",
        evaluate: |request, _, out| list(request, out, |state, out| number(state.received, out)),
    },
    Variable {
        name: "upstream_bytes_sent",
        evaluate: |request, _, out| list(request, out, |state, out| number(state.sent, out)),
    },
    Variable {
        name: "upstream_http_",
        evaluate: |request, name, out| {
            states(request).is_some_and(|states| field(states.head.borrow().headers(), name, out))
        },
    },
    Variable {
        name: "upstream_trailer_",
        evaluate: |request, name, out| {
            states(request).is_some_and(|states| field(&states.trailers.borrow(), name, out))
        },
    },
    Variable {
        name: "upstream_cookie_",
        evaluate: |request, name, out| {
            states(request).is_some_and(|states| cookie(states.head.borrow().headers(), name.as_bytes(), out))
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
