//! `userid`: a cookie by which a browser is known again.

mod cookie;
mod identity;

use std::rc::Rc;

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_http::HeaderId;
use daemun_http::credentials::encode_base64;
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::variable::{Variable, declare_default};
use daemun_server::{Module, Request, Response, Template};

use self::cookie::{CookieForm, Expiry};
use self::identity::{IDENTIFIER_DIGITS, Identifier, Identity};

/// Named once, in the program's list of modules; behind `headers`.
pub static MODULE: Module<UserId> = Module {
    name: "userid",
    directives: &[
        Directive {
            name: "userid",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "off",
            help: "on|v1|log|off: cookies are set and seen, as version 2 or 1; or seen alone; or neither",
            set: set_mode,
        },
        Directive {
            name: "userid_name",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "uid",
            help: "name: of the cookie",
            set: |conf, arguments| {
                let name = arguments.text(0)?.into();
                arguments.set_once(&mut conf.name, name)
            },
        },
        Directive {
            name: "userid_domain",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "name|none: domain that the cookie is for",
            set: |conf, arguments| {
                let domain = Some(arguments.text(0)?).filter(|domain| *domain != "none").unwrap_or_default().into();
                arguments.set_once(&mut conf.form.domain, domain)
            },
        },
        Directive {
            name: "userid_path",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "/",
            help: "path: that the cookie is for",
            set: |conf, arguments| {
                let path = arguments.text(0)?.into();
                arguments.set_once(&mut conf.form.path, path)
            },
        },
        Directive {
            name: "userid_expires",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "off",
            help: "time|max|off: how long the browser keeps the cookie",
            set: |conf, arguments| {
                let expiry = match arguments.text(0)? {
                    "max" => Expiry::Never,
                    "off" => Expiry::WithBrowser,
                    _ => Expiry::After(arguments.seconds(0)?),
                };
                arguments.set_once(&mut conf.form.expiry, expiry)
            },
        },
        Directive {
            name: "userid_flags",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Between(1, 3),
            default: "off",
            help: "off | secure|httponly|samesite=strict|samesite=lax|samesite=none ...: of the cookie",
            set: |conf, arguments| conf.form.set_flags(arguments),
        },
        Directive {
            name: "userid_p3p",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "string|none: field P3P beside the cookie",
            set: |conf, arguments| {
                let value = Some(arguments.text(0)?).filter(|value| *value != "none").unwrap_or_default().into();
                arguments.set_once(&mut conf.p3p, value)
            },
        },
        Directive {
            name: "userid_service",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "the server's address",
            help: "number: first part of a cookie, different for each server",
            set: |conf, arguments| {
                let service = arguments.number(0, 0..=u64::from(u32::MAX))?;
                arguments.set_once(&mut conf.service, service as u32)
            },
        },
        Directive {
            name: "userid_mark",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "off",
            help: "letter|digit|=|off: mark of cookies; one without it is sent again with it",
            set: set_mark,
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; mode, name, p3p, service, mark, reset);
        child.form.inherit(&parent.form);
    },
    finish: nothing_to_finish,
    is_active: UserId::sets,
    phases: &[],
    filters: &[send_cookie],
    variables: &[
        Variable {
            name: "uid_got",
            evaluate: |request, _, out| {
                let Some(conf) = request.location().settings::<UserId>() else { return false };
                let got = conf.sees().then(|| conf.identity(request).got);
                got.flatten().is_some_and(|identifier| conf.write(identifier, out))
            },
        },
        Variable {
            name: "uid_set",
            evaluate: |request, _, out| {
                let Some(conf) = request.location().settings::<UserId>() else { return false };
                let set = conf.sets().then(|| conf.identity_to_set(request).set.get());
                set.flatten().is_some_and(|identifier| conf.write(identifier, out))
            },
        },
    ],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct UserId {
    mode: Option<Mode>,
    name: Option<Box<str>>,
    form: CookieForm,
    p3p: Option<Box<str>>,
    service: Option<u32>,
    /// `Some(None)` is `off`.
    mark: Option<Option<u8>>,
    /// `$uid_reset`.
    reset: Option<Template>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    /// Cookies are seen, not set.
    Log,
    Version1,
    Version2,
}

fn set_mode(conf: &mut UserId, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let choices = [("off", Mode::Off), ("log", Mode::Log), ("v1", Mode::Version1), ("on", Mode::Version2)];
    let mode = arguments.choice(0, &choices)?;
    let error = |reason: daemun_server::variable::TemplateError| ArgumentError::new(None, reason.to_string());
    // Empty, unless the configuration says otherwise by `map` or `set`.
    declare_default("uid_reset", std::sync::Arc::new(|_: &Request, _: &mut Vec<u8>| true)).map_err(error)?;
    conf.reset = Some(Template::parse("$uid_reset").map_err(error)?);
    arguments.set_once(&mut conf.mode, mode)
}

fn set_mark(conf: &mut UserId, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mark = match arguments.text(0)?.as_bytes() {
        b"off" => None,
        [mark] if mark.is_ascii_alphanumeric() || *mark == b'=' => Some(*mark),
        _ => {
            let message = "\"userid_mark\" directive value must be \"off\" or a single letter, digit or \"=\"";
            return Err(ArgumentError::new(Some(0), message));
        }
    };
    arguments.set_once(&mut conf.mark, mark)
}

/// Sends the cookie, where there is one to set.
fn send_cookie(conf: &UserId, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    if request.is_subrequest() {
        return response;
    }
    let identity = conf.identity_to_set(request);
    let Some(identifier) = identity.set.get() else { return response };
    let mut value = [conf.name(), b"="].concat();
    let mark = conf.mark.flatten();
    if identity.got.is_none() || identity.is_reset.get() {
        let mut text = encode_base64(&identifier);
        if let (Some(mark), Some(place)) = (mark, text.iter().rposition(|octet| *octet == b'=').map(|last| last - 1)) {
            text[place] = mark;
        }
        value.extend_from_slice(&text);
    } else {
        // What the browser has, with the mark that it lacks.
        value.extend_from_slice(&identity.cookie[..IDENTIFIER_DIGITS.min(identity.cookie.len())]);
        value.extend([mark.unwrap_or(b'='), b'=']);
    }
    conf.form.write(&mut value);
    response.head.headers.append_known(HeaderId::SetCookie, &value);
    if let Some(p3p) = conf.p3p.as_deref().filter(|p3p| !p3p.is_empty()) {
        response.head.headers.append(b"P3P", p3p.as_bytes());
    }
    response
}

impl UserId {
    fn sees(&self) -> bool {
        self.mode.is_some_and(|mode| mode != Mode::Off)
    }

    fn sets(&self) -> bool {
        matches!(self.mode, Some(Mode::Version1 | Mode::Version2))
    }

    fn name(&self) -> &[u8] {
        self.name.as_deref().unwrap_or("uid").as_bytes()
    }

    /// What is known of the browser; read from its cookie when it is first asked for.
    fn identity(&self, request: &Request) -> Rc<Identity> {
        if let Some(identity) = request.kept() {
            return identity;
        }
        let identity = Identity::of(request, self.name());
        request.keep(identity);
        request.kept().unwrap_or_default()
    }

    /// The same, once it is decided whether a cookie is set, and which.
    fn identity_to_set(&self, request: &Request) -> Rc<Identity> {
        let identity = self.identity(request);
        if identity.set.get().is_none() {
            identity.set.set(self.identifier_to_set(request, &identity));
        }
        identity
    }

    fn identifier_to_set(&self, request: &Request, identity: &Identity) -> Option<Identifier> {
        if let Some(got) = identity.got {
            let reset = self.reset.as_ref().map(|reset| reset.value(request)).unwrap_or_default();
            if matches!(reset.as_slice(), b"" | b"0") {
                let is_marked =
                    |mark| identity.cookie.get(IDENTIFIER_DIGITS..).is_some_and(|rest| rest.starts_with(&[mark, b'=']));
                return self.mark.flatten().filter(|mark| !is_marked(*mark)).map(|_| got);
            }
            identity.is_reset.set(true);
            if reset == b"log" {
                let mut shown = Vec::new();
                self.write(got, &mut shown);
                let shown = String::from_utf8_lossy(&shown).into_owned();
                request.log(Level::Notice, format_args!("userid cookie \"{shown}\" was reset"));
            }
        }
        let is_version_1 = self.mode == Some(Mode::Version1);
        Some(identity::new_identifier(request, self.service, is_version_1))
    }

    /// Appends `uid=` and the four numbers in hexadecimal.
    fn write(&self, identifier: Identifier, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.name());
        out.push(b'=');
        for word in identifier.chunks_exact(4) {
            let number = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            out.extend_from_slice(format!("{number:08X}").as_bytes());
        }
        true
    }
}
