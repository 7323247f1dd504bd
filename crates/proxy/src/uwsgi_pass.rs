//! `uwsgi_pass`: the request goes to an application by the uwsgi protocol, or by the hop where we run it ourselves.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Span};
use daemun_gateway::variable::{Full, VariableSink};
use daemun_http::{ResponseHead, StatusCode};
use daemun_server::backend::{Backend, BackendId, BodyTransfer, Environment, SMALL_BODY_BYTES};
use daemun_server::config::{Build, HTTP_SERVER_LOCATION, setter};
use daemun_server::log::Level;
use daemun_server::phase::Origin;
use daemun_server::response::ReadAhead;
use daemun_server::{Handler, LocalFuture, Module, Outcome, Phase, Request, Response, Template, accel};

use crate::exchange::{self, Pass};
use crate::health_check::PassedTo;
use crate::parameters::Parameters;
use crate::pass::{PassSettings, Protocol, pass_directives};
use crate::servers::Servers;
use crate::transport::uwsgi::Uwsgi;
use crate::upstream::{Upstream, UpstreamAddress, UpstreamTable};

/// Named once, in the program's list of modules.
pub static MODULE: Module<UwsgiPass> = Module {
    name: "http_uwsgi",
    directives: DIRECTIVES,
    merge: UwsgiPass::merge,
    finish: UwsgiPass::finish,
    is_active: |pass| pass.target.is_some(),
    phases: &[(Phase::Content, Handler::Origin(ORIGIN))],
    filters: &[],
    variables: &[],
};

const ORIGIN: Origin<UwsgiPass> = Origin { ask: uwsgi_pass, key: |_, _, _| false, accept: accept_kept };

/// Settings of one location. An unset field is inherited from the enclosing block; `uwsgi_pass` never is.
#[derive(Default)]
pub struct UwsgiPass {
    written: Option<Written>,
    target: Option<Target>,
    /// `uwsgi_pass` of the enclosing block, for `limit_except`: it changes who may, not who answers.
    enclosing: Option<Written>,
    parameters: Parameters,
    /// What every `..._pass` has.
    pass: PassSettings,
    modifier1: Option<u64>,
    modifier2: Option<u64>,
    /// Whether servers elsewhere are spoken to by TLS.
    is_encrypted: bool,
}

/// The argument of `uwsgi_pass`.
#[derive(Clone)]
struct Written {
    text: String,
    /// Where it has variables.
    template: Option<Template>,
    span: Span,
}

/// Who answers.
enum Target {
    /// A pool of this process tree.
    Local(BackendId),
    /// Servers elsewhere.
    Remote(Servers),
}

static PROTOCOL: Protocol = Protocol {
    prefix: "uwsgi",
    hidden: &["X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"],
    names_itself: false,
};

impl UwsgiPass {
    fn merge(parent: &Self, child: &mut Self) {
        child.enclosing.clone_from(&parent.written);
        PassSettings::merge(&parent.pass, &mut child.pass);
        child.parameters.inherit(&parent.parameters);
        daemun_server::inherit!(parent, child; modifier1, modifier2);
    }

    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.pass.finish(&PROTOCOL, self.written.as_ref().map(|written| written.span), build)?;
        let is_nameless = build.context() == Context::LIMIT_EXCEPT || build.context() == Context::IF_IN_LOCATION;
        let enclosing = self.enclosing.take().filter(|_| is_nameless);
        let Some(Written { text, template, span }) = self.written.clone().or(enclosing) else { return Ok(()) };
        self.is_encrypted = text.starts_with(ENCRYPTED_SCHEME);
        if self.is_encrypted {
            self.pass.tls.finish(PROTOCOL.prefix, span, build)?;
        }
        build.want_slash();
        if let Some(template) = template {
            self.target = Some(Target::Remote(Servers::of_template(template, build)));
            return Ok(());
        }
        let name = text.strip_prefix("uwsgi://").or(text.strip_prefix(ENCRYPTED_SCHEME)).unwrap_or(&text);
        let error = |message: String| Diagnostic::error(span, message);
        if let Some(pool) = name.strip_prefix("app:") {
            let backend = build.backend_by_name(pool).ok_or_else(|| error(format!("no application \"{pool}\"")))?;
            self.use_pool(backend, span, build);
            return Ok(());
        }
        let group = match build.published::<UpstreamTable>().and_then(|table| table.find(name)) {
            Some(group) => group,
            None => Arc::new(Upstream::of_addresses(name, UpstreamAddress::parse(name, None).map_err(error)?)),
        };
        let local =
            group.only_address().filter(|_| !self.is_encrypted).and_then(|only| build.backend(&only.socket_name()));
        match local {
            Some(backend) => self.use_pool(backend, span, build),
            None => {
                let tls = self.pass.tls.made().filter(|_| self.is_encrypted);
                let encryption = tls.map(|tls| (Arc::clone(tls), group.name.as_str().into()));
                build.publish(Some(PassedTo { upstream: Arc::clone(&group), scheme: "uwsgi", encryption }));
                self.target = Some(Target::Remote(Servers::of_group(group)));
            }
        }
        Ok(())
    }

    /// The application is a pool of ours: what is about the way to somebody else's says nothing.
    fn use_pool(&mut self, backend: BackendId, span: Span, build: &mut Build<'_>) {
        self.target = Some(Target::Local(backend));
        let modifiers = [("modifier1", self.modifier1.is_some()), ("modifier2", self.modifier2.is_some())];
        let modifiers = modifiers.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name);
        for name in self.pass.remote_directives().into_iter().chain(modifiers) {
            let message = format!("directive \"uwsgi_{name}\" has no effect here: daemun runs the application itself");
            build.warn(Diagnostic::notice(span, message));
        }
    }

    /// `uwsgi_modifier1` and `uwsgi_modifier2`.
    fn modifiers(&self) -> (u8, u8) {
        let octet = |modifier: Option<u64>| u8::try_from(modifier.unwrap_or(0)).unwrap_or(0);
        (octet(self.modifier1), octet(self.modifier2))
    }

    /// When a pool of ours gets a request whose body the client still sends.
    fn body_transfer(&self) -> BodyTransfer {
        match (self.pass.pass_request_body(), self.pass.request_buffering()) {
            (false, _) => BodyTransfer::Withheld,
            (true, true) => BodyTransfer::Buffered,
            (true, false) => BodyTransfer::Streamed,
        }
    }
}

/// The parameters, then the request's header fields that no parameter stands for.
impl Environment for UwsgiPass {
    fn write(&self, request: &Request, sink: &mut dyn VariableSink) -> Result<(), Full> {
        self.parameters.write(request, self.pass.pass_request_headers(), sink)
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        self.pass.written_read_ahead()
    }
}

fn accept_kept(pass: &UwsgiPass, head: &Rc<ResponseHead>, request: &mut Request) -> Outcome {
    match pass.target {
        Some(Target::Local(_)) => {
            accel::obey(Response::of_origin(head.as_ref().clone()), pass.pass.ignored_headers(), request)
        }
        _ => exchange::accept_kept(&pass.pass, |_, _| {}, head, request),
    }
}

fn uwsgi_pass<'a>(pass: &'a UwsgiPass, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
    match &pass.target {
        Some(Target::Local(backend)) => {
            if let Some(fetch) = &request.fetch {
                fetch.ignore(pass.pass.ignored_headers());
            }
            let pool = Rc::clone(&request.runtime.backends[backend.0]);
            Box::pin(call_pool(pass, pool, request))
        }
        Some(Target::Remote(servers)) => Box::pin(ask(pass, servers, request)),
        None => Box::pin(std::future::ready(Outcome::Continue)),
    }
}

async fn ask(pass: &UwsgiPass, servers: &Servers, request: &mut Request) -> Outcome {
    let upstream = match servers.upstream(request).await {
        Ok(upstream) => upstream,
        Err(outcome) => return outcome,
    };
    let transport = Uwsgi {
        environment: pass,
        passes_body: pass.pass.pass_request_body(),
        modifiers: pass.modifiers(),
        encrypted_to: pass.is_encrypted.then_some(upstream.name.as_str()),
    };
    Pass { settings: &pass.pass, upstream: &upstream, transport: &transport }.run(request).await
}

/// Asks a pool of ours and obeys what its answer orders.
async fn call_pool(pass: &UwsgiPass, pool: Rc<dyn Backend>, request: &mut Request) -> Outcome {
    let outcome = match pass.pass.written_read_timeout() {
        Some(time) => call_within(time, pool, pass, request).await,
        None => pool.call(request, pass, pass.body_transfer()).await,
    };
    match outcome {
        Outcome::Respond(response) => {
            if let Some(fetch) = &request.fetch {
                fetch.answered(&response.head);
                if fetch.replaces(response.status()) {
                    return Outcome::Finish(response.status());
                }
            }
            accel::obey(response, pass.pass.ignored_headers(), request)
        }
        outcome => outcome,
    }
}

async fn call_within(time: Duration, pool: Rc<dyn Backend>, pass: &UwsgiPass, request: &mut Request) -> Outcome {
    // A client that is slow to send is not an application that is slow to answer.
    if pass.body_transfer() != BodyTransfer::Streamed
        && let Err(outcome) = request.read_body(Some(SMALL_BODY_BYTES)).await
    {
        return outcome;
    }
    let answer = tokio::time::timeout(time, pool.call(request, pass, pass.body_transfer())).await;
    answer.unwrap_or_else(|_| {
        let time = time.as_millis();
        request.log(Level::Error, format_args!("the application gave no answer within uwsgi_read_timeout, {time} ms"));
        Outcome::Finish(StatusCode::GATEWAY_TIMEOUT)
    })
}

pass_directives! {
    static DIRECTIVES: UwsgiPass = "uwsgi", encrypted; [
        Directive {
            name: "uwsgi_pass",
            contexts: Context::LOCATION.or(Context::IF_IN_LOCATION),
            arity: Arity::Exactly(1),
            default: "none",
            help: "[uwsgi://|suwsgi://]address|upstream|app:name: who answers, by the uwsgi protocol or, for an application of ours, internally; addresses and upstreams may come of variables",
            set: set_pass,
        },
        Directive {
            name: "uwsgi_param",
            contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION),
            arity: Arity::Between(2, 3),
            default: "none",
            help: "name value [if_not_empty]: a variable of the application's environment",
            set: |pass, arguments| pass.parameters.add(arguments),
        },
        Directive {
            name: "uwsgi_modifier1",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "0",
            help: "number: first modifier of the packet",
            set: |pass, arguments| {
                let number = arguments.number(0, 0..=255)?;
                arguments.set_once(&mut pass.modifier1, number)
            },
        },
        Directive {
            name: "uwsgi_modifier2",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "0",
            help: "number: second modifier of the packet",
            set: |pass, arguments| {
                let number = arguments.number(0, 0..=255)?;
                arguments.set_once(&mut pass.modifier2, number)
            },
        },
    ]
}

/// The uwsgi protocol by TLS, as uWSGI's `suwsgi-socket` speaks it.
const ENCRYPTED_SCHEME: &str = "suwsgi://";

fn set_pass(pass: &mut UwsgiPass, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let text = arguments.text(0)?;
    let template = if text.contains('$') { Some(setter::template(arguments, 0)?) } else { None };
    let written = Written { text: text.to_owned(), template, span: arguments.word(0)?.span };
    arguments.set_once(&mut pass.written, written)
}
