//! The phases of one request, one after the other, until there is an answer.

use std::future::Future;
use std::rc::Rc;

use daemun_http::{HeaderId, StatusCode};

use crate::config::Satisfy;
use crate::connection::Client;
use crate::error_page;
use crate::explain;
use crate::limits::{INTERNAL_REDIRECTS_MAX, PHASE_STEPS_MAX};
use crate::log::Level;
use crate::phase::{Outcome, Phase, Plan, Step};
use crate::redirect;
use crate::request::Request;
use crate::response::Response;
use crate::runtime::ThreadRuntime;
use crate::subrequest::{OrElse, StandIn};

/// Where the request stands.
enum Stage {
    /// The phases of the server, once for a request.
    Server,
    /// The server's rewrites, after an internal redirect.
    ServerRewrite,
    /// The location is looked for.
    FindLocation,
    /// The rewrites of the location.
    Location,
    /// The other phases of the location.
    Content,
}

/// What a request ends with.
pub enum End {
    /// An answer, filters applied.
    Answer(Box<Response>),
    /// The connection is closed without one.
    Close,
}

/// Takes `request` through its phases.
pub async fn handle(request: &mut Request) -> End {
    let stage = if request.is_subrequest() { Stage::ServerRewrite } else { Stage::Server };
    proceed(request, stage).await
}

/// Takes `request` through its phases from `stage` on.
async fn proceed(request: &mut Request, mut stage: Stage) -> End {
    let runtime = Rc::clone(&request.runtime);
    for _ in 0..PHASE_STEPS_MAX {
        let outcome = match stage {
            Stage::Server => {
                let plan = &runtime.location(runtime.server(request.server).settings).plan;
                run(plan, Phase::PostRead, Phase::ServerRewrite, request).await
            }
            Stage::ServerRewrite => {
                let plan = &runtime.location(request.location).plan;
                run(plan, Phase::ServerRewrite, Phase::ServerRewrite, request).await
            }
            Stage::FindLocation => find_location(&runtime, request),
            Stage::Location => {
                let plan = &runtime.location(request.location).plan;
                run(plan, Phase::Rewrite, Phase::Rewrite, request).await
            }
            Stage::Content => {
                // An `if` may have put another location in the place of the one found.
                run(&runtime.location(request.location).plan, Phase::Preaccess, Phase::Content, request).await
            }
        };
        stage = match outcome {
            Outcome::Continue | Outcome::Allow | Outcome::Delay(_) => match stage {
                Stage::Server | Stage::ServerRewrite => Stage::FindLocation,
                Stage::FindLocation => Stage::Location,
                Stage::Location => Stage::Content,
                Stage::Content => match finish(request, StatusCode::NOT_FOUND) {
                    Next::Stage(stage) => stage,
                    Next::End(end) => return end,
                },
            },
            Outcome::Respond(response) => match respond(request, response) {
                Next::Stage(stage) => stage,
                Next::End(end) => return end,
            },
            Outcome::Finish(status) => match finish(request, status) {
                Next::Stage(stage) => stage,
                Next::End(end) => return end,
            },
            Outcome::Redirect { uri, args } => match redirect(request, uri, args) {
                Next::Stage(stage) => stage,
                Next::End(end) => return end,
            },
            Outcome::Relocate => match relocate(request) {
                Next::Stage(stage) => stage,
                Next::End(end) => return end,
            },
            Outcome::Named(name) => match go_to_named(request, &name) {
                Next::Stage(stage) => stage,
                Next::End(end) => return end,
            },
            Outcome::Close => return End::Close,
        };
    }
    request.log(Level::Alert, format_args!("phases do not come to an end"));
    own_answer(request, StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer to a head that no phase may see, unless `error_page` sends the request elsewhere.
pub async fn refuse(request: &mut Request, status: StatusCode) -> End {
    request.keep_alive = false;
    // What could be read in two ways is not passed on.
    for id in [HeaderId::ContentLength, HeaderId::TransferEncoding, HeaderId::Expect, HeaderId::Upgrade] {
        request.head.headers.remove_known(id);
    }
    request.head.forget_framing();
    match finish(request, status) {
        Next::Stage(stage) => proceed(request, stage).await,
        Next::End(end) => end,
    }
}

/// Has the content handlers of the request's place answer, past all that comes before and behind them.
pub(crate) async fn content(request: &mut Request) -> Outcome {
    let runtime = Rc::clone(&request.runtime);
    run(&runtime.location(request.location).plan, Phase::Content, Phase::Content, request).await
}

/// What follows an outcome.
enum Next {
    Stage(Stage),
    End(End),
}

/// Runs the steps of some phases until one of them says more than `Continue`.
async fn run(plan: &Plan, first: Phase, last: Phase, request: &mut Request) -> Outcome {
    let mut gate = Gate { is_any: request.core().satisfy() == Satisfy::Any, is_open: false, refusal: None };
    let steps = plan.between(first, last);
    for (at, (phase, step)) in steps.iter().enumerate() {
        let is_access = *phase == Phase::Access;
        // Who may have the parent may have what it consists of.
        if is_access && (gate.is_open || request.is_subrequest()) {
            continue;
        }
        if *phase > Phase::Access
            && let Some(status) = gate.refusal.take()
        {
            return gate.refuse(status, request).await;
        }
        let told = request.is_explained().then(|| explain::begin_step(request, *phase, step.as_ref()));
        let mut outcome = match step.run(request) {
            Some(outcome) => outcome,
            None => start(step.as_ref(), request).await,
        };
        if let Some(line) = told {
            explain::end_step(request, line, &outcome, steps.get(at + 1..).unwrap_or_default());
        }
        if is_access && gate.is_any {
            outcome = gate.judge(outcome, request);
        }
        match outcome {
            Outcome::Continue | Outcome::Allow => {}
            Outcome::Delay(delay) => {
                let sleep = tokio::time::sleep(delay);
                if request.is_beside {
                    sleep.await;
                } else if unless_client_gone(&request.client, sleep).await.is_none() {
                    return Outcome::Finish(StatusCode::CLIENT_CLOSED_REQUEST);
                }
            }
            Outcome::Finish(StatusCode::UNAUTHORIZED) if is_access => return delay_unauthorized(request).await,
            outcome => return outcome,
        }
    }
    match gate.refusal {
        Some(status) => gate.refuse(status, request).await,
        None => Outcome::Continue,
    }
}

/// 401, or 407 for a tunnel, once `auth_delay` has passed.
async fn delay_unauthorized(request: &Request) -> Outcome {
    let delay = request.core().auth_delay();
    if !delay.is_zero() {
        request.log(Level::Info, format_args!("delaying unauthorized request"));
        tokio::time::sleep(delay).await;
    }
    // To whom asks for a tunnel, this server is a proxy.
    Outcome::Finish(match request.is_connect() {
        true => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        false => StatusCode::UNAUTHORIZED,
    })
}

/// What the access phase has come to: under `satisfy any` one step that allows is enough, and a refusal waits for it.
struct Gate {
    is_any: bool,
    is_open: bool,
    refusal: Option<StatusCode>,
}

impl Gate {
    fn judge(&mut self, outcome: Outcome, request: &mut Request) -> Outcome {
        match outcome {
            Outcome::Allow => {
                self.is_open = true;
                self.refusal = None;
                request.challenges.clear();
                Outcome::Continue
            }
            Outcome::Finish(status @ (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED)) => {
                // A client that may still give credentials is told so.
                if self.refusal != Some(StatusCode::UNAUTHORIZED) {
                    self.refusal = Some(status);
                }
                Outcome::Continue
            }
            other => other,
        }
    }

    async fn refuse(&self, status: StatusCode, request: &Request) -> Outcome {
        if status == StatusCode::UNAUTHORIZED {
            return delay_unauthorized(request).await;
        }
        if status == StatusCode::FORBIDDEN {
            request.log(Level::Error, format_args!("access forbidden by rule"));
        }
        Outcome::Finish(status)
    }
}

/// Runs a step that waits, unless the client goes away meanwhile.
async fn start(step: &dyn Step, request: &mut Request) -> Outcome {
    let client = Rc::clone(&request.client);
    let is_beside = request.is_beside;
    let running = step.start(request);
    if is_beside {
        return running.await;
    }
    let outcome = unless_client_gone(&client, running).await;
    outcome.unwrap_or(Outcome::Finish(StatusCode::CLIENT_CLOSED_REQUEST))
}

/// What `future` comes to; `None` once the client has gone away.
async fn unless_client_gone<T>(client: &Client, future: impl Future<Output = T>) -> Option<T> {
    // A client that has sent more than this request is read only once the answer is out, and a body is read by the step.
    client.ignores_abort.set(false);
    let is_silent = || client.is_http2() || !(client.has_pending_input() || client.is_body_due.get());
    let is_watched = || is_silent() && !client.ignores_abort.get();
    client.unless_closed(is_watched, future).await
}

fn find_location(runtime: &ThreadRuntime, request: &mut Request) -> Outcome {
    request.is_location_intact = true;
    let server = runtime.server(request.server);
    if let Some(location) = server.tree.lacking_slash(&request.uri) {
        request.location = location;
        if request.is_explained() {
            explain::tell_location(request, location, "the path lacks but its slash");
        }
        return Outcome::Respond(redirect::to_folder(request));
    }
    let found =
        if request.is_explained() { explain::find_location(runtime, request) } else { server.tree.find_for(request) };
    let Some(location) = found else {
        request.location = server.settings;
        return Outcome::Continue;
    };
    request.location = runtime.location(location).for_method(location, request.method());
    if request.location != location {
        request.note(format_args!("limit_except names no {}: its settings hold", request.method().as_str()));
    }
    let core = &runtime.location(location).core;
    if core.internal && !request.is_internal {
        request.note(format_args!("it is internal: a client that asks for it gets 404"));
        return Outcome::Finish(StatusCode::NOT_FOUND);
    }
    if let (Some(length), Some(max)) = (request.body.length(), core.client_max_body_size())
        && length > max
        && !request.is_internal
    {
        let message =
            format_args!("client intended to send too large body: {length} bytes, client_max_body_size is {max}");
        request.log(Level::Error, message);
        return Outcome::Finish(StatusCode::CONTENT_TOO_LARGE);
    }
    Outcome::Continue
}

/// An answer is there: it leaves through the filters, unless `error_page` stands for its status.
fn respond(request: &mut Request, mut response: Box<Response>) -> Next {
    let status = response.status();
    if let Some(other) = request.stand_in.take() {
        match response.content_length() {
            Some(0) if response.is_own && status.as_u16() >= 300 => return Next::End(stand_in(request, other)),
            Some(0) => {
                // As in nginx: filters have judged an answer without a body, and leave what stands in for it alone.
                response = filter(request, response);
                response.body = crate::response::Body::Bytes(other.octets);
                return Next::End(End::Answer(response));
            }
            None => response.body = OrElse::wrap(response.body, other.octets),
            Some(_) => {}
        }
    }
    if response.is_own
        && status.as_u16() >= 300
        && let Some(next) = error_page_for(request, status, Some(&response))
    {
        return next;
    }
    // A page that is itself a redirect, or refused, is that and no longer the page of another status.
    if let Some(status) = request.error_status.take()
        && !(response.is_own && response.status().as_u16() >= 300)
    {
        response.head.status = status;
        response.head.reason.clear();
    }
    if response.is_own && matches!(response.body, crate::response::Body::Empty) && response.status().as_u16() >= 300 {
        error_page::fill(request.core(), &mut response);
    }
    let given = response.status();
    let response = filter(request, response);
    // A filter may refuse what the content gave: a condition that does not hold, a range that is not there.
    let refused = response.status();
    if (response.is_own || response.is_stored)
        && given.is_success()
        && refused.as_u16() >= 400
        && let Some(next) = error_page_for(request, refused, Some(&response))
    {
        return next;
    }
    Next::End(leave(response))
}

/// A status without an answer: `error_page`, or the program's own page.
fn finish(request: &mut Request, status: StatusCode) -> Next {
    if matches!(status, StatusCode::CLIENT_CLOSED_REQUEST) {
        request.sent.status = status.as_u16();
        return Next::End(End::Close);
    }
    if let Some(other) = request.stand_in.take() {
        return Next::End(stand_in(request, other));
    }
    match error_page_for(request, status, None) {
        Some(next) => next,
        None => Next::End(own_answer(request, status)),
    }
}

/// What is sent in place of an answer without a body.
fn stand_in(request: &mut Request, other: StandIn) -> End {
    let mut response = Response::new(StatusCode::OK);
    if let Some(content_type) = other.content_type {
        response.head.headers.append_known(HeaderId::ContentType, &content_type);
    }
    response.body = crate::response::Body::Bytes(other.octets);
    leave(filter(request, response))
}

fn own_answer(request: &mut Request, status: StatusCode) -> End {
    // What goes wrong with the page for another status is what the client is told.
    request.error_status = None;
    let mut response = Response::new(status);
    error_page::fill(request.core(), &mut response);
    if error_page::closes_connection(status) {
        request.keep_alive = false;
    }
    leave(filter(request, response))
}

/// Where `error_page` sends a request with this status; `None` where no page stands for it.
fn error_page_for(request: &mut Request, status: StatusCode, answer: Option<&Response>) -> Option<Next> {
    if request.has_error_page && !request.core().recursive_error_pages() {
        return None;
    }
    let runtime = Rc::clone(&request.runtime);
    let page = runtime.location(request.location).core.error_page(status)?;
    let target = page.target.value(request);
    if request.is_explained() {
        let shown = String::from_utf8_lossy(&target);
        explain::tell(request, format_args!("error_page {} leads to {shown}", status.as_u16()));
    }
    if error_page::closes_connection(status) {
        request.keep_alive = false;
    }
    let status = match page.replacement {
        None => Some(status),
        Some(replacement) => replacement,
    };
    let is_internal = matches!(target.first(), Some(b'/' | b'@'));
    if let Some(location) =
        answer.and_then(|answer| answer.head.headers.first(HeaderId::Location)).filter(|_| is_internal)
    {
        // The page for a redirect is one, too.
        request.carried.set_known(HeaderId::Location, location);
    }
    if target.first() == Some(&b'/') {
        request.error_status = status;
        request.has_error_page = true;
        let (uri, args) = split_arguments(target);
        request.make_get();
        return Some(redirect(request, uri, Some(args.unwrap_or_default())));
    }
    if target.first() == Some(&b'@') {
        request.error_status = status;
        request.has_error_page = true;
        return Some(go_to_named(request, &String::from_utf8_lossy(&target)));
    }
    // A URL: the client is sent there, unless the replacement is a status that carries no Location.
    let status = page.replacement.flatten().filter(|status| status.is_redirection()).unwrap_or(StatusCode::FOUND);
    let mut response = Response::new(status);
    response.head.headers.append_known(HeaderId::Location, &target);
    error_page::fill(request.core(), &mut response);
    Some(Next::End(leave(filter(request, response))))
}

fn split_arguments(mut target: Vec<u8>) -> (Vec<u8>, Option<Vec<u8>>) {
    match target.iter().position(|octet| *octet == b'?') {
        Some(at) => {
            let args = target.split_off(at + 1);
            target.pop();
            (target, Some(args))
        }
        None => (target, None),
    }
}

fn redirect(request: &mut Request, uri: Vec<u8>, args: Option<Vec<u8>>) -> Next {
    request.redirects += 1;
    if request.redirects > INTERNAL_REDIRECTS_MAX {
        let shown = String::from_utf8_lossy(&uri).into_owned();
        request.log(
            Level::Error,
            format_args!("rewrite or internal redirection cycle while internally redirecting to \"{shown}\""),
        );
        return Next::End(own_answer(request, StatusCode::INTERNAL_SERVER_ERROR));
    }
    request.uri = uri;
    if let Some(args) = args {
        request.args = args;
    }
    request.is_internal = true;
    request.is_target_intact = false;
    request.has_uri_behind_alias = false;
    request.location = request.server().settings;
    Next::Stage(Stage::ServerRewrite)
}

/// A location's rewrites have changed the path.
fn relocate(request: &mut Request) -> Next {
    request.redirects += 1;
    if request.redirects > INTERNAL_REDIRECTS_MAX {
        let shown = String::from_utf8_lossy(&request.uri).into_owned();
        request.log(Level::Error, format_args!("rewrite or internal redirection cycle while processing \"{shown}\""));
        return Next::End(own_answer(request, StatusCode::INTERNAL_SERVER_ERROR));
    }
    Next::Stage(Stage::FindLocation)
}

fn go_to_named(request: &mut Request, name: &str) -> Next {
    request.redirects += 1;
    let location = request.server().named.get(name).copied();
    match location {
        Some(location) if request.redirects <= INTERNAL_REDIRECTS_MAX => {
            if request.is_explained() {
                explain::tell_location(request, location, "it is named");
            }
            let runtime = Rc::clone(&request.runtime);
            request.location = runtime.location(location).for_method(location, request.method());
            request.is_internal = true;
            Next::Stage(Stage::Location)
        }
        Some(_) => {
            request.log(
                Level::Error,
                format_args!("rewrite or internal redirection cycle while redirect to named location \"{name}\""),
            );
            Next::End(own_answer(request, StatusCode::INTERNAL_SERVER_ERROR))
        }
        None => {
            request.log(Level::Error, format_args!("could not find named location \"{name}\""));
            Next::End(own_answer(request, StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

/// An answer that has gone through the filters.
fn leave(response: Box<Response>) -> End {
    if response.is_void { End::Close } else { End::Answer(response) }
}

fn filter(request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    let challenged = if request.is_connect() { HeaderId::ProxyAuthenticate } else { HeaderId::WwwAuthenticate };
    for challenge in request.challenges.drain(..) {
        response.head.headers.append_known(challenged, &challenge);
    }
    for field in request.carried.iter() {
        if field.id == HeaderId::Location && response.head.headers.has(HeaderId::Location) {
            continue;
        }
        if field.id == HeaderId::ContentType {
            response.head.headers.set_known(field.id, field.value);
        } else {
            response.head.headers.append(field.name, field.value);
        }
    }
    request.carried.clear();
    let runtime = Rc::clone(&request.runtime);
    for filter in &runtime.location(request.location).filters {
        response = filter.apply(request, response);
    }
    response
}

/// The log phase: it runs last, however the request ended.
pub fn log(request: &mut Request) {
    let runtime = Rc::clone(&request.runtime);
    for (_, step) in runtime.location(request.location).plan.between(Phase::Log, Phase::Log) {
        let _ = step.run(request);
    }
}
