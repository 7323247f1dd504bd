//! The one engine of every `..._pass`: a server is chosen, asked, and if need be another one; its answer becomes ours.
//!
//! ```text
//!   Pass::run -> upstream (which server) -> connect -> conversation (the request goes out by `sending` while the answer
//!     comes in) -> transport (octets to head and body) -> answer_head (what the fields order) -> answer_body, tunnel
//! ```

mod answer_body;
mod answer_head;
mod block;
pub mod connect;
mod conversation;
mod early_hints;
mod failure;
mod link;
mod rate;
mod sending;
pub mod states;
mod store;
mod tunnel;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use daemun_http::{AnswerLimits, Method, ResponseHead, StatusCode};
use daemun_server::log::Level;
use daemun_server::{Outcome, Request, clock};

use crate::limits::ANSWER_FIELDS_MAX;
use crate::pass::{Condition, Encryption, PassSettings};
use crate::transport::{AnswerCodec, BodyAhead, HeadStep, Transport, Written};
use crate::upstream::{Attempts, IdleKey, NoPeer, Peer, PeerResult, Upstream, UpstreamConnection, idle};

pub use answer_head::accept_kept;

use answer_body::AnswerBody;
use answer_head::Answer;
use conversation::{Conversation, ConversationError};
use failure::{Failure, Stage};
use link::Link;
use sending::Sending;
use states::UpstreamStates;

/// Who passes a request on, to whom and how.
pub struct Pass<'a> {
    /// The location's settings.
    pub settings: &'a PassSettings,
    /// The servers.
    pub upstream: &'a Arc<Upstream>,
    /// The protocol.
    pub transport: &'a dyn Transport,
}

/// A server's answer up to the end of its head.
struct Answered {
    conversation: Box<Conversation>,
    codec: Box<dyn AnswerCodec>,
    head: ResponseHead,
}

/// A request that a server did not answer, to be sent to another.
struct Unanswered {
    failure: Failure,
    sending: Box<Sending>,
}

impl Pass<'_> {
    /// Passes `request` on and answers with what comes back.
    pub async fn run(&self, request: &mut Request) -> Outcome {
        if request.is_explained() {
            return self.explain(request);
        }
        // An answer that is kept is for others too.
        let is_for_others = self.settings.store().is_some() || request.fetch.is_some();
        request.client.ignores_abort.set(self.settings.ignore_client_abort() || is_for_others);
        if let Some(fetch) = &request.fetch {
            fetch.ignore(self.settings.ignored_headers());
        }
        let ahead = match self.body_ahead(request).await {
            Ok(ahead) => ahead,
            Err(outcome) => return outcome,
        };
        let sending = match Sending::of(self, ahead, request) {
            Ok(sending) => Box::new(sending),
            Err(outcome) => return outcome,
        };
        let encryption = match self.encryption(request) {
            Ok(encryption) => encryption,
            Err(outcome) => return outcome,
        };
        let mut attempts = self.upstream.begin(request);
        attempts.limit_tries(self.settings.next_upstream_tries());
        let turn = Turn {
            pass: self,
            encryption,
            attempts,
            states: UpstreamStates::of(request),
            sent: Rc::clone(sending.sent_head()),
            started_ms: clock::monotonic_ms(),
        };
        turn.run(sending, request).await
    }

    /// How the server is spoken to, where that is by TLS.
    ///
    /// # Errors
    /// The location has no settings for it: nothing is sent in the clear instead.
    fn encryption(&self, request: &Request) -> Result<Option<Encryption>, Outcome> {
        let Some(default) = self.transport.encrypted_to() else { return Ok(None) };
        let Some(tls) = self.settings.tls.made() else {
            request.log(Level::Alert, format_args!("the location has no settings for TLS"));
            return Err(Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR));
        };
        tls.for_request(default, request).map(Some).map_err(|reason| {
            request.log(Level::Error, format_args!("{reason}"));
            Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }

    /// Tells what would be asked for, and who may be asked.
    fn explain(&self, request: &mut Request) -> Outcome {
        let mut octets = Vec::new();
        let ahead = request.body.length().map_or(BodyAhead::Unknown, BodyAhead::Length);
        let written = match self.transport.write_request(request, ahead, &mut octets) {
            Ok(written) => written,
            Err(outcome) => return outcome,
        };
        let path = String::from_utf8_lossy(octets.get(written.path.clone()).unwrap_or_default()).into_owned();
        let servers = self.upstream.described();
        request.answered_by(format_args!(
            "{}://{}{path} would be asked: {servers}",
            self.transport.scheme(),
            self.upstream.name
        ))
    }

    /// Reads the body, unless it is to be passed on as it comes.
    async fn body_ahead(&self, request: &mut Request) -> Result<BodyAhead, Outcome> {
        // As nginx: what is here already need not be streamed.
        let is_streamed = !self.settings.request_buffering()
            && (request.body.length().is_some() || self.transport.takes_unknown_length())
            && !request.has_whole_body(request.core().client_body_buffer_size());
        if !is_streamed && request.body.is_unread() {
            Box::pin(request.read_body(None)).await?;
        }
        Ok(request.body.length().map_or(BodyAhead::Unknown, BodyAhead::Length))
    }
}

/// What stands before the body, and a small body too; what of it log lines show.
struct SentHead {
    octets: Box<[u8]>,
    written: Written,
}

impl SentHead {
    /// The path that was asked for.
    fn path(&self) -> String {
        String::from_utf8_lossy(self.octets.get(self.written.path.clone()).unwrap_or_default()).into_owned()
    }
}

/// One request's turn through the servers.
struct Turn<'a> {
    pass: &'a Pass<'a>,
    encryption: Option<Encryption>,
    attempts: Attempts,
    states: Rc<UpstreamStates>,
    sent: Rc<SentHead>,
    started_ms: u64,
}

impl Turn<'_> {
    async fn run(mut self, mut sending: Box<Sending>, request: &mut Request) -> Outcome {
        let mut is_first = true;
        loop {
            let peer = match self.attempts.next_or_wait(request).await {
                Ok(peer) => peer,
                Err(none) => return self.no_peer(none, is_first, request),
            };
            self.states.push(Arc::clone(peer.name()), is_first);
            is_first = false;
            let link = self.link(peer);
            let kept = idle::take(self.pass.upstream, link.peer(), link.key());
            let is_kept = kept.is_some();
            let connected = match kept {
                Some(connection) => Ok(connection),
                // What is rarely needed is not to make the future of every request larger.
                None => {
                    let encryption = self.encryption.as_ref();
                    Box::pin(connect::connect(self.pass.settings, link.peer(), encryption, request)).await
                }
            };
            let was_sent = connected.is_ok();
            let asked = match connected {
                Ok(connection) => self.ask(connection, sending, &link, request).await,
                Err(failure) => Err(Unanswered { failure, sending }),
            };
            let unanswered = match asked {
                Ok(answered) => match self.judge_status(answered, &link, request) {
                    Ok(answered) => return self.answer(answered, link, request),
                    Err(unanswered) => *unanswered,
                },
                Err(unanswered) => unanswered,
            };
            if let Err(outcome) = self.give_up(&unanswered, &link, was_sent, is_kept, request) {
                return outcome;
            }
            sending = unanswered.sending;
            sending.restart();
        }
    }

    fn link(&self, peer: Peer) -> Link {
        let key = IdleKey {
            scheme: self.pass.transport.scheme(),
            location: std::ptr::from_ref(self.pass.settings).addr(),
            name: self.encryption.as_ref().map_or(0, Encryption::mark),
        };
        Link::new(Arc::clone(self.pass.upstream), peer, key, Rc::clone(&self.sent))
    }

    /// Sends the request on `connection` and reads the head of its answer.
    async fn ask(
        &self,
        connection: UpstreamConnection,
        sending: Box<Sending>,
        link: &Link,
        request: &mut Request,
    ) -> Result<Answered, Unanswered> {
        self.states.change(|state, elapsed| state.connect_ms = Some(elapsed));
        let settings = self.pass.settings;
        let mut conversation = Box::new(Conversation::new(connection, sending, settings.read_timeout()));
        if settings.has_limit_rate() {
            conversation.read_little(settings.buffer_size());
        }
        let mut codec = self.pass.transport.codec(request);
        let mut head = ResponseHead { headers: request.blank_headers(), ..ResponseHead::default() };
        let mut abort = Abort(Some(&self.states));
        let result = self.read_head(&mut conversation, codec.as_mut(), &mut head, link, request).await;
        abort.0 = None;
        while let Some((level, message)) = codec.take_message() {
            request.log_upstream(level, format_args!("{message}"), link);
        }
        self.note_octets(&conversation, link);
        match result {
            Ok(()) => Ok(Answered { conversation, codec, head }),
            Err(failure) => Err(Unanswered { failure, sending: conversation.sending }),
        }
    }

    async fn read_head(
        &self,
        conversation: &mut Conversation,
        codec: &mut dyn AnswerCodec,
        head: &mut ResponseHead,
        link: &Link,
        request: &mut Request,
    ) -> Result<(), Failure> {
        if codec.is_tunnel() {
            head.status = StatusCode::OK;
            return Ok(());
        }
        let most = self.pass.settings.buffer_size();
        let limits = AnswerLimits { head_bytes: most, headers: ANSWER_FIELDS_MAX };
        let mut hints = early_hints::EarlyHints::new(most);
        loop {
            let count = poll_fn(|context| conversation.poll_fill(context)).await;
            match count {
                Ok(0) => return Err(Failure::Closed),
                Ok(_) => {}
                Err(error) => return Err(failure_of(error, Stage::ReadingHead)),
            }
            loop {
                let before = conversation.input.len();
                let step = codec.read_head(&mut conversation.input, &limits, head).map_err(Failure::Head)?;
                match step {
                    HeadStep::NeedMore => break,
                    HeadStep::Complete => return Ok(()),
                    HeadStep::Interim => {
                        let length = before - conversation.input.len();
                        Box::pin(hints.pass(head, length, self.pass.settings, link, request)).await;
                        head.clear();
                    }
                }
            }
        }
    }

    fn note_octets(&self, conversation: &Conversation, link: &Link) {
        let (received, sent) = (conversation.received, conversation.sending.sent());
        self.states.change(|state, _| (state.received, state.sent) = (received, sent));
        link.peer().note_octets(received, sent);
    }

    /// An answer whose status has another server asked counts as none.
    fn judge_status(&self, answered: Answered, link: &Link, request: &Request) -> Result<Answered, Box<Unanswered>> {
        let status = answered.head.status;
        self.states.change(|state, elapsed| {
            state.status = status.as_u16();
            state.header_ms = Some(elapsed);
        });
        match Condition::of_status(status) {
            Some(condition)
                if self.attempts.tries_left() > 1
                    && self.goes_on(condition, true, answered.conversation.sending.is_streamed(), request) =>
            {
                let _ = link;
                Err(Box::new(Unanswered {
                    failure: Failure::Status(condition),
                    sending: answered.conversation.sending,
                }))
            }
            _ => Ok(answered),
        }
    }

    /// Whether `..._next_upstream` has another server asked.
    fn goes_on(&self, condition: Condition, was_sent: bool, is_streamed: bool, request: &Request) -> bool {
        let settings = self.pass.settings;
        let conditions = settings.next_upstream();
        let is_repeatable = !was_sent || is_idempotent(request.method()) || conditions.has(Condition::NonIdempotent);
        let limit = settings.next_upstream_timeout();
        let elapsed = Duration::from_millis(clock::monotonic_ms().saturating_sub(self.started_ms));
        conditions.has(condition) && is_repeatable && !(was_sent && is_streamed) && (limit.is_zero() || elapsed < limit)
    }

    /// Says what went wrong; an error is what the request ends with, since no other server is asked.
    fn give_up(
        &mut self,
        unanswered: &Unanswered,
        link: &Link,
        was_sent: bool,
        was_kept: bool,
        request: &mut Request,
    ) -> Result<(), Outcome> {
        let failure = &unanswered.failure;
        let status = failure.status();
        self.states.change(|state, elapsed| {
            state.response_ms = Some(elapsed);
            if !matches!(failure, Failure::RequestBody(_)) {
                state.status = status.as_u16();
            }
        });
        if let Failure::RequestBody(error) = failure {
            return Err(request.refuse_body(error));
        }
        let condition = failure.condition();
        if !matches!(failure, Failure::Status(_)) {
            request.log_upstream(failure.level(), format_args!("{failure}"), link);
        }
        let result = if condition.is_not_found_like() { PeerResult::NotFoundLike } else { PeerResult::Failed };
        self.attempts.report(request, link.peer(), result);
        if was_kept && condition == Condition::Error {
            self.attempts.give_back_try();
        }
        let goes_on = self.attempts.tries_left() > 0
            && self.goes_on(condition, was_sent, unanswered.sending.is_streamed(), request);
        if goes_on {
            return Ok(());
        }
        if let Some(fetch) = &request.fetch {
            fetch.failed(condition);
        }
        Err(Outcome::Finish(status))
    }

    fn no_peer(&self, none: NoPeer, is_first: bool, request: &Request) -> Outcome {
        let name: Arc<str> = self.pass.upstream.name.as_str().into();
        let shown = format!("{}://{name}{}", self.pass.transport.scheme(), self.sent.path());
        self.states.push(name, is_first);
        self.states.change(|state, elapsed| {
            state.status = StatusCode::BAD_GATEWAY.as_u16();
            state.response_ms = Some(elapsed);
        });
        request.log_upstream(Level::Error, format_args!("{none}"), &shown);
        if let Some(fetch) = &request.fetch {
            fetch.failed(Condition::Error);
        }
        Outcome::Finish(StatusCode::BAD_GATEWAY)
    }

    /// Makes our answer of the server's.
    fn answer(mut self, answered: Answered, link: Link, request: &mut Request) -> Outcome {
        let Answered { conversation, mut codec, mut head } = answered;
        let extent = codec.begin_body(&head, self.sent.written.is_head);
        self.attempts.report(request, link.peer(), PeerResult::Answered);
        self.states.set_head(&head.headers);
        // What binds the session comes of what the server said, and is none of it.
        self.attempts.head_arrived(request, link.peer(), &mut head);
        answer_head::drop_repeated(&mut head.headers, &link, request);
        let mut body = Box::new(AnswerBody::new(conversation, codec, extent, link, self.states));
        if let Some(fetch) = &request.fetch {
            fetch.answered(&head);
            if fetch.replaces(head.status) {
                body.abandon();
                return Outcome::Finish(head.status);
            }
        }
        let rewrite = |request: &Request, head: &mut ResponseHead| self.pass.transport.rewrite_head(request, head);
        match answer_head::accept(self.pass.settings, rewrite, head, request) {
            Answer::Elsewhere(outcome) => {
                body.abandon();
                outcome
            }
            Answer::Own { response, is_buffered } => {
                body.limit_rate(if is_buffered { self.pass.settings.limit_rate(request) } else { 0 });
                body.answer(response, is_buffered, self.pass.settings, request)
            }
        }
    }
}

/// Notes when a client that goes away ends an exchange.
struct Abort<'a>(Option<&'a UpstreamStates>);

impl Drop for Abort<'_> {
    fn drop(&mut self) {
        if let Some(states) = self.0 {
            states.change(|state, elapsed| state.response_ms = Some(elapsed));
        }
    }
}

/// What a conversation's end means at a stage.
fn failure_of(error: ConversationError, stage: Stage) -> Failure {
    match error {
        ConversationError::Client(error) => Failure::RequestBody(error),
        ConversationError::SendTimedOut => Failure::TimedOut(Stage::Sending),
        ConversationError::Send(error) => Failure::Send(error),
        ConversationError::ReadTimedOut => Failure::TimedOut(stage),
        ConversationError::Read(error) => Failure::Receive(error, stage),
    }
}

/// Whether a request may be sent twice, as nginx judges it.
fn is_idempotent(method: &Method) -> bool {
    !matches!(method.as_str(), "POST" | "LOCK" | "PATCH")
}
