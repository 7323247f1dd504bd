//! `empty_gif`: a transparent picture of one pixel, from memory.

use daemun_conf::{Arity, Context, Directive};
use daemun_http::{HeaderId, Method, StatusCode, date};
use daemun_server::module::nothing_to_finish;
use daemun_server::{Body, Handler, Module, Outcome, Phase, Request, Response};

/// Named once, in the program's list of modules.
pub static MODULE: Module<EmptyGif> = Module {
    name: "empty_gif",
    directives: &[Directive {
        name: "empty_gif",
        contexts: Context::LOCATION,
        arity: Arity::Exactly(0),
        default: "none",
        help: "the location answers with a transparent picture of one pixel",
        set: |conf, _| {
            conf.is_on = true;
            Ok(())
        },
    }],
    merge: |_, _| {}, // Not inherited.
    finish: nothing_to_finish,
    is_active: |conf| conf.is_on,
    phases: &[(Phase::Content, Handler::Sync(empty_gif))],
    filters: &[],
    variables: &[],
};

/// Settings of one location.
#[derive(Debug, Default)]
pub struct EmptyGif {
    is_on: bool,
}

fn empty_gif(_: &EmptyGif, request: &mut Request) -> Outcome {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Outcome::Finish(StatusCode::METHOD_NOT_ALLOWED);
    }
    let mut response = Response::new(StatusCode::OK);
    response.head.headers.append_known(HeaderId::ContentType, b"image/gif");
    response.head.headers.append_known(HeaderId::LastModified, &date::format_http_date(MADE));
    response.last_modified = Some(MADE);
    response.body = Body::Bytes(PICTURE.into());
    Outcome::Respond(response)
}

/// The time that nginx gives it: Mon, 28 Sep 1970 06:00:00 GMT.
const MADE: i64 = 23_349_600;

/// GIF89a, one pixel of the transparent one of two colours.
const PICTURE: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x01\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x01\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02L\x01\x00;";
