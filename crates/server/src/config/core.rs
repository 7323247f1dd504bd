//! The http core's settings of a location, and their directives.

mod http2;
mod setters;
mod table;
mod transfer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive};
use daemun_http::StatusCode;

use super::{Build, GzipClients, HTTP_SERVER_LOCATION, gzip_clients, inherit};
use crate::body::BodyFolder;
use crate::log::{ErrorLog, Level, Syslog};
use crate::module::Module;
use crate::request::Request;
use crate::variable::Template;
use setters::{
    set_alias, set_client_body_temp_path, set_error_log, set_error_page, set_if_modified_since, set_keepalive_disable,
    set_keepalive_timeout, set_large_client_header_buffers, set_open_file_cache, set_root, set_server_tokens,
    set_tcp_nopush, set_types,
};

pub use http2::Http2;
pub(crate) use transfer::size_of;
pub use transfer::{DisableSymlinks, LingeringClose, LinkMode, Transfer};

/// The http core as a module: it has settings and directives, and no handler of its own.
pub static CORE: Module<Core> = Module {
    name: "core",
    directives: &table::ALL_DIRECTIVES,
    merge: Core::merge,
    finish: Core::finish,
    is_active: |_| true, // Every block has its own.
    phases: &[],
    filters: &[],
    variables: &[],
};

/// Settings of one location. An unset field is inherited from the enclosing block.
#[derive(Default)]
pub struct Core {
    root: Option<Template>,
    /// `alias`; inherited together with `root`, since a block has either.
    pub alias: Option<Template>,
    /// Octets of the path that `alias` replaces, once it is known which location says so; [`WHOLE_PATH`] within a regular
    /// expression.
    pub alias_prefix: Option<usize>,
    types: Option<Arc<HashMap<Vec<u8>, Vec<u8>>>>,
    default_type: Option<Vec<u8>>,
    client_max_body_size: Option<u64>,
    client_body_buffer_size: Option<u64>,
    client_body_temp_path: Option<BodyFolder>,
    client_body_timeout: Option<Duration>,
    client_header_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    keepalive_timeout: Option<Duration>,
    keepalive_min_timeout: Option<Duration>,
    keepalive_requests: Option<u64>,
    keepalive_header: Option<Duration>,
    keepalive_time: Option<Duration>,
    keepalive_disable: Option<KeepAliveDisable>,
    max_headers: Option<u64>,
    sendfile: Option<bool>,
    tcp_nopush: Option<bool>,
    tcp_nodelay: Option<bool>,
    server_tokens: Option<ServerTokens>,
    error_pages: Option<Arc<Vec<ErrorPage>>>,
    /// `internal`; never inherited.
    pub internal: bool,
    etag: Option<bool>,
    if_modified_since: Option<IfModifiedSince>,
    merge_slashes: Option<bool>,
    log_not_found: Option<bool>,
    uninitialized_variable_warn: Option<bool>,
    recursive_error_pages: Option<bool>,
    log_subrequest: Option<bool>,
    subrequest_output_buffer_size: Option<u64>,
    satisfy: Option<Satisfy>,
    auth_delay: Option<Duration>,
    absolute_redirect: Option<bool>,
    port_in_redirect: Option<bool>,
    server_name_in_redirect: Option<bool>,
    chunked_transfer_encoding: Option<bool>,
    pub(super) early_hints: Option<Arc<Vec<Template>>>,
    underscores_in_headers: Option<bool>,
    ignore_invalid_headers: Option<bool>,
    max_ranges: Option<u64>,
    open_file_cache: Option<Option<OpenFileCache>>,
    open_file_cache_valid: Option<Duration>,
    open_file_cache_min_uses: Option<u64>,
    open_file_cache_errors: Option<bool>,
    large_client_header_buffers: Option<(u64, u64)>,
    /// How bodies and answers cross the connection.
    pub transfer: Transfer,
    /// HTTP/2.
    pub http2: Http2,
    /// Which clients take gzip.
    pub gzip_clients: GzipClients,
    error_log: Option<Arc<Vec<ErrorLogSetting>>>,
    /// Filled when the logs are known.
    opened_error_log: OnceLock<ErrorLog>,
}

/// What [`Core::alias_prefix`] is where `alias` names the file itself.
pub const WHOLE_PATH: usize = usize::MAX;

/// `server_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTokens {
    /// Name and version.
    On,
    /// Name alone.
    Off,
}

/// `keepalive_disable`: browsers whose connections are closed after a request they are known to get wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAliveDisable {
    /// Old Internet Explorers, after a POST.
    pub msie6: bool,
    /// Safari on a Mac.
    pub safari: bool,
}

/// `satisfy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Satisfy {
    /// Every step of the access phase must let the request in.
    All,
    /// One is enough.
    Any,
}

/// `if_modified_since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfModifiedSince {
    /// The field is ignored.
    Off,
    /// The times must be equal.
    Exact,
    /// The file must not be newer.
    Before,
}

/// `open_file_cache max=N inactive=T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFileCache {
    /// Files kept at most.
    pub files_max: usize,
    /// A file not asked for within this time is dropped.
    pub inactive: Duration,
}

/// One `error_page`.
#[derive(Clone)]
pub struct ErrorPage {
    /// Statuses it stands for.
    pub statuses: Vec<StatusCode>,
    /// `=code`: the status that is sent; `Some(None)` is `=` alone: the status of whoever answers.
    pub replacement: Option<Option<StatusCode>>,
    /// A path, a URL or `@name`.
    pub target: Template,
}

/// One `error_log` as written.
#[derive(Clone, Debug)]
pub struct ErrorLogSetting {
    /// Where lines go.
    pub place: ErrorLogPlace,
    /// The least severe level written.
    pub level: Level,
}

/// Where an `error_log` writes.
#[derive(Clone, Debug)]
pub enum ErrorLogPlace {
    /// The standard error output.
    Stderr,
    /// A file.
    File(PathBuf),
    /// A syslog server.
    Syslog(Syslog),
}

/// What holds where nothing is said. Sizes are octets.
mod defaults {
    use std::time::Duration;

    pub const CLIENT_MAX_BODY_SIZE: u64 = 1024 * 1024;
    pub const CLIENT_BODY_BUFFER_SIZE: u64 = 16 * 1024;
    pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);
    pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(75);
    pub const KEEPALIVE_REQUESTS: u64 = 1_000;
    pub const KEEPALIVE_TIME: Duration = Duration::from_secs(3_600);
    pub const MAX_HEADERS: u64 = 1_000;
    pub const OPEN_FILE_CACHE_VALID: Duration = Duration::from_secs(60);
    pub const LARGE_CLIENT_HEADER_BUFFERS: (u64, u64) = (4, 8 * 1024);
}

impl Core {
    fn merge(parent: &Self, child: &mut Self) {
        if child.alias.is_none() && child.root.is_none() {
            inherit!(parent, child; root, alias, alias_prefix);
        }
        inherit!(parent, child;
            types, default_type, client_max_body_size, client_body_buffer_size, client_body_temp_path, client_body_timeout,
            client_header_timeout, send_timeout, keepalive_timeout, keepalive_min_timeout, keepalive_requests, keepalive_header, keepalive_time,
            keepalive_disable, max_headers, sendfile, tcp_nopush, tcp_nodelay,
            server_tokens, error_pages, etag, if_modified_since, merge_slashes, log_not_found, uninitialized_variable_warn,
            recursive_error_pages, log_subrequest, subrequest_output_buffer_size, satisfy, auth_delay, absolute_redirect,
            port_in_redirect, server_name_in_redirect, chunked_transfer_encoding, early_hints, underscores_in_headers, ignore_invalid_headers, max_ranges,
            open_file_cache, open_file_cache_valid, open_file_cache_min_uses, open_file_cache_errors, large_client_header_buffers, error_log);
        Transfer::merge(&parent.transfer, &mut child.transfer);
        Http2::merge(&parent.http2, &mut child.http2);
        GzipClients::merge(&parent.gzip_clients, &mut child.gzip_clients);
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of every module's finish")]
    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        if self.alias.is_some() {
            self.alias_prefix.get_or_insert(build.prefix_length());
        }
        for root in [&mut self.root, &mut self.alias].into_iter().flatten() {
            build.make_absolute(root);
        }
        self.root.get_or_insert_with(|| {
            Template::constant(build.absolute(Path::new("html")).as_os_str().as_encoded_bytes())
        });
        let written = self.client_body_temp_path.take();
        let folder = written.unwrap_or_else(|| BodyFolder { path: build.body_folder().to_owned(), levels: Vec::new() });
        self.client_body_temp_path = Some(BodyFolder { path: build.absolute(&folder.path), ..folder });
        let log = build.error_log(self.error_log.as_deref().map(Vec::as_slice));
        self.opened_error_log.get_or_init(|| log);
        Ok(())
    }

    /// Settings of a listener that belongs to an application pool: uWSGI limits no body.
    pub(super) fn of_pool(main: &Self) -> Self {
        let core = Self { client_max_body_size: Some(0), error_log: main.error_log.clone(), ..Self::default() };
        core.opened_error_log.get_or_init(|| main.error_log().clone());
        Self { root: main.root.clone(), client_body_temp_path: main.client_body_temp_path.clone(), ..core }
    }

    /// `root`, absolute unless it begins with a variable.
    ///
    /// # Panics
    /// Never: `finish` sets it.
    #[must_use]
    pub fn root(&self) -> &Template {
        self.root.as_ref().expect("set when the block was closed")
    }

    /// The MIME type of a file name, by its extension.
    #[must_use]
    pub fn content_type(&self, path: &[u8]) -> Option<&[u8]> {
        let name = path.rsplit(|octet| *octet == b'/').next().unwrap_or(path);
        let extension = name.iter().rposition(|octet| *octet == b'.').map(|at| &name[at + 1..]);
        let by_extension = extension.and_then(|extension| match &self.types {
            Some(types) => {
                types.get(extension).or_else(|| types.get(&extension.to_ascii_lowercase())).map(Vec::as_slice)
            }
            None => default_type_of(extension),
        });
        by_extension.or(match &self.default_type {
            Some(default) => Some(default.as_slice()).filter(|default| !default.is_empty()),
            None => Some(b"text/plain"),
        })
    }

    /// Largest request body in octets; `None` is no limit.
    #[must_use]
    pub fn client_max_body_size(&self) -> Option<u64> {
        Some(self.client_max_body_size.unwrap_or(defaults::CLIENT_MAX_BODY_SIZE)).filter(|size| *size > 0)
    }

    /// Octets of a request body kept in memory before a temporary file is used.
    #[must_use]
    pub fn client_body_buffer_size(&self) -> u64 {
        self.client_body_buffer_size.unwrap_or(defaults::CLIENT_BODY_BUFFER_SIZE)
    }

    /// Folder of request bodies on disk.
    #[must_use]
    ///
    /// # Panics
    /// Never: `finish` sets it.
    pub fn client_body_temp_path(&self) -> &BodyFolder {
        self.client_body_temp_path.as_ref().expect("set when the block was closed")
    }

    /// Time between two reads of a request body.
    #[must_use]
    pub fn client_body_timeout(&self) -> Duration {
        self.client_body_timeout.unwrap_or(defaults::CLIENT_TIMEOUT)
    }

    /// Time for a whole request head.
    #[must_use]
    pub fn client_header_timeout(&self) -> Duration {
        self.client_header_timeout.unwrap_or(defaults::CLIENT_TIMEOUT)
    }

    /// Time between two writes.
    #[must_use]
    pub fn send_timeout(&self) -> Duration {
        self.send_timeout.unwrap_or(defaults::CLIENT_TIMEOUT)
    }

    /// How long an idle connection is kept; zero: not at all.
    #[must_use]
    pub fn keepalive_timeout(&self) -> Duration {
        self.keepalive_timeout.unwrap_or(defaults::KEEPALIVE_TIMEOUT)
    }

    /// `keepalive_min_timeout`: how long a connection that waits is not closed for the sake of others, nor because the edge ends.
    #[must_use]
    pub fn keepalive_min_timeout(&self) -> Duration {
        self.keepalive_min_timeout.unwrap_or_default()
    }

    /// The value of the `Keep-Alive` field, when `keepalive_timeout` has a second argument.
    #[must_use]
    pub fn keepalive_header(&self) -> Option<Duration> {
        self.keepalive_header
    }

    /// Requests a connection may serve.
    #[must_use]
    pub fn keepalive_requests(&self) -> u64 {
        self.keepalive_requests.unwrap_or(defaults::KEEPALIVE_REQUESTS)
    }

    /// How long a connection may live and take another request.
    #[must_use]
    pub fn keepalive_time(&self) -> Duration {
        self.keepalive_time.unwrap_or(defaults::KEEPALIVE_TIME)
    }

    /// Browsers whose connections are not kept.
    #[must_use]
    pub fn keepalive_disable(&self) -> KeepAliveDisable {
        self.keepalive_disable.unwrap_or(KeepAliveDisable { msie6: true, safari: false })
    }

    /// Fields of one request head at most.
    #[must_use]
    pub fn max_headers(&self) -> u64 {
        self.max_headers.unwrap_or(defaults::MAX_HEADERS)
    }

    /// Whether files go out by sendfile; so unless the configuration says otherwise.
    #[must_use]
    pub fn sendfile(&self) -> bool {
        self.sendfile.unwrap_or(true)
    }

    /// Whether Nagle's algorithm is off.
    #[must_use]
    pub fn tcp_nodelay(&self) -> bool {
        self.tcp_nodelay.unwrap_or(true)
    }

    /// What the `Server` field and error pages tell.
    #[must_use]
    pub fn server_tokens(&self) -> ServerTokens {
        self.server_tokens.unwrap_or(ServerTokens::On)
    }

    /// The page for `status`.
    #[must_use]
    pub fn error_page(&self, status: StatusCode) -> Option<&ErrorPage> {
        self.error_pages.as_ref()?.iter().find(|page| page.statuses.contains(&status))
    }

    /// Whether `ETag` is made.
    #[must_use]
    pub fn etag(&self) -> bool {
        self.etag.unwrap_or(true)
    }

    /// How `If-Modified-Since` is compared.
    #[must_use]
    pub fn if_modified_since(&self) -> IfModifiedSince {
        self.if_modified_since.unwrap_or(IfModifiedSince::Exact)
    }

    /// Whether `//` in a path is one slash.
    #[must_use]
    pub fn merge_slashes(&self) -> bool {
        self.merge_slashes.unwrap_or(true)
    }

    /// Whether a missing file is an error in the log.
    #[must_use]
    pub fn log_not_found(&self) -> bool {
        self.log_not_found.unwrap_or(true)
    }

    /// `log_subrequest`
    #[must_use]
    pub fn log_subrequest(&self) -> bool {
        self.log_subrequest.unwrap_or(false)
    }

    /// Octets of a subrequest's answer that is kept as a whole.
    #[must_use]
    pub fn subrequest_output_buffer_size(&self) -> u64 {
        self.subrequest_output_buffer_size.unwrap_or(4 * 1024)
    }

    /// `uninitialized_variable_warn`
    #[must_use]
    pub fn uninitialized_variable_warn(&self) -> bool {
        self.uninitialized_variable_warn.unwrap_or(true)
    }

    /// Whether an error page may lead to another.
    #[must_use]
    pub fn recursive_error_pages(&self) -> bool {
        self.recursive_error_pages.unwrap_or(false)
    }

    /// How many steps of the access phase must let a request in.
    #[must_use]
    pub fn satisfy(&self) -> Satisfy {
        self.satisfy.unwrap_or(Satisfy::All)
    }

    /// How long an answer 401 waits, so that guessing takes time.
    #[must_use]
    pub fn auth_delay(&self) -> Duration {
        self.auth_delay.unwrap_or_default()
    }

    /// Whether `Location` has scheme and host.
    #[must_use]
    pub fn absolute_redirect(&self) -> bool {
        self.absolute_redirect.unwrap_or(true)
    }

    /// Whether `Location` has the port.
    #[must_use]
    pub fn port_in_redirect(&self) -> bool {
        self.port_in_redirect.unwrap_or(true)
    }

    /// Whether `Location` has the server's first name in place of `Host`.
    #[must_use]
    pub fn server_name_in_redirect(&self) -> bool {
        self.server_name_in_redirect.unwrap_or(false)
    }

    /// Whether a body of unknown length is chunked for HTTP/1.1.
    #[must_use]
    pub fn chunked_transfer_encoding(&self) -> bool {
        self.chunked_transfer_encoding.unwrap_or(true)
    }

    /// Whether `early_hints` lets a server's 103 through to the client.
    #[must_use]
    pub fn sends_early_hints(&self, request: &Request) -> bool {
        self.early_hints.iter().flat_map(|texts| texts.iter()).any(|template| template.is_true(request))
    }

    /// Whether fields with underscores are known.
    #[must_use]
    pub fn underscores_in_headers(&self) -> bool {
        self.underscores_in_headers.unwrap_or(false)
    }

    /// Whether fields with invalid names are ignored; a request with one is refused otherwise.
    #[must_use]
    pub fn ignore_invalid_headers(&self) -> bool {
        self.ignore_invalid_headers.unwrap_or(true)
    }

    /// Ranges of one request; 0 refuses all.
    #[must_use]
    pub fn max_ranges(&self) -> Option<u64> {
        self.max_ranges
    }

    /// The cache of open files.
    #[must_use]
    pub fn open_file_cache(&self) -> Option<OpenFileCache> {
        self.open_file_cache.flatten()
    }

    /// After how long a cached file is looked at again.
    #[must_use]
    pub fn open_file_cache_valid(&self) -> Duration {
        self.open_file_cache_valid.unwrap_or(defaults::OPEN_FILE_CACHE_VALID)
    }

    /// Uses within `inactive` after which a file stays open.
    #[must_use]
    pub fn open_file_cache_min_uses(&self) -> u64 {
        self.open_file_cache_min_uses.unwrap_or(1)
    }

    /// Whether failures are cached too.
    #[must_use]
    pub fn open_file_cache_errors(&self) -> bool {
        self.open_file_cache_errors.unwrap_or(false)
    }

    /// Number and size in octets of `large_client_header_buffers`.
    #[must_use]
    pub fn large_client_header_buffers(&self) -> (u64, u64) {
        self.large_client_header_buffers.unwrap_or(defaults::LARGE_CLIENT_HEADER_BUFFERS)
    }

    /// Where errors are written.
    ///
    /// # Panics
    /// Never: `finish` sets it.
    #[must_use]
    pub fn error_log(&self) -> &ErrorLog {
        self.opened_error_log.get().expect("set when the block was closed")
    }
}

/// The types nginx knows without a `types` block.
fn default_type_of(extension: &[u8]) -> Option<&'static [u8]> {
    match extension {
        b"html" => Some(b"text/html"),
        b"gif" => Some(b"image/gif"),
        b"jpg" => Some(b"image/jpeg"),
        _ => None,
    }
}

const MAIN_TO_LOCATION: Context = HTTP_SERVER_LOCATION.or(Context::MAIN);
const WITH_IF: Context = HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION);
const HTTP_SERVER: Context = Context::HTTP.or(Context::SERVER);

/// An entry whose setter puts one parsed argument into one field.
macro_rules! entry {
    ($name:literal, $contexts:expr, $arity:expr, $default:literal, $help:literal, $field:ident, $read:expr) => {
        Directive {
            name: $name,
            contexts: $contexts,
            arity: $arity,
            default: $default,
            help: $help,
            set: |core: &mut Core, arguments| {
                let read: fn(&Arguments<'_>) -> Result<_, ArgumentError> = $read;
                let value = read(arguments)?;
                arguments.set_once(&mut core.$field, value)
            },
        }
    };
}

const DIRECTIVES: &[Directive<Core>] = &[
    entry!(
        "log_subrequest",
        HTTP_SERVER_LOCATION,
        Arity::Flag,
        "off",
        "on|off: subrequests are in the access log too",
        log_subrequest,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    entry!(
        "subrequest_output_buffer_size",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "4k",
        "size: the largest answer of a subrequest that is kept as a whole, as of an SSI include into a variable",
        subrequest_output_buffer_size,
        |arguments: &Arguments<'_>| arguments.size(0)
    ),
    entry!(
        "uninitialized_variable_warn",
        WITH_IF.or(Context::IF_IN_SERVER),
        Arity::Flag,
        "on",
        "on|off: the use of a variable that has no value yet is a warning in the log",
        uninitialized_variable_warn,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    Directive {
        name: "root",
        contexts: WITH_IF,
        arity: Arity::Exactly(1),
        default: "html",
        help: "path: folder below which the request's path is looked for",
        set: set_root,
    },
    Directive {
        name: "alias",
        contexts: Context::LOCATION,
        arity: Arity::Exactly(1),
        default: "none",
        help: "path: what stands in place of the location's prefix",
        set: set_alias,
    },
    Directive {
        name: "types",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Block { min: 0, max: 0 },
        default: "text/html html; image/gif gif; image/jpeg jpg;",
        help: "block of `type extension ...`: MIME types by file name extension",
        set: set_types,
    },
    entry!(
        "default_type",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "text/plain",
        "type: MIME type of files without a known extension",
        default_type,
        |arguments: &Arguments<'_>| arguments.text(0).map(|text| text.as_bytes().to_vec())
    ),
    entry!(
        "client_max_body_size",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "1m",
        "size: largest request body; 0 is no limit; a larger one is answered 413",
        client_max_body_size,
        |arguments: &Arguments<'_>| arguments.offset(0)
    ),
    entry!(
        "client_body_buffer_size",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "16k",
        "size: request body kept in memory; a larger one goes to a temporary file",
        client_body_buffer_size,
        |arguments: &Arguments<'_>| arguments.size(0)
    ),
    Directive {
        name: "client_body_temp_path",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Between(1, 4),
        default: "client_body_temp",
        help: "path [level1 [level2 [level3]]]: folder of request bodies on disk, and digits in the names of the folders below it",
        set: set_client_body_temp_path,
    },
    entry!(
        "client_body_timeout",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "60s",
        "time: between two reads of a request body",
        client_body_timeout,
        |arguments: &Arguments<'_>| arguments.time(0)
    ),
    entry!(
        "client_header_timeout",
        HTTP_SERVER,
        Arity::Exactly(1),
        "60s",
        "time: for a whole request head",
        client_header_timeout,
        |arguments: &Arguments<'_>| arguments.time(0)
    ),
    entry!(
        "send_timeout",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "60s",
        "time: between two writes of an answer",
        send_timeout,
        |arguments: &Arguments<'_>| arguments.time(0)
    ),
    Directive {
        name: "keepalive_timeout",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Between(1, 2),
        default: "75s",
        help: "time [header]: how long an idle connection is kept",
        set: set_keepalive_timeout,
    },
    entry!(
        "keepalive_min_timeout",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "0",
        "time: how long an idle connection is not closed to make room, nor when the edge is told to end",
        keepalive_min_timeout,
        |arguments: &Arguments<'_>| arguments.time(0)
    ),
    entry!(
        "keepalive_requests",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "1000",
        "number: requests one connection may serve",
        keepalive_requests,
        |arguments: &Arguments<'_>| arguments.number(0, 0..=u64::MAX)
    ),
    entry!(
        "keepalive_time",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "1h",
        "time: how long one connection may take requests",
        keepalive_time,
        |arguments: &Arguments<'_>| arguments.time(0)
    ),
    Directive {
        name: "keepalive_disable",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Between(1, 2),
        default: "msie6",
        help: "none|msie6|safari ...: browsers whose connections are not kept",
        set: set_keepalive_disable,
    },
    entry!(
        "max_headers",
        HTTP_SERVER,
        Arity::Exactly(1),
        "1000",
        "number: fields of one request head at most",
        max_headers,
        |arguments: &Arguments<'_>| arguments.number(0, 1..=u64::from(u32::MAX))
    ),
    entry!(
        "sendfile",
        WITH_IF,
        Arity::Flag,
        "on",
        "on|off: files go from the page cache to the socket",
        sendfile,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    Directive {
        name: "tcp_nopush",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Flag,
        default: "on",
        help: "on|off: the head leaves together with the first octets of the file; in daemun always so",
        set: set_tcp_nopush,
    },
    entry!(
        "tcp_nodelay",
        HTTP_SERVER_LOCATION,
        Arity::Flag,
        "on",
        "on|off: small writes leave at once",
        tcp_nodelay,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    Directive {
        name: "server_tokens",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "on",
        help: "on|off|build: whether the version is told",
        set: set_server_tokens,
    },
    Directive {
        name: "error_page",
        contexts: WITH_IF,
        arity: Arity::AtLeast(2),
        default: "none",
        help: "code ... [=[response]] uri: what is sent in place of an error",
        set: set_error_page,
    },
    Directive {
        name: "internal",
        contexts: Context::LOCATION,
        arity: Arity::Exactly(0),
        default: "none",
        help: "the location answers internal redirects alone",
        set: |core, _| {
            core.internal = true;
            Ok(())
        },
    },
    entry!("etag", HTTP_SERVER_LOCATION, Arity::Flag, "on", "on|off: ETag of files", etag, |arguments: &Arguments<
        '_,
    >| arguments.flag(0)),
    Directive {
        name: "if_modified_since",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "exact",
        help: "off|exact|before: how If-Modified-Since is compared",
        set: set_if_modified_since,
    },
    entry!(
        "merge_slashes",
        HTTP_SERVER,
        Arity::Flag,
        "on",
        "on|off: several slashes in a path are one",
        merge_slashes,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    entry!(
        "log_not_found",
        HTTP_SERVER_LOCATION,
        Arity::Flag,
        "on",
        "on|off: a missing file is an error in the log",
        log_not_found,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    entry!(
        "recursive_error_pages",
        HTTP_SERVER_LOCATION,
        Arity::Flag,
        "off",
        "on|off: an error page may lead to another",
        recursive_error_pages,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    entry!(
        "auth_delay",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "0s",
        "time: how long an answer 401 waits, against guessing",
        auth_delay,
        |arguments: &Arguments<'_>| arguments.time(0)
    ),
    entry!(
        "satisfy",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "all",
        "all|any: whether every access module must allow a request, or one",
        satisfy,
        |arguments: &Arguments<'_>| arguments.choice(0, &[("all", Satisfy::All), ("any", Satisfy::Any)])
    ),
    entry!(
        "absolute_redirect",
        HTTP_SERVER_LOCATION,
        Arity::Flag,
        "on",
        "on|off: Location has scheme and host",
        absolute_redirect,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    entry!(
        "port_in_redirect",
        HTTP_SERVER_LOCATION,
        Arity::Flag,
        "on",
        "on|off: Location has the port",
        port_in_redirect,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    entry!(
        "server_name_in_redirect",
        HTTP_SERVER_LOCATION,
        Arity::Flag,
        "off",
        "on|off: Location has the server's first name",
        server_name_in_redirect,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    entry!(
        "chunked_transfer_encoding",
        HTTP_SERVER_LOCATION,
        Arity::Flag,
        "on",
        "on|off: bodies of unknown length are chunked for HTTP/1.1",
        chunked_transfer_encoding,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    Directive {
        name: "early_hints",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::AtLeast(1),
        default: "none",
        help: "text ...: a server's 103 goes to the client if one of the texts is neither empty nor 0",
        set: setters::set_early_hints,
    },
    entry!(
        "underscores_in_headers",
        HTTP_SERVER,
        Arity::Flag,
        "off",
        "on|off: fields with underscores in their names are known",
        underscores_in_headers,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    entry!(
        "ignore_invalid_headers",
        HTTP_SERVER,
        Arity::Flag,
        "on",
        "on|off: fields with invalid names are ignored",
        ignore_invalid_headers,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    entry!(
        "max_ranges",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "none",
        "number: ranges of one request; 0 refuses all",
        max_ranges,
        |arguments: &Arguments<'_>| arguments.number(0, 0..=u64::from(u32::MAX))
    ),
    Directive {
        name: "open_file_cache",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Between(1, 2),
        default: "off",
        help: "off | max=N [inactive=time]: keeps files open between requests",
        set: set_open_file_cache,
    },
    entry!(
        "open_file_cache_valid",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "60s",
        "time: after which a cached file is looked at again",
        open_file_cache_valid,
        |arguments: &Arguments<'_>| arguments.seconds(0)
    ),
    entry!(
        "open_file_cache_min_uses",
        HTTP_SERVER_LOCATION,
        Arity::Exactly(1),
        "1",
        "number: uses after which a file stays open",
        open_file_cache_min_uses,
        |arguments: &Arguments<'_>| arguments.number(0, 0..=u64::from(u32::MAX))
    ),
    entry!(
        "open_file_cache_errors",
        HTTP_SERVER_LOCATION,
        Arity::Flag,
        "off",
        "on|off: failures are cached too",
        open_file_cache_errors,
        |arguments: &Arguments<'_>| arguments.flag(0)
    ),
    Directive {
        name: "large_client_header_buffers",
        contexts: HTTP_SERVER,
        arity: Arity::Exactly(2),
        default: "4 8k",
        help: "number size: longest request line and field; the head is at most number * size",
        set: set_large_client_header_buffers,
    },
    Directive {
        name: "gzip_disable",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::AtLeast(1),
        default: "none",
        help: "regex ... | msie6: clients by their User-Agent that do not take gzip, whatever they say",
        set: gzip_clients::set_disable,
    },
    Directive {
        name: "gzip_http_version",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "1.1",
        help: "1.0|1.1: the oldest version of HTTP whose clients take gzip",
        set: gzip_clients::set_http_version,
    },
    Directive {
        name: "gzip_proxied",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::AtLeast(1),
        default: "off",
        help: "off | any | expired | no-cache | no-store | private | no_last_modified | no_etag | auth ...: answers in gzip for requests with Via",
        set: gzip_clients::set_proxied,
    },
    Directive {
        name: "gzip_vary",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Flag,
        default: "off",
        help: "on|off: Vary: Accept-Encoding on answers that gzip, gzip_static or gunzip would change for others",
        set: gzip_clients::set_vary,
    },
    Directive {
        name: "error_log",
        contexts: MAIN_TO_LOCATION,
        arity: Arity::AtLeast(1),
        default: "logs/error.log error",
        help: "file | stderr | syslog:server=address[,facility=][,tag=][,severity=][,nohostname] [level]: where errors are written",
        set: set_error_log,
    },
];
