//! The ranges of a `geo` block while it is being read.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::table::ValueNumber;

/// Ranges of IPv4 addresses that do not overlap. As in nginx a later one may take a part of an earlier one that it lies in, and each
/// is kept in pieces that do not cross a multiple of 65,536, by which they are deleted.
#[derive(Default)]
pub(super) struct Ranges(BTreeMap<u32, Piece>);

#[derive(Clone, Copy)]
struct Piece {
    last: u32,
    value: ValueNumber,
}

/// Why a range is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeError {
    /// Not two addresses in their order with a dash between.
    Invalid,
    /// It sticks out of an earlier one, whose first and last address these are.
    Overlap(Ipv4Addr, Ipv4Addr),
}

impl Ranges {
    /// Adds `first-last`; gives the value that a part of the same extent had before.
    pub(super) fn add(&mut self, text: &str, value: ValueNumber) -> Result<Option<ValueNumber>, RangeError> {
        let mut old = None;
        for (first, last) in pieces(text)? {
            old = self.add_piece(first, Piece { last, value })?.or(old);
        }
        Ok(old)
    }

    fn add_piece(&mut self, first: u32, piece: Piece) -> Result<Option<ValueNumber>, RangeError> {
        let below = self.0.range(..=piece.last).next_back().map(|(first, piece)| (*first, *piece));
        let Some((start, around)) = below.filter(|(_, around)| around.last >= first) else {
            self.0.insert(first, piece);
            return Ok(None);
        };
        if first < start || piece.last > around.last {
            return Err(RangeError::Overlap(Ipv4Addr::from(start), Ipv4Addr::from(around.last)));
        }
        self.0.remove(&start);
        if start < first {
            self.0.insert(start, Piece { last: first - 1, ..around });
        }
        if piece.last < around.last {
            self.0.insert(piece.last + 1, around);
        }
        self.0.insert(first, piece);
        Ok((start == first && around.last == piece.last).then_some(around.value))
    }

    /// Takes away the pieces of exactly this extent; false where one of them is not there.
    pub(super) fn delete(&mut self, text: &str) -> Result<bool, RangeError> {
        let mut were_there = true;
        for (first, last) in pieces(text)? {
            if self.0.get(&first).is_some_and(|piece| piece.last == last) {
                self.0.remove(&first);
            } else {
                were_there = false;
            }
        }
        Ok(were_there)
    }

    /// First address, last address and value of each piece, in order.
    pub(super) fn into_pieces(self) -> impl Iterator<Item = (u32, u32, ValueNumber)> {
        self.0.into_iter().map(|(first, piece)| (first, piece.last, piece.value))
    }
}

/// The pieces of `192.0.2.1-192.0.3.1`.
fn pieces(text: &str) -> Result<impl Iterator<Item = (u32, u32)> + use<>, RangeError> {
    let address = |text: &str| text.parse::<Ipv4Addr>().map(u32::from).map_err(|_| RangeError::Invalid);
    let (first, last) = text.split_once('-').ok_or(RangeError::Invalid)?;
    let (first, last) = (address(first)?, address(last)?);
    if first > last {
        return Err(RangeError::Invalid);
    }
    let of_high = move |high: u32| (first.max(high << 16), last.min(high << 16 | 0xffff));
    Ok((first >> 16..=last >> 16).map(of_high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(texts: &[&str]) -> Result<Vec<(String, u32)>, RangeError> {
        let mut ranges = Ranges::default();
        for (number, text) in texts.iter().enumerate() {
            match text.strip_prefix("delete ") {
                Some(text) => assert!(ranges.delete(text)?, "{text}"),
                None => drop(ranges.add(text, ValueNumber(number as u32 + 1))?),
            }
        }
        let shown = |(first, last, value): (u32, u32, ValueNumber)| {
            (format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last)), value.0)
        };
        Ok(ranges.into_pieces().map(shown).collect())
    }

    #[test]
    fn a_range_within_another_takes_its_part() {
        let seen = added(&["127.0.0.0-127.0.0.9", "127.0.0.2-127.0.0.3", "127.0.0.0-127.0.0.0", "127.0.0.8-127.0.0.9"]);
        let expected = [
            ("127.0.0.0-127.0.0.0", 3),
            ("127.0.0.1-127.0.0.1", 1),
            ("127.0.0.2-127.0.0.3", 2),
            ("127.0.0.4-127.0.0.7", 1),
            ("127.0.0.8-127.0.0.9", 4),
        ];
        let seen = seen.expect("valid");
        assert!(seen.iter().map(|(text, value)| (text.as_str(), *value)).eq(expected), "{seen:?}");
    }

    #[test]
    fn what_sticks_out_is_refused_and_what_is_no_range_too() {
        let first = Ipv4Addr::new(10, 0, 0, 1);
        let overlap = RangeError::Overlap(first, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(added(&["10.0.0.1-10.0.0.2", "10.0.0.2-10.0.0.3"]), Err(overlap));
        assert_eq!(added(&["10.0.0.1-10.0.0.2", "10.0.0.0-10.0.0.3"]), Err(overlap));
        for invalid in ["10.0.0.1", "10.0.0.2-10.0.0.1", "a-b", "10.0.0.1-", "::1-::2"] {
            assert_eq!(added(&[invalid]), Err(RangeError::Invalid), "{invalid}");
        }
    }

    #[test]
    fn pieces_are_deleted_by_their_extent() {
        assert_eq!(added(&["10.10.3.0-10.11.2.255", "delete 10.10.3.0-10.11.2.255"]), Ok(Vec::new()));
        let mut ranges = Ranges::default();
        assert_eq!(ranges.add("0.0.0.0-255.255.255.255", ValueNumber(1)), Ok(None));
        assert_eq!(ranges.delete("10.10.0.0-10.10.255.255"), Ok(true));
        assert_eq!(ranges.delete("10.11.0.0-10.11.0.255"), Ok(false));
        assert_eq!(ranges.into_pieces().count(), 65_535);
    }
}
