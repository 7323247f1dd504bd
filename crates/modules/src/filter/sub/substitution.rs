//! Texts replaced in a body as it passes.

use daemun_server::response::BodyError;

use crate::coded_body::Coder;

/// A text, compared without case, and what stands in its place.
pub(super) struct Pair {
    text: Vec<u8>,
    replacement: Vec<u8>,
    /// Replaced once already, where that is all.
    is_spent: bool,
}

impl Pair {
    pub(super) fn new(mut text: Vec<u8>, replacement: Vec<u8>) -> Self {
        text.make_ascii_lowercase();
        Self { text, replacement, is_spent: false }
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// What of a text stands at a place.
enum Found {
    Nothing,
    /// The octets so far are the text's, which would go on.
    Beginning,
    /// The text of this pair.
    Whole(usize),
}

/// Replaces texts: the one that begins first, of several at one place the one that the configuration has first.
///
/// Octets are held back only while they may be the beginning of a text, [`Pair`]'s longest at most.
pub(super) struct Substitution {
    pairs: Vec<Pair>,
    is_once: bool,
    /// Octets a text that is still looked for may begin with, in both cases.
    beginnings: Beginnings,
    /// Held back: the beginning of a text, perhaps.
    held: Vec<u8>,
}

impl Substitution {
    pub(super) fn new(pairs: Vec<Pair>, is_once: bool) -> Self {
        let beginnings = Beginnings::of(&pairs);
        Self { pairs, is_once, beginnings, held: Vec::new() }
    }

    /// Replaces in `octets`; what may go on behind their end is held back unless this is the end.
    fn run(&mut self, octets: &[u8], is_end: bool, out: &mut Vec<u8>) {
        let mut at = 0;
        while let Some(found) = self.beginnings.find(&octets[at..]) {
            out.extend_from_slice(&octets[at..at + found]);
            at += found;
            match self.look(&octets[at..], is_end) {
                Found::Beginning => {
                    self.held.extend_from_slice(&octets[at..]);
                    return;
                }
                Found::Whole(number) => {
                    let pair = &mut self.pairs[number];
                    out.extend_from_slice(&pair.replacement);
                    at += pair.text.len();
                    if self.is_once {
                        pair.is_spent = true;
                        self.beginnings = Beginnings::of(&self.pairs);
                    }
                }
                Found::Nothing => {
                    out.push(octets[at]);
                    at += 1;
                }
            }
        }
        out.extend_from_slice(&octets[at..]);
    }

    /// What `octets` begin with. At the end a longer text gives way to one that is whole.
    fn look(&self, octets: &[u8], is_end: bool) -> Found {
        for (number, pair) in self.pairs.iter().enumerate().filter(|(_, pair)| !pair.is_spent) {
            let length = octets.len().min(pair.text.len());
            if is_end && length < pair.text.len() {
                continue;
            }
            if octets[..length].eq_ignore_ascii_case(&pair.text[..length]) {
                return if length == pair.text.len() { Found::Whole(number) } else { Found::Beginning };
            }
        }
        Found::Nothing
    }
}

impl Coder for Substitution {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        if self.held.is_empty() {
            self.run(octets, false, out);
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(octets);
            self.run(&joined, false, out);
        }
        Ok(())
    }

    /// What is held back may still become a text.
    fn flush(&mut self, _: &mut Vec<u8>) -> Result<(), BodyError> {
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        let held = std::mem::take(&mut self.held);
        self.run(&held, true, out);
        Ok(())
    }
}

/// The octets that texts begin with, in both cases.
enum Beginnings {
    None,
    One(u8),
    Two(u8, u8),
    Many(Box<[bool; 256]>),
}

impl Beginnings {
    fn of(pairs: &[Pair]) -> Self {
        let mut octets: Vec<u8> = Vec::new();
        for first in pairs.iter().filter(|pair| !pair.is_spent).filter_map(|pair| pair.text.first()) {
            octets.extend([first.to_ascii_lowercase(), first.to_ascii_uppercase()]);
        }
        octets.sort_unstable();
        octets.dedup();
        match octets.as_slice() {
            [] => Self::None,
            [one] => Self::One(*one),
            [one, other] => Self::Two(*one, *other),
            several => {
                let mut table = Box::new([false; 256]);
                for octet in several {
                    table[usize::from(*octet)] = true;
                }
                Self::Many(table)
            }
        }
    }

    fn find(&self, octets: &[u8]) -> Option<usize> {
        match self {
            Self::None => None,
            Self::One(one) => memchr::memchr(*one, octets),
            Self::Two(one, other) => memchr::memchr2(*one, *other, octets),
            Self::Many(table) => octets.iter().position(|octet| table[usize::from(*octet)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pairs: &[(&str, &str)], is_once: bool, text: &str, size: usize) -> String {
        let pairs = pairs.iter().map(|(text, other)| Pair::new((*text).into(), (*other).into())).collect();
        let mut substitution = Substitution::new(pairs, is_once);
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            substitution.push(piece, &mut out).expect("no error");
        }
        substitution.finish(&mut out).expect("no error");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn texts_are_found_wherever_pieces_end() {
        for (pairs, is_once, text, expected) in [
            (&[("foo", "bar")][..], false, "foofOofo", "barbarfo"),
            (&[("foo", "bar")], true, "xfoofoo", "xbarfoo"),
            (&[("ababX", "!")], true, "abababX", "ab!"),
            (&[("aab", "+")], false, "aaaabaab", "aa++"),
            (&[("aabb", "+"), ("aaabb", "-")], false, "aaabb aabb", "- +"),
            (&[("abc", "long"), ("ab", "short")], false, "abc ab abd", "long short shortd"),
            (&[("ab", "short"), ("abc", "long")], false, "abc", "shortc"),
            (&[("a", "1"), ("b", "2")], true, "abab", "12ab"),
            (&[("abcd", "1"), ("b", "2")], false, "abcabcd", "a2c1"),
            (&[("x", "")], false, "axbxc", "abc"),
            (&[("abc", "long"), ("ab", "short")], false, "cab", "cshort"),
        ] {
            for size in 1..=text.len() {
                assert_eq!(replaced(pairs, is_once, text, size), expected, "{text} in pieces of {size}");
            }
        }
    }

    #[test]
    fn only_what_may_become_a_text_is_held_back() {
        let mut substitution = Substitution::new(vec![Pair::new("za".into(), "ZA".into())], true);
        let mut out = Vec::new();
        substitution.push(b"xyz", &mut out).expect("no error");
        assert_eq!(out, b"xy");
        substitution.push(b"z", &mut out).expect("no error");
        assert_eq!(out, b"xyz");
    }
}
