//! `$ssl_...`: what is known of an encrypted connection, and of the certificate that its client has shown.

use daemun_http::date;
use daemun_net::tls::distinguished_name::{one_line, rfc2253};
use daemun_net::tls::{Certificate, TlsFacts, fingerprint, pem};
use daemun_server::variable::Variable;
use daemun_server::{Request, clock};

/// All of them.
pub(super) static VARIABLES: &[Variable] = &[
    Variable {
        name: "ssl_protocol",
        evaluate: |request, _, out| put_fact(request, out, |facts| facts.protocol.into()),
    },
    Variable { name: "ssl_cipher", evaluate: |request, _, out| put_fact(request, out, |facts| facts.cipher.into()) },
    Variable { name: "ssl_ciphers", evaluate: |request, _, out| put_fact(request, out, TlsFacts::offered_ciphers) },
    Variable { name: "ssl_curve", evaluate: |request, _, out| put_fact(request, out, |facts| facts.group.into()) },
    Variable { name: "ssl_curves", evaluate: |request, _, out| put_fact(request, out, TlsFacts::offered_groups) },
    Variable { name: "ssl_sigalg", evaluate: |_, _, _| false },
    Variable { name: "ssl_sigalgs", evaluate: |_, _, _| false },
    Variable { name: "ssl_client_sigalg", evaluate: |_, _, _| false },
    Variable {
        name: "ssl_session_id",
        evaluate: |request, _, out| put_fact(request, out, |facts| hexadecimal(&facts.session)),
    },
    Variable {
        name: "ssl_session_reused",
        evaluate: |request, _, out| put_fact(request, out, |facts| if facts.is_resumed { "r" } else { "." }.into()),
    },
    Variable {
        name: "ssl_early_data",
        evaluate: |request, _, out| {
            let is_early = request.client.with_tls_stream(|stream| stream.is_handshaking()).unwrap_or(false);
            is_early && put(out, b"1")
        },
    },
    Variable {
        name: "ssl_server_name",
        evaluate: |request, _, out| request.client.requested_name().is_some_and(|name| put(out, name.as_bytes())),
    },
    Variable {
        name: "ssl_alpn_protocol",
        evaluate: |request, _, out| {
            let tls = request.client.tls();
            tls.and_then(|tls| tls.facts.inner_protocol.as_deref()).is_some_and(|name| put(out, name))
        },
    },
    Variable {
        name: "ssl_client_cert",
        // Lines that follow begin with a tab, so that the text may stand in a field.
        evaluate: |request, _, out| put_of_certificate(request, out, |one| pem_of(one).replace('\n', "\n\t")),
    },
    Variable {
        name: "ssl_client_raw_cert",
        evaluate: |request, _, out| put_of_certificate(request, out, |one| pem_of(one) + "\n"),
    },
    Variable {
        name: "ssl_client_escaped_cert",
        evaluate: |request, _, out| put_of_certificate(request, out, |one| percent_encoded(&(pem_of(one) + "\n"))),
    },
    Variable {
        name: "ssl_client_s_dn",
        evaluate: |request, _, out| put_of_certificate(request, out, |one| rfc2253(one.subject())),
    },
    Variable {
        name: "ssl_client_i_dn",
        evaluate: |request, _, out| put_of_certificate(request, out, |one| rfc2253(one.issuer())),
    },
    Variable {
        name: "ssl_client_s_dn_legacy",
        evaluate: |request, _, out| put_of_certificate(request, out, |one| one_line(one.subject())),
    },
    Variable {
        name: "ssl_client_i_dn_legacy",
        evaluate: |request, _, out| put_of_certificate(request, out, |one| one_line(one.issuer())),
    },
    Variable { name: "ssl_client_serial", evaluate: |request, _, out| put_of_certificate(request, out, serial) },
    Variable {
        name: "ssl_client_fingerprint",
        evaluate: |request, _, out| put_of_certificate(request, out, |one| hexadecimal(&fingerprint(one))),
    },
    Variable {
        name: "ssl_client_verify",
        evaluate: |request, _, out| {
            let Some(tls) = request.client.tls() else { return false };
            let text = match tls.verified {
                _ if tls.facts.peer_chain.is_empty() => "NONE".to_owned(),
                Some(Err(error)) => format!("FAILED:{error}"),
                Some(Ok(())) | None => "SUCCESS".to_owned(),
            };
            put(out, text.as_bytes())
        },
    },
    Variable {
        name: "ssl_client_v_start",
        evaluate: |request, _, out| put_of_certificate(request, out, |one| time(one.not_before)),
    },
    Variable {
        name: "ssl_client_v_end",
        evaluate: |request, _, out| put_of_certificate(request, out, |one| time(one.not_after)),
    },
    Variable {
        name: "ssl_client_v_remain",
        evaluate: |request, _, out| {
            put_of_certificate(request, out, |one| {
                ((one.not_after - clock::unix_seconds()) / 86_400).max(0).to_string()
            })
        },
    },
];

fn put(out: &mut Vec<u8>, text: &[u8]) -> bool {
    out.extend_from_slice(text);
    !text.is_empty()
}

fn put_fact(request: &Request, out: &mut Vec<u8>, text: fn(&TlsFacts) -> String) -> bool {
    request.client.tls().is_some_and(|tls| put(out, text(&tls.facts).as_bytes()))
}

fn put_of_certificate(request: &Request, out: &mut Vec<u8>, text: fn(&Certificate) -> String) -> bool {
    let certificate = request.client.tls().and_then(|tls| tls.facts.peer_chain.first());
    certificate.is_some_and(|certificate| put(out, text(certificate).as_bytes()))
}

/// The text of a certificate without its last line's end.
fn pem_of(certificate: &Certificate) -> String {
    pem::encode("CERTIFICATE", certificate.der()).trim_end().to_owned()
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// As OpenSSL shows a number: in capitals, without what is not significant.
fn serial(certificate: &Certificate) -> String {
    let octets = certificate.serial();
    let significant = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
    if significant.is_empty() { "0".to_owned() } else { hexadecimal(significant).to_ascii_uppercase() }
}

/// As OpenSSL shows a time: `Jan  2 03:04:05 2026 GMT`.
fn time(unix_seconds: i64) -> String {
    let shown = date::format_http_date(unix_seconds);
    let text = String::from_utf8_lossy(&shown);
    // "Fri, 02 Jan 2026 03:04:05 GMT"
    let parts: Vec<&str> = text.split([' ', ',']).filter(|part| !part.is_empty()).collect();
    let &[_, day, month, year, clock, _] = parts.as_slice() else { return String::new() };
    format!("{month} {:>2} {clock} {year} GMT", day.trim_start_matches('0'))
}

/// As nginx escapes a URI's component: letters, digits and `-._~` stay.
fn percent_encoded(text: &str) -> String {
    let stays = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    text.bytes()
        .map(|octet| if stays(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_as_openssl_shows_them() {
        assert_eq!(time(0), "Jan  1 00:00:00 1970 GMT");
        assert_eq!(time(1_700_000_000), "Nov 14 22:13:20 2023 GMT");
    }
}
