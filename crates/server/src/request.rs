//! A request: what the client sent, where it was routed, what has become of it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use daemun_http::{HeaderId, Headers, Method, RequestHead, StatusCode};

use crate::body::{BodyLimits, BodyPassage, ReadLimits, RequestBody, RequestBodyError};
use crate::clock;
use crate::config::{Core, WHOLE_PATH};
use crate::connection::{Client, Remote};
use crate::explain::Trace;
use crate::extensions::Extensions;
use crate::fetch::Fetch;
use crate::log::{ErrorLog, Level};
use crate::phase::Outcome;
use crate::response::Response;
use crate::runtime::{Location, LocationId, Server, ServerId, ThreadRuntime};
use crate::subrequest::{Beside, Family, StandIn};
use crate::thread;
use crate::variable::Values;

/// One request of one connection. Objects are reused, so that a request allocates nothing of its own.
pub struct Request {
    /// Request line and fields as received.
    pub head: RequestHead,
    /// The path, decoded and normalised; internal redirects change it.
    pub uri: Vec<u8>,
    /// What follows `?`, as received; internal redirects may change it.
    pub args: Vec<u8>,
    /// The configuration that was in force when the request arrived.
    pub runtime: Rc<ThreadRuntime>,
    /// The virtual server.
    pub server: ServerId,
    /// The location; before `FindConfig` the server's own settings.
    pub location: LocationId,
    /// The connection.
    pub client: Rc<Client>,
    /// Who sent it: the connection's other end, unless a trusted proxy there names another.
    pub remote: Remote,
    /// The body, read or not.
    pub body: RequestBody,
    /// Number of the request within this process, for logs.
    pub serial: u64,
    /// Monotonic time of arrival in milliseconds.
    pub started_ms: u64,
    /// Internal redirects so far.
    pub redirects: u32,
    /// The status an `error_page` redirect keeps while another location makes the body.
    pub error_status: Option<StatusCode>,
    /// Whether an `error_page` has been gone to: without `recursive_error_pages` there is no second one.
    pub has_error_page: bool,
    /// Whether this is an internal redirect: `internal` locations are open to it.
    pub is_internal: bool,
    /// Whether the connection may serve another request after this one.
    pub keep_alive: bool,
    /// Whether the client sent it before it had the answer to the one before.
    pub is_pipelined: bool,
    /// `WWW-Authenticate` of the answer, each in a field: whoever wants credentials adds it.
    pub challenges: Vec<Arc<[u8]>>,
    /// Octets of the answer that go out in a second, where somebody has said so for this request; 0 is no limit.
    pub limit_rate: Option<u64>,
    /// What has been sent.
    pub sent: Sent,
    /// Whether the client's connection is encrypted, here or at the web server that hands the request on.
    pub is_https: bool,
    /// Whether who sent it has shown a password that is good for this place.
    pub is_authenticated: bool,
    /// Variables as a gateway client (uwsgi, SCGI, FastCGI) gave them, in place of those made from the head.
    pub gateway_variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether another client would have got the answer in another coding, as `Vary` tells.
    pub varies_by_coding: bool,
    /// Octets before and after compression, when the answer was compressed.
    pub compressed: Option<Rc<Compressed>>,
    /// The path within the application's mount, when a content handler split it.
    pub path_info: Option<Vec<u8>>,
    /// Variables of the configuration.
    pub values: Values,
    /// Requests it was made within: 0 for a client's own.
    pub(crate) level: u32,
    /// Whether nobody waits for it but the connection's end.
    pub(crate) is_beside: bool,
    /// Whether it asks its parent's content handler once more.
    pub(crate) is_twin: bool,
    /// Sent in place of an answer without a body.
    pub(crate) stand_in: Option<StandIn>,
    /// Subrequests that run beside it.
    pub(crate) beside: Beside,
    /// What it has in common with the client's own and the others made from it.
    family: Rc<Family>,
    /// Whether the request line's target still stands for [`Request::uri`]: no rewrite and no redirect came between.
    pub is_target_intact: bool,
    /// Whether the location's name still stands at the front of [`Request::uri`]: no `rewrite ... break` came between.
    pub is_location_intact: bool,
    /// Whether the path stands behind what `alias` of a location with an expression names: `try_files` has found it there.
    pub has_uri_behind_alias: bool,
    /// Fields that whoever redirected the request internally wants in the answer.
    pub carried: Headers,
    /// What whoever holds the content handler wants of it, for as long as the handler is asked.
    pub fetch: Option<Rc<Fetch>>,
    /// What modules keep with the request.
    pub extensions: Extensions,
    /// Where it is told what becomes of the request, and why; `None` for all that clients send.
    pub(crate) trace: Option<Rc<Trace>>,
}

/// What a compressing filter has taken in and given out so far, in octets.
#[derive(Default, Debug)]
pub struct Compressed {
    /// Octets in.
    pub raw: Cell<u64>,
    /// Octets out.
    pub coded: Cell<u64>,
}

/// What has been sent of the answer, for the log.
#[derive(Default, Debug)]
pub struct Sent {
    /// Status of the head that went out; 0 when none did.
    pub status: u16,
    /// Octets of head and body.
    pub bytes: u64,
    /// Octets of the body.
    pub body_bytes: u64,
    /// What the connection itself said in the head.
    pub framing: SentFraming,
    /// Fields of the head that went out, for `$sent_http_*`.
    pub headers: Headers,
    /// Fields behind the body, for `$sent_trailer_*`.
    pub trailers: RefCell<Headers>,
}

/// Fields of a head that are the connection's own business, as they went out.
#[derive(Clone, Copy, Default, Debug)]
pub struct SentFraming {
    /// `Content-Length`.
    pub length: Option<u64>,
    /// Whether `Transfer-Encoding` was `chunked`.
    pub is_chunked: bool,
    /// `Keep-Alive: timeout=`, in seconds.
    pub keep_alive: Option<u64>,
}

impl Request {
    /// A request object for `client`, to be filled by the codec.
    #[must_use]
    pub fn new(client: Rc<Client>, runtime: Rc<ThreadRuntime>) -> Box<Self> {
        let server = runtime.default_server(client.listener());
        let location = runtime.server(server).settings;
        Box::new(Self {
            head: RequestHead::new(),
            uri: Vec::new(),
            args: Vec::new(),
            runtime,
            server,
            location,
            remote: client.remote,
            is_https: client.tls().is_some(),
            is_authenticated: false,
            client,
            body: RequestBody::default(),
            serial: 0,
            started_ms: 0,
            redirects: 0,
            error_status: None,
            has_error_page: false,
            is_internal: false,
            keep_alive: false,
            is_pipelined: false,
            challenges: Vec::new(),
            limit_rate: None,
            sent: Sent::default(),
            gateway_variables: Vec::new(),
            varies_by_coding: false,
            compressed: None,
            path_info: None,
            values: Values::default(),
            level: 0,
            is_beside: false,
            is_twin: false,
            stand_in: None,
            beside: Beside::default(),
            family: Rc::default(),
            is_target_intact: true,
            is_location_intact: true,
            has_uri_behind_alias: false,
            carried: Headers::default(),
            fetch: None,
            extensions: Extensions::default(),
            trace: None,
        })
    }

    /// Makes the object ready for the next request, keeping its memory.
    pub fn reset(&mut self, client: Rc<Client>, runtime: Rc<ThreadRuntime>) {
        self.server = runtime.default_server(client.listener());
        self.location = runtime.server(self.server).settings;
        self.runtime = runtime;
        self.remote = client.remote;
        self.is_https = client.tls().is_some();
        self.is_authenticated = false;
        self.client = client;
        self.head.clear();
        self.uri.clear();
        self.args.clear();
        self.body = RequestBody::default();
        self.redirects = 0;
        self.error_status = None;
        self.has_error_page = false;
        self.is_internal = false;
        self.keep_alive = false;
        self.is_pipelined = false;
        self.challenges.clear();
        self.limit_rate = None;
        self.sent.status = 0;
        self.sent.bytes = 0;
        self.sent.body_bytes = 0;
        self.sent.framing = SentFraming::default();
        self.sent.headers.clear();
        self.sent.trailers.get_mut().clear();
        self.gateway_variables.clear();
        self.varies_by_coding = false;
        self.compressed = None;
        self.path_info = None;
        self.values.clear();
        self.level = 0;
        self.is_beside = false;
        self.is_twin = false;
        self.stand_in = None;
        self.beside.abort();
        match Rc::get_mut(&mut self.family) {
            Some(family) => family.clear(),
            None => self.family = Rc::default(),
        }
        self.is_target_intact = true;
        self.is_location_intact = true;
        self.has_uri_behind_alias = false;
        self.carried.clear();
        self.fetch = None;
        self.extensions.clear();
        self.trace = None;
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// Whether it was made from another request.
    #[must_use]
    pub fn is_subrequest(&self) -> bool {
        self.level > 0
    }

    /// Whether it was made to ask its parent's content handler once more.
    #[must_use]
    pub fn is_twin(&self) -> bool {
        self.is_twin
    }

    /// What the client's request has in common with all that were made from it.
    #[must_use]
    pub fn family(&self) -> &Family {
        &self.family
    }

    /// The method of the client's request, or what stands for it while it is passed on.
    #[must_use]
    pub fn clients_method(&self) -> Method {
        if let Some(method) = self.fetch.as_ref().and_then(|fetch| fetch.method()) {
            return method.clone();
        }
        self.family.method().unwrap_or_else(|| self.head.method.clone())
    }

    /// Another request of the same family: the same client, fields, body and variables; no path yet.
    pub(crate) fn related(&self) -> Box<Self> {
        let (client, runtime) = (Rc::clone(&self.client), Rc::clone(&self.runtime));
        let mut other = match thread::take_spare_request() {
            Some(mut spare) => {
                spare.reset(client, runtime);
                spare
            }
            None => Self::new(client, runtime),
        };
        other.head.clone_from(&self.head);
        other.server = self.server;
        other.remote = self.remote;
        other.body = self.body.read_one();
        other.serial = self.serial;
        other.started_ms = clock::monotonic_ms();
        other.is_pipelined = self.is_pipelined;
        other.gateway_variables.clone_from(&self.gateway_variables);
        other.values.share(&self.values);
        other.level = self.level;
        other.is_beside = self.is_beside;
        other.family = Rc::clone(&self.family);
        other.trace.clone_from(&self.trace);
        if !self.is_subrequest() {
            self.family.set_method(self.head.method.clone());
        }
        other
    }

    /// The request as it stands, for a filter whose body asks for variables and makes subrequests later. `response` is what
    /// `$sent_http_` variables are told.
    #[must_use]
    pub fn snapshot(&self, response: &Response) -> Box<Self> {
        let mut other = self.related();
        other.uri.extend_from_slice(&self.uri);
        other.args.extend_from_slice(&self.args);
        other.location = self.location;
        other.started_ms = self.started_ms;
        other.is_internal = self.is_internal;
        other.error_status = self.error_status;
        other.has_error_page = self.has_error_page;
        other.path_info.clone_from(&self.path_info);
        other.values.copy_captures(&self.values);
        other.extensions.clone_from(&self.extensions);
        other.sent.status = response.status().as_u16();
        other.sent.headers.clone_from(&response.head.headers);
        other
    }

    /// No fields, in the memory of those that were sent last: for the head of an answer that comes in.
    #[must_use]
    pub fn blank_headers(&mut self) -> Headers {
        let mut headers = std::mem::take(&mut self.sent.headers);
        headers.clear();
        headers
    }

    /// Lets go of what is common, before the object serves others.
    pub(crate) fn leave_family(&mut self) {
        self.values = Values::default();
        self.body = RequestBody::default();
        self.family = Rc::default();
    }

    /// Whether a tunnel is asked for.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(self.head.method, Method::Connect)
    }

    /// Name and password that are meant for this server, which to `CONNECT` is a proxy.
    #[must_use]
    pub fn authorization(&self) -> Option<&[u8]> {
        let field = if self.is_connect() { HeaderId::ProxyAuthorization } else { HeaderId::Authorization };
        self.headers().first(field)
    }

    /// Whether the answer has no body because the client asked for the head alone.
    #[must_use]
    pub fn is_head(&self) -> bool {
        matches!(self.head.method, Method::Head)
    }

    /// The fields as received.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.head.headers
    }

    /// The fields that a content handler passes on: the client's, or those that whoever holds it puts in their place.
    #[must_use]
    pub fn passed_headers(&self) -> &Headers {
        self.fetch.as_ref().map_or(&self.head.headers, |fetch| fetch.headers())
    }

    /// The method that a content handler passes on: a cache asks for the whole where its client wants the head alone.
    #[must_use]
    pub fn passed_method(&self) -> &Method {
        self.fetch.as_ref().and_then(|fetch| fetch.method()).unwrap_or(&self.head.method)
    }

    /// Whether a content handler asks for the head alone.
    #[must_use]
    pub fn passes_head(&self) -> bool {
        matches!(self.passed_method(), Method::Head)
    }

    /// The location's settings.
    #[must_use]
    pub fn location(&self) -> &Location {
        self.runtime.location(self.location)
    }

    /// The http core's settings of the location.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.location().core
    }

    /// The virtual server.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.runtime.server(self.server)
    }

    /// The value of an argument as it stands behind the `?`; the name's case does not count.
    #[must_use]
    pub fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.args.split(|octet| *octet == b'&').find_map(|pair| {
            let (front, rest) = pair.split_at_checked(name.len())?;
            rest.strip_prefix(b"=").filter(|_| front.eq_ignore_ascii_case(name))
        })
    }

    /// The value of a cookie; the name's case does not count.
    #[must_use]
    pub fn cookie(&self, name: &[u8]) -> Option<&[u8]> {
        let lines = self.headers().all(HeaderId::Cookie);
        lines.flat_map(|line| line.split(|octet| *octet == b';')).map(<[u8]>::trim_ascii).find_map(|pair| {
            let (front, rest) = pair.split_at_checked(name.len())?;
            rest.strip_prefix(b"=").filter(|_| front.eq_ignore_ascii_case(name))
        })
    }

    /// `$host`: from the request line, else from `Host`, else the server's first name; lower case, without port.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        match self.head.host() {
            Some(host) if !host.is_empty() => host,
            _ => self.server().first_name(),
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Time since the request arrived, in milliseconds.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        clock::monotonic_ms().saturating_sub(self.started_ms)
    }

    /// The file that `root` or `alias` of the location gives for [`Request::uri`]; `None` where the
    /// path has a NUL or the location's prefix is longer than the path.
    #[must_use]
    pub fn file_path(&self) -> Option<Vec<u8>> {
        let mut path = Vec::with_capacity(128);
        self.map_path(&self.uri, &mut path).then_some(path)
    }

    /// Appends the file for `uri` to `path`; false where there is none.
    pub fn map_path(&self, uri: &[u8], path: &mut Vec<u8>) -> bool {
        if uri.contains(&0) {
            return false;
        }
        let location = self.location();
        match &location.core.alias {
            Some(alias) => {
                alias.render(self, path);
                match location.prefix_length() {
                    WHOLE_PATH if self.has_uri_behind_alias => path.extend_from_slice(uri),
                    WHOLE_PATH => {}
                    replaced => match uri.get(replaced..) {
                        Some(rest) => path.extend_from_slice(rest),
                        None => return false,
                    },
                }
            }
            None => {
                location.core.root().render(self, path);
                path.extend_from_slice(uri);
            }
        }
        true
    }

    /// Directory that `root` or `alias` names, for `$document_root`.
    pub fn document_root(&self, out: &mut Vec<u8>) {
        let core = self.core();
        core.alias.as_ref().unwrap_or_else(|| core.root()).render(self, out);
    }
}

/// What handlers do with a request beside looking at it.
impl Request {
    /// Keeps `value` until the client's request has been logged, however it ends: a place that must be given back, or a note
    /// that a later handler or a variable reads, of this request or another of the family.
    pub fn keep<T: 'static>(&self, value: T) {
        self.family.keep(Rc::new(value));
    }

    /// The first value of this type that was kept.
    #[must_use]
    pub fn kept<T: 'static>(&self) -> Option<Rc<T>> {
        self.family.kept()
    }

    /// Drops what modules keep with the request.
    pub(crate) fn release(&self) {
        if !self.is_subrequest() {
            self.family.release();
        }
    }

    /// Reads all of the body, as the location's limits allow. More than `memory_max` octets of it (`client_body_buffer_size`,
    /// where that is `None`) go to a file.
    ///
    /// # Errors
    /// The outcome that the handler should end with; the reason is in the log.
    pub async fn read_body(&mut self, memory_max: Option<u64>) -> Result<(), Outcome> {
        if !self.body.is_unread() || self.is_explained() {
            return Ok(());
        }
        let runtime = Rc::clone(&self.runtime);
        let core = &runtime.location(self.location).core;
        let limits = BodyLimits {
            memory_max: memory_max.unwrap_or_else(|| core.client_body_buffer_size()),
            folder: core.client_body_temp_path(),
            in_file: core.transfer.body_in_file(),
            reading: read_limits(core),
        };
        let client = Rc::clone(&self.client);
        let Err(error) = self.body.read(&client, limits).await else { return Ok(()) };
        Err(self.refuse_body(&error))
    }

    /// Whether all of the body has arrived, known to be of `most` octets or fewer: reading it waits for nothing.
    #[must_use]
    pub fn has_whole_body(&self, most: u64) -> bool {
        match self.body.length() {
            _ if self.client.is_http2() && self.body.is_unread() => self.client.has_pending_chunks(most),
            Some(length) => length <= most && length <= self.client.pending_input(),
            None => self.client.has_pending_chunks(most),
        }
    }

    /// Waits for `future`, which reads nothing of the body; `None` where the client closes the connection before it has
    /// sent all of it.
    pub async fn unless_cut_short<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let client = &self.client;
        client.unless_closed(|| self.body.is_more_due(client.pending_input()), future).await
    }

    /// Hands the body out to be passed on as it comes, as the location's limits allow. `None` where nothing of it is
    /// with the client, or it has been handed out already. From here on the request has no body to anybody else.
    pub fn share_body(&mut self) -> Option<BodyPassage> {
        let limits = read_limits(self.core());
        let incoming = self.body.share()?;
        Some(BodyPassage::new(incoming, Rc::clone(&self.client), limits))
    }

    /// What a handler ends with when the body cannot be had; the reason goes to the log.
    pub fn refuse_body(&mut self, error: &RequestBodyError) -> Outcome {
        self.keep_alive = false;
        let level = if matches!(error, RequestBodyError::File { .. }) { Level::Crit } else { Level::Info };
        self.log(level, format_args!("{error}"));
        error.status().map_or(Outcome::Finish(StatusCode::CLIENT_CLOSED_REQUEST), Outcome::Finish)
    }

    /// Turns the request into a GET without a body, for an error page; a HEAD stays one.
    pub fn make_get(&mut self) {
        if self.is_head() {
            return;
        }
        self.head.method = Method::Get;
        if !self.is_subrequest() {
            self.family.set_method(Method::Get);
        }
    }

    /// From here on the request has no body: what is left of it is for nobody.
    pub fn forget_body(&mut self) {
        self.body = RequestBody::default();
    }

    /// Writes a line about this request to the location's error log.
    pub fn log(&self, level: Level, message: fmt::Arguments<'_>) {
        self.write_log(level, message, format_args!(""));
    }

    /// As [`Request::log`], with the server that the request was passed to: `upstream`, as `http://127.0.0.1:8080/path`.
    pub fn log_upstream(&self, level: Level, message: fmt::Arguments<'_>, upstream: &dyn fmt::Display) {
        self.write_log(level, message, format_args!(", upstream: \"{upstream}\""));
    }

    fn write_log(&self, level: Level, message: fmt::Arguments<'_>, upstream: fmt::Arguments<'_>) {
        if self.is_explained() {
            self.note(format_args!("[{}] {message}", level.as_str()));
            return;
        }
        let log = self.core().error_log();
        if log.wants(level) {
            log.write(level, format_args!("*{} {message}{}", self.client.serial, self.log_tail(upstream)));
        }
    }

    /// The request's log for whoever works on without the request.
    #[must_use]
    pub fn log_handle(&self) -> LogHandle {
        LogHandle {
            log: self.core().error_log().clone(),
            serial: self.client.serial,
            tail: self.log_tail(format_args!("")),
        }
    }

    /// What stands behind every line about this request; `upstream` among it.
    fn log_tail(&self, upstream: fmt::Arguments<'_>) -> String {
        let server = String::from_utf8_lossy(self.server().first_name());
        let line = String::from_utf8_lossy(self.head.request_line());
        let host = String::from_utf8_lossy(self.headers().first(HeaderId::Host).unwrap_or_default());
        let request = self.serial;
        let subrequest = if self.is_subrequest() {
            format!(", subrequest: \"{}\"", String::from_utf8_lossy(&self.uri))
        } else {
            String::new()
        };
        let client = &self.remote.address;
        format!(
            ", client: {client}, server: {server}, request: \"{line}\"{subrequest}{upstream}, host: \"{host}\", request id: {request}"
        )
    }
}

/// A request's log, kept beyond the request.
#[derive(Clone, Debug)]
pub struct LogHandle {
    log: ErrorLog,
    serial: u64,
    tail: String,
}

impl LogHandle {
    /// Writes a line about the request.
    pub fn write(&self, level: Level, message: fmt::Arguments<'_>) {
        self.log.write(level, format_args!("*{} {message}{}", self.serial, self.tail));
    }
}

fn read_limits(core: &Core) -> ReadLimits {
    ReadLimits { total_max: core.client_max_body_size(), timeout: core.client_body_timeout() }
}
