//! Dates as HTTP and logs write them. Times are Unix seconds; this crate has no clock.

/// Length of [`format_http_date`]'s text in octets.
pub const HTTP_DATE_LENGTH: usize = 29;

/// `Sun, 06 Nov 1994 08:49:37 GMT`, as `Date` and `Last-Modified` carry it (RFC 9110 §5.6.7).
///
/// Times outside the years 0 to 9999 are moved to the nearest that can be written.
#[must_use]
pub fn format_http_date(unix_seconds: i64) -> [u8; HTTP_DATE_LENGTH] {
    let time = Civil::of(unix_seconds);
    let mut text = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(WEEKDAYS[time.weekday]);
    put_2(&mut text, 5, time.day);
    text[8..11].copy_from_slice(MONTHS[time.month - 1]);
    put_4(&mut text, 12, time.year);
    put_clock(&mut text, 17, &time);
    text
}

/// `21/Nov/2026:01:31:50 +0000`, nginx's `$time_local`.
///
/// `utc_offset_minutes` is that of local time, east positive, -1439 to 1439; beyond is cut.
#[must_use]
pub fn format_log_time(unix_seconds: i64, utc_offset_minutes: i32) -> [u8; 26] {
    let offset = clamp_offset(utc_offset_minutes);
    let time = Civil::of(unix_seconds.saturating_add(i64::from(offset) * 60));
    let mut text = *b"00/Jan/0000:00:00:00 +0000";
    put_2(&mut text, 0, time.day);
    text[3..6].copy_from_slice(MONTHS[time.month - 1]);
    put_4(&mut text, 7, time.year);
    put_clock(&mut text, 12, &time);
    text[21] = sign(offset);
    put_2(&mut text, 22, offset.unsigned_abs() / 60);
    put_2(&mut text, 24, offset.unsigned_abs() % 60);
    text
}

/// `2026/11/21 01:31:50`, as lines of an error log begin.
#[must_use]
pub fn format_error_log_time(unix_seconds: i64, utc_offset_minutes: i32) -> [u8; 19] {
    let time = Civil::of(unix_seconds.saturating_add(i64::from(clamp_offset(utc_offset_minutes)) * 60));
    let mut text = *b"0000/00/00 00:00:00";
    put_4(&mut text, 0, time.year);
    put_2(&mut text, 5, time.month as u32);
    put_2(&mut text, 8, time.day);
    put_clock(&mut text, 11, &time);
    text
}

/// `Nov 21 01:31:50`, as messages of syslog begin (RFC 3164 section 4.1.2).
#[must_use]
pub fn format_syslog_time(unix_seconds: i64, utc_offset_minutes: i32) -> [u8; 15] {
    let time = Civil::of(unix_seconds.saturating_add(i64::from(clamp_offset(utc_offset_minutes)) * 60));
    let mut text = *b"Jan 00 00:00:00";
    text[..3].copy_from_slice(MONTHS[time.month - 1]);
    put_2(&mut text, 4, time.day);
    if time.day < 10 {
        text[4] = b' ';
    }
    put_clock(&mut text, 7, &time);
    text
}

/// `2026-11-21T01:31:50+00:00`, nginx's `$time_iso8601`.
#[must_use]
pub fn format_iso8601(unix_seconds: i64, utc_offset_minutes: i32) -> [u8; 25] {
    let offset = clamp_offset(utc_offset_minutes);
    let time = Civil::of(unix_seconds.saturating_add(i64::from(offset) * 60));
    let mut text = *b"0000-00-00T00:00:00+00:00";
    put_4(&mut text, 0, time.year);
    put_2(&mut text, 5, time.month as u32);
    put_2(&mut text, 8, time.day);
    put_clock(&mut text, 11, &time);
    text[19] = sign(offset);
    put_2(&mut text, 20, offset.unsigned_abs() / 60);
    put_2(&mut text, 23, offset.unsigned_abs() % 60);
    text
}

/// Unix seconds of a date in one of HTTP's three forms; `None` for anything else.
///
/// As in nginx the day of the week is not checked, nor is what follows the seconds, and
/// two digits of a year below 70 are of this century. Unlike nginx, a month must be spelt right.
///
/// # Source
///
/// RFC 9110 §5.6.7; `ngx_parse_http_time` of nginx 1.31.
#[must_use]
pub fn parse_http_date(text: &[u8]) -> Option<i64> {
    let separator = text.iter().position(|octet| matches!(octet, b',' | b' '))?;
    let is_asctime = text.get(separator) == Some(&b' ');
    let rest = text.get(separator + 1..)?;
    let rest = rest.get(rest.iter().position(|octet| *octet != b' ')?..)?;
    let mut cursor = Cursor(rest);
    if is_asctime { parse_asctime(&mut cursor) } else { parse_fixed_or_rfc850(&mut cursor) }
}

/// `06 Nov 1994 08:49:37` or `06-Nov-94 08:49:37`.
fn parse_fixed_or_rfc850(cursor: &mut Cursor<'_>) -> Option<i64> {
    let day = cursor.digits(2)?;
    let separator = cursor.next()?;
    let month = cursor.month()?;
    cursor.expect(separator)?;
    let year = match separator {
        b' ' => cursor.digits(4)?,
        b'-' => match cursor.digits(2)? {
            year @ 0..70 => year + 2000,
            year => year + 1900,
        },
        _ => return None,
    };
    cursor.expect(b' ')?;
    let seconds = cursor.clock()?;
    unix_seconds(year, month, day, seconds)
}

/// `Nov  6 08:49:37 1994`.
fn parse_asctime(cursor: &mut Cursor<'_>) -> Option<i64> {
    let month = cursor.month()?;
    cursor.expect(b' ')?;
    let day = match cursor.next()? {
        b' ' => cursor.digits(1)?,
        first @ b'0'..=b'9' => match cursor.next()? {
            b' ' => {
                let seconds = cursor.clock()?;
                cursor.expect(b' ')?;
                return unix_seconds(cursor.digits(4)?, month, u32::from(first - b'0'), seconds);
            }
            second @ b'0'..=b'9' => u32::from(first - b'0') * 10 + u32::from(second - b'0'),
            _ => return None,
        },
        _ => return None,
    };
    cursor.expect(b' ')?;
    let seconds = cursor.clock()?;
    cursor.expect(b' ')?;
    unix_seconds(cursor.digits(4)?, month, day, seconds)
}

/// What is left of a date's text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn expect(&mut self, octet: u8) -> Option<()> {
        (self.next()? == octet).then_some(())
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let digit = self.next()?;
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + u32::from(digit - b'0');
        }
        Some(value)
    }

    /// A month's number, 1 to 12.
    fn month(&mut self) -> Option<u32> {
        let name = self.0.first_chunk::<3>()?;
        let position = MONTHS.iter().position(|month| *month == name)?;
        self.0 = self.0.get(3..)?;
        Some(position as u32 + 1)
    }

    /// Seconds since midnight of `08:49:37`.
    fn clock(&mut self) -> Option<u32> {
        let hour = self.digits(2)?;
        self.expect(b':')?;
        let minute = self.digits(2)?;
        self.expect(b':')?;
        let second = self.digits(2)?;
        (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
    }
}

/// Unix seconds of a day and the seconds since its midnight; `None` where the month has no such day.
fn unix_seconds(year: u32, month: u32, day: u32, seconds: u32) -> Option<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day == 0 || day > last {
        return None;
    }
    // Years that begin in March have their leap day last; days are counted from 1 March of year 0.
    let (year, month) = if month > 2 { (i64::from(year), month - 3) } else { (i64::from(year) - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + i64::from((153 * month + 2) / 5 + day - 1);
    Some((days - DAYS_TO_1970) * 86_400 + i64::from(seconds))
}

/// Appends a time in the form that `format` gives, as C's `strftime` does it in the locale "C".
///
/// `utc_offset_minutes` and `zone`, its short name, are those of local time; 0 and `GMT` for Greenwich. A conversion that
/// there is none of is copied.
///
/// # Source
///
/// POSIX.1-2024, `strftime`; `%s`, `%k`, `%l` and `%P` of the GNU C library.
pub fn strftime(format: &[u8], unix_seconds: i64, utc_offset_minutes: i32, zone: &str, out: &mut Vec<u8>) {
    let offset = clamp_offset(utc_offset_minutes);
    let time = Civil::of(unix_seconds.saturating_add(i64::from(offset) * 60));
    let mut rest = format.iter().copied();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let mut conversion = rest.next();
        if matches!(conversion, Some(b'E' | b'O')) {
            conversion = rest.next(); // Alternatives, of which this locale has none.
        }
        let Some(conversion) = conversion else { return out.push(b'%') };
        let whole: Option<&[u8]> = match conversion {
            b'c' => Some(b"%a %b %e %H:%M:%S %Y"),
            b'D' | b'x' => Some(b"%m/%d/%y"),
            b'F' => Some(b"%Y-%m-%d"),
            b'r' => Some(b"%I:%M:%S %p"),
            b'R' => Some(b"%H:%M"),
            b'T' | b'X' => Some(b"%H:%M:%S"),
            _ => None,
        };
        match whole {
            Some(whole) => strftime(whole, unix_seconds, utc_offset_minutes, zone, out),
            None => match conversion {
                b's' => out.extend_from_slice(unix_seconds.to_string().as_bytes()),
                b'Z' => out.extend_from_slice(zone.as_bytes()),
                b'z' => {
                    let minutes = offset.unsigned_abs();
                    out.push(sign(offset));
                    out.extend_from_slice(format!("{:02}{:02}", minutes / 60, minutes % 60).as_bytes());
                }
                conversion => out.extend_from_slice(time.converted(conversion).as_bytes()),
            },
        }
    }
}

/// A time in the proleptic Gregorian calendar.
struct Civil {
    year: u32,
    /// 1 to 12.
    month: usize,
    day: u32,
    /// Since midnight.
    seconds: u32,
    /// 0 is Sunday.
    weekday: usize,
}

impl Civil {
    fn of(unix_seconds: i64) -> Self {
        let unix_seconds = unix_seconds.clamp(FIRST_SECOND, LAST_SECOND);
        let days = unix_seconds.div_euclid(86_400);
        // Days since 1 March of year 0, in eras of 400 years, which are all of one length.
        let day = days + DAYS_TO_1970;
        let era = day.div_euclid(146_097);
        let day_of_era = day.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: (year_of_era + era * 400 + i64::from(month <= 2)) as u32,
            month: month as usize,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32,
            seconds: unix_seconds.rem_euclid(86_400) as u32,
            weekday: (days + 4).rem_euclid(7) as usize,
        }
    }

    /// What one conversion of [`strftime`] gives.
    fn converted(&self, conversion: u8) -> String {
        let (hour, minute, second) = (self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60);
        let hour_of_12 = (hour + 11) % 12 + 1;
        let from_monday = (self.weekday + 6) % 7;
        let day_of_year = self.day_of_year();
        match conversion {
            b'a' => WEEKDAY_NAMES[self.weekday][..3].to_owned(),
            b'A' => WEEKDAY_NAMES[self.weekday].to_owned(),
            b'b' | b'h' => MONTH_NAMES[self.month - 1][..3].to_owned(),
            b'B' => MONTH_NAMES[self.month - 1].to_owned(),
            b'C' => format!("{:02}", self.year / 100),
            b'd' => format!("{:02}", self.day),
            b'e' => format!("{:2}", self.day),
            b'g' => format!("{:02}", self.week_of_iso_year().0 % 100),
            b'G' => self.week_of_iso_year().0.to_string(),
            b'H' => format!("{hour:02}"),
            b'I' => format!("{hour_of_12:02}"),
            b'j' => format!("{:03}", day_of_year + 1),
            b'k' => format!("{hour:2}"),
            b'l' => format!("{hour_of_12:2}"),
            b'm' => format!("{:02}", self.month),
            b'M' => format!("{minute:02}"),
            b'n' => "\n".to_owned(),
            b'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            b'P' => if hour < 12 { "am" } else { "pm" }.to_owned(),
            b'S' => format!("{second:02}"),
            b't' => "\t".to_owned(),
            b'u' => (from_monday + 1).to_string(),
            b'U' => format!("{:02}", (day_of_year + 7 - self.weekday) / 7),
            b'V' => format!("{:02}", self.week_of_iso_year().1),
            b'w' => self.weekday.to_string(),
            b'W' => format!("{:02}", (day_of_year + 7 - from_monday) / 7),
            b'y' => format!("{:02}", self.year % 100),
            b'Y' => self.year.to_string(),
            b'%' => "%".to_owned(),
            other => format!("%{}", char::from(other)),
        }
    }

    /// Days since 1 January.
    fn day_of_year(&self) -> usize {
        const BEFORE: [usize; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        BEFORE[self.month - 1] + self.day as usize - 1 + usize::from(self.month > 2 && is_leap(self.year))
    }

    /// The year and week of ISO 8601: weeks begin on Monday, the first one has the year's first Thursday.
    fn week_of_iso_year(&self) -> (u32, usize) {
        let weeks_of = |year: u32, january_first: usize| {
            // A year has 53 weeks when it begins on a Thursday, or on a Wednesday and is a leap year.
            52 + usize::from(january_first == 3 || january_first == 2 && is_leap(year))
        };
        let day_of_year = self.day_of_year();
        let from_monday = (self.weekday + 6) % 7;
        let january_first = (from_monday + 371 - day_of_year) % 7;
        match (day_of_year + 10 - from_monday) / 7 {
            0 => {
                let year = self.year.saturating_sub(1);
                let length = 365 + usize::from(is_leap(year));
                (year, weeks_of(year, (january_first + 371 * 2 - length) % 7))
            }
            week if week > weeks_of(self.year, january_first) => (self.year + 1, 1),
            week => (self.year, week),
        }
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn clamp_offset(minutes: i32) -> i32 {
    minutes.clamp(-1439, 1439)
}

fn sign(offset: i32) -> u8 {
    if offset < 0 { b'-' } else { b'+' }
}

fn put_clock(text: &mut [u8], at: usize, time: &Civil) {
    put_2(text, at, time.seconds / 3600);
    put_2(text, at + 3, time.seconds / 60 % 60);
    put_2(text, at + 6, time.seconds % 60);
}

fn put_4(text: &mut [u8], at: usize, number: u32) {
    put_2(text, at, number / 100);
    put_2(text, at + 2, number % 100);
}

fn put_2(text: &mut [u8], at: usize, number: u32) {
    text[at] = b'0' + (number / 10 % 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

const WEEKDAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
/// Days from 1 March of year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;
/// 1 January of year 0.
const FIRST_SECOND: i64 = -62_167_219_200;
/// The last second of year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

const WEEKDAY_NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn http(seconds: i64) -> String {
        String::from_utf8(format_http_date(seconds).to_vec()).expect("ascii")
    }

    #[test]
    fn http_dates_are_written() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
            (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (i64::MIN, "Sat, 01 Jan 0000 00:00:00 GMT"),
        ] {
            assert_eq!(http(seconds), text);
        }
    }

    #[test]
    fn log_times_are_written() {
        let seconds = 1_795_224_710;
        assert_eq!(&format_log_time(seconds, 0), b"21/Nov/2026:01:31:50 +0000");
        assert_eq!(&format_log_time(seconds, -210), b"20/Nov/2026:22:01:50 -0330");
        assert_eq!(&format_error_log_time(seconds, 540), b"2026/11/21 10:31:50");
        assert_eq!(&format_iso8601(seconds, 345), b"2026-11-21T07:16:50+05:45");
        assert_eq!(&format_iso8601(seconds, i32::MIN)[19..], b"-23:59");
    }

    #[test]
    fn three_forms_are_read() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov 06 08:49:37 1994",
            "Mon,06 Nov 1994 08:49:37",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), Some(784_111_777), "{text}");
        }
        assert_eq!(parse_http_date(b"Tuesday, 29-Feb-00 12:34:56 GMT"), Some(951_827_696));
        assert_eq!(parse_http_date(b"Fri, 25 Feb 2174 09:42:23 GMT"), Some(0x1_7FFF_FFFF));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            " ",
            ",",
            "0",
            "Sun",
            "Sun,",
            "wrong",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:60 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06-Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:3",
            "Sun Nov 6 08:49:37",
            "Sun, 06/Nov/1994 08:49:37 GMT",
            "Sun Nov x6 08:49:37 1994",
            "Sun, 06 Nov 1994T08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn dates_go_both_ways(seconds in FIRST_SECOND..=LAST_SECOND) {
            prop_assert_eq!(parse_http_date(&format_http_date(seconds)), Some(seconds));
        }

        #[test]
        fn any_octets_are_survived(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_http_date(&text);
        }
    }

    /// As `date -u -d @SECONDS +FORMAT` of the GNU coreutils writes them.
    #[test]
    fn times_are_written_in_any_form() {
        let text = |format: &str, seconds: i64| {
            let mut out = Vec::new();
            strftime(format.as_bytes(), seconds, 0, "GMT", &mut out);
            String::from_utf8(out).expect("text")
        };
        let time = 1_767_607_205; // 2026-01-05 10:00:05
        assert_eq!(text("%A, %d-%b-%Y %H:%M:%S %Z", time), "Monday, 05-Jan-2026 10:00:05 GMT");
        assert_eq!(
            text("%c|%D|%F|%r|%R|%T", time),
            "Mon Jan  5 10:00:05 2026|01/05/26|2026-01-05|10:00:05 AM|10:00|10:00:05"
        );
        assert_eq!(
            text("%B %e %j %k %l %p %P %u %w %y %C %s %z %% %n%t", time),
            "January  5 005 10 10 AM am 1 1 26 20 1767607205 +0000 % \n\t"
        );
        assert_eq!(text("%G %V %g %U %W", time), "2026 02 26 01 01");
        assert_eq!(text("%G-%V %U %W", 1_609_459_200), "2020-53 00 00"); // 2021-01-01
        assert_eq!(text("%G-%V %U %W %j", 1_735_603_200), "2025-01 52 53 366"); // 2024-12-31
        assert_eq!(text("%G-%V", 1_451_606_400), "2015-53"); // 2016-01-01
        assert_eq!(text("%EY %q %", time), "2026 %q %");
        let mut out = Vec::new();
        strftime(b"%H:%M %z %Z", time, -150, "NST", &mut out);
        assert_eq!(out, b"07:30 -0230 NST");
    }
}
