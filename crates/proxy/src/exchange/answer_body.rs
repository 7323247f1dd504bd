//! The body of a server's answer, as it comes.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use daemun_http::{HeaderId, StatusCode};
use daemun_server::body::RequestBodyError;
use daemun_server::listener::Protocol;
use daemun_server::log::Level;
use daemun_server::response::{Body, BodyError, BodyStream, Piece, ReadAhead, Trailers, UpstreamMessage};
use daemun_server::{Outcome, Request, Response};

use super::conversation::Conversation;
use super::failure::{Failure, Stage};
use super::failure_of;
use super::link::Link;
use super::states::UpstreamStates;
use super::store::StoredFile;
use super::tunnel::UpgradedConnection;
use crate::limits::STORE_TIME;
use crate::pass::{HeaderNames, PassSettings};
use crate::transport::{AnswerCodec, BodyExtent, BodyStep};

/// What a server still sends.
pub struct AnswerBody {
    /// `None` once the answer is over.
    conversation: Option<Box<Conversation>>,
    codec: Box<dyn AnswerCodec>,
    link: Link,
    states: Rc<UpstreamStates>,
    /// Octets still to come, where that is known.
    rest: Option<u64>,
    length: u64,
    read_ahead: ReadAhead,
    message: Option<UpstreamMessage>,
    stored: Option<StoredFile>,
}

impl AnswerBody {
    pub(super) fn new(
        conversation: Box<Conversation>,
        codec: Box<dyn AnswerCodec>,
        extent: BodyExtent,
        link: Link,
        states: Rc<UpstreamStates>,
    ) -> Self {
        Self {
            conversation: Some(conversation),
            codec,
            link,
            states,
            rest: match extent {
                BodyExtent::None => Some(0),
                BodyExtent::Length(length) => Some(length),
                BodyExtent::Unknown => None,
            },
            length: 0,
            read_ahead: ReadAhead::default(),
            message: None,
            stored: None,
        }
    }

    pub(super) fn limit_rate(&mut self, rate: u64) {
        if let Some(conversation) = &mut self.conversation {
            conversation.limit_rate(rate);
        }
    }

    /// Gives `response` this body.
    pub(super) fn answer(
        mut self: Box<Self>,
        mut response: Box<Response>,
        is_buffered: bool,
        settings: &PassSettings,
        request: &mut Request,
    ) -> Outcome {
        if let Some(conversation) = &mut self.conversation {
            conversation.sending.begin_answer();
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS || self.codec.is_tunnel() {
            return self.upgrade(response, request);
        }
        if self.rest.is_none() {
            response.head.headers.remove_known(HeaderId::ContentLength);
            if settings.pass_trailers() {
                let hidden = Arc::clone(settings.hidden());
                response.trailers.push(Box::new(PassedTrailers { states: Rc::clone(&self.states), hidden }));
            }
        }
        if is_buffered && !request.is_head() && response.status() == StatusCode::OK {
            self.stored = StoredFile::begin(settings, &response, request);
        }
        let is_whole = self.stored.is_none() && self.rest.is_some_and(|rest| rest <= self.waiting());
        if is_whole {
            response.body = self.whole(request);
            return Outcome::Respond(response);
        }
        self.read_ahead = settings.read_ahead(is_buffered);
        response.body = match self.stored.is_some() {
            false => Body::Stream(self),
            true => Body::Stream(Box::new(StoredAnswer(Some(self)))),
        };
        Outcome::Respond(response)
    }

    /// Octets that are here.
    fn waiting(&self) -> u64 {
        self.conversation.as_ref().map_or(0, |conversation| conversation.input.len() as u64)
    }

    /// All of the body, which came with the head.
    fn whole(&mut self, request: &Request) -> Body {
        let mut body = Body::Empty;
        loop {
            match self.step() {
                Ok(Some(Piece::Bytes(octets))) => body = Body::Bytes(octets),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        if let Some(message) = self.message.take() {
            request.log_upstream(message.level, format_args!("{message}"), &message.upstream);
        }
        body
    }

    /// The next piece of what is here; `None` where nothing is, or the body is over.
    fn step(&mut self) -> Result<Option<Piece>, &'static str> {
        let Some(conversation) = &mut self.conversation else { return Ok(None) };
        match self.codec.read_body(&mut conversation.input)? {
            BodyStep::NeedMore => Ok(None),
            BodyStep::Data(octets) => {
                self.length += octets.len() as u64;
                if let Some(rest) = &mut self.rest {
                    *rest = rest.saturating_sub(octets.len() as u64);
                }
                if let Some(stored) = &mut self.stored {
                    stored.write(&octets);
                }
                Ok(Some(Piece::Bytes(octets)))
            }
            BodyStep::End { is_kept, surplus } => {
                if let Some((level, message)) = self.codec.take_message() {
                    self.message = Some(UpstreamMessage { level, message, upstream: self.link.to_string() });
                }
                if let Some(surplus) = surplus {
                    self.message = Some(self.message(Level::Warn, surplus));
                }
                self.end(is_kept, true);
                Ok(None)
            }
        }
    }

    /// The answer is over, `is_whole` or cut off.
    fn end(&mut self, is_kept: bool, is_whole: bool) {
        let Some(mut conversation) = self.conversation.take() else { return };
        self.link.peer().note_octets(conversation.received, conversation.sending.sent());
        self.states.change(|state, elapsed| {
            state.response_ms = Some(elapsed);
            state.response_length = self.length;
            state.received = conversation.received;
            state.sent = conversation.sending.sent();
        });
        if is_whole {
            if let Some(trailers) = self.codec.take_trailers() {
                self.states.set_trailers(&trailers);
            }
            if let Some(stored) = self.stored.take() {
                stored.finish();
            }
        }
        conversation.input.clear();
        conversation.release_input();
        if is_kept && conversation.sending.is_complete() {
            self.link.keep(conversation.connection);
        }
        // What is left of the answer is between the client and us.
        self.link.peer().finish();
    }

    /// The answer is not wanted. A connection on which nothing more can come is kept.
    pub(super) fn abandon(mut self: Box<Self>) {
        if self.rest == Some(0) {
            let _ = self.step();
        }
    }

    fn upgrade(mut self: Box<Self>, mut response: Box<Response>, request: &Request) -> Outcome {
        // A web server in front of us has kept the client's connection to itself.
        let is_asked_for = request.headers().has(HeaderId::Upgrade) || self.codec.is_tunnel();
        let wants = is_asked_for && request.client.protocol == Protocol::Http;
        if let Some(conversation) = self.conversation.take()
            && wants
        {
            let write_after = request.core().send_timeout();
            response.body = Body::Tunnel(Box::new(UpgradedConnection::new(conversation, self, write_after)));
        }
        Outcome::Respond(response)
    }

    /// What is known of the request's way.
    pub(super) fn states(&self) -> &UpstreamStates {
        &self.states
    }

    fn message(&self, level: Level, message: &str) -> UpstreamMessage {
        UpstreamMessage {
            level,
            message: format!("{message} while {}", Stage::ReadingBody),
            upstream: self.link.to_string(),
        }
    }

    fn fail(&mut self, failure: &Failure) -> BodyError {
        self.end(false, false);
        match failure {
            Failure::RequestBody(RequestBodyError::Closed) => {
                BodyError::Request("client prematurely closed connection".to_owned())
            }
            Failure::RequestBody(error) => BodyError::Request(error.to_string()),
            failure => BodyError::Upstream(Box::new(UpstreamMessage {
                level: Level::Error,
                message: failure.to_string(),
                upstream: self.link.to_string(),
            })),
        }
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Option<BodyError>> {
        let Some(conversation) = &mut self.conversation else { return Poll::Ready(None) };
        match ready!(conversation.poll_fill(context)) {
            Ok(0) if self.codec.may_end_here() => {
                self.end(false, true);
                Poll::Ready(None)
            }
            Ok(0) => {
                self.end(false, false);
                let message = self.message(Level::Error, "upstream prematurely closed connection");
                Poll::Ready(Some(BodyError::Upstream(Box::new(message))))
            }
            Ok(_) => Poll::Ready(None),
            Err(error) => {
                let failure = failure_of(error, Stage::ReadingBody);
                Poll::Ready(Some(self.fail(&failure)))
            }
        }
    }
}

/// `..._pass_trailers`: a server's fields behind its body.
struct PassedTrailers {
    states: Rc<UpstreamStates>,
    hidden: Arc<HeaderNames>,
}

impl Trailers for PassedTrailers {
    fn append(&self, request: &Request) {
        let mut out = request.sent.trailers.borrow_mut();
        for field in self.states.trailers().iter().filter(|field| !self.hidden.contains(field)) {
            out.append(field.name, field.value);
        }
    }
}

impl BodyStream for AnswerBody {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        loop {
            match self.step() {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(None) if self.conversation.is_none() => return Poll::Ready(None),
                Ok(None) => {}
                Err(wrong) => {
                    let message = self.message(Level::Error, wrong);
                    self.end(false, false);
                    return Poll::Ready(Some(Err(BodyError::Upstream(Box::new(message)))));
                }
            }
            if let Some((level, message)) = self.codec.take_message() {
                self.message = Some(UpstreamMessage { level, message, upstream: self.link.to_string() });
            }
            if let Some(error) = ready!(self.poll_more(context)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn length(&self) -> Option<u64> {
        self.rest
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        Some(self.read_ahead.clone())
    }

    fn take_message(&mut self) -> Option<UpstreamMessage> {
        self.message.take()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.end(false, false);
    }
}

/// An answer that is kept as a file: a client that has gone is no reason not to read the rest of it.
struct StoredAnswer(Option<Box<AnswerBody>>);

impl BodyStream for StoredAnswer {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |answer| answer.poll_next(context))
    }

    fn length(&self) -> Option<u64> {
        self.0.as_ref().and_then(|answer| answer.length())
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        self.0.as_ref().and_then(|answer| answer.read_ahead())
    }

    fn take_message(&mut self) -> Option<UpstreamMessage> {
        self.0.as_mut().and_then(|answer| answer.take_message())
    }
}

impl Drop for StoredAnswer {
    fn drop(&mut self) {
        let Some(mut answer) = self.0.take().filter(|answer| answer.conversation.is_some()) else { return };
        tokio::task::spawn_local(async move {
            let rest = poll_fn(|context| {
                while let Some(piece) = ready!(answer.poll_next(context)) {
                    if piece.is_err() {
                        break;
                    }
                }
                Poll::Ready(())
            });
            let _ = tokio::time::timeout(STORE_TIME, rest).await;
        });
    }
}
