//! What modules keep with a request, by type: the way of one request through its upstreams, a count to be given back.

use std::any::Any;
use std::rc::Rc;

/// Values of different types, at most one of each.
#[derive(Clone, Default)]
pub struct Extensions(Vec<Rc<dyn Any>>);

impl Extensions {
    /// The value of this type.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.downcast_ref())
    }

    /// The value of this type, to be held beyond the request.
    #[must_use]
    pub fn share<T: 'static>(&self) -> Option<Rc<T>> {
        self.0.iter().find_map(|value| Rc::clone(value).downcast().ok())
    }

    /// Keeps `value` in place of the one of its type.
    pub fn insert<T: 'static>(&mut self, value: Rc<T>) {
        self.0.retain(|other| !other.is::<T>());
        self.0.push(value);
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
