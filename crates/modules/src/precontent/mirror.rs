//! `mirror`: the same request to other locations too, whose answers are dropped.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_http::StatusCode;
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::module::nothing_to_finish;
use daemun_server::subrequest::Subrequest;
use daemun_server::{Handler, Module, Outcome, Phase, Request};

/// Named once, in the program's list of modules; behind `try_files`.
pub static MODULE: Module<Mirror> = Module {
    name: "mirror",
    directives: &[
        Directive {
            name: "mirror",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "off",
            help: "uri|off: a subrequest with the request's method and body; may be given several times",
            set: set_mirror,
        },
        Directive {
            name: "mirror_request_body",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "on",
            help: "on|off: whether mirrors get the body, which is read as a whole first then",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.request_body, flag)
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; uris, request_body);
    },
    finish: nothing_to_finish,
    is_active: |conf| conf.uris.as_ref().is_some_and(|uris| !uris.is_empty()),
    phases: &[(Phase::Precontent, Handler::Async(|conf, request| Box::pin(mirror(conf, request))))],
    filters: &[],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Mirror {
    /// Empty for `off`.
    uris: Option<Vec<Arc<[u8]>>>,
    request_body: Option<bool>,
}

fn set_mirror(conf: &mut Mirror, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let uri = arguments.text(0)?;
    match &mut conf.uris {
        None if uri == "off" => conf.uris = Some(Vec::new()),
        Some(uris) if uri == "off" || uris.is_empty() => return Err(arguments.duplicate()),
        uris => uris.get_or_insert_default().push(uri.as_bytes().into()),
    }
    Ok(())
}

async fn mirror(conf: &Mirror, request: &mut Request) -> Outcome {
    if request.is_subrequest() {
        return Outcome::Continue;
    }
    if request.is_explained() {
        for uri in conf.uris.iter().flatten() {
            request.note(format_args!("{} would get a copy", String::from_utf8_lossy(uri)));
        }
        return Outcome::Continue;
    }
    if conf.request_body.unwrap_or(true)
        && let Err(outcome) = request.read_body(None).await
    {
        return outcome;
    }
    for uri in conf.uris.iter().flatten() {
        let Ok(subrequest) = Subrequest::new(request, uri, &request.args) else {
            return Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR);
        };
        subrequest.with_method(request.method().clone()).run_beside(request);
    }
    Outcome::Continue
}
