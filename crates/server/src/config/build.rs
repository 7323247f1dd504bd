//! Typed settings to runtime: inheritance, names resolved, logs opened. Nothing is bound here.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daemun_conf::{Context, Diagnostic, Loader, Span};
use daemun_net::{BindOptions, ListenAddress};

use super::core::{CORE, Core, ErrorLogPlace, ErrorLogSetting};
use super::listen::{Listen, default_listen};
use super::walk::{HttpBlock, LimitExcept, LocationBlock, Scope, ServerScope, Typed};
use crate::backend::{BackendId, SocketName};
use crate::background::Background;
use crate::listener::{ListenerSetting, Protocol};
use crate::log::{ErrorLog, ErrorTarget, Level, LogFile};
use crate::module::{AnyModule, BoundFilter, Settings};
use crate::phase::{Phase, Plan, Step};
use crate::route::{LocationTree, Matcher, ServerNames};
use crate::runtime::{ListenerRuntime, Location, LocationId, Runtime, Server, ServerId};
use crate::tls::VirtualTls;
use crate::variable::{Template, close_registry, open_registry};
use crate::zone::{ZoneName, Zones};

/// What the runtime is made of.
pub struct BuildInput<'a> {
    /// The typed configuration.
    pub typed: Typed,
    /// All modules, in the order of [`super::walk`].
    pub modules: &'static [&'static dyn AnyModule],
    /// Where relative paths begin.
    pub prefix: PathBuf,
    /// Where the main file is, and where paths of some directives begin.
    pub configuration_folder: PathBuf,
    /// Where the error log is until the configuration says otherwise; `None` is stderr.
    pub error_log: Option<PathBuf>,
    /// Where large bodies wait unless `client_body_temp_path` says otherwise.
    pub body_folder: PathBuf,
    /// Application pools by the sockets they listen on.
    pub backends: HashMap<SocketName, BackendId>,
    /// Listeners of application pools.
    pub pool_listeners: Vec<PoolListener>,
    /// How log files are come by.
    pub log_access: LogAccess,
    /// The logs of the configuration in force so far: a path among them goes on as the same log.
    pub known_logs: Vec<LogFile>,
    /// Reads the files that the configuration names.
    pub files: &'a dyn Loader,
    /// The zones of the runtime that this one takes the place of.
    pub zones: Zones,
}

/// How the build comes by log files.
#[derive(Debug)]
pub enum LogAccess {
    /// Not at all: a check of the configuration leaves them alone.
    Forbidden,
    /// By opening them.
    Open,
    /// By what somebody with more rights has opened, and by opening the others.
    Given(Vec<(PathBuf, OwnedFd)>),
}

/// A listener whose every request goes to one application pool.
pub struct PoolListener {
    /// Where it listens.
    pub address: ListenAddress,
    /// How it is bound.
    pub options: BindOptions,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Hands the request to the pool.
    pub content: Box<dyn Step>,
    /// What sees every request at its end.
    pub log: Option<Box<dyn Step>>,
    /// What the answers go through; nothing where all of them are the application's own.
    pub filters: Vec<Box<dyn BoundFilter>>,
}

/// What [`crate::module::Module::finish`] may ask for.
pub struct Build<'a> {
    prefix: &'a Path,
    configuration_folder: &'a Path,
    error_log: Option<&'a Path>,
    body_folder: &'a Path,
    backends: &'a HashMap<SocketName, BackendId>,
    log_access: LogAccess,
    known_logs: Vec<LogFile>,
    /// The kind of block that is being closed.
    context: Context,
    /// How the server that is being closed speaks TLS.
    tls: Option<Arc<VirtualTls>>,
    /// Reads what the configuration names.
    files: &'a dyn Loader,
    /// What was read of it.
    read: RefCell<HashMap<PathBuf, Vec<u8>>>,
    /// Length of the name of the location that is being closed.
    prefix_length: usize,
    /// `server_name`s of the server that is being closed.
    server_names: Vec<String>,
    /// The name of the location that is being closed; `None` for a named one and one by a regular expression.
    location_name: Option<String>,
    /// Whether the location that is being closed wants its slash.
    wants_slash: bool,
    /// Whether the server that is being closed takes `CONNECT`.
    allows_connect: bool,
    /// Folders of temporary files that modules name.
    folders: BTreeSet<PathBuf>,
    logs: Vec<LogFile>,
    diagnostics: Vec<Diagnostic>,
    earlier_zones: Zones,
    zones: Zones,
    background: Vec<Arc<dyn Background>>,
    published: HashMap<TypeId, Box<dyn Any>>,
}

impl Build<'_> {
    /// The kind of block whose settings are being finished: `MAIN`, `HTTP`, `SERVER`, `LOCATION`, `IF_IN_LOCATION` or
    /// `LIMIT_EXCEPT`.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// Octets of a path that the location being finished has matched; [`super::WHOLE_PATH`] for a regular expression.
    #[must_use]
    pub fn prefix_length(&self) -> usize {
        self.prefix_length
    }

    /// `server_name`s, as written, of the server that the block being finished stands in or is.
    #[must_use]
    pub fn server_names(&self) -> &[String] {
        &self.server_names
    }

    /// The prefix that the location being finished stands for; `None` for one by a regular expression and a named one.
    #[must_use]
    pub fn location_name(&self) -> Option<&str> {
        self.location_name.as_deref()
    }

    /// Where large bodies wait unless `client_body_temp_path` says otherwise.
    #[must_use]
    pub fn body_folder(&self) -> &'_ Path {
        self.body_folder
    }

    /// Says how the server being finished speaks TLS.
    pub fn set_tls(&mut self, tls: VirtualTls) {
        self.tls = Some(Arc::new(tls));
    }

    /// A file that the configuration names, read with the rights of whoever reads the configuration, and once however many name it.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let Some(octets) = self.read.borrow().get(path) {
            return Ok(octets.clone());
        }
        let octets = self.files.read(path)?;
        self.read.borrow_mut().insert(path.to_owned(), octets.clone());
        Ok(octets)
    }

    /// Makes a value known to the modules that are closed later: the upstream groups, the zones.
    pub fn publish<T: 'static>(&mut self, value: T) {
        self.published.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// What another module has published.
    #[must_use]
    pub fn published<T: 'static>(&self) -> Option<&T> {
        self.published.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The state of the zone that `name` declares: what an earlier runtime knew by that name for the same use and of the
    /// same size, or what `make` makes.
    ///
    /// # Errors
    /// When the name stands for another zone already.
    pub fn zone<T: Any + Send + Sync>(
        &mut self,
        name: &ZoneName<'_>,
        make: impl FnOnce() -> T,
    ) -> Result<Arc<T>, Diagnostic> {
        self.zones.declare(name, &self.earlier_zones, make)
    }

    /// Has `work` done beside requests for as long as this configuration is in force.
    pub fn run_beside(&mut self, work: Arc<dyn Background>) {
        self.background.push(work);
    }

    /// The pool of this name, for `app:NAME`.
    #[must_use]
    pub fn backend_by_name(&self, name: &str) -> Option<BackendId> {
        self.backends.get(&SocketName::Pool(name.to_owned())).copied()
    }

    /// The location that is being closed is somebody else's: a path that lacks but the slash at the end of its name is redirected.
    pub fn want_slash(&mut self) {
        self.wants_slash = true;
    }

    /// The server that is being closed, or that the location stands in, takes `CONNECT`.
    pub fn allow_connect(&mut self) {
        self.allows_connect = true;
    }

    /// Has the folder of temporary files made when the program starts, for the user that requests are served as; gives its
    /// absolute path.
    pub fn temporary_folder(&mut self, path: &Path) -> PathBuf {
        let path = self.absolute(path);
        self.folders.insert(path.clone());
        path
    }

    /// `path` below the prefix, unless it is absolute.
    #[must_use]
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.prefix.join(path)
    }

    /// Makes a path template absolute, unless it begins with a variable.
    pub fn make_absolute(&self, path: &mut Template) {
        if path.begins_relative() {
            path.prepend(format!("{}/", self.prefix.display().to_string().trim_end_matches('/')).as_bytes());
        }
    }

    /// The folder of the main file, where some relative paths begin.
    #[must_use]
    pub fn configuration_folder(&self) -> PathBuf {
        self.prefix.join(self.configuration_folder)
    }

    /// As [`Build::make_absolute`], below the folder of the main file.
    pub fn make_absolute_beside_configuration(&self, path: &mut Template) {
        if path.begins_relative() {
            let folder = self.prefix.join(self.configuration_folder);
            path.prepend(format!("{}/", folder.display().to_string().trim_end_matches('/')).as_bytes());
        }
    }

    /// The pool that listens on `socket`.
    #[must_use]
    pub fn backend(&self, socket: &SocketName) -> Option<BackendId> {
        self.backends.get(socket).copied()
    }

    /// Says something, once however many blocks inherit it. An error stops the program when everything has been read.
    pub fn warn(&mut self, diagnostic: Diagnostic) {
        if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// The log file at `path`; the same file for the same path.
    pub fn log_file(&mut self, path: &Path) -> Option<LogFile> {
        let path = self.absolute(path);
        if let Some(known) = self.logs.iter().find(|log| log.path() == Some(&path)) {
            return Some(known.clone());
        }
        match self.open_log(&path)? {
            Ok(log) => {
                self.logs.push(log.clone());
                Some(log)
            }
            Err(error) => {
                let message = format!("open() \"{}\" failed ({error})", path.display());
                self.warn(Diagnostic::error_without_place(message));
                None
            }
        }
    }

    /// `None` where logs are left alone.
    fn open_log(&mut self, path: &Path) -> Option<io::Result<LogFile>> {
        let given = match &mut self.log_access {
            LogAccess::Forbidden => return None,
            LogAccess::Open => None,
            LogAccess::Given(files) => {
                let at = files.iter().position(|(given, _)| given == path);
                at.map(|at| File::from(files.swap_remove(at).1))
            }
        };
        let known = self.known_logs.iter().find(|log| log.path() == Some(path));
        Some(match (known, given) {
            (Some(log), Some(file)) => {
                log.replace(file);
                Ok(log.successor())
            }
            // As after a rename: whoever holds the log goes on in the new file.
            (Some(log), None) => log.reopen().map(|()| log.successor()),
            (None, Some(file)) => Ok(LogFile::adopt(path, file)),
            (None, None) => LogFile::open(path),
        })
    }

    pub(super) fn error_log(&mut self, settings: Option<&[ErrorLogSetting]>) -> ErrorLog {
        let place = self.error_log.map_or(ErrorLogPlace::Stderr, |path| ErrorLogPlace::File(path.to_owned()));
        let default = [ErrorLogSetting { place, level: Level::Error }];
        let mut targets = Vec::new();
        for setting in settings.unwrap_or(&default) {
            let target = match &setting.place {
                ErrorLogPlace::File(path) => self.log_file(path).map(ErrorTarget::File),
                ErrorLogPlace::Stderr => LogFile::stderr().ok().map(ErrorTarget::File),
                ErrorLogPlace::Syslog(server) => Some(ErrorTarget::Syslog(server.clone())),
            };
            targets.extend(target.map(|target| (target, setting.level)));
        }
        ErrorLog::new(targets)
    }
}

/// Makes the runtime.
///
/// # Errors
/// All that is wrong; warnings among them where there is at least one error.
pub fn build(input: BuildInput<'_>) -> Result<(Runtime, Vec<Diagnostic>), Vec<Diagnostic>> {
    let BuildInput {
        mut typed,
        modules,
        prefix,
        configuration_folder,
        error_log,
        body_folder,
        backends,
        pool_listeners,
        log_access,
        known_logs,
        files,
        zones,
    } = input;
    let diagnostics = std::mem::take(&mut typed.diagnostics);
    open_registry(std::mem::take(&mut typed.variables));
    let build = Build {
        prefix: &prefix,
        configuration_folder: &configuration_folder,
        error_log: error_log.as_deref(),
        body_folder: &body_folder,
        backends: &backends,
        log_access,
        known_logs,
        context: Context::MAIN,
        tls: None,
        files,
        read: RefCell::default(),
        prefix_length: 0,
        server_names: Vec::new(),
        location_name: None,
        wants_slash: false,
        allows_connect: false,
        folders: BTreeSet::new(),
        logs: Vec::new(),
        diagnostics,
        earlier_zones: zones,
        zones: Zones::default(),
        background: Vec::new(),
        published: HashMap::new(),
    };
    let mut builder = Builder {
        build,
        modules,
        servers: Vec::new(),
        locations: Vec::new(),
        listeners: Vec::new(),
        protocol_options: Vec::new(),
        known_names: HashSet::new(),
        lacking_slash: Vec::new(),
    };
    let main = builder.close(Context::MAIN, None, std::mem::take(&mut typed.main_scope));
    if let Some(http) = typed.http.take() {
        builder.http(&main, http);
    }
    for listener in pool_listeners {
        builder.pool_listener(&main, listener);
    }
    builder.require_certificates();
    let Builder { mut build, servers, locations, listeners, .. } = builder;
    let (variables, unknown) = close_registry().finish();
    build.diagnostics.extend(unknown);
    if build.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(build.diagnostics);
    }
    let error_log = main.first().map(core_of).map(|core| core.error_log().clone()).unwrap_or_default();
    let Build { logs, zones, folders, background, diagnostics, read, .. } = build;
    let runtime = Runtime {
        main: typed.main,
        listeners,
        servers,
        locations,
        variables,
        logs,
        folders,
        files: read.into_inner().into_keys().collect(),
        error_log,
        zones,
        background,
    };
    Ok((runtime, diagnostics))
}

struct Builder<'a> {
    build: Build<'a>,
    modules: &'static [&'static dyn AnyModule],
    servers: Vec<Server>,
    locations: Vec<Location>,
    listeners: Vec<ListenerRuntime>,
    /// Of the listeners of servers, in the same order.
    protocol_options: Vec<ProtocolOptions>,
    /// Names of the present server's locations, and whether they are those of whole paths.
    known_names: HashSet<(bool, String)>,
    /// Names of the present server's locations that want their slash, without it.
    lacking_slash: Vec<(Vec<u8>, LocationId)>,
}

/// What the `listen`s of one address have said of its protocol so far.
#[derive(Default)]
struct ProtocolOptions {
    /// Whether one of them has options of the socket.
    has_options: bool,
    /// Whether two of them differ.
    has_changed: bool,
    /// What the next one is compared with.
    settled: Option<bool>,
}

/// What a location is called, and where.
#[derive(Clone, Copy)]
struct Site<'a> {
    name: &'a str,
    written: &'a str,
    place: Span,
    is_regex: bool,
}

impl Site<'_> {
    /// A server's own settings.
    fn of_server(place: Span) -> Self {
        Self { name: "", written: "", place, is_regex: false }
    }
}

/// The settings of all modules in one block; the core's stand first.
type ClosedScope = Vec<Settings>;

impl Builder<'_> {
    /// Merges a block with its parent, module by module.
    fn close(&mut self, context: Context, parent: Option<&ClosedScope>, scope: Scope) -> ClosedScope {
        self.build.context = context;
        let mut open = scope.settings;
        open.resize_with(self.modules.len() + 1, || None);
        let mut closed = Vec::with_capacity(open.len());
        for (number, open) in open.into_iter().enumerate() {
            let module: &dyn AnyModule = if number == 0 { &CORE } else { self.modules[number - 1] };
            let parent_settings = parent.map(|parent| &parent[number]);
            match module.close(parent_settings, open, &mut self.build) {
                Ok(settings) => closed.push(settings),
                Err(diagnostic) => {
                    self.build.warn(diagnostic);
                    // The build fails at its end; until then the module's defaults stand in.
                    let stand_in = parent_settings.cloned().or_else(|| module.close(None, None, &mut self.build).ok());
                    closed.extend(stand_in);
                }
            }
        }
        closed
    }

    fn http(&mut self, main: &ClosedScope, http: HttpBlock) {
        let scope = self.close(Context::HTTP, Some(main), http.scope);
        for server in http.servers {
            self.server(&scope, server);
        }
    }

    fn server(&mut self, http: &ClosedScope, mut server: ServerScope) {
        let names: Vec<String> = server.block.names.iter().map(|(name, _)| name.clone()).collect();
        self.build.server_names.clone_from(&names);
        self.build.tls = None;
        self.build.allows_connect = false;
        let scope = self.close(Context::SERVER, Some(http), std::mem::take(&mut server.scope));
        let tls = self.build.tls.take();
        let settings = self.location(Site::of_server(server.span), &scope, Vec::new());
        let mut entries = Vec::new();
        let mut named = HashMap::new();
        self.known_names.clear();
        for location in server.locations {
            self.location_block(&scope, location, None, &mut entries, &mut named);
        }
        let tree = LocationTree::new(entries).with_redirects(std::mem::take(&mut self.lacking_slash));
        let id = ServerId(u32::try_from(self.servers.len()).unwrap_or(u32::MAX));
        let allows_connect = self.build.allows_connect;
        self.servers.push(Server { names, tls, settings, tree, named, allows_connect });
        let mut listens = server.block.listens;
        if listens.is_empty() {
            listens.push((default_listen(), server.span));
        }
        for (listen, span) in listens {
            self.listen(listen, span, id, &server.block.names);
        }
    }

    fn location_block(
        &mut self,
        parent: &ClosedScope,
        block: LocationBlock,
        within: Option<&str>,
        entries: &mut Vec<(Matcher, LocationId, Option<String>)>,
        named: &mut HashMap<String, LocationId>,
    ) {
        let is_regex = matches!(block.matcher, Some(Matcher::Regex(_)));
        self.build.prefix_length = if is_regex { super::WHOLE_PATH } else { block.name.len() };
        self.build.location_name = (!is_regex && block.matcher.is_some()).then(|| block.name.clone());
        self.build.wants_slash = false;
        let scope = self.close(Context::LOCATION, Some(parent), block.scope);
        let wants_slash = self.build.wants_slash && !is_regex && block.matcher.is_some();
        let is_prefix = matches!(block.matcher, Some(Matcher::Prefix { .. }));
        let site = Site { name: &block.name, written: &block.written, place: block.span, is_regex };
        let mut conditionals = Vec::new();
        for conditional in block.conditionals {
            let inner = self.close(Context::IF_IN_LOCATION, Some(&scope), conditional);
            conditionals.push(self.location(site, &inner, Vec::new()));
        }
        let id = self.location(site, &scope, conditionals);
        if let Some(LimitExcept { methods, scope: limited }) = block.limit_except {
            let limited = self.close(Context::LIMIT_EXCEPT, Some(&scope), limited);
            let limited = self.location(site, &limited, Vec::new());
            self.locations[id.0 as usize].limit_except = Some((methods, limited));
        }
        if let Some(name) = block.name.strip_suffix('/').filter(|_| wants_slash) {
            self.lacking_slash.push((name.as_bytes().to_vec(), id));
        }
        match block.matcher {
            Some(matcher) => {
                let is_new = match &matcher {
                    Matcher::Exact(name) => self.known_names.insert((true, name.clone())),
                    Matcher::Prefix { name, .. } => self.known_names.insert((false, name.clone())),
                    Matcher::Regex(_) => true,
                };
                if !is_new {
                    self.error(block.span, format!("duplicate location \"{}\"", block.name));
                }
                entries.push((matcher, id, within.map(str::to_owned)));
            }
            None if block.name.is_empty() => {}
            None => {
                if named.insert(block.name.clone(), id).is_some() {
                    self.error(block.span, format!("duplicate location \"{}\"", block.name));
                }
            }
        }
        for child in block.locations {
            let within = if is_prefix { Some(block.name.as_str()) } else { within };
            self.location_block(&scope, child, within, entries, named);
        }
    }

    fn location(&mut self, site: Site<'_>, scope: &ClosedScope, conditionals: Vec<LocationId>) -> LocationId {
        let mut plan = Plan::default();
        let mut filters = Vec::new();
        let mut kept = Vec::new();
        for (module, settings) in self.modules.iter().zip(&scope[1..]) {
            module.plan(settings, &mut plan, &mut filters);
            if !module.variables().is_empty() {
                kept.push(Arc::clone(settings));
            }
        }
        let core = core_of(&scope[0]);
        self.push_location(Location {
            name: site.name.to_owned(),
            written: site.written.to_owned(),
            place: Some(site.place),
            is_regex: site.is_regex,
            conditionals,
            core,
            plan,
            filters,
            settings: kept,
            limit_except: None,
        })
    }

    fn push_location(&mut self, location: Location) -> LocationId {
        self.locations.push(location);
        LocationId(u32::try_from(self.locations.len() - 1).unwrap_or(u32::MAX))
    }

    fn listen(&mut self, listen: Listen, span: Span, server: ServerId, names: &[(String, Span)]) {
        for address in &listen.addresses {
            let at = self.listener(address, &listen);
            if self.protocol_options.get(at).is_some_and(|seen| seen.has_options) && listen.has_options {
                let message = format!("duplicate listen options for {address}");
                self.build.diagnostics.push(Diagnostic::error(span, message));
                continue;
            }
            if self.redefines_protocol(at, &listen) {
                let message = format!("protocol options redefined for {address}");
                self.build.diagnostics.push(Diagnostic::warning(span, message));
            }
            let listener = &mut self.listeners[at];
            listener.setting.proxy_protocol |= listen.proxy_protocol;
            if listen.is_tls {
                listener.setting.is_tls = true;
                listener.tls_span.get_or_insert(span);
            }
            listener.setting.http2 |= listen.http2;
            if let Some(protocol) = listen.protocol {
                let before = std::mem::replace(&mut listener.setting.protocol, protocol);
                if before != protocol && before != Protocol::Http {
                    let message =
                        format!("{address} speaks {} and cannot speak {} too", before.name(), protocol.name());
                    self.build.diagnostics.push(Diagnostic::error(span, message));
                }
            }
            let listener = &mut self.listeners[at];
            if listen.has_options {
                listener.setting.options = listen.options.clone();
            }
            if listen.is_default {
                if std::mem::replace(&mut listener.has_default, true) {
                    let message = format!("a duplicate default server for {address}");
                    self.build.diagnostics.push(Diagnostic::error(span, message));
                    continue;
                }
                listener.default_server = server;
            } else if !listener.has_server {
                listener.default_server = server;
            }
            listener.has_server = true;
            // A server without names has the empty one.
            let empty = names.iter().find(|(name, _)| name.is_empty()).map(|(_, span)| *span);
            if let Some(span) = empty.or(names.is_empty().then_some(span))
                && *listener.unnamed.get_or_insert(server) != server
            {
                let message = format!("conflicting server name \"\" on {address}, ignored");
                self.build.diagnostics.push(Diagnostic::warning(span, message));
            }
            let mut own = HashSet::new();
            // The same name twice is one name.
            let names = names.iter().filter(|(name, _)| !name.is_empty() && own.insert(name.to_ascii_lowercase()));
            for (name, span) in names {
                match listener.names.insert(name, server) {
                    Ok(true) => {}
                    Ok(false) => {
                        let message = format!("conflicting server name \"{name}\" on {address}, ignored");
                        self.build.diagnostics.push(Diagnostic::warning(*span, message));
                    }
                    Err(error) => self.build.diagnostics.push(Diagnostic::error(*span, error.to_string())),
                }
            }
        }
    }

    /// Whether a further `listen` of an address says something else of its protocol, by nginx's rules: what the one with the
    /// socket's options says counts, else what the one before says.
    fn redefines_protocol(&mut self, at: usize, listen: &Listen) -> bool {
        let Some(seen) = self.protocol_options.get_mut(at) else {
            self.protocol_options
                .push(ProtocolOptions { has_options: listen.has_options, ..ProtocolOptions::default() });
            return false;
        };
        let (is, was) = (listen.proxy_protocol, self.listeners[at].setting.proxy_protocol);
        let differs = seen.settled.is_some_and(|settled| settled != is);
        let is_redefined = match (is, was) {
            (true, false) => seen.has_options && !listen.has_options || seen.has_changed,
            (false, true) => listen.has_options || differs,
            _ => listen.has_options && seen.has_changed || differs,
        };
        seen.settled = Some(if is && !was { was } else { is });
        seen.has_changed |= is != was;
        seen.has_options |= listen.has_options;
        is_redefined
    }

    /// Who answers where connections are encrypted has a certificate to show.
    fn require_certificates(&mut self) {
        for listener in &self.listeners {
            let Some(span) = listener.tls_span else { continue };
            let tls = self.servers[listener.default_server.0 as usize].tls.as_ref();
            if !tls.is_some_and(|tls| tls.server.is_some() || tls.rejects_handshake) {
                let text = "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive";
                self.build.diagnostics.push(Diagnostic::error(span, text));
            }
        }
    }

    /// The listener for `address`, made if there is none.
    fn listener(&mut self, address: &ListenAddress, listen: &Listen) -> usize {
        if let Some(at) = self.listeners.iter().position(|listener| listener.setting.address == *address) {
            return at;
        }
        let setting = ListenerSetting {
            address: address.clone(),
            options: listen.options.clone(),
            protocol: Protocol::Http,
            proxy_protocol: listen.proxy_protocol,
            is_tls: listen.is_tls,
            http2: listen.http2,
        };
        self.listeners.push(ListenerRuntime {
            setting,
            names: ServerNames::default(),
            unnamed: None,
            tls_span: None,
            default_server: ServerId(0),
            has_server: false,
            has_default: false,
        });
        self.listeners.len() - 1
    }

    fn pool_listener(&mut self, main: &ClosedScope, pool: PoolListener) {
        let mut plan = Plan::default();
        plan.push(Phase::Content, pool.content);
        if let Some(log) = pool.log {
            plan.push(Phase::Log, log);
        }
        let core = Arc::new(Core::of_pool(&core_of(&main[0])));
        let location = self.push_location(Location {
            name: "/".to_owned(),
            written: "/".to_owned(),
            place: None,
            is_regex: false,
            conditionals: Vec::new(),
            core: Arc::clone(&core),
            plan,
            filters: pool.filters,
            settings: Vec::new(),
            limit_except: None,
        });
        let settings = self.push_location(Location {
            name: String::new(),
            written: String::new(),
            place: None,
            is_regex: false,
            conditionals: Vec::new(),
            core,
            plan: Plan::default(),
            filters: Vec::new(),
            settings: Vec::new(),
            limit_except: None,
        });
        let matcher = Matcher::Prefix { name: String::new(), is_final: true };
        let tree = LocationTree::new(vec![(matcher, location, None)]);
        self.servers.push(Server {
            names: Vec::new(),
            tls: None,
            settings,
            tree,
            named: HashMap::new(),
            allows_connect: false,
        });
        let default_server = ServerId(u32::try_from(self.servers.len() - 1).unwrap_or(u32::MAX));
        let setting = ListenerSetting {
            address: pool.address,
            options: pool.options,
            protocol: pool.protocol,
            proxy_protocol: false,
            is_tls: false,
            http2: false,
        };
        self.listeners.push(ListenerRuntime {
            setting,
            names: ServerNames::default(),
            unnamed: None,
            tls_span: None,
            default_server,
            has_server: true,
            has_default: true,
        });
    }

    fn error(&mut self, span: Span, message: String) {
        self.build.diagnostics.push(Diagnostic::error(span, message));
    }
}

fn core_of(settings: &Settings) -> Arc<Core> {
    Arc::clone(settings).downcast::<Core>().expect("the core's settings stand first")
}
