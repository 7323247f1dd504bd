//! What an application orders of the web server in front of it, by the fields `X-Accel-...` of its answer.

use daemun_http::{HeaderId, Headers, StatusCode, target};

use crate::fetch::IgnoredHeaders;
use crate::log::Level;
use crate::phase::Outcome;
use crate::request::Request;
use crate::response::Response;

/// Obeys the orders of an answer and takes them out of it. What the request ends with may be something else than that answer.
pub fn obey(mut response: Box<Response>, ignored: IgnoredHeaders, request: &mut Request) -> Outcome {
    if !response.head.headers.iter().any(|field| is_order(field.id)) {
        return Outcome::Respond(response);
    }
    let headers = &mut response.head.headers;
    if let Some(rate) = limit_rate(headers).filter(|_| !ignored.limit_rate) {
        request.limit_rate = Some(rate);
    }
    if !ignored.redirect
        && let Some(outcome) = redirect(headers, request)
    {
        return outcome;
    }
    if !ignored.charset {
        response.charset = charset(headers);
    }
    headers.retain(|field| !is_order(field.id));
    Outcome::Respond(response)
}

/// Whether a field is an order.
#[must_use]
pub fn is_order(id: HeaderId) -> bool {
    matches!(
        id,
        HeaderId::XAccelBuffering
            | HeaderId::XAccelCharset
            | HeaderId::XAccelExpires
            | HeaderId::XAccelLimitRate
            | HeaderId::XAccelRedirect
    )
}

/// `X-Accel-Redirect`: where the request goes on. The answer that it finds there gets some of these fields.
pub fn redirect(headers: &Headers, request: &mut Request) -> Option<Outcome> {
    let outcome = go_to(headers.first(HeaderId::XAccelRedirect)?, request);
    if !matches!(outcome, Outcome::Finish(_)) {
        carry(headers, is_carried, request);
    }
    Some(outcome)
}

/// `X-Accel-Limit-Rate`: octets that the client gets in a second.
#[must_use]
pub fn limit_rate(headers: &Headers) -> Option<u64> {
    let text = headers.first(HeaderId::XAccelLimitRate).and_then(|text| std::str::from_utf8(text).ok());
    text?.parse().ok()
}

/// `X-Accel-Buffering`: whether the answer is read ahead of a slow client.
#[must_use]
pub fn buffering(headers: &Headers) -> Option<bool> {
    match headers.first(HeaderId::XAccelBuffering)? {
        value if value.eq_ignore_ascii_case(b"no") => Some(false),
        value if value.eq_ignore_ascii_case(b"yes") => Some(true),
        _ => None,
    }
}

/// `X-Accel-Charset`: the character set that the answer's text is to have.
#[must_use]
pub fn charset(headers: &Headers) -> Option<Box<[u8]>> {
    headers.first(HeaderId::XAccelCharset).filter(|name| !name.is_empty()).map(Box::from)
}

/// Leaves fields with the request, for the answer that takes the place of theirs.
pub fn carry(headers: &Headers, is_wanted: impl Fn(HeaderId) -> bool, request: &mut Request) {
    for field in headers.iter().filter(|field| is_wanted(field.id)) {
        request.carried.append(field.name, field.value);
    }
}

/// Fields that an answer gives to the one that `X-Accel-Redirect` leads to.
fn is_carried(id: HeaderId) -> bool {
    matches!(
        id,
        HeaderId::ContentType
            | HeaderId::SetCookie
            | HeaderId::ContentDisposition
            | HeaderId::CacheControl
            | HeaderId::Expires
            | HeaderId::AcceptRanges
    )
}

fn go_to(place: &[u8], request: &mut Request) -> Outcome {
    if place.first() == Some(&b'@') {
        return Outcome::Named(String::from_utf8_lossy(place).into_owned());
    }
    let parts = target::split(place);
    let mut uri = Vec::with_capacity(place.len());
    let mut decoded = Vec::with_capacity(parts.path.len());
    target::decode_percent(parts.path, &mut decoded);
    let climbs = decoded.split(|octet| *octet == b'/').any(|part| part == b"..");
    if place.is_empty() || climbs || target::normalize(parts.path, false, &mut uri).is_err() {
        let place = String::from_utf8_lossy(place).into_owned();
        request.log(Level::Error, format_args!("unsafe URI \"{place}\" was detected"));
        return Outcome::Finish(StatusCode::NOT_FOUND);
    }
    request.make_get();
    Outcome::Redirect { uri, args: Some(parts.args.unwrap_or_default().to_vec()) }
}
