//! `msie_padding`, `msie_refresh`: pages of ours for browsers that would show their own, or do not follow a redirect well.

use bytes::Bytes;
use daemun_conf::{Arity, Directive};
use daemun_http::{HeaderId, StatusCode};
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::module::nothing_to_finish;
use daemun_server::{Body, Module, Request, Response};

use crate::user_agent::{is_chrome, is_msie};

/// Named once, in the program's list of modules; the first of the filters, since it makes a page of another status.
pub static MODULE: Module<Msie> = Module {
    name: "msie",
    directives: &[
        Directive {
            name: "msie_padding",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "on",
            help: "on|off: error pages are made longer for MSIE and Chrome, which show their own in the place of short ones",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.pads, flag)
            },
        },
        Directive {
            name: "msie_refresh",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Flag,
            default: "off",
            help: "on|off: MSIE is redirected by a page that does it",
            set: |conf, arguments| {
                let flag = arguments.flag(0)?;
                arguments.set_once(&mut conf.refreshes, flag)
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; pads, refreshes);
    },
    finish: nothing_to_finish,
    is_active: |conf| conf.pads.unwrap_or(true) || conf.refreshes == Some(true),
    phases: &[],
    filters: &[msie],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Msie {
    pads: Option<bool>,
    refreshes: Option<bool>,
}

fn msie(conf: &Msie, request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    let status = response.status();
    if status.as_u16() < 300 || !response.is_own {
        return response;
    }
    let (Body::Bytes(page), Some(agent)) = (&response.body, request.headers().first(HeaderId::UserAgent)) else {
        return response;
    };
    if !is_page(page) {
        return response;
    }
    if status.as_u16() >= 400 && conf.pads.unwrap_or(true) && (is_msie(agent) || is_chrome(agent)) {
        response.body = Body::Bytes(Bytes::from([page, PADDING.repeat(6).as_slice()].concat()));
    } else if matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND)
        && conf.refreshes == Some(true)
        && is_msie(agent)
        && let Some(target) = response.head.headers.first(HeaderId::Location)
    {
        response.body = Body::Bytes(refresh(target));
        response.head.headers.remove_known(HeaderId::Location);
        response.head.status = StatusCode::OK;
    }
    response
}

/// Whether it is one of the program's own pages, and no text of the configuration's.
fn is_page(octets: &[u8]) -> bool {
    octets.starts_with(b"<html>\r\n<head><title>") && octets.ends_with(b"</html>\r\n")
}

const PADDING: &[u8] = b"<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n";

/// A page that leads to `target`.
fn refresh(target: &[u8]) -> Bytes {
    let mut page = b"<html><head><meta http-equiv=\"Refresh\" content=\"0; URL=".to_vec();
    for octet in target {
        if octet.is_ascii_graphic() && !b"\"'<>\\^`{|~".contains(octet) {
            page.push(*octet);
        } else {
            page.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
    page.extend_from_slice(b"\"></head><body></body></html>\r\n");
    page.into()
}
