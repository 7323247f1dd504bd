//! Conditional requests: 304 for a client that has the file, 412 for one that means another.

use daemun_http::conditional::{self, ModifiedSince, Precondition};
use daemun_http::{HeaderId, StatusCode};
use daemun_server::config::IfModifiedSince;
use daemun_server::module::nothing_to_finish;
use daemun_server::{Body, Module, Request, Response, error_page};

/// Named once, in the program's list of modules. Its settings are the http core's `if_modified_since`.
pub static MODULE: Module<NotModified> = Module {
    name: "not_modified",
    directives: &[],
    merge: |_, _| {},
    finish: nothing_to_finish,
    is_active: |_| true,
    phases: &[],
    filters: &[not_modified],
    variables: &[],
};

/// No settings of its own.
#[derive(Debug, Default)]
pub struct NotModified;

/// Judges this program's own answers and those that a cache keeps; an application judges its own.
fn not_modified(_: &NotModified, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    if response.status() != StatusCode::OK || !(response.is_own || response.is_stored) || request.is_subrequest() {
        return response;
    }
    let modified_since = match request.core().if_modified_since() {
        IfModifiedSince::Off => ModifiedSince::Off,
        IfModifiedSince::Exact => ModifiedSince::Exact,
        IfModifiedSince::Before => ModifiedSince::Before,
    };
    let etag = response.head.headers.first(HeaderId::ETag);
    match conditional::evaluate(request.headers(), etag, response.last_modified, modified_since) {
        Precondition::Proceed => response,
        Precondition::NotModified => {
            response.head.status = StatusCode::NOT_MODIFIED;
            for field in [HeaderId::ContentType, HeaderId::ContentLength, HeaderId::ContentEncoding] {
                response.head.headers.remove_known(field);
            }
            response.body = Body::Empty;
            response
        }
        Precondition::Failed => {
            let mut refusal = Response::new(StatusCode::PRECONDITION_FAILED);
            error_page::fill(request.core(), &mut refusal);
            refusal
        }
    }
}
