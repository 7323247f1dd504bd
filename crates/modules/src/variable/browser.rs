//! `modern_browser`, `ancient_browser`: what a browser may be expected to know, by its name and version.

use daemun_conf::{ArgumentError, Arguments, Arity, Directive};
use daemun_http::HeaderId;
use daemun_server::config::HTTP_SERVER_LOCATION;
use daemun_server::module::nothing_to_finish;
use daemun_server::variable::Variable;
use daemun_server::{Module, Request};
use memchr::memmem;

use crate::user_agent::is_msie;

/// Named once, in the program's list of modules.
pub static MODULE: Module<Browser> = Module {
    name: "browser",
    directives: &[
        Directive {
            name: "modern_browser",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Between(1, 2),
            default: "none",
            help: "opera|msie|gecko|safari|konqueror version, or unlisted: from which version on a browser is modern",
            set: set_modern,
        },
        Directive {
            name: "ancient_browser",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::AtLeast(1),
            default: "none",
            help: "string ...: browsers are ancient that name one of these; netscape4 is special",
            set: set_ancient,
        },
        Directive {
            name: "modern_browser_value",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "1",
            help: "string: $modern_browser of modern browsers",
            set: |conf, arguments| {
                conf.modern_value = Some(arguments.text(0)?.into());
                Ok(())
            },
        },
        Directive {
            name: "ancient_browser_value",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Exactly(1),
            default: "1",
            help: "string: $ancient_browser of ancient browsers",
            set: |conf, arguments| {
                conf.ancient_value = Some(arguments.text(0)?.into());
                Ok(())
            },
        },
    ],
    merge: |parent, child| {
        daemun_server::inherit!(parent, child; modern_value, ancient_value);
        if child.versions.is_empty() && !child.unlisted_are_modern {
            child.versions.clone_from(&parent.versions);
            child.unlisted_are_modern = parent.unlisted_are_modern;
        }
        if child.ancient.is_empty() && !child.netscape4_is_ancient {
            child.ancient.clone_from(&parent.ancient);
            child.netscape4_is_ancient = parent.netscape4_is_ancient;
        }
    },
    finish: nothing_to_finish,
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: &[
        Variable {
            name: "msie",
            evaluate: |request, _, out| {
                if request.headers().first(HeaderId::UserAgent).is_some_and(is_msie) {
                    out.push(b'1');
                }
                true
            },
        },
        Variable {
            name: "modern_browser",
            evaluate: |request, _, out| {
                write_if(request, true, |conf| &conf.modern_value, out);
                true
            },
        },
        Variable {
            name: "ancient_browser",
            evaluate: |request, _, out| {
                write_if(request, false, |conf| &conf.ancient_value, out);
                true
            },
        },
    ],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Browser {
    /// In the order of [`KNOWN`].
    versions: Vec<Version>,
    unlisted_are_modern: bool,
    ancient: Vec<Box<str>>,
    netscape4_is_ancient: bool,
    modern_value: Option<Box<str>>,
    ancient_value: Option<Box<str>>,
}

/// From which version on a browser is modern.
#[derive(Clone, Copy)]
struct Version {
    /// Number of the browser in [`KNOWN`].
    browser: usize,
    least: u64,
}

/// How a browser names itself.
struct Known {
    name: &'static str,
    /// Octets before the place where the mark can stand.
    skip: usize,
    /// Stands before the version.
    mark: &'static [u8],
    /// Octets from the mark's beginning to the version.
    length: usize,
}

/// Opera first: it may pretend to be another.
const KNOWN: [Known; 5] = [
    Known { name: "opera", skip: 0, mark: b"Opera", length: b"Opera ".len() },
    Known { name: "msie", skip: b"Mozilla/4.0 (compatible; ".len(), mark: b"MSIE ", length: b"MSIE ".len() },
    Known { name: "gecko", skip: b"Mozilla/5.0 (".len(), mark: b"rv:", length: b"rv:".len() },
    Known { name: "safari", skip: b"Mozilla/5.0 (".len(), mark: b"Safari/", length: b"Safari/".len() },
    Known {
        name: "konqueror",
        skip: b"Mozilla/5.0 (compatible; ".len(),
        mark: b"Konqueror/",
        length: b"Konqueror/".len(),
    },
];

const OPERA: usize = 0;

fn set_modern(conf: &mut Browser, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let name = arguments.text(0)?;
    if arguments.len() == 1 {
        if name != "unlisted" {
            return Err(arguments.invalid_parameter(0));
        }
        conf.unlisted_are_modern = true;
        return Ok(());
    }
    let browser = KNOWN.iter().position(|known| known.name.eq_ignore_ascii_case(name));
    let browser = browser.ok_or_else(|| ArgumentError::new(Some(0), format!("unknown browser name \"{name}\"")))?;
    let text = arguments.text(1)?;
    if !text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.') {
        return Err(ArgumentError::new(Some(1), format!("invalid browser version \"{text}\"")));
    }
    if browser != OPERA && !conf.versions.iter().any(|version| version.browser == OPERA) {
        // Never modern, unless a version is given: it must not pass for the browser whose name it bears.
        conf.versions.push(Version { browser: OPERA, least: u64::MAX });
    }
    if browser == OPERA {
        conf.versions.retain(|version| version.least != u64::MAX);
    }
    conf.versions.push(Version { browser, least: read_version(text.as_bytes()) });
    conf.versions.sort_by_key(|version| version.browser);
    Ok(())
}

fn set_ancient(conf: &mut Browser, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    for word in arguments.words() {
        match word.text.as_str() {
            "netscape4" => conf.netscape4_is_ancient = true,
            text => conf.ancient.push(text.into()),
        }
    }
    Ok(())
}

fn write_if(
    request: &Request,
    wants_modern: bool,
    value: impl FnOnce(&Browser) -> &Option<Box<str>>,
    out: &mut Vec<u8>,
) {
    let Some(conf) = request.location().settings::<Browser>() else { return };
    if conf.is_modern(request.headers().first(HeaderId::UserAgent)) == wants_modern {
        out.extend_from_slice(value(conf).as_deref().unwrap_or("1").as_bytes());
    }
}

impl Browser {
    fn is_modern(&self, agent: Option<&[u8]>) -> bool {
        let Some(agent) = agent else { return self.unlisted_are_modern };
        for Version { browser, least } in &self.versions {
            let Some(known) = KNOWN.get(*browser) else { continue };
            let Some(rest) = agent.get(known.skip..) else { continue };
            let Some(at) = memmem::find(rest, known.mark) else { continue };
            match rest.get(at + known.length..) {
                None | Some([]) => {}
                Some(version) => return read_version(version) >= *least,
            }
        }
        if !self.versions.is_empty() && !self.unlisted_are_modern {
            return false;
        }
        if self.netscape4_is_ancient
            && agent.len() > b"Mozilla/4.72 ".len()
            && agent.strip_prefix(b"Mozilla/").is_some_and(|rest| matches!(rest, [b'1'..=b'4', ..]))
        {
            return false;
        }
        let is_named = |name: &str| memmem::find(agent, name.as_bytes()).is_some();
        self.unlisted_are_modern && !self.ancient.iter().any(|name| is_named(name))
    }
}

/// The number at the front as one that can be compared: two digits for each part behind the first.
fn read_version(text: &[u8]) -> u64 {
    let end = text.iter().position(|octet| !octet.is_ascii_digit() && *octet != b'.').unwrap_or(text.len());
    let parts = text[..end].split(|octet| *octet == b'.');
    let number = |part: &[u8]| {
        part.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    };
    let scales = [1_000_000, 10_000, 100, 1];
    parts.zip(scales).fold(0, |sum: u64, (part, scale)| sum.saturating_add(number(part).saturating_mul(scale)))
}

#[cfg(test)]
mod tests {
    use super::read_version;

    #[test]
    fn versions_compare_part_by_part() {
        assert!(read_version(b"9.01 (X11)") < read_version(b"9.5"));
        assert!(read_version(b"1.9.2.28") > read_version(b"1.9.2"));
        assert!(read_version(b"10") > read_version(b"9.99.99.99"));
        assert_eq!(read_version(b""), 0);
        assert_eq!(read_version(b"99999999999999999999999.1"), u64::MAX);
    }
}
