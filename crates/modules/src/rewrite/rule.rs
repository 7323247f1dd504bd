//! `rewrite`: a path that an expression matches becomes another, or a redirect.

use daemun_conf::{ArgumentError, Arguments};
use daemun_http::{StatusCode, target};
use daemun_server::config::setter;
use daemun_server::log::Level;
use daemun_server::{Outcome, Pattern, Request, Response, Template};

/// One `rewrite`.
pub(super) struct Rule {
    pattern: Pattern,
    /// As written, for the log.
    text: String,
    replacement: Template,
    /// The status of a redirect; `None` changes the request's own path.
    redirect: Option<StatusCode>,
    /// Whether the request's arguments follow those of the replacement.
    keeps_arguments: bool,
    /// `break`: the location stays.
    pub is_break: bool,
    /// Whether nothing more of the block runs.
    pub is_last: bool,
}

/// What a rule has done.
pub(super) enum Then {
    /// Nothing.
    NoMatch,
    /// The path is another.
    Changed,
    /// The request has ended.
    End(Outcome),
}

/// How a replacement begins that is a redirect without a flag.
const URL_STARTS: [&str; 3] = ["http://", "https://", "$scheme"];

impl Rule {
    pub(super) fn read(arguments: &Arguments<'_>) -> Result<Self, ArgumentError> {
        let text = arguments.text(0)?;
        let pattern = Pattern::new(text, false).map_err(|error| ArgumentError::new(Some(0), error.to_string()))?;
        let written = arguments.text(1)?;
        if written.is_empty() {
            return Err(ArgumentError::new(Some(1), "empty replacement"));
        }
        let mut rule = Self {
            pattern,
            text: text.to_owned(),
            replacement: setter::template(arguments, 1)?,
            redirect: None,
            keeps_arguments: true,
            is_break: false,
            is_last: false,
        };
        if let Some(without) = written.strip_suffix('?') {
            let span = arguments.word(1)?.span;
            let parsed = Template::parse_at(without, Some(span));
            rule.replacement = parsed.map_err(|error| ArgumentError::new(Some(1), error.to_string()))?;
            rule.keeps_arguments = false;
        }
        if URL_STARTS.iter().any(|start| written.starts_with(start)) {
            rule.redirect = Some(StatusCode::FOUND);
            rule.is_last = true;
        }
        if arguments.len() > 2 {
            rule.is_last = true;
            match arguments.text(2)? {
                "last" => {}
                "break" => rule.is_break = true,
                "redirect" => rule.redirect = Some(StatusCode::FOUND),
                "permanent" => rule.redirect = Some(StatusCode::MOVED_PERMANENTLY),
                other => return Err(ArgumentError::new(Some(2), format!("invalid parameter \"{other}\""))),
            }
        }
        Ok(rule)
    }

    pub(super) fn apply(&self, request: &mut Request, is_logged: bool) -> Then {
        let is_match = self.pattern.test(request, &request.uri);
        if is_logged {
            let shown = String::from_utf8_lossy(&request.uri);
            let verb = if is_match { "matches" } else { "does not match" };
            request.log(Level::Notice, format_args!("\"{}\" {verb} \"{shown}\"", self.text));
        }
        if !is_match {
            request.values.forget_captures();
            return Then::NoMatch;
        }
        request.is_internal = true;
        match self.redirect {
            Some(status) => Then::End(self.send_elsewhere(status, request, is_logged)),
            None => self.change(request, is_logged),
        }
    }

    fn change(&self, request: &mut Request, is_logged: bool) -> Then {
        let is_escaped = was_escaped(request);
        let mut uri = Vec::with_capacity(request.uri.len() + 32);
        let arguments = self.replacement.render_replacement(request, &mut uri, |is_argument, group, out| {
            if is_argument && is_escaped { target::escape_args(group, out) } else { out.extend_from_slice(group) }
        });
        match arguments {
            Some(at) => {
                let mut args = uri.split_off(at);
                uri.pop();
                if self.keeps_arguments && !request.args.is_empty() {
                    args.push(b'&');
                    args.extend_from_slice(&request.args);
                }
                request.args = args;
            }
            None if !self.keeps_arguments => request.args.clear(),
            None => {}
        }
        if uri.is_empty() {
            request.log(Level::Error, format_args!("the rewritten URI has a zero length"));
            return Then::End(Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR));
        }
        request.uri = uri;
        request.is_target_intact = false;
        if self.is_break {
            request.is_location_intact = false;
        }
        if is_logged {
            let (uri, args) = (String::from_utf8_lossy(&request.uri), String::from_utf8_lossy(&request.args));
            request.log(Level::Notice, format_args!("rewritten data: \"{uri}\", args: \"{args}\""));
        }
        Then::Changed
    }

    fn send_elsewhere(&self, status: StatusCode, request: &Request, is_logged: bool) -> Outcome {
        let is_escaped = was_escaped(request);
        let mut written = Vec::with_capacity(128);
        let arguments = self.replacement.render_replacement(request, &mut written, |_, group, out| {
            if is_escaped { target::escape_args(group, out) } else { out.extend_from_slice(group) }
        });
        let mut target = unescape_path(&written);
        if self.keeps_arguments && !request.args.is_empty() {
            target.push(if arguments.is_some() { b'&' } else { b'?' });
            target.extend_from_slice(&request.args);
        }
        if is_logged {
            let shown = String::from_utf8_lossy(&target);
            request.log(Level::Notice, format_args!("rewritten redirect: \"{shown}\""));
        }
        let mut response = Response::new(status);
        daemun_server::redirect::set_location(request, &mut response, &target);
        Outcome::Respond(response)
    }
}

/// Whether the path, as it was received, had something to decode: what is copied from it into arguments is encoded again.
fn was_escaped(request: &Request) -> bool {
    let path = target::split(request.head.target()).path;
    path.iter().any(|octet| matches!(octet, b'%' | b'+'))
}

/// Decodes what needs no encoding in a `Location`, up to the arguments.
fn unescape_path(written: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'?' {
            out.extend_from_slice(rest);
            return out;
        }
        match decoded(rest) {
            Some(b'?') => {
                out.extend_from_slice(b"?");
                out.extend_from_slice(&rest[3..]);
                return out;
            }
            Some(octet) if octet > b'%' && octet < 0x7f => {
                out.push(octet);
                rest = &rest[3..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// The octet that `%XX` at the front stands for.
fn decoded(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"%")?.get(..2)?;
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(value(digits[0])? << 4 | value(digits[1])?)
}

#[cfg(test)]
mod tests {
    use super::unescape_path;

    #[test]
    fn redirects_keep_what_must_stay_encoded() {
        assert_eq!(unescape_path(b"/a%20b%41%2f"), b"/a%20bA/");
        assert_eq!(unescape_path(b"/a%25?x=%41"), b"/a%25?x=%41");
        assert_eq!(unescape_path(b"/%"), b"/%");
        assert_eq!(unescape_path(b"/%4"), b"/%4");
    }
}
