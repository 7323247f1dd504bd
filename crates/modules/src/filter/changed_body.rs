//! What no longer holds of an answer whose body a filter changes.

use daemun_http::{HeaderId, Headers};
use daemun_server::Response;

/// Takes back what does not hold of the octets that a filter makes of a body: its length, that parts of it can be asked
/// for, and that it is always the same octets.
pub(super) fn forget_length(response: &mut Response) {
    response.allows_ranges = false;
    let headers = &mut response.head.headers;
    headers.remove_known(HeaderId::ContentLength);
    headers.remove_known(HeaderId::AcceptRanges);
    weaken(headers);
}

/// The same where what is put in changes although the file does not: its time and its tag go, unless they are wanted.
pub(super) fn forget_age(response: &mut Response, is_age_kept: bool) {
    forget_length(response);
    if !is_age_kept {
        response.last_modified = None;
        response.head.headers.remove_known(HeaderId::LastModified);
        response.head.headers.remove_known(HeaderId::ETag);
    }
}

fn weaken(headers: &mut Headers) {
    match headers.first(HeaderId::ETag) {
        None => {}
        Some(etag) if etag.starts_with(b"W/") => {}
        Some(etag) if etag.starts_with(b"\"") => {
            let weak = [b"W/", etag].concat();
            headers.set_known(HeaderId::ETag, &weak);
        }
        Some(_) => headers.remove_known(HeaderId::ETag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_are_made_weak() {
        for (etag, expected) in [("\"a\"", Some("W/\"a\"")), ("W/\"a\"", Some("W/\"a\"")), ("a", None)] {
            let mut headers = Headers::new();
            headers.append_known(HeaderId::ETag, etag.as_bytes());
            weaken(&mut headers);
            assert_eq!(headers.first(HeaderId::ETag), expected.map(str::as_bytes), "{etag}");
        }
    }
}
