//! Whether a connection that its client would keep is kept: `keepalive_requests`, `keepalive_time` and their neighbours.

use std::time::Duration;

use daemun_http::{HeaderId, Method};

use crate::clock;
use crate::config::KeepAliveDisable;
use crate::request::Request;

/// Whether the location that answers leaves the connection open for another request.
pub(super) fn allows(request: &Request) -> bool {
    let core = request.core();
    let client = &request.client;
    let age = Duration::from_millis(clock::monotonic_ms().saturating_sub(client.started_ms));
    !core.keepalive_timeout().is_zero()
        && u64::from(client.requests.get()) < core.keepalive_requests()
        && age <= core.keepalive_time()
        && !is_disabled(core.keepalive_disable(), request)
}

fn is_disabled(disable: KeepAliveDisable, request: &Request) -> bool {
    let is_post = *request.method() == Method::Post;
    if !(disable.safari || disable.msie6 && is_post) {
        return false;
    }
    let Some(agent) = request.headers().first(HeaderId::UserAgent) else { return false };
    (disable.msie6 && is_post && is_msie6(agent)) || (disable.safari && is_safari(agent))
}

/// Internet Explorer 4, 5, and 6 before its second service pack.
fn is_msie6(agent: &[u8]) -> bool {
    let Some(at) = find(agent, b"MSIE ") else { return false };
    let Some([version, b'.', rest @ ..]) = agent.get(at + 5..) else { return false };
    let is_old = matches!(version, b'4' | b'5') || (*version == b'6' && find(rest, b"SV1").is_none());
    is_old && !rest.is_empty() && find(agent, b"Opera").is_none()
}

/// Safari on a Mac; other browsers name Safari too, and themselves before it.
fn is_safari(agent: &[u8]) -> bool {
    let has = |name: &[u8]| find(agent, name).is_some();
    has(b"Safari/")
        && has(b"Mac OS X")
        && ![&b"Opera"[..], b"MSIE ", b"Gecko/", b"Chrome/"].iter().any(|name| has(name))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::{is_msie6, is_safari};

    #[test]
    fn old_internet_explorers() {
        for (agent, expected) in [
            ("Mozilla/4.0 (compatible; MSIE 5.5; Windows 98)", true),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.0)", true),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", false),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows 98) Opera 7.0", false),
            ("Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2)", false),
            ("MSIE ", false),
        ] {
            assert_eq!(is_msie6(agent.as_bytes()), expected, "{agent}");
        }
    }

    #[test]
    fn safari_and_those_that_call_themselves_so() {
        let safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_6_8) AppleWebKit/534.59 (KHTML, like Gecko) Version/5.1 Safari/534.59";
        let chrome = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120 Safari/537.36";
        assert!(is_safari(safari.as_bytes()));
        assert!(!is_safari(chrome.as_bytes()));
    }
}
