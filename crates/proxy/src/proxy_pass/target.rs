//! Where `proxy_pass` leads: servers, the name they are called by, and the path that takes the place of the location's.

use std::sync::Arc;

use daemun_conf::Context;
use daemun_http::StatusCode;
use daemun_server::config::Build;
use daemun_server::log::Level;
use daemun_server::{Outcome, Request, Template};

use super::redirect::Rewrite;
use crate::resolver::ResolverInForce;
use crate::upstream::{ImplicitGroups, Place, Upstream, UpstreamTable};

/// What `proxy_pass` says.
pub struct Target {
    kind: Kind,
    /// The prefix that the path of `proxy_pass` takes the place of.
    pub location: Vec<u8>,
}

enum Kind {
    /// A text without variables.
    Fixed {
        destination: Arc<Destination>,
        /// As written.
        url: String,
    },
    /// A text that each request gives its values to, the groups that it may name, and who knows all other names.
    Variable { template: Template, groups: UpstreamTable, implicit: ImplicitGroups, resolver: ResolverInForce },
}

/// Where one request goes.
pub struct Destination {
    /// The servers.
    pub upstream: Arc<Upstream>,
    /// `$proxy_host`: name and port, the port left out where it is the protocol's own.
    pub host: Arc<str>,
    /// `$proxy_port`; empty for a unix socket.
    pub port: Arc<str>,
    /// Path and arguments; empty where the request's own go.
    pub path: Arc<str>,
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// Whether the path came of variables, and is all there is.
    pub is_whole_path: bool,
}

/// A URL taken apart.
struct Url<'a> {
    is_encrypted: bool,
    place: Place,
    /// Host and port as written, or the socket with its `unix:`.
    authority: &'a str,
    path: &'a str,
}

impl Target {
    /// Reads `text`, or `template` where it has variables.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn of_configuration(
        text: &str,
        template: Option<Template>,
        is_nameless: bool,
        build: &mut Build<'_>,
    ) -> Result<Self, String> {
        let groups = build.published::<UpstreamTable>().cloned().unwrap_or_default();
        let location = build.location_name().filter(|_| !is_nameless).unwrap_or_default().as_bytes().to_vec();
        if let Some(template) = template {
            let resolver = build.published::<ResolverInForce>().cloned().unwrap_or_default();
            let implicit = ImplicitGroups::of(build);
            return Ok(Self { kind: Kind::Variable { template, groups, implicit, resolver }, location });
        }
        let (is_encrypted, rest) = strip_scheme(text).ok_or_else(|| "invalid URL prefix".to_owned())?;
        let url = Url::parse(is_encrypted, rest).map_err(|message| format!("{message} in upstream \"{rest}\""))?;
        let has_name = build.location_name().is_some() && !is_nameless && build.context() == Context::LOCATION;
        if !url.path.is_empty() && !has_name {
            return Err("\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, or inside \"if\" statement, or inside \"limit_except\" block".to_owned());
        }
        let upstream = match groups.find(url.authority) {
            Some(group) => group,
            None => ImplicitGroups::of(build).name(url.authority, url.default_port())?,
        };
        let destination = Arc::new(url.destination(upstream, false));
        Ok(Self { kind: Kind::Fixed { destination, url: text.to_owned() }, location })
    }

    /// Where this request goes.
    ///
    /// # Errors
    /// What the request ends with; the reason is in the log.
    pub async fn destination(&self, request: &Request) -> Result<Arc<Destination>, Outcome> {
        let (template, groups, implicit, resolver) = match &self.kind {
            Kind::Fixed { destination, .. } => return Ok(Arc::clone(destination)),
            Kind::Variable { template, groups, implicit, resolver } => (template, groups, implicit, resolver),
        };
        let text = String::from_utf8_lossy(&template.value(request)).into_owned();
        let failed = || Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR);
        let Some((is_encrypted, rest)) = strip_scheme(&text) else {
            request.log(Level::Error, format_args!("invalid URL prefix in \"{text}\""));
            return Err(failed());
        };
        let url = Url::parse(is_encrypted, rest).map_err(|message| {
            request.log(Level::Error, format_args!("{message} in upstream \"{rest}\""));
            failed()
        })?;
        let known = groups.find(url.authority).or_else(|| implicit.find(url.authority, url.default_port()));
        let upstream = match known {
            Some(group) => group,
            None => resolver.servers_at(&url.place, url.authority, url.default_port(), request).await?,
        };
        Ok(Arc::new(url.destination(upstream, true)))
    }

    /// Where this request goes, as far as names are concerned: the servers may be unknown, and nobody is asked. `None` where the
    /// text is none.
    pub fn named(&self, request: &Request) -> Option<Arc<Destination>> {
        let template = match &self.kind {
            Kind::Fixed { destination, .. } => return Some(Arc::clone(destination)),
            Kind::Variable { template, .. } => template,
        };
        let text = String::from_utf8_lossy(&template.value(request)).into_owned();
        let (is_encrypted, rest) = strip_scheme(&text)?;
        let url = Url::parse(is_encrypted, rest).ok()?;
        Some(Arc::new(url.destination(Arc::new(Upstream::of_addresses(url.authority, Vec::new())), true)))
    }

    /// The text of the configuration, where it has no variables, and where it leads.
    pub fn fixed(&self) -> Option<(&str, &Arc<Destination>)> {
        match &self.kind {
            Kind::Fixed { destination, url } => Some((url, destination)),
            Kind::Variable { .. } => None,
        }
    }

    /// `proxy_redirect default`
    pub fn default_redirect(&self) -> Option<Rewrite> {
        let (url, destination) = self.fixed()?;
        Some(if destination.path.is_empty() {
            Rewrite::prefix(Template::constant(format!("{url}/")), Template::constant("/"))
        } else {
            Rewrite::prefix(Template::constant(url), Template::constant(&self.location))
        })
    }
}

/// Whether the scheme asks for TLS, and what stands behind it.
fn strip_scheme(text: &str) -> Option<(bool, &str)> {
    [(false, "http://"), (true, "https://")].into_iter().find_map(|(is_encrypted, scheme)| {
        let (found, rest) = text.split_at_checked(scheme.len())?;
        found.eq_ignore_ascii_case(scheme).then_some((is_encrypted, rest))
    })
}

impl<'a> Url<'a> {
    /// Reads what stands behind the scheme.
    fn parse(is_encrypted: bool, rest: &'a str) -> Result<Self, &'static str> {
        let (authority, path) = match rest.strip_prefix("unix:") {
            // A path of its own follows the socket's behind a colon.
            Some(socket) => match socket.split_once(':') {
                Some((socket, path)) => (&rest[..5 + socket.len()], path),
                None => (rest, ""),
            },
            None => rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at)),
        };
        Ok(Self { is_encrypted, place: Place::parse(authority)?, authority, path })
    }

    fn default_port(&self) -> u16 {
        if self.is_encrypted { ENCRYPTED_PORT } else { DEFAULT_PORT }
    }

    fn destination(&self, upstream: Arc<Upstream>, is_variable: bool) -> Destination {
        let (host, port) = match &self.place {
            Place::Unix(_) => ("localhost", String::new()),
            Place::Host { port, .. } => {
                let port = port.unwrap_or(self.default_port());
                let is_default = port == self.default_port();
                let port = port.to_string();
                let without = self.authority.strip_suffix(&format!(":{port}")).filter(|_| is_default);
                (without.unwrap_or(self.authority), port)
            }
        };
        let path = if self.path.starts_with('?') { format!("/{}", self.path).into() } else { self.path.into() };
        Destination {
            upstream,
            host: host.into(),
            port: port.into(),
            path,
            is_encrypted: self.is_encrypted,
            is_whole_path: is_variable && !self.path.is_empty(),
        }
    }
}

const DEFAULT_PORT: u16 = 80;
const ENCRYPTED_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parts = |text| Url::parse(false, text).map(|url| (url.authority.to_owned(), url.path.to_owned()));
        let expect = |authority: &str, path: &str| Ok((authority.to_owned(), path.to_owned()));
        assert_eq!(parts("127.0.0.1:8080/a?b"), expect("127.0.0.1:8080", "/a?b"));
        assert_eq!(parts("backend"), expect("backend", ""));
        assert_eq!(parts("backend?x"), expect("backend", "?x"));
        assert_eq!(parts("unix:/tmp/a.sock:/x"), expect("unix:/tmp/a.sock", "/x"));
        assert_eq!(parts("unix:/tmp/a.sock"), expect("unix:/tmp/a.sock", ""));
        assert_eq!(parts("[::1]:8080/"), expect("[::1]:8080", "/"));
        assert_eq!(parts("/x"), Err("no host"));
    }
}
