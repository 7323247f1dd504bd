//! `proxy_cookie_domain`, `proxy_cookie_path`, `proxy_cookie_flags`: what a server's cookies are valid for.

use daemun_server::{Pattern, Request, Template};

use super::ProxyPass;
use super::redirect::Rewrite;

/// One `proxy_cookie_domain` or `proxy_cookie_path`.
#[derive(Clone)]
pub enum CookieRewrite {
    /// The whole of a domain, in either case, without a point before it.
    Domain(Template, Template),
    /// The beginning of a path, or an expression.
    Other(Rewrite),
}

/// One `proxy_cookie_flags`.
#[derive(Clone)]
pub struct CookieFlags {
    /// Which cookies.
    pub cookie: CookieName,
    /// What they get or lose.
    pub flags: Vec<Template>,
}

/// The name of a cookie.
#[derive(Clone)]
pub enum CookieName {
    /// By itself.
    Text(Template),
    /// By an expression.
    Regex(Pattern),
}

/// `name=value`, or a name alone.
struct Attribute {
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// Whether anything is said of cookies.
pub fn is_active(settings: &ProxyPass) -> bool {
    settings.cookie_domains.is_some() || settings.cookie_paths.is_some() || settings.cookie_flags.is_some()
}

/// The value of `Set-Cookie` as the client gets it.
pub fn rewrite(settings: &ProxyPass, value: &[u8], request: &Request) -> Vec<u8> {
    let mut attributes = parse(value);
    if attributes.first().is_none_or(|first| first.value.is_none()) {
        return value.to_vec();
    }
    let mut is_changed = false;
    for attribute in attributes.iter_mut().skip(1) {
        let rewrites = if attribute.name.eq_ignore_ascii_case(b"domain") {
            &settings.cookie_domains
        } else if attribute.name.eq_ignore_ascii_case(b"path") {
            &settings.cookie_paths
        } else {
            continue;
        };
        let (Some(rewrites), Some(value)) = (rewrites, &mut attribute.value) else { continue };
        if let Some(changed) = rewrites.iter().find_map(|rewrite| rewrite.apply(value, request)) {
            *value = changed;
            is_changed = true;
        }
    }
    if let Some(flags) = &settings.cookie_flags {
        is_changed |= change_flags(&mut attributes, flags, request);
    }
    if is_changed { write(&attributes) } else { value.to_vec() }
}

impl CookieRewrite {
    fn apply(&self, text: &[u8], request: &Request) -> Option<Vec<u8>> {
        match self {
            Self::Domain(pattern, replacement) => {
                let (point, domain) = match text.strip_prefix(b".") {
                    Some(domain) => (&b"."[..], domain),
                    None => (&b""[..], text),
                };
                let is_same = pattern.value(request).eq_ignore_ascii_case(domain);
                is_same.then(|| [point, &replacement.value(request)].concat())
            }
            Self::Other(rewrite) => rewrite.apply(text, request),
        }
    }
}

fn parse(value: &[u8]) -> Vec<Attribute> {
    let attribute = |part: &[u8]| match part.iter().position(|octet| *octet == b'=') {
        Some(at) => {
            let (name, value) = part.split_at(at);
            Attribute { name: name.trim_ascii().to_vec(), value: Some(value[1..].trim_ascii().to_vec()) }
        }
        None => Attribute { name: part.trim_ascii().to_vec(), value: None },
    };
    value.split(|octet| *octet == b';').map(attribute).collect()
}

fn write(attributes: &[Attribute]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    for attribute in attributes {
        if !out.is_empty() {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(&attribute.name);
        if let Some(value) = &attribute.value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out
}

/// What is wanted of each flag: on, off, or nothing; of `SameSite` its value.
#[derive(Default)]
struct Wanted {
    secure: Option<bool>,
    http_only: Option<bool>,
    same_site: Option<Option<&'static [u8]>>,
}

/// Applies the first `proxy_cookie_flags` that is for this cookie. True when it says anything.
fn change_flags(attributes: &mut Vec<Attribute>, flags: &[CookieFlags], request: &Request) -> bool {
    let Some(name) = attributes.first().map(|first| first.name.clone()) else { return false };
    let is_for = |flags: &&CookieFlags| match &flags.cookie {
        CookieName::Text(text) => text.value(request).eq_ignore_ascii_case(&name),
        CookieName::Regex(pattern) => pattern.test(request, &name),
    };
    let Some(found) = flags.iter().find(is_for) else { return false };
    let mut wanted = Wanted::default();
    let mut says_anything = false;
    for flag in &found.flags {
        says_anything |= wanted.take(&flag.value(request));
    }
    if says_anything {
        wanted.apply(attributes);
    }
    says_anything
}

impl Wanted {
    fn take(&mut self, flag: &[u8]) -> bool {
        match flag.to_ascii_lowercase().as_slice() {
            b"secure" => self.secure = Some(true),
            b"nosecure" => self.secure = Some(false),
            b"httponly" => self.http_only = Some(true),
            b"nohttponly" => self.http_only = Some(false),
            b"samesite=strict" => self.same_site = Some(Some(b"Strict")),
            b"samesite=lax" => self.same_site = Some(Some(b"Lax")),
            b"samesite=none" => self.same_site = Some(Some(b"None")),
            b"nosamesite" => self.same_site = Some(None),
            _ => return false,
        }
        true
    }

    fn apply(&self, attributes: &mut Vec<Attribute>) {
        set_flag(attributes, b"Secure", self.secure);
        set_flag(attributes, b"HttpOnly", self.http_only);
        let Some(wanted) = self.same_site else { return };
        let position = attributes.iter().skip(1).position(|attribute| attribute.name.eq_ignore_ascii_case(b"samesite"));
        match (wanted, position.map(|at| at + 1)) {
            (Some(value), Some(at)) => {
                let is_same = |given: &Vec<u8>| given.eq_ignore_ascii_case(value);
                if !attributes[at].value.as_ref().is_some_and(is_same) {
                    attributes[at] = Attribute { name: b"SameSite".to_vec(), value: Some(value.to_vec()) };
                }
            }
            (Some(value), None) => {
                attributes.push(Attribute { name: b"SameSite".to_vec(), value: Some(value.to_vec()) });
            }
            (None, Some(_)) => remove(attributes, b"samesite"),
            (None, None) => {}
        }
    }
}

fn set_flag(attributes: &mut Vec<Attribute>, name: &[u8], wanted: Option<bool>) {
    match wanted {
        Some(true) if !attributes.iter().skip(1).any(|attribute| attribute.name.eq_ignore_ascii_case(name)) => {
            attributes.push(Attribute { name: name.to_vec(), value: None });
        }
        Some(false) => remove(attributes, name),
        _ => {}
    }
}

fn remove(attributes: &mut Vec<Attribute>, name: &[u8]) {
    let mut is_first = true; // The cookie itself may have any name.
    attributes.retain(|attribute| std::mem::take(&mut is_first) || !attribute.name.eq_ignore_ascii_case(name));
}
