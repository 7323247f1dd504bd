//! `add_before_body`, `add_after_body`: the answers of other locations around an answer.

use std::sync::Arc;

use daemun_conf::{Arity, Directive};
use daemun_http::{HeaderId, StatusCode};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::module::nothing_to_finish;
use daemun_server::subrequest::{Assembly, Part, Subrequest};
use daemun_server::{Body, Module, Request, Response};

use super::changed_body::forget_length;
use crate::mime_types::MimeTypes;

/// Named once, in the program's list of modules; behind the filters that change what is between, before `gzip`.
pub static MODULE: Module<Addition> = Module {
    name: "addition",
    directives: &[
        Directive {
            name: "add_before_body",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "uri: a subrequest whose answer stands before answers 200; an empty text is none",
            set: |conf, arguments| {
                let uri = arguments.text(0)?.as_bytes().into();
                arguments.set_once(&mut conf.before, uri)
            },
        },
        Directive {
            name: "add_after_body",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "uri: a subrequest whose answer stands behind answers 200; an empty text is none",
            set: |conf, arguments| {
                let uri = arguments.text(0)?.as_bytes().into();
                arguments.set_once(&mut conf.after, uri)
            },
        },
        Directive {
            name: "addition_types",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::AtLeast(1),
            default: "text/html",
            help: "type ...: MIME types beside text/html that get additions; * is all",
            set: |conf, arguments| {
                let types = MimeTypes::read(arguments);
                arguments.set_once(&mut conf.types, types)
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; before, after, types);
    },
    finish: nothing_to_finish,
    is_active: |conf| conf.uris().iter().any(Option::is_some),
    phases: &[],
    filters: &[add],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Addition {
    before: Option<Arc<[u8]>>,
    after: Option<Arc<[u8]>>,
    types: Option<MimeTypes>,
}

impl Addition {
    /// What stands before and what stands behind.
    fn uris(&self) -> [Option<&[u8]>; 2] {
        [&self.before, &self.after].map(|uri| uri.as_deref().filter(|uri| !uri.is_empty()))
    }
}

fn add(conf: &Addition, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    let content_type = response.head.headers.first(HeaderId::ContentType);
    if response.status() != StatusCode::OK
        || request.is_subrequest()
        || !conf.types.as_ref().unwrap_or(&MimeTypes::Html).wants(content_type)
    {
        return response;
    }
    forget_length(&mut response);
    if request.is_head() {
        response.body = Assembly::default().into_body();
        return response;
    }
    let mut parts = Assembly::default();
    let part = |uri| {
        let subrequest = Subrequest::new(request, uri, b"").ok()?;
        Some(Part::Subrequest(Box::new(subrequest.into_body())))
    };
    let [before, after] = conf.uris().map(|uri| uri.and_then(part));
    let body = std::mem::replace(&mut response.body, Body::Empty);
    for part in [before, Some(Part::Body(body.into())), after].into_iter().flatten() {
        parts.push(part);
    }
    response.body = parts.into_body();
    response
}
