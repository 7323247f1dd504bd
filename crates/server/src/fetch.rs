//! What whoever holds a content handler wants of it, and what it hears of the answer: the seam between a cache and those whose
//! answers it keeps. Neither knows the other.
//!
//! ```text
//!   holder  -- Fetch: fields, method, statuses that nobody will get -->  handler
//!   holder  <-- Report: the head as it came, or why there is none  ---   handler
//! ```

use std::cell::{Cell, RefCell};

use daemun_http::{Headers, Method, ResponseHead, StatusCode};

use crate::condition::Condition;

/// One answer that is wanted of a content handler.
#[derive(Debug)]
pub struct Fetch {
    headers: Headers,
    method: Option<Method>,
    replaced: Vec<StatusCode>,
    ignored: Cell<IgnoredHeaders>,
    is_passing: Cell<bool>,
    report: RefCell<Report>,
}

/// What became of it.
#[derive(Debug, Default)]
pub enum Report {
    /// The handler says nothing: its outcome is all there is.
    #[default]
    Nothing,
    /// There is no answer.
    Failed(Condition),
    /// The head of the answer, before anything was made of it.
    Answered(Box<ResponseHead>),
}

/// Fields of an answer that have no effect: `..._ignore_headers`.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct IgnoredHeaders {
    /// `X-Accel-Redirect`
    pub redirect: bool,
    /// `X-Accel-Limit-Rate`
    pub limit_rate: bool,
    /// `X-Accel-Buffering`
    pub buffering: bool,
    /// `X-Accel-Charset`
    pub charset: bool,
    /// `X-Accel-Expires`
    pub accel_expires: bool,
    /// `Expires`
    pub expires: bool,
    /// `Cache-Control`
    pub cache_control: bool,
    /// `Set-Cookie`
    pub set_cookie: bool,
    /// `Vary`
    pub vary: bool,
}

impl Fetch {
    /// `headers` are passed on in place of the client's, and `method` in place of its method. An answer with one of the statuses
    /// `replaced` is for nobody: the holder has another one.
    #[must_use]
    pub fn new(headers: Headers, method: Option<Method>, replaced: Vec<StatusCode>) -> Self {
        Self {
            headers,
            method,
            replaced,
            ignored: Cell::default(),
            is_passing: Cell::default(),
            report: RefCell::default(),
        }
    }

    /// The fields that are passed on.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The method that is passed on, where it is not the client's.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// Whether an answer with this status is for nobody.
    #[must_use]
    pub fn replaces(&self, status: StatusCode) -> bool {
        self.replaced.contains(&status)
    }

    /// Tells which fields of the answer have no effect.
    pub fn ignore(&self, ignored: IgnoredHeaders) {
        self.ignored.set(ignored);
    }

    /// Fields of the answer that have no effect.
    #[must_use]
    pub fn ignored(&self) -> IgnoredHeaders {
        self.ignored.get()
    }

    /// Tells that the answer goes straight to the client, at its pace: it is not to be kept.
    pub fn pass_through(&self) {
        self.is_passing.set(true);
    }

    /// Whether the answer is not to be kept.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.is_passing.get()
    }

    /// Tells the head of the answer.
    pub fn answered(&self, head: &ResponseHead) {
        self.report.replace(Report::Answered(Box::new(head.clone())));
    }

    /// Tells that there is no answer.
    pub fn failed(&self, condition: Condition) {
        self.report.replace(Report::Failed(condition));
    }

    /// What was told last.
    #[must_use]
    pub fn take_report(&self) -> Report {
        self.report.take()
    }
}
