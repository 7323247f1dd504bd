//! What a request knows of the cache: `$upstream_cache_status` and its neighbours.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use daemun_http::date::format_http_date;
use daemun_server::module::nothing_to_finish;
use daemun_server::variable::Variable;
use daemun_server::{Module, Request};

use crate::search::{Attempt, Found};

/// The variables. Named once, in the program's list of modules; it has no directives.
pub static MODULE: Module<()> = Module {
    name: "http_cache",
    directives: &[],
    merge: |_, _| {},
    finish: nothing_to_finish,
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: &[
        Variable {
            name: "upstream_cache_status",
            evaluate: |request, _, out| {
                let status = request.extensions.get::<CacheState>().and_then(|state| state.status.get());
                status.map(|status| out.extend_from_slice(status.name().as_bytes())).is_some()
            },
        },
        Variable {
            name: "upstream_cache_key",
            evaluate: |request, _, out| {
                let state = request.extensions.get::<CacheState>();
                state.map(|state| out.extend_from_slice(&state.key.borrow())).is_some()
            },
        },
        Variable {
            name: "upstream_cache_last_modified",
            evaluate: |request, _, out| {
                let time =
                    request.extensions.get::<CacheState>().and_then(|state| state.validators.borrow().last_modified);
                time.map(|time| out.extend_from_slice(&format_http_date(time))).is_some()
            },
        },
        Variable {
            name: "upstream_cache_etag",
            evaluate: |request, _, out| {
                let Some(state) = request.extensions.get::<CacheState>() else { return false };
                let validators = state.validators.borrow();
                out.extend_from_slice(&validators.etag);
                !validators.etag.is_empty()
            },
        },
    ],
};

/// What became of a request in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// There was no answer.
    Miss,
    /// The cache was not asked.
    Bypass,
    /// There was a stale answer.
    Expired,
    /// A stale answer was given.
    Stale,
    /// A stale answer was given while another request gets it anew.
    Updating,
    /// A stale answer still holds, as the server says.
    Revalidated,
    /// The answer was given.
    Hit,
}

impl Status {
    /// nginx's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Miss => "MISS",
            Self::Bypass => "BYPASS",
            Self::Expired => "EXPIRED",
            Self::Stale => "STALE",
            Self::Updating => "UPDATING",
            Self::Revalidated => "REVALIDATED",
            Self::Hit => "HIT",
        }
    }
}

/// What a request knows of the cache.
#[derive(Default)]
pub struct CacheState {
    /// What became of it.
    pub status: Cell<Option<Status>>,
    /// The key's text.
    pub key: RefCell<Rc<Vec<u8>>>,
    /// What the server is asked to compare a stale answer by.
    pub validators: RefCell<Validators>,
    /// A search that has not ended with an answer.
    pub pending: RefCell<Option<(Attempt, Found)>>,
}

/// What the server is asked to compare a stale answer by.
#[derive(Clone, Debug, Default)]
pub struct Validators {
    /// `Last-Modified` in Unix seconds.
    pub last_modified: Option<i64>,
    /// `ETag`, empty where there is none.
    pub etag: Vec<u8>,
}

impl CacheState {
    /// The request's, made where it has none.
    pub fn of(request: &mut Request) -> Rc<Self> {
        match request.extensions.share::<Self>() {
            Some(state) => state,
            None => {
                let state = Rc::<Self>::default();
                request.extensions.insert(Rc::clone(&state));
                state
            }
        }
    }
}
