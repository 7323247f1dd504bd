//! HTTP/1.0 and 1.1 on one connection: heads are read, answered one after the other, and the connection is kept
//! while both sides want it.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use daemun_http::{HeadError, HeadLimits, Method, Parsed, StatusCode, Version, target};

use super::client::Client;
use super::{http2, keep_alive, tls, writer};
use crate::body::RequestBody;
use crate::clock;
use crate::config::{Core, LingeringClose, Transfer};
use crate::edge::EdgeThread;
use crate::engine::{self, End};
use crate::explain;
use crate::limits::HEAD_BYTES_MAX;
use crate::log::{self, Level};
use crate::phase::Outcome;
use crate::request::Request;
use crate::runtime::ThreadRuntime;
use crate::statistics::Activity;
use crate::thread;

/// Serves a connection until it is closed.
///
/// Most connections wait most of the time, so what a request needs is on the heap only while there is one.
pub async fn serve(client: Rc<Client>, edge: Rc<EdgeThread>) {
    let is_new = client.requests.get() == 0;
    if is_new && http2::is_negotiated(&client) {
        return Box::pin(http2::serve(client, edge)).await;
    }
    if is_new && http2::is_spoken(&client, &edge) && Box::pin(http2::is_begun(&client, &edge)).await {
        return Box::pin(http2::serve(client, edge)).await;
    }
    while wait_for_octets(&client, &edge).await && Box::pin(serve_requests(&client, &edge)).await {}
}

/// Waits until something can be read. False where the client has gone or nothing came in time.
pub(super) async fn wait_for_octets(client: &Client, edge: &EdgeThread) -> bool {
    if client.requests.get() > 0 {
        edge.runtime_for(client); // It waits under what is in force now.
        return wait_for_another(client, edge).await;
    }
    client.set_deadline(head_timeout(client, edge));
    poll_fn(|context| client.poll_readable(context)).await
}

/// Waits for the request after another one.
async fn wait_for_another(client: &Client, edge: &EdgeThread) -> bool {
    let (least, most) = (client.keepalive_min_timeout.get(), client.keepalive_timeout.get());
    if !least.is_zero() {
        // Nobody closes it now, whoever ends: it is not idle yet.
        client.set_deadline(least.min(most));
        if poll_fn(|context| client.poll_readable(context)).await {
            return true;
        }
        if most <= least || edge.is_draining() {
            return false;
        }
    }
    if client.is_last_request.get() {
        return false;
    }
    client.is_idle.set(true);
    client.idle_since_ms.set(clock::monotonic_ms());
    client.set_deadline(most.saturating_sub(least));
    let is_here = poll_fn(|context| client.poll_readable(context)).await;
    client.is_idle.set(false);
    is_here
}

/// Time for a head whose first octet is due.
pub(super) fn head_timeout(client: &Client, edge: &EdgeThread) -> Duration {
    let runtime = edge.runtime_for(client);
    let settings = runtime.server(runtime.default_server(client.listener())).settings;
    runtime.location(settings).core.client_header_timeout()
}

/// Serves the requests that are here. True where the connection waits for more.
async fn serve_requests(client: &Rc<Client>, edge: &Rc<EdgeThread>) -> bool {
    loop {
        let Some((mut request, head)) = next_request(client, edge).await else { return false };
        let end = answer(&mut request, head).await;
        let end = judge_unread_body(&mut request, end).await;
        let goes_on = finish_request(client, &mut request, end).await
            && (!edge.is_draining() || !client.keepalive_min_timeout.get().is_zero());
        thread::give_spare_request(request);
        if !goes_on || !client.has_pending_input() {
            return goes_on;
        }
    }
}

/// What a request ends with, whose head is one that may be served or is refused.
pub(super) async fn answer(request: &mut Request, head: Result<(), StatusCode>) -> End {
    match head {
        Ok(()) => match read_body_early(request).await {
            None => engine::handle(request).await,
            Some(end) => end,
        },
        Err(status) => engine::refuse(request, status).await,
    }
}

/// Reads the body where the server wants it before anything else; what the request ends with where it cannot be had.
async fn read_body_early(request: &mut Request) -> Option<End> {
    if !request.body.is_unread() || !request.core().transfer.reads_body_early(request) {
        return None;
    }
    match request.read_body(None).await {
        Ok(()) => None,
        Err(Outcome::Finish(status)) if status != StatusCode::CLIENT_CLOSED_REQUEST => {
            Some(engine::refuse(request, status).await)
        }
        Err(_) => Some(End::Close),
    }
}

/// A body that nobody has read is looked at as far as it is here: a wrong one is an error, whatever the answer would be.
async fn judge_unread_body(request: &mut Request, end: End) -> End {
    let client = Rc::clone(&request.client);
    match request.body.drop_pending(&client) {
        Err(error) if matches!(end, End::Answer(_)) => {
            let outcome = request.refuse_body(&error);
            match outcome {
                Outcome::Finish(status) => engine::refuse(request, status).await,
                _ => end,
            }
        }
        _ => end,
    }
}

/// Sends the answer, writes the log, and readies the connection. False where it is at its end.
pub(super) async fn finish_request(client: &Rc<Client>, request: &mut Request, end: End) -> bool {
    request.keep_alive = request.keep_alive && keep_alive::allows(request);
    if let Err(error) = conclude(client, request, end).await {
        let is_given_up = matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::ConnectionAborted);
        if is_given_up && request.core().transfer.reset_timedout_connection() {
            client.reset_on_close();
        }
        return false;
    }
    let timeout = request.core().client_body_timeout().min(request.core().transfer.lingering_timeout());
    if request.keep_alive && request.body.discard(client, timeout).await {
        client.enter(Activity::Waiting);
        client.keepalive_timeout.set(request.core().keepalive_timeout());
        client.keepalive_min_timeout.set(request.core().keepalive_min_timeout());
        return true;
    }
    log::flush(); // Whoever sees the connection end finds the request in the log.
    linger(client, &request.core().transfer, false).await;
    false
}

/// Sends the answer and writes the log.
///
/// # Errors
/// What sending says: the client has no whole answer.
pub(super) async fn conclude(client: &Rc<Client>, request: &mut Request, end: End) -> io::Result<()> {
    let sent = match end {
        End::Answer(response) => writer::send(request, response).await,
        End::Close => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    match &sent {
        Ok(()) => request.beside.finish().await,
        Err(_) => request.beside.abort(),
    }
    engine::log(request);
    if sent.is_ok() {
        request.beside.finish().await; // What the log phase has begun.
    }
    request.release();
    if let Err(error) = &sent
        && error.kind() != io::ErrorKind::ConnectionAborted
    {
        request.log(Level::Info, format_args!("sending to client failed: {error}"));
    }
    debug_assert!(Rc::ptr_eq(client, &request.client));
    sent
}

type Received = (Box<Request>, Result<(), StatusCode>);

/// Waits for the next head. `None` where the client has gone or nothing came in time.
async fn next_request(client: &Rc<Client>, edge: &Rc<EdgeThread>) -> Option<Received> {
    let is_first = client.requests.get() == 0;
    let is_pipelined = !is_first && client.has_pending_input();
    if !is_first {
        client.set_deadline(head_timeout(client, edge));
    }
    let mut reading = HeadReader { client, edge, request: None, limits: HeadLimits::default() };
    let result = poll_fn(|context| reading.poll(context)).await;
    client.clear_deadline();
    client.enter(Activity::Writing);
    let mut request = reading.request?;
    request.serial = thread::next_request_serial();
    request.started_ms = clock::monotonic_ms();
    request.is_pipelined = is_pipelined;
    match result {
        Ok(()) => {
            client.requests.set(client.requests.get() + 1);
            let accepted = accept(&mut request);
            Some((request, accepted))
        }
        Err(HeadFailure::Refused(error)) => {
            request.log(Level::Info, format_args!("client sent an invalid request head: {error}"));
            Some((request, Err(error.status())))
        }
        Err(HeadFailure::TimedOut) => {
            request.log(Level::Info, format_args!("client timed out while its request head was read"));
            thread::give_spare_request(request);
            None // As nginx: whoever sends no whole head gets no answer.
        }
        Err(HeadFailure::Closed) => {
            request.log(Level::Info, format_args!("client closed the connection in the middle of a request head"));
            thread::give_spare_request(request);
            None
        }
    }
}

/// Why there is no head.
enum HeadFailure {
    Closed,
    TimedOut,
    Refused(HeadError),
}

struct HeadReader<'a> {
    client: &'a Rc<Client>,
    edge: &'a Rc<EdgeThread>,
    /// Taken once the first octet is here: what is in force then is in force for all of the request.
    request: Option<Box<Request>>,
    limits: HeadLimits,
}

impl HeadReader<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), HeadFailure>> {
        if self.request.is_none() && self.client.has_pending_input() {
            let mut input = self.client.input.borrow_mut();
            let parsed = self.parse(input.as_slice());
            match parsed {
                Ok(Some(taken)) => {
                    input.consume(taken);
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(HeadFailure::Refused(error))),
            }
        }
        thread::with_read_buffer(|buffer| self.poll_read(context, buffer))
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<(), HeadFailure>> {
        loop {
            let read = match ready!(self.client.poll_read(context, buffer)) {
                Ok(0) => return Poll::Ready(Err(HeadFailure::Closed)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Poll::Ready(Err(HeadFailure::TimedOut));
                }
                Err(_) => return Poll::Ready(Err(HeadFailure::Closed)),
            };
            let mut input = self.client.input.borrow_mut();
            let parsed = if input.is_empty() {
                let parsed = self.parse(&buffer[..read]);
                let taken = parsed.as_ref().map_or(read, |taken| taken.unwrap_or(0));
                input.push(&buffer[taken..read]);
                parsed
            } else {
                input.push(&buffer[..read]);
                let parsed = self.parse(input.as_slice());
                if let Ok(Some(taken)) = parsed {
                    input.consume(taken);
                }
                parsed
            };
            match parsed {
                Ok(Some(_)) => return Poll::Ready(Ok(())),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(HeadFailure::Refused(error))),
            }
        }
    }

    /// The head's length in octets, once all of it is there.
    fn parse(&mut self, input: &[u8]) -> Result<Option<usize>, HeadError> {
        let request = match &mut self.request {
            Some(request) => request,
            None => {
                self.client.has_begun.set(true);
                self.client.enter(Activity::Reading);
                let runtime = self.edge.runtime_for(self.client);
                let default = runtime.server(runtime.default_server(self.client.listener())).settings;
                self.limits = head_limits(&runtime.location(default).core);
                self.request.insert(new_request(self.client, &runtime))
            }
        };
        match request.head.parse(input, &self.limits)? {
            Parsed::Complete { taken } => Ok(Some(taken)),
            Parsed::Incomplete => Ok(None),
        }
    }
}

pub(crate) fn head_limits(core: &Core) -> HeadLimits {
    let (number, size) = core.large_client_header_buffers();
    let size = usize::try_from(size).unwrap_or(HEAD_BYTES_MAX);
    HeadLimits {
        request_line_bytes: size,
        header_line_bytes: size,
        head_bytes: size.saturating_mul(usize::try_from(number).unwrap_or(1)),
        headers: usize::try_from(core.max_headers()).unwrap_or(usize::MAX),
        underscores_in_headers: core.underscores_in_headers(),
        ignore_invalid_headers: core.ignore_invalid_headers(),
    }
}

/// A request object of this thread, or a new one.
pub(super) fn new_request(client: &Rc<Client>, runtime: &Rc<ThreadRuntime>) -> Box<Request> {
    match thread::take_spare_request() {
        Some(mut request) => {
            request.reset(Rc::clone(client), Rc::clone(runtime));
            request
        }
        None => Request::new(Rc::clone(client), Rc::clone(runtime)),
    }
}

/// A whole head is here: the server is chosen, the path is decoded, the body is announced.
pub(crate) fn accept(request: &mut Request) -> Result<(), StatusCode> {
    choose_server(request);
    let runtime = Rc::clone(&request.runtime);
    let core = &runtime.location(request.location).core;
    request.body = RequestBody::announced(&request.client, request.head.framing(), request.head.expects_continue());
    request.keep_alive = request.head.keep_alive() && !request.is_connect();
    if request.client.is_on_tls_listener() {
        tls::judge(request)?;
    }
    // As nginx: TRACE would show a script the fields it is not to see, and a tunnel is a forward proxy's business.
    let is_refused = match request.method() {
        Method::Trace => true,
        Method::Connect => request.head.version != Version::Http11 || !runtime.server(request.server).allows_connect,
        _ => false,
    };
    if is_refused {
        request.log(Level::Info, format_args!("client sent {} method", request.method().as_str()));
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    if request.is_connect() && request.body.length() != Some(0) {
        request.log(Level::Info, format_args!("client sent CONNECT request with body"));
        return Err(StatusCode::BAD_REQUEST);
    }
    let Request { head, uri, args, .. } = request;
    let parts = target::split(head.target());
    args.extend_from_slice(parts.args.unwrap_or_default());
    let result = target::normalize(parts.path, core.merge_slashes(), uri);
    result.map_err(|error| {
        request.log(Level::Info, format_args!("client sent an invalid URI: {error}"));
        StatusCode::BAD_REQUEST
    })
}

/// Finds the server whose name the client asks for; else the listener's default stays.
pub(super) fn choose_server(request: &mut Request) {
    let runtime = Rc::clone(&request.runtime);
    let listener = runtime.listener(request.client.listener());
    let mut why = None;
    let negotiated = request.client.tls().and_then(|tls| tls.negotiated.as_ref());
    let server = match request.head.host() {
        None | Some(b"") if negotiated.is_some() => negotiated.map(|(_, server)| *server),
        Some(host) if !host.is_empty() => {
            if listener.names.is_empty() {
                None
            } else {
                listener.names.find_for(request, host, |reason| why = request.is_explained().then_some(reason))
            }
        }
        _ => listener.unnamed,
    };
    if let Some(server) = server {
        request.server = server;
        request.location = runtime.server(server).settings;
    }
    if request.is_explained() {
        explain::tell_server(request, request.head.host().unwrap_or_default(), why.as_ref());
    }
}

/// Reads what the client still sends, so that it sees the answer before the connection goes.
///
/// `is_expecting` says that something will come in any case.
pub(super) async fn linger(client: &Client, transfer: &Transfer, is_expecting: bool) {
    let is_due = match transfer.lingering_close() {
        LingeringClose::Off => false,
        LingeringClose::On if is_expecting => true,
        LingeringClose::On => client.is_body_due.get() || client.has_pending_input() || client.is_readable(),
        LingeringClose::Always => true,
    };
    if !is_due {
        return;
    }
    client.shutdown_write();
    let read_all = async {
        loop {
            client.set_deadline(transfer.lingering_timeout());
            let read = poll_fn(|context| thread::with_read_buffer(|buffer| client.poll_read(context, buffer))).await;
            if !matches!(read, Ok(count) if count > 0) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(transfer.lingering_time(), read_all).await;
}
