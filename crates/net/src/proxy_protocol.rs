//! The header of the PROXY protocol, versions 1 and 2: who the client is, as a proxy in front says before anything else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::{PROXY_HEADER_BYTES_MAX, PROXY_LINE_BYTES_MAX};

/// What a header says of the connection that the proxy took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client.
    pub source: ProxyEndpoint,
    /// What the client connected to.
    pub destination: ProxyEndpoint,
    /// Type, length, value, one after the other; empty in version 1.
    pub tlvs: Box<[u8]>,
}

/// One end of the proxied connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyEndpoint {
    /// The address.
    pub address: IpAddr,
    /// The address as written in version 1, in its usual form in version 2.
    pub text: Box<str>,
    /// The port, 0 where none is known.
    pub port: u16,
}

/// What the octets so far come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyHeaderStep {
    /// The header goes on: call again with more octets behind these.
    NeedMore,
    /// The header is the first `taken` octets.
    Complete {
        /// What it says; `None` where the proxy speaks for itself or of a kind of connection that is not known here.
        header: Option<Box<ProxyHeader>>,
        /// Octets of the header.
        taken: usize,
    },
}

/// Why octets are no header. The connection is closed, since nothing that follows can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    /// Neither version's form; the text is its first line, escaped.
    #[error("broken header: \"{0}\"")]
    Broken(String),
    /// The signature of version 2 with another version behind it.
    #[error("unknown PROXY protocol version: {0}")]
    Version(u8),
    /// More octets are announced than [`PROXY_HEADER_BYTES_MAX`].
    #[error("header is too large")]
    TooLarge,
    /// Fewer octets are announced than the addresses need.
    #[error("header is too short for its addresses")]
    TooShort,
}

/// Reads a header from the front of `input`, which may end anywhere.
///
/// # Errors
/// See [`ProxyHeaderError`].
///
/// # Source
/// HAProxy's `proxy-protocol.txt`, sections 2.1 and 2.2.
pub fn read_proxy_header(input: &[u8]) -> Result<ProxyHeaderStep, ProxyHeaderError> {
    let common = input.len().min(SIGNATURE.len());
    if input[..common] == SIGNATURE[..common] {
        return if common < SIGNATURE.len() { Ok(ProxyHeaderStep::NeedMore) } else { read_version_2(input) };
    }
    let common = input.len().min(PREFIX.len());
    if input[..common] != PREFIX[..common] {
        return Err(broken(input));
    }
    let within = &input[..input.len().min(PROXY_LINE_BYTES_MAX)];
    match within.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => {
            let header = read_line(&input[..end]).map_err(|_| broken(input))?;
            Ok(ProxyHeaderStep::Complete { header, taken: end + 2 })
        }
        None if input.len() < PROXY_LINE_BYTES_MAX => Ok(ProxyHeaderStep::NeedMore),
        None => Err(broken(input)),
    }
}

/// Begins a header of version 1.
const PREFIX: &[u8] = b"PROXY ";

/// Begins a header of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

fn broken(input: &[u8]) -> ProxyHeaderError {
    let shown = input.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
    let shown = &shown[..shown.len().min(PROXY_LINE_BYTES_MAX)];
    ProxyHeaderError::Broken(shown.escape_ascii().to_string())
}

/// The line is none of version 1.
struct BrokenLine;

/// Reads `PROXY TCP4 source destination source-port destination-port`, without its line end.
fn read_line(line: &[u8]) -> Result<Option<Box<ProxyHeader>>, BrokenLine> {
    let text = std::str::from_utf8(line).map_err(|_| BrokenLine)?;
    let mut words = text.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family.starts_with("UNKNOWN") {
        return Ok(None); // Whatever follows is to be passed over.
    }
    let words: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = words.as_slice() else { return Err(BrokenLine) };
    let endpoint = |text: &str, port: &str| {
        let address: IpAddr = match family {
            "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::from).map_err(|_| BrokenLine)?,
            "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::from).map_err(|_| BrokenLine)?,
            _ => return Err(BrokenLine),
        };
        let is_number = !port.is_empty() && port.bytes().all(|octet| octet.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number).ok_or(BrokenLine)?;
        Ok(ProxyEndpoint { address, text: text.into(), port })
    };
    let source = endpoint(source, source_port)?;
    let destination = endpoint(destination, destination_port)?;
    Ok(Some(Box::new(ProxyHeader { source, destination, tlvs: Box::default() })))
}

/// Reads a header that begins with the whole [`SIGNATURE`].
fn read_version_2(input: &[u8]) -> Result<ProxyHeaderStep, ProxyHeaderError> {
    let Some((&[command, family, high, low], rest)) = input[SIGNATURE.len()..].split_first_chunk() else {
        return Ok(ProxyHeaderStep::NeedMore);
    };
    if command >> 4 != 2 {
        return Err(ProxyHeaderError::Version(command >> 4));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let taken = SIGNATURE.len() + 4 + length;
    if taken > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyHeaderError::TooLarge);
    }
    let Some(content) = rest.get(..length) else { return Ok(ProxyHeaderStep::NeedMore) };
    // A check by the proxy itself (LOCAL), datagrams and families that are not known: the connection speaks for itself.
    let header = match (command & 0x0f, family) {
        (1, 0x11) => Some(read_endpoints::<4>(content)?),
        (1, 0x21) => Some(read_endpoints::<16>(content)?),
        _ => None,
    };
    Ok(ProxyHeaderStep::Complete { header, taken })
}

/// Reads two addresses of `N` octets, two ports, and takes what follows as TLVs.
fn read_endpoints<const N: usize>(content: &[u8]) -> Result<Box<ProxyHeader>, ProxyHeaderError>
where
    IpAddr: From<[u8; N]>,
{
    let short = || ProxyHeaderError::TooShort;
    let (source, rest) = content.split_first_chunk::<N>().ok_or_else(short)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or_else(short)?;
    let (source_port, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (destination_port, tlvs) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let endpoint = |address: &[u8; N], port: &[u8; 2]| {
        let address = IpAddr::from(*address);
        ProxyEndpoint { address, text: address.to_string().into(), port: u16::from_be_bytes(*port) }
    };
    Ok(Box::new(ProxyHeader {
        source: endpoint(source, source_port),
        destination: endpoint(destination, destination_port),
        tlvs: tlvs.into(),
    }))
}

/// Why a TLV cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    /// The octets are no sequence of TLVs.
    #[error("broken PROXY protocol TLV")]
    Broken,
    /// No TLV is called so, neither by a name nor by a hexadecimal number.
    #[error("unknown PROXY protocol TLV")]
    Unknown,
}

impl ProxyHeader {
    /// The value of a TLV by its name (`alpn`, `ssl_cn`) or number (`0xea`, `ssl_0x22`), as `$proxy_protocol_tlv_*` has them.
    ///
    /// # Errors
    /// See [`TlvError`].
    pub fn tlv(&self, name: &str) -> Result<Option<Vec<u8>>, TlvError> {
        let Some(name) = name.strip_prefix("ssl_") else {
            return Ok(find_tlv(&self.tlvs, tlv_type(name, &NAMES)?)?.map(<[u8]>::to_vec));
        };
        let Some(ssl) = find_tlv(&self.tlvs, 0x20)? else { return Ok(None) };
        let (&[_client, a, b, c, d], within) = ssl.split_first_chunk().ok_or(TlvError::Broken)?;
        if name == "verify" {
            return Ok(Some(u32::from_be_bytes([a, b, c, d]).to_string().into_bytes()));
        }
        Ok(find_tlv(within, tlv_type(name, &SSL_NAMES)?)?.map(<[u8]>::to_vec))
    }
}

const NAMES: [(&str, u32); 5] =
    [("alpn", 0x01), ("authority", 0x02), ("unique_id", 0x05), ("ssl", 0x20), ("netns", 0x30)];

const SSL_NAMES: [(&str, u32); 5] =
    [("version", 0x21), ("cn", 0x22), ("cipher", 0x23), ("sig_alg", 0x24), ("key_alg", 0x25)];

fn tlv_type(name: &str, names: &[(&str, u32)]) -> Result<u32, TlvError> {
    let by_number = || u32::from_str_radix(name.strip_prefix("0x")?, 16).ok();
    let by_name = names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    by_name.or_else(by_number).ok_or(TlvError::Unknown)
}

fn find_tlv(mut tlvs: &[u8], wanted: u32) -> Result<Option<&[u8]>, TlvError> {
    while !tlvs.is_empty() {
        let (&[number, high, low], rest) = tlvs.split_first_chunk().ok_or(TlvError::Broken)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(TlvError::Broken)?;
        if u32::from(number) == wanted {
            return Ok(Some(value));
        }
        tlvs = rest;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, content].concat()
    }

    const INET: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0, 123, 22, 46];

    #[test]
    fn every_prefix_of_a_header_needs_more() {
        let binary = version_2(0x21, 0x11, &INET);
        for whole in [&b"PROXY TCP6 2001:Db8::1 2001:db8::2 1 65535\r\n"[..], b"PROXY UNKNOWN\r\n", &binary] {
            for end in 0..whole.len() {
                assert_eq!(read_proxy_header(&whole[..end]), Ok(ProxyHeaderStep::NeedMore), "{end}");
            }
            let with_more = [whole, b"GET /"].concat();
            let Ok(ProxyHeaderStep::Complete { taken, .. }) = read_proxy_header(&with_more) else { panic!("whole") };
            assert_eq!(taken, whole.len());
        }
    }

    #[test]
    fn both_versions_say_who_the_client_is() {
        let text = read_proxy_header(b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\n");
        let binary = read_proxy_header(&version_2(0x21, 0x11, &INET));
        let header = |step| match step {
            Ok(ProxyHeaderStep::Complete { header: Some(header), .. }) => header,
            other => panic!("{other:?}"),
        };
        let (text, binary) = (header(text), header(binary));
        assert_eq!(text, binary);
        assert_eq!((&*text.source.text, text.source.port), ("192.0.2.1", 123));
        assert_eq!((&*text.destination.text, text.destination.port), ("192.0.2.2", 5678));
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        let local = version_2(0x20, 0x11, &INET);
        let unix = version_2(0x21, 0x31, &[1; 216]);
        let datagram = version_2(0x21, 0x12, &INET);
        for octets in [&b"PROXY UNKNOWN a b c\r\n"[..], &local, &unix, &datagram] {
            let step = read_proxy_header(octets);
            assert_eq!(step, Ok(ProxyHeaderStep::Complete { header: None, taken: octets.len() }));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(PROXY_LINE_BYTES_MAX));
        for octets in [
            "GET / HTTP/1.1\r\n\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 123\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 123 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2  1 2\r\n",
            "PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 a.b.c.d 192.0.2.2 1 2\r\n",
            "PROXY\t",
            "proxy ",
            &long,
        ] {
            let step = read_proxy_header(octets.as_bytes());
            assert!(matches!(step, Err(ProxyHeaderError::Broken(_))), "{octets:?}: {step:?}");
        }
        assert_eq!(read_proxy_header(&version_2(0x31, 0x11, &INET)), Err(ProxyHeaderError::Version(3)));
        assert_eq!(read_proxy_header(&version_2(0x21, 0x11, &INET[1..])), Err(ProxyHeaderError::TooShort));
        assert_eq!(read_proxy_header(&version_2(0x21, 0x21, &INET)), Err(ProxyHeaderError::TooShort));
        assert_eq!(read_proxy_header(&version_2(0x21, 0x11, &[0; 4090])), Err(ProxyHeaderError::TooLarge));
    }

    #[test]
    fn tlvs_by_name_and_number() {
        let tlv = |number: u8, value: &[u8]| [&[number, 0, value.len() as u8], value].concat();
        let ssl = [&[1, 0, 0, 1, 0][..], &tlv(0x22, b"example.test")].concat();
        let tlvs = [tlv(1, b"h2"), tlv(0x20, &ssl), tlv(0xea, b"own")].concat();
        let end = ProxyEndpoint { address: IpAddr::from([0, 0, 0, 0]), text: "".into(), port: 0 };
        let header = ProxyHeader { source: end.clone(), destination: end, tlvs: tlvs.into() };
        let found =
            |name: &str| header.tlv(name).map(|value| String::from_utf8(value.unwrap_or_default()).expect("text"));
        assert_eq!(found("alpn").as_deref(), Ok("h2"));
        assert_eq!(found("0x0001").as_deref(), Ok("h2"));
        assert_eq!(found("0xea").as_deref(), Ok("own"));
        assert_eq!(found("ssl_cn").as_deref(), Ok("example.test"));
        assert_eq!(found("ssl_0x22").as_deref(), Ok("example.test"));
        assert_eq!(found("ssl_verify").as_deref(), Ok("256"));
        assert_eq!(found("netns").as_deref(), Ok(""));
        assert_eq!(found("nothing"), Err(TlvError::Unknown));
        let cut = ProxyHeader { tlvs: header.tlvs[..4].into(), ..header.clone() };
        assert_eq!(cut.tlv("alpn"), Err(TlvError::Broken));
    }
}
