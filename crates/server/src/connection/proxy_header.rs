//! The header of the PROXY protocol, before the first request of a connection.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use daemun_net::{ProxyHeader, ProxyHeaderError, ProxyHeaderStep, read_proxy_header};

use super::client::Client;
use crate::edge::EdgeThread;
use crate::log::Level;
use crate::thread;

/// Reads the header that a listener with `proxy_protocol` expects, within the default server's `client_header_timeout`.
///
/// False where there is none: the connection is to be closed, without an answer that a forger could read.
pub(crate) async fn receive(client: &Rc<Client>, edge: &EdgeThread) -> bool {
    let runtime = edge.runtime_for(client);
    let server = runtime.server(runtime.default_server(client.listener()));
    let core = &runtime.location(server.settings).core;
    client.set_deadline(core.client_header_timeout());
    let result = poll_fn(|context| thread::with_read_buffer(|buffer| poll_header(client, context, buffer))).await;
    client.clear_deadline();
    let (level, reason) = match result {
        Ok(header) => {
            if let Some(header) = header {
                // A connection has one header, read before anybody could ask for it.
                let _ = client.proxy_header.set(header);
            }
            return true;
        }
        Err(HeaderFailure::Invalid(error)) => (Level::Error, error.to_string()),
        Err(HeaderFailure::TimedOut) => (Level::Info, "client timed out".to_owned()),
        Err(HeaderFailure::Closed) => (Level::Info, "client closed connection".to_owned()),
    };
    let (serial, address) = (client.serial, &client.remote.address);
    let name = String::from_utf8_lossy(server.first_name());
    core.error_log().write(
        level,
        format_args!("*{serial} {reason} while reading PROXY protocol, client: {address}, server: {name}"),
    );
    false
}

/// Why there is no header.
enum HeaderFailure {
    Closed,
    TimedOut,
    Invalid(ProxyHeaderError),
}

/// What is read beyond the header is left as the connection's input.
fn poll_header(
    client: &Client,
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<Result<Option<Box<ProxyHeader>>, HeaderFailure>> {
    loop {
        let read = match ready!(client.poll_read(context, buffer)) {
            Ok(0) => return Poll::Ready(Err(HeaderFailure::Closed)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Poll::Ready(Err(HeaderFailure::TimedOut));
            }
            Err(_) => return Poll::Ready(Err(HeaderFailure::Closed)),
        };
        let mut input = client.input.borrow_mut();
        input.push(&buffer[..read]);
        match read_proxy_header(input.as_slice()) {
            Ok(ProxyHeaderStep::NeedMore) => {}
            Ok(ProxyHeaderStep::Complete { header, taken }) => {
                input.consume(taken);
                return Poll::Ready(Ok(header));
            }
            Err(error) => return Poll::Ready(Err(HeaderFailure::Invalid(error))),
        }
    }
}
