//! `sub_filter`: texts of an answer replaced by others.

mod substitution;

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_http::HeaderId;
use daemun_server::config::{HTTP_SERVER_LOCATION, setter};
use daemun_server::module::nothing_to_finish;
use daemun_server::{Body, Module, Request, Response, Template};

use super::changed_body::forget_age;
use crate::coded_body::CodedBody;
use crate::mime_types::MimeTypes;
use substitution::{Pair, Substitution};

/// Named once, in the program's list of modules; behind `gunzip`, before `ssi`.
pub static MODULE: Module<Sub> = Module {
    name: "sub",
    directives: &[
        Directive {
            name: "sub_filter",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(2),
            default: "none",
            help: "text replacement: the text, in either case, is replaced; may be given several times",
            set: set_pair,
        },
        Directive {
            name: "sub_filter_types",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::AtLeast(1),
            default: "text/html",
            help: "type ...: MIME types beside text/html in which texts are replaced; * is all",
            set: |conf, arguments| {
                let types = MimeTypes::read(arguments);
                arguments.set_once(&mut conf.types, types)
            },
        },
        Directive {
            name: "sub_filter_once",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "on",
            help: "on|off: each text is replaced where it stands first, or everywhere",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.once, flag)
            },
        },
        Directive {
            name: "sub_filter_last_modified",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: the answer keeps Last-Modified and a weak ETag",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.last_modified, flag)
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; types, once, last_modified);
        if child.pairs.is_empty() {
            child.pairs.clone_from(&parent.pairs);
        }
    },
    finish: nothing_to_finish,
    is_active: |conf| !conf.pairs.is_empty(),
    phases: &[],
    filters: &[sub],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Sub {
    /// Text and replacement; a block without any has those of the enclosing block.
    pairs: Arc<Vec<(Template, Template)>>,
    types: Option<MimeTypes>,
    once: Option<bool>,
    last_modified: Option<bool>,
}

fn set_pair(conf: &mut Sub, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    if arguments.text(0)?.is_empty() {
        return Err(ArgumentError::new(Some(0), "empty search pattern"));
    }
    if conf.pairs.len() == PAIRS_MAX {
        return Err(ArgumentError::new(None, format!("number of search patterns exceeds {PAIRS_MAX}")));
    }
    let pair = (setter::template(arguments, 0)?, setter::template(arguments, 1)?);
    Arc::make_mut(&mut conf.pairs).push(pair);
    Ok(())
}

fn sub(conf: &Sub, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    let content_type = response.head.headers.first(HeaderId::ContentType);
    if response.content_length() == Some(0) || !conf.types.as_ref().unwrap_or(&MimeTypes::Html).wants(content_type) {
        return response;
    }
    let pairs: Vec<Pair> = conf
        .pairs
        .iter()
        .map(|(text, replacement)| Pair::new(text.value(request), replacement.value(request)))
        .filter(|pair| !pair.is_empty())
        .collect();
    if pairs.is_empty() {
        return response;
    }
    forget_age(&mut response, conf.last_modified.unwrap_or(false));
    let body = std::mem::replace(&mut response.body, Body::Empty);
    response.body = CodedBody::wrap(body, Substitution::new(pairs, conf.once.unwrap_or(true)));
    response
}

/// Texts of one block, as in nginx.
const PAIRS_MAX: usize = 255;
