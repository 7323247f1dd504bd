//! The handler that holds a handler: an answer of the cache where there is one, else the held handler's, which is kept.

use std::rc::Rc;
use std::sync::Arc;

use daemun_http::{HeaderId, ResponseHead};
use daemun_server::phase::Step;
use daemun_server::{LocalFuture, Outcome, Request, Response};

use crate::answers::Answer;
use crate::fetching;
use crate::search::{Attempt, Found};
use crate::settings::CacheSettings;
use crate::variables::{CacheState, Status};

/// A handler whose answers are kept.
pub struct Caching(Arc<Held>);

/// Whose answers are kept, and how.
pub struct Held {
    /// What the location says.
    pub settings: Arc<CacheSettings>,
    /// Who answers.
    pub step: Box<dyn Step>,
}

impl Caching {
    /// Holds `step`.
    #[must_use]
    pub fn new(settings: Arc<CacheSettings>, step: Box<dyn Step>) -> Self {
        Self(Arc::new(Held { settings, step }))
    }
}

impl Step for Caching {
    /// A hit waits for nothing.
    fn run(&self, request: &mut Request) -> Option<Outcome> {
        let mut attempt = match Attempt::begin(&self.0, request) {
            Ok(Some(attempt)) => attempt,
            Ok(None) => return self.0.step.run(request),
            Err(outcome) => return Some(outcome),
        };
        if request.is_explained() {
            let key = String::from_utf8_lossy(&attempt.text).into_owned();
            request.note(format_args!(
                "the answer is looked for in the cache \"{}\" by the key \"{key}\"",
                attempt.cache.name
            ));
            return self.0.step.run(request);
        }
        let state = Rc::clone(&attempt.state);
        match attempt.look(request) {
            Found::Fresh(answer) => Some(attempt.give(&answer, Status::Hit, request)),
            found => {
                state.pending.replace(Some((attempt, found)));
                None
            }
        }
    }

    fn start<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
        let pending = request.extensions.get::<CacheState>().and_then(|state| state.pending.take());
        match pending {
            Some((attempt, found)) => Box::pin(fetching::proceed(attempt, found, request)),
            None => self.0.step.start(request),
        }
    }

    fn name(&self) -> &'static str {
        self.0.step.name()
    }

    fn write_key(&self, request: &mut Request, out: &mut Vec<u8>) -> bool {
        self.0.step.write_key(request, out)
    }

    fn accept(&self, head: &Rc<ResponseHead>, request: &mut Request) -> Outcome {
        self.0.step.accept(head, request)
    }
}

impl Attempt {
    /// Answers with what is kept.
    pub fn give(&self, answer: &Answer, status: Status, request: &mut Request) -> Outcome {
        self.state.status.set(Some(status));
        match self.held.step.accept(&answer.front.head, request) {
            Outcome::Respond(mut response) => {
                response.body = answer.body();
                judge_here(&mut response, answer.front.last_modified);
                Outcome::Respond(response)
            }
            outcome => outcome,
        }
    }
}

/// The conditions and ranges of the request were not passed on: they are judged here.
pub fn judge_here(response: &mut Response, last_modified: Option<i64>) {
    response.is_stored = true;
    response.last_modified = last_modified;
    let headers = &mut response.head.headers;
    if headers.has(HeaderId::AcceptRanges) {
        headers.remove_known(HeaderId::AcceptRanges);
        response.allows_ranges = true;
    }
}
