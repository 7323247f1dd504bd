//! From typed settings to the runtime, in whatever process: the master at its start and for a reload, the edge after it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use daemun_app::definition::Definition;
use daemun_app::options;
use daemun_app::sockets::PoolPlace;
use daemun_cgi::mounts::{MountSettings, Mounts};
use daemun_conf::{Diagnostic, Loader};
use daemun_modules::content::static_map::{StaticMap, StaticMaps};
use daemun_modules::log::console::RequestLines;
use daemun_server::config::{BuildInput, LogAccess, PoolListener, Typed, build};
use daemun_server::log::LogFile;
use daemun_server::runtime::Runtime;
use daemun_server::zone::Zones;

use crate::cli::{Mode, Settings};
use crate::modules::{self, MODULES};
use crate::{paths, serve};

/// What a build needs beside the typed settings.
#[derive(Clone, Debug)]
pub struct Assembly {
    settings: Settings,
    pools: Vec<Served>,
    /// The log of the applications.
    pool_log: Option<PathBuf>,
}

/// A pool as its listeners need it.
#[derive(Clone, Debug)]
struct Served {
    place: PoolPlace,
    programs: MountSettings,
    /// Some of its answers are files.
    has_files: bool,
    /// Its requests are told on the terminal.
    is_watched: bool,
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
            Ok(place) => {
                let has_files = !pool.options.static_files.maps.is_empty();
                Ok(Served { place, programs: mounts_of(pool), has_files, is_watched: pool.options.development })
            }
            Err(error) => Err(vec![serve::of_application(&pool.name, &error)]),
        };
        Ok(Self {
            settings: settings.clone(),
            pools: pools.iter().map(place).collect::<Result<_, _>>()?,
            pool_log: pools.iter().find_map(Definition::log_path).map(Path::to_owned),
        })
    }

    /// Builds the runtime, reading by `files` what it names. Log files are opened, and nothing is bound.
    ///
    /// # Errors
    /// As [`build`].
    pub fn build(
        &self,
        typed: Typed,
        log_access: LogAccess,
        heritage: Heritage,
        files: &dyn Loader,
    ) -> Result<(Runtime, Vec<Diagnostic>), Vec<Diagnostic>> {
        let settings = &self.settings;
        let mut backends = HashMap::new();
        for Served { place, .. } in &self.pools {
            for name in &place.names {
                backends.entry(name.clone()).or_insert(place.id);
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
            files,
            zones: heritage.zones,
        })
    }
}

/// A pool's own listeners; programs stand before the application where the options name some.
fn listeners_of(pool: &Served) -> Vec<PoolListener> {
    let complete = |mut listener: PoolListener| {
        if !pool.programs.mounts.is_empty() {
            listener.content = Box::new(Mounts::before(listener.content, &pool.programs));
        }
        if pool.is_watched {
            listener.log = Some(Box::new(RequestLines::of_this_process()));
        }
        if pool.has_files {
            listener.filters = modules::filters_of_files();
        }
        listener
    };
    pool.place.listeners().into_iter().map(complete).collect()
}

/// What `static-map` and its like say; folders start from `chdir`.
pub fn files_of(pool: &Definition) -> StaticMaps {
    let options = &pool.options.static_files;
    let map = |map: &options::StaticMap| StaticMap {
        place: map.place.clone(),
        path: below_chdir(pool, &map.path),
        appends_whole_path: map.appends_whole_path,
    };
    let mut maps = StaticMaps {
        maps: options.maps.iter().map(map).collect(),
        index: options.index.clone(),
        skipped_endings: options.skipped_endings.clone(),
        safe: options.safe.iter().map(|path| below_chdir(pool, path)).collect(),
        types: HashMap::new(),
    };
    let files =
        if options.mime_files.is_empty() { &[PathBuf::from(MIME_TYPES)] } else { options.mime_files.as_slice() };
    for list in files.iter().filter_map(|path| std::fs::read_to_string(path).ok()) {
        maps.add_types(&list);
    }
    maps
}

fn below_chdir(pool: &Definition, path: &Path) -> PathBuf {
    match &pool.options.chdir {
        Some(folder) => folder.join(path),
        None => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// Where machines keep their list of types.
const MIME_TYPES: &str = "/etc/mime.types";

/// What `cgi` and its like say; folders start from `chdir`.
fn mounts_of(pool: &Definition) -> MountSettings {
    let options = &pool.options.cgi;
    let absolute = |path: &Path| below_chdir(pool, path);
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
