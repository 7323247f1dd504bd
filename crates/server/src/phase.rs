//! The phases of a request, in order, and what a step may say.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use daemun_http::{ResponseHead, StatusCode};

use crate::request::Request;
use crate::response::Response;

/// The phases, in the order in which they run. `Log` always comes last, however the request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The head has been read; the server is known (`realip`).
    PostRead,
    /// `rewrite` directives of the server.
    ServerRewrite,
    /// The location is chosen; no module runs here.
    FindConfig,
    /// `rewrite` directives of the location.
    Rewrite,
    /// Limits, before access is checked.
    Preaccess,
    /// Who may.
    Access,
    /// Just before the content (`try_files`, `mirror`).
    Precontent,
    /// Who answers.
    Content,
    /// The access log.
    Log,
}

impl Phase {
    /// What nginx calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PostRead => "post-read",
            Self::ServerRewrite => "server-rewrite",
            Self::FindConfig => "find-config",
            Self::Rewrite => "rewrite",
            Self::Preaccess => "preaccess",
            Self::Access => "access",
            Self::Precontent => "precontent",
            Self::Content => "content",
            Self::Log => "log",
        }
    }
}

/// What a step says of the request.
pub enum Outcome {
    /// Nothing to say: the next step runs.
    Continue,
    /// A step of the access phase lets the request in: under `satisfy any` the others are not asked.
    Allow,
    /// The answer.
    Respond(Box<Response>),
    /// The request ends with this status; `error_page` may give it a body.
    Finish(StatusCode),
    /// The next step runs after this time, unless the client goes away first.
    Delay(Duration),
    /// The request starts again with another URI; `uri` is decoded, without arguments.
    Redirect {
        /// The new path.
        uri: Vec<u8>,
        /// The new arguments; `None` keeps the present ones.
        args: Option<Vec<u8>>,
    },
    /// The handler has changed the path: the location is looked for again.
    Relocate,
    /// The request goes to the named location.
    Named(String),
    /// The connection is closed without an answer (`return 444`).
    Close,
}

/// A future that stays on its thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A module's handler of one phase: a plain function from settings and request to an outcome.
pub enum Handler<C: 'static> {
    /// Answers at once.
    Sync(fn(&C, &mut Request) -> Outcome),
    /// Waits for something: a body, a worker, another server.
    Async(for<'a> fn(&'a C, &'a mut Request) -> LocalFuture<'a, Outcome>),
    /// As `Async`; what it answers comes from elsewhere, and a cache may keep it.
    Origin(Origin<C>),
}

/// A handler whose answers may be kept and given again.
pub struct Origin<C: 'static> {
    /// Gets an answer, as the request's [`crate::Fetch`] wants it.
    pub ask: for<'a> fn(&'a C, &'a mut Request) -> LocalFuture<'a, Outcome>,
    /// See [`Step::write_key`].
    pub key: fn(&C, &mut Request, &mut Vec<u8>) -> bool,
    /// See [`Step::accept`].
    pub accept: fn(&C, &Rc<ResponseHead>, &mut Request) -> Outcome,
}

impl<C> Clone for Origin<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for Origin<C> {}

impl<C> Clone for Handler<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for Handler<C> {}

/// A handler bound to the settings of one location.
pub trait Step: Send + Sync {
    /// The module it is of.
    fn name(&self) -> &'static str;

    /// Runs the handler. `None` means that [`Step::start`] must be awaited instead.
    fn run(&self, request: &mut Request) -> Option<Outcome>;

    /// Runs a handler that waits.
    fn start<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Outcome>;

    /// Appends what the answer is known by where the configuration names no key, and lets variables know where the request
    /// would go. False where the handler has no such key.
    fn write_key(&self, _request: &mut Request, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Makes of the head of an answer, as it once came from elsewhere, what the handler would have made of it then. The body is
    /// the caller's business.
    fn accept(&self, head: &Rc<ResponseHead>, _request: &mut Request) -> Outcome {
        Outcome::Respond(Response::of_origin(head.as_ref().clone()))
    }
}

/// The steps of one location or server, phase by phase.
#[derive(Default)]
pub struct Plan {
    steps: Vec<(Phase, Box<dyn Step>)>,
}

impl Plan {
    /// Adds `step` behind the steps of the same phase.
    pub fn push(&mut self, phase: Phase, step: Box<dyn Step>) {
        let at = self.steps.partition_point(|(other, _)| *other <= phase);
        self.steps.insert(at, (phase, step));
    }

    /// Puts what `wrap` makes of a module's step of this phase in its place; nothing happens where the module has none.
    pub fn wrap(&mut self, phase: Phase, module: &str, wrap: impl FnOnce(Box<dyn Step>) -> Box<dyn Step>) {
        let of_module = |(other, step): &(Phase, Box<dyn Step>)| *other == phase && step.name() == module;
        if let Some(at) = self.steps.iter().position(of_module) {
            let (_, step) = self.steps.remove(at);
            self.steps.insert(at, (phase, wrap(step)));
        }
    }

    /// The steps of the phases from `first` to `last`, both included.
    pub fn between(&self, first: Phase, last: Phase) -> &[(Phase, Box<dyn Step>)] {
        let start = self.steps.partition_point(|(phase, _)| *phase < first);
        let end = self.steps.partition_point(|(phase, _)| *phase <= last);
        &self.steps[start..end]
    }
}
