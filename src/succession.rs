//! A new configuration on its way from the master to the edge.
//!
//! The master has read and checked the files, and has opened and bound what they name. The edge, which may have no right to any of
//! that, gets the texts and the descriptors, and builds the same once more: what a runtime is made of cannot be sent.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{Diagnostic, Snapshot};
use daemun_net::{Courier, Listener, ListenerSet, Parcel};
use daemun_server::config::LogAccess;
use daemun_server::edge::{Configuration, Succession};
use daemun_server::log::{ErrorLog, Level};
use daemun_server::runtime::Runtime;

use crate::assembly::{Assembly, Heritage};
use crate::cli::Settings;
use crate::load::{self, Web};

/// Sends what the edge needs to build the configuration that `runtime` was built of.
///
/// # Errors
/// Why it could not be sent, in words.
pub fn send(edge: &Courier, texts: &Snapshot, runtime: &Runtime, listeners: &ListenerSet) -> Result<(), String> {
    let mut text = Vec::new();
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    let logs: Vec<_> = runtime.logs.iter().filter_map(|log| Some((log.path()?, log))).collect();
    text.extend_from_slice(&(logs.len() as u64).to_le_bytes());
    for (path, log) in logs {
        text.extend_from_slice(path.as_os_str().as_bytes());
        text.push(0);
        descriptors.push(log.try_clone_descriptor().map_err(|error| error.to_string())?);
    }
    text.extend(texts.encode());
    let copies = listeners.try_clone().map_err(|error| error.to_string())?;
    descriptors.extend(copies.into_iter().map(OwnedFd::from));
    edge.send(&Parcel { text, descriptors }, SEND_LIMIT).map_err(|error| error.to_string())
}

/// The edge's side.
pub struct FromMaster {
    courier: Courier,
    settings: Settings,
    assembly: Assembly,
    heritage: Heritage,
    error_log: ErrorLog,
}

impl FromMaster {
    /// `runtime` is what the edge begins with.
    pub fn new(courier: Courier, settings: Settings, assembly: Assembly, runtime: &Runtime) -> Self {
        let (heritage, error_log) = (Heritage::of(runtime), runtime.error_log.clone());
        Self { courier, settings, assembly, heritage, error_log }
    }

    /// # Errors
    /// What is wrong with it, in words.
    fn build(&mut self, parcel: Parcel) -> Result<Configuration, String> {
        let Opened { texts, logs, listeners } = open(parcel).ok_or("it did not arrive whole")?;
        let Web { typed, sources, .. } = load::read_web(&self.settings, &texts);
        let lines = |diagnostics: Vec<Diagnostic>| {
            let errors: Vec<_> =
                diagnostics.iter().filter(|one| one.is_error()).map(|one| one.sentence(&sources)).collect();
            errors.join("; ")
        };
        let built = self.assembly.build(typed, LogAccess::Given(logs), self.heritage.clone(), &texts);
        let (runtime, _) = built.map_err(lines)?;
        if runtime.listeners.len() != listeners.len() {
            return Err(format!("it has {} listeners, and {} came with it", runtime.listeners.len(), listeners.len()));
        }
        self.heritage = Heritage::of(&runtime);
        self.error_log = runtime.error_log.clone();
        Ok(Configuration { runtime: Arc::new(runtime), listeners })
    }
}

impl Succession for FromMaster {
    fn next(&mut self) -> Option<Configuration> {
        loop {
            let result = match self.courier.receive() {
                Ok(None) => return None,
                Ok(Some(parcel)) => self.build(parcel),
                Err(error) => Err(error.to_string()),
            };
            match result {
                Ok(configuration) => return Some(configuration),
                Err(reason) => {
                    let text =
                        format_args!("the edge cannot take the new configuration and goes on by the old one: {reason}");
                    self.error_log.write(Level::Emerg, text);
                }
            }
        }
    }
}

/// A parcel's content.
struct Opened {
    texts: Snapshot,
    logs: Vec<(PathBuf, OwnedFd)>,
    listeners: ListenerSet,
}

fn open(parcel: Parcel) -> Option<Opened> {
    let (count, mut rest) = parcel.text.split_first_chunk()?;
    let mut descriptors = parcel.descriptors.into_iter();
    let mut logs = Vec::new();
    for _ in 0..u64::from_le_bytes(*count) {
        let end = rest.iter().position(|octet| *octet == 0)?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(rest.get(..end)?.to_vec()));
        logs.push((path, descriptors.next()?));
        rest = rest.get(end + 1..)?;
    }
    let mut listeners = ListenerSet::new();
    for descriptor in descriptors {
        listeners.push(Listener::adopt(descriptor).ok()?);
    }
    Some(Opened { texts: Snapshot::decode(rest)?, logs, listeners })
}

/// How long the master waits for an edge that does not read.
const SEND_LIMIT: Duration = Duration::from_secs(5);
