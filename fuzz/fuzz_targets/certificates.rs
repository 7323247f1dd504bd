//! Certificates, lists of revoked ones and responders' answers: whatever peers and files hold, none is read beyond its end.

#![no_main]

use daemun_net::tls::{Certificate, Purpose, RevocationList, StatusQuestion, Trust, certificates, distinguished_name, is_for_host};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _ = certificates(octets);
    let _ = RevocationList::all_of(octets);
    let _ = distinguished_name::rfc2253(octets);
    let _ = distinguished_name::one_line(octets);
    let Some(certificate) = Certificate::parse(octets) else { return };
    let _ = distinguished_name::rfc2253(certificate.subject());
    let _ = is_for_host(&certificate, "example.test");
    let trust = Trust { anchors: vec![certificate.clone()], depth: 1, ..Trust::default() };
    let _ = trust.verify(std::slice::from_ref(&certificate), Purpose::Client, certificate.not_before);
    let question = StatusQuestion { certificate: &certificate, issuer: &certificate };
    let _ = question.encode();
    let _ = question.read(octets, true, certificate.not_before);
});
