//! A directive as data: where it may stand, how many words it takes, what it sets.

use std::ops::BitOr;

use crate::argument::{ArgumentError, Arguments};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::tree::Node;

/// Places that a directive may stand in: a set of kinds of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Context(u32);

impl Context {
    /// Outside every block.
    pub const MAIN: Self = Self(1);
    /// `events { }`
    pub const EVENTS: Self = Self(1 << 1);
    /// `http { }`
    pub const HTTP: Self = Self(1 << 2);
    /// `server { }` in `http`
    pub const SERVER: Self = Self(1 << 3);
    /// `location { }`
    pub const LOCATION: Self = Self(1 << 4);
    /// `upstream { }` in `http`
    pub const UPSTREAM: Self = Self(1 << 5);
    /// `if ( ) { }` in `server`
    pub const IF_IN_SERVER: Self = Self(1 << 6);
    /// `if ( ) { }` in `location`
    pub const IF_IN_LOCATION: Self = Self(1 << 7);
    /// `limit_except { }`
    pub const LIMIT_EXCEPT: Self = Self(1 << 8);
    /// `types { }`, whose entries are no directives
    pub const TYPES: Self = Self(1 << 9);
    /// `map { }`, whose entries are no directives
    pub const MAP: Self = Self(1 << 10);
    /// `geo { }`, whose entries are no directives
    pub const GEO: Self = Self(1 << 11);
    /// `split_clients { }`, whose entries are no directives
    pub const SPLIT_CLIENTS: Self = Self(1 << 12);
    /// `charset_map { }`, whose entries are no directives
    pub const CHARSET_MAP: Self = Self(1 << 13);
    /// `app { }`: an application pool
    pub const APP: Self = Self(1 << 14);
    /// `stream { }`
    pub const STREAM: Self = Self(1 << 15);
    /// `server { }` in `stream`
    pub const STREAM_SERVER: Self = Self(1 << 16);
    /// `upstream { }` in `stream`
    pub const STREAM_UPSTREAM: Self = Self(1 << 17);
    /// `mail { }`
    pub const MAIL: Self = Self(1 << 18);
    /// `server { }` in `mail`
    pub const MAIL_SERVER: Self = Self(1 << 19);
    /// Nowhere: the start of a set.
    pub const NONE: Self = Self(0);
    /// Everywhere.
    pub const ANY: Self = Self(u32::MAX);

    /// The set of both; `const`, so that tables can use it (`|` cannot be used there).
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two sets have a place in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The places of the set in words, for hints and manuals: `http`, `server`, `if in location`.
    pub fn names(self) -> Vec<&'static str> {
        if self == Self::ANY {
            return vec!["any"];
        }
        CONTEXT_NAMES.iter().filter(|(context, _)| self.intersects(*context)).map(|&(_, name)| name).collect()
    }
}

impl BitOr for Context {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

/// How many words a directive takes behind its name, and whether a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// This many words and `;`.
    Exactly(u8),
    /// From the first to the second number of words, both included, and `;`.
    Between(u8, u8),
    /// This many words or more and `;`.
    AtLeast(u8),
    /// One of these numbers of words and `;`.
    OneOf(&'static [u8]),
    /// `on` or `off` and `;`.
    Flag,
    /// From `min` to `max` words, both included, and a block; `u8::MAX` means without bound.
    Block {
        /// Fewest words.
        min: u8,
        /// Most words.
        max: u8,
    },
}

impl Arity {
    /// Whether a block must follow.
    pub const fn is_block(self) -> bool {
        matches!(self, Self::Block { .. })
    }

    /// Whether this many words are right.
    pub fn allows(self, count: usize) -> bool {
        match self {
            Self::Exactly(number) => count == usize::from(number),
            Self::Between(min, max) => (usize::from(min)..=usize::from(max)).contains(&count),
            Self::AtLeast(min) => count >= usize::from(min),
            Self::OneOf(numbers) => numbers.iter().any(|&number| count == usize::from(number)),
            Self::Flag => count == 1,
            Self::Block { min, max } => count >= usize::from(min) && (max == u8::MAX || count <= usize::from(max)),
        }
    }

    /// The number of words in words: `1 argument`, `1 or 2 arguments`, `"on" or "off"`.
    pub fn describe(self) -> String {
        match self {
            Self::Exactly(0) | Self::Block { min: 0, max: 0 } => "no arguments".to_owned(),
            Self::Exactly(1) | Self::Block { min: 1, max: 1 } => "1 argument".to_owned(),
            Self::Exactly(number) => format!("{number} arguments"),
            Self::Between(min, max) if min == max => Self::Exactly(min).describe(),
            Self::Between(min, max) if min.checked_add(1) == Some(max) => format!("{min} or {max} arguments"),
            Self::Between(min, max) => format!("{min} to {max} arguments"),
            Self::AtLeast(1) => "1 argument or more".to_owned(),
            Self::AtLeast(min) => format!("{min} arguments or more"),
            Self::OneOf(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
                format!("{} arguments", numbers.join(" or "))
            }
            Self::Flag => "\"on\" or \"off\"".to_owned(),
            Self::Block { min, max: u8::MAX } => Self::AtLeast(min).describe(),
            Self::Block { min, max } => Self::Between(min, max).describe(),
        }
    }
}

/// One directive: an entry of a table next to its handler. `C` is what it sets.
#[derive(Debug)]
pub struct Directive<C: 'static> {
    /// Its name.
    pub name: &'static str,
    /// Where it may stand.
    pub contexts: Context,
    /// How many words it takes, and whether a block.
    pub arity: Arity,
    /// What holds without it, for the manual.
    pub default: &'static str,
    /// One line for the manual and for `-h`.
    pub help: &'static str,
    /// Takes its words into the settings.
    pub set: fn(&mut C, &mut Arguments<'_>) -> Result<(), ArgumentError>,
}

impl<C: 'static> Clone for Directive<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: 'static> Copy for Directive<C> {}

impl<C: 'static> Directive<C> {
    /// Checks place, end and number of words of `node`, which stands in `current`.
    ///
    /// # Errors
    ///
    /// As [`check_directive`].
    pub fn check(&self, node: &Node, current: Context) -> Result<(), Diagnostic> {
        check_directive(node, current, self.contexts, self.arity)
    }

    /// Checks `node`, then takes its words into `settings`.
    ///
    /// # Errors
    ///
    /// What [`check_directive`] or the setter says; warnings of the setter are put into `diagnostics`.
    pub fn apply(
        &self,
        node: &Node,
        current: Context,
        settings: &mut C,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        self.check(node, current)?;
        let mut arguments = Arguments::new(node, diagnostics);
        (self.set)(settings, &mut arguments).map_err(|error| error.into_diagnostic(node))
    }
}

/// Checks a node against its directive, in nginx's order and words: place, then `;` or `{`, then number of words.
///
/// `current` is the one place that the node stands in, `allowed` and `arity` are the directive's.
///
/// # Errors
///
/// What is wrong, as a message at the word that is wrong.
pub fn check_directive(node: &Node, current: Context, allowed: Context, arity: Arity) -> Result<(), Diagnostic> {
    let name = &node.name.text;
    let error = |message: String| Diagnostic::error(node.name.span, message);
    if !allowed.intersects(current) {
        return Err(error(format!("\"{name}\" directive is not allowed here")).with_hint(place_hint(current, allowed)));
    }
    if node.block.is_some() && !arity.is_block() {
        let hint = "is a \";\" missing before the \"{\", or are quotes around a word that contains one?";
        return Err(error(format!("directive \"{name}\" is not terminated by \";\"")).with_hint(hint));
    }
    if node.block.is_none() && arity.is_block() {
        return Err(error(format!("directive \"{name}\" has no opening \"{{\"")));
    }
    if !arity.allows(node.args.len()) {
        let message = format!("invalid number of arguments in \"{name}\" directive");
        return Err(match word_on_next_line(node) {
            Some(line) => error(message).with_hint(format!("is a \";\" missing at the end of line {line}?")),
            None => error(message).with_hint(count_hint(arity, node.args.len())),
        });
    }
    Ok(())
}

/// The error for a name that no table has, with the nearest of `known`.
pub fn unknown_directive<'a>(node: &Node, known: impl Iterator<Item = &'a str>) -> Diagnostic {
    let name = &node.name.text;
    Diagnostic::error(node.name.span, format!("unknown directive \"{name}\"")).with_suggestion(nearest(name, known))
}

/// The line that probably lacks its `;`: the first after which the directive goes on in another line.
fn word_on_next_line(node: &Node) -> Option<u32> {
    let mut line = node.name.span.line;
    for word in &node.args {
        if word.span.line != line {
            return Some(line);
        }
        line = word.span.line;
    }
    None
}

fn count_hint(arity: Arity, count: usize) -> String {
    let seen = match count {
        0 => "here is none".to_owned(),
        1 => "here is 1".to_owned(),
        _ => format!("here are {count}"),
    };
    format!("it takes {}; {seen}", arity.describe())
}

fn place_hint(current: Context, allowed: Context) -> String {
    let list =
        |context: Context| context.names().iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    if allowed == Context::MAIN {
        format!("this is inside {}; it may stand outside every block only", list(current))
    } else if current == Context::MAIN {
        format!("this is outside every block; it may stand in {}", list(allowed))
    } else {
        format!("this is inside {}; it may stand in {}", list(current), list(allowed))
    }
}

static CONTEXT_NAMES: [(Context, &str); 20] = [
    (Context::MAIN, "main"),
    (Context::EVENTS, "events"),
    (Context::HTTP, "http"),
    (Context::SERVER, "server"),
    (Context::LOCATION, "location"),
    (Context::UPSTREAM, "upstream"),
    (Context::IF_IN_SERVER, "if in server"),
    (Context::IF_IN_LOCATION, "if in location"),
    (Context::LIMIT_EXCEPT, "limit_except"),
    (Context::TYPES, "types"),
    (Context::MAP, "map"),
    (Context::GEO, "geo"),
    (Context::SPLIT_CLIENTS, "split_clients"),
    (Context::CHARSET_MAP, "charset_map"),
    (Context::APP, "app"),
    (Context::STREAM, "stream"),
    (Context::STREAM_SERVER, "server in stream"),
    (Context::STREAM_UPSTREAM, "upstream in stream"),
    (Context::MAIL, "mail"),
    (Context::MAIL_SERVER, "server in mail"),
];
