//! In turn by weight: nginx's smooth round robin.

use std::sync::atomic::Ordering;

use crate::upstream::server::{ServerState, WHOLE_SHARE};

/// A server by its index.
type Candidate<'a> = (usize, &'a ServerState);

/// Chooses among `candidates`: each is owed its weight with every choice, who is owed most is chosen and pays the sum.
pub fn choose<'a>(candidates: impl Iterator<Item = Candidate<'a>>) -> Option<usize> {
    let mut best: Option<(Candidate<'a>, i64)> = None;
    let mut total = 0;
    for candidate in candidates {
        let (current, effective) = candidate.1.grow();
        total += effective;
        if best.is_none_or(|(_, most)| current > most) {
            best = Some((candidate, current));
        }
    }
    let ((index, server), _) = best?;
    server.current_weight.fetch_sub(total, Ordering::Relaxed);
    Some(index)
}

/// The server that a session is `bound` to: it pays as if it had been chosen, so that the others get the more of all else. Once it
/// owes as much as a whole round, nothing is counted any more.
pub fn charge<'a>(bound: Candidate<'a>, candidates: impl Iterator<Item = Candidate<'a>>, total_weight: i64) -> usize {
    let (index, server) = bound;
    let whole = i64::try_from(WHOLE_SHARE).unwrap_or(1);
    if server.current_weight.load(Ordering::Relaxed) <= (server.weight() - total_weight) * whole {
        return index;
    }
    let total: i64 = candidates.map(|(_, candidate)| candidate.grow().1).sum();
    server.current_weight.fetch_sub(total, Ordering::Relaxed);
    index
}

#[cfg(test)]
mod tests {
    use crate::upstream::balance::Method;
    use crate::upstream::balance::tests::{first_choice, tier};

    /// The order that nginx's announcement of the smooth method gives as its example.
    #[test]
    fn a_heavy_server_is_not_asked_in_a_row() {
        let tier = tier(&[5, 1, 1]);
        let next = || first_choice(&tier, &Method::RoundRobin, b"", 1).expect("a server");
        assert_eq!([(); 7].map(|()| next()), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_failed_server_has_its_trial_and_grows_back() {
        let tier = tier(&[2, 1]);
        let next = |now: i64| first_choice(&tier, &Method::RoundRobin, b"", now);
        assert!(tier.servers[0].fail(100));
        assert_eq!([next(101), next(105), next(110)], [Some(1); 3]);
        assert_eq!(next(111), Some(1), "its weight was cut to nothing");
        assert_eq!(next(111), Some(0));
        tier.servers[0].begin_trial(111);
        tier.servers[0].succeed();
        assert!(!tier.servers[0].is_failed(112));
    }
}
