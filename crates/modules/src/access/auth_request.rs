//! `auth_request`: a subrequest says whether a request is let in.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_http::{HeaderId, StatusCode};
use daemun_server::config::{HTTP_SERVER_LOCATION, setter};
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::subrequest::{Answer, Subrequest};
use daemun_server::variable::Assignable;
use daemun_server::{Handler, Module, Outcome, Phase, Request, Template};

/// Named once, in the program's list of modules; behind `auth_basic`.
pub static MODULE: Module<AuthRequest> = Module {
    name: "auth_request",
    directives: &[
        Directive {
            name: "auth_request",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "off",
            help: "uri|off: a subrequest that lets a request in by its answer 2xx, and turns it away by 401 or 403",
            set: |conf, arguments| {
                let uri = match arguments.text(0)? {
                    "off" => None,
                    uri => Some(uri.as_bytes().into()),
                };
                arguments.set_once(&mut conf.uri, uri)
            },
        },
        Directive {
            name: "auth_request_set",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(2),
            default: "none",
            help: "$variable value: set once the subrequest has answered; the value may name the variables of its answer",
            set: set_variable,
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; uri);
        if child.assignments.is_empty() {
            child.assignments.clone_from(&parent.assignments);
        }
    },
    finish: nothing_to_finish,
    is_active: |conf| matches!(conf.uri, Some(Some(_))),
    phases: &[(Phase::Access, Handler::Async(|conf, request| Box::pin(ask(conf, request))))],
    filters: &[],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct AuthRequest {
    /// `Some(None)` is `off`.
    uri: Option<Option<Arc<[u8]>>>,
    assignments: Vec<(Assignable, Template)>,
}

fn set_variable(conf: &mut AuthRequest, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let variable = setter::assignable(arguments, 0)?;
    conf.assignments.push((variable, setter::template(arguments, 1)?));
    Ok(())
}

async fn ask(conf: &AuthRequest, request: &mut Request) -> Outcome {
    let Some(Some(uri)) = &conf.uri else { return Outcome::Continue };
    if request.is_explained() {
        let uri = String::from_utf8_lossy(uri);
        request.note(format_args!("{uri} would be asked; from here on: as if it had let the client in"));
        return Outcome::Allow;
    }
    let failed = Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR);
    let Ok(subrequest) = Subrequest::new(request, uri, b"") else { return failed };
    let Ok(mut answer) = subrequest.without_body().answer().await else { return Outcome::Close };
    for (variable, value) in &conf.assignments {
        let value = value.value(answer.request());
        variable.assign(request, value);
    }
    let outcome = judge(request, &answer);
    answer.drain(DRAINED_BYTES).await;
    outcome
}

fn judge(request: &mut Request, answer: &Answer) -> Outcome {
    let sent = &answer.request().sent;
    match sent.status {
        200..=299 => Outcome::Allow,
        403 => Outcome::Finish(StatusCode::FORBIDDEN),
        401 => {
            request.challenges.extend(sent.headers.all(HeaderId::WwwAuthenticate).map(Arc::from));
            Outcome::Finish(StatusCode::UNAUTHORIZED)
        }
        status => {
            request.log(Level::Error, format_args!("auth request unexpected status: {status}"));
            Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Octets of an answer that are read for the connection's sake; nobody wants them.
const DRAINED_BYTES: u64 = 64 * 1024;
