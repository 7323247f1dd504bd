//! Requests made from a request: who may, what a page consists of, what is to be told elsewhere.
//!
//! A subrequest is a [`Request`] of its own, with its parent's fields, client and variables, that begins at the server's
//! rewrites and whose access nobody checks, since that was done for its parent. Its answer is looked at
//! ([`Subrequest::answer`]), becomes a part of its parent's body ([`Subrequest::into_body`]), or is for nobody
//! ([`Subrequest::run_beside`]).

mod assembly;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use daemun_http::Method;
use tokio::task::JoinHandle;

use crate::engine::{self, End};
use crate::limits::{SUBREQUEST_DEPTH_MAX, SUBREQUESTS_MAX};
use crate::log::Level;
use crate::phase::{LocalFuture, Outcome};
use crate::request::Request;
use crate::response::{Body, BodyError, BodyPieces, BodyStream, Piece, Response};
use crate::thread;

pub use assembly::{Assembly, Part};

/// What a client's request has in common with all that were made from it.
#[derive(Default)]
pub struct Family {
    /// The method of the client's request, for `$request_method`, once others were made from it.
    method: RefCell<Option<Method>>,
    /// Subrequests made so far.
    made: Cell<u32>,
    /// What modules keep for the whole family.
    kept: RefCell<Vec<Rc<dyn Any>>>,
}

impl Family {
    /// The first value of a type that a module keeps.
    pub(crate) fn kept<T: 'static>(&self) -> Option<Rc<T>> {
        self.kept.borrow().iter().find_map(|kept| Rc::clone(kept).downcast::<T>().ok())
    }

    pub(crate) fn keep<T: 'static>(&self, value: Rc<T>) {
        self.kept.borrow_mut().push(value);
    }

    /// What a module keeps, made when it is first asked for.
    pub fn kept_or_default<T: Default + 'static>(&self) -> Rc<T> {
        self.kept().unwrap_or_else(|| {
            let made = Rc::<T>::default();
            self.keep(Rc::clone(&made));
            made
        })
    }

    /// Drops what modules keep.
    pub(crate) fn release(&self) {
        let kept = self.kept.take();
        drop(kept); // Whoever is dropped may ask.
    }

    pub(crate) fn clear(&mut self) {
        *self.method.get_mut() = None;
        self.made.set(0);
        self.kept.get_mut().clear();
    }

    pub(crate) fn method(&self) -> Option<Method> {
        self.method.borrow().clone()
    }

    pub(crate) fn set_method(&self, method: Method) {
        self.method.replace(Some(method));
    }
}

/// What is sent in place of a subrequest's answer when that has no body, an error among them.
pub struct StandIn {
    /// Its `Content-Type`.
    pub content_type: Option<Vec<u8>>,
    /// Its octets.
    pub octets: Bytes,
}

/// Why there is no subrequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubrequestError {
    /// Too deep: pages include one another without end.
    #[error("subrequests cycle")]
    Cycle,
    /// Too many of one client's request.
    #[error("request reference counter overflow")]
    TooMany,
}

/// A subrequest that has not begun.
pub struct Subrequest {
    child: Child,
}

impl Subrequest {
    /// A GET of `uri`, which is decoded, with `args`, made from `parent`. It has the parent's body where that has been read.
    ///
    /// # Errors
    /// [`SubrequestError`], which is in the log.
    pub fn new(parent: &Request, uri: &[u8], args: &[u8]) -> Result<Self, SubrequestError> {
        let shown = String::from_utf8_lossy(uri);
        if parent.level >= SUBREQUEST_DEPTH_MAX {
            parent.log(Level::Error, format_args!("subrequests cycle while processing \"{shown}\""));
            return Err(SubrequestError::Cycle);
        }
        let family = parent.family();
        if family.made.get() >= SUBREQUESTS_MAX {
            let message = format_args!("request reference counter overflow while processing \"{shown}\"");
            parent.log(Level::Crit, message);
            return Err(SubrequestError::TooMany);
        }
        family.made.set(family.made.get() + 1);
        let mut request = parent.related();
        request.level = parent.level + 1;
        request.head.method = Method::Get;
        request.uri.extend_from_slice(uri);
        request.args.extend_from_slice(args);
        request.is_internal = true;
        request.is_target_intact = false;
        request.location = request.server().settings;
        Ok(Self { child: Child(Some(request)) })
    }

    /// The same with another method.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.child.get().head.method = method;
        self
    }

    /// The same without a body.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self.child.get().body = crate::body::RequestBody::default();
        self
    }

    /// The same with something to send in place of an answer without a body.
    #[must_use]
    pub fn with_stand_in(mut self, stand_in: StandIn) -> Self {
        self.child.get().stand_in = Some(stand_in);
        self
    }

    /// Runs the subrequest until its answer's head is there.
    ///
    /// # Errors
    /// [`BodyError::Subrequest`] where it ends without an answer: so does its parent then.
    pub async fn answer(mut self) -> Result<Answer, BodyError> {
        // A page of many parts that are all at hand would leave no turn to others.
        tokio::task::coop::consume_budget().await;
        let request = self.child.get();
        let end = engine::handle(request).await;
        let uri = || String::from_utf8_lossy(&request.uri).into_owned();
        let End::Answer(response) = end else { return Err(BodyError::Subrequest(uri())) };
        let Response { head, body, .. } = *response;
        if matches!(body, Body::Tunnel(_)) {
            request.log(Level::Error, format_args!("connection upgrade in subrequest"));
            return Err(BodyError::Subrequest(uri()));
        }
        request.sent.status = head.status.as_u16();
        request.sent.headers = head.headers;
        Ok(Answer { child: self.child, body: BodyPieces::from(body), octets: 0 })
    }

    /// The answer's body, as a part of the parent's. The subrequest begins when it is first polled.
    #[must_use]
    pub fn into_body(self) -> SubrequestBody {
        SubrequestBody { state: State::Waiting(Box::pin(self.answer())) }
    }

    /// Runs the subrequest beside `parent`, which does not wait for it. What it answers is dropped. The connection waits
    /// for it before the client's next request.
    pub fn run_beside(mut self, parent: &mut Request) {
        self.child.get().is_beside = true;
        parent.beside.0.push(tokio::task::spawn_local(async move {
            if let Ok(mut answer) = self.answer().await {
                answer.drain(u64::MAX).await;
            }
        }));
    }
}

/// A request that goes to its parent's content handler once more, with the same place, fields and variables, and past all
/// that comes before it.
pub struct Twin(Child);

impl Twin {
    /// A twin of `parent`, without its body.
    #[must_use]
    pub fn of(parent: &Request) -> Self {
        let mut request = parent.related();
        request.level = parent.level + 1;
        request.is_beside = true;
        request.uri.extend_from_slice(&parent.uri);
        request.args.extend_from_slice(&parent.args);
        request.location = parent.location;
        request.is_internal = parent.is_internal;
        request.is_target_intact = parent.is_target_intact;
        request.is_location_intact = parent.is_location_intact;
        request.has_uri_behind_alias = parent.has_uri_behind_alias;
        request.is_authenticated = parent.is_authenticated;
        request.is_twin = true;
        request.values.copy_captures(&parent.values);
        request.extensions = parent.extensions.of_twin();
        request.body = crate::body::RequestBody::default();
        Self(Child(Some(request)))
    }

    /// Has the content handler answer.
    pub async fn content(&mut self) -> Outcome {
        engine::content(self.0.get()).await
    }

    /// The request.
    pub fn request(&mut self) -> &mut Request {
        self.0.get()
    }

    /// Runs `work` beside `parent`, whose connection waits for it before the next request; it goes on where the client does not
    /// wait.
    pub fn run_beside(parent: &mut Request, work: impl Future<Output = ()> + 'static) {
        let work = tokio::task::spawn_local(work);
        parent.beside.0.push(tokio::task::spawn_local(async move {
            let _ = work.await; // One that panicked is at its end as well.
        }));
    }
}

/// Subrequests that run beside their parent. Dropped, they end.
#[derive(Default)]
pub struct Beside(Vec<JoinHandle<()>>);

impl Beside {
    /// Waits until all are done.
    pub(crate) async fn finish(&mut self) {
        while let Some(last) = self.0.last_mut() {
            let _ = last.await; // One that panicked is at its end as well.
            self.0.pop();
        }
    }

    /// Ends those that still run.
    pub(crate) fn abort(&mut self) {
        for task in self.0.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.abort();
    }
}

/// A subrequest's object: logged where `log_subrequest` says so, and given back, when it is dropped.
struct Child(Option<Box<Request>>);

impl Child {
    fn get(&mut self) -> &mut Request {
        self.0.as_deref_mut().expect("a child is there until it is dropped")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(mut request) = self.0.take() else { return };
        if request.sent.status != 0 && request.core().log_subrequest() {
            engine::log(&mut request);
        }
        request.leave_family();
        thread::give_spare_request(request);
    }
}

/// A subrequest's answer.
pub struct Answer {
    child: Child,
    body: BodyPieces,
    octets: u64,
}

impl Answer {
    /// The subrequest; `sent` has the status and fields of its answer.
    #[must_use]
    pub fn request(&self) -> &Request {
        self.child.0.as_deref().expect("a child is there until it is dropped")
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let next = self.body.poll_next(context);
        while let Some(message) = self.body.take_message() {
            self.request().log_upstream(message.level, format_args!("{message}"), &message.upstream);
        }
        let next = ready!(next);
        if let Some(Ok(piece)) = &next {
            self.octets += piece.length();
            let sent = &mut self.child.get().sent;
            sent.body_bytes = self.octets;
            sent.bytes = self.octets;
        }
        Poll::Ready(next)
    }

    /// Reads the body and drops it, up to `most` octets, so that whoever sends it need not be cut off.
    pub async fn drain(&mut self, most: u64) {
        while self.octets < most {
            if !matches!(poll_fn(|context| self.poll_next(context)).await, Some(Ok(_))) {
                return;
            }
        }
    }

    /// Reads the body into memory, as far as `subrequest_output_buffer_size` of its location allows.
    ///
    /// # Errors
    /// [`BodyError::Subrequest`] where it is larger, which is in the log; or the body's own error.
    pub async fn collect(&mut self) -> Result<Vec<u8>, BodyError> {
        let most = self.request().core().subrequest_output_buffer_size();
        let mut octets = Vec::new();
        while let Some(piece) = poll_fn(|context| self.poll_next(context)).await {
            let piece = piece?;
            if octets.len() as u64 + piece.length() > most {
                let length = piece.length();
                let request = self.request();
                request.log(Level::Error, format_args!("too big subrequest response: {length}"));
                return Err(BodyError::Subrequest(String::from_utf8_lossy(&request.uri).into_owned()));
            }
            piece.append_to(&mut octets)?;
        }
        Ok(octets)
    }
}

/// The body of a subrequest's answer as it comes.
pub struct SubrequestBody {
    state: State,
}

enum State {
    /// For the head.
    Waiting(LocalFuture<'static, Result<Answer, BodyError>>),
    Sending(Answer),
    Failed(BodyError),
    Done,
}

impl SubrequestBody {
    /// Ready once the answer's head is there, or will never be.
    pub fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let State::Waiting(answer) = &mut self.state {
            self.state = match ready!(answer.as_mut().poll(context)) {
                Ok(answer) => State::Sending(answer),
                Err(error) => State::Failed(error),
            };
        }
        Poll::Ready(())
    }
}

impl BodyStream for SubrequestBody {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        ready!(self.poll_head(context));
        match std::mem::replace(&mut self.state, State::Done) {
            State::Sending(mut answer) => {
                let next = answer.poll_next(context);
                if !matches!(next, Poll::Ready(None | Some(Err(_)))) {
                    self.state = State::Sending(answer);
                }
                next
            }
            State::Failed(error) => Poll::Ready(Some(Err(error))),
            State::Waiting(_) | State::Done => Poll::Ready(None),
        }
    }
}

/// A body, or what stands in for it where it turns out to have no octets.
pub(crate) struct OrElse {
    body: BodyPieces,
    other: Option<Bytes>,
}

impl OrElse {
    pub(crate) fn wrap(body: Body, other: Bytes) -> Body {
        Body::Stream(Box::new(Self { body: BodyPieces::from(body), other: Some(other) }))
    }
}

impl BodyStream for OrElse {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        match ready!(self.body.poll_next(context)) {
            None => Poll::Ready(self.other.take().map(|octets| Ok(Piece::Bytes(octets)))),
            Some(Ok(piece)) => {
                if piece.length() > 0 {
                    self.other = None;
                }
                Poll::Ready(Some(Ok(piece)))
            }
            error => Poll::Ready(error),
        }
    }
}
