//! `valid_referers`: whether a request comes from a page of those that may refer to it.

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Span};
use daemun_http::HeaderId;
use daemun_server::config::Build;
use daemun_server::host_names::{HostNames, InvalidWildcard};
use daemun_server::variable::Variable;
use daemun_server::{Module, Pattern, Request};

const CONTEXTS: Context = Context::SERVER.or(Context::LOCATION);

/// Named once, in the program's list of modules.
pub static MODULE: Module<Referer> = Module {
    name: "referer",
    directives: &[
        Directive {
            name: "valid_referers",
            contexts: CONTEXTS,
            arity: Arity::AtLeast(1),
            default: "none",
            help: "none|blocked|server_names|name[/path]|~expression ...: pages for which $invalid_referer is empty",
            set: set_valid_referers,
        },
        Directive {
            name: "referer_hash_max_size",
            contexts: CONTEXTS,
            arity: Arity::Exactly(1),
            default: "2048",
            help: "number: no effect; the table grows as it must",
            set: |_, arguments| arguments.number(0, 0..=u64::MAX).map(|_| ()),
        },
        Directive {
            name: "referer_hash_bucket_size",
            contexts: CONTEXTS,
            arity: Arity::Exactly(1),
            default: "64",
            help: "size: no effect; the table grows as it must",
            set: |_, arguments| arguments.number(0, 0..=u64::MAX).map(|_| ()),
        },
    ],
    merge: |parent, child| {
        // Expressions are inherited of themselves, the rest as one.
        daemun_server::inherit!(parent, child; expressions, server_expressions);
        if child.list.is_none() {
            child.list.clone_from(&parent.list);
            child.is_inherited = true;
        }
    },
    finish,
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: &[Variable {
        name: "invalid_referer",
        evaluate: |request, _, out| {
            if request.location().settings::<Referer>().is_some_and(|conf| !conf.is_valid(request)) {
                out.push(b'1');
            }
            true
        },
    }],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Referer {
    list: Option<List>,
    /// Of `~expression`: matched with the address behind its scheme.
    expressions: Option<Vec<Pattern>>,
    /// Of `server_names`: matched with the host.
    server_expressions: Option<Vec<Pattern>>,
    is_inherited: bool,
}

#[derive(Clone, Default)]
struct List {
    allows_none: bool,
    allows_blocked: bool,
    has_server_names: bool,
    /// Hosts, and how the path must begin where that matters.
    hosts: HostNames<Option<Box<[u8]>>>,
    span: Option<Span>,
}

/// Octets of the longest host that is looked at.
const HOST_BYTES_MAX: usize = 256;

fn set_valid_referers(conf: &mut Referer, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let list = conf.list.get_or_insert_default();
    list.span = Some(arguments.span());
    for (position, word) in arguments.words().iter().enumerate() {
        let error = |message: String| ArgumentError::new(Some(position), message);
        match word.text.as_str() {
            "" => return Err(error("invalid referer \"\"".to_owned())),
            "none" => list.allows_none = true,
            "blocked" => list.allows_blocked = true,
            "server_names" => list.has_server_names = true,
            "~" => return Err(error("empty regex in \"~\"".to_owned())),
            text => match text.strip_prefix('~') {
                Some(expression) => {
                    let pattern = Pattern::new(expression, true).map_err(|reason| error(reason.to_string()))?;
                    conf.expressions.get_or_insert_default().push(pattern);
                }
                None => list.add(text).map_err(error)?,
            },
        }
    }
    Ok(())
}

fn finish(conf: &mut Referer, build: &mut Build<'_>) -> Result<(), Diagnostic> {
    let Some(list) = conf.list.as_mut().filter(|_| !conf.is_inherited) else { return Ok(()) };
    let error = |message: String| match list.span {
        Some(span) => Diagnostic::error(span, message),
        None => Diagnostic::error_without_place(message),
    };
    if list.has_server_names {
        for name in build.server_names().iter().filter(|name| !name.is_empty()) {
            match name.strip_prefix('~') {
                Some(expression) => {
                    let pattern = Pattern::new(expression, true).map_err(|reason| error(reason.to_string()))?;
                    conf.server_expressions.get_or_insert_default().push(pattern);
                }
                // A server may well have a name that stands in the list already.
                None => drop(list.hosts.insert(name, None)),
            }
        }
    }
    if (list.allows_none || list.allows_blocked) && list.hosts.is_empty() {
        let message = "the \"none\" or \"blocked\" referers are specified in the \"valid_referers\" directive without any valid referer";
        return Err(error(message.to_owned()));
    }
    Ok(())
}

impl List {
    fn add(&mut self, text: &str) -> Result<(), String> {
        let (host, path) = text.find('/').map_or((text, None), |at| (&text[..at], Some(text.as_bytes()[at..].into())));
        match self.hosts.insert(host, path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("conflicting parameter \"{host}\"")),
            Err(InvalidWildcard) => Err(format!("invalid hostname or wildcard \"{host}\"")),
        }
    }
}

impl Referer {
    fn is_valid(&self, request: &Request) -> bool {
        let Some(list) = &self.list else { return true };
        if list.hosts.is_empty() && self.expressions.is_none() && self.server_expressions.is_none() {
            return true;
        }
        match request.headers().first(HeaderId::Referer) {
            None => list.allows_none,
            Some(referer) => match behind_scheme(referer) {
                None => list.allows_blocked,
                Some(address) => self.is_address_valid(list, address),
            },
        }
    }

    /// `address` is host, port and path.
    fn is_address_valid(&self, list: &List, address: &[u8]) -> bool {
        let end = memchr::memchr2(b'/', b':', address).unwrap_or(address.len());
        if end > HOST_BYTES_MAX {
            return false;
        }
        let (host, rest) = address.split_at(end);
        let host = host.to_ascii_lowercase();
        if let Some(path) = list.hosts.find(&host) {
            let start = memchr::memchr(b'/', rest).unwrap_or(rest.len());
            return path.as_ref().is_none_or(|path| rest[start..].starts_with(path));
        }
        let matches = |expressions: &Option<Vec<Pattern>>, text: &[u8]| {
            expressions.iter().flatten().any(|expression| expression.is_match(text))
        };
        matches(&self.server_expressions, &host) || matches(&self.expressions, address)
    }
}

/// What follows `http://` or `https://`; `None` where that is not there, as a firewall may have it.
fn behind_scheme(referer: &[u8]) -> Option<&[u8]> {
    // As nginx: less than this is no address of a page.
    if referer.len() < b"http://i.ru".len() {
        return None;
    }
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (front, rest) = referer.split_at_checked(scheme.len())?;
        front.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}
