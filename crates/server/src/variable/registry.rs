//! The variables that a configuration declares itself: names to numbers while it is read, numbers to values afterwards.
//!
//! A text may name a variable before the directive that declares it, so a name gets its number where it is first seen,
//! and only the end of the reading says which were never declared.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use daemun_conf::{Diagnostic, Span};

use super::{TemplateError, Variable, builtin_exact, builtin_prefixed};
use crate::request::Request;

/// Number of a variable that the configuration declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariableId(pub(crate) u32);

/// Makes the value of a declared variable: appends it, false where there is none.
pub type Compute = Arc<dyn Fn(&Request, &mut Vec<u8>) -> bool + Send + Sync>;

/// Where a declared variable's value comes from until a request assigns one.
#[derive(Clone)]
pub enum Definition {
    /// From `set`; without it the value is empty and a warning is due.
    Assigned,
    /// From a named group of an expression; without a match there is no value.
    Captured,
    /// Computed at the first use and kept for the request, unless it is volatile.
    Computed {
        /// Makes the value.
        compute: Compute,
        /// Whether each use computes it anew.
        is_volatile: bool,
    },
    /// A variable of the program, by its prefix: `$http_x`.
    Builtin(Variable, Box<str>),
}

/// A declared variable in force.
pub struct Declared {
    /// Its name without `$`.
    pub name: Box<str>,
    /// Where its value comes from.
    pub definition: Definition,
}

/// The names seen so far.
#[derive(Default)]
pub struct Registry {
    entries: Vec<Entry>,
    by_name: HashMap<String, u32>,
    is_open: bool,
}

struct Entry {
    name: String,
    definition: Option<Definition>,
    span: Option<Span>,
}

thread_local! {
    /// The configuration that this thread is reading.
    static CURRENT: RefCell<Registry> = RefCell::default();
}

/// From here on names are collected on this thread, in addition to those of `registry`.
pub(crate) fn open(registry: Registry) {
    CURRENT.set(Registry { is_open: true, ..registry });
}

/// Ends what [`open`] began.
pub(crate) fn close() -> Registry {
    CURRENT.take()
}

/// The number of the variable `lower`, which a text at `span` names. `None` while no configuration is being read.
pub(super) fn refer(lower: &str, span: Option<Span>) -> Option<VariableId> {
    CURRENT.with_borrow_mut(|registry| {
        registry.is_open.then(|| {
            let at = registry.number_of(lower);
            let entry = &mut registry.entries[at.0 as usize];
            entry.span = entry.span.or(span);
            at
        })
    })
}

/// Declares `name` as a variable that requests assign to (`set`).
///
/// # Errors
/// When the program itself has a variable of this name.
pub fn declare_assigned(name: &str) -> Result<VariableId, TemplateError> {
    // A name with a prefix of the program's (`$http_x`) has that meaning wherever nothing is assigned.
    let has_prefix = builtin_prefixed(&name.to_ascii_lowercase()).is_some();
    declare(name, |definition| {
        if !has_prefix && matches!(definition, None | Some(Definition::Captured)) {
            *definition = Some(Definition::Assigned);
        }
    })
}

/// Declares `name` as a named group of an expression.
///
/// # Errors
/// When the program itself has a variable of this name.
pub fn declare_captured(name: &str) -> Result<VariableId, TemplateError> {
    declare(name, |definition| {
        definition.get_or_insert(Definition::Captured);
    })
}

/// Declares `name` as a variable that is computed (`map`); of several declarations the last one counts.
///
/// # Errors
/// When the program itself has a variable of this name.
pub fn declare_computed(name: &str, compute: Compute, is_volatile: bool) -> Result<VariableId, TemplateError> {
    declare(name, |definition| *definition = Some(Definition::Computed { compute, is_volatile }))
}

/// Declares `name` as a variable that is computed unless the configuration computes it otherwise.
///
/// # Errors
/// When the program itself has a variable of this name.
pub fn declare_default(name: &str, compute: Compute) -> Result<VariableId, TemplateError> {
    declare(name, |definition| {
        if !matches!(definition, Some(Definition::Computed { .. })) {
            *definition = Some(Definition::Computed { compute, is_volatile: false });
        }
    })
}

fn declare(name: &str, define: impl FnOnce(&mut Option<Definition>)) -> Result<VariableId, TemplateError> {
    let lower = name.to_ascii_lowercase();
    if builtin_exact(&lower).is_some() {
        return Err(TemplateError::Duplicate(name.to_owned()));
    }
    Ok(CURRENT.with_borrow_mut(|registry| {
        let id = registry.number_of(&lower);
        define(&mut registry.entries[id.0 as usize].definition);
        id
    }))
}

impl Registry {
    fn number_of(&mut self, lower: &str) -> VariableId {
        if let Some(at) = self.by_name.get(lower) {
            return VariableId(*at);
        }
        let at = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry { name: lower.to_owned(), definition: None, span: None });
        self.by_name.insert(lower.to_owned(), at);
        VariableId(at)
    }

    /// All variables by number, and an error for each that nobody declared.
    pub(crate) fn finish(self) -> (Vec<Declared>, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let mut all = Vec::with_capacity(self.entries.len());
        for Entry { name, definition, span } in self.entries {
            let by_prefix =
                || builtin_prefixed(&name).map(|(variable, rest)| Definition::Builtin(variable, rest.into()));
            let definition = definition.or_else(by_prefix).unwrap_or_else(|| {
                let message = TemplateError::Unknown(name.clone()).to_string();
                diagnostics.push(match span {
                    Some(span) => Diagnostic::error(span, message),
                    None => Diagnostic::error_without_place(message),
                });
                Definition::Captured
            });
            all.push(Declared { name: name.into(), definition });
        }
        (all, diagnostics)
    }
}
