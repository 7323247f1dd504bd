//! How a head's octets are cut does not change what is read of them, and no decoded path climbs above its root.
#![no_main]

use daemun_http::{HeadLimits, Parsed, RequestHead, target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (step, octets) = input;
    let limits = HeadLimits::default();
    let mut whole = RequestHead::new();
    let outcome = whole.parse(octets, &limits);
    let mut cut = RequestHead::new();
    let cut_outcome = parse_in_steps(&mut cut, octets, usize::from(step).max(1), &limits);
    assert_eq!(format!("{outcome:?}"), format!("{cut_outcome:?}"));
    let Ok(Parsed::Complete { taken }) = outcome else { return };
    assert!(taken <= octets.len());
    assert_eq!(whole.request_line(), cut.request_line());
    assert_eq!(whole.target(), cut.target());
    assert_eq!(whole.framing(), cut.framing());
    assert_eq!(whole.keep_alive(), cut.keep_alive());
    let mut path = Vec::new();
    if target::normalize(target::split(whole.target()).path, true, &mut path).is_ok() {
        assert!(path.split(|octet| *octet == b'/').all(|segment| segment != b".."), "{path:?}");
        assert!(!path.contains(&0));
    }
});

fn parse_in_steps(
    head: &mut RequestHead,
    octets: &[u8],
    step: usize,
    limits: &HeadLimits,
) -> Result<Parsed, daemun_http::HeadError> {
    let mut end = 0;
    while end < octets.len() {
        end = (end + step).min(octets.len());
        let parsed = head.parse(&octets[..end], limits)?;
        if parsed != Parsed::Incomplete {
            return Ok(parsed);
        }
    }
    head.parse(octets, limits)
}
