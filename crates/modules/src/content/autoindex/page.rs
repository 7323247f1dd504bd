//! The list of a directory as HTML, XML and JSON, octet by octet as nginx writes it.

use std::borrow::Cow;

use daemun_http::{date, target};
use daemun_server::clock;

use super::{Entry, Kind};
use crate::escape;

/// How an HTML page shows sizes and times.
pub(super) struct Form {
    pub(super) has_exact_size: bool,
    pub(super) has_local_time: bool,
}

/// Characters of a name on a page; what is longer is cut and ends in `..>`.
const NAME_LENGTH: usize = 50;

/// The page for the directory `uri`.
pub(super) fn html(uri: &[u8], entries: &[Entry], form: &Form) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + 160 * entries.len());
    out.extend_from_slice(b"<html>\r\n<head><title>Index of ");
    escape::html(uri, &mut out);
    out.extend_from_slice(b"</title></head>\r\n<body>\r\n<h1>Index of ");
    escape::html(uri, &mut out);
    out.extend_from_slice(b"</h1><hr><pre><a href=\"../\">../</a>\r\n");
    for entry in entries {
        write_link(entry, &mut out);
        out.push(b' ');
        write_time(entry.modified, form.has_local_time, &mut out);
        out.extend_from_slice(size_text(entry, form.has_exact_size).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"</pre><hr></body>\r\n</html>\r\n");
    out
}

/// The link, and blanks behind it up to the column of the times.
fn write_link(entry: &Entry, out: &mut Vec<u8>) {
    let is_directory = entry.kind == Kind::Directory;
    out.extend_from_slice(b"<a href=\"");
    target::escape_component(&entry.name, out);
    if is_directory {
        out.push(b'/');
    }
    out.extend_from_slice(b"\">");
    let (mut length, shown) = fitting(&entry.name);
    escape::html(shown, out);
    if length > NAME_LENGTH {
        out.extend_from_slice(b"..&gt;</a>");
        return;
    }
    if is_directory && length < NAME_LENGTH {
        out.push(b'/');
        length += 1;
    }
    out.extend_from_slice(b"</a>");
    out.resize(out.len() + NAME_LENGTH - length, b' ');
}

/// The name's length, and as much of it as is shown. A text is counted and cut by characters, as nginx does it where
/// `charset` is utf-8: a name that is cut within a character is no text.
fn fitting(name: &[u8]) -> (usize, &[u8]) {
    let cut = NAME_LENGTH - 3;
    match std::str::from_utf8(name) {
        Ok(text) => {
            let length = text.chars().count();
            let end = text.char_indices().nth(cut).filter(|_| length > NAME_LENGTH).map_or(name.len(), |(at, _)| at);
            (length, &name[..end])
        }
        Err(_) if name.len() > NAME_LENGTH => (name.len(), &name[..cut]),
        Err(_) => (name.len(), name),
    }
}

/// `28-Sep-1970 12:00 `
fn write_time(modified: i64, is_local: bool, out: &mut Vec<u8>) {
    let offset = if is_local { clock::utc_offset_minutes(clock::unix_seconds()) } else { 0 };
    let [day @ .., _, _, _, _, _, _, _, _, _] = date::format_log_time(modified, offset);
    let mut text: [u8; 17] = day;
    (text[2], text[6], text[11]) = (b'-', b'-', b' ');
    out.extend_from_slice(&text);
    out.push(b' ');
}

fn size_text(entry: &Entry, is_exact: bool) -> Cow<'static, str> {
    const KILO: u64 = 1 << 10;
    const MEGA: u64 = 1 << 20;
    const GIGA: u64 = 1 << 30;
    let rounded = |unit: u64| entry.size / unit + u64::from(entry.size % unit > unit / 2 - 1);
    match (entry.kind, is_exact) {
        (Kind::Directory, true) => "                  -".into(),
        (Kind::Directory, false) => "      -".into(),
        (_, true) => format!("{:19}", entry.size).into(),
        (_, false) => match entry.size {
            GIGA.. => format!("{:6}G", rounded(GIGA)),
            MEGA.. => format!("{:6}M", rounded(MEGA)),
            10_000.. => format!("{:6}K", rounded(KILO)),
            size => format!(" {size:6}"),
        }
        .into(),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "directory",
        Kind::File => "file",
        Kind::Other => "other",
    }
}

/// `<file mtime="..." size="...">name</file>` for each entry.
pub(super) fn xml(entries: &[Entry]) -> Vec<u8> {
    let mut out = b"<?xml version=\"1.0\"?>\r\n<list>\r\n".to_vec();
    for entry in entries {
        let kind = kind_name(entry.kind);
        let time = date::format_iso8601(entry.modified, 0);
        out.extend_from_slice(format!("<{kind} mtime=\"").as_bytes());
        out.extend_from_slice(&time[.."0000-00-00T00:00:00".len()]);
        out.extend_from_slice(b"Z\"");
        if entry.kind == Kind::File {
            out.extend_from_slice(format!(" size=\"{}\"", entry.size).as_bytes());
        }
        out.push(b'>');
        escape::html(&entry.name, &mut out);
        out.extend_from_slice(format!("</{kind}>\r\n").as_bytes());
    }
    out.extend_from_slice(b"</list>\r\n");
    out
}

/// A list of objects, handed to `callback` where there is one.
pub(super) fn json(entries: &[Entry], callback: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 120 * entries.len());
    if let Some(callback) = callback {
        out.extend_from_slice(b"/* callback */\r\n");
        out.extend_from_slice(callback);
        out.push(b'(');
    }
    out.push(b'[');
    for (number, entry) in entries.iter().enumerate() {
        out.extend_from_slice(if number == 0 { b"\r\n{ \"name\":\"" } else { b",\r\n{ \"name\":\"" });
        escape::json(&entry.name, &mut out);
        out.extend_from_slice(format!("\", \"type\":\"{}\", \"mtime\":\"", kind_name(entry.kind)).as_bytes());
        out.extend_from_slice(&date::format_http_date(entry.modified));
        out.push(b'"');
        if entry.kind == Kind::File {
            out.extend_from_slice(format!(", \"size\":{}", entry.size).as_bytes());
        }
        out.extend_from_slice(b" }");
    }
    out.extend_from_slice(b"\r\n]");
    if callback.is_some() {
        out.extend_from_slice(b");");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_nginx_rounds_them() {
        let shown =
            |size| size_text(&Entry { name: Vec::new(), kind: Kind::File, modified: 0, size }, false).trim().to_owned();
        for (size, expected) in [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10K"),
            (10_751, "10K"),
            (10_752, "11K"),
            (1_048_575, "1024K"),
            (1_048_576, "1M"),
            (1_572_863, "1M"),
            (1_572_864, "2M"),
            (1_610_612_736, "2G"),
        ] {
            assert_eq!(shown(size), expected, "{size}");
        }
    }

    #[test]
    fn names_are_cut_between_characters() {
        let long = "ф".repeat(51);
        assert_eq!(fitting(long.as_bytes()), (51, "ф".repeat(47).as_bytes()));
        let fits = "ф".repeat(50);
        assert_eq!(fitting(fits.as_bytes()), (50, fits.as_bytes()));
        assert_eq!(fitting(&[0xff; 51]), (51, &[0xff; 47][..]));
    }
}
