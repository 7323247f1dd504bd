//! The server with the least of something for its weight: `least_conn`, and what `least_time` has in common with it.

use super::{Choice, round_robin};
use crate::upstream::server::ServerState;

/// The server with the least `load` for its weight; several such are asked in turn.
pub fn choose(choice: &Choice<'_>, load: impl Fn(&ServerState) -> u64) -> Option<usize> {
    let mut best: Option<(usize, u64, u64)> = None;
    let mut has_equals = false;
    for (index, server) in choice.candidates() {
        let (load, weight) = (load(server), server.present_weight());
        let order = best.map(|(_, least, of_weight)| (load * of_weight).cmp(&(least * weight)));
        match order {
            None | Some(std::cmp::Ordering::Less) => (best, has_equals) = (Some((index, load, weight)), false),
            Some(std::cmp::Ordering::Equal) => has_equals = true,
            Some(std::cmp::Ordering::Greater) => {}
        }
    }
    let (index, least, of_weight) = best?;
    if !has_equals {
        return Some(index);
    }
    let is_equal = |server: &ServerState| load(server) * of_weight == least * server.present_weight();
    round_robin::choose(choice.candidates().filter(|(_, server)| is_equal(server)))
}
