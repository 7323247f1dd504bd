//! `gunzip`: answers in gzip unpacked for clients that do not take them so.

use daemun_conf::{Arity, Directive};
use daemun_http::HeaderId;
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::module::nothing_to_finish;
use daemun_server::response::BodyError;
use daemun_server::{Body, Module, Request, Response};
use flate2::{Decompress, FlushDecompress, Status};

use super::changed_body::forget_length;
use crate::coded_body::{CodedBody, Coder};

/// Named once, in the program's list of modules; before `gzip`. Which clients take gzip is the http core's business.
pub static MODULE: Module<Gunzip> = Module {
    name: "gunzip",
    directives: &[Directive {
        name: "gunzip",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Flag,
        default: "off",
        help: "on|off: answers in gzip are unpacked for clients that do not take it",
        set: |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.is_on, flag)
        },
    }],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; is_on);
    },
    finish: nothing_to_finish,
    is_active: |conf| conf.is_on == Some(true),
    phases: &[],
    filters: &[gunzip],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Gunzip {
    is_on: Option<bool>,
}

fn gunzip(_: &Gunzip, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    let coding = response.head.headers.first(HeaderId::ContentEncoding);
    if !coding.is_some_and(|coding| coding.eq_ignore_ascii_case(b"gzip")) {
        return response;
    }
    let clients = &request.core().gzip_clients;
    clients.add_vary(&mut response);
    if clients.accepts(request, &response) {
        return response;
    }
    response.head.headers.remove_known(HeaderId::ContentEncoding);
    forget_length(&mut response);
    let body = std::mem::replace(&mut response.body, Body::Empty);
    response.body = CodedBody::wrap(body, Unpacker::new());
    response
}

/// zlib's state for one body, which may be several members one behind the other.
struct Unpacker {
    state: Decompress,
    /// Whether a member has begun and not ended.
    is_within: bool,
}

impl Unpacker {
    fn new() -> Self {
        Self { state: Decompress::new_gzip(WINDOW_BITS), is_within: false }
    }
}

impl Coder for Unpacker {
    /// A thousandfold may come of it.
    const TAKEN_BYTES: usize = 4 * 1024;

    fn push(&mut self, mut octets: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        loop {
            out.reserve(OUTPUT_BYTES);
            let (taken, made) = (self.state.total_in(), out.len());
            self.is_within |= !octets.is_empty();
            let status = self
                .state
                .decompress_vec(octets, out, FlushDecompress::None)
                .map_err(|error| BodyError::Coding(error.to_string()))?;
            octets = &octets[(self.state.total_in() - taken) as usize..];
            if status == Status::StreamEnd {
                self.is_within = false;
                self.state = Decompress::new_gzip(WINDOW_BITS);
                if octets.is_empty() {
                    return Ok(());
                }
            } else if octets.is_empty() && out.len() < out.capacity() {
                return Ok(());
            } else if status == Status::BufError && out.len() == made && out.len() < out.capacity() {
                return Err(BodyError::Coding("no progress".to_owned()));
            }
        }
    }

    /// What has come in is unpacked at once; nothing is held back.
    fn flush(&mut self, _: &mut Vec<u8>) -> Result<(), BodyError> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), BodyError> {
        if self.is_within { Err(BodyError::Coding("it ends too early".to_owned())) } else { Ok(()) }
    }
}

/// zlib's largest window.
const WINDOW_BITS: u8 = 15;

/// Room for one call.
const OUTPUT_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(octets: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(octets).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn members_follow_one_another_in_pieces_of_any_size() {
        let text = b"some words ".repeat(20_000);
        let both = [packed(&text), packed(b"more")].concat();
        for size in [1, 7, 1000, both.len()] {
            let (mut unpacker, mut out) = (Unpacker::new(), Vec::new());
            for piece in both.chunks(size) {
                unpacker.push(piece, &mut out).expect("gzip");
            }
            unpacker.finish(&mut out).expect("whole");
            assert!(out == [&text[..], b"more"].concat(), "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_gzip_or_not_whole_is_an_error() {
        let mut out = Vec::new();
        assert!(Unpacker::new().push(b"plain text, not gzip", &mut out).is_err());
        let whole = packed(b"some words");
        let mut unpacker = Unpacker::new();
        unpacker.push(&whole[..whole.len() - 1], &mut out).expect("so far");
        assert!(unpacker.finish(&mut out).is_err());
    }
}
