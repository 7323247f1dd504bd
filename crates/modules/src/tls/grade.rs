//! What `daemun check` says of certificates that would be shown and are hardly what their owner meant.

use daemun_conf::{Diagnostic, Span};
use daemun_net::tls::der::{Der, tag};
use daemun_net::tls::{Certificate, CertifiedKey, is_for_host};
use daemun_server::clock;
use daemun_server::config::Build;

/// Says what is wrong with `keys`, which the directives at `spans` name.
pub(super) fn grade(keys: &[CertifiedKey], span: Span, build: &mut Build<'_>) {
    let names: Vec<String> = build.server_names().iter().filter(|name| is_plain(name)).cloned().collect();
    let mut said: Vec<String> = keys.iter().flat_map(|key| of_chain(key.chain(), clock::unix_seconds())).collect();
    let is_for = |name: &str| keys.iter().filter_map(|key| key.chain().first()).any(|one| is_for_host(one, name));
    let missing = names.iter().map(|name| name.trim_start_matches('.')).filter(|name| !is_for(name));
    said.extend(missing.map(|name| format!("the certificate is not for \"{name}\", and browsers will not believe it")));
    for text in said {
        build.warn(Diagnostic::notice(span, text));
    }
}

/// A name that a certificate may have: no expression, and not the one that stands for none.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "_" && !name.starts_with('~') && !name.contains('*') && name.contains('.')
}

fn of_chain(chain: &[Certificate], now: i64) -> Vec<String> {
    let Some(first) = chain.first() else { return Vec::new() };
    let mut said = Vec::new();
    let days = (first.not_after - now).div_euclid(DAY);
    if now > first.not_after {
        said.push(format!("the certificate has expired {} days ago", -days));
    } else if days < SOON_DAYS && first.not_after - first.not_before > SHORT_LIVED_DAYS * DAY {
        said.push(format!("the certificate expires in {days} days"));
    }
    if now < first.not_before {
        said.push("the certificate is not yet valid".to_owned());
    }
    if let Some(bits) = rsa_bits(first).filter(|bits| *bits < RSA_BITS_MIN) {
        said.push(format!(
            "the certificate's RSA key has {bits} bits, which is too weak: {RSA_BITS_MIN} are the least"
        ));
    }
    if !first.extensions.has_alternative_names {
        said.push("the certificate has no subjectAltName, and browsers look at nothing else".to_owned());
    }
    let last = chain.last().unwrap_or(first);
    if chain.len() == 1 && !first.is_self_issued() {
        said.push(
            "the certificate's issuer is missing from the chain: many clients will not find it by themselves"
                .to_owned(),
        );
    }
    if chain.windows(2).any(|pair| matches!(pair, [one, next] if one.issuer() != next.subject())) {
        said.push("the chain is out of order: each certificate must be followed by its issuer".to_owned());
    }
    if chain.len() > 1 && now > last.not_after {
        said.push("the last certificate of the chain has expired".to_owned());
    }
    said
}

/// Bits of an RSA key; `None` for another kind.
fn rsa_bits(certificate: &Certificate) -> Option<usize> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (algorithm, key) = certificate.public_key()?;
    let is_rsa = Der::new(algorithm).expect(tag::OBJECT_IDENTIFIER)?.content == RSA;
    let modulus = Der::new(key).enter(tag::SEQUENCE)?.expect(tag::INTEGER)?.content;
    let zeros: usize = modulus.iter().position(|octet| *octet != 0)?;
    let leading = modulus.get(zeros)?.leading_zeros() as usize;
    is_rsa.then(|| (modulus.len() - zeros) * 8 - leading)
}

const DAY: i64 = 86_400;
const SOON_DAYS: i64 = 14;
/// One that was made for a shorter time is renewed shortly before its end.
const SHORT_LIVED_DAYS: i64 = 40;
const RSA_BITS_MIN: usize = 2_048;
