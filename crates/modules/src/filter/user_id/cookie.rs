//! What a cookie says beside its name and value.

use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments};
use daemun_http::date::format_http_date;
use daemun_server::clock;

/// The attributes of a cookie. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub(super) struct CookieForm {
    pub(super) domain: Option<Box<str>>,
    pub(super) path: Option<Box<str>>,
    pub(super) expiry: Option<Expiry>,
    flags: Option<Flags>,
}

/// How long a browser keeps a cookie.
#[derive(Clone, Copy)]
pub(super) enum Expiry {
    WithBrowser,
    After(Duration),
    Never,
}

#[derive(Clone, Copy, Default)]
struct Flags {
    secure: bool,
    http_only: bool,
    same_site: Option<&'static str>,
}

impl CookieForm {
    pub(super) fn inherit(&mut self, parent: &Self) {
        daemun_server::inherit!(parent, self; domain, path, expiry, flags);
    }

    pub(super) fn set_flags(&mut self, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
        let flags = self.flags.get_or_insert_default();
        for (position, word) in arguments.words().iter().enumerate() {
            match word.text.to_ascii_lowercase().as_str() {
                "off" => *flags = Flags::default(),
                "secure" => flags.secure = true,
                "httponly" => flags.http_only = true,
                "samesite=strict" => flags.same_site = Some("strict"),
                "samesite=lax" => flags.same_site = Some("lax"),
                "samesite=none" => flags.same_site = Some("none"),
                _ => return Err(arguments.invalid_value(position)),
            }
        }
        Ok(())
    }

    /// Appends the attributes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self.expiry {
            None | Some(Expiry::WithBrowser) => {}
            Some(Expiry::Never) => out.extend_from_slice(b"; expires=Thu, 31-Dec-37 23:55:55 GMT"),
            Some(Expiry::After(time)) => {
                let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
                out.extend_from_slice(b"; expires=");
                write_time(clock::unix_seconds().saturating_add(seconds), out);
            }
        }
        if let Some(domain) = self.domain.as_deref().filter(|domain| !domain.is_empty()) {
            out.extend_from_slice(b"; domain=");
            out.extend_from_slice(domain.as_bytes());
        }
        out.extend_from_slice(b"; path=");
        out.extend_from_slice(self.path.as_deref().unwrap_or("/").as_bytes());
        let flags = self.flags.unwrap_or_default();
        if flags.secure {
            out.extend_from_slice(b"; secure");
        }
        if flags.http_only {
            out.extend_from_slice(b"; httponly");
        }
        if let Some(same_site) = flags.same_site {
            out.extend_from_slice(b"; samesite=");
            out.extend_from_slice(same_site.as_bytes());
        }
    }
}

/// `Thu, 31-Dec-37 23:55:55 GMT`; years beyond that have four digits.
fn write_time(unix_seconds: i64, out: &mut Vec<u8>) {
    /// What two digits can tell.
    const END_OF_2037: i64 = 2_145_916_799;
    let text = format_http_date(unix_seconds);
    let year = if unix_seconds > END_OF_2037 { &text[12..16] } else { &text[14..16] };
    for part in [&text[..7], b"-", &text[8..11], b"-", year, &text[16..]] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::write_time;

    #[test]
    fn times_as_browsers_of_old_read_them() {
        let shown = |seconds| {
            let mut out = Vec::new();
            write_time(seconds, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(shown(784_111_777), "Sun, 06-Nov-94 08:49:37 GMT");
        assert_eq!(shown(2_145_916_799), "Thu, 31-Dec-37 23:59:59 GMT");
        assert_eq!(shown(2_145_916_800), "Fri, 01-Jan-2038 00:00:00 GMT");
    }
}
