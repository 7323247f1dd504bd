//! What modules keep with a request, by type: the way of one request through its upstreams, a count to be given back.

use std::any::Any;
use std::rc::Rc;

/// Values of different types, at most one of each.
#[derive(Clone, Default)]
pub struct Extensions(Vec<Kept>);

#[derive(Clone)]
struct Kept {
    value: Rc<dyn Any>,
    /// Whether a twin of the request has it too.
    is_for_twins: bool,
}

impl Extensions {
    /// The value of this type.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.iter().find_map(|kept| kept.value.downcast_ref())
    }

    /// The value of this type, to be held beyond the request.
    #[must_use]
    pub fn share<T: 'static>(&self) -> Option<Rc<T>> {
        self.0.iter().find_map(|kept| Rc::clone(&kept.value).downcast().ok())
    }

    /// Keeps `value` in place of the one of its type.
    pub fn insert<T: 'static>(&mut self, value: Rc<T>) {
        self.put(value, false);
    }

    /// The same, and a twin of the request will have it too.
    pub fn insert_for_twins<T: 'static>(&mut self, value: Rc<T>) {
        self.put(value, true);
    }

    fn put<T: 'static>(&mut self, value: Rc<T>, is_for_twins: bool) {
        self.0.retain(|other| !other.value.is::<T>());
        self.0.push(Kept { value, is_for_twins });
    }

    /// What a twin of the request has of them.
    pub(crate) fn of_twin(&self) -> Self {
        Self(self.0.iter().filter(|kept| kept.is_for_twins).cloned().collect())
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
