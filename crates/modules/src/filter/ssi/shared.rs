//! What the pages of one client's request have in common: variables, blocks, and what the last expression captured.

use std::cell::{Cell, RefCell};

use bytes::Bytes;
use daemun_server::variable::Captures;

/// Variables and blocks of a page and all that it includes.
#[derive(Default)]
pub(super) struct Shared {
    variables: RefCell<Vec<(Vec<u8>, Vec<u8>)>>,
    blocks: RefCell<Vec<(Vec<u8>, Vec<u8>)>>,
    captures: RefCell<Captures>,
    /// Octets of all that is kept.
    octets: Cell<usize>,
}

/// There is no room for more.
pub(super) struct Full;

/// Octets that the variables and blocks of one client's request may take.
const SHARED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Octets that an entry takes beside its own.
const ENTRY_BYTES: usize = 64;

impl Shared {
    /// The value of a variable, or of a group of the last expression; `name` is in lower case.
    pub(super) fn variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        if let [digit @ b'0'..=b'9'] = name {
            let captures = self.captures.borrow();
            let taking_part = captures.groups.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            let number = usize::from(digit - b'0');
            if number < taking_part {
                return Some(captures.group(number).unwrap_or_default().to_vec());
            }
        }
        let variables = self.variables.borrow();
        variables.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    }

    /// Gives a variable, `name` in lower case, a value.
    pub(super) fn set(&self, name: &[u8], value: Vec<u8>) -> Result<(), Full> {
        let mut variables = self.variables.borrow_mut();
        match variables.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => {
                self.take_room(old.len(), value.len())?;
                *old = value;
            }
            None => {
                self.take_room(0, ENTRY_BYTES + name.len() + value.len())?;
                variables.push((name.to_vec(), value));
            }
        }
        Ok(())
    }

    /// Keeps the groups of an expression that has matched.
    pub(super) fn remember(&self, captures: Captures) {
        self.captures.replace(captures);
    }

    /// Begins a block.
    pub(super) fn begin_block(&self, name: Vec<u8>) -> Result<(), Full> {
        self.take_room(0, ENTRY_BYTES + name.len())?;
        self.blocks.borrow_mut().push((name, Vec::new()));
        Ok(())
    }

    /// Adds to the block that was begun last.
    pub(super) fn add_to_block(&self, octets: &[u8]) -> Result<(), Full> {
        self.take_room(0, octets.len())?;
        if let Some((_, block)) = self.blocks.borrow_mut().last_mut() {
            block.extend_from_slice(octets);
        }
        Ok(())
    }

    /// The first block of this name.
    pub(super) fn block(&self, name: &[u8]) -> Option<Bytes> {
        let blocks = self.blocks.borrow();
        blocks.iter().find(|(other, _)| other == name).map(|(_, octets)| Bytes::copy_from_slice(octets))
    }

    fn take_room(&self, before: usize, after: usize) -> Result<(), Full> {
        let octets = self.octets.get().saturating_sub(before) + after;
        if octets > SHARED_BYTES_MAX {
            return Err(Full);
        }
        self.octets.set(octets);
        Ok(())
    }
}
