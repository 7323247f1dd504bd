//! `proxy_redirect`: places that a server names, as the client may go there.

use daemun_conf::Span;
use daemun_http::HeaderId;
use daemun_server::{Pattern, Request, Template};

use super::target::Target;

/// What becomes of a text.
#[derive(Clone)]
pub struct Rewrite {
    pattern: RewritePattern,
    replacement: Template,
}

#[derive(Clone)]
enum RewritePattern {
    /// The text begins so.
    Prefix(Template),
    /// The text matches; all of it is replaced.
    Regex(Pattern),
}

/// The `proxy_redirect`s of a block.
#[derive(Clone)]
pub enum Redirects {
    /// `off`
    Off,
    /// In order.
    List(Vec<Redirect>),
}

/// One `proxy_redirect`.
#[derive(Clone)]
pub enum Redirect {
    /// What `proxy_pass` names becomes the location.
    Default(Span),
    /// As written.
    Rewrite(Rewrite),
}

impl Redirects {
    /// The rewrites, in order.
    ///
    /// # Errors
    /// In nginx's words, and where.
    pub fn finish(&self, target: Option<&Target>) -> Result<Vec<Rewrite>, (Span, String)> {
        let Self::List(list) = self else { return Ok(Vec::new()) };
        let mut rewrites = Vec::with_capacity(list.len());
        for redirect in list {
            match redirect {
                Redirect::Rewrite(rewrite) => rewrites.push(rewrite.clone()),
                Redirect::Default(span) => match target {
                    None => {}
                    Some(target) => rewrites.push(target.default_redirect().ok_or_else(|| {
                        let message =
                            "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables";
                        (*span, message.to_owned())
                    })?),
                },
            }
        }
        Ok(rewrites)
    }
}

impl Rewrite {
    /// Texts that begin with `pattern`.
    pub fn prefix(pattern: Template, replacement: Template) -> Self {
        Self { pattern: RewritePattern::Prefix(pattern), replacement }
    }

    /// Texts that match.
    pub fn regex(pattern: Pattern, replacement: Template) -> Self {
        Self { pattern: RewritePattern::Regex(pattern), replacement }
    }

    /// What becomes of `text`; `None` where this is not for it.
    pub fn apply(&self, text: &[u8], request: &Request) -> Option<Vec<u8>> {
        match &self.pattern {
            RewritePattern::Prefix(pattern) => {
                let rest = text.strip_prefix(pattern.value(request).as_slice())?;
                let mut out = self.replacement.value(request);
                out.extend_from_slice(rest);
                Some(out)
            }
            RewritePattern::Regex(pattern) => pattern.test(request, text).then(|| self.replacement.value(request)),
        }
    }
}

/// The value of `Location` or `Refresh` with the place in it rewritten by the first rewrite that is for it.
pub fn rewrite(rewrites: &[Rewrite], id: HeaderId, value: &[u8], request: &Request) -> Option<Vec<u8>> {
    let at = match id {
        HeaderId::Refresh => value.windows(4).position(|part| part.eq_ignore_ascii_case(b"url="))? + 4,
        _ => 0,
    };
    let (before, place) = value.split_at_checked(at)?;
    let place = rewrites.iter().find_map(|rewrite| rewrite.apply(place, request))?;
    Some([before, &place].concat())
}
