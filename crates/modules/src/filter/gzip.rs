//! `gzip`: answers compressed for clients that take them so.

use std::cell::RefCell;
use std::rc::Rc;

use daemun_conf::{Arity, Context, Directive};
use daemun_http::{HeaderId, StatusCode};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::module::nothing_to_finish;
use daemun_server::request::Compressed;
use daemun_server::response::BodyError;
use daemun_server::variable::Variable;
use daemun_server::{Module, Request, Response};
use flate2::{Compress, Compression, FlushCompress, Status};

use super::changed_body::forget_length;
use crate::coded_body::Coder;
use crate::coded_files;
use crate::mime_types::MimeTypes;

/// Named once, in the program's list of modules. Which clients take gzip is the http core's business.
pub static MODULE: Module<Gzip> = Module {
    name: "gzip",
    directives: &[
        Directive {
            name: "gzip",
            contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION),
            arity: Arity::Flag,
            default: "off",
            help: "on|off: answers 200, 403 and 404 of the gzip_types are compressed",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.is_on, flag)
            },
        },
        Directive {
            name: "gzip_comp_level",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "1",
            help: "level: from 1, fast, to 9, small",
            set: |conf, arguments| {
                let level = arguments.number(0, 1..=9)?;
                arguments.set_once(&mut conf.level, level as u8)
            },
        },
        Directive {
            name: "gzip_min_length",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "20",
            help: "size: shorter answers stay as they are, where their length is known",
            set: |conf, arguments| {
                let length = arguments.size(0)?;
                arguments.set_once(&mut conf.length_min, length)
            },
        },
        Directive {
            name: "gzip_types",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::AtLeast(1),
            default: "text/html",
            help: "type ...: MIME types beside text/html that are compressed; * is all",
            set: |conf, arguments| {
                let types = MimeTypes::read(arguments);
                arguments.set_once(&mut conf.types, types)
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; is_on, level, length_min, types);
    },
    finish: nothing_to_finish,
    is_active: |conf| conf.is_on == Some(true),
    phases: &[],
    filters: &[gzip],
    variables: &[Variable { name: "gzip_ratio", evaluate: |request, _, out| ratio(request, out) }],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Gzip {
    is_on: Option<bool>,
    level: Option<u8>,
    length_min: Option<u64>,
    types: Option<MimeTypes>,
}

fn gzip(conf: &Gzip, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    if !conf.is_for(&response) {
        return response;
    }
    let clients = &request.core().gzip_clients;
    clients.add_vary(&mut response);
    if !clients.accepts(request, &response) {
        return response;
    }
    response.head.headers.append_known(HeaderId::ContentEncoding, b"gzip");
    forget_length(&mut response);
    let counts = Rc::clone(request.compressed.insert(Rc::default()));
    let body = std::mem::replace(&mut response.body, daemun_server::Body::Empty);
    let (raw, level) = (body.length().unwrap_or(0), conf.level.unwrap_or(1));
    let note_kept = |packed: &bytes::Bytes| {
        counts.raw.set(raw);
        counts.coded.set(packed.len() as u64);
    };
    response.body = coded_files::code(body, "gzip", level, || Packer::new(level, Rc::clone(&counts)), note_kept);
    response
}

impl Gzip {
    fn is_for(&self, response: &Response) -> bool {
        const STATUSES: [StatusCode; 3] = [StatusCode::OK, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
        let headers = &response.head.headers;
        STATUSES.contains(&response.status())
            && headers.first(HeaderId::ContentEncoding).is_none_or(<[u8]>::is_empty)
            && length(response).is_none_or(|length| length >= self.length_min.unwrap_or(20))
            && self.types.as_ref().unwrap_or(&MimeTypes::Html).wants(headers.first(HeaderId::ContentType))
    }
}

/// The length that the body or its head tells.
fn length(response: &Response) -> Option<u64> {
    let told = response.head.headers.first(HeaderId::ContentLength);
    let told = told.and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
    told.or_else(|| response.content_length())
}

/// zlib's state for one body, lent by the thread.
struct Packer {
    level: u8,
    /// Raw deflate; `None` only once it was given back.
    state: Option<Compress>,
    /// What the trailer tells of the octets so far: the compressor's own sum is several times slower.
    checksum: crc32fast::Hasher,
    is_begun: bool,
    counts: Rc<Compressed>,
}

thread_local! {
    /// States that wait for the next body, so that their tables are not allocated anew for each.
    static IDLE: RefCell<Vec<(u8, Compress)>> = const { RefCell::new(Vec::new()) };
}

impl Packer {
    fn new(level: u8, counts: Rc<Compressed>) -> Self {
        let idle = IDLE.with_borrow_mut(|idle| {
            let at = idle.iter().position(|(of, _)| *of == level)?;
            Some(idle.swap_remove(at).1)
        });
        let state = idle.unwrap_or_else(|| Compress::new_with_window_bits(compression(level), false, WINDOW_BITS));
        Self { level, state: Some(state), checksum: crc32fast::Hasher::new(), is_begun: false, counts }
    }

    fn run(&mut self, mut octets: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> Result<(), BodyError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let (before, length) = (out.len(), octets.len());
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
        self.counts.raw.set(self.counts.raw.get() + length as u64);
        if matches!(flush, FlushCompress::Finish) {
            out.extend_from_slice(&std::mem::take(&mut self.checksum).finalize().to_le_bytes());
            out.extend_from_slice(&(self.counts.raw.get() as u32).to_le_bytes());
        }
        self.counts.coded.set(self.counts.coded.get() + (out.len() - before) as u64);
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

/// `$gzip_ratio`: octets in by octets out, to two digits behind the point, as nginx rounds them.
fn ratio(request: &Request, out: &mut Vec<u8>) -> bool {
    let Some(counts) = &request.compressed else { return false };
    let (raw, coded) = (counts.raw.get(), counts.coded.get());
    if coded == 0 {
        return false;
    }
    let hundredths = raw * 100 / coded + u64::from(raw * 1_000 / coded % 10 > 4);
    out.extend_from_slice(format!("{}.{:02}", hundredths / 100, hundredths % 100).as_bytes());
    true
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
            let counts = Rc::<Compressed>::default();
            let mut packer = Packer::new(6, Rc::clone(&counts));
            let mut out = Vec::new();
            for part in text.chunks(50_000) {
                packer.push(part, &mut out).expect("octets");
            }
            packer.finish(&mut out).expect("end");
            assert!(unpacked(&out) == text && out.len() < text.len() / 50);
            assert_eq!((counts.raw.get(), counts.coded.get()), (text.len() as u64, out.len() as u64));
        }
    }

    #[test]
    fn what_is_flushed_can_be_read() {
        let mut packer = Packer::new(1, Rc::default());
        let mut out = Vec::new();
        packer.push(b"data: 1\n\n", &mut out).expect("octets");
        packer.flush(&mut out).expect("flush");
        let mut first = [0; 9];
        flate2::read::GzDecoder::new(out.as_slice()).read_exact(&mut first).expect("flushed");
        assert_eq!(&first, b"data: 1\n\n");
    }
}
