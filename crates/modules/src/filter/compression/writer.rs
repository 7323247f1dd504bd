//! Compressors that write: brotli and zstd, as coders of a body.

use std::io::{self, Write};

use daemun_server::response::BodyError;

use crate::coded_body::Coder;

/// A compressor that writes to memory.
pub(super) trait Compressor: Write {
    /// What it has written.
    fn written(&mut self) -> &mut Vec<u8>;

    /// All that is still to be written, the end with it.
    fn end(self) -> io::Result<Vec<u8>>;
}

/// A compressor before a body.
pub(super) struct Writing<C> {
    /// `None` once the end has been written.
    compressor: Option<C>,
}

impl<C: Compressor> Writing<C> {
    fn run(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut C) -> io::Result<()>) -> Result<(), BodyError> {
        let Some(compressor) = &mut self.compressor else { return Ok(()) };
        write(compressor).map_err(|error| failed(&error))?;
        out.append(compressor.written());
        Ok(())
    }
}

fn failed(error: &io::Error) -> BodyError {
    BodyError::Coding(format!("compressing failed: {error}"))
}

impl<C: Compressor> Coder for Writing<C> {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.run(out, |compressor| compressor.write_all(octets))
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.run(out, Write::flush)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        if let Some(compressor) = self.compressor.take() {
            out.append(&mut compressor.end().map_err(|error| failed(&error))?);
        }
        Ok(())
    }
}

/// brotli with `level` from 0 to 11 and a window of `window_bits`, 10 to 24.
pub(super) fn brotli(level: u8, window_bits: u8) -> Writing<brotli::CompressorWriter<Vec<u8>>> {
    let compressor = brotli::CompressorWriter::new(Vec::new(), BUFFER_BYTES, u32::from(level), u32::from(window_bits));
    Writing { compressor: Some(compressor) }
}

impl Compressor for brotli::CompressorWriter<Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self) -> io::Result<Vec<u8>> {
        Ok(self.into_inner())
    }
}

/// zstd with `level` from 1 to 22 and a window of `window_bits`, 10 to 23: RFC 9659 has clients take no larger one.
pub(super) fn zstd(level: u8, window_bits: u8) -> Writing<zstd::stream::write::Encoder<'static, Vec<u8>>> {
    let encoder = zstd::stream::write::Encoder::new(Vec::new(), i32::from(level)).and_then(|mut encoder| {
        encoder.window_log(u32::from(window_bits))?;
        Ok(encoder)
    });
    // Level and window are within what the library takes; without its memory the body stays empty and the end is missed.
    Writing { compressor: encoder.ok() }
}

impl Compressor for zstd::stream::write::Encoder<'static, Vec<u8>> {
    fn written(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

/// Octets brotli compresses to before it writes.
const BUFFER_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn unpacked(coding: &str, octets: &[u8], length: usize) -> Vec<u8> {
        let mut all = vec![0; length];
        let read = match coding {
            "br" => brotli::Decompressor::new(octets, 4096).read_exact(&mut all),
            _ => zstd::stream::read::Decoder::new(octets).and_then(|mut decoder| decoder.read_exact(&mut all)),
        };
        read.unwrap_or_else(|error| panic!("{coding}: {error}"));
        all
    }

    fn check(coding: &str, mut coder: impl Coder) {
        let mut out = Vec::new();
        coder.push(b"data: 1\n\n", &mut out).expect("octets");
        coder.flush(&mut out).expect("flush");
        assert_eq!(unpacked(coding, &out, 9), b"data: 1\n\n", "what is flushed can be read");
        let text = b"the same words again and again, ".repeat(10_000);
        for part in text.chunks(50_000) {
            coder.push(part, &mut out).expect("octets");
        }
        coder.finish(&mut out).expect("end");
        assert!(unpacked(coding, &out, 9 + text.len())[9..] == text && out.len() < text.len() / 50, "{coding}");
    }

    #[test]
    fn bodies_are_whole() {
        for level in [0, 6] {
            check("br", brotli(level, 19));
        }
        for level in [1, 3] {
            check("zstd", zstd(level, 20));
        }
    }
}
