//! `add_header` and `expires`: fields that the configuration adds to answers.

mod expires;

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_http::{HeaderId, StatusCode, date};
use daemun_server::config::{HTTP_SERVER_LOCATION, setter};
use daemun_server::module::nothing_to_finish;
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
            set: set_add_header,
        },
        Directive {
            name: "add_header_inherit",
            contexts: WITH_IF,
            arity: Arity::Exactly(1),
            default: "on",
            help: "on|off|merge: whether add_header of the enclosing block holds: where there is none here; never; too",
            set: |conf, arguments| {
                let inheritance = arguments
                    .choice(0, &[("on", Inheritance::On), ("off", Inheritance::Off), ("merge", Inheritance::Merge)])?;
                arguments.set_once(&mut conf.inheritance, inheritance)
            },
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
    is_active: |conf| !conf.added.is_empty() || conf.expires.as_ref().is_some_and(|expires| !expires.is_off()),
    phases: &[],
    filters: &[headers],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct AddedHeaders {
    added: Vec<Arc<AddedHeader>>,
    inheritance: Option<Inheritance>,
    expires: Option<Arc<Expires>>,
}

/// One `add_header`.
struct AddedHeader {
    name: Vec<u8>,
    id: HeaderId,
    value: Template,
    is_always: bool,
}

/// `add_header_inherit`.
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
        daemun_server::inherit!(parent, child; inheritance, expires);
        let inherits = match child.inheritance {
            None | Some(Inheritance::On) => child.added.is_empty(),
            Some(Inheritance::Off) => false,
            Some(Inheritance::Merge) => true,
        };
        if inherits {
            child.added.extend(parent.added.iter().cloned());
        }
    }
}

fn set_add_header(conf: &mut AddedHeaders, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let name = arguments.text(0)?.as_bytes().to_vec();
    let is_always = arguments.len() == 3;
    if is_always && arguments.text(2)? != "always" {
        return Err(arguments.invalid_parameter(2));
    }
    let value = setter::template(arguments, 1)?;
    conf.added.push(Arc::new(AddedHeader { id: HeaderId::of(&name), name, value, is_always }));
    Ok(())
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
    for added in conf.added.iter().filter(|added| is_safe || added.is_always) {
        let value = match added.value.as_constant() {
            Some(value) => value,
            None => {
                rendered.clear();
                added.value.render(request, &mut rendered);
                &rendered
            }
        };
        added.apply(&mut response, value);
    }
    response
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
