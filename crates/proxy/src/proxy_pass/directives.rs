//! The directives of `proxy_pass` that no other protocol has, beside the shared ones.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_http::Version;
use daemun_server::Pattern;
use daemun_server::config::{HTTP_SERVER_LOCATION, setter};

use super::ProxyPass;
use super::cookies::{CookieFlags, CookieName, CookieRewrite};
use super::redirect::{Redirect, Redirects, Rewrite};
use super::request_fields::SetHeader;
use crate::pass::{self, pass_directives};

type Set = Result<(), ArgumentError>;

pass_directives! {
    /// All of them.
    static DIRECTIVES_TABLE: ProxyPass = "proxy", encrypted; [
        Directive {
            name: "proxy_pass",
            contexts: Context::LOCATION.or(Context::IF_IN_LOCATION).or(Context::LIMIT_EXCEPT),
            arity: Arity::Exactly(1),
            default: "none",
            help: "http[s]://host[:port][uri] | http[s]://unix:path[:uri] | http[s]://upstream[uri]: who answers, by HTTP, in the clear or by TLS",
            set: set_pass,
        },
        directive("proxy_set_header", Arity::Exactly(2), "Host $proxy_host", "field value: of requests to servers; an empty value leaves the field out", set_header),
        directive("proxy_set_body", Arity::Exactly(1), "none", "value: takes the place of the request's body", |settings, arguments| {
            let template = setter::template(arguments, 0)?;
            arguments.set_once(&mut settings.set_body, template)
        }),
        directive("proxy_method", Arity::Exactly(1), "none", "method: takes the place of the request's", |settings, arguments| {
            let template = setter::template(arguments, 0)?;
            arguments.set_once(&mut settings.method, template)
        }),
        directive("proxy_http_version", Arity::Exactly(1), "1.1", "1.0|1.1: version spoken to servers", set_http_version),
        directive("proxy_redirect", Arity::Between(1, 2), "default", "default|off|redirect replacement: places in Location and Refresh as the client may go there", set_redirect),
        directive("proxy_cookie_domain", Arity::Between(1, 2), "off", "off|domain replacement: domains of servers' cookies", set_cookie_domain),
        directive("proxy_cookie_path", Arity::Between(1, 2), "off", "off|path replacement: paths of servers' cookies", set_cookie_path),
        directive("proxy_cookie_flags", Arity::Between(1, 4), "off", "off|cookie [flag ...]: flags of servers' cookies", set_cookie_flags),
        directive("proxy_pass_trailers", Arity::Flag, "off", "on|off: whether fields behind an answer's body are passed on", |settings, arguments| pass::set_pass_trailers(&mut settings.pass, arguments)),
        directive("proxy_send_lowat", Arity::Exactly(1), "0", "size: read and without meaning here", |settings, arguments| pass::set_send_lowat(&mut settings.pass, arguments)),
    ]
}

/// All directives of the module.
pub static DIRECTIVES: &[Directive<ProxyPass>] = DIRECTIVES_TABLE;

const fn directive(
    name: &'static str,
    arity: Arity,
    default: &'static str,
    help: &'static str,
    set: fn(&mut ProxyPass, &mut Arguments<'_>) -> Set,
) -> Directive<ProxyPass> {
    Directive { name, contexts: HTTP_SERVER_LOCATION, arity, default, help, set }
}

fn set_pass(settings: &mut ProxyPass, arguments: &mut Arguments<'_>) -> Set {
    let word = arguments.word(0)?;
    if word.text.contains('$') {
        settings.template = Some(setter::template(arguments, 0)?);
    }
    arguments.set_once(&mut settings.written, (word.text.clone(), word.span))
}

fn set_header(settings: &mut ProxyPass, arguments: &mut Arguments<'_>) -> Set {
    let name = arguments.text(0)?.as_bytes().into();
    let value = setter::template(arguments, 1)?;
    Arc::make_mut(settings.set_headers.get_or_insert_default()).push(SetHeader { name, value });
    Ok(())
}

fn set_http_version(settings: &mut ProxyPass, arguments: &mut Arguments<'_>) -> Set {
    let version = match arguments.text(0)? {
        "1.0" => Version::Http10,
        "1.1" => Version::Http11,
        "2" => {
            let message = "\"proxy_http_version 2\" is not supported by daemun yet";
            return Err(ArgumentError::new(Some(0), message));
        }
        _ => return Err(arguments.invalid_value(0)),
    };
    arguments.set_once(&mut settings.http_version, version)
}

fn set_redirect(settings: &mut ProxyPass, arguments: &mut Arguments<'_>) -> Set {
    if matches!(settings.redirects, Some(Redirects::Off)) {
        return Err(arguments.duplicate());
    }
    let redirect = match (arguments.len(), arguments.text(0)?) {
        (1, "off") => {
            return arguments.set_once(&mut settings.redirects, Redirects::Off);
        }
        (1, "default") => {
            match &settings.written {
                None => {
                    let message = "\"proxy_redirect default\" should be placed after the \"proxy_pass\" directive";
                    return Err(ArgumentError::new(None, message));
                }
                Some(_) if settings.template.is_some() => {
                    let message =
                        "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables";
                    return Err(ArgumentError::new(None, message));
                }
                Some(_) => {}
            }
            Redirect::Default(arguments.span())
        }
        (1, _) => return Err(arguments.invalid_parameter(0)),
        _ => Redirect::Rewrite(rewrite(arguments, false)?),
    };
    match settings.redirects.get_or_insert_with(|| Redirects::List(Vec::new())) {
        Redirects::List(list) => list.push(redirect),
        Redirects::Off => return Err(arguments.duplicate()),
    }
    Ok(())
}

/// A pattern and what takes its place; `~` begins an expression, `~*` one in either case of letters.
fn rewrite(arguments: &Arguments<'_>, is_caseless: bool) -> Result<Rewrite, ArgumentError> {
    let replacement = setter::template(arguments, 1)?;
    let Some(expression) = arguments.text(0)?.strip_prefix('~') else {
        return Ok(Rewrite::prefix(setter::template(arguments, 0)?, replacement));
    };
    let (expression, is_caseless) = match expression.strip_prefix('*') {
        Some(expression) if !is_caseless => (expression, true),
        _ => (expression, is_caseless),
    };
    Ok(Rewrite::regex(pattern(expression, is_caseless)?, replacement))
}

fn pattern(expression: &str, is_caseless: bool) -> Result<Pattern, ArgumentError> {
    Pattern::new(expression, is_caseless).map_err(|error| ArgumentError::new(Some(0), error.to_string()))
}

fn set_cookie_domain(settings: &mut ProxyPass, arguments: &mut Arguments<'_>) -> Set {
    let Some(list) = cookie_list(&mut settings.cookie_domains, arguments)? else { return Ok(()) };
    list.push(match arguments.text(0)?.starts_with('~') {
        true => CookieRewrite::Other(rewrite(arguments, true)?),
        false => CookieRewrite::Domain(domain(arguments, 0)?, domain(arguments, 1)?),
    });
    Ok(())
}

/// A domain without the point before it.
fn domain(arguments: &Arguments<'_>, position: usize) -> Result<daemun_server::Template, ArgumentError> {
    let word = arguments.word(position)?;
    let text = word.text.strip_prefix('.').unwrap_or(&word.text);
    daemun_server::Template::parse_at(text, Some(word.span))
        .map_err(|error| ArgumentError::new(Some(position), error.to_string()))
}

fn set_cookie_path(settings: &mut ProxyPass, arguments: &mut Arguments<'_>) -> Set {
    let Some(list) = cookie_list(&mut settings.cookie_paths, arguments)? else { return Ok(()) };
    list.push(CookieRewrite::Other(rewrite(arguments, false)?));
    Ok(())
}

fn set_cookie_flags(settings: &mut ProxyPass, arguments: &mut Arguments<'_>) -> Set {
    let Some(list) = cookie_list(&mut settings.cookie_flags, arguments)? else { return Ok(()) };
    let cookie = match arguments.text(0)?.strip_prefix('~') {
        Some(expression) => CookieName::Regex(pattern(expression, true)?),
        None => CookieName::Text(setter::template(arguments, 0)?),
    };
    let flags = (1..arguments.len()).map(|position| setter::template(arguments, position)).collect::<Result<_, _>>()?;
    list.push(CookieFlags { cookie, flags });
    Ok(())
}

/// The list that a directive adds to; `None` for `off`, which leaves it empty.
fn cookie_list<'a, T: Clone>(
    setting: &'a mut Option<Arc<Vec<T>>>,
    arguments: &Arguments<'_>,
) -> Result<Option<&'a mut Vec<T>>, ArgumentError> {
    if arguments.len() == 1 {
        if arguments.text(0)? != "off" {
            return Err(arguments.invalid_parameter(0));
        }
        arguments.set_once(setting, Arc::default())?;
        return Ok(None);
    }
    if setting.as_ref().is_some_and(|list| list.is_empty()) {
        return Err(arguments.duplicate());
    }
    Ok(Some(Arc::make_mut(setting.get_or_insert_default())))
}
