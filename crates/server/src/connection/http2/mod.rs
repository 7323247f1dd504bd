//! HTTP/2 on one connection: its frames, and a request for each stream.
//!
//! ```text
//!  socket ──> Connection (a task) ──> Http2Stream ──> Client of one request ──> engine
//!                  ^                                         │
//!                  └── Shared: frames that wait, windows <── writer
//! ```
//!
//! A request knows nothing of it: its [`Client`](super::Client) reads the stream's octets and writes DATA frames where that of
//! HTTP/1 reads and writes its socket.

pub(super) mod answer;
mod connection;
mod flood;
mod frames;
mod requests;
mod shared;
mod stream;

use std::future::poll_fn;

use daemun_http::http2::frame::PREFACE;

pub(crate) use self::connection::serve;
pub(crate) use self::stream::Http2Stream;
use super::client::Client;
use super::http1::head_timeout;
use crate::config::Core;
use crate::edge::EdgeThread;
use crate::runtime::ThreadRuntime;
use crate::thread;

/// Whether client and server have chosen it in the handshake (RFC 7301).
pub(super) fn is_negotiated(client: &Client) -> bool {
    client.tls().is_some_and(|tls| tls.facts.inner_protocol.as_deref() == Some(b"h2"))
}

/// Whether a client that begins with HTTP/2 is understood where it has come in. By TLS it is to have said so before.
pub(super) fn is_spoken(client: &Client, edge: &EdgeThread) -> bool {
    let runtime = edge.runtime_for(client);
    let setting = &runtime.listener(client.listener()).setting;
    !setting.is_tls && (setting.http2 || default_core(client, &runtime).http2.is_on())
}

/// The settings of the server that answers before any name is known.
fn default_core<'a>(client: &Client, runtime: &'a ThreadRuntime) -> &'a Core {
    let settings = runtime.server(runtime.default_server(client.listener())).settings;
    &runtime.location(settings).core
}

/// Waits until the client's first octets tell whether it speaks HTTP/2. What has been read stays in its input.
pub(super) async fn is_begun(client: &Client, edge: &EdgeThread) -> bool {
    client.set_deadline(head_timeout(client, edge));
    loop {
        {
            let input = client.input.borrow();
            let (here, wanted) = (input.as_slice(), PREFACE);
            match here.get(..wanted.len()) {
                Some(front) => return front == wanted,
                None if !wanted.starts_with(here) => return false,
                None => {}
            }
        }
        let read = poll_fn(|context| {
            thread::with_read_buffer(|buffer| {
                client
                    .poll_read(context, buffer)
                    .map_ok(|count| client.input.borrow_mut().push(buffer.get(..count).unwrap_or_default()))
                    .map_ok(|()| !client.input.borrow().is_empty())
            })
        });
        let before = client.pending_input();
        if !matches!(read.await, Ok(true)) || client.pending_input() == before {
            return false; // Whoever reads next hears the same.
        }
    }
}
