//! What is offered in a handshake: versions, cipher suites and groups, in OpenSSL's notation.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, ALL_KX_GROUPS, default_provider};
use rustls::{CipherSuite, NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};

/// Versions, suites and groups, in order of preference.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Whether TLS 1.2 is spoken.
    pub tls12: bool,
    /// Whether TLS 1.3 is spoken.
    pub tls13: bool,
    suites_12: Vec<SupportedCipherSuite>,
    suites_13: Vec<SupportedCipherSuite>,
    groups: Option<Vec<NamedGroup>>,
    /// Whether what this side prefers counts.
    pub prefers_own: bool,
}

/// What of a setting cannot be had, in words.
pub type Unavailable = Vec<String>;

impl Default for Offer {
    fn default() -> Self {
        let of = |version: &'static SupportedProtocolVersion| {
            let suites = ALL_CIPHER_SUITES.iter().copied();
            suites.filter(|suite| suite.version() == version).collect()
        };
        Self {
            tls12: true,
            tls13: true,
            suites_12: of(&rustls::version::TLS12),
            suites_13: of(&rustls::version::TLS13),
            groups: None,
            prefers_own: false,
        }
    }
}

impl Offer {
    /// Whether anything is left that could be spoken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let has_12 = self.tls12 && !self.suites_12.is_empty();
        let has_13 = self.tls13 && !self.suites_13.is_empty();
        !has_12 && !has_13
    }

    /// Obeys a list of ciphers as `ssl_ciphers` has it: suites of TLS 1.2.
    ///
    /// # Errors
    /// A list that names nothing that is known.
    pub fn set_ciphers(&mut self, list: &str) -> Result<Unavailable, String> {
        let (suites, unavailable) = select(list)?;
        self.suites_12 = suites;
        Ok(unavailable)
    }

    /// Obeys a list of names of TLS 1.3's suites.
    ///
    /// # Errors
    /// A name that is none.
    pub fn set_ciphersuites(&mut self, list: &str) -> Result<Unavailable, String> {
        let (mut suites, mut unavailable) = (Vec::new(), Vec::new());
        for name in list.split(':').filter(|name| !name.is_empty()) {
            let all = ALL_CIPHER_SUITES.iter().filter(|suite| suite.version() == &rustls::version::TLS13);
            match all.copied().find(|suite| cipher_name(suite.suite()) == Some(name)) {
                Some(suite) => suites.push(suite),
                None if matches!(name, "TLS_AES_128_CCM_SHA256" | "TLS_AES_128_CCM_8_SHA256") => {
                    unavailable.push(format!("cipher suite \"{name}\""));
                }
                None => return Err(format!("no cipher match for \"{name}\"")),
            }
        }
        self.suites_13 = suites;
        Ok(unavailable)
    }

    /// Obeys a list of curves as `ssl_ecdh_curve` has it; `auto` is the default.
    ///
    /// # Errors
    /// A name that is none, where no other can be had.
    pub fn set_curves(&mut self, list: &str) -> Result<Unavailable, String> {
        if list == "auto" {
            self.groups = None;
            return Ok(Vec::new());
        }
        let (mut groups, mut unavailable) = (Vec::new(), Vec::new());
        for name in list.split([':', '/']).filter(|name| !name.is_empty()) {
            let name = name.trim_start_matches(['?', '*', '-']);
            match group_by_name(name) {
                Some(group) if ALL_KX_GROUPS.iter().any(|one| one.name() == group) => groups.push(group),
                Some(_) => unavailable.push(format!("curve \"{name}\"")),
                None => return Err(format!("unknown curve \"{name}\"")),
            }
        }
        if groups.is_empty() {
            return Err(format!("no curve of \"{list}\" can be offered"));
        }
        self.groups = Some(groups);
        Ok(unavailable)
    }

    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = default_provider();
        provider.cipher_suites = self.suites_13.iter().chain(&self.suites_12).copied().collect();
        if let Some(groups) = &self.groups {
            let find = |group: &NamedGroup| ALL_KX_GROUPS.iter().copied().find(|one| one.name() == *group);
            provider.kx_groups = groups.iter().filter_map(find).collect();
        }
        Arc::new(provider)
    }

    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let mut versions = Vec::new();
        if self.tls13 && !self.suites_13.is_empty() {
            versions.push(&rustls::version::TLS13);
        }
        if self.tls12 && !self.suites_12.is_empty() {
            versions.push(&rustls::version::TLS12);
        }
        versions
    }
}

/// A suite of TLS 1.2 with the words of OpenSSL that mean it.
struct Suite {
    id: CipherSuite,
    name: &'static str,
    words: &'static [&'static str],
    strength: u16,
}

const COMMON: [&str; 12] = [
    "ALL",
    "DEFAULT",
    "COMPLEMENTOFALL",
    "HIGH",
    "TLSv1.2",
    "FIPS",
    "ECDHE",
    "EECDH",
    "kECDHE",
    "kEECDH",
    "ECDH",
    "AEAD",
];

/// In the order of OpenSSL's `HIGH`.
static SUITES: &[Suite] = &[
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        words: &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM", "SHA384", "SUITEB192"],
        strength: 256,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        words: &["RSA", "aRSA", "AES", "AES256", "AESGCM", "SHA384"],
        strength: 256,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        words: &["ECDSA", "aECDSA", "CHACHA20", "SHA256"],
        strength: 256,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        words: &["RSA", "aRSA", "CHACHA20", "SHA256"],
        strength: 256,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        words: &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM", "SHA256", "SUITEB128"],
        strength: 128,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        words: &["RSA", "aRSA", "AES", "AES128", "AESGCM", "SHA256"],
        strength: 128,
    },
];

/// Words of OpenSSL that mean suites of which there are none here.
const WITHOUT_SUITES: &[&str] = &[
    "MEDIUM",
    "LOW",
    "EXP",
    "EXPORT",
    "aNULL",
    "eNULL",
    "NULL",
    "MD5",
    "SHA",
    "SHA1",
    "3DES",
    "DES",
    "RC4",
    "RC2",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "PSK",
    "kPSK",
    "aPSK",
    "kECDHEPSK",
    "kDHEPSK",
    "kRSAPSK",
    "DSS",
    "aDSS",
    "DH",
    "DHE",
    "EDH",
    "kDHE",
    "kEDH",
    "kDH",
    "kDHr",
    "kDHd",
    "aDH",
    "ADH",
    "AECDH",
    "SRP",
    "kSRP",
    "aSRP",
    "SEED",
    "IDEA",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "kRSA",
    "kECDH",
    "kECDHr",
    "kECDHe",
    "aECDH",
    "AESCCM",
    "AESCCM8",
    "GOST94",
    "kGOST",
    "aGOST",
    "aGOST01",
    "GOST89MAC",
    "TLSv1",
    "TLSv1.0",
    "SSLv3",
    "SSLv2",
    "COMPLEMENTOFDEFAULT",
    "CBC",
];

type Selected = (Vec<SupportedCipherSuite>, Unavailable);

/// Obeys an OpenSSL cipher list.
fn select(list: &str) -> Result<Selected, String> {
    let mut chosen: Vec<&Suite> = Vec::new();
    let mut killed: Vec<CipherSuite> = Vec::new();
    let (mut unavailable, mut is_known) = (Vec::new(), false);
    for word in list.split([':', ',', ' ', ';']).filter(|word| !word.is_empty()) {
        if word == "@STRENGTH" {
            chosen.sort_by_key(|suite| std::cmp::Reverse(suite.strength));
            continue;
        }
        if word.starts_with('@') || word.starts_with("TLS_") {
            is_known |= word.starts_with("TLS_");
            continue; // Security levels and the suites of TLS 1.3 are not for this list.
        }
        let (sign, name) = match word.split_at_checked(1) {
            Some((sign @ ("!" | "-" | "+"), name)) => (sign, name),
            _ => ("", word),
        };
        let parts: Vec<_> = name.split('+').collect();
        is_known |= sign.is_empty() && parts.iter().all(|part| is_word(part));
        let is_meant = |suite: &&Suite| parts.iter().all(|part| suite.is_called(part));
        match sign {
            "!" => killed.extend(SUITES.iter().filter(is_meant).map(|suite| suite.id)),
            "-" => chosen.retain(|suite| !is_meant(suite)),
            "+" => {
                let (moved, kept): (Vec<_>, Vec<_>) = chosen.into_iter().partition(is_meant);
                chosen = kept.into_iter().chain(moved).collect();
            }
            _ => {
                let added: Vec<_> = SUITES.iter().filter(is_meant).collect();
                if added.is_empty() && name.contains('-') {
                    unavailable.push(format!("cipher \"{name}\""));
                    is_known |= looks_like_suite(name);
                }
                for suite in added {
                    if !chosen.iter().any(|one| one.id == suite.id) {
                        chosen.push(suite);
                    }
                }
            }
        }
    }
    if !is_known {
        return Err("no cipher match".to_owned());
    }
    let find = |suite: &&Suite| ALL_CIPHER_SUITES.iter().copied().find(|one| one.suite() == suite.id);
    let suites = chosen.iter().filter(|suite| !killed.contains(&suite.id)).filter_map(find).collect();
    Ok((suites, unavailable))
}

impl Suite {
    fn is_called(&self, word: &str) -> bool {
        self.name == word || COMMON.contains(&word) || self.words.contains(&word)
    }
}

fn is_word(word: &str) -> bool {
    COMMON.contains(&word) || WITHOUT_SUITES.contains(&word) || SUITES.iter().any(|suite| suite.is_called(word))
}

/// Whether a name is made as OpenSSL makes those of suites: parts that are words or tell of modes and numbers.
fn looks_like_suite(name: &str) -> bool {
    let is_mode = |part: &str| matches!(part, "GCM" | "CBC" | "CBC3" | "CCM" | "CCM8" | "POLY1305" | "EXP1024");
    name.split('-').all(|part| is_word(part) || is_mode(part))
}

/// OpenSSL's name of a suite.
#[must_use]
pub fn cipher_name(suite: CipherSuite) -> Option<&'static str> {
    if let Some(suite) = SUITES.iter().find(|one| one.id == suite) {
        return Some(suite.name);
    }
    Some(match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV => "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
        CipherSuite::TLS_RSA_WITH_AES_128_GCM_SHA256 => "AES128-GCM-SHA256",
        CipherSuite::TLS_RSA_WITH_AES_256_GCM_SHA384 => "AES256-GCM-SHA384",
        CipherSuite::TLS_RSA_WITH_AES_128_CBC_SHA => "AES128-SHA",
        CipherSuite::TLS_RSA_WITH_AES_256_CBC_SHA => "AES256-SHA",
        CipherSuite::TLS_RSA_WITH_AES_128_CBC_SHA256 => "AES128-SHA256",
        CipherSuite::TLS_RSA_WITH_AES_256_CBC_SHA256 => "AES256-SHA256",
        CipherSuite::TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 => "DHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_DHE_RSA_WITH_AES_256_GCM_SHA384 => "DHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "DHE-RSA-CHACHA20-POLY1305",
        CipherSuite::TLS_DHE_RSA_WITH_AES_128_CBC_SHA => "DHE-RSA-AES128-SHA",
        CipherSuite::TLS_DHE_RSA_WITH_AES_256_CBC_SHA => "DHE-RSA-AES256-SHA",
        CipherSuite::TLS_DHE_RSA_WITH_AES_128_CBC_SHA256 => "DHE-RSA-AES128-SHA256",
        CipherSuite::TLS_DHE_RSA_WITH_AES_256_CBC_SHA256 => "DHE-RSA-AES256-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA => "ECDHE-RSA-AES128-SHA",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA => "ECDHE-RSA-AES256-SHA",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 => "ECDHE-RSA-AES128-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384 => "ECDHE-RSA-AES256-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA => "ECDHE-ECDSA-AES128-SHA",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA => "ECDHE-ECDSA-AES256-SHA",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 => "ECDHE-ECDSA-AES128-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384 => "ECDHE-ECDSA-AES256-SHA384",
        _ => return None,
    })
}

/// OpenSSL's names of groups.
const GROUPS: &[(NamedGroup, &[&str])] = &[
    (NamedGroup::X25519MLKEM768, &["X25519MLKEM768"]),
    (NamedGroup::secp256r1MLKEM768, &["SecP256r1MLKEM768"]),
    (NamedGroup::MLKEM512, &["MLKEM512"]),
    (NamedGroup::MLKEM768, &["MLKEM768"]),
    (NamedGroup::MLKEM1024, &["MLKEM1024"]),
    (NamedGroup::X25519, &["X25519", "x25519"]),
    (NamedGroup::secp256r1, &["prime256v1", "P-256", "secp256r1"]),
    (NamedGroup::secp384r1, &["secp384r1", "P-384"]),
    (NamedGroup::secp521r1, &["secp521r1", "P-521"]),
    (NamedGroup::X448, &["X448", "x448"]),
    (NamedGroup::FFDHE2048, &["ffdhe2048"]),
    (NamedGroup::FFDHE3072, &["ffdhe3072"]),
    (NamedGroup::FFDHE4096, &["ffdhe4096"]),
    (NamedGroup::FFDHE6144, &["ffdhe6144"]),
    (NamedGroup::FFDHE8192, &["ffdhe8192"]),
];

fn group_by_name(name: &str) -> Option<NamedGroup> {
    GROUPS.iter().find(|(_, names)| names.contains(&name)).map(|(group, _)| *group)
}

/// OpenSSL's name of a group.
#[must_use]
pub fn group_name(group: NamedGroup) -> Option<&'static str> {
    GROUPS.iter().find(|(one, _)| *one == group).and_then(|(_, names)| names.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(list: &str) -> Result<Vec<&'static str>, String> {
        let (suites, _) = select(list)?;
        Ok(suites.iter().filter_map(|suite| cipher_name(suite.suite())).collect())
    }

    #[test]
    fn lists_of_ciphers() {
        assert_eq!(selected("HIGH:!aNULL:!MD5").expect("ciphers").len(), 6);
        assert_eq!(selected("ECDHE-RSA-AES128-GCM-SHA256"), Ok(vec!["ECDHE-RSA-AES128-GCM-SHA256"]));
        assert_eq!(selected("ECDHE+AESGCM+aRSA:!AES256"), Ok(vec!["ECDHE-RSA-AES128-GCM-SHA256"]));
        assert_eq!(selected("ALL:!AES:-ECDSA"), Ok(vec!["ECDHE-RSA-CHACHA20-POLY1305"]));
        assert_eq!(selected("AES256-SHA:DHE-RSA-AES128-SHA"), Ok(vec![]));
        assert_eq!(selected("kRSA"), Ok(vec![]));
        assert!(selected("nonsense").is_err());
        assert!(selected("").is_err());
        assert_eq!(select("AES256-SHA:HIGH").expect("ciphers").1, ["cipher \"AES256-SHA\""]);
        let moved = selected("ECDHE+AESGCM:+AES256").expect("ciphers");
        assert_eq!(moved[0], "ECDHE-ECDSA-AES128-GCM-SHA256");
    }

    #[test]
    fn lists_of_curves() {
        let mut offer = Offer::default();
        assert_eq!(offer.set_curves("X25519:prime256v1:secp521r1"), Ok(vec!["curve \"secp521r1\"".to_owned()]));
        assert_eq!(offer.provider().kx_groups.len(), 2);
        assert!(offer.set_curves("nothing").is_err());
        assert!(offer.set_curves("secp521r1").is_err());
        assert_eq!(offer.set_curves("auto"), Ok(vec![]));
        assert!(!offer.is_empty());
    }
}
