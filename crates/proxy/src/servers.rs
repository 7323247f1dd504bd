//! The servers that a `..._pass` names where it names nothing else: no scheme, no path.

use std::net::IpAddr;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Context, Diagnostic, Span};
use daemun_http::StatusCode;
use daemun_server::config::{Build, setter};
use daemun_server::log::Level;
use daemun_server::{Outcome, Request, Template};

use crate::upstream::{Place, Upstream, UpstreamAddress, UpstreamTable};

/// The argument of such a `..._pass`. It is inherited by `if` and `limit_except` alone.
#[derive(Default)]
pub struct Servers {
    written: Option<(String, Option<Template>, Span)>,
    found: Option<Arc<Found>>,
    enclosing: Option<Arc<Found>>,
}

enum Found {
    /// An address or the name of a group.
    Fixed(Arc<Upstream>),
    /// A text that each request gives its values to, and the groups that it may name.
    Variable { template: Template, groups: UpstreamTable },
}

impl Servers {
    /// Reads the argument.
    ///
    /// # Errors
    /// For a second one, or an unknown variable.
    pub fn set(&mut self, arguments: &Arguments<'_>) -> Result<(), ArgumentError> {
        let text = arguments.text(0)?.to_owned();
        let template = if text.contains('$') { Some(setter::template(arguments, 0)?) } else { None };
        let span = arguments.word(0)?.span;
        if self.written.is_some() {
            return Err(arguments.duplicate());
        }
        self.written = Some((text, template, span));
        Ok(())
    }

    /// The servers of this group.
    #[must_use]
    pub fn of_group(group: Arc<Upstream>) -> Self {
        Self { found: Some(Arc::new(Found::Fixed(group))), ..Self::default() }
    }

    /// Those that a text with variables names.
    #[must_use]
    pub fn of_template(template: Template, build: &Build<'_>) -> Self {
        let groups = build.published::<UpstreamTable>().cloned().unwrap_or_default();
        Self { found: Some(Arc::new(Found::Variable { template, groups })), ..Self::default() }
    }

    /// Notes what the enclosing block says.
    pub fn inherit(&mut self, parent: &Self) {
        self.enclosing.clone_from(&parent.found);
    }

    /// Finds the servers, or what to find them with.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn finish(&mut self, build: &Build<'_>) -> Result<(), Diagnostic> {
        let is_nameless = build.context() == Context::IF_IN_LOCATION || build.context() == Context::LIMIT_EXCEPT;
        self.found = match self.written.take() {
            None => self.enclosing.take().filter(|_| is_nameless),
            Some((text, template, span)) => {
                let groups = build.published::<UpstreamTable>().cloned().unwrap_or_default();
                let found = match (template, groups.find(&text)) {
                    (Some(template), _) => Found::Variable { template, groups },
                    (None, Some(group)) => Found::Fixed(group),
                    (None, None) => {
                        let addresses =
                            UpstreamAddress::parse(&text, None).map_err(|message| Diagnostic::error(span, message))?;
                        Found::Fixed(Arc::new(Upstream::of_addresses(&text, addresses)))
                    }
                };
                Some(Arc::new(found))
            }
        };
        Ok(())
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.found.is_some()
    }

    /// Where the configuration names them; gone once the block is closed.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.written.as_ref().map(|(_, _, span)| *span)
    }

    /// The servers for a request.
    ///
    /// # Errors
    /// What the request ends with; the reason is in the log.
    pub fn upstream(&self, request: &Request) -> Result<Arc<Upstream>, Outcome> {
        let (template, groups) = match self.found.as_deref() {
            Some(Found::Fixed(upstream)) => return Ok(Arc::clone(upstream)),
            Some(Found::Variable { template, groups }) => (template, groups),
            None => return Err(Outcome::Continue),
        };
        let text = String::from_utf8_lossy(&template.value(request)).into_owned();
        // Of the protocols whose servers are named so, uwsgi alone may say its name.
        let text = text.strip_prefix("uwsgi://").unwrap_or(&text);
        match groups.find(text) {
            Some(group) => Ok(group),
            None => address(text).map(|address| Arc::new(Upstream::of_addresses(text, vec![address]))).map_err(
                |(status, message)| {
                    request.log(Level::Error, format_args!("{message}"));
                    Outcome::Finish(status)
                },
            ),
        }
    }
}

/// An address that needs no look-up.
fn address(text: &str) -> Result<UpstreamAddress, (StatusCode, String)> {
    let wrong = |message: &str| (StatusCode::INTERNAL_SERVER_ERROR, format!("{message} in upstream \"{text}\""));
    match Place::parse(text).map_err(wrong)? {
        Place::Unix(path) => Ok(UpstreamAddress::Unix(path)),
        Place::Host { port: None, .. } => Err(wrong("no port")),
        Place::Host { host, port: Some(port) } => match host.parse::<IpAddr>() {
            Ok(ip) => Ok(UpstreamAddress::Inet((ip, port).into())),
            Err(_) => Err((StatusCode::BAD_GATEWAY, format!("no resolver defined to resolve {host}"))),
        },
    }
}
