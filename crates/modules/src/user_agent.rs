//! Browsers by what they call themselves, as far as answers depend on it.

use memchr::memmem;

fn has(agent: &[u8], name: &[u8]) -> bool {
    memmem::find(agent, name).is_some()
}

/// Internet Explorer, or whoever calls itself so.
pub(crate) fn is_msie(agent: &[u8]) -> bool {
    memmem::find(agent, b"MSIE ").is_some_and(|at| at + 7 < agent.len()) && !has(agent, b"Opera")
}

/// Chrome, and those made from it.
pub(crate) fn is_chrome(agent: &[u8]) -> bool {
    has(agent, b"Chrome/") && !has(agent, b"Gecko/") && !is_msie(agent) && !has(agent, b"Opera")
}
