//! The settings that every `..._pass` shares, whatever its protocol: one struct, one table of directives.

#[macro_use]
mod directives;
mod header_names;
mod setters;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{Diagnostic, Span};
use daemun_http::{Header, HeaderId};
use daemun_server::config::Build;
use daemun_server::response::{ReadAhead, Withheld};
use daemun_server::{Request, Template};

pub use daemun_server::condition::{Condition, Conditions};
use daemun_server::fetch::IgnoredHeaders;
pub(crate) use directives::pass_directives;
pub use header_names::HeaderNames;
pub use setters::*;
pub use tls::*;

use crate::limits::{BUFFER_BYTES, BUFFERS, MAX_TEMP_FILE_BYTES};

/// Settings of one location for one protocol. An unset field is inherited from the enclosing block.
#[derive(Default, Clone)]
pub struct PassSettings {
    connect_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    buffer_size: Option<u64>,
    /// Number and size.
    buffers: Option<(u64, u64)>,
    busy_buffers_size: Option<u64>,
    max_temp_file_size: Option<u64>,
    temp_file_write_size: Option<u64>,
    temp_path: Option<Arc<Path>>,
    buffering: Option<bool>,
    request_buffering: Option<bool>,
    ignore_client_abort: Option<bool>,
    intercept_errors: Option<bool>,
    pass_request_headers: Option<bool>,
    pass_request_body: Option<bool>,
    pass_trailers: Option<bool>,
    force_ranges: Option<bool>,
    socket_keepalive: Option<bool>,
    send_lowat: Option<u64>,
    socket_rcvbuf: Option<u64>,
    socket_sndbuf: Option<u64>,
    next_upstream: Option<Conditions>,
    next_upstream_tries: Option<u64>,
    next_upstream_timeout: Option<Duration>,
    limit_rate: Option<Template>,
    bind: Option<Bind>,
    hide_headers: Option<Arc<Vec<Box<[u8]>>>>,
    pass_headers: Option<Arc<Vec<Box<[u8]>>>>,
    ignore_headers: Option<IgnoredHeaders>,
    store: Option<Store>,
    store_access: Option<u32>,
    /// How servers are spoken to by TLS.
    pub tls: TlsSettings,
    /// Fields of an answer that do not go to the client; made by [`PassSettings::finish`].
    hidden: Arc<HeaderNames>,
    /// Fields that are not added to an answer that has none; made by [`PassSettings::finish`].
    withheld: Withheld,
    /// Where answers wait for slow clients; made by [`PassSettings::finish`].
    folder: Option<Arc<Path>>,
}

/// What differs between the protocols.
pub struct Protocol {
    /// The name before the `_` of each directive.
    pub prefix: &'static str,
    /// Fields of an answer that do not go to the client unless `..._pass_header` says so.
    pub hidden: &'static [&'static str],
    /// Whether servers say by `Server` and `Date` who they are and when they answer.
    pub names_itself: bool,
}

/// What an application says to the web server in front of it by fields of its answer, where `Status` is one of them.
pub const ORDERS_OF_CGI: &[&str] =
    &["Status", "X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"];

/// Where a connection to an upstream begins.
#[derive(Clone)]
pub enum Bind {
    /// Wherever the system says.
    Off,
    /// At this address, as far as the text gives one.
    Address {
        /// An address, with or without a port.
        address: Template,
        /// Whether it may be an address of another machine.
        is_transparent: bool,
    },
}

/// Whether an answer is kept as a file.
#[derive(Clone)]
pub enum Store {
    /// It is not.
    Off,
    /// Where `root` or `alias` would look for it.
    On,
    /// In the file of this path.
    Path(Template),
}

impl PassSettings {
    /// Takes from the enclosing block what is unset.
    pub fn merge(parent: &Self, child: &mut Self) {
        TlsSettings::merge(&parent.tls, &mut child.tls);
        daemun_server::inherit!(parent, child;
            connect_timeout, send_timeout, read_timeout, buffer_size, buffers, busy_buffers_size, max_temp_file_size,
            temp_file_write_size, temp_path, buffering, request_buffering, ignore_client_abort, intercept_errors,
            pass_request_headers, pass_request_body, pass_trailers, force_ranges, socket_keepalive, send_lowat,
            socket_rcvbuf, socket_sndbuf, next_upstream, next_upstream_tries, next_upstream_timeout, limit_rate, bind,
            hide_headers, pass_headers, ignore_headers, store, store_access);
    }

    /// Checks sizes against one another and makes what requests look things up in.
    ///
    /// # Errors
    /// In nginx's words; at `span`, or without a place.
    pub fn finish(&mut self, protocol: &Protocol, span: Option<Span>, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.check_sizes(protocol.prefix).map_err(|message| match span {
            Some(span) => Diagnostic::error(span, message),
            None => Diagnostic::error_without_place(message),
        })?;
        let mut hidden = HeaderNames::default();
        for name in protocol.hidden {
            hidden.insert(name.as_bytes());
        }
        for name in self.hide_headers.iter().flat_map(|names| names.iter()) {
            hidden.insert(name);
        }
        for name in self.pass_headers.iter().flat_map(|names| names.iter()) {
            hidden.remove(name);
        }
        // As nginx: who answers by HTTP and may say who and when says so, or nobody does.
        let is_passed = |id: HeaderId| {
            let field = Header { id, name: id.name().as_bytes(), value: b"" };
            protocol.names_itself && !hidden.contains(&field)
        };
        self.withheld = Withheld { server: is_passed(HeaderId::Server), date: is_passed(HeaderId::Date) };
        self.hidden = Arc::new(hidden);
        self.folder = self.temp_path.as_ref().map(|path| build.temporary_folder(path).into());
        Ok(())
    }

    fn check_sizes(&self, prefix: &str) -> Result<(), String> {
        let (number, size) = self.buffers();
        if number < 2 {
            return Err(format!("there must be at least 2 \"{prefix}_buffers\""));
        }
        let largest = size.max(self.buffer_size() as u64);
        let most = format!("the maximum of the value of \"{prefix}_buffer_size\" and one of the \"{prefix}_buffers\"");
        let busy = self.busy_buffers_size.unwrap_or(2 * largest);
        if busy < largest {
            return Err(format!("\"{prefix}_busy_buffers_size\" must be equal to or greater than {most}"));
        }
        if busy > (number - 1).saturating_mul(size) {
            return Err(format!(
                "\"{prefix}_busy_buffers_size\" must be less than the size of all \"{prefix}_buffers\" minus one buffer"
            ));
        }
        if self.temp_file_write_size.is_some_and(|written| written < largest) {
            return Err(format!("\"{prefix}_temp_file_write_size\" must be equal to or greater than {most}"));
        }
        match self.max_temp_file_size {
            Some(max) if max != 0 && max < largest => Err(format!(
                "\"{prefix}_max_temp_file_size\" must be equal to zero to disable temporary files usage or must be equal to or greater than {most}"
            )),
            _ => Ok(()),
        }
    }

    /// Time for a connection to be made.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(TIMEOUT)
    }

    /// Time between two writes.
    #[must_use]
    pub fn send_timeout(&self) -> Duration {
        self.send_timeout.unwrap_or(TIMEOUT)
    }

    /// Time between two reads.
    #[must_use]
    pub fn read_timeout(&self) -> Duration {
        self.read_timeout.unwrap_or(TIMEOUT)
    }

    /// Octets of an answer's head.
    #[must_use]
    pub fn buffer_size(&self) -> usize {
        self.buffer_size.and_then(|size| usize::try_from(size).ok()).unwrap_or(BUFFER_BYTES)
    }

    fn buffers(&self) -> (u64, u64) {
        self.buffers.unwrap_or((BUFFERS, BUFFER_BYTES as u64))
    }

    /// Whether the whole body is read from the client before a server is asked.
    #[must_use]
    pub fn request_buffering(&self) -> bool {
        self.request_buffering.unwrap_or(true)
    }

    /// Whether answers are read ahead of slow clients.
    #[must_use]
    pub fn buffering(&self) -> bool {
        self.buffering.unwrap_or(true)
    }

    /// How far an answer is read ahead, `is_buffered` or not.
    #[must_use]
    pub fn read_ahead(&self, is_buffered: bool) -> ReadAhead {
        if !is_buffered {
            return ReadAhead { memory_bytes: self.buffer_size(), file_bytes: 0, folder: None };
        }
        let (number, size) = self.buffers();
        let memory = number.saturating_mul(size).saturating_add(self.buffer_size() as u64);
        ReadAhead {
            memory_bytes: usize::try_from(memory).unwrap_or(usize::MAX),
            file_bytes: self.max_temp_file_size.unwrap_or(MAX_TEMP_FILE_BYTES),
            folder: self.folder.clone(),
        }
    }

    /// [`PassSettings::read_ahead`] where any of it is set.
    #[must_use]
    pub fn written_read_ahead(&self) -> Option<ReadAhead> {
        let is_written = self.buffers.is_some() || self.max_temp_file_size.is_some() || self.folder.is_some();
        is_written.then(|| self.read_ahead(true))
    }

    /// Folder of temporary files; `None` is that of request bodies.
    #[must_use]
    pub fn folder(&self) -> Option<&Arc<Path>> {
        self.folder.as_ref()
    }

    /// Whether a server goes on answering when the client has gone.
    #[must_use]
    pub fn ignore_client_abort(&self) -> bool {
        self.ignore_client_abort.unwrap_or(false)
    }

    /// Whether `error_page` stands for a server's own errors.
    #[must_use]
    pub fn intercept_errors(&self) -> bool {
        self.intercept_errors.unwrap_or(false)
    }

    /// Whether the request's fields are passed on.
    #[must_use]
    pub fn pass_request_headers(&self) -> bool {
        self.pass_request_headers.unwrap_or(true)
    }

    /// Whether the request's body is passed on.
    #[must_use]
    pub fn pass_request_body(&self) -> bool {
        self.pass_request_body.unwrap_or(true)
    }

    /// Whether fields behind an answer's body are passed on.
    #[must_use]
    pub fn pass_trailers(&self) -> bool {
        self.pass_trailers.unwrap_or(false)
    }

    /// Whether parts of an answer may be cut out whatever its `Accept-Ranges` says.
    #[must_use]
    pub fn force_ranges(&self) -> bool {
        self.force_ranges.unwrap_or(false)
    }

    /// Whether the system probes idle connections.
    #[must_use]
    pub fn socket_keepalive(&self) -> bool {
        self.socket_keepalive.unwrap_or(false)
    }

    /// Octets of the sockets' buffers, to send and to receive, where they are set.
    #[must_use]
    pub fn socket_buffers(&self) -> (Option<u64>, Option<u64>) {
        (self.socket_sndbuf, self.socket_rcvbuf)
    }

    /// When another server is asked.
    #[must_use]
    pub fn next_upstream(&self) -> Conditions {
        self.next_upstream.unwrap_or_default()
    }

    /// How many servers are asked; 0 is no limit.
    #[must_use]
    pub fn next_upstream_tries(&self) -> u32 {
        u32::try_from(self.next_upstream_tries.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// Time in which another server may be asked; zero is no limit.
    #[must_use]
    pub fn next_upstream_timeout(&self) -> Duration {
        self.next_upstream_timeout.unwrap_or_default()
    }

    /// Whether an answer may turn out to be read slowly.
    #[must_use]
    pub fn has_limit_rate(&self) -> bool {
        self.limit_rate.as_ref().is_some_and(|rate| rate.as_constant() != Some(b"0"))
    }

    /// Octets of an answer that are read in a second; 0 is no limit.
    #[must_use]
    pub fn limit_rate(&self, request: &Request) -> u64 {
        let Some(rate) = &self.limit_rate else { return 0 };
        let text = rate.value(request);
        std::str::from_utf8(&text).ok().and_then(daemun_conf::parse_size).unwrap_or(0)
    }

    /// Where connections begin.
    #[must_use]
    pub fn bind(&self) -> Option<&Bind> {
        self.bind.as_ref()
    }

    /// Fields of an answer that do not go to the client.
    #[must_use]
    pub fn hidden(&self) -> &Arc<HeaderNames> {
        &self.hidden
    }

    /// Fields that are not added to an answer that has none.
    #[must_use]
    pub fn withheld(&self) -> Withheld {
        self.withheld
    }

    /// Fields of an answer that have no effect.
    #[must_use]
    pub fn ignored_headers(&self) -> IgnoredHeaders {
        self.ignore_headers.unwrap_or_default()
    }

    /// Whether and where an answer is kept as a file.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref().filter(|store| !matches!(store, Store::Off))
    }

    /// Permissions of files that [`PassSettings::store`] keeps.
    #[must_use]
    pub fn store_access(&self) -> u32 {
        self.store_access.unwrap_or(0o600)
    }

    /// Names of the directives that say how a server elsewhere is reached and that are set here, without the prefix.
    #[must_use]
    pub fn remote_directives(&self) -> Vec<&'static str> {
        let settings = [
            ("connect_timeout", self.connect_timeout.is_some()),
            ("send_timeout", self.send_timeout.is_some()),
            ("buffer_size", self.buffer_size.is_some()),
            ("next_upstream", self.next_upstream.is_some()),
            ("bind", self.bind.is_some()),
            ("store", self.store.is_some()),
            ("limit_rate", self.limit_rate.is_some()),
            ("intercept_errors", self.intercept_errors.is_some()),
            ("hide_header", self.hide_headers.is_some()),
            ("buffering", self.buffering.is_some()),
        ];
        settings.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect()
    }

    /// [`PassSettings::read_timeout`] where it is set.
    #[must_use]
    pub fn written_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }
}

/// nginx's default for connect, send and read.
const TIMEOUT: Duration = Duration::from_secs(60);
