//! From typed settings to the runtime, in whatever process: the master at its start and for a reload, the edge after it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use daemun_app::definition::Definition;
use daemun_app::sockets::PoolPlace;
use daemun_cgi::mounts::{MountSettings, Mounts};
use daemun_conf::Diagnostic;
use daemun_server::config::{BuildInput, LogAccess, PoolListener, Typed, build};
use daemun_server::log::LogFile;
use daemun_server::runtime::Runtime;
use daemun_server::zone::Zones;

use crate::cli::{Mode, Settings};
use crate::modules::MODULES;
use crate::{paths, serve};

/// What a build needs beside the typed settings.
#[derive(Clone, Debug)]
pub struct Assembly {
    settings: Settings,
    pools: Vec<(PoolPlace, MountSettings)>,
    /// The log of the applications.
    pool_log: Option<PathBuf>,
}

/// What goes on from one runtime to the next.
#[derive(Clone, Default)]
pub struct Heritage {
    logs: Vec<LogFile>,
    zones: Zones,
}

impl Heritage {
    /// What the successor of `runtime` takes over.
    pub fn of(runtime: &Runtime) -> Self {
        Self { logs: runtime.logs.clone(), zones: runtime.zones.clone() }
    }
}

impl Assembly {
    /// For these pools.
    ///
    /// # Errors
    /// What is wrong with the sockets of one of them.
    pub fn new(settings: &Settings, pools: &[Definition]) -> Result<Self, Vec<Diagnostic>> {
        let place = |pool: &Definition| match pool.place() {
            Ok(place) => Ok((place, mounts_of(pool))),
            Err(error) => Err(vec![serve::of_application(&pool.name, &error)]),
        };
        Ok(Self {
            settings: settings.clone(),
            pools: pools.iter().map(place).collect::<Result<_, _>>()?,
            pool_log: pools.iter().find_map(Definition::log_path).map(Path::to_owned),
        })
    }

    /// Builds the runtime. Log files are opened, and nothing is bound.
    ///
    /// # Errors
    /// As [`build`].
    pub fn build(
        &self,
        typed: Typed,
        log_access: LogAccess,
        heritage: Heritage,
    ) -> Result<(Runtime, Vec<Diagnostic>), Vec<Diagnostic>> {
        let settings = &self.settings;
        let mut backends = HashMap::new();
        for (pool, _) in &self.pools {
            for name in &pool.names {
                backends.entry(name.clone()).or_insert(pool.id);
            }
        }
        let default = match settings.mode {
            Mode::Web => Some(PathBuf::from(paths::DEFAULT_ERROR_LOG)),
            // As with uWSGI, there is one log.
            Mode::App => self.pool_log.clone(),
            Mode::Run => None,
        };
        // Without an nginx.conf there is no folder of the server's own.
        let has_folder = settings.configuration.is_some();
        let configuration_folder = settings.configuration.as_deref().and_then(Path::parent);
        build(BuildInput {
            typed,
            modules: MODULES,
            prefix: settings.prefix.clone(),
            configuration_folder: configuration_folder.unwrap_or(&settings.prefix).to_owned(),
            error_log: settings.error_log.clone().or(default).filter(|path| path != Path::new("stderr")),
            body_folder: if has_folder { paths::DEFAULT_BODY_FOLDER.into() } else { std::env::temp_dir() },
            backends,
            pool_listeners: self.pools.iter().flat_map(listeners_of).collect(),
            log_access,
            known_logs: heritage.logs,
            zones: heritage.zones,
        })
    }
}

/// A pool's own listeners; programs stand before the application where the options name some.
fn listeners_of((place, settings): &(PoolPlace, MountSettings)) -> Vec<PoolListener> {
    let with_programs = |listener: PoolListener| match settings.mounts.is_empty() {
        true => listener,
        false => PoolListener { content: Box::new(Mounts::before(listener.content, settings)), ..listener },
    };
    place.listeners().into_iter().map(with_programs).collect()
}

/// What `cgi` and its like say; folders start from `chdir`.
fn mounts_of(pool: &Definition) -> MountSettings {
    let options = &pool.options.cgi;
    let absolute = |path: &Path| match &pool.options.chdir {
        Some(folder) => folder.join(path),
        None => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    };
    MountSettings {
        mounts: options.mounts.iter().map(|(mount, path)| (mount.clone(), absolute(path))).collect(),
        helpers: options.helpers.clone(),
        index: options.index.clone(),
        allowed_endings: options.allowed_endings.clone(),
        safe: options.safe.iter().map(|path| absolute(path)).collect(),
        unset: options.unset.clone(),
        timeout: options.timeout,
        buffer_size: options.buffer_size,
    }
}
