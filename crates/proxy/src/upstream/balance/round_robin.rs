//! In turn by weight: nginx's smooth round robin.

use std::sync::atomic::Ordering;

use crate::upstream::server::ServerState;

/// Chooses among `candidates`: each is owed its weight with every choice, who is owed most is chosen and pays the sum.
pub fn choose<'a>(candidates: impl Iterator<Item = (usize, &'a ServerState)>) -> Option<usize> {
    let mut best: Option<(usize, &ServerState, i64)> = None;
    let mut total = 0;
    for (index, server) in candidates {
        let (current, effective) = server.grow();
        total += effective;
        if best.is_none_or(|(_, _, most)| current > most) {
            best = Some((index, server, current));
        }
    }
    let (index, server, current) = best?;
    server.current_weight.store(current - total, Ordering::Relaxed);
    Some(index)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::upstream::balance::{Choice, Method, Tried};
    use crate::upstream::group::Tier;
    use crate::upstream::server::{ServerSettings, ServerState};
    use crate::upstream::{Roster, UpstreamAddress};

    fn tier(weights: &[u32]) -> Tier {
        let server = |(index, weight): (usize, &u32)| {
            let address = UpstreamAddress::parse(&format!("127.0.0.1:{}", index + 1), None).expect("an address");
            let settings = ServerSettings { weight: *weight, ..ServerSettings::new("name") };
            Arc::new(ServerState::new(address[0].clone(), Arc::new(settings)))
        };
        Roster::new(weights.iter().enumerate().map(server).collect()).active
    }

    /// The order that nginx's announcement of the smooth method gives as its example.
    #[test]
    fn a_heavy_server_is_not_asked_in_a_row() {
        let tier = tier(&[5, 1, 1]);
        let tried = Tried::default();
        let next = || Choice { tier: &tier, tried: &tried, now: 1 }.by(&Method::RoundRobin).expect("a server");
        assert_eq!([(); 7].map(|()| next()), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_failed_server_has_its_trial_and_grows_back() {
        let tier = tier(&[2, 1]);
        let next = |now: i64| Choice { tier: &tier, tried: &Tried::default(), now }.by(&Method::RoundRobin);
        assert!(tier.servers[0].fail(100));
        assert_eq!([next(101), next(105), next(110)], [Some(1); 3]);
        assert_eq!(next(111), Some(1), "its weight was cut to nothing");
        assert_eq!(next(111), Some(0));
        tier.servers[0].begin_trial(111);
        tier.servers[0].succeed();
        assert!(!tier.servers[0].is_failed(112));
    }
}
