//! `stub_status`: what the edge has served and is serving, as text and as variables.

use std::fmt::Write;

use daemun_conf::{Arity, Context, Directive};
use daemun_http::{HeaderId, Method, StatusCode};
use daemun_server::module::nothing_to_finish;
use daemun_server::statistics::{self, Activity, Totals};
use daemun_server::variable::Variable;
use daemun_server::{Body, Handler, Module, Outcome, Phase, Request, Response};

/// Named once, in the program's list of modules.
pub static MODULE: Module<StubStatus> = Module {
    name: "stub_status",
    directives: &[Directive {
        name: "stub_status",
        contexts: Context::SERVER.or(Context::LOCATION),
        arity: Arity::Between(0, 1),
        default: "none",
        help: "answers with the numbers of connections and requests; an argument is ignored",
        set: |conf, _| {
            conf.is_on = true;
            Ok(())
        },
    }],
    merge: |_, _| {}, // Not inherited.
    finish: nothing_to_finish,
    is_active: |conf| conf.is_on,
    phases: &[(Phase::Content, Handler::Sync(stub_status))],
    filters: &[],
    variables: &[
        Variable { name: "connections_active", evaluate: |_, _, out| number(out, |totals| totals.active()) },
        Variable {
            name: "connections_reading",
            evaluate: |_, _, out| number(out, |totals| totals.at(Activity::Reading)),
        },
        Variable {
            name: "connections_writing",
            evaluate: |_, _, out| number(out, |totals| totals.at(Activity::Writing)),
        },
        Variable {
            name: "connections_waiting",
            evaluate: |_, _, out| number(out, |totals| totals.at(Activity::Waiting)),
        },
    ],
};

/// Settings of one location.
#[derive(Debug, Default)]
pub struct StubStatus {
    is_on: bool,
}

fn number(out: &mut Vec<u8>, of: fn(&Totals) -> u64) -> bool {
    out.extend_from_slice(of(&statistics::totals()).to_string().as_bytes());
    true
}

fn stub_status(_: &StubStatus, request: &mut Request) -> Outcome {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Outcome::Finish(StatusCode::METHOD_NOT_ALLOWED);
    }
    let mut response = Response::new(StatusCode::OK);
    response.head.headers.append_known(HeaderId::ContentType, b"text/plain");
    response.body = Body::Bytes(page(&statistics::totals()).into());
    Outcome::Respond(response)
}

/// nginx's text, blanks at the ends of lines included: programs read it.
fn page(totals: &Totals) -> String {
    let mut text = String::new();
    let Totals { accepted, requests, .. } = totals;
    let _ = writeln!(text, "Active connections: {} ", totals.active());
    let _ = writeln!(text, "server accepts handled requests");
    // Whatever is accepted is handled: with no place free, nothing is accepted.
    let _ = writeln!(text, " {accepted} {accepted} {requests} ");
    let (reading, writing) = (totals.at(Activity::Reading), totals.at(Activity::Writing));
    let _ = writeln!(text, "Reading: {reading} Writing: {writing} Waiting: {} ", totals.at(Activity::Waiting));
    text
}
