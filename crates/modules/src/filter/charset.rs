//! `charset`: names the character set of texts that do not name it themselves. Nothing is recoded.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_http::{HeaderId, StatusCode};
use daemun_server::config::{HTTP_SERVER_LOCATION, setter};
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::{Module, Request, Response, Template};

const WITH_IF: Context = HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION);

/// Named once, in the program's list of modules; behind `headers`, before `range`.
pub static MODULE: Module<Charset> = Module {
    name: "charset",
    directives: &[
        Directive {
            name: "charset",
            contexts: WITH_IF,
            arity: Arity::Exactly(1),
            default: "off",
            help: "name|off: character set added to the Content-Type of the charset_types",
            set: set_charset,
        },
        Directive {
            name: "override_charset",
            contexts: WITH_IF,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: whether the character set an application names is looked at; nothing is recoded",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.overrides, flag)
            },
        },
        Directive {
            name: "charset_types",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::AtLeast(1),
            default: "text/html text/xml text/plain text/vnd.wap.wml application/javascript application/rss+xml",
            help: "type ...: MIME types beside text/html whose character set is named; * is all",
            set: set_types,
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; name, overrides, types);
    },
    finish: nothing_to_finish,
    is_active: |conf| matches!(conf.name, Some(Some(_))),
    phases: &[],
    filters: &[charset],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Charset {
    /// `Some(None)` is `off`.
    name: Option<Option<Template>>,
    overrides: Option<bool>,
    types: Option<Arc<Types>>,
}

/// `charset_types`, in lower case.
enum Types {
    All,
    These(Vec<Vec<u8>>),
}

fn set_charset(conf: &mut Charset, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let name = match arguments.text(0)? {
        "off" => None,
        _ => Some(setter::template(arguments, 0)?),
    };
    arguments.set_once(&mut conf.name, name)
}

fn set_types(conf: &mut Charset, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mut types = vec![b"text/html".to_vec()];
    let mut is_all = false;
    for word in arguments.words() {
        is_all |= word.text == "*";
        types.push(word.text.to_ascii_lowercase().into_bytes());
    }
    let types = if is_all { Types::All } else { Types::These(types) };
    arguments.set_once(&mut conf.types, Arc::new(types))
}

fn charset(conf: &Charset, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    let Some(Some(name)) = &conf.name else { return response };
    if request.is_subrequest() {
        return response;
    }
    // As nginx: some old browsers took the redirect's charset for that of the page it leads to.
    if matches!(response.status(), StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND) {
        return response;
    }
    let Some(content_type) = response.head.headers.first(HeaderId::ContentType) else { return response };
    let (essence, parameters) = split(content_type);
    if let Some(theirs) = named_charset(parameters) {
        if conf.overrides == Some(true) {
            report_difference(request, theirs, &name.value(request));
        }
        return response;
    }
    if !parameters.is_empty() || !conf.wants(essence) {
        return response;
    }
    let mut value = Vec::with_capacity(essence.len() + 32);
    value.extend_from_slice(essence);
    value.extend_from_slice(b"; charset=");
    let bare = value.len();
    name.render(request, &mut value);
    if value.len() > bare {
        response.head.headers.set_known(HeaderId::ContentType, &value);
    }
    response
}

impl Charset {
    fn wants(&self, essence: &[u8]) -> bool {
        let is_listed = |listed: &[u8]| listed.eq_ignore_ascii_case(essence);
        match self.types.as_deref() {
            None => DEFAULT_TYPES.iter().any(|listed| is_listed(listed.as_bytes())),
            Some(Types::All) => true,
            Some(Types::These(types)) => types.iter().any(|listed| is_listed(listed)),
        }
    }
}

const DEFAULT_TYPES: [&str; 6] =
    ["text/html", "text/xml", "text/plain", "text/vnd.wap.wml", "application/javascript", "application/rss+xml"];

/// Type and subtype, and what follows the first semicolon.
fn split(content_type: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b';', content_type) {
        Some(at) => (content_type[..at].trim_ascii_end(), content_type[at + 1..].trim_ascii()),
        None => (content_type, b""),
    }
}

/// The value of the parameter `charset`, without quotes.
fn named_charset(parameters: &[u8]) -> Option<&[u8]> {
    parameters.split(|octet| *octet == b';').map(<[u8]>::trim_ascii).find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(b"charset=".len())?;
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        name.eq_ignore_ascii_case(b"charset=").then_some(value)
    })
}

fn report_difference(request: &Request, theirs: &[u8], ours: &[u8]) {
    if !theirs.eq_ignore_ascii_case(ours) {
        let (theirs, ours) = (String::from_utf8_lossy(theirs), String::from_utf8_lossy(ours));
        request.log(Level::Error, format_args!("no \"charset_map\" between the charsets \"{theirs}\" and \"{ours}\""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_is_found_among_parameters() {
        let charset = |content_type: &'static [u8]| named_charset(split(content_type).1);
        assert_eq!(charset(b"text/html"), None);
        assert_eq!(charset(b"text/html; charset=utf-8"), Some(&b"utf-8"[..]));
        assert_eq!(charset(b"text/html;a=b; Charset=\"KOI8-R\""), Some(&b"KOI8-R"[..]));
        assert_eq!(charset(b"multipart/form-data; boundary=charset"), None);
        assert_eq!(split(b"text/html ; a"), (&b"text/html"[..], &b"a"[..]));
    }

    #[test]
    fn types_are_compared_without_case() {
        let conf = Charset::default();
        assert!(conf.wants(b"TEXT/html") && conf.wants(b"application/javascript"));
        assert!(!conf.wants(b"application/json") && !conf.wants(b"text/css"));
        assert!(Charset { types: Some(Arc::new(Types::All)), ..Charset::default() }.wants(b"image/png"));
    }
}
