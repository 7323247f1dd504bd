//! The core's directives, of all its tables.

use daemun_conf::Directive;

use super::{Core, DIRECTIVES, http2, transfer};

/// In the order of their tables.
pub(super) static ALL_DIRECTIVES: [Directive<Core>; DIRECTIVES.len() + MORE_DIRECTIVES.len()] =
    join(DIRECTIVES, &MORE_DIRECTIVES);

const MORE_DIRECTIVES: [Directive<Core>; transfer::DIRECTIVES.len() + http2::DIRECTIVES.len()] =
    join(transfer::DIRECTIVES, http2::DIRECTIVES);

/// Two tables as one, whose length `N` is theirs together.
const fn join<const N: usize>(first: &[Directive<Core>], second: &[Directive<Core>]) -> [Directive<Core>; N] {
    let mut all = [first[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() { first[at] } else { second[at - first.len()] };
        at += 1;
    }
    all
}
