//! `add_header`, `add_trailer` and `expires`: fields that the configuration adds to answers.

mod expires;

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_http::{HeaderId, StatusCode, date};
use daemun_server::config::{HTTP_SERVER_LOCATION, setter};
use daemun_server::module::nothing_to_finish;
use daemun_server::response::Trailers;
use daemun_server::{Module, Request, Response, Template};

use expires::Expires;

const WITH_IF: Context = HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION);

/// Named once, in the program's list of modules; behind `not_modified`.
pub static MODULE: Module<AddedHeaders> = Module {
    name: "headers",
    directives: &[
        Directive {
            name: "add_header",
            contexts: WITH_IF,
            arity: Arity::Between(2, 3),
            default: "none",
            help: "name value [always]: a field of answers 200, 201, 204, 206, 301 to 304, 307 and 308, or of all",
            set: |conf, arguments| conf.headers.push(arguments),
        },
        Directive {
            name: "add_trailer",
            contexts: WITH_IF,
            arity: Arity::Between(2, 3),
            default: "none",
            help: "name value [always]: a field behind the body of the same answers, which is chunked for it",
            set: |conf, arguments| conf.trailers.push(arguments),
        },
        Directive {
            name: "add_header_inherit",
            contexts: WITH_IF,
            arity: Arity::Exactly(1),
            default: "on",
            help: "on|off|merge: whether add_header of the enclosing block holds: where there is none here; never; too",
            set: |conf, arguments| conf.headers.set_inheritance(arguments),
        },
        Directive {
            name: "add_trailer_inherit",
            contexts: WITH_IF,
            arity: Arity::Exactly(1),
            default: "on",
            help: "on|off|merge: whether add_trailer of the enclosing block holds: where there is none here; never; too",
            set: |conf, arguments| conf.trailers.set_inheritance(arguments),
        },
        Directive {
            name: "expires",
            contexts: WITH_IF,
            arity: Arity::Between(1, 2),
            default: "off",
            help: "[modified] time | @time | epoch | max | off: Expires and Cache-Control",
            set: |conf, arguments| {
                let expires = Expires::read(arguments)?;
                arguments.set_once(&mut conf.expires, Arc::new(expires))
            },
        },
    ],
    merge: AddedHeaders::merge,
    finish: nothing_to_finish,
    is_active: |conf| {
        !conf.headers.is_empty()
            || !conf.trailers.is_empty()
            || conf.expires.as_ref().is_some_and(|expires| !expires.is_off())
    },
    phases: &[],
    filters: &[headers],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct AddedHeaders {
    headers: AddedFields,
    trailers: AddedFields,
    expires: Option<Arc<Expires>>,
}

/// The `add_header`s of a block, or its `add_trailer`s.
#[derive(Default)]
struct AddedFields {
    fields: Vec<Arc<AddedHeader>>,
    inheritance: Option<Inheritance>,
}

/// One `add_header` or `add_trailer`.
struct AddedHeader {
    name: Vec<u8>,
    id: HeaderId,
    value: Template,
    is_always: bool,
}

/// `add_header_inherit`, `add_trailer_inherit`.
#[derive(Clone, Copy)]
enum Inheritance {
    /// A block without `add_header` has those of the enclosing block.
    On,
    /// None are inherited.
    Off,
    /// Those of the enclosing block are added to the block's own.
    Merge,
}

impl AddedHeaders {
    fn merge(parent: &Self, child: &mut Self) {
        daemun_server::inherit!(parent, child; expires);
        child.headers.inherit(&parent.headers);
        child.trailers.inherit(&parent.trailers);
    }
}

impl AddedFields {
    fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn inherit(&mut self, parent: &Self) {
        self.inheritance = self.inheritance.or(parent.inheritance);
        let inherits = match self.inheritance {
            None | Some(Inheritance::On) => self.fields.is_empty(),
            Some(Inheritance::Off) => false,
            Some(Inheritance::Merge) => true,
        };
        if inherits {
            self.fields.extend(parent.fields.iter().cloned());
        }
    }

    fn set_inheritance(&mut self, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
        let choices = [("on", Inheritance::On), ("off", Inheritance::Off), ("merge", Inheritance::Merge)];
        let inheritance = arguments.choice(0, &choices)?;
        arguments.set_once(&mut self.inheritance, inheritance)
    }

    fn push(&mut self, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
        let name = arguments.text(0)?.as_bytes().to_vec();
        let is_always = arguments.len() == 3;
        if is_always && arguments.text(2)? != "always" {
            return Err(arguments.invalid_parameter(2));
        }
        let value = setter::template(arguments, 1)?;
        self.fields.push(Arc::new(AddedHeader { id: HeaderId::of(&name), name, value, is_always }));
        Ok(())
    }
}

fn headers(conf: &AddedHeaders, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    if request.is_subrequest() {
        return response;
    }
    let is_safe = is_safe(response.status());
    if let Some(expires) = &conf.expires
        && is_safe
    {
        expires.apply(request, &mut response);
    }
    let mut rendered = Vec::new();
    for added in conf.headers.fields.iter().filter(|added| is_safe || added.is_always) {
        let value = match added.value.as_constant() {
            Some(value) => value,
            None => {
                rendered.clear();
                // What the answer has so far is what `$sent_http_x` tells.
                std::mem::swap(&mut request.sent.headers, &mut response.head.headers);
                added.value.render(request, &mut rendered);
                std::mem::swap(&mut request.sent.headers, &mut response.head.headers);
                &rendered
            }
        };
        added.apply(&mut response, value);
    }
    let trailers = conf.trailers.fields.iter().filter(|added| is_safe || added.is_always);
    let trailers: Vec<_> = trailers.cloned().collect();
    if !trailers.is_empty() {
        response.expects_trailers = true;
        response.trailers.push(Box::new(AddedTrailers(trailers)));
    }
    response
}

/// The `add_trailer`s of one answer; their values are those at its end.
struct AddedTrailers(Vec<Arc<AddedHeader>>);

impl Trailers for AddedTrailers {
    fn append(&self, request: &Request) {
        for trailer in &self.0 {
            let value = trailer.value.value(request);
            if !value.is_empty() {
                request.sent.trailers.borrow_mut().append(&trailer.name, &value);
            }
        }
    }
}

/// Statuses whose answers get the fields that are not `always`.
fn is_safe(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 201 | 204 | 206 | 301..=304 | 307 | 308)
}

impl AddedHeader {
    /// An empty value adds nothing; `Last-Modified` and `ETag` it takes away, since there is but one of each.
    fn apply(&self, response: &mut Response, value: &[u8]) {
        let headers = &mut response.head.headers;
        let is_single = matches!(self.id, HeaderId::LastModified | HeaderId::ETag);
        match (is_single, value.is_empty()) {
            (true, true) => headers.remove_known(self.id),
            (true, false) => headers.set_known(self.id, value),
            (false, true) => {}
            (false, false) => headers.append(&self.name, value),
        }
        if self.id == HeaderId::LastModified {
            response.last_modified = date::parse_http_date(value);
        }
    }
}
