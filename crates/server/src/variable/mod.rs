//! Variables and the texts they stand in.

mod registry;
mod table;
mod values;

use std::sync::OnceLock;

use bytes::Bytes;
use daemun_conf::Span;

use crate::config::size_of;
use crate::log::Level;
use crate::module::AnyModule;
use crate::request::Request;

pub use registry::{
    Compute, Declared, Definition, Registry, VariableId, declare_assigned, declare_captured, declare_computed,
    declare_default,
};
pub(crate) use registry::{close as close_registry, open as open_registry};
pub use table::{CORE_VARIABLES, header_by_name};
pub use values::{Captures, Values};

/// A variable of the configuration language.
#[derive(Clone, Copy)]
pub struct Variable {
    /// The name without `$`; one that ends in `_` (`arg_`) stands for all names that start so.
    pub name: &'static str,
    /// Appends the value to `out`; the second argument is what follows the prefix. False where it has none.
    pub evaluate: fn(&Request, &str, &mut Vec<u8>) -> bool,
}

/// A text with variables, as `"$scheme://$host$request_uri"`.
#[derive(Clone, Default)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone)]
enum Part {
    Literal(Bytes),
    Variable {
        evaluate: fn(&Request, &str, &mut Vec<u8>) -> bool,
        suffix: Box<str>,
    },
    /// A variable of the configuration, or one whose name may still be declared.
    Declared(VariableId),
    /// `$1` to `$9`.
    Capture(usize),
}

impl Part {
    /// Appends the value of a variable, or the literal; false for a variable without a value.
    fn write(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Literal(text) => {
                out.extend_from_slice(text);
                true
            }
            Self::Variable { evaluate, suffix } => evaluate(request, suffix, out),
            Self::Declared(id) => values::evaluate(request, *id, out),
            Self::Capture(number) => request.values.capture(*number, out),
        }
    }
}

/// A variable that a request may give a value.
#[derive(Clone, Copy, Debug)]
pub enum Assignable {
    /// `$args`: the request's own.
    Arguments,
    /// `$limit_rate`: octets of the answer in a second.
    LimitRate,
    /// A variable of the configuration.
    Variable(VariableId),
}

impl Assignable {
    /// Gives the variable a value for `request`.
    pub fn assign(&self, request: &mut Request, value: Vec<u8>) {
        match self {
            Self::Arguments => {
                request.args = value;
                request.is_target_intact = false;
            }
            Self::LimitRate => match size_of(&value) {
                Some(rate) => request.limit_rate = Some(rate),
                None => {
                    let shown = String::from_utf8_lossy(&value);
                    request.log(Level::Error, format_args!("invalid $limit_rate \"{shown}\""));
                }
            },
            Self::Variable(id) => request.values.assign(*id, value),
        }
    }
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No module defines the variable.
    #[error("unknown \"{0}\" variable")]
    Unknown(String),
    /// `${` without `}`.
    #[error("the closing bracket in \"{0}\" variable is missing")]
    Unclosed(String),
    /// A `$` with nothing behind it.
    #[error("invalid variable name")]
    Empty,
    /// A variable of the program cannot be declared again.
    #[error("the duplicate \"{0}\" variable")]
    Duplicate(String),
}

/// Makes the variables of all modules known. Called once, before any configuration is read.
pub fn install(modules: &'static [&'static dyn AnyModule]) {
    MODULE_VARIABLES.get_or_init(|| modules.iter().flat_map(|module| module.variables()).copied().collect());
}

static MODULE_VARIABLES: OnceLock<Vec<Variable>> = OnceLock::new();

impl Template {
    /// A text without variables.
    #[must_use]
    pub fn constant(text: impl AsRef<[u8]>) -> Self {
        Self { parts: vec![Part::Literal(Bytes::copy_from_slice(text.as_ref()))] }
    }

    /// Reads a text with `$name` and `${name}`.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_at(text, None)
    }

    /// As [`Template::parse`]; `span` is where a variable that nobody declares is reported.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn parse_at(text: &str, span: Option<Span>) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            push_literal(&mut parts, &rest[..at]);
            let behind = &rest[at + 1..];
            if let Some(digit @ '1'..='9') = behind.chars().next() {
                parts.push(Part::Capture(digit as usize - '0' as usize));
                rest = &behind[1..];
                continue;
            }
            let (name, after) = split_name(behind)?;
            parts.push(resolve(name, span)?);
            rest = after;
        }
        push_literal(&mut parts, rest);
        Ok(Self { parts })
    }

    /// The text, where no variable stands in it.
    #[must_use]
    pub fn as_constant(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [] => Some(b""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether the text begins with something else than `/` or a variable: a path below the prefix.
    #[must_use]
    pub fn begins_relative(&self) -> bool {
        match self.parts.first() {
            Some(Part::Literal(text)) => text.first() != Some(&b'/'),
            Some(_) => false,
            None => true,
        }
    }

    /// Puts `text` before what is there.
    pub fn prepend(&mut self, text: &[u8]) {
        match self.parts.first_mut() {
            Some(Part::Literal(first)) => *first = [text, first].concat().into(),
            _ => self.parts.insert(0, Part::Literal(Bytes::copy_from_slice(text))),
        }
    }

    /// Appends the value for `request` to `out`. A variable without a value gives nothing.
    pub fn render(&self, request: &Request, out: &mut Vec<u8>) {
        self.render_or(request, out, b"");
    }

    /// As [`Template::render`], with `missing` in place of a variable without a value, passing each
    /// variable's octets to `escape` when it is given.
    pub fn render_or(&self, request: &Request, out: &mut Vec<u8>, missing: &[u8]) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                variable => {
                    if !variable.write(request, out) {
                        out.extend_from_slice(missing);
                    }
                }
            }
        }
    }

    /// As [`Template::render`]; after each variable `finish` is told where in `out` its value begins and whether it
    /// has one, and may change what was appended.
    pub fn render_each(&self, request: &Request, out: &mut Vec<u8>, mut finish: impl FnMut(&mut Vec<u8>, usize, bool)) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                variable => {
                    let start = out.len();
                    let has_value = variable.write(request, out);
                    finish(out, start, has_value);
                }
            }
        }
    }

    /// Appends each piece by `write`: the text, and whether it is a variable's value (`None`: it has none).
    pub fn for_each(&self, request: &Request, mut write: impl FnMut(Option<&[u8]>, bool)) {
        let mut value = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => write(Some(text), false),
                variable => {
                    value.clear();
                    let has_value = variable.write(request, &mut value);
                    write(has_value.then_some(value.as_slice()), true);
                }
            }
        }
    }

    /// Appends the replacement of a rewrite; `escape` is asked what becomes of each group `$1`, told whether a literal `?` stands
    /// before it. Gives the place in `out` of the octet behind the first literal `?`.
    pub fn render_replacement(
        &self,
        request: &Request,
        out: &mut Vec<u8>,
        escape: impl Fn(bool, &[u8], &mut Vec<u8>),
    ) -> Option<usize> {
        let mut arguments = None;
        let mut value = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => {
                    let mark = text.iter().position(|octet| *octet == b'?').map(|at| out.len() + at + 1);
                    arguments = arguments.or(mark);
                    out.extend_from_slice(text);
                }
                Part::Capture(number) => {
                    value.clear();
                    request.values.capture(*number, &mut value);
                    escape(arguments.is_some(), &value, out);
                }
                variable => {
                    variable.write(request, out);
                }
            }
        }
        arguments
    }

    /// The value for `request` as a body: a text without variables is the same octets each time.
    #[must_use]
    pub fn body(&self, request: &Request) -> Bytes {
        match self.parts.as_slice() {
            [Part::Literal(text)] => text.clone(),
            _ => self.value(request).into(),
        }
    }

    /// Whether the text is neither empty nor `0`.
    #[must_use]
    pub fn is_true(&self, request: &Request) -> bool {
        !matches!(self.value(request).as_slice(), b"" | b"0")
    }

    /// The value for `request`.
    #[must_use]
    pub fn value(&self, request: &Request) -> Vec<u8> {
        let mut out = Vec::new();
        self.render(request, &mut out);
        out
    }
}

/// The value of a variable whose name, without `$`, is only known now; `None` where it has none or there is no such variable.
#[must_use]
pub fn by_name(request: &Request, name: &str) -> Option<Vec<u8>> {
    let lower = name.to_ascii_lowercase();
    let mut out = Vec::new();
    let has_value = if let Some(variable) = builtin_exact(&lower) {
        (variable.evaluate)(request, "", &mut out)
    } else if let Some(id) = declared(request, &lower) {
        values::evaluate(request, id, &mut out)
    } else {
        let (variable, suffix) = builtin_prefixed(&lower)?;
        (variable.evaluate)(request, suffix, &mut out)
    };
    has_value.then_some(out)
}

fn declared(request: &Request, lower: &str) -> Option<VariableId> {
    let at = request.runtime.shared.variables.iter().position(|variable| &*variable.name == lower)?;
    u32::try_from(at).ok().map(VariableId)
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Literal(Bytes::copy_from_slice(text.as_bytes())));
    }
}

/// Splits the name behind a `$` from what follows it.
fn split_name(text: &str) -> Result<(&str, &str), TemplateError> {
    if let Some(braced) = text.strip_prefix('{') {
        let end = braced.find('}').ok_or_else(|| TemplateError::Unclosed(braced.to_owned()))?;
        return if end == 0 { Err(TemplateError::Empty) } else { Ok((&braced[..end], &braced[end + 1..])) };
    }
    let is_name = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
    let end = text.bytes().position(|octet| !is_name(octet)).unwrap_or(text.len());
    if end == 0 { Err(TemplateError::Empty) } else { Ok(text.split_at(end)) }
}

/// A name of the program is known at once. Any other may still be declared, one with a known prefix too.
fn resolve(name: &str, span: Option<Span>) -> Result<Part, TemplateError> {
    let lower = name.to_ascii_lowercase();
    if let Some(variable) = builtin_exact(&lower) {
        return Ok(Part::Variable { evaluate: variable.evaluate, suffix: "".into() });
    }
    if let Some(id) = registry::refer(&lower, span) {
        return Ok(Part::Declared(id));
    }
    let (variable, suffix) = builtin_prefixed(&lower).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
    Ok(Part::Variable { evaluate: variable.evaluate, suffix: suffix.into() })
}

fn builtins() -> impl Iterator<Item = &'static Variable> {
    let from_modules = MODULE_VARIABLES.get().map(Vec::as_slice).unwrap_or_default();
    CORE_VARIABLES.iter().chain(from_modules)
}

/// The program's variable of this name, which is in lower case.
fn builtin_exact(lower: &str) -> Option<Variable> {
    builtins().find(|variable| variable.name == lower).copied()
}

/// The program's variable with the longest prefix of this name, and what follows the prefix.
fn builtin_prefixed(lower: &str) -> Option<(Variable, &str)> {
    builtins()
        .filter(|variable| variable.name.ends_with('_'))
        .filter_map(|variable| Some((*variable, lower.strip_prefix(variable.name)?)))
        .max_by_key(|(variable, _)| variable.name.len())
}
