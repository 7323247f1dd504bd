//! A header block is judged the same while it arrives and when it is whole, becomes no more than its limits allow, and what is
//! made a request of can neither climb nor end a line.
#![no_main]

use daemun_http::http2::hpack::{BlockLimits, BlockScan, Decoder, HpackError, write_field};
use daemun_http::{HeadLimits, HeaderId, Http2Fields, RequestHead};
use libfuzzer_sys::fuzz_target;

const LIMITS: BlockLimits = BlockLimits { text_bytes: 256, total_bytes: 1_024 };

fuzz_target!(|blocks: Vec<&[u8]>| {
    let mut decoder = Decoder::default();
    for block in blocks {
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let outcome = decoder.decode(block, LIMITS, |name, value| fields.push((name.to_vec(), value.to_vec())));
        let octets: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(octets <= LIMITS.total_bytes);
        let mut scan = BlockScan::default();
        let judged = (0..=block.len()).try_for_each(|end| scan.look(&block[..end], LIMITS));
        if outcome.is_ok() {
            assert_eq!(judged, Ok(()));
        }
        make_request(&fields, block.len());
        if outcome.is_err() {
            return; // The connection has ended.
        }
        write_and_read(&fields);
    }
});

fn make_request(fields: &[(Vec<u8>, Vec<u8>)], octets: usize) {
    let mut head = RequestHead::new();
    let limits = HeadLimits::default();
    let mut builder = Http2Fields::new(&mut head, &limits);
    for (name, value) in fields {
        builder.add(name, value);
    }
    if builder.conclude(octets, true).is_err() {
        return;
    }
    assert!(head.target().starts_with(b"/") && head.host().is_some());
    let ends_line = |text: &[u8]| text.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0));
    assert!(!ends_line(head.request_line()));
    assert!(head.headers.iter().all(|field| !ends_line(field.name) && !ends_line(field.value)));
    assert!(!head.headers.has(HeaderId::TransferEncoding) && !head.headers.has(HeaderId::Connection));
}

/// What is written of fields that may be written is what was meant.
fn write_and_read(fields: &[(Vec<u8>, Vec<u8>)]) {
    let mut decoder = Decoder::default();
    for (name, value) in fields {
        let mut block = Vec::new();
        write_field(HeaderId::of(name), name, value, &mut block);
        let limits = BlockLimits { text_bytes: 4_096, total_bytes: 4_096 };
        let read: Result<(), HpackError> = decoder.decode(&block, limits, |read_name, read_value| {
            assert!(read_name.eq_ignore_ascii_case(name));
            assert_eq!(read_value.len(), value.len());
        });
        assert_eq!(read, Ok(()));
    }
}
