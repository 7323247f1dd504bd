//! What would become of a request, and why: the engine itself, on a connection that nobody is at, telling what it does.
//!
//! A request that is explained has a [`Trace`]. The engine and the modules say their part by [`Request::note`], which is nothing
//! for all other requests; whoever would ask somebody else for the answer says whom, by [`Request::answered_by`], and asks nobody.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use daemun_conf::Span;
use daemun_http::Parsed;
use daemun_net::{ListenAddress, PeerAddress, Stream};
use tokio::net::UnixStream;
use tokio::runtime::LocalOptions;

use crate::backend::Backend;
use crate::connection::{AddressText, Client, accept, head_limits};
use crate::edge::Generation;
use crate::engine::{self, End};
use crate::host_names::NameKind;
use crate::limits::EXPLAINED_OTHERS_MAX;
use crate::phase::{Outcome, Phase, Step};
use crate::request::Request;
use crate::response::{Body, Response};
use crate::route::{Considered, ServerMatch, TreeEntry};
use crate::runtime::{ListenerId, Location, LocationId, Runtime, ServerId, ThreadRuntime};

/// What is to be explained.
#[derive(Clone, Debug)]
pub struct Question {
    /// The listener that the request comes in by.
    pub listener: ListenerId,
    /// Who sends it.
    pub client: IpAddr,
    /// The request's head as it would be sent, its empty line included.
    pub head: Vec<u8>,
}

/// What is told of one request, line by line.
pub struct Trace {
    lines: RefCell<Vec<Line>>,
    place: Box<dyn Fn(Span) -> String>,
    /// Whether somebody else would answer.
    is_elsewhere: Cell<bool>,
}

/// One line.
struct Line {
    /// 0 begins something, 1 belongs to it, 2 is a detail.
    depth: usize,
    text: String,
}

impl Trace {
    fn push(&self, depth: usize, text: fmt::Arguments<'_>) -> usize {
        let mut lines = self.lines.borrow_mut();
        // Texts of requests and configurations are shown on one line, whatever they contain.
        let text = text.to_string().chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect();
        lines.push(Line { depth, text });
        lines.len() - 1
    }

    fn append(&self, at: usize, text: &str) {
        if let Some(line) = self.lines.borrow_mut().get_mut(at) {
            line.text.push_str(text);
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in self.lines.borrow().iter() {
            let _ = writeln!(text, "{:width$}{}", "", line.text, width = line.depth * 4); // Into a String: cannot fail.
        }
        text
    }

    /// A location as its configuration writes it, and where.
    fn location(&self, location: &Location) -> String {
        match location.place {
            Some(place) => format!("{} ({})", location.written, (self.place)(place)),
            None => location.written.clone(),
        }
    }
}

impl Request {
    /// Whether the request is made to be explained: nothing outside of the process may come of it.
    #[must_use]
    pub fn is_explained(&self) -> bool {
        self.trace.is_some()
    }

    /// Tells something to whoever has the request explained.
    pub fn note(&self, text: fmt::Arguments<'_>) {
        if let Some(trace) = &self.trace {
            trace.push(2, text);
        }
    }

    /// Tells who would answer, and ends the explanation.
    pub fn answered_by(&self, text: fmt::Arguments<'_>) -> Outcome {
        if let Some(trace) = &self.trace {
            trace.push(2, text);
            trace.is_elsewhere.set(true);
        }
        Outcome::Close
    }

    fn head_line(&self, text: fmt::Arguments<'_>) {
        if let Some(trace) = &self.trace {
            trace.push(0, text);
        }
    }
}

/// Explains `question` by `runtime`; `backends` stand for its application pools, `place` says where something is written.
///
/// # Errors
/// When the system gives no sockets.
pub fn explain(
    runtime: Arc<Runtime>,
    backends: Vec<Rc<dyn Backend>>,
    question: &Question,
    place: impl Fn(Span) -> String + 'static,
) -> io::Result<String> {
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    event_loop.block_on(ask(runtime, backends, question, Box::new(place)))
}

async fn ask(
    runtime: Arc<Runtime>,
    backends: Vec<Rc<dyn Backend>>,
    question: &Question,
    place: Box<dyn Fn(Span) -> String>,
) -> io::Result<String> {
    let generation = Generation::new(1, &runtime);
    let runtime = Rc::new(ThreadRuntime { shared: runtime, backends, generation });
    let (ours, _clients) = UnixStream::pair()?;
    let peer = PeerAddress::Tcp(SocketAddr::new(question.client, 0));
    let client = Rc::new(Client::new(Stream::Unix(ours), peer, question.listener, &runtime));
    let listener = runtime.listener(question.listener);
    if let ListenAddress::Tcp(address) = &listener.setting.address {
        client.stands_at(AddressText::new(&address.ip()));
    }
    let mut request = Request::new(client, Rc::clone(&runtime));
    let trace = Rc::new(Trace { lines: RefCell::default(), place, is_elsewhere: Cell::new(false) });
    request.trace = Some(Rc::clone(&trace));
    request.is_https = listener.setting.is_tls;
    request.head_line(format_args!("listener {}", listener.setting.address));
    let limits = head_limits(&runtime.location(request.location).core);
    let accepted = match request.head.parse(&question.head, &limits) {
        Ok(Parsed::Complete { .. }) => accept(&mut request),
        Ok(Parsed::Incomplete) => Err(daemun_http::StatusCode::BAD_REQUEST),
        Err(error) => {
            request.head_line(format_args!("the request's head is refused: {error}"));
            Err(error.status())
        }
    };
    let end = match accepted {
        Ok(()) => engine::handle(&mut request).await,
        Err(status) => engine::refuse(&mut request, status).await,
    };
    tell_end(&request, &trace, end);
    Ok(trace.text())
}

fn tell_end(request: &Request, trace: &Trace, end: End) {
    match end {
        End::Answer(response) => tell_answer(request, trace, &response),
        End::Close if trace.is_elsewhere.get() => {}
        End::Close => request.head_line(format_args!("the connection is closed without an answer")),
    }
}

fn tell_answer(request: &Request, trace: &Trace, response: &Response) {
    request.head_line(format_args!("answer {}", response.status().as_u16()));
    for field in response.head.headers.iter() {
        let (name, value) = (String::from_utf8_lossy(field.name), String::from_utf8_lossy(field.value));
        trace.push(1, format_args!("{name}: {value}"));
    }
    let what = match &response.body {
        Body::Empty => "no body",
        Body::Bytes(_) | Body::Pieces(_) => "a body made here",
        Body::File(_) => "a file",
        Body::Stream(_) => "a body that is made while it is sent",
        Body::Tunnel(_) => "a tunnel",
    };
    match response.body.length() {
        Some(length) if length > 0 => trace.push(1, format_args!("{what}, {length} octets")),
        _ => trace.push(1, format_args!("{what}")),
    };
    let filters: Vec<_> = request.location().filters.iter().map(|filter| filter.name()).collect();
    if !filters.is_empty() {
        trace.push(1, format_args!("filters: {}", filters.join(", ")));
    }
}

fn names(steps: &[(Phase, Box<dyn Step>)]) -> String {
    steps.iter().map(|(_, step)| step.name()).collect::<Vec<_>>().join(", ")
}

/// A step begins; the number is for [`end_step`].
pub(crate) fn begin_step(request: &Request, phase: Phase, step: &dyn Step) -> usize {
    request.trace.as_ref().map_or(0, |trace| trace.push(1, format_args!("{} phase, {}", phase.name(), step.name())))
}

/// A step has come to `outcome`; `rest` will not run where that is an end.
pub(crate) fn end_step(request: &Request, line: usize, outcome: &Outcome, rest: &[(Phase, Box<dyn Step>)]) {
    let Some(trace) = &request.trace else { return };
    let said = match outcome {
        Outcome::Continue => ": goes on".to_owned(),
        Outcome::Allow => ": lets the client in".to_owned(),
        Outcome::Respond(response) => format!(": answers {}", response.status().as_u16()),
        Outcome::Finish(status) => format!(": ends with {}", status.as_u16()),
        Outcome::Delay(delay) => format!(": waits {} ms", delay.as_millis()),
        Outcome::Redirect { uri, args } => match args.as_deref().unwrap_or_default() {
            b"" => format!(": internal redirect to {}", String::from_utf8_lossy(uri)),
            args => {
                format!(": internal redirect to {}?{}", String::from_utf8_lossy(uri), String::from_utf8_lossy(args))
            }
        },
        Outcome::Relocate => {
            format!(": the path is {} now, its location is looked for", String::from_utf8_lossy(&request.uri))
        }
        Outcome::Named(name) => format!(": goes to location {name}"),
        Outcome::Close if trace.is_elsewhere.get() => ": answers".to_owned(),
        Outcome::Close => ": closes the connection".to_owned(),
    };
    trace.append(line, &said);
    let is_end = !matches!(outcome, Outcome::Continue | Outcome::Allow | Outcome::Delay(_));
    if is_end && !rest.is_empty() {
        trace.push(1, format_args!("not asked: {}", names(rest)));
    }
}

/// The request is at the location `id` without a search: a named one, or one whose slash the path lacks.
pub(crate) fn tell_location(request: &Request, id: LocationId, why: &str) {
    if let Some(trace) = &request.trace {
        trace.push(0, format_args!("location {}: {why}", trace.location(request.runtime.location(id))));
    }
}

/// The engine does something that no step has asked for.
pub(crate) fn tell(request: &Request, text: fmt::Arguments<'_>) {
    request.head_line(text);
}

/// Which server has been chosen for `host`, why, and why not the others; `why` is `None` for the listener's default.
pub(crate) fn tell_server(request: &Request, host: &[u8], why: Option<&ServerMatch<'_>>) {
    let Some(trace) = &request.trace else { return };
    let runtime = &request.runtime;
    let listener = runtime.listener(request.client.listener());
    let (names, expressions) = (listener.names.plain_names(), listener.names.expressions());
    let shown = String::from_utf8_lossy(host);
    let reason = match why {
        Some(ServerMatch::Name(NameKind::Exact, _)) => format!("its server_name is the host \"{shown}\""),
        Some(ServerMatch::Name(kind, part)) => {
            let (star, part) = (*kind == NameKind::LeadingWildcard, String::from_utf8_lossy(part));
            let name = if star { format!("*{part}") } else { format!("{part}*") };
            format!("its server_name \"{name}\" is the longest that fits the host \"{shown}\"")
        }
        Some(ServerMatch::Regex(number)) => {
            let text = expressions.get(*number).map(|(pattern, _)| pattern.text()).unwrap_or_default();
            format!("its server_name \"~{}\" is the first expression that matches the host \"{shown}\"", plain(text))
        }
        None if host.is_empty() => "the request names no host".to_owned(),
        None if listener.has_default => format!("no server_name fits the host \"{shown}\"; it is the default_server"),
        None => format!("no server_name fits the host \"{shown}\"; it is the first on this address"),
    };
    trace.push(0, format_args!("server {}: {reason}", server(trace, runtime, request.server)));
    let by_name = names.iter().map(|(kind, name, id)| {
        let why_not = match (why, kind) {
            (_, NameKind::Exact) => "it is not the host",
            (Some(ServerMatch::Name(NameKind::Exact, _)), _) => "a name without a wildcard goes before it",
            (Some(ServerMatch::Name(_, _)), _) => "it does not fit the host, or is shorter",
            _ => "it does not fit the host",
        };
        (name.clone(), **id, why_not)
    });
    let by_expression = expressions.iter().enumerate().map(|(number, (pattern, id))| {
        let why_not = match why {
            Some(ServerMatch::Regex(first)) if number > *first => "an expression before it matches",
            Some(ServerMatch::Name(..)) => "names without an expression go before it",
            _ => "it does not match",
        };
        (format!("~{}", plain(pattern.text())), *id, why_not)
    });
    let others = by_name.chain(by_expression).filter(|(_, id, _)| *id != request.server);
    let others =
        others.map(|(name, id, why_not)| format!("\"{name}\" of server {}: {why_not}", server(trace, runtime, id)));
    tell_others(trace, others.collect());
}

fn server(trace: &Trace, runtime: &ThreadRuntime, id: ServerId) -> String {
    let server = runtime.server(id);
    let name = server.names.first().map_or("\"\"", String::as_str);
    match runtime.location(server.settings).place {
        Some(place) => format!("{name} ({})", (trace.place)(place)),
        None => name.to_owned(),
    }
}

/// Letters of server names are the same in either case: nobody wrote that.
fn plain(expression: &str) -> &str {
    expression.strip_prefix("(?i)").unwrap_or(expression)
}

fn tell_others(trace: &Trace, others: Vec<String>) {
    for other in others.iter().take(EXPLAINED_OTHERS_MAX) {
        trace.push(1, format_args!("not {other}"));
    }
    if let Some(more) = others.len().checked_sub(EXPLAINED_OTHERS_MAX).filter(|more| *more > 0) {
        trace.push(1, format_args!("nor {more} more"));
    }
}

/// Finds the location as [`crate::route::LocationTree::find_for`] does, and tells why it is that one and none of the others.
pub(crate) fn find_location(runtime: &ThreadRuntime, request: &Request) -> Option<LocationId> {
    let tree = &runtime.server(request.server).tree;
    let mut considered = Vec::new();
    let found = tree.find_telling(request, |one| considered.push(one));
    let Some(trace) = &request.trace else { return found };
    let path = String::from_utf8_lossy(&request.uri);
    match (found, considered.last()) {
        (Some(id), Some(last)) => {
            let why = match last {
                Considered::Exact(_) => "its name is the path".to_owned(),
                Considered::Longest(_, true) => "the longest prefix, and ^~: no expression is looked at".to_owned(),
                Considered::Regex(_, true) => "the first expression that matches".to_owned(),
                Considered::Longest(_, false) => "the longest prefix".to_owned(),
                Considered::Regex(_, false) => "the longest prefix, and no expression matches".to_owned(),
            };
            trace.push(0, format_args!("location {} for {path}: {why}", trace.location(runtime.location(id))));
        }
        _ => {
            trace.push(0, format_args!("no location for {path}: the server's own settings hold"));
        }
    }
    let mut others: Vec<_> = tree
        .entries()
        .filter(|(id, _)| Some(*id) != found)
        .map(|(id, entry)| {
            let (is_near, why_not) = why_not(&request.uri, id, entry, &considered);
            (!is_near, format!("{}: {why_not}", trace.location(runtime.location(id))))
        })
        .collect();
    others.sort(); // What might have fitted stands first.
    tell_others(trace, others.into_iter().map(|(_, text)| text).collect());
    found
}

/// Why a location is not the one, and whether it came near.
fn why_not(path: &[u8], id: LocationId, entry: TreeEntry<'_>, considered: &[Considered]) -> (bool, &'static str) {
    let is_exact = matches!(considered.first(), Some(Considered::Exact(_)));
    let is_final = matches!(considered, [Considered::Longest(_, true)]);
    match entry {
        TreeEntry::Exact(_) => (false, "its name is not the path"),
        TreeEntry::Prefix(name) if !path.starts_with(name) => (false, "the path does not begin so"),
        TreeEntry::Prefix(_) if is_exact => (true, "a name that is the whole path goes before it"),
        TreeEntry::Prefix(_) if considered.contains(&Considered::Longest(id, false)) => {
            (true, "the longest prefix, but an expression matches")
        }
        TreeEntry::Prefix(_) => (true, "a longer prefix fits"),
        TreeEntry::Regex(_) if considered.contains(&Considered::Regex(id, false)) => (true, "it does not match"),
        TreeEntry::Regex(_) if is_exact => (true, "a name that is the whole path goes before it"),
        TreeEntry::Regex(_) if is_final => (true, "the longest prefix is ^~"),
        TreeEntry::Regex(Some(_)) if !considered.iter().any(|one| matches!(one, Considered::Regex(_, true))) => {
            (false, "the location around it is not the longest prefix")
        }
        TreeEntry::Regex(_) => (true, "an expression before it matches"),
    }
}
