//! gzip: deflate, with a sum and a length behind it.

use std::cell::RefCell;

use daemun_server::response::BodyError;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::coded_body::Coder;

/// zlib's state for one body, lent by the thread.
pub(super) struct Packer {
    level: u8,
    /// Raw deflate; `None` only once it was given back.
    state: Option<Compress>,
    /// What the trailer tells of the octets so far: the compressor's own sum is several times slower.
    checksum: crc32fast::Hasher,
    is_begun: bool,
    /// Octets so far, modulo 2^32.
    length: u32,
}

thread_local! {
    /// States that wait for the next body, so that their tables are not allocated anew for each.
    static IDLE: RefCell<Vec<(u8, Compress)>> = const { RefCell::new(Vec::new()) };
}

impl Packer {
    pub(super) fn new(level: u8) -> Self {
        let idle = IDLE.with_borrow_mut(|idle| {
            let at = idle.iter().position(|(of, _)| *of == level)?;
            Some(idle.swap_remove(at).1)
        });
        let state = idle.unwrap_or_else(|| Compress::new_with_window_bits(compression(level), false, WINDOW_BITS));
        Self { level, state: Some(state), checksum: crc32fast::Hasher::new(), is_begun: false, length: 0 }
    }

    fn run(&mut self, mut octets: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> Result<(), BodyError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        self.length = self.length.wrapping_add(octets.len() as u32);
        if !std::mem::replace(&mut self.is_begun, true) {
            out.extend_from_slice(&MEMBER_HEADER);
        }
        self.checksum.update(octets);
        loop {
            out.reserve(OUTPUT_BYTES);
            let taken = state.total_in();
            let status = state
                .compress_vec(octets, out, flush)
                .map_err(|error| BodyError::Coding(format!("compressing failed: {error}")))?;
            octets = &octets[(state.total_in() - taken) as usize..];
            // Room left means that nothing is held back; the end is told by itself.
            let is_done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => octets.is_empty() && out.len() < out.capacity(),
            };
            if is_done {
                break;
            }
        }
        if matches!(flush, FlushCompress::Finish) {
            out.extend_from_slice(&std::mem::take(&mut self.checksum).finalize().to_le_bytes());
            out.extend_from_slice(&self.length.to_le_bytes());
        }
        Ok(())
    }
}

impl Coder for Packer {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.run(octets, out, FlushCompress::None)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.run(&[], out, FlushCompress::Sync)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.run(&[], out, FlushCompress::Finish)
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else { return };
        // At the thread's own end there is nothing left to give it back to.
        let _ = IDLE.try_with(|idle| {
            let mut idle = idle.borrow_mut();
            if idle.len() < IDLE_MAX {
                state.reset();
                idle.push((self.level, state));
            }
        });
    }
}

/// The compressor's effort for a `gzip_comp_level`: the least that makes bodies no larger than zlib's at that level does, as nginx has
/// it. The compressor counts by zlib-ng's levels, whose 1 is far quicker than zlib's and a fifth larger.
fn compression(level: u8) -> Compression {
    const EFFORTS: [u32; 9] = [2, 2, 3, 4, 5, 5, 6, 7, 8];
    Compression::new(EFFORTS[usize::from(level.clamp(1, 9)) - 1])
}

/// RFC 1952 section 2.3: deflate, no name, no time, made on Unix.
const MEMBER_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// zlib's largest window, as nginx has it.
const WINDOW_BITS: u8 = 15;

/// Room for one call of the compressor.
const OUTPUT_BYTES: usize = 16 * 1024;

/// States a thread keeps for later, of about 300 KiB each.
const IDLE_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn unpacked(octets: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        flate2::read::GzDecoder::new(octets).read_to_end(&mut all).expect("gzip");
        all
    }

    #[test]
    fn a_packer_serves_body_after_body() {
        let text = b"the same words again and again, ".repeat(10_000);
        for _ in 0..3 {
            let mut packer = Packer::new(6);
            let mut out = Vec::new();
            for part in text.chunks(50_000) {
                packer.push(part, &mut out).expect("octets");
            }
            packer.finish(&mut out).expect("end");
            assert!(unpacked(&out) == text && out.len() < text.len() / 50);
        }
    }

    #[test]
    fn what_is_flushed_can_be_read() {
        let mut packer = Packer::new(1);
        let mut out = Vec::new();
        packer.push(b"data: 1\n\n", &mut out).expect("octets");
        packer.flush(&mut out).expect("flush");
        let mut first = [0; 9];
        flate2::read::GzDecoder::new(out.as_slice()).read_exact(&mut first).expect("flushed");
        assert_eq!(&first, b"data: 1\n\n");
    }
}
