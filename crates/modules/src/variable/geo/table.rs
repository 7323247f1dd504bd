//! Values by address: places where the value changes, in order, among which one is found by halving.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::ranges::Ranges;
use crate::network::Network;

/// Number of a text among [`Values`]; 0 is the empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ValueNumber(pub(super) u32);

/// The texts of a block, each once.
pub(super) struct Values {
    texts: Vec<Box<[u8]>>,
    numbers: HashMap<Box<[u8]>, ValueNumber>,
}

impl Default for Values {
    fn default() -> Self {
        let empty: Box<[u8]> = Box::default();
        Self { texts: vec![empty.clone()], numbers: HashMap::from([(empty, ValueNumber(0))]) }
    }
}

impl Values {
    pub(super) fn number_of(&mut self, text: &[u8]) -> ValueNumber {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = ValueNumber(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    pub(super) fn octets(&self, number: ValueNumber) -> &[u8] {
        self.texts.get(number.0 as usize).map(Box::as_ref).unwrap_or_default()
    }
}

/// What the variable looks its values up in.
pub(super) struct AddressTable {
    values: Values,
    v4: Boundaries<u32>,
    v6: Boundaries<u128>,
    /// Whether IPv6 has values of its own, or is no address at all.
    has_v6: bool,
}

/// Addresses from which on a value holds; the first is 0.
type Boundaries<A> = Vec<(A, ValueNumber)>;

/// A stretch of addresses: first, last, value.
type Stretch<A> = (A, A, ValueNumber);

impl AddressTable {
    /// The longest network that an address is in counts.
    pub(super) fn of_networks(values: Values, networks: &HashMap<Network, ValueNumber>, default: ValueNumber) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (network, value) in networks {
            match *network {
                Network::V4(bits, mask) => v4.push((bits, bits | !mask, *value)),
                Network::V6(bits, mask) => v6.push((bits, bits | !mask, *value)),
            }
        }
        let v4 = boundaries(v4, default, |address| address.checked_add(1));
        let v6 = boundaries(v6, default, |address: u128| address.checked_add(1));
        Self { values, v4, v6, has_v6: true }
    }

    /// Ranges are of IPv4 alone.
    pub(super) fn of_ranges(values: Values, ranges: Ranges, default: ValueNumber) -> Self {
        let v4 = boundaries(ranges.into_pieces().collect(), default, |address| address.checked_add(1));
        Self { values, v4, v6: Vec::new(), has_v6: false }
    }

    /// The value for `address`. As in nginx 255.255.255.255 stands for what has no address, and for IPv6 among ranges.
    pub(super) fn find(&self, address: Option<IpAddr>) -> &[u8] {
        let address = address.map_or(IpAddr::V4(Ipv4Addr::BROADCAST), |address| address.to_canonical());
        let number = match address {
            IpAddr::V4(address) => value_at(&self.v4, u32::from(address)),
            IpAddr::V6(address) if self.has_v6 => value_at(&self.v6, u128::from(address)),
            IpAddr::V6(_) => value_at(&self.v4, u32::MAX),
        };
        self.values.octets(number)
    }
}

fn value_at<A: Ord + Copy>(boundaries: &Boundaries<A>, address: A) -> ValueNumber {
    let above = boundaries.partition_point(|(first, _)| *first <= address);
    above.checked_sub(1).and_then(|at| boundaries.get(at)).map(|(_, value)| *value).unwrap_or_default()
}

/// Cuts stretches, each of which lies within or beside each other one, into boundaries; the innermost counts.
fn boundaries<A: Ord + Copy + Default>(
    mut stretches: Vec<Stretch<A>>,
    default: ValueNumber,
    next: impl Fn(A) -> Option<A>,
) -> Boundaries<A> {
    // A wider stretch stands before those that begin with it.
    stretches.sort_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
    let mut boundaries = vec![(A::default(), default)];
    let mut open: Vec<(A, ValueNumber)> = Vec::new();
    let close = |open: &mut Vec<(A, ValueNumber)>, boundaries: &mut Boundaries<A>| {
        let Some((last, _)) = open.pop() else { return };
        let around = open.last().map_or(default, |(_, value)| *value);
        if let Some(behind) = next(last) {
            push(boundaries, behind, around);
        }
    };
    for (first, last, value) in stretches {
        while open.last().is_some_and(|(end, _)| *end < first) {
            close(&mut open, &mut boundaries);
        }
        push(&mut boundaries, first, value);
        open.push((last, value));
    }
    while !open.is_empty() {
        close(&mut open, &mut boundaries);
    }
    boundaries
}

/// Notes that `value` holds from `first` on, which is no smaller than any before.
fn push<A: Eq>(boundaries: &mut Boundaries<A>, first: A, value: ValueNumber) {
    if boundaries.last().is_some_and(|(last, _)| *last == first) {
        boundaries.pop();
    }
    if boundaries.last().is_none_or(|(_, last)| *last != value) {
        boundaries.push((first, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_network_counts() {
        let mut values = Values::default();
        let mut networks = HashMap::new();
        for text in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.0.0/16",
            "10.0.0.1",
            "10.255.0.0/16",
            "255.255.255.255",
            "2001:db8::/32",
            "::1",
        ] {
            let number = values.number_of(text.as_bytes());
            networks.insert(Network::parse(text).expect("a network"), number);
        }
        let default = values.number_of(b"default");
        let table = AddressTable::of_networks(values, &networks, default);
        for (address, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.2", "10.0.0.0/16"),
            ("10.1.0.0", "10.0.0.0/8"),
            ("10.255.255.255", "10.255.0.0/16"),
            ("11.0.0.0", "0.0.0.0/0"),
            ("9.255.255.255", "0.0.0.0/0"),
            ("255.255.255.254", "0.0.0.0/0"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:ffff::1", "2001:db8::/32"),
            ("2001:db9::", "default"),
            ("::1", "::1"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "default"),
        ] {
            let found = table.find(Some(address.parse().expect("an address")));
            assert_eq!(String::from_utf8_lossy(found), expected, "{address}");
        }
        assert_eq!(table.find(None), b"255.255.255.255");
    }

    #[test]
    fn every_address_has_the_value_of_the_smallest_network_around_it() {
        // All networks of the last octet in some order, compared with the search through all of them.
        let mut state = 1_u32;
        let mut values = Values::default();
        let mut networks = HashMap::new();
        for _ in 0..60 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let text = format!("192.0.2.{}/{}", state >> 24, 24 + (state >> 16) % 9);
            let (Ok(network) | Err(crate::network::NetworkError::LowBits(network))) = Network::parse(&text) else {
                panic!("{text}");
            };
            networks.insert(network, values.number_of(text.as_bytes()));
        }
        let expected = |address: IpAddr| {
            let around = networks.iter().filter(|(network, _)| network.contains(address));
            let length = |network: &Network| {
                matches!(network, Network::V4(_, mask) if *mask > 0).then(|| match network {
                    Network::V4(_, mask) => mask.count_ones(),
                    Network::V6(..) => 0,
                })
            };
            around.max_by_key(|(network, _)| length(network)).map(|(_, value)| *value).unwrap_or_default()
        };
        let wanted: Vec<_> = (0..=255).map(|last| expected(IpAddr::from([192, 0, 2, last]))).collect();
        let wanted: Vec<Vec<u8>> = wanted.into_iter().map(|value| values.octets(value).to_vec()).collect();
        let table = AddressTable::of_networks(values, &networks, ValueNumber(0));
        for (last, wanted) in (0_u8..=255).zip(wanted) {
            assert_eq!(table.find(Some(IpAddr::from([192, 0, 2, last]))), wanted, "{last}");
        }
    }
}
