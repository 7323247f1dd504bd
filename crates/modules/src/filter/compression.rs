//! `gzip`, `brotli`, `zstd`: answers compressed for clients that take them so.

mod gzip;
mod writer;

use std::rc::Rc;

use bytes::Bytes;
use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_http::{HeaderId, StatusCode, Version};
use daemun_server::config::{GzipClients, HTTP_SERVER_LOCATION};
use daemun_server::module::nothing_to_finish;
use daemun_server::request::Compressed;
use daemun_server::response::{BodyError, BodyPieces};
use daemun_server::variable::Variable;
use daemun_server::{Body, Module, Request, Response};

use super::changed_body::forget_length;
use crate::coded_body::Coder;
use crate::coded_files;
use crate::mime_types::MimeTypes;

/// Writes the directives that each coding has, one coding after the other.
macro_rules! directives {
    ($($field:ident, $name:literal, $levels:expr, $default:literal, $help:literal $(, window $windows:expr)?;)+) => {
        &[$(
            Directive {
                name: $name,
                contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION),
                arity: Arity::Flag,
                default: "off",
                help: concat!("on|off: answers 200, 403 and 404 of the ", $name, "_types are compressed"),
                set: |conf, arguments| {
                    let flag = arguments.flag(0)?;
                    arguments.set_once(&mut conf.$field.is_on, flag)
                },
            },
            Directive {
                name: concat!($name, "_comp_level"),
                contexts: HTTP_SERVER_LOCATION,
                arity: Arity::Exactly(1),
                default: $default,
                help: $help,
                set: |conf, arguments| {
                    let level = arguments.number(0, $levels)?;
                    arguments.set_once(&mut conf.$field.level, level as u8)
                },
            },
            Directive {
                name: concat!($name, "_min_length"),
                contexts: HTTP_SERVER_LOCATION,
                arity: Arity::Exactly(1),
                default: "20",
                help: "size: shorter answers stay as they are, where their length is known",
                set: |conf, arguments| {
                    let length = arguments.size(0)?;
                    arguments.set_once(&mut conf.$field.length_min, length)
                },
            },
            Directive {
                name: concat!($name, "_types"),
                contexts: HTTP_SERVER_LOCATION,
                arity: Arity::AtLeast(1),
                default: "text/html",
                help: "type ...: MIME types beside text/html that are compressed; * is all",
                set: |conf, arguments| {
                    let types = MimeTypes::read(arguments);
                    arguments.set_once(&mut conf.$field.types, types)
                },
            },
            $(Directive {
                name: concat!($name, "_window"),
                contexts: HTTP_SERVER_LOCATION,
                arity: Arity::Exactly(1),
                default: "512k",
                help: "size: a power of two; how far back what comes again is found, and what client and server need of memory",
                set: |conf, arguments| set_window(&mut conf.$field, arguments, $windows),
            },)?
        )+]
    };
}

/// Named once, in the program's list of modules. Which clients take a coded answer is the http core's business.
pub static MODULE: Module<Compression> = Module {
    name: "compression",
    directives: directives! {
        gzip, "gzip", 1..=9, "1", "level: from 1, fast, to 9, small";
        brotli, "brotli", 0..=11, "6", "level: from 0, fast, to 11, small", window 10..=24;
        zstd, "zstd", 1..=22, "3", "level: from 1, fast, to 22, small", window 10..=23;
    },
    merge: |parent, child| {
        child.gzip.inherit(&parent.gzip);
        child.brotli.inherit(&parent.brotli);
        child.zstd.inherit(&parent.zstd);
    },
    finish: nothing_to_finish,
    is_active: |conf| CODINGS.iter().any(|coding| conf.of(*coding).is_on == Some(true)),
    phases: &[],
    filters: &[compress],
    variables: &[
        Variable { name: "gzip_ratio", evaluate: |request, _, out| ratio(request, out) },
        Variable { name: "brotli_ratio", evaluate: |request, _, out| ratio(request, out) },
        Variable { name: "zstd_ratio", evaluate: |request, _, out| ratio(request, out) },
    ],
};

/// Settings of one location.
#[derive(Default)]
pub struct Compression {
    gzip: Settings,
    brotli: Settings,
    zstd: Settings,
}

/// Settings of one coding. An unset field is inherited from the enclosing block.
#[derive(Default)]
struct Settings {
    is_on: Option<bool>,
    level: Option<u8>,
    length_min: Option<u64>,
    types: Option<MimeTypes>,
    /// Logarithm of the window in octets.
    window_bits: Option<u8>,
}

impl Settings {
    fn inherit(&mut self, parent: &Self) {
        daemun_server::inherit!(parent, self; is_on, level, length_min, types, window_bits);
    }

    fn is_for(&self, response: &Response) -> bool {
        let headers = &response.head.headers;
        self.is_on == Some(true)
            && length(response).is_none_or(|length| length >= self.length_min.unwrap_or(20))
            && self.types.as_ref().unwrap_or(&MimeTypes::Html).wants(headers.first(HeaderId::ContentType))
    }

    /// The window for a body; no larger than a body whose length is known needs it.
    fn window_bits(&self, body: &Body) -> u8 {
        let wanted = self.window_bits.unwrap_or(19);
        let needed = body.length().map_or(wanted, |length| length.max(1).next_power_of_two().trailing_zeros() as u8);
        needed.clamp(WINDOW_BITS_MIN, wanted)
    }
}

const WINDOW_BITS_MIN: u8 = 10;

fn set_window(
    settings: &mut Settings,
    arguments: &mut Arguments<'_>,
    range: std::ops::RangeInclusive<u8>,
) -> Result<(), ArgumentError> {
    let size = arguments.size(0)?;
    let bits = size.trailing_zeros() as u8;
    if !size.is_power_of_two() || !range.contains(&bits) {
        let (least, most) = (1_u64 << range.start(), 1_u64 << range.end());
        let hint = format!("it must be a power of two from {least} to {most}");
        return Err(arguments.invalid_value(0).with_hint(hint));
    }
    arguments.set_once(&mut settings.window_bits, bits)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

/// In this order where a client wants several alike: the one that costs least for what it saves stands first.
const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

impl Coding {
    /// As the header fields have it.
    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

impl Compression {
    fn of(&self, coding: Coding) -> &Settings {
        match coding {
            Coding::Zstd => &self.zstd,
            Coding::Brotli => &self.brotli,
            Coding::Gzip => &self.gzip,
        }
    }

    /// `body` in `coding`; `counts` is told the octets of both.
    fn code(&self, body: Body, coding: Coding, counts: &Rc<Compressed>) -> Body {
        let settings = self.of(coding);
        let (raw, window_bits) = (body.length().unwrap_or(0), settings.window_bits(&body));
        let note_kept = |packed: &Bytes| {
            counts.raw.set(raw);
            counts.coded.set(packed.len() as u64);
        };
        let name = coding.name();
        match coding {
            Coding::Gzip => {
                let level = settings.level.unwrap_or(1);
                coded_files::code(body, name, level, || Counted::new(gzip::Packer::new(level), counts), note_kept)
            }
            Coding::Brotli => {
                let level = settings.level.unwrap_or(6);
                coded_files::code(
                    body,
                    name,
                    level,
                    || Counted::new(writer::brotli(level, window_bits), counts),
                    note_kept,
                )
            }
            Coding::Zstd => {
                let level = settings.level.unwrap_or(3);
                coded_files::code(
                    body,
                    name,
                    level,
                    || Counted::new(writer::zstd(level, window_bits), counts),
                    note_kept,
                )
            }
        }
    }
}

fn compress(conf: &Compression, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    const STATUSES: [StatusCode; 3] = [StatusCode::OK, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
    let is_coded = response.head.headers.first(HeaderId::ContentEncoding).is_some_and(|coding| !coding.is_empty());
    let is_for = |coding: Coding| conf.of(coding).is_for(&response);
    if is_coded || !STATUSES.contains(&response.status()) || !CODINGS.into_iter().any(is_for) {
        return response;
    }
    // What the client wants most; of several alike the first.
    let weighed = CODINGS.into_iter().filter(|coding| is_for(*coding));
    let weighed = weighed.map(|coding| (coding, GzipClients::weight(request, coding.name())));
    let chosen =
        weighed.filter(|(_, weight)| *weight > 0).reduce(|best, next| if next.1 > best.1 { next } else { best });
    let clients = &request.core().gzip_clients;
    clients.add_vary(&mut response);
    let Some((coding, _)) = chosen.filter(|_| clients.allows(request, &response)) else { return response };
    response.head.headers.append_known(HeaderId::ContentEncoding, coding.name().as_bytes());
    forget_length(&mut response);
    let counts = Rc::clone(request.compressed.insert(Rc::default()));
    let body = std::mem::replace(&mut response.body, Body::Empty);
    response.body = conf.code(body, coding, &counts);
    // As nginx, whose tools expect it: what is made of a kept answer comes in chunks, whether its length is known or not.
    if response.is_stored && matches!(response.body, Body::Bytes(_)) && request.head.version == Version::Http11 {
        let coded = std::mem::replace(&mut response.body, Body::Empty);
        response.body = Body::Stream(Box::new(BodyPieces::from(coded)));
    }
    response
}

/// The length that the body or its head tells.
fn length(response: &Response) -> Option<u64> {
    let told = response.head.headers.first(HeaderId::ContentLength);
    let told = told.and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
    told.or_else(|| response.content_length())
}

/// A coder whose octets are counted.
struct Counted<C> {
    coder: C,
    counts: Rc<Compressed>,
}

impl<C: Coder> Counted<C> {
    fn new(coder: C, counts: &Rc<Compressed>) -> Self {
        Self { coder, counts: Rc::clone(counts) }
    }

    fn count(
        &mut self,
        taken: usize,
        out: &mut Vec<u8>,
        run: impl FnOnce(&mut C, &mut Vec<u8>) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        let before = out.len();
        run(&mut self.coder, out)?;
        self.counts.raw.set(self.counts.raw.get() + taken as u64);
        self.counts.coded.set(self.counts.coded.get() + (out.len() - before) as u64);
        Ok(())
    }
}

impl<C: Coder> Coder for Counted<C> {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.count(octets.len(), out, |coder, out| coder.push(octets, out))
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.count(0, out, Coder::flush)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.count(0, out, Coder::finish)
    }
}

/// `$gzip_ratio` and its neighbours: octets in by octets out, to two digits behind the point, as nginx rounds them.
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
