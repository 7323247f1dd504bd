//! The uwsgi protocol as a server: one packet of variables, a body, one answer, and the connection is closed.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, ready};

use daemun_gateway::uwsgi::{self, Decoded};
use daemun_http::{Framing, HeadLimits, Headers, Method, Parsed, Version};

use super::client::Client;
use super::http1::{finish_request, new_request};
use crate::body::RequestBody;
use crate::clock;
use crate::edge::EdgeThread;
use crate::engine;
use crate::log::Level;
use crate::request::Request;
use crate::runtime::ThreadRuntime;
use crate::statistics::Activity;
use crate::thread;

/// Serves a connection: one request.
pub async fn serve(client: Rc<Client>, edge: Rc<EdgeThread>) {
    let runtime = edge.runtime();
    let settings = runtime.server(runtime.default_server(client.listener)).settings;
    client.set_deadline(runtime.location(settings).core.client_header_timeout());
    let mut request = new_request(&client, &runtime, &edge);
    request.serial = thread::next_request_serial();
    client.enter(Activity::Reading);
    let result = read_packet(&client, &mut request).await;
    client.clear_deadline();
    request.started_ms = clock::monotonic_ms();
    client.requests.set(1);
    client.enter(Activity::Writing);
    match result {
        Ok(()) => {
            let end = engine::handle(&mut request).await;
            finish_request(&client, &mut request, end).await;
        }
        Err(error) => refuse(&request, &runtime, &error),
    }
    thread::give_spare_request(request);
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
enum PacketFailure {
    #[error("the connection ended or failed before the packet was complete")]
    Closed,
    #[error("the packet did not come in time")]
    TimedOut,
    #[error("{0}")]
    Packet(#[from] uwsgi::PacketError),
    #[error("the packet has no variables")]
    Empty,
    #[error("modifier {0} is not for a WSGI application")]
    Modifier(u8),
    #[error("variable {name} has the invalid value \"{value}\"")]
    Variable { name: &'static str, value: String },
}

fn refuse(request: &Request, runtime: &ThreadRuntime, error: &PacketFailure) {
    let listener = &runtime.listener(request.client.listener).setting.address;
    request.log(Level::Error, format_args!("invalid uwsgi request on {listener}: {error}"));
}

async fn read_packet(client: &Client, request: &mut Request) -> Result<(), PacketFailure> {
    poll_fn(|context| {
        loop {
            let complete = try_packet(client, request)?;
            if complete {
                return Poll::Ready(Ok(()));
            }
            let read = thread::with_read_buffer(|buffer| {
                let read = client.poll_read(context, buffer);
                if let Poll::Ready(Ok(count)) = read {
                    client.has_begun.set(true);
                    client.input.borrow_mut().push(&buffer[..count]);
                }
                read
            });
            match ready!(read) {
                Ok(0) => return Poll::Ready(Err(PacketFailure::Closed)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Poll::Ready(Err(PacketFailure::TimedOut));
                }
                Err(_) => return Poll::Ready(Err(PacketFailure::Closed)),
            }
        }
    })
    .await
}

/// Decodes the packet if all of it is here.
fn try_packet(client: &Client, request: &mut Request) -> Result<bool, PacketFailure> {
    let mut input = client.input.borrow_mut();
    let taken = match uwsgi::decode(input.as_slice(), uwsgi::SIZE_MAX)? {
        Decoded::Incomplete { .. } => return Ok(false),
        Decoded::Packet { head, variables, taken } => {
            if head.modifier1 != WSGI_MODIFIER {
                return Err(PacketFailure::Modifier(head.modifier1));
            }
            for variable in variables {
                let (name, value) = variable;
                request.gateway_variables.push((name.to_vec(), value.to_vec()));
            }
            taken
        }
    };
    input.consume(taken);
    drop(input);
    if request.gateway_variables.is_empty() {
        return Err(PacketFailure::Empty);
    }
    fill(request)?;
    Ok(true)
}

/// Makes the request's own fields of its variables.
fn fill(request: &mut Request) -> Result<(), PacketFailure> {
    let variables = std::mem::take(&mut request.gateway_variables);
    let find = |wanted: &[u8]| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_slice());
    let invalid =
        |name, value: &[u8]| PacketFailure::Variable { name, value: String::from_utf8_lossy(value).into_owned() };
    let method = find(b"REQUEST_METHOD").unwrap_or(b"GET");
    let method = Method::of(method).ok_or_else(|| invalid("REQUEST_METHOD", method))?;
    let version = if find(b"SERVER_PROTOCOL") == Some(b"HTTP/1.0") { Version::Http10 } else { Version::Http11 };
    let target = find(b"REQUEST_URI").unwrap_or(b"/");
    set_line(request, &method, target);
    request.head.version = version;
    request.uri.extend_from_slice(find(b"PATH_INFO").unwrap_or(target));
    request.args.extend_from_slice(find(b"QUERY_STRING").unwrap_or_default());
    add_headers(&variables, &mut request.head.headers);
    let length = match find(b"CONTENT_LENGTH") {
        None | Some(b"") => 0,
        Some(text) if text.iter().all(u8::is_ascii_digit) => {
            let length = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            length.ok_or_else(|| invalid("CONTENT_LENGTH", text))?
        }
        Some(text) => return Err(invalid("CONTENT_LENGTH", text)),
    };
    request.body = RequestBody::announced(&request.client, Framing::Length(length), false);
    request.keep_alive = false;
    request.gateway_variables = variables;
    Ok(())
}

/// The request line, for logs; a target that no line may hold is left out.
fn set_line(request: &mut Request, method: &Method, target: &[u8]) {
    let line = |target: &[u8]| [method.as_str().as_bytes(), b" ", target, b" HTTP/1.0\r\n\r\n"].concat();
    let limits = HeadLimits::default();
    if !matches!(request.head.parse(&line(target), &limits), Ok(Parsed::Complete { .. })) {
        request.head.clear();
        // A line of a known method and `/` is always valid.
        let _ = request.head.parse(&line(b"/"), &limits);
    }
}

fn add_headers(variables: &[(Vec<u8>, Vec<u8>)], headers: &mut Headers) {
    for (name, value) in variables {
        if let Some(field) = name.strip_prefix(b"HTTP_") {
            let field: Vec<u8> = field.iter().map(|octet| if *octet == b'_' { b'-' } else { *octet }).collect();
            headers.append(&field, value);
        }
    }
}

/// `modifier1` of a request for a Python WSGI application.
const WSGI_MODIFIER: u8 = 0;
