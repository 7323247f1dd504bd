//! `return`: the request ends here, with a status, a text, or a redirect.

use daemun_conf::{ArgumentError, Arguments};
use daemun_http::{HeaderId, StatusCode};
use daemun_server::config::setter;
use daemun_server::{Body, Outcome, Request, Response, Template};

/// How a request ends.
pub(super) enum Ending {
    /// Without an answer.
    Close,
    /// With a status that `error_page` may give a body.
    Status(StatusCode),
    /// With a text, whatever `error_page` says.
    Text(StatusCode, Template),
    /// With a `Location`.
    Redirect(StatusCode, Template),
}

/// Reads `code [text|URL]` or `URL`.
pub(super) fn read(arguments: &Arguments<'_>) -> Result<Ending, ArgumentError> {
    let first = arguments.text(0)?;
    let is_number = first.bytes().all(|octet| octet.is_ascii_digit());
    Ok(match first.parse() {
        Ok(number) if is_number => {
            let status = StatusCode::new(number).ok_or_else(|| invalid(first))?;
            let text = if arguments.len() == 2 { Some(setter::template(arguments, 1)?) } else { None };
            Ending::of(status, text)
        }
        _ if arguments.len() == 1 && URL_STARTS.iter().any(|start| first.starts_with(start)) => {
            Ending::Redirect(StatusCode::FOUND, setter::template(arguments, 0)?)
        }
        _ => return Err(invalid(first)),
    })
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

    /// Ends the request.
    pub(super) fn end(&self, request: &mut Request) -> Outcome {
        match self {
            Self::Close => {
                request.sent.status = StatusCode::NO_RESPONSE.as_u16(); // For the log.
                Outcome::Close
            }
            Self::Status(status) => Outcome::Finish(*status),
            Self::Text(status, text) => {
                let mut response = Response::new(*status);
                response.is_own = status.is_success();
                if !status.is_bodiless()
                    && let Some(content_type) = request.core().content_type(&request.uri)
                {
                    response.head.headers.append_known(HeaderId::ContentType, content_type);
                }
                response.body = Body::Bytes(text.body(request));
                Outcome::Respond(response)
            }
            Self::Redirect(status, target) => {
                let mut response = Response::new(*status);
                daemun_server::redirect::set_location(request, &mut response, &target.value(request));
                Outcome::Respond(response)
            }
        }
    }
}
