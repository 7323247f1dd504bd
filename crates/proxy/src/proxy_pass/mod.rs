//! `proxy_pass`: the request goes to another HTTP server.

mod cookies;
mod directives;
mod redirect;
mod request_fields;
mod request_head;
mod target;
mod variables;

use std::rc::Rc;
use std::sync::Arc;

use daemun_conf::{Context, Diagnostic, Span};
use daemun_http::{ResponseHead, Version};
use daemun_server::config::Build;
use daemun_server::phase::Origin;
use daemun_server::{Handler, LocalFuture, Module, Outcome, Phase, Request, Template};

use crate::exchange::{self, Pass};
use crate::health_check::PassedTo;
use crate::pass::{PassSettings, Protocol};

use cookies::{CookieFlags, CookieRewrite};
use redirect::{Redirects, Rewrite};
use request_fields::{RequestFields, SetHeader};
use request_head::HttpRequest;
use target::Target;

/// Named once, in the program's list of modules.
pub static MODULE: Module<ProxyPass> = Module {
    name: "http_proxy",
    directives: directives::DIRECTIVES,
    merge: ProxyPass::merge,
    finish: ProxyPass::finish,
    is_active: |settings| settings.target.is_some(),
    phases: &[(Phase::Content, Handler::Origin(ORIGIN))],
    filters: &[],
    variables: variables::VARIABLES,
};

const ORIGIN: Origin<ProxyPass> = Origin { ask: proxy_pass, key: write_key, accept: accept_kept };

/// Settings of one location. An unset field is inherited from the enclosing block; `proxy_pass` only by `if` and
/// `limit_except`.
#[derive(Default)]
pub struct ProxyPass {
    /// What every `..._pass` has.
    pub pass: PassSettings,
    written: Option<(String, Span)>,
    template: Option<Template>,
    target: Option<Arc<Target>>,
    enclosing: Option<Arc<Target>>,
    set_headers: Option<Arc<Vec<SetHeader>>>,
    /// Made of `set_headers` when the block is closed.
    fields: Arc<RequestFields>,
    set_body: Option<Template>,
    method: Option<Template>,
    http_version: Option<Version>,
    redirects: Option<Redirects>,
    /// Made of `redirects` when the block is closed.
    rewrites: Arc<Vec<Rewrite>>,
    cookie_domains: Option<Arc<Vec<CookieRewrite>>>,
    cookie_paths: Option<Arc<Vec<CookieRewrite>>>,
    cookie_flags: Option<Arc<Vec<CookieFlags>>>,
}

static PROTOCOL: Protocol = Protocol {
    prefix: "proxy",
    hidden: &[
        "Date",
        "Server",
        "X-Pad",
        "X-Accel-Expires",
        "X-Accel-Redirect",
        "X-Accel-Limit-Rate",
        "X-Accel-Buffering",
        "X-Accel-Charset",
    ],
    names_itself: true,
};

impl ProxyPass {
    fn merge(parent: &Self, child: &mut Self) {
        PassSettings::merge(&parent.pass, &mut child.pass);
        child.enclosing.clone_from(&parent.target);
        daemun_server::inherit!(parent, child;
            set_headers, set_body, method, http_version, redirects, cookie_domains, cookie_paths, cookie_flags);
    }

    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        let span = self.written.as_ref().map(|(_, span)| *span);
        self.pass.finish(&PROTOCOL, span, build)?;
        self.fields = Arc::new(RequestFields::new(self.set_headers.as_deref().map(Vec::as_slice).unwrap_or_default()));
        let is_nameless = build.context() == Context::IF_IN_LOCATION || build.context() == Context::LIMIT_EXCEPT;
        match &self.written {
            Some((text, span)) => {
                let target = Target::of_configuration(text, self.template.take(), is_nameless, build)
                    .map_err(|message| Diagnostic::error(*span, message))?;
                // What comes of variables may turn out to be encrypted.
                if target.fixed().is_none_or(|(_, destination)| destination.is_encrypted) {
                    self.pass.tls.finish(PROTOCOL.prefix, *span, build)?;
                }
                if let Some((_, destination)) = target.fixed() {
                    let tls = self.pass.tls.made().filter(|_| destination.is_encrypted);
                    let encryption = tls.map(|tls| (Arc::clone(tls), Arc::clone(&destination.host)));
                    let upstream = Arc::clone(&destination.upstream);
                    build.publish(Some(PassedTo { upstream, scheme: "http", encryption }));
                }
                self.target = Some(Arc::new(target));
                build.want_slash();
            }
            None if is_nameless => self.target.clone_from(&self.enclosing),
            None => {}
        }
        self.rewrites = match &self.redirects {
            Some(redirects) => redirects
                .finish(self.target.as_deref())
                .map(Arc::new)
                .map_err(|(span, message)| Diagnostic::error(span, message))?,
            None => Arc::new(self.target.as_deref().and_then(Target::default_redirect).into_iter().collect()),
        };
        Ok(())
    }

    /// The version that is spoken to servers: 1.1, as mainline has it.
    fn http_version(&self) -> Version {
        self.http_version.unwrap_or(Version::Http11)
    }
}

fn proxy_pass<'a>(settings: &'a ProxyPass, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
    Box::pin(pass_on(settings, request))
}

/// As nginx: the server's URL and what is asked of it.
fn write_key(settings: &ProxyPass, request: &mut Request, out: &mut Vec<u8>) -> bool {
    let Some(target) = settings.target.as_deref() else { return false };
    let Some(destination) = target.named(request) else { return false };
    request.extensions.insert(Rc::new(variables::Names(Arc::clone(&destination))));
    out.extend_from_slice(b"http://");
    out.extend_from_slice(destination.host.as_bytes());
    HttpRequest { settings, target, destination: &destination }.write_path(request, out).is_ok()
}

fn accept_kept(settings: &ProxyPass, head: &Rc<ResponseHead>, request: &mut Request) -> Outcome {
    let rewrite =
        |request: &Request, head: &mut ResponseHead| request_head::rewrite_fields(settings, request, &mut head.headers);
    exchange::accept_kept(&settings.pass, rewrite, head, request)
}

async fn pass_on(settings: &ProxyPass, request: &mut Request) -> Outcome {
    let Some(target) = settings.target.as_deref() else { return Outcome::Continue };
    let destination = match target.fixed() {
        Some((_, destination)) => Arc::clone(destination),
        None => match Box::pin(target.destination(request)).await {
            Ok(destination) => destination,
            Err(outcome) => return outcome,
        },
    };
    request.extensions.insert(Rc::new(variables::Names(Arc::clone(&destination))));
    let transport = HttpRequest { settings, target, destination: &destination };
    Pass { settings: &settings.pass, upstream: &destination.upstream, transport: &transport }.run(request).await
}
