//! `post_action`: a request of the program's own once another has been answered, for counters and the like.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::subrequest::Subrequest;
use daemun_server::{Handler, Module, Outcome, Phase, Request};

/// Named once, in the program's list of modules; behind `access_log`.
pub static MODULE: Module<PostAction> = Module {
    name: "post_action",
    directives: &[Directive {
        name: "post_action",
        contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION),
        arity: Arity::Exactly(1),
        default: "none",
        help: "uri: requested once the answer is out, with the request's method; what it answers is dropped",
        set: set_post_action,
    }],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; uri);
    },
    finish: nothing_to_finish,
    is_active: |conf| conf.uri.is_some(),
    phases: &[(Phase::Log, Handler::Sync(post_action))],
    filters: &[],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct PostAction {
    uri: Option<Arc<[u8]>>,
}

fn set_post_action(conf: &mut PostAction, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let uri = arguments.text(0)?;
    if uri.starts_with('@') {
        let message =
            format!("a named location in the \"{}\" directive is not supported by daemun yet", arguments.name());
        return Err(ArgumentError::new(Some(0), message));
    }
    arguments.set_once(&mut conf.uri, uri.as_bytes().into())
}

fn post_action(conf: &PostAction, request: &mut Request) -> Outcome {
    let Some(uri) = conf.uri.as_ref().filter(|_| !request.is_subrequest()) else { return Outcome::Continue };
    match Subrequest::new(request, uri, b"") {
        Ok(subrequest) => subrequest.with_method(request.method().clone()).run_beside(request),
        Err(error) => request.log(Level::Error, format_args!("post_action: {error}")),
    }
    Outcome::Continue
}
