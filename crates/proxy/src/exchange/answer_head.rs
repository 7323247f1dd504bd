//! What the fields of a server's answer order, and which of them the client gets.

use std::rc::Rc;

use daemun_http::{HeaderId, Headers, ResponseHead, StatusCode, date};
use daemun_server::log::Level;
use daemun_server::{Outcome, Request, Response, accel};

use super::link::Link;
use super::states::UpstreamStates;
use crate::pass::PassSettings;

/// What becomes of an answer's head.
pub enum Answer {
    /// The request goes elsewhere: `X-Accel-Redirect`, or a page of ours stands for an error.
    Elsewhere(Outcome),
    /// It goes to the client.
    Own {
        /// The answer, without a body so far.
        response: Box<Response>,
        /// Whether it is read ahead of a slow client.
        is_buffered: bool,
    },
}

/// Makes an answer, without a body so far, of a head that was kept.
pub fn accept_kept(
    settings: &PassSettings,
    rewrite: impl Fn(&Request, &mut ResponseHead),
    head: &Rc<ResponseHead>,
    request: &mut Request,
) -> Outcome {
    UpstreamStates::of(request).share_head(head);
    match accept(settings, rewrite, head.as_ref().clone(), request) {
        Answer::Elsewhere(outcome) => outcome,
        Answer::Own { response, .. } => Outcome::Respond(response),
    }
}

/// Obeys and cleans the fields of `head`; `rewrite` does with it what the protocol has to.
pub fn accept(
    settings: &PassSettings,
    rewrite: impl Fn(&Request, &mut ResponseHead),
    mut head: ResponseHead,
    request: &mut Request,
) -> Answer {
    if settings.intercept_errors() && head.status.as_u16() >= 300 && request.core().error_page(head.status).is_some() {
        if head.status == StatusCode::UNAUTHORIZED {
            accel::carry(&head.headers, |id| id == HeaderId::WwwAuthenticate, request);
        }
        return Answer::Elsewhere(Outcome::Finish(head.status));
    }
    let ignored = settings.ignored_headers();
    if let Some(rate) = accel::limit_rate(&head.headers).filter(|_| !ignored.limit_rate) {
        request.limit_rate = Some(rate);
    }
    if !ignored.redirect
        && let Some(outcome) = accel::redirect(&head.headers, request)
    {
        return Answer::Elsewhere(outcome);
    }
    let ordered = accel::buffering(&head.headers).filter(|_| !ignored.buffering);
    let is_buffered = ordered.unwrap_or_else(|| settings.buffering());
    let charset = accel::charset(&head.headers).filter(|_| !ignored.charset);
    if !is_buffered {
        request.limit_rate = Some(0); // As nginx: a server whose answer waits for nothing waits for no rate.
    }
    rewrite(request, &mut head);
    let hidden = settings.hidden();
    head.headers.retain(|field| !is_of_the_connection(field.id) && !hidden.contains(&field));
    if let Some(fetch) = request.fetch.as_ref().filter(|_| !is_buffered) {
        fetch.pass_through();
    }
    let mut response = Response::new(head.status);
    response.is_own = false;
    response.charset = charset;
    response.withheld = settings.withheld();
    if settings.force_ranges() {
        response.allows_ranges = true;
        response.last_modified = head.headers.first(HeaderId::LastModified).and_then(date::parse_http_date);
        head.headers.remove_known(HeaderId::AcceptRanges);
    }
    response.head = head;
    Answer::Own { response, is_buffered }
}

/// How the server frames its connection is not how we frame ours.
fn is_of_the_connection(id: HeaderId) -> bool {
    matches!(id, HeaderId::Connection | HeaderId::KeepAlive | HeaderId::TransferEncoding)
}

/// Of fields that may come once the first one counts.
pub fn drop_repeated(headers: &mut Headers, link: &Link, request: &Request) {
    let once = |id: HeaderId| {
        matches!(
            id,
            HeaderId::Status
                | HeaderId::ContentType
                | HeaderId::Date
                | HeaderId::LastModified
                | HeaderId::ETag
                | HeaderId::Server
                | HeaderId::Location
                | HeaderId::Refresh
                | HeaderId::Expires
                | HeaderId::XAccelRedirect
                | HeaderId::XAccelLimitRate
        )
    };
    let mut seen = 0_u128;
    let mut first = |id: HeaderId| {
        let bit = 1_u128 << id as u8;
        let is_first = !once(id) || seen & bit == 0;
        seen |= bit;
        is_first
    };
    let mut is_repeated = false;
    for field in headers.iter() {
        if !first(field.id) {
            is_repeated = true;
            let (name, value) = (String::from_utf8_lossy(field.name), String::from_utf8_lossy(field.value));
            let before = String::from_utf8_lossy(headers.first(field.id).unwrap_or_default());
            let message = format_args!(
                "upstream sent duplicate header line: \"{name}: {value}\", previous value: \"{name}: {before}\", ignored while reading response header from upstream"
            );
            request.log_upstream(Level::Warn, message, link);
        }
    }
    if is_repeated {
        let mut seen = 0_u128;
        headers.retain(|field| {
            let bit = 1_u128 << field.id as u8;
            let is_kept = !once(field.id) || seen & bit == 0;
            seen |= bit;
            is_kept
        });
    }
}
