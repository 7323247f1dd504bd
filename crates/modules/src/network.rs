//! Networks in CIDR notation, for rules about addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address, or all addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    /// IPv4: bits, and which of them count.
    V4(u32, u32),
    /// IPv6: bits, and which of them count.
    V6(u128, u128),
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkError {
    /// It is one, and has bits behind its prefix, which are taken off.
    LowBits(Network),
    /// It is none.
    Invalid,
}

impl Network {
    /// Reads `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`.
    ///
    /// # Errors
    /// See [`NetworkError`].
    pub(crate) fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Invalid)?;
        let (network, is_exact) = match address {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                let mask = length.map_or(Some(u32::MAX), mask_v4).ok_or(NetworkError::Invalid)?;
                (Self::V4(bits & mask, mask), bits & !mask == 0)
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let mask = length.map_or(Some(u128::MAX), mask_v6).ok_or(NetworkError::Invalid)?;
                (Self::V6(bits & mask, mask), bits & !mask == 0)
            }
        };
        if is_exact { Ok(network) } else { Err(NetworkError::LowBits(network)) }
    }

    /// Whether `address` is in the network; an IPv4 address within IPv6 is an IPv4 one.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Self::V4(bits, mask), IpAddr::V4(address)) => address.to_bits() & mask == bits,
            (Self::V6(bits, mask), IpAddr::V6(address)) => address.to_bits() & mask == bits,
            (Self::V6(bits, mask), IpAddr::V4(address)) => address.to_ipv6_mapped().to_bits() & mask == bits,
            (Self::V4(..), IpAddr::V6(_)) => false,
        }
    }
}

fn mask_v4(text: &str) -> Option<u32> {
    let length = text.parse::<u32>().ok().filter(|length| *length <= Ipv4Addr::BITS)?;
    Some(u32::MAX.checked_shl(Ipv4Addr::BITS - length).unwrap_or(0))
}

fn mask_v6(text: &str) -> Option<u128> {
    let length = text.parse::<u32>().ok().filter(|length| *length <= Ipv6Addr::BITS)?;
    Some(u128::MAX.checked_shl(Ipv6Addr::BITS - length).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        for (network, address, expected) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.0/24", "192.0.2.200", true),
            ("192.0.2.0/24", "192.0.3.1", false),
            ("0.0.0.0/0", "198.51.100.1", true),
            ("192.0.2.0/24", "::ffff:192.0.2.1", true),
            ("192.0.2.0/24", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "::1", true),
            ("::ffff:0:0/96", "192.0.2.1", true),
        ] {
            let parsed = Network::parse(network).expect("a network");
            assert_eq!(parsed.contains(address.parse().expect("an address")), expected, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "host",
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/255.255.255.0",
            "::/129",
            "192.0.2.0/-1",
            "/8",
        ] {
            assert_eq!(Network::parse(text), Err(NetworkError::Invalid), "{text}");
        }
        let network = Network::parse("192.0.2.0/24").expect("a network");
        assert_eq!(Network::parse("192.0.2.7/24"), Err(NetworkError::LowBits(network)));
    }
}
