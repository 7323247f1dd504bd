//! What becomes of a request that the cache has no fresh answer for: it waits for another that gets it, is given a stale one, or gets
//! it for all.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use daemun_http::date::{format_http_date, parse_http_date};
use daemun_http::{HeaderId, Method, ResponseHead, StatusCode};
use daemun_server::condition::Condition;
use daemun_server::fetch::{Fetch, Report};
use daemun_server::log::Level;
use daemun_server::response::{Body, BodyPieces, BodyStream};
use daemun_server::subrequest::Twin;
use daemun_server::{Outcome, Request, Response, clock};

use crate::answers::Answer;
use crate::draft::{self, Draft};
use crate::entry::{Front, Times};
use crate::freshness::{Terms, terms};
use crate::holding::judge_here;
use crate::limits::ETAG_BYTES_MAX;
use crate::search::{Attempt, Found};
use crate::tee;
use crate::variables::{Status, Validators};
use crate::variant::variant;
use crate::zone::{Claim, Update};

/// Goes on after a search that has found no fresh answer.
pub async fn proceed(mut attempt: Attempt, mut found: Found, request: &mut Request) -> Outcome {
    loop {
        match found {
            Found::Fresh(answer) => return attempt.give(&answer, Status::Hit, request),
            Found::Error(status) => {
                attempt.state.status.set(Some(Status::Hit));
                return Outcome::Finish(status);
            }
            Found::Stale(answer) => return attempt.answer_stale(answer, request).await,
            Found::Scarce => return attempt.held.step.start(request).await,
            Found::Bypassed => return attempt.fetch(None, None, request).await,
            Found::Absent => match attempt.lock(request).await {
                Lock::Off => return attempt.fetch(None, None, request).await,
                Lock::Granted(update) => return attempt.fetch(Some(update), None, request).await,
                Lock::TimedOut => return attempt.held.step.start(request).await,
                Lock::Again => found = attempt.look(request),
            },
        }
    }
}

/// Whether this request gets the answer.
enum Lock {
    /// Whoever wants to.
    Off,
    /// This one for all.
    Granted(Update),
    /// Another did not in time: this one for itself.
    TimedOut,
    /// Another has ended.
    Again,
}

impl Attempt {
    /// `..._cache_lock`
    async fn lock(&mut self, request: &Request) -> Lock {
        let settings = &self.held.settings;
        if !settings.lock() {
            return Lock::Off;
        }
        let zone = &self.cache.zone;
        let waiting = match zone.claim(&self.key, settings.lock_age_ms()) {
            Claim::Granted(update) => return Lock::Granted(update),
            Claim::Waiting(waiting) => waiting,
        };
        let now = clock::monotonic_ms();
        let until = *self.waits_until_ms.get_or_insert_with(|| now.saturating_add(settings.lock_timeout_ms()));
        if until <= now {
            request.log(Level::Info, format_args!("cache lock timeout"));
            return Lock::TimedOut;
        }
        let mut done = pin!(waiting.done.notified());
        done.as_mut().enable();
        // It may have ended before it could be listened to.
        if zone.is_underway(&self.key, &waiting) {
            let time = Duration::from_millis(until.min(waiting.until_ms).saturating_sub(now));
            let _ = tokio::time::timeout(time, done).await;
        }
        Lock::Again
    }

    /// Gives a stale answer, or gets it anew.
    async fn answer_stale(self, answer: Rc<Answer>, request: &mut Request) -> Outcome {
        let settings = &self.held.settings;
        let may_be_given =
            settings.use_stale().has(Condition::Updating) || answer.front.times.allows_updating(clock::unix_seconds());
        match self.cache.zone.claim_stale(&self.key, settings.lock_age_ms()) {
            Some(update) if may_be_given && settings.background_update() => {
                let outcome = self.give(&answer, Status::Stale, request);
                self.update_beside(update, answer, request);
                outcome
            }
            None if may_be_given => self.give(&answer, Status::Updating, request),
            update => {
                self.state.status.set(Some(Status::Expired));
                self.fetch(update, Some(answer), request).await
            }
        }
    }

    /// Gets an answer anew while the client has the stale one.
    fn update_beside(mut self, update: Update, stale: Rc<Answer>, request: &mut Request) {
        let mut twin = Twin::of(request);
        // What becomes of it is not what became of the client's request.
        self.state = Rc::default();
        Twin::run_beside(request, async move {
            if let Outcome::Respond(response) = self.fetch(Some(update), Some(stale), twin.request()).await {
                let mut body = BodyPieces::from(response.body);
                while let Some(Ok(_)) = poll_fn(|context| body.poll_next(context)).await {}
            }
        });
    }

    /// Has the held handler get the answer, and keeps it.
    async fn fetch(mut self, update: Option<Update>, stale: Option<Rc<Answer>>, request: &mut Request) -> Outcome {
        if self.is_beyond_offset(request) {
            return self.held.step.start(request).await;
        }
        let fetch = Rc::new(self.order(stale.as_deref(), request));
        request.fetch = Some(Rc::clone(&fetch));
        // An answer that is kept is for others too.
        request.client.ignores_abort.set(true);
        let outcome = self.held.step.start(request).await;
        request.fetch = None;
        match (fetch.take_report(), outcome) {
            (Report::Failed(condition), outcome) => self.fall_back(condition, stale, outcome, update, request),
            (Report::Answered(head), Outcome::Respond(response)) => self.keep(*head, response, &fetch, update, request),
            (Report::Answered(head), outcome) => self.replace(&head, stale, outcome, &fetch, update, request),
            (Report::Nothing, Outcome::Respond(response)) => {
                let head = response.head.clone();
                if fetch.replaces(head.status) {
                    drop(response);
                    let outcome = Outcome::Finish(head.status);
                    return self.replace(&head, stale, outcome, &fetch, update, request);
                }
                self.keep(head, response, &fetch, update, request)
            }
            (Report::Nothing, outcome) => match condition_of(&outcome) {
                Some(condition) => self.fall_back(condition, stale, outcome, update, request),
                None => outcome,
            },
        }
    }

    /// What is wanted of the held handler: the whole answer, and none where the stale one still holds or is preferred.
    fn order(&self, stale: Option<&Answer>, request: &Request) -> Fetch {
        let settings = &self.held.settings;
        let mut headers = request.headers().clone();
        headers.retain(|field| !is_condition(field.id));
        let mut replaced = Vec::new();
        if let Some(stale) = stale {
            let use_stale = settings.use_stale();
            replaced.extend(STATUSES.iter().filter(|condition| use_stale.has(**condition)).map(|one| one.status()));
            if settings.revalidate() {
                replaced.push(StatusCode::NOT_MODIFIED);
                let (etag, last_modified) = (stale.front.etag.clone(), stale.front.last_modified);
                if let Some(time) = last_modified {
                    headers.append_known(HeaderId::IfModifiedSince, &format_http_date(time));
                }
                if !etag.is_empty() {
                    headers.append_known(HeaderId::IfNoneMatch, &etag);
                }
                self.state.validators.replace(Validators { last_modified, etag });
            }
        }
        let method = (request.is_head() && settings.convert_head()).then_some(Method::Get);
        Fetch::new(headers, method, replaced)
    }

    /// Whether the client asks for a part that begins so late that the whole is not worth it.
    fn is_beyond_offset(&self, request: &Request) -> bool {
        let (Some(most), Some(range)) =
            (self.held.settings.max_range_offset(), request.headers().first(HeaderId::Range))
        else {
            return false;
        };
        let Some(first) = range.split_at_checked(6).filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes=")) else {
            return most == 0;
        };
        let first = first.1.trim_ascii_start();
        let digits = first.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let start =
            std::str::from_utf8(first.get(..digits).unwrap_or_default()).ok().and_then(|text| text.parse().ok());
        start.is_none_or(|start: u64| start >= most)
    }

    /// There is no answer: the stale one is given, if it may be.
    fn fall_back(
        self,
        condition: Condition,
        stale: Option<Rc<Answer>>,
        outcome: Outcome,
        update: Option<Update>,
        request: &mut Request,
    ) -> Outcome {
        let settings = &self.held.settings;
        let now = clock::unix_seconds();
        let may_be_given =
            |answer: &Answer| settings.use_stale().has(condition) || answer.front.times.allows_error(now);
        if let Some(stale) = stale.filter(|stale| may_be_given(stale)) {
            return self.give(&stale, Status::Stale, request);
        }
        if let Outcome::Finish(status @ (StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)) = outcome
            && let Some(seconds) = settings.valid(status)
        {
            self.cache.zone.put_error(&self.key, status, now.saturating_add(seconds));
        }
        drop(update);
        outcome
    }

    /// The answer is for nobody: the stale one still holds, or is preferred, or a page of ours stands for it.
    fn replace(
        self,
        head: &ResponseHead,
        stale: Option<Rc<Answer>>,
        outcome: Outcome,
        fetch: &Fetch,
        update: Option<Update>,
        request: &mut Request,
    ) -> Outcome {
        if let Some(stale) = stale.filter(|_| fetch.replaces(head.status)) {
            if head.status == StatusCode::NOT_MODIFIED {
                self.renew(&stale, head, fetch);
                return self.give(&stale, Status::Revalidated, request);
            }
            return self.give(&stale, Status::Stale, request);
        }
        if matches!(outcome, Outcome::Finish(status) if status == head.status) {
            let now = clock::unix_seconds();
            let terms = terms(&head.headers, fetch.ignored(), now);
            if let Some(until) = self.valid_until(&terms, head.status, now).filter(|_| terms.is_allowed) {
                self.cache.zone.put_error(&self.key, head.status, until);
            }
        }
        drop(update);
        outcome
    }

    /// Until when an answer is fresh; `None` where nobody says so.
    fn valid_until(&self, terms: &Terms, status: StatusCode, now: i64) -> Option<i64> {
        terms.valid_until.or_else(|| self.held.settings.valid(status).map(|seconds| now.saturating_add(seconds)))
    }

    /// The server says that a stale answer still holds.
    fn renew(&self, stale: &Answer, not_modified: &ResponseHead, fetch: &Fetch) {
        let now = clock::unix_seconds();
        let said = terms(&not_modified.headers, fetch.ignored(), now);
        // What it does not say now, it has said before.
        let said = match said.valid_until {
            Some(_) => said,
            None => terms(&stale.front.head.headers, fetch.ignored(), now),
        };
        if let Some(valid_until) = self.valid_until(&said, stale.front.head.status, now) {
            let times = Times { valid_until, updating: said.updating, error: said.error };
            draft::renew(&self.cache, &self.key, stale, times);
        }
    }

    /// Keeps an answer, if it may be, while it goes to the client.
    fn keep(
        &mut self,
        head: ResponseHead,
        mut response: Box<Response>,
        fetch: &Fetch,
        update: Option<Update>,
        request: &Request,
    ) -> Outcome {
        let now = clock::unix_seconds();
        let terms = terms(&head.headers, fetch.ignored(), now);
        if !terms.is_allowed {
            return Outcome::Respond(response);
        }
        judge_here(&mut response, last_modified(&head));
        let valid_until = self.valid_until(&terms, head.status, now);
        let is_kept =
            !fetch.is_passing() && !matches!(response.body, Body::Tunnel(_)) && !self.held.settings.forbids(request);
        let Some(valid_until) = valid_until.filter(|_| is_kept) else { return Outcome::Respond(response) };
        let times = Times { valid_until, updating: terms.updating, error: terms.error };
        let is_whole = fetch.method().is_some() || !request.is_head();
        let front = self.front(head, terms.vary, times, request);
        if let Some(draft) = Draft::begin(&self.cache, self.key, front, is_whole, update, request.log_handle()) {
            response.body = tee::keep(std::mem::replace(&mut response.body, Body::Empty), draft);
        }
        Outcome::Respond(response)
    }

    /// What is known of an answer; from here on its key is the one that it is kept by.
    fn front(&mut self, mut head: ResponseHead, vary: Vec<u8>, times: Times, request: &Request) -> Front {
        let variant = if vary.is_empty() { self.main } else { variant(&self.main, &vary, request.headers()) };
        if variant != self.key {
            self.key = self.main;
        }
        // How a server sees its connection is nothing to keep.
        head.headers.retain(|field| !field.id.is_hop_by_hop());
        let is_document = matches!(head.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let validator = |id| head.headers.first(id).filter(|_| is_document);
        Front {
            times,
            last_modified: last_modified(&head).filter(|_| is_document),
            etag: validator(HeaderId::ETag).filter(|etag| etag.len() <= ETAG_BYTES_MAX).unwrap_or_default().to_vec(),
            body_length: 0,
            variant,
            key: self.text.to_vec(),
            vary,
            head: Rc::new(head),
        }
    }
}

fn last_modified(head: &ResponseHead) -> Option<i64> {
    head.headers.first(HeaderId::LastModified).and_then(parse_http_date)
}

/// Why a handler that says nothing more has given no answer.
fn condition_of(outcome: &Outcome) -> Option<Condition> {
    match outcome {
        Outcome::Finish(StatusCode::GATEWAY_TIMEOUT) => Some(Condition::Timeout),
        Outcome::Finish(
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR,
        ) => Some(Condition::Error),
        _ => None,
    }
}

/// Conditions that are statuses of answers.
const STATUSES: &[Condition] = &[
    Condition::Http500,
    Condition::Http502,
    Condition::Http503,
    Condition::Http504,
    Condition::Http403,
    Condition::Http404,
    Condition::Http429,
];

/// Whether a field asks for less than the whole.
fn is_condition(id: HeaderId) -> bool {
    matches!(
        id,
        HeaderId::IfModifiedSince
            | HeaderId::IfUnmodifiedSince
            | HeaderId::IfNoneMatch
            | HeaderId::IfMatch
            | HeaderId::Range
            | HeaderId::IfRange
    )
}
