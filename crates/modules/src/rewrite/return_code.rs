//! `return`: the request ends here, with a status, a text, or a redirect.

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_http::{HeaderId, StatusCode};
use daemun_server::config::setter;
use daemun_server::module::nothing_to_finish;
use daemun_server::{Body, Handler, Module, Outcome, Phase, Request, Response, Template};

use crate::redirect;

/// Named once, in the program's list of modules.
pub static MODULE: Module<ReturnCode> = Module {
    name: "return_code",
    directives: &[Directive {
        name: "return",
        contexts: Context::SERVER.or(Context::LOCATION).or(Context::IF_IN_SERVER).or(Context::IF_IN_LOCATION),
        arity: Arity::Between(1, 2),
        default: "none",
        help: "code [text|URL] | URL: ends the request; 444 closes the connection without an answer",
        set: set_return,
    }],
    merge: |_, _| {}, // Not inherited.
    finish: nothing_to_finish,
    is_active: |conf| conf.ending.is_some(),
    phases: &[
        (Phase::ServerRewrite, Handler::Sync(return_from_server)),
        (Phase::Rewrite, Handler::Sync(return_from_location)),
    ],
    filters: &[],
    variables: &[],
};

/// The `return` of one block; of several the first counts.
#[derive(Default)]
pub struct ReturnCode {
    ending: Option<Ending>,
}

/// How a request ends.
enum Ending {
    /// Without an answer.
    Close,
    /// With a status that `error_page` may give a body.
    Status(StatusCode),
    /// With a text, whatever `error_page` says.
    Text(StatusCode, Template),
    /// With a `Location`.
    Redirect(StatusCode, Template),
}

fn set_return(conf: &mut ReturnCode, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let first = arguments.text(0)?;
    let is_number = first.bytes().all(|octet| octet.is_ascii_digit());
    let ending = match first.parse() {
        Ok(number) if is_number => {
            let status = StatusCode::new(number).ok_or_else(|| invalid(first))?;
            let text = if arguments.len() == 2 { Some(setter::template(arguments, 1)?) } else { None };
            Ending::of(status, text)
        }
        _ if arguments.len() == 1 && URL_STARTS.iter().any(|start| first.starts_with(start)) => {
            Ending::Redirect(StatusCode::FOUND, setter::template(arguments, 0)?)
        }
        _ => return Err(invalid(first)),
    };
    conf.ending.get_or_insert(ending);
    Ok(())
}

/// How a lone argument begins that is a URL.
const URL_STARTS: [&str; 3] = ["http://", "https://", "$scheme"];

fn invalid(code: &str) -> ArgumentError {
    ArgumentError::new(Some(0), format!("invalid return code \"{code}\""))
}

impl Ending {
    fn of(status: StatusCode, text: Option<Template>) -> Self {
        match (status.as_u16(), text) {
            (301 | 302 | 303 | 307 | 308, text) => Self::Redirect(status, text.unwrap_or_default()),
            (444, None) => Self::Close,
            (0..400, text) => Self::Text(status, text.unwrap_or_default()),
            (_, Some(text)) if text.as_constant() != Some(b"") => Self::Text(status, text),
            (_, _) => Self::Status(status),
        }
    }
}

fn return_from_server(conf: &ReturnCode, request: &mut Request) -> Outcome {
    conf.ending.as_ref().map_or(Outcome::Continue, |ending| end(ending, request))
}

/// Where no location fits, the server's own settings stand in for one; its `return` has had its turn then.
fn return_from_location(conf: &ReturnCode, request: &mut Request) -> Outcome {
    if request.location == request.server().settings {
        return Outcome::Continue;
    }
    return_from_server(conf, request)
}

fn end(ending: &Ending, request: &mut Request) -> Outcome {
    match ending {
        Ending::Close => {
            request.sent.status = StatusCode::NO_RESPONSE.as_u16(); // For the log.
            Outcome::Close
        }
        Ending::Status(status) => Outcome::Finish(*status),
        Ending::Text(status, text) => {
            let mut response = Response::new(*status);
            response.is_own = status.is_success();
            if !status.is_bodiless()
                && let Some(content_type) = request.core().content_type(&request.uri)
            {
                response.head.headers.append_known(HeaderId::ContentType, content_type);
            }
            response.body = Body::Bytes(text.value(request).into());
            Outcome::Respond(response)
        }
        Ending::Redirect(status, target) => {
            let mut response = Response::new(*status);
            redirect::set_location(request, &mut response, &target.value(request));
            Outcome::Respond(response)
        }
    }
}
