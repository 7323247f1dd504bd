//! `expires`: how long an answer may be kept.

use daemun_conf::{ArgumentError, Arguments, parse_seconds};
use daemun_http::{HeaderId, date};
use daemun_server::config::setter;
use daemun_server::{Request, Response, Template, clock};

/// What `expires` says. Times are seconds.
#[derive(Clone)]
pub enum Expires {
    /// What holds is known.
    Fixed(Lifetime),
    /// It depends on the request.
    Variable {
        /// The value, in the directive's own words.
        value: Template,
        /// Whether the time counts from the last change.
        from_modified: bool,
    },
}

/// How long an answer is fresh. Times are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Nothing is said.
    Off,
    /// Never: `expires epoch`.
    Epoch,
    /// Ten years: `expires max`.
    Max,
    /// This long from now.
    FromNow(i64),
    /// This long from the last change.
    FromModified(i64),
    /// Until the next time that local clocks show this time since midnight.
    Daily(i64),
}

impl Expires {
    /// Reads the directive's arguments.
    ///
    /// # Errors
    /// When they are no lifetime.
    pub fn read(arguments: &Arguments<'_>) -> Result<Self, ArgumentError> {
        let last = arguments.len().saturating_sub(1);
        let from_modified = last == 1;
        if from_modified && arguments.text(0)? != "modified" {
            return Err(invalid(arguments, 0, "invalid value"));
        }
        let value = setter::template(arguments, last)?;
        if value.as_constant().is_none() {
            return Ok(Self::Variable { value, from_modified });
        }
        let lifetime = Lifetime::parse(arguments.text(last)?, from_modified);
        lifetime.map(Self::Fixed).map_err(|message| invalid(arguments, last, message))
    }

    /// Whether it never says anything.
    pub fn is_off(&self) -> bool {
        matches!(self, Self::Fixed(Lifetime::Off))
    }

    /// Sets `Expires` and `Cache-Control`.
    pub fn apply(&self, request: &Request, response: &mut Response) {
        let lifetime = match self {
            Self::Fixed(lifetime) => *lifetime,
            Self::Variable { value, from_modified } => {
                let text = value.value(request);
                let parsed =
                    std::str::from_utf8(&text).map_err(|_| "").and_then(|text| Lifetime::parse(text, *from_modified));
                // A request whose value makes no sense gets no lifetime, as in nginx.
                parsed.unwrap_or(Lifetime::Off)
            }
        };
        let now = clock::unix_seconds();
        let offset = match lifetime {
            Lifetime::Daily(_) => i64::from(clock::utc_offset_minutes(now)) * 60,
            _ => 0, // Nobody asks.
        };
        lifetime.write(response, now, offset);
    }
}

fn invalid(arguments: &Arguments<'_>, argument: usize, message: &str) -> ArgumentError {
    ArgumentError::new(Some(argument), format!("\"{}\" directive {message}", arguments.name()))
}

impl Lifetime {
    /// Reads one word; the error is nginx's.
    fn parse(text: &str, from_modified: bool) -> Result<Self, &'static str> {
        match text {
            "epoch" if !from_modified => return Ok(Self::Epoch),
            "max" if !from_modified => return Ok(Self::Max),
            "off" if !from_modified => return Ok(Self::Off),
            _ => {}
        }
        let seconds = |text: &str| {
            let time = parse_seconds(text).and_then(|time| i64::try_from(time.as_secs()).ok());
            time.ok_or("invalid value")
        };
        if let Some(time) = text.strip_prefix('@') {
            if from_modified {
                return Err("daily time cannot be used with \"modified\" parameter");
            }
            return match seconds(time)? {
                time if time > DAY => Err("daily time value must be less than 24 hours"),
                time => Ok(Self::Daily(time)),
            };
        }
        let time = match text.strip_prefix('-') {
            Some(time) => -seconds(time)?,
            None => seconds(text.strip_prefix('+').unwrap_or(text))?,
        };
        Ok(if from_modified { Self::FromModified(time) } else { Self::FromNow(time) })
    }

    /// Sets the fields. `now` is Unix time, `offset` that of local time from it.
    fn write(self, response: &mut Response, now: i64, offset: i64) {
        let expires = match self {
            Self::Off => return,
            Self::Epoch => return set(response, 1, b"no-cache"),
            Self::Max => return set(response, END_OF_2037, b"max-age=315360000"),
            Self::FromNow(time) => now.saturating_add(time),
            Self::FromModified(0) => now,
            Self::FromModified(time) => {
                let told = || response.head.headers.first(HeaderId::LastModified).and_then(date::parse_http_date);
                response.last_modified.or_else(told).unwrap_or(now).saturating_add(time)
            }
            Self::Daily(time) => next_time(time, now, offset),
        };
        let max_age = expires - now;
        let is_past = max_age < 0 || matches!(self, Self::FromNow(..0) | Self::FromModified(..0));
        if is_past {
            set(response, expires, b"no-cache");
        } else {
            set(response, expires, format!("max-age={max_age}").as_bytes());
        }
    }
}

fn set(response: &mut Response, expires: i64, cache_control: &[u8]) {
    response.head.headers.set_known(HeaderId::Expires, &date::format_http_date(expires));
    response.head.headers.set_known(HeaderId::CacheControl, cache_control);
}

/// When local clocks show `time` next.
fn next_time(time: i64, now: i64, offset: i64) -> i64 {
    let midnight = now - (now + offset).rem_euclid(DAY);
    let today = midnight + time;
    if today > now { today } else { today + DAY }
}

const DAY: i64 = 24 * 60 * 60;

/// Thu, 31 Dec 2037 23:55:55 GMT, which nginx takes for the end of time.
const END_OF_2037: i64 = 2_145_916_555;

#[cfg(test)]
mod tests {
    use daemun_http::StatusCode;

    use super::*;

    fn fields(text: &str, from_modified: bool, last_modified: Option<i64>) -> (String, String) {
        let mut response = Response::new(StatusCode::OK);
        response.last_modified = last_modified;
        response.head.headers.append(b"Cache-Control", b"private");
        response.head.headers.append(b"Cache-Control", b"must-revalidate");
        Lifetime::parse(text, from_modified).expect("a lifetime").write(&mut response, NOW, 2 * 60 * 60);
        let value = |id| String::from_utf8_lossy(response.head.headers.first(id).unwrap_or_default()).into_owned();
        (value(HeaderId::Expires), value(HeaderId::CacheControl))
    }

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: i64 = 784_111_777;

    #[test]
    fn lifetimes_become_fields() {
        for (text, from_modified, expires, cache_control) in [
            ("epoch", false, "Thu, 01 Jan 1970 00:00:01 GMT", "no-cache"),
            ("max", false, "Thu, 31 Dec 2037 23:55:55 GMT", "max-age=315360000"),
            ("24h", false, "Mon, 07 Nov 1994 08:49:37 GMT", "max-age=86400"),
            ("+1m", false, "Sun, 06 Nov 1994 08:50:37 GMT", "max-age=60"),
            ("-1", false, "Sun, 06 Nov 1994 08:49:36 GMT", "no-cache"),
            ("0", false, "Sun, 06 Nov 1994 08:49:37 GMT", "max-age=0"),
            ("0", true, "Sun, 06 Nov 1994 08:49:37 GMT", "max-age=0"),
            ("2h", true, "Sun, 06 Nov 1994 09:49:37 GMT", "max-age=3600"),
            ("1m", true, "Sun, 06 Nov 1994 07:50:37 GMT", "no-cache"),
            ("@15h30m", false, "Sun, 06 Nov 1994 13:30:00 GMT", "max-age=16823"),
            ("@10h", false, "Mon, 07 Nov 1994 08:00:00 GMT", "max-age=83423"),
        ] {
            let hour_ago = Some(NOW - 3_600);
            assert_eq!(fields(text, from_modified, hour_ago), (expires.to_owned(), cache_control.to_owned()), "{text}");
        }
        assert_eq!(fields("1m", true, None).1, "max-age=60");
        assert_eq!(fields("off", false, None), (String::new(), "private".to_owned()));
    }

    #[test]
    fn what_is_no_lifetime_is_refused() {
        for (text, from_modified) in
            [("", false), ("soon", false), ("1x", false), ("max", true), ("off", true), ("@1h", true), ("@25h", false)]
        {
            assert!(Lifetime::parse(text, from_modified).is_err(), "{text}");
        }
    }
}
