//! What one request knows of the configuration's variables: assigned and computed values, and the last match's groups.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::registry::{Definition, VariableId};
use crate::limits::VARIABLE_DEPTH_MAX;
use crate::log::Level;
use crate::request::Request;

/// Values of one request. They may be computed while the request is only looked at, hence the cells.
#[derive(Default)]
pub struct Values {
    /// Shared by a request and those that were made from it.
    known: Rc<RefCell<Vec<Value>>>,
    captures: RefCell<Captures>,
    depth: Cell<u32>,
}

#[derive(Clone, Default)]
enum Value {
    /// To be had from the definition.
    #[default]
    Unset,
    /// Computed: there is none.
    Missing,
    /// Assigned or computed.
    Text(Vec<u8>),
}

/// The text of a match and where its groups stand in it.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct Captures {
    /// The text that was matched.
    pub subject: Vec<u8>,
    /// Start and end of each group, 0 being the whole match; `None` for a group that took no part.
    pub groups: Vec<Option<(usize, usize)>>,
}

impl Captures {
    /// The octets of group `number`.
    #[must_use]
    pub fn group(&self, number: usize) -> Option<&[u8]> {
        let (start, end) = (*self.groups.get(number)?)?;
        self.subject.get(start..end)
    }
}

impl Values {
    /// Makes the object ready for the next request.
    pub fn clear(&mut self) {
        match Rc::get_mut(&mut self.known) {
            Some(known) => known.get_mut().clear(),
            None => self.known = Rc::default(),
        }
        self.captures.get_mut().groups.clear();
        self.depth.set(0);
    }

    /// Takes the values of another request for its own, from now on.
    pub(crate) fn share(&mut self, other: &Self) {
        self.known = Rc::clone(&other.known);
    }

    /// Takes the groups of the other's last match.
    pub(crate) fn copy_captures(&mut self, other: &Self) {
        self.captures.get_mut().clone_from(&other.captures.borrow());
    }

    /// Gives the variable a value that no definition overrides.
    pub fn assign(&self, id: VariableId, value: Vec<u8>) {
        self.put(id, Value::Text(value));
    }

    fn put(&self, id: VariableId, value: Value) {
        let mut known = self.known.borrow_mut();
        let at = id.0 as usize;
        if known.len() <= at {
            known.resize(at + 1, Value::Unset);
        }
        known[at] = value;
    }

    /// The groups of the last match, for `$1`.
    pub fn remember(&self, captures: Captures) {
        self.captures.replace(captures);
    }

    /// Forgets the last match.
    pub fn forget_captures(&self) {
        self.captures.borrow_mut().groups.clear();
    }

    /// Appends group `number` of the last match; false where there is none.
    pub fn capture(&self, number: usize, out: &mut Vec<u8>) -> bool {
        self.captures.borrow().group(number).map(|octets| out.extend_from_slice(octets)).is_some()
    }
}

/// Appends the value of a declared variable; false where it has none.
pub(super) fn evaluate(request: &Request, id: VariableId, out: &mut Vec<u8>) -> bool {
    match request.values.known.borrow().get(id.0 as usize) {
        Some(Value::Text(text)) => {
            out.extend_from_slice(text);
            return true;
        }
        Some(Value::Missing) => return false,
        Some(Value::Unset) | None => {}
    }
    let Some(declared) = request.runtime.shared.variables.get(id.0 as usize) else { return false };
    match &declared.definition {
        Definition::Captured => false,
        Definition::Assigned => {
            if request.core().uninitialized_variable_warn() {
                request.log(Level::Warn, format_args!("using uninitialized \"{}\" variable", declared.name));
            }
            true
        }
        Definition::Builtin(variable, suffix) => (variable.evaluate)(request, suffix, out),
        Definition::Computed { compute, is_volatile } => {
            let depth = request.values.depth.get();
            if depth >= VARIABLE_DEPTH_MAX {
                request.log(Level::Error, format_args!("cycle while evaluating variable \"{}\"", declared.name));
                return false;
            }
            request.values.depth.set(depth + 1);
            let start = out.len();
            let has_value = compute(request, out);
            request.values.depth.set(depth);
            if !is_volatile {
                request.values.put(id, if has_value { Value::Text(out[start..].to_vec()) } else { Value::Missing });
            }
            has_value
        }
    }
}
