//! `tunnel_pass`: who asks by `CONNECT` is joined to the server that it names, or to one of a group.

use daemun_conf::{Arity, Context, Diagnostic, Directive};
use daemun_http::StatusCode;
use daemun_server::config::{Build, HTTP_SERVER_LOCATION};
use daemun_server::{Handler, LocalFuture, Module, Outcome, Phase, Request};

use crate::exchange::Pass;
use crate::pass::{
    PassSettings, Protocol, pass_directives, set_send_lowat, set_socket_rcvbuf, set_socket_sndbuf,
    set_tunnel_next_upstream,
};
use crate::servers::Servers;
use crate::transport::tunnel::Tunnel;

/// Named once, in the program's list of modules.
pub static MODULE: Module<TunnelPass> = Module {
    name: "http_tunnel",
    directives: DIRECTIVES,
    merge: TunnelPass::merge,
    finish: TunnelPass::finish,
    is_active: |tunnel| tunnel.servers.is_set(),
    phases: &[(Phase::Content, Handler::Async(tunnel_pass))],
    filters: &[],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block; `tunnel_pass` only by `if` and
/// `limit_except`.
#[derive(Default)]
pub struct TunnelPass {
    servers: Servers,
    /// What every `..._pass` has.
    pass: PassSettings,
}

static PROTOCOL: Protocol = Protocol { prefix: "tunnel", hidden: &[], names_itself: false };

impl TunnelPass {
    fn merge(parent: &Self, child: &mut Self) {
        child.servers.inherit(&parent.servers);
        PassSettings::merge(&parent.pass, &mut child.pass);
    }

    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.pass.finish(&PROTOCOL, self.servers.span(), build)?;
        self.servers.finish("tunnel", build)?;
        if self.servers.is_set() {
            build.allow_connect();
        }
        Ok(())
    }
}

fn tunnel_pass<'a>(tunnel: &'a TunnelPass, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
    Box::pin(join(tunnel, request))
}

async fn join(tunnel: &TunnelPass, request: &mut Request) -> Outcome {
    if !request.is_connect() {
        return Outcome::Finish(StatusCode::METHOD_NOT_ALLOWED);
    }
    let upstream = match tunnel.servers.upstream(request).await {
        Ok(upstream) => upstream,
        Err(outcome) => return outcome,
    };
    Pass { settings: &tunnel.pass, upstream: &upstream, transport: &Tunnel }.run(request).await
}

/// What the client asks for.
const AS_ASKED: &str = "$host:$request_port";

pass_directives! {
    static DIRECTIVES: TunnelPass = "tunnel", basic; [
        Directive {
            name: "tunnel_pass",
            contexts: Context::SERVER.or(Context::LOCATION).or(Context::IF_IN_LOCATION),
            arity: Arity::Between(0, 1),
            default: "none",
            help: "[address|upstream]: whom CONNECT leads to; without an argument, whoever the client names",
            set: |tunnel, arguments| match arguments.len() {
                0 => tunnel.servers.set_default(AS_ASKED, arguments),
                _ => tunnel.servers.set(arguments),
            },
        },
        Directive {
            name: "tunnel_next_upstream",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::AtLeast(1),
            default: "error timeout",
            help: "condition ...: when another server is tried: error, timeout, off",
            set: |tunnel, arguments| set_tunnel_next_upstream(&mut tunnel.pass, arguments),
        },
        Directive {
            name: "tunnel_send_lowat",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "0",
            help: "size: read and without meaning here",
            set: |tunnel, arguments| set_send_lowat(&mut tunnel.pass, arguments),
        },
        Directive {
            name: "tunnel_socket_rcvbuf",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "size: SO_RCVBUF of connections to servers",
            set: |tunnel, arguments| set_socket_rcvbuf(&mut tunnel.pass, arguments),
        },
        Directive {
            name: "tunnel_socket_sndbuf",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "size: SO_SNDBUF of connections to servers",
            set: |tunnel, arguments| set_socket_sndbuf(&mut tunnel.pass, arguments),
        },
    ]
}
