//! The nearest known name to a misspelt one.

use std::cmp::Reverse;

use crate::limits::SUGGESTION_NAME_BYTES_MAX;

/// The candidate that differs least from `name`, if one is near enough to be what was meant.
///
/// Counted are letters that are wrong, missing, too many or swapped with their neighbour: one is allowed in a short name, up to
/// a third of a longer one. Case, and `_` for `-`, count nothing. Of equally near candidates the one with the longer
/// common beginning wins, then the first. If none is near, the shortest that `name` is the beginning of is taken.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > SUGGESTION_NAME_BYTES_MAX {
        return None;
    }
    let name = plain(name);
    let allowed = (name.len() / 3).clamp(1, 4);
    let rank = |candidate: &'a str| {
        let plain_candidate = plain(candidate);
        if name.len() >= BEGINNING_BYTES_MIN && plain_candidate.starts_with(&name) {
            // Behind all that are near, by length.
            let distance = candidate.len() - name.len();
            let class = usize::from(distance > allowed);
            return Some((class, distance, Reverse(name.len()), candidate));
        }
        if candidate.len().abs_diff(name.len()) > allowed {
            return None;
        }
        let distance = distance(&name, &plain_candidate);
        let common = name.iter().zip(&plain_candidate).take_while(|(left, right)| left == right).count();
        let is_near = distance <= allowed && distance < candidate.len();
        is_near.then_some((0, distance, Reverse(common), candidate))
    };
    let best = candidates.filter_map(rank).min_by_key(|&(class, distance, common, _)| (class, distance, common));
    best.map(|(_, _, _, candidate)| candidate)
}

/// Fewer letters are the beginning of too much to say anything.
const BEGINNING_BYTES_MIN: usize = 4;

fn plain(name: &str) -> Vec<u8> {
    name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }).collect()
}

/// Edit distance with swaps of neighbours (optimal string alignment), in bytes.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut before_last: Vec<usize> = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut row = last.clone();
    for (i, &a) in left.iter().enumerate() {
        row[0] = i + 1;
        for (j, &b) in right.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a == right[j - 1] && left[i - 1] == b {
                best = best.min(before_last[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        std::mem::swap(&mut before_last, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known =
            ["processes", "threads", "thunder-lock", "vacuum", "vassal-set", "listen", "root", "worker_processes"];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("process"), Some("processes"));
        assert_eq!(near("thread"), Some("threads"));
        assert_eq!(near("vaccum"), Some("vacuum"));
        assert_eq!(near("lisetn"), Some("listen"));
        assert_eq!(near("worker_process"), Some("worker_processes"));
        assert_eq!(near("WORKER-PROCESSES"), Some("worker_processes"));
        assert_eq!(near("rot"), Some("root"));
        assert_eq!(near("proces"), Some("processes"));
        assert_eq!(near("work"), Some("worker_processes"));
        assert_eq!(near("wor"), None);
        assert_eq!(near("x"), None);
        assert_eq!(near(""), None);
        assert_eq!(near("base"), None);
        assert_eq!(near(&"a".repeat(100_000)), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b""), 3);
        assert_eq!(distance(b"abcd", b"acbd"), 1);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }
}
