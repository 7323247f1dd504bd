//! `fastcgi_pass`: the request goes to an application by FastCGI.

use std::rc::Rc;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arity, Context, Diagnostic, Directive};
use daemun_http::ResponseHead;
use daemun_server::config::{Build, HTTP_SERVER_LOCATION};
use daemun_server::phase::Origin;
use daemun_server::variable::Variable;
use daemun_server::{Handler, LocalFuture, Module, Outcome, Pattern, Phase, Request};

use crate::exchange::{self, Pass};
use crate::parameters::Parameters;
use crate::pass::{ORDERS_OF_CGI, PassSettings, Protocol, pass_directives};
use crate::servers::Servers;
use crate::transport::fastcgi::FastCgi;

/// Named once, in the program's list of modules.
pub static MODULE: Module<FastCgiPass> = Module {
    name: "http_fastcgi",
    directives: DIRECTIVES,
    merge: FastCgiPass::merge,
    finish: FastCgiPass::finish,
    is_active: |pass| pass.servers.is_set(),
    phases: &[(Phase::Content, Handler::Origin(ORIGIN))],
    filters: &[],
    variables: &[
        Variable { name: "fastcgi_script_name", evaluate: |request, _, out| script_name(request, out) },
        Variable { name: "fastcgi_path_info", evaluate: |request, _, out| path_info(request, out) },
    ],
};

const ORIGIN: Origin<FastCgiPass> = Origin { ask: fastcgi_pass, key: |_, _, _| false, accept: accept_kept };

/// Settings of one location. An unset field is inherited from the enclosing block; `fastcgi_pass` only by `if` and
/// `limit_except`.
#[derive(Default)]
pub struct FastCgiPass {
    servers: Servers,
    /// What every `..._pass` has.
    pass: PassSettings,
    parameters: Parameters,
    index: Option<String>,
    split: Option<Pattern>,
    catch_stderr: Option<Arc<Vec<String>>>,
    keep_conn: Option<bool>,
}

static PROTOCOL: Protocol = Protocol { prefix: "fastcgi", hidden: ORDERS_OF_CGI, names_itself: false };

impl FastCgiPass {
    fn merge(parent: &Self, child: &mut Self) {
        child.servers.inherit(&parent.servers);
        PassSettings::merge(&parent.pass, &mut child.pass);
        child.parameters.inherit(&parent.parameters);
        daemun_server::inherit!(parent, child; index, split, catch_stderr, keep_conn);
    }

    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.pass.finish(&PROTOCOL, self.servers.span(), build)?;
        self.servers.finish("fastcgi", build)
    }

    /// The parts of the path: the script's name, and what is its own.
    fn split(&self, uri: &[u8]) -> (Vec<u8>, Vec<u8>) {
        match self.split.as_ref().and_then(|split| split.captures(uri)) {
            Some(captures) => {
                let group = |number| captures.group(number).unwrap_or_default().to_vec();
                (group(1), group(2))
            }
            None => (uri.to_vec(), Vec::new()),
        }
    }
}

/// `$fastcgi_script_name`: the path, or its first part under `fastcgi_split_path_info`, with `fastcgi_index` behind a slash.
fn script_name(request: &Request, out: &mut Vec<u8>) -> bool {
    let Some(pass) = request.location().settings::<FastCgiPass>() else { return false };
    let (name, _) = pass.split(&request.uri);
    out.extend_from_slice(&name);
    if name.ends_with(b"/") {
        out.extend_from_slice(pass.index.as_deref().unwrap_or_default().as_bytes());
    }
    true
}

/// `$fastcgi_path_info`: the second part of the path under `fastcgi_split_path_info`.
fn path_info(request: &Request, out: &mut Vec<u8>) -> bool {
    let Some(pass) = request.location().settings::<FastCgiPass>() else { return false };
    out.extend_from_slice(&pass.split(&request.uri).1);
    true
}

fn accept_kept(pass: &FastCgiPass, head: &Rc<ResponseHead>, request: &mut Request) -> Outcome {
    exchange::accept_kept(&pass.pass, |_, _| {}, head, request)
}

fn fastcgi_pass<'a>(pass: &'a FastCgiPass, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
    Box::pin(ask(pass, request))
}

async fn ask(pass: &FastCgiPass, request: &mut Request) -> Outcome {
    let upstream = match pass.servers.upstream(request).await {
        Ok(upstream) => upstream,
        Err(outcome) => return outcome,
    };
    let none = Arc::default();
    let transport = FastCgi {
        parameters: &pass.parameters,
        passes_fields: pass.pass.pass_request_headers(),
        passes_body: pass.pass.pass_request_body(),
        keeps_connection: pass.keep_conn.unwrap_or(false),
        caught: pass.catch_stderr.as_ref().unwrap_or(&none),
    };
    Pass { settings: &pass.pass, upstream: &upstream, transport: &transport }.run(request).await
}

pass_directives! {
    static DIRECTIVES: FastCgiPass = "fastcgi", full; [
        Directive {
            name: "fastcgi_pass",
            contexts: Context::LOCATION.or(Context::IF_IN_LOCATION),
            arity: Arity::Exactly(1),
            default: "none",
            help: "address|upstream: who answers, by FastCGI; may have variables",
            set: |pass, arguments| pass.servers.set(arguments),
        },
        Directive {
            name: "fastcgi_param",
            contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION),
            arity: Arity::Between(2, 3),
            default: "none",
            help: "name value [if_not_empty]: a variable of the application's environment",
            set: |pass, arguments| pass.parameters.add(arguments),
        },
        Directive {
            name: "fastcgi_index",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "name: stands behind the slash of $fastcgi_script_name",
            set: |pass, arguments| {
                let name = arguments.text(0)?.to_owned();
                arguments.set_once(&mut pass.index, name)
            },
        },
        Directive {
            name: "fastcgi_split_path_info",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "regex: its first group is $fastcgi_script_name, its second $fastcgi_path_info",
            set: |pass, arguments| {
                let text = arguments.text(0)?;
                let pattern = Pattern::new(text, false).map_err(|error| ArgumentError::new(Some(0), error.to_string()))?;
                if pattern.groups() != 2 {
                    return Err(ArgumentError::new(Some(0), format!("pattern \"{text}\" must have 2 captures")));
                }
                arguments.set_once(&mut pass.split, pattern)
            },
        },
        Directive {
            name: "fastcgi_catch_stderr",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "text: in the application's standard error makes its answer invalid, so that another server may be asked; several times",
            set: |pass, arguments| {
                let text = arguments.text(0)?.to_owned();
                let list = pass.catch_stderr.get_or_insert_default();
                Arc::get_mut(list).expect("a block's own list is not shared before the block is closed").push(text);
                Ok(())
            },
        },
        Directive {
            name: "fastcgi_send_lowat",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "0",
            help: "size: read and without meaning here",
            set: |pass, arguments| crate::pass::set_send_lowat(&mut pass.pass, arguments),
        },
        Directive {
            name: "fastcgi_keep_conn",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: whether the application is asked to keep connections open, so that they may be kept",
            set: |pass, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut pass.keep_conn, flag)
            },
        },
    ]
}
