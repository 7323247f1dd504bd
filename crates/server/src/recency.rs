//! Values by key, in the order in which they were last asked for.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Values by key that know which of them was not asked for the longest time. Keys are cheap to clone.
#[derive(Debug)]
pub struct Recency<K, V> {
    by_key: HashMap<K, usize>,
    /// Entries in use and unused ones; places do not change.
    entries: Vec<Option<Entry<K, V>>>,
    unused: Vec<usize>,
    /// Last asked for. [`NOWHERE`] where there is none.
    newest: usize,
    /// Asked for the longest time ago.
    oldest: usize,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    newer: usize,
    older: usize,
}

/// No entry's place.
const NOWHERE: usize = usize::MAX;

impl<K, V> Default for Recency<K, V> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), entries: Vec::new(), unused: Vec::new(), newest: NOWHERE, oldest: NOWHERE }
    }
}

impl<K: Clone + Eq + Hash, V> Recency<K, V> {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The value of `key`, which becomes the one last asked for.
    pub fn ask<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let place = *self.by_key.get(key)?;
        self.unlink(place);
        self.link_newest(place);
        self.entries.get_mut(place)?.as_mut().map(|entry| &mut entry.value)
    }

    /// The value of `key`, without asking for it.
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(*self.by_key.get(key)?)?.as_ref().map(|entry| &entry.value)
    }

    /// Adds a value, the one last asked for. A value that `key` had before is gone.
    pub fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        let entry = Some(Entry { key: key.clone(), value, newer: NOWHERE, older: NOWHERE });
        let place = match self.unused.pop() {
            Some(place) => {
                self.entries[place] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.by_key.insert(key, place);
        self.link_newest(place);
    }

    /// Takes the value of `key` out.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.by_key.remove(key)?;
        self.unlink(place);
        self.unused.push(place);
        self.entries[place].take().map(|entry| entry.value)
    }

    /// Key and value that were not asked for the longest time.
    #[must_use]
    pub fn oldest(&self) -> Option<(&K, &V)> {
        self.entries.get(self.oldest)?.as_ref().map(|entry| (&entry.key, &entry.value))
    }

    /// Takes out what was not asked for the longest time.
    pub fn remove_oldest(&mut self) -> Option<(K, V)> {
        let key = self.oldest()?.0.clone();
        self.remove(&key).map(|value| (key, value))
    }

    fn at(&mut self, place: usize) -> Option<&mut Entry<K, V>> {
        self.entries.get_mut(place)?.as_mut()
    }

    fn unlink(&mut self, place: usize) {
        let Some((newer, older)) = self.at(place).map(|entry| (entry.newer, entry.older)) else { return };
        match self.at(newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.at(older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, place: usize) {
        let second = std::mem::replace(&mut self.newest, place);
        if let Some(entry) = self.at(place) {
            (entry.newer, entry.older) = (NOWHERE, second);
        }
        match self.at(second) {
            Some(entry) => entry.newer = place,
            None => self.oldest = place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Recency;

    #[test]
    fn the_one_not_asked_for_the_longest_time_goes_first() {
        let mut values = Recency::default();
        for key in ["a", "b", "c"] {
            values.insert(key, key.len());
        }
        assert!(values.ask("a").is_some());
        assert_eq!(values.remove("c"), Some(1));
        values.insert("d", 4);
        values.insert("a", 5);
        assert_eq!(values.len(), 3);
        assert_eq!(values.remove_oldest(), Some(("b", 1)));
        assert_eq!(values.remove_oldest(), Some(("d", 4)));
        assert_eq!(values.remove_oldest(), Some(("a", 5)));
        assert_eq!(values.remove_oldest(), None);
        assert_eq!((values.len(), values.ask("a")), (0, None));
    }
}
