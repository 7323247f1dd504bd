//! All listening sockets of a server, bound together or not at all.

use std::io;

use crate::{BindError, BindOptions, ListenAddress, Listener, SocketFile};

/// The listening sockets of a server in the order they were asked for.
#[derive(Debug, Default)]
pub struct ListenerSet {
    listeners: Vec<Listener>,
}

impl ListenerSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds every address.
    ///
    /// # Errors
    ///
    /// One error for each address that could not be bound; the others are closed again and their socket files removed.
    pub fn bind<'a>(
        wanted: impl IntoIterator<Item = (&'a ListenAddress, &'a BindOptions)>,
    ) -> Result<Self, Vec<BindError>> {
        Self::new().successor(wanted)
    }

    /// The set that takes this one's place: sockets that are here already go on, under second descriptors, the others are bound.
    ///
    /// # Errors
    ///
    /// As [`ListenerSet::bind`]; this set is untouched.
    pub fn successor<'a>(
        &self,
        wanted: impl IntoIterator<Item = (&'a ListenAddress, &'a BindOptions)>,
    ) -> Result<Self, Vec<BindError>> {
        let mut set = Self::new();
        let mut errors = Vec::new();
        let mut new_files = Vec::new();
        for (address, options) in wanted {
            let known = self.find(address);
            match known.map_or_else(|| Listener::bind(address, options), |known| known.go_on(options)) {
                Ok(listener) => {
                    new_files.extend(listener.socket_file().filter(|_| known.is_none()).cloned());
                    set.listeners.push(listener);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            return Ok(set);
        }
        for file in new_files {
            let _ = file.remove(); // The bind error is the one worth telling.
        }
        Err(errors)
    }

    /// Adds a listener at the end.
    pub fn push(&mut self, listener: Listener) {
        self.listeners.push(listener);
    }

    /// The number of listeners.
    #[must_use]
    pub fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// The listener at `index`, counted in the order of binding.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Listener> {
        self.listeners.get(index)
    }

    /// The listeners in the order of binding.
    pub fn iter(&self) -> std::slice::Iter<'_, Listener> {
        self.listeners.iter()
    }

    /// The listener bound to exactly this address.
    #[must_use]
    pub fn find(&self, address: &ListenAddress) -> Option<&Listener> {
        self.iter().find(|listener| listener.address() == address)
    }

    /// The socket files to remove when the server ends.
    #[must_use]
    pub fn socket_files(&self) -> Vec<SocketFile> {
        self.iter().filter_map(|listener| listener.socket_file().cloned()).collect()
    }

    /// Second descriptors for all sockets, for a process or thread that is to accept from them.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let listeners = self.iter().map(Listener::try_clone).collect::<io::Result<_>>()?;
        Ok(Self { listeners })
    }
}

impl IntoIterator for ListenerSet {
    type Item = Listener;
    type IntoIter = std::vec::IntoIter<Listener>;

    fn into_iter(self) -> Self::IntoIter {
        self.listeners.into_iter()
    }
}

impl<'a> IntoIterator for &'a ListenerSet {
    type Item = &'a Listener;
    type IntoIter = std::slice::Iter<'a, Listener>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
