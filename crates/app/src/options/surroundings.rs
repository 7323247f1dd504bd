//! What a configuration may ask about the process that reads it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its number.
    pub id: u32,
    /// Its name; the number if it has none.
    pub name: String,
}

/// The machine and process around a configuration: a value, so that reading is repeatable.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// What relative paths start from.
    pub working_directory: PathBuf,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// The machine's name.
    pub host_name: String,
    /// Number of processors.
    pub processors: usize,
    /// Who reads.
    pub user: Owner,
    /// The group of who reads.
    pub group: Owner,
    /// Time since 1970.
    pub now: Duration,
    /// Path of the program.
    pub program: PathBuf,
    /// Whether the configuration is read again while the application is served.
    pub is_reload: bool,
}

impl Surroundings {
    /// Those of this process. What cannot be found out is left empty.
    pub fn of_this_process() -> Self {
        let environment = std::env::vars_os();
        Self {
            working_directory: std::env::current_dir().unwrap_or_default(),
            environment: environment
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            host_name: fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            user: owner(rustix::process::getuid().as_raw(), "/etc/passwd"),
            group: owner(rustix::process::getgid().as_raw(), "/etc/group"),
            now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            program: std::env::current_exe().unwrap_or_default(),
            is_reload: false,
        }
    }
}

/// Looks the number up in a file of lines `name:x:number:...`.
fn owner(id: u32, file: &str) -> Owner {
    let text = fs::read_to_string(file).unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    Owner { id, name: name.unwrap_or_else(|| id.to_string()) }
}
