//! How a chunked body's octets are cut does not change its content, and content that is coded anew is the same again.
#![no_main]

use daemun_http::chunked::{ChunkError, Decoder, LAST_CHUNK, Step, write_chunk_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (step, octets) = input;
    let whole = decode(octets, octets.len().max(1));
    let cut = decode(octets, usize::from(step).max(1));
    assert_eq!(whole, cut);
    let Ok((content, true)) = whole else { return };
    let mut coded = Vec::new();
    for part in content.chunks(usize::from(step).max(1)) {
        write_chunk_header(part.len(), &mut coded);
        coded.extend_from_slice(part);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(LAST_CHUNK);
    assert_eq!(decode(&coded, coded.len()), Ok((content, true)));
});

/// The content, and whether the body came to its end.
fn decode(octets: &[u8], step: usize) -> Result<(Vec<u8>, bool), ChunkError> {
    let mut decoder = Decoder::new();
    let mut content = Vec::new();
    for part in octets.chunks(step) {
        let mut rest = part;
        loop {
            match decoder.decode(rest)? {
                Step::Data(range) => {
                    assert!(!range.is_empty());
                    content.extend_from_slice(&rest[range.clone()]);
                    rest = &rest[range.end..];
                }
                Step::NeedMore => break,
                Step::End { .. } => return Ok((content, true)),
            }
        }
    }
    Ok((content, false))
}
