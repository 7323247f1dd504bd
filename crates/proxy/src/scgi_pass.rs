//! `scgi_pass`: the request goes to an application by SCGI.

use std::rc::Rc;

use daemun_conf::{Arity, Context, Diagnostic, Directive};
use daemun_http::ResponseHead;
use daemun_server::config::{Build, HTTP_SERVER_LOCATION};
use daemun_server::phase::Origin;
use daemun_server::{Handler, LocalFuture, Module, Outcome, Phase, Request};

use crate::exchange::{self, Pass};
use crate::parameters::Parameters;
use crate::pass::{ORDERS_OF_CGI, PassSettings, Protocol, pass_directives};
use crate::servers::Servers;
use crate::transport::scgi::Scgi;

/// Named once, in the program's list of modules.
pub static MODULE: Module<ScgiPass> = Module {
    name: "http_scgi",
    directives: DIRECTIVES,
    merge: ScgiPass::merge,
    finish: ScgiPass::finish,
    is_active: |pass| pass.servers.is_set(),
    phases: &[(Phase::Content, Handler::Origin(ORIGIN))],
    filters: &[],
    variables: &[],
};

const ORIGIN: Origin<ScgiPass> = Origin { ask: scgi_pass, key: |_, _, _| false, accept: accept_kept };

/// Settings of one location. An unset field is inherited from the enclosing block; `scgi_pass` only by `if` and
/// `limit_except`.
#[derive(Default)]
pub struct ScgiPass {
    servers: Servers,
    /// What every `..._pass` has.
    pass: PassSettings,
    parameters: Parameters,
}

static PROTOCOL: Protocol = Protocol { prefix: "scgi", hidden: ORDERS_OF_CGI, names_itself: false };

impl ScgiPass {
    fn merge(parent: &Self, child: &mut Self) {
        child.servers.inherit(&parent.servers);
        PassSettings::merge(&parent.pass, &mut child.pass);
        child.parameters.inherit(&parent.parameters);
    }

    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.pass.finish(&PROTOCOL, self.servers.span(), build)?;
        self.servers.finish("scgi", build)
    }
}

fn accept_kept(pass: &ScgiPass, head: &Rc<ResponseHead>, request: &mut Request) -> Outcome {
    exchange::accept_kept(&pass.pass, |_, _| {}, head, request)
}

fn scgi_pass<'a>(pass: &'a ScgiPass, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
    Box::pin(ask(pass, request))
}

async fn ask(pass: &ScgiPass, request: &mut Request) -> Outcome {
    let upstream = match pass.servers.upstream(request).await {
        Ok(upstream) => upstream,
        Err(outcome) => return outcome,
    };
    let transport = Scgi {
        parameters: &pass.parameters,
        passes_fields: pass.pass.pass_request_headers(),
        passes_body: pass.pass.pass_request_body(),
    };
    Pass { settings: &pass.pass, upstream: &upstream, transport: &transport }.run(request).await
}

pass_directives! {
    static DIRECTIVES: ScgiPass = "scgi", full; [
        Directive {
            name: "scgi_pass",
            contexts: Context::LOCATION.or(Context::IF_IN_LOCATION),
            arity: Arity::Exactly(1),
            default: "none",
            help: "address|upstream: who answers, by SCGI; may have variables",
            set: |pass, arguments| pass.servers.set(arguments),
        },
        Directive {
            name: "scgi_param",
            contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION),
            arity: Arity::Between(2, 3),
            default: "none",
            help: "name value [if_not_empty]: a variable of the application's environment",
            set: |pass, arguments| pass.parameters.add(arguments),
        },
    ]
}
