//! `secure_link`: whether a link was made by somebody who knows a secret, and whether it still holds.

use daemun_conf::{Arity, Diagnostic, Directive, Span};
use daemun_http::credentials::decode_base64;
use daemun_server::config::{Build, HTTP_SERVER_LOCATION, setter};
use daemun_server::variable::Variable;
use daemun_server::{Module, Request, Template, clock};
use md_5::{Digest, Md5};

/// Named once, in the program's list of modules.
pub static MODULE: Module<SecureLink> = Module {
    name: "secure_link",
    directives: &[
        Directive {
            name: "secure_link",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "string: the link's checksum in base64url and, behind a comma, the time until which it holds",
            set: |conf, arguments| {
                conf.span = Some(arguments.span());
                let link = setter::template(arguments, 0)?;
                arguments.set_once(&mut conf.link, link)
            },
        },
        Directive {
            name: "secure_link_md5",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "string: the text whose MD5 the checksum must be, the secret in it",
            set: |conf, arguments| {
                conf.span = Some(arguments.span());
                let text = setter::template(arguments, 0)?;
                arguments.set_once(&mut conf.text, text)
            },
        },
        Directive {
            name: "secure_link_secret",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "none",
            help: "word: the secret of links like /prefix/checksum/link; MD5 of link and word, in hexadecimal",
            set: |conf, arguments| {
                conf.span = Some(arguments.span());
                let secret = arguments.text(0)?.into();
                arguments.set_once(&mut conf.secret, secret)
            },
        },
    ],
    merge: |parent, child| {
        if child.secret.is_some() {
            return;
        }
        daemun_server::inherit!(parent, child; link, text);
        if child.link.is_none() && child.text.is_none() {
            child.secret.clone_from(&parent.secret);
        }
    },
    finish: |conf: &mut SecureLink, _: &mut Build<'_>| match conf.span.take() {
        Some(span) if conf.secret.is_some() && (conf.link.is_some() || conf.text.is_some()) => {
            let message = "\"secure_link_secret\" cannot be mixed with \"secure_link\" and \"secure_link_md5\"";
            Err(Diagnostic::error(span, message))
        }
        _ => Ok(()),
    },
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: &[
        Variable {
            name: "secure_link",
            evaluate: |request, _, out| settings(request).is_some_and(|conf| conf.evaluate(request, out)),
        },
        Variable {
            name: "secure_link_expires",
            evaluate: |request, _, out| settings(request).is_some_and(|conf| conf.write_expiry(request, out)),
        },
    ],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct SecureLink {
    link: Option<Template>,
    text: Option<Template>,
    secret: Option<Box<str>>,
    span: Option<Span>,
}

fn settings(request: &Request) -> Option<&SecureLink> {
    request.location().settings()
}

impl SecureLink {
    /// Appends what `$secure_link` is: 1, 0 where the time is over, or the link behind a checksum of the old form.
    fn evaluate(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        if let Some(secret) = &self.secret {
            return link_behind_checksum(request.head.target(), secret.as_bytes())
                .map(|link| out.extend_from_slice(link))
                .is_some();
        }
        let (Some(link), Some(text)) = (&self.link, &self.text) else { return false };
        let link = link.value(request);
        let (checksum, expiry) = split_expiry(&link);
        let expiry = match expiry.map(parse_expiry) {
            Some(None) => return false,
            Some(Some((expiry, _))) => Some(expiry),
            None => None,
        };
        let is_right = checksum.len() <= CHECKSUM_BYTES_MAX
            && decode_base64(checksum).is_some_and(|checksum| is_checksum(&checksum, &text.value(request)));
        if is_right {
            out.push(if expiry.is_some_and(|expiry| expiry < clock::unix_seconds()) { b'0' } else { b'1' });
        }
        is_right
    }

    fn write_expiry(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        let Some(link) = self.link.as_ref().filter(|_| self.text.is_some() && self.secret.is_none()) else {
            return false;
        };
        let link = link.value(request);
        split_expiry(&link).1.and_then(parse_expiry).map(|(_, text)| out.extend_from_slice(text)).is_some()
    }
}

/// Sixteen octets in base64, its padding included.
const CHECKSUM_BYTES_MAX: usize = 24;

/// The checksum, and what stands behind the first comma.
fn split_expiry(link: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b',', link) {
        Some(at) => (&link[..at], Some(&link[at + 1..])),
        None => (link, None),
    }
}

/// The time in Unix seconds, more than 0, and its text.
fn parse_expiry(text: &[u8]) -> Option<(i64, &[u8])> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let time = std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()?;
    (time > 0).then_some((time, text))
}

/// Whether `checksum` is the MD5 of `text`; the time this takes does not tell where they differ.
fn is_checksum(checksum: &[u8], text: &[u8]) -> bool {
    let digest = Md5::digest(text);
    checksum.len() == digest.len() && checksum.iter().zip(&digest).fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

/// `link` of the target `/prefix/checksum/link`, as received, where the checksum is the MD5 of link and secret.
fn link_behind_checksum<'a>(target: &'a [u8], secret: &[u8]) -> Option<&'a [u8]> {
    let mut parts = target.get(1..)?.splitn(3, |octet| *octet == b'/').skip(1);
    let (checksum, link) = (parts.next()?, parts.next()?);
    if checksum.len() != 32 || link.is_empty() {
        return None;
    }
    let nibble = |octet: &u8| char::from(*octet).to_digit(16);
    let octets: Option<Vec<u8>> =
        checksum.chunks(2).map(|pair| Some((nibble(pair.first()?)? << 4 | nibble(pair.get(1)?)?) as u8)).collect();
    is_checksum(&octets?, &[link, secret].concat()).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_of_the_old_form() {
        // echo -n linksecret | md5sum
        let link = |target: &'static str| link_behind_checksum(target.as_bytes(), b"secret");
        let checksum = Md5::digest(b"a/link?xsecret").iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let target: &'static str = format!("/p/{checksum}/a/link?x").leak();
        assert_eq!(link(target), Some(&b"a/link?x"[..]));
        assert_eq!(link("/p"), None);
        assert_eq!(link("/p/0123/link"), None);
        assert_eq!(link("/p/0123456789abcdef0123456789abcdef/link"), None);
        assert_eq!(link("/p/zz23456789abcdef0123456789abcdef/link"), None);
        assert_eq!(link("/p/0123456789abcdef0123456789abcdef/"), None);
        assert_eq!(link(""), None);
    }

    #[test]
    fn times_are_positive_numbers() {
        assert_eq!(parse_expiry(b"12").map(|(time, _)| time), Some(12));
        for text in ["", "0", "-1", "+1", "1x", "99999999999999999999"] {
            assert_eq!(parse_expiry(text.as_bytes()), None, "{text}");
        }
    }
}
