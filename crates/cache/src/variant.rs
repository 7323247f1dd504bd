//! `Vary`: which of several answers with the same key is for a request.
//!
//! # Source
//!
//! RFC 9111 §4.1. Values are compared as nginx does: lists of what a client accepts without regard to spaces and empty members,
//! all others octet by octet.

use daemun_http::{HeaderId, Headers};
use md_5::{Digest, Md5};

use crate::zone::Key;

/// The sum of a key and the request's fields that `vary` names.
#[must_use]
pub fn variant(main: &Key, vary: &[u8], headers: &Headers) -> Key {
    let mut sum = Md5::new_with_prefix(main);
    for name in members(vary) {
        sum.update(name.to_ascii_lowercase());
        sum.update(b":");
        let id = HeaderId::of(name);
        let is_list = matches!(id, HeaderId::AcceptCharset | HeaderId::AcceptEncoding | HeaderId::AcceptLanguage);
        let of_name = headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
        let mut is_first = true;
        let mut add = |text: &[u8]| {
            if !std::mem::take(&mut is_first) {
                sum.update(b",");
            }
            sum.update(text);
        };
        for value in of_name {
            if is_list { members(value).for_each(&mut add) } else { add(value) }
        }
        sum.update(b"\r\n");
    }
    sum.finalize().into()
}

fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|octet| matches!(octet, b',' | b' ')).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vary: &str, fields: &[(&str, &str)]) -> Key {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name.as_bytes(), value.as_bytes());
        }
        variant(&[1; 16], vary.as_bytes(), &headers)
    }

    #[test]
    fn named_fields_make_the_difference() {
        assert_ne!(of("Foo", &[("Foo", "a")]), of("Foo", &[("Foo", "b")]));
        assert_ne!(of("Foo", &[("Foo", "a")]), of("Foo", &[]));
        assert_eq!(of("Foo", &[("Foo", "a"), ("Bar", "c")]), of(",, fOO ,", &[("foo", "a")]));
        assert_ne!(of("Foo", &[("Foo", "a,b")]), of("Foo", &[("Foo", "a, b")]));
    }

    #[test]
    fn spaces_in_lists_make_none() {
        let accepts = |value| of("Accept-Encoding", &[("Accept-Encoding", value)]);
        assert_eq!(accepts("foo, bar"), accepts("foo,,  ,bar , "));
        assert_ne!(accepts("foo, bar"), accepts("foobar"));
        assert_ne!(accepts("foo, bar"), accepts("bar, foo"));
    }
}
