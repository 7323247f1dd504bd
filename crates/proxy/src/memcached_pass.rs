//! `memcached_pass`: the answer is a value that memcached keeps.

use daemun_conf::{ArgumentError, Arity, Context, Diagnostic, Directive};
use daemun_http::{HeaderId, Method, StatusCode};
use daemun_server::config::{Build, HTTP_SERVER_LOCATION};
use daemun_server::{Handler, LocalFuture, Module, Outcome, Phase, Request, Response, Template};

use crate::exchange::Pass;
use crate::pass::{PassSettings, Protocol, pass_directives, set_memcached_next_upstream};
use crate::servers::Servers;
use crate::transport::memcached::Memcached;

/// Named once, in the program's list of modules.
pub static MODULE: Module<MemcachedPass> = Module {
    name: "http_memcached",
    directives: DIRECTIVES,
    merge: MemcachedPass::merge,
    finish: MemcachedPass::finish,
    is_active: |pass| pass.servers.is_set(),
    phases: &[(Phase::Content, Handler::Async(memcached_pass))],
    filters: &[],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block; `memcached_pass` only by `if` and
/// `limit_except`.
#[derive(Default)]
pub struct MemcachedPass {
    servers: Servers,
    /// What every `..._pass` has.
    pass: PassSettings,
    key: Option<Template>,
    gzip_flag: Option<u64>,
}

static PROTOCOL: Protocol = Protocol { prefix: "memcached", hidden: &[], names_itself: false };

impl MemcachedPass {
    fn merge(parent: &Self, child: &mut Self) {
        child.servers.inherit(&parent.servers);
        PassSettings::merge(&parent.pass, &mut child.pass);
        daemun_server::inherit!(parent, child; key, gzip_flag);
    }

    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.pass.finish(&PROTOCOL, self.servers.span(), build)?;
        self.servers.finish("memcached", build)
    }
}

fn memcached_pass<'a>(pass: &'a MemcachedPass, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
    Box::pin(ask(pass, request))
}

async fn ask(pass: &MemcachedPass, request: &mut Request) -> Outcome {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Outcome::Finish(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Some(key) = &pass.key else { return Outcome::Continue };
    let upstream = match pass.servers.upstream(request).await {
        Ok(upstream) => upstream,
        Err(outcome) => return outcome,
    };
    let transport = Memcached { key, gzip_flag: pass.gzip_flag.unwrap_or(0) };
    match (Pass { settings: &pass.pass, upstream: &upstream, transport: &transport }).run(request).await {
        Outcome::Respond(response) if response.status() == StatusCode::NOT_FOUND => {
            Outcome::Finish(StatusCode::NOT_FOUND)
        }
        Outcome::Respond(response) => Outcome::Respond(as_file(response, request)),
        outcome => outcome,
    }
}

/// A value has no fields: its type is that of a file of the path's name, and parts of it may be asked for.
fn as_file(mut response: Box<Response>, request: &Request) -> Box<Response> {
    if let Some(kind) = request.core().content_type(&request.uri) {
        response.head.headers.append_known(HeaderId::ContentType, kind);
    }
    response.allows_ranges = true;
    response
}

pass_directives! {
    static DIRECTIVES: MemcachedPass = "memcached", basic; [
        Directive {
            name: "memcached_pass",
            contexts: Context::LOCATION.or(Context::IF_IN_LOCATION),
            arity: Arity::Exactly(1),
            default: "none",
            help: "address|upstream: the memcached whose value of the key $memcached_key is the answer",
            set: |pass, arguments| {
                let span = arguments.word(0)?.span;
                let key = Template::parse_at("$memcached_key", Some(span));
                pass.key = Some(key.map_err(|error| ArgumentError::new(Some(0), error.to_string()))?);
                pass.servers.set(arguments)
            },
        },
        Directive {
            name: "memcached_next_upstream",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::AtLeast(1),
            default: "error timeout",
            help: "condition ...: when another server is asked: error, timeout, invalid_response, not_found, off",
            set: |pass, arguments| set_memcached_next_upstream(&mut pass.pass, arguments),
        },
        Directive {
            name: "memcached_gzip_flag",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "number: bits of a value's flags that say it is compressed by gzip",
            set: |pass, arguments| {
                let flag = arguments.number(0, 1..=u64::from(u32::MAX))?;
                arguments.set_once(&mut pass.gzip_flag, flag)
            },
        },
    ]
}
