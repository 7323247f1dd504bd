//! The servers that a `..._pass` names where it names nothing else: no scheme, no path.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Context, Diagnostic, Span};
use daemun_http::StatusCode;
use daemun_server::config::{Build, setter};
use daemun_server::log::Level;
use daemun_server::{Outcome, Request, Template};

use crate::health_check::PassedTo;
use crate::resolver::ResolverInForce;
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
    /// A text that each request gives its values to, the groups that it may name, and who knows all other names.
    Variable { template: Template, groups: UpstreamTable, resolver: ResolverInForce },
}

impl Servers {
    /// Reads the argument.
    ///
    /// # Errors
    /// For a second one, or an unknown variable.
    pub fn set(&mut self, arguments: &Arguments<'_>) -> Result<(), ArgumentError> {
        let text = arguments.text(0)?.to_owned();
        let template = if text.contains('$') { Some(setter::template(arguments, 0)?) } else { None };
        self.set_text(text, template, arguments.word(0)?.span, arguments)
    }

    /// As [`Servers::set`], of a text that stands for an argument that was left out.
    ///
    /// # Errors
    /// For a second one, or an unknown variable.
    pub fn set_default(&mut self, text: &str, arguments: &Arguments<'_>) -> Result<(), ArgumentError> {
        let template = Template::parse_at(text, Some(arguments.span()));
        let template = template.map_err(|error| ArgumentError::new(None, error.to_string()))?;
        self.set_text(text.to_owned(), Some(template), arguments.span(), arguments)
    }

    fn set_text(
        &mut self,
        text: String,
        template: Option<Template>,
        span: Span,
        arguments: &Arguments<'_>,
    ) -> Result<(), ArgumentError> {
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
        Self { found: Some(Arc::new(Found::of_template(template, build))), ..Self::default() }
    }

    /// Notes what the enclosing block says.
    pub fn inherit(&mut self, parent: &Self) {
        self.enclosing.clone_from(&parent.found);
    }

    /// Finds the servers, or what to find them with. `scheme` is what the protocol is called.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn finish(&mut self, scheme: &'static str, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        let is_nameless = build.context() == Context::IF_IN_LOCATION || build.context() == Context::LIMIT_EXCEPT;
        self.found = match self.written.take() {
            None => self.enclosing.take().filter(|_| is_nameless),
            Some((text, template, span)) => {
                build.want_slash();
                let groups = build.published::<UpstreamTable>().cloned().unwrap_or_default();
                let found = match (template, groups.find(&text)) {
                    (Some(template), _) => Found::of_template(template, build),
                    (None, Some(group)) => Found::Fixed(group),
                    (None, None) => {
                        let addresses =
                            UpstreamAddress::parse(&text, None).map_err(|message| Diagnostic::error(span, message))?;
                        Found::Fixed(Arc::new(Upstream::of_addresses(&text, addresses)))
                    }
                };
                if let Found::Fixed(group) = &found {
                    build.publish(Some(PassedTo { upstream: Arc::clone(group), scheme, encryption: None }));
                }
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
    pub async fn upstream(&self, request: &Request) -> Result<Arc<Upstream>, Outcome> {
        let (template, groups, resolver) = match self.found.as_deref() {
            Some(Found::Fixed(upstream)) => return Ok(Arc::clone(upstream)),
            Some(Found::Variable { template, groups, resolver }) => (template, groups, resolver),
            None => return Err(Outcome::Continue),
        };
        let text = String::from_utf8_lossy(&template.value(request)).into_owned();
        // Of the protocols whose servers are named so, uwsgi alone may say its name.
        let text = text.strip_prefix("uwsgi://").or(text.strip_prefix("suwsgi://")).unwrap_or(&text);
        if let Some(group) = groups.find(text) {
            return Ok(group);
        }
        let place = Place::parse(text).and_then(|place| match place {
            Place::Host { port: None, .. } => Err("no port"),
            place => Ok(place),
        });
        match place {
            Ok(place) => resolver.servers_at(&place, text, NO_PORT, request).await,
            Err(message) => {
                request.log(Level::Error, format_args!("{message} in upstream \"{text}\""));
                Err(Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }
}

impl Found {
    fn of_template(template: Template, build: &Build<'_>) -> Self {
        let groups = build.published::<UpstreamTable>().cloned().unwrap_or_default();
        let resolver = build.published::<ResolverInForce>().cloned().unwrap_or_default();
        Self::Variable { template, groups, resolver }
    }
}

/// Never asked for: these protocols have no port of their own, and a name without one is refused before.
const NO_PORT: u16 = 0;
