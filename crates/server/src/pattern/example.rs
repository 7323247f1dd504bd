//! A path that an expression matches, found by walking its automaton.

use std::collections::{HashMap, VecDeque};

use daemun_http::target;
use regex_automata::Input;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};

use super::Pattern;
use crate::limits::{EXAMPLE_CACHE_BYTES, EXAMPLE_STEPS_MAX};

/// The shortest normalised path, or one of them, that begins with `prefix`, matches `pattern` and `is_wanted`; `None` where there is
/// none, or where none was found within the limits, or for an expression with look-around, which has no automaton.
pub fn example_path(pattern: &Pattern, prefix: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let configuration = DFA::config().cache_capacity(EXAMPLE_CACHE_BYTES);
    let automaton = DFA::builder().configure(configuration).build(pattern.text()).ok()?;
    let mut cache = automaton.create_cache();
    let mut state = automaton.start_state_forward(&mut cache, &Input::new(b"")).ok()?;
    for octet in prefix {
        state = automaton.next_state(&mut cache, state, *octet).ok()?;
    }
    let is_example = |path: &[u8]| {
        let mut normal = Vec::with_capacity(path.len());
        let is_normal = target::normalize(path, true, &mut normal).is_ok() && normal == path;
        is_normal && pattern.is_match(path) && is_wanted(path)
    };
    search(&automaton, &mut cache, state, prefix, is_example)
}

/// Breadth first, each state a few times: what was not wanted at first may be so with another octet in it.
fn search(
    automaton: &DFA,
    cache: &mut Cache,
    start: LazyStateID,
    prefix: &[u8],
    is_example: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut seen: HashMap<LazyStateID, u8> = HashMap::new();
    let mut open = VecDeque::from([(start, prefix.to_vec())]);
    for _ in 0..EXAMPLE_STEPS_MAX {
        let (state, path) = open.pop_front()?;
        if cache.clear_count() > 0 || state.is_dead() || state.is_quit() {
            continue; // What was cleared away has no states to go on from.
        }
        let end = automaton.next_eoi_state(cache, state).ok()?;
        if (state.is_match() || end.is_match()) && is_example(&path) {
            return Some(path);
        }
        for octet in OCTETS {
            let next = automaton.next_state(cache, state, *octet).ok()?;
            let times = seen.entry(next).or_default();
            if *times < TIMES {
                *times += 1;
                open.push_back((next, [path.as_slice(), &[*octet]].concat()));
            }
        }
    }
    None
}

/// What paths are made of, what reads best first.
const OCTETS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789./-_ABCDEFGHIJKLMNOPQRSTUVWXYZ~!$&'()*+,;=:@";

/// How often a state is gone on from.
const TIMES: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_begin_with_the_prefix_and_match() {
        for (text, is_caseless, prefix) in [
            (r"\.php$", false, "/admin/"),
            (r"^/admin/.*\.(gif|jpe?g)$", true, "/admin/"),
            (r"^(.+\.php)(/.*)?$", false, "/a/b"),
            (r"/\.ht", false, "/x/"),
            (r"^/[a-z]+/(?<name>\d{4})/", false, "/admin/"),
        ] {
            let pattern = Pattern::new(text, is_caseless).expect("valid");
            let path = example_path(&pattern, prefix.as_bytes(), |_| true).expect(text);
            assert!(path.starts_with(prefix.as_bytes()) && pattern.is_match(&path), "{text}: {path:?}");
        }
    }

    #[test]
    fn where_there_is_none_there_is_none() {
        for (text, prefix) in [(r"^/images/.*\.png$", "/admin/"), (r"^/admin$", "/admin/"), (r"^/ad(?!min)", "/admin/")]
        {
            let pattern = Pattern::new(text, false).expect("valid");
            assert_eq!(example_path(&pattern, prefix.as_bytes(), |_| true), None, "{text}");
        }
        // "/a/." is "/a/" itself.
        let pattern = Pattern::new(r"/\.", false).expect("valid");
        assert_eq!(example_path(&pattern, b"/a/", |_| true).as_deref(), Some(&b"/a/.a"[..]));
    }
}
