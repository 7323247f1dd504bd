//! Who stands behind trusted proxies, by the list of addresses that they pass on.

use std::net::{IpAddr, SocketAddr};

/// The client behind `peer` by `list`, each proxy's client behind that of the one before; `None` where that is `peer` itself.
///
/// The last address counts, and with `is_recursive` the last one that is not trusted.
pub(crate) fn client_behind(
    peer: Option<IpAddr>,
    list: &[u8],
    is_recursive: bool,
    is_trusted: impl Fn(Option<IpAddr>) -> bool,
) -> Option<(IpAddr, Option<u16>)> {
    let mut addresses = list.rsplit(|octet| matches!(octet, b',' | b' ')).filter(|address| !address.is_empty());
    let (mut believed, mut at) = (None, peer);
    while is_trusted(at) {
        let Some(client) = addresses.next().and_then(parse_address) else { break };
        believed = Some(client);
        at = Some(client.0);
        if !is_recursive {
            break;
        }
    }
    believed
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
pub(crate) fn parse_address(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|address| (address, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        let is_trusted =
            |address: Option<IpAddr>| address.is_some_and(|address| address.to_string().starts_with("10."));
        let proxy = Some(IpAddr::from([10, 0, 0, 1]));
        for (list, direct, recursive) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("198.51.100.1, 192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.0.0.2", "10.0.0.2", "192.0.2.1"),
            ("192.0.2.1,10.0.0.3,10.0.0.2,", "10.0.0.2", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.2", "10.0.0.3"),
            ("unknown, 10.0.0.2", "10.0.0.2", "10.0.0.2"),
            ("[2001:db8::1]:99", "2001:db8::1", "2001:db8::1"),
            ("192.0.2.1:99", "192.0.2.1", "192.0.2.1"),
            ("unknown", "", ""),
            ("", "", ""),
        ] {
            for (is_recursive, expected) in [(false, direct), (true, recursive)] {
                let client = client_behind(proxy, list.as_bytes(), is_recursive, is_trusted);
                let shown = client.map(|(ip, _)| ip.to_string()).unwrap_or_default();
                assert_eq!(shown, expected, "{list} {is_recursive}");
            }
        }
    }
}
