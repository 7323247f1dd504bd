//! `ssi`: commands in pages, `<!--#include virtual="/part" -->` among them.

mod expression;
mod interpreter;
mod page;
mod scanner;
mod shared;

use daemun_conf::{Arity, Context, Directive};
use daemun_http::{HeaderId, date};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::module::nothing_to_finish;
use daemun_server::variable::Variable;
use daemun_server::{Body, Module, Request, Response, clock};

use super::changed_body::forget_age;
use crate::mime_types::MimeTypes;
use interpreter::Interpreter;
use page::Page;
use scanner::Scanner;

/// Named once, in the program's list of modules; behind `sub`, before `addition`.
pub static MODULE: Module<Ssi> = Module {
    name: "ssi",
    directives: DIRECTIVES,
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; is_on, is_silent, last_modified, value_bytes, types);
    },
    finish: nothing_to_finish,
    is_active: |conf| conf.is_on == Some(true),
    phases: &[],
    filters: &[ssi],
    variables: &[
        Variable { name: "date_local", evaluate: |_, _, out| written_date(false, out) },
        Variable { name: "date_gmt", evaluate: |_, _, out| written_date(true, out) },
    ],
};

const DIRECTIVES: &[Directive<Ssi>] = &[
    Directive {
        name: "ssi",
        contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION),
        arity: Arity::Flag,
        default: "off",
        help: "on|off: commands in pages are obeyed",
        set: |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.is_on, flag)
        },
    },
    Directive {
        name: "ssi_silent_errors",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Flag,
        default: "off",
        help: "on|off: a command that fails leaves nothing in the page",
        set: |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.is_silent, flag)
        },
    },
    Directive {
        name: "ssi_last_modified",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Flag,
        default: "off",
        help: "on|off: the answer keeps Last-Modified and a weak ETag",
        set: |conf, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut conf.last_modified, flag)
        },
    },
    Directive {
        name: "ssi_value_length",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "255",
        help: "size: the longest value of a command's parameter",
        set: |conf, arguments| {
            let length = arguments.size(0)?;
            arguments.set_once(&mut conf.value_bytes, length)
        },
    },
    Directive {
        name: "ssi_types",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::AtLeast(1),
        default: "text/html",
        help: "type ...: MIME types beside text/html whose commands are obeyed; * is all",
        set: |conf, arguments| {
            let types = MimeTypes::read(arguments);
            arguments.set_once(&mut conf.types, types)
        },
    },
];

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Ssi {
    is_on: Option<bool>,
    is_silent: Option<bool>,
    last_modified: Option<bool>,
    value_bytes: Option<u64>,
    types: Option<MimeTypes>,
}

fn ssi(conf: &Ssi, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    let content_type = response.head.headers.first(HeaderId::ContentType);
    if response.content_length() == Some(0) || !conf.types.as_ref().unwrap_or(&MimeTypes::Html).wants(content_type) {
        return response;
    }
    let content_type = content_type.map(<[u8]>::to_vec);
    forget_age(&mut response, conf.last_modified.unwrap_or(false));
    let value_bytes = usize::try_from(conf.value_bytes.unwrap_or(255)).unwrap_or(usize::MAX);
    let interpreter = Interpreter::new(request.snapshot(&response), content_type, conf.is_silent.unwrap_or(false));
    let body = std::mem::replace(&mut response.body, Body::Empty);
    response.body = Body::Stream(Box::new(Page::new(body.into(), Scanner::new(value_bytes), interpreter)));
    response
}

fn written_date(is_gmt: bool, out: &mut Vec<u8>) -> bool {
    write_date(DEFAULT_TIME_FORMAT, is_gmt, out);
    true
}

/// The time of day in the form that `timefmt` gives.
fn write_date(format: &[u8], is_gmt: bool, out: &mut Vec<u8>) {
    let now = clock::unix_seconds();
    if is_gmt {
        date::strftime(format, now, 0, "GMT", out);
    } else {
        date::strftime(format, now, clock::utc_offset_minutes(now), &clock::zone_name(now), out);
    }
}

/// `timefmt` until a page says otherwise.
const DEFAULT_TIME_FORMAT: &[u8] = b"%A, %d-%b-%Y %H:%M:%S %Z";
