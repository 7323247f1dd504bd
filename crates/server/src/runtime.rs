//! The configuration in force: immutable, shared by the edge's threads, swapped whole on reload.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use daemun_conf::Span;
use daemun_http::Method;

use crate::backend::Backend;
use crate::background::Background;
use crate::config::{Core, Main};
use crate::edge::{Generation, Installed};
use crate::listener::ListenerSetting;
use crate::log::{ErrorLog, LogFile};
use crate::module::{BoundFilter, Settings};
use crate::phase::Plan;
use crate::route::{LocationTree, ServerNames};
use crate::tls::VirtualTls;
use crate::variable::Declared;
use crate::zone::Zones;

/// Index of a [`Server`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerId(pub u32);

/// Index of a [`Location`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocationId(pub u32);

/// Index of a [`ListenerRuntime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(pub u32);

/// Everything a request needs to know, made from the typed configuration.
pub struct Runtime {
    /// Settings outside `http`.
    pub main: Main,
    /// Where connections come in.
    pub listeners: Vec<ListenerRuntime>,
    /// Virtual servers.
    pub servers: Vec<Server>,
    /// Locations of all servers, and each server's own settings as a location without a name.
    pub locations: Vec<Location>,
    /// Variables that the configuration declares, by number.
    pub variables: Vec<Declared>,
    /// All log files, so that they can be reopened.
    pub logs: Vec<LogFile>,
    /// Folders of temporary files that modules name.
    pub folders: BTreeSet<PathBuf>,
    /// Files beside the configuration that it was built of, such as certificates.
    pub files: Vec<PathBuf>,
    /// Where errors outside any request go.
    pub error_log: ErrorLog,
    /// State with a name that outlives this runtime.
    pub zones: Zones,
    /// Work beside requests.
    pub background: Vec<Arc<dyn Background>>,
}

/// A listener and what is served on it.
pub struct ListenerRuntime {
    /// Where it listens, how, and what is spoken on it.
    pub setting: ListenerSetting,
    /// The servers by name.
    pub names: ServerNames,
    /// Where a `listen` says `ssl`.
    pub(crate) tls_span: Option<Span>,
    /// Who answers a request that names no host.
    pub(crate) unnamed: Option<ServerId>,
    /// Who answers when no name fits.
    pub default_server: ServerId,
    /// Whether a server listens here already; the first one is the default until another says so.
    pub(crate) has_server: bool,
    /// Whether a `listen` says `default_server`.
    pub(crate) has_default: bool,
}

/// A virtual server.
pub struct Server {
    /// `server_name`s as written; the first is `$server_name`.
    pub names: Vec<String>,
    /// How it speaks TLS, where it does.
    pub tls: Option<Arc<VirtualTls>>,
    /// The settings of the `server` block.
    pub settings: LocationId,
    /// Its locations.
    pub tree: LocationTree,
    /// Named locations (`@name`).
    pub named: HashMap<String, LocationId>,
    /// Whether it takes `CONNECT`: one of its blocks says `tunnel_pass`.
    pub allows_connect: bool,
}

/// A location, or a server's own settings.
pub struct Location {
    /// The prefix, the regular expression or `@name`; empty for a server's own settings.
    pub name: String,
    /// As the configuration writes it: `^~ /a/`, `= /`, `@name`; empty for a server's own settings.
    pub written: String,
    /// Where the configuration has it; for a server's own settings, where the server is. `None` where no file says it.
    pub place: Option<Span>,
    /// Whether `name` is a regular expression.
    pub is_regex: bool,
    /// Its `if` blocks, in order, each a location without a name.
    pub conditionals: Vec<LocationId>,
    /// The http core's settings.
    pub core: Arc<Core>,
    /// The handlers.
    pub plan: Plan,
    /// The filters, first to last.
    pub filters: Vec<Box<dyn BoundFilter>>,
    /// Settings of the modules whose variables depend on the location.
    pub(crate) settings: Vec<Settings>,
    /// `limit_except`: methods it lets be, and the settings of all others.
    pub limit_except: Option<(Vec<Method>, LocationId)>,
}

impl Runtime {
    /// The folders of bodies on disk, those of answers too, each once.
    #[must_use]
    pub fn body_folders(&self) -> BTreeSet<&Path> {
        let of_bodies = self.locations.iter().map(|location| location.core.client_body_temp_path().path.as_path());
        of_bodies.chain(self.folders.iter().map(PathBuf::as_path)).collect()
    }
}

impl Server {
    /// The first name, empty when there is none.
    #[must_use]
    pub fn first_name(&self) -> &[u8] {
        let name = self.names.first().map(String::as_bytes).unwrap_or_default();
        name.strip_prefix(b".").unwrap_or(name) // `.name` is the name itself, and all below it.
    }
}

impl Location {
    /// The settings for a request with `method` at this location, whose own index is `id`.
    #[must_use]
    pub fn for_method(&self, id: LocationId, method: &Method) -> LocationId {
        match &self.limit_except {
            Some((methods, limited)) if !methods.contains(method) => *limited,
            _ => id,
        }
    }

    /// The settings of the module whose settings have this type; `None` where it defines no variables.
    #[must_use]
    pub fn settings<C: 'static>(&self) -> Option<&C> {
        self.settings.iter().find_map(|settings| settings.downcast_ref())
    }

    /// Octets of the path that `alias` replaces; [`crate::config::WHOLE_PATH`] where it names the file itself.
    #[must_use]
    pub fn prefix_length(&self) -> usize {
        self.core.alias_prefix.unwrap_or(0)
    }
}

/// The runtime with what belongs to one thread.
pub struct ThreadRuntime {
    /// What all threads share.
    pub shared: Arc<Runtime>,
    /// The application pools' ends on this thread, by their number.
    pub backends: Vec<Rc<dyn Backend>>,
    /// Which configuration of this process it is.
    pub generation: Arc<Generation>,
}

impl ThreadRuntime {
    pub(crate) fn new(installed: &Installed, backends: Vec<Rc<dyn Backend>>) -> Rc<Self> {
        let shared = Arc::clone(&installed.runtime);
        Rc::new(Self { shared, backends, generation: Arc::clone(&installed.generation) })
    }

    /// Which listener of `next` has the address and the protocol of ours.
    pub(crate) fn place_in(&self, listener: ListenerId, next: &Self) -> Option<ListenerId> {
        let setting = &self.listener(listener).setting;
        let is_same = |other: &ListenerRuntime| {
            other.setting.address == setting.address
                && other.setting.protocol == setting.protocol
                && other.setting.is_tls == setting.is_tls
        };
        let at = next.shared.listeners.iter().position(is_same)?;
        u32::try_from(at).ok().map(ListenerId)
    }

    /// The server with this index.
    #[must_use]
    pub fn server(&self, id: ServerId) -> &Server {
        &self.shared.servers[id.0 as usize]
    }

    /// The location with this index.
    #[must_use]
    pub fn location(&self, id: LocationId) -> &Location {
        &self.shared.locations[id.0 as usize]
    }

    /// The listener with this index.
    #[must_use]
    pub fn listener(&self, id: ListenerId) -> &ListenerRuntime {
        &self.shared.listeners[id.0 as usize]
    }

    /// The server that answers on a listener when no name fits.
    #[must_use]
    pub fn default_server(&self, id: ListenerId) -> ServerId {
        self.listener(id).default_server
    }
}
