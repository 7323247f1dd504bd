//! `charset`: names the character set of texts that do not name it themselves, and recodes those of another.

mod map;
mod recoder;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Span};
use daemun_http::{HeaderId, StatusCode};
use daemun_server::config::{Build, HTTP_SERVER_LOCATION, setter};
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::{Body, Module, Request, Response, Template};

use self::map::CharsetMap;
use self::recoder::Recoder;

const WITH_IF: Context = HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION);

/// Named once, in the program's list of modules; behind whatever changes a text, before whatever compresses it.
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
            help: "on|off: texts that name their character set themselves are recoded too",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.overrides, flag)
            },
        },
        Directive {
            name: "source_charset",
            contexts: WITH_IF,
            arity: Arity::Exactly(1),
            default: "none",
            help: "name: character set of what does not name its own; recoded where `charset` is another",
            set: |conf, arguments| {
                conf.span = Some(arguments.span());
                let source = setter::template(arguments, 0)?;
                arguments.set_once(&mut conf.source, source)
            },
        },
        Directive {
            name: "charset_map",
            contexts: Context::HTTP,
            arity: Arity::Block { min: 2, max: 2 },
            default: "none",
            help: "set set block of `octet octets`, in hexadecimal: how texts are recoded, both ways; utf-8 stands second",
            set: |conf, arguments| {
                let map = map::read(arguments, &conf.read)?;
                conf.read.push(map);
                Ok(())
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
        daemun_server::inherit!(parent, child; name, source, overrides, types, span);
        child.maps = Arc::clone(&parent.maps);
    },
    finish,
    is_active: |_| true, // An application may ask for a character set by `X-Accel-Charset` anywhere.
    phases: &[],
    filters: &[charset],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Charset {
    /// `Some(None)` is `off`.
    name: Option<Option<Template>>,
    /// `source_charset`.
    source: Option<Template>,
    overrides: Option<bool>,
    types: Option<Arc<Types>>,
    /// `charset_map`s of this block while it is read.
    read: Vec<CharsetMap>,
    /// All of them.
    maps: Arc<[CharsetMap]>,
    span: Option<Span>,
    known: KnownNames,
}

/// The character sets that the configuration names anywhere, in lower case: those that `X-Accel-Charset` may ask for.
#[derive(Clone, Default)]
struct KnownNames(Arc<RwLock<BTreeSet<Vec<u8>>>>);

impl KnownNames {
    fn add(&self, name: &[u8]) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_ascii_lowercase());
    }

    fn has(&self, name: &[u8]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&name.to_ascii_lowercase())
    }
}

/// `charset_types`, in lower case.
enum Types {
    All,
    These(Vec<Vec<u8>>),
}

fn set_charset(conf: &mut Charset, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    conf.span = Some(arguments.span());
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

/// The blocks below `http` share its maps; where both sets are known, a map must lead from the one to the other.
fn finish(conf: &mut Charset, build: &mut Build<'_>) -> Result<(), Diagnostic> {
    if !conf.read.is_empty() {
        conf.maps = std::mem::take(&mut conf.read).into();
    }
    conf.note_names(build);
    let (Some(Some(name)), Some(source), Some(span)) = (&conf.name, &conf.source, conf.span) else { return Ok(()) };
    let (Some(name), Some(source)) = (name.as_constant(), source.as_constant()) else { return Ok(()) };
    let is_known = name.eq_ignore_ascii_case(source) || Recoder::between(&conf.maps, source, name).is_some();
    if is_known || build.context() == Context::HTTP {
        return Ok(());
    }
    Err(Diagnostic::error(span, no_map(source, name)))
}

fn no_map(from: &[u8], to: &[u8]) -> String {
    let (from, to) = (String::from_utf8_lossy(from), String::from_utf8_lossy(to));
    format!("no \"charset_map\" between the charsets \"{from}\" and \"{to}\"")
}

/// What one answer tells those that come after it: its own character set, which subrequests take on, and that of a page in its place.
#[derive(Default)]
struct Told {
    of_answer: RefCell<Vec<u8>>,
    of_page: RefCell<Vec<u8>>,
}

impl Told {
    fn of(request: &Request) -> Rc<Self> {
        if request.kept::<Self>().is_none() {
            request.keep(Self::default());
        }
        request.kept().unwrap_or_default()
    }
}

fn charset(conf: &Charset, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    // As nginx: some old browsers took the redirect's charset for that of the page it leads to.
    if matches!(response.status(), StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND) {
        return response;
    }
    let is_idle = !matches!(conf.name, Some(Some(_))) && conf.source.is_none();
    if is_idle && response.charset.is_none() {
        return response;
    }
    conf.tell_of_page(request, &response);
    let Some(content_type) = response.head.headers.first(HeaderId::ContentType) else { return response };
    let (essence, parameters) = split(content_type);
    // What the configuration itself names is no application's word.
    let theirs = named_charset(parameters).filter(|name| !name.is_empty() && !response.is_own);
    let wanted = match response.charset.as_deref() {
        Some(name) if conf.known.has(name) => Cow::Owned(name.to_vec()),
        Some(name) => {
            let name = String::from_utf8_lossy(name);
            request.log(Level::Error, format_args!("unknown charset \"{name}\" to override"));
            return response;
        }
        None => match conf.wanted(request, essence, parameters, theirs) {
            Some(wanted) => wanted,
            None => return response,
        },
    };
    let source = match (theirs, &conf.source) {
        (Some(theirs), _) => Some(theirs.to_vec()),
        (None, Some(source)) => Some(source.value(request)),
        (None, None) => None,
    };
    let mut named = Vec::with_capacity(essence.len() + wanted.len() + 16);
    for part in [essence, b"; charset=", &wanted] {
        named.extend_from_slice(part);
    }
    if let Some(source) = source.filter(|source| !source.eq_ignore_ascii_case(&wanted)) {
        if response.head.headers.first(HeaderId::ContentEncoding).is_some_and(|coding| !coding.is_empty()) {
            return response;
        }
        let Some(recoder) = Recoder::between(&conf.maps, &source, &wanted) else {
            request.log(Level::Error, format_args!("{}", no_map(&source, &wanted)));
            return response;
        };
        recode(&mut response, recoder);
    }
    if request.is_subrequest() {
        return response;
    }
    if !conf.maps.is_empty() {
        Told::of(request).of_answer.replace(wanted.into_owned());
    }
    response.head.headers.set_known(HeaderId::ContentType, &named);
    response
}

fn recode(response: &mut Response, recoder: Recoder) {
    if !recoder.keeps_length() {
        response.head.headers.remove_known(HeaderId::ContentLength);
        response.allows_ranges = false;
    }
    let body = std::mem::replace(&mut response.body, Body::Empty);
    response.body = recoder.apply(body);
    // Parts can be cut out of what is in memory alone.
    response.allows_ranges &= matches!(response.body, Body::Bytes(_));
}

impl Charset {
    /// Adds the block's own names to those of the whole configuration.
    fn note_names(&mut self, build: &mut Build<'_>) {
        self.known = match build.published::<KnownNames>() {
            Some(known) => known.clone(),
            None => {
                build.publish(KnownNames::default());
                build.published::<KnownNames>().cloned().unwrap_or_default()
            }
        };
        let named = self.name.iter().flatten().chain(&self.source).filter_map(Template::as_constant);
        named.for_each(|name| self.known.add(name));
        for map in self.maps.iter() {
            self.known.add(map.from.as_bytes());
            self.known.add(map.to.as_bytes());
        }
    }

    /// The character set that the answer is to have; `None` where it is nobody's business.
    fn wanted(
        &self,
        request: &Request,
        essence: &[u8],
        parameters: &[u8],
        theirs: Option<&[u8]>,
    ) -> Option<Cow<'_, [u8]>> {
        let wanted = if request.is_subrequest() {
            // A part of a page has the page's.
            Cow::Owned(request.kept::<Told>()?.of_answer.borrow().clone())
        } else {
            let name = self.name.as_ref()?.as_ref()?;
            let is_meant = match theirs {
                Some(_) => self.overrides == Some(true),
                None => parameters.is_empty() && self.wants(essence),
            };
            if !is_meant {
                return None;
            }
            name.as_constant().map_or_else(|| Cow::Owned(name.value(request)), Cow::Borrowed)
        };
        (!wanted.is_empty()).then_some(wanted)
    }

    /// A range that cannot be is refused behind this filter, by a page of ours.
    fn tell_of_page(&self, request: &Request, response: &Response) {
        if let Some(Some(name)) = &self.name
            && response.allows_ranges
            && request.headers().has(HeaderId::Range)
            && self.wants(b"text/html")
        {
            Told::of(request).of_page.replace(name.value(request));
        }
    }

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

/// Named once, in the program's list of modules; behind the refusal of ranges.
pub static OF_REFUSAL: Module<CharsetOfRefusal> = Module {
    name: "charset_of_refusal",
    directives: &[],
    merge: |_, _| {},
    finish: nothing_to_finish,
    is_active: |_| true,
    phases: &[],
    filters: &[name_refusal],
    variables: &[],
};

/// No settings of its own.
#[derive(Debug, Default)]
pub struct CharsetOfRefusal;

/// The page that stands in the place of a part that is not there has the character set of the location's pages.
fn name_refusal(_: &CharsetOfRefusal, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
        return response;
    }
    let Some(told) = request.kept::<Told>() else { return response };
    let name = told.of_page.borrow();
    if response.head.headers.first(HeaderId::ContentType) == Some(b"text/html") && !name.is_empty() {
        let value = [b"text/html; charset=", name.as_slice()].concat();
        response.head.headers.set_known(HeaderId::ContentType, &value);
    }
    response
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
