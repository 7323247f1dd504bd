//! What a pool offers its application by the `uwsgi` module: part of the [`crate::Handover`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Locks, caches, mules and spoolers of a pool, and what the application is told of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facilities {
    /// Locks that the application may take, besides lock 0.
    pub locks: u32,
    /// Caches, by name; the first is the one that is meant where no name is given.
    pub caches: Vec<Cache>,
    /// Mules, in the order of their numbers: what each runs, or nothing for one that waits for messages.
    pub mules: Vec<Option<String>>,
    /// Groups of mules.
    pub farms: Vec<Farm>,
    /// Octets of a mule's queue of messages.
    pub mule_queue_bytes: usize,
    /// Longest message that a mule takes that does not say how long.
    pub mule_message_bytes: usize,
    /// Seconds that a mule may take for a message; 0 for no limit.
    pub mule_harakiri_seconds: u64,
    /// Folders of spooled tasks.
    pub spoolers: Vec<PathBuf>,
    /// How tasks are run.
    pub spooling: Spooling,
    /// All settings in order, as `uwsgi.opt` shows them; without a value: a flag.
    pub options: Vec<(String, Option<String>)>,
    /// Size of uWSGI's request buffer, for whoever asks.
    pub buffer_size: u64,
    /// The master's pid file.
    pub pidfile: Option<String>,
}

/// One cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cache {
    /// Its name.
    pub name: String,
    /// Most items.
    pub items: u64,
    /// Octets of a block.
    pub block_bytes: u64,
    /// Number of blocks; at least `items`.
    pub blocks: u64,
    /// Longest key in octets.
    pub key_bytes: u64,
    /// An item may have several blocks.
    pub is_bitmap: bool,
    /// A full cache forgets what was not asked for the longest.
    pub purges_oldest: bool,
    /// A full cache forgets everything.
    pub clears_on_full: bool,
    /// A full cache is nothing that the log need be told.
    pub ignores_full: bool,
    /// Nothing expires.
    pub never_expires: bool,
    /// What `cache_inc` and its like begin with.
    pub math_initial: i64,
    /// File that keeps the cache beyond the pool's end.
    pub store: Option<PathBuf>,
    /// A file that does not fit is made anew.
    pub deletes_store: bool,
}

/// A group of mules that share a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farm {
    /// Its name.
    pub name: String,
    /// Numbers of its mules, from 1.
    pub mules: Vec<u32>,
}

/// How spooled tasks are run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spooling {
    /// Processes of each folder.
    pub processes: u32,
    /// Seconds between two looks into a folder.
    pub frequency_seconds: u64,
    /// Tasks are run in the order of their names, and those of numbered folders in the order of the numbers.
    pub is_ordered: bool,
    /// Tasks are not logged.
    pub is_quiet: bool,
    /// Tasks after which a process is replaced; 0 for never.
    pub tasks_max: u64,
    /// Folder in which tasks are run.
    pub folder: Option<PathBuf>,
    /// Seconds that a task may run; 0 for no limit.
    pub harakiri_seconds: u64,
    /// Modules or files to import in these processes.
    pub import: Vec<String>,
}

impl Default for Facilities {
    fn default() -> Self {
        Self {
            locks: 0,
            caches: Vec::new(),
            mules: Vec::new(),
            farms: Vec::new(),
            mule_queue_bytes: 1 << 20,
            mule_message_bytes: 65_536,
            mule_harakiri_seconds: 0,
            spoolers: Vec::new(),
            spooling: Spooling::default(),
            options: Vec::new(),
            buffer_size: 4096,
            pidfile: None,
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            items: 0,
            block_bytes: 65_535,
            blocks: 0,
            key_bytes: 2048,
            is_bitmap: false,
            purges_oldest: false,
            clears_on_full: false,
            ignores_full: false,
            never_expires: false,
            math_initial: 0,
            store: None,
            deletes_store: false,
        }
    }
}

impl Default for Spooling {
    fn default() -> Self {
        Self {
            processes: 1,
            frequency_seconds: 30,
            is_ordered: false,
            is_quiet: false,
            tasks_max: 0,
            folder: None,
            harakiri_seconds: 0,
            import: Vec::new(),
        }
    }
}
