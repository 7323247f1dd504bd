//! Passwords as a user file keeps them: `{PLAIN}`, `{SHA}`, `{SSHA}`, and the forms of crypt(3).

use blowfish::Blowfish;
use daemun_http::credentials::decode_base64;
use md_5::Md5;
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha1::{Digest, Sha1};

use super::des_crypt::des_crypt;

/// What a kept password says of one that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are the same.
    Match,
    /// They are not.
    Mismatch,
    /// The kept one is of no form known here.
    Unknown,
}

/// Compares the password that a client offers with the one that the file keeps.
pub(super) fn verify(offered: &[u8], kept: &str) -> Verdict {
    if let Some(plain) = kept.strip_prefix("{PLAIN}") {
        return verdict(offered, plain.as_bytes());
    }
    if let Some(digest) = kept.strip_prefix("{SHA}") {
        return digest_verdict(&Sha1::digest(offered), decode_base64(digest.as_bytes()));
    }
    if let Some(salted) = kept.strip_prefix("{SSHA}") {
        return verify_salted_sha(offered, salted);
    }
    for magic in ["$apr1$", "$1$"] {
        if let Some((salt, digest)) = kept.strip_prefix(magic).and_then(|rest| rest.split_once('$')) {
            return verdict(md5_crypt(offered, magic, salt).as_bytes(), digest.as_bytes());
        }
    }
    if ["$5$", "$6$"].iter().any(|magic| kept.starts_with(magic)) {
        let is_same = ShaCrypt::default().verify_password(offered, kept).is_ok();
        return if is_same { Verdict::Match } else { Verdict::Mismatch };
    }
    if ["$2a$", "$2b$", "$2y$"].iter().any(|magic| kept.starts_with(magic)) {
        return verify_bcrypt(offered, kept.get(4..).unwrap_or_default()).unwrap_or(Verdict::Mismatch);
    }
    match des_crypt(offered, kept.as_bytes()) {
        Some(text) if kept.len() == text.len() => verdict(&text, kept.as_bytes()),
        _ => Verdict::Unknown,
    }
}

/// Compares without telling by the time it takes how much is right.
fn verdict(offered: &[u8], kept: &[u8]) -> Verdict {
    let differences = offered.iter().zip(kept).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
    if differences == 0 && offered.len() == kept.len() { Verdict::Match } else { Verdict::Mismatch }
}

fn digest_verdict(offered: &[u8], kept: Option<Vec<u8>>) -> Verdict {
    kept.map_or(Verdict::Mismatch, |kept| verdict(offered, &kept))
}

fn verify_salted_sha(offered: &[u8], salted: &str) -> Verdict {
    let Some(decoded) = decode_base64(salted.as_bytes()) else { return Verdict::Mismatch };
    let Some((digest, salt)) = decoded.split_at_checked(20) else { return Verdict::Mismatch };
    verdict(&Sha1::new().chain_update(offered).chain_update(salt).finalize(), digest)
}

/// crypt(3)'s MD5 form and Apache's variation of it; they differ in `magic` alone.
fn md5_crypt(password: &[u8], magic: &str, salt: &str) -> String {
    let salt = salt.as_bytes();
    let salt = salt.get(..8).unwrap_or(salt);
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for chunk in password.chunks(inner.len()) {
        outer.update(&inner[..chunk.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        let first: &[u8] = if bits & 1 == 1 { &[0] } else { password.get(..1).unwrap_or_default() };
        outer.update(first);
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..1_000 {
        let mut next = Md5::new();
        let is_odd = round % 2 == 1;
        next.update(if is_odd { password } else { digest.as_slice() });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if is_odd { digest.as_slice() } else { password });
        digest = next.finalize();
    }
    let mut text = String::with_capacity(22);
    for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        let bits = u32::from(digest[high]) << 16 | u32::from(digest[middle]) << 8 | u32::from(digest[low]);
        push_digits(&mut text, bits, 4);
    }
    push_digits(&mut text, u32::from(digest[11]), 2);
    text
}

fn push_digits(text: &mut String, mut bits: u32, count: usize) {
    for _ in 0..count {
        text.push(char::from(CRYPT_DIGITS[(bits & 63) as usize]));
        bits >>= 6;
    }
}

/// `kept` is cost, `$`, 22 digits of salt, 31 digits of the sum; `None` where it is not.
fn verify_bcrypt(offered: &[u8], kept: &str) -> Option<Verdict> {
    let (cost, digits) = kept.split_once('$')?;
    let cost: u32 = cost.parse().ok().filter(|cost| (4..=31).contains(cost))?;
    let (salt, sum) = digits.split_at_checked(22)?;
    let (salt, sum) = (decode_bcrypt_digits(salt)?, decode_bcrypt_digits(sum)?);
    let key: Vec<u8> = offered.iter().copied().chain([0]).take(BCRYPT_KEY_MAX).collect();
    let mut state = Blowfish::bc_init_state();
    state.salted_expand_key(&salt, &key);
    for _ in 0..1_u64 << cost {
        state.bc_expand_key(&key);
        state.bc_expand_key(&salt);
    }
    let mut computed = Vec::with_capacity(24);
    for pair in BCRYPT_TEXT.chunks_exact(8) {
        let word = |at: usize| u32::from_be_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]);
        let sealed = (0..64).fold([word(0), word(4)], |pair, _| state.bc_encrypt(pair));
        computed.extend(sealed.iter().flat_map(|word| word.to_be_bytes()));
    }
    computed.truncate(23);
    Some(verdict(&computed, &sum))
}

fn decode_bcrypt_digits(text: &str) -> Option<Vec<u8>> {
    let (mut octets, mut bits, mut count) = (Vec::with_capacity(24), 0_u32, 0);
    for digit in text.bytes() {
        let value = BCRYPT_DIGITS.iter().position(|known| *known == digit)?;
        bits = (bits << 6 | value as u32) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
        }
    }
    Some(octets)
}

const CRYPT_DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BCRYPT_DIGITS: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BCRYPT_TEXT: &[u8; 24] = b"OrpheanBeholderScryDoubt";

/// Octets of a password that bcrypt looks at, its final NUL included.
const BCRYPT_KEY_MAX: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_knows_its_password() {
        for kept in KEPT {
            assert_eq!(verify(b"password", kept), Verdict::Match, "{kept}");
            assert_eq!(verify(b"Password", kept), Verdict::Mismatch, "{kept}");
            assert_eq!(verify(b"", kept), Verdict::Mismatch, "{kept}");
        }
        assert_eq!(verify(b"a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"), Verdict::Match);
    }

    #[test]
    fn what_is_no_password_matches_nothing() {
        for kept in ["{SHA}*", "{SSHA}QQ==", "$5$", "$6$salt", "$2y$", "$2y$05$short", "$2y$99$x", "{PLAIN}x"] {
            assert_eq!(verify(b"password", kept), Verdict::Mismatch, "{kept}");
        }
        for kept in ["", "password", "$apr1$", "$y$x$y"] {
            assert_eq!(verify(b"password", kept), Verdict::Unknown, "{kept}");
        }
    }

    const KEPT: &[&str] = &[
        "sa3tHJ3/KuYvI",
        "{PLAIN}password",
        "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0",
        "$apr1$saltsalt$yAAkm4libquA.ZWLHbSBq/",
        "$1$abc$BXBqpb9BZcZhXLgbee.0s/",
        "$5$saltstring$OH4IDuTlsuTYPdED1gsuiRMyTAwNlRWyA6Xr3I4/dQ5",
        "$6$saltstring$adDbXsJjcDlq2662QPgd.tkSOVmnG9Tt3oXl4HR60SusC3AGjirnDenVZp3DGwLwqy6iYKCzannhaX9DR72nN1",
        "$6$rounds=1000$saltstring$EzTqOEb9gQc3Va/4p4pnqWqp/wIh1Otyhg9H9E8sV0eDyHGbNBkoMxYIM0ODHPBfmDNWb6wRiAvTriYxeDgb9.",
        "$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu",
    ];
}
