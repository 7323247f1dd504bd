//! The handshake of a connection that is to be encrypted, and whether a client's certificate is good enough for a request.

use std::future::poll_fn;
use std::rc::Rc;

use daemun_http::StatusCode;
use daemun_net::tls::{Greeting, HandshakeError, Purpose, ServerTls, TlsFacts, VerifyError, begins_handshake};

use super::client::Client;
use super::http1;
use crate::clock;
use crate::edge::EdgeThread;
use crate::log::{ErrorLog, Level};
use crate::request::Request;
use crate::runtime::{ServerId, ThreadRuntime};
use crate::tls::{ClientVerification, VirtualTls};

/// What is known of an encrypted connection.
#[derive(Debug)]
pub struct ClientTls {
    /// What the handshake has made known.
    pub facts: TlsFacts,
    /// The name that the client asked for and the server that has it, where one has.
    pub negotiated: Option<(Box<str>, ServerId)>,
    /// What came of looking at the client's certificate, where it has shown one and somebody wanted to know.
    pub verified: Option<Result<(), VerifyError>>,
}

/// Does the handshake within the default server's `client_header_timeout`. False where the connection is to be closed.
///
/// Who does not speak TLS at all is served so far as to be told so.
pub(crate) async fn shake_hands(client: &Rc<Client>, edge: &EdgeThread) -> bool {
    let runtime = edge.runtime_for(client);
    let default = runtime.server(runtime.default_server(client.listener()));
    let core = &runtime.location(default.settings).core;
    let limit = core.client_header_timeout();
    match tokio::time::timeout(limit, Box::pin(negotiate(client, &runtime))).await {
        Ok(Ok(goes_on)) => goes_on,
        Ok(Err(Failure::Closed)) => false,
        Ok(Err(Failure::Handshake(error))) => {
            let level = match &error {
                HandshakeError::Socket(_) => Level::Crit,
                _ => Level::Info,
            };
            log(core.error_log(), client, &runtime, level, format_args!("{error} while SSL handshaking"));
            false
        }
        Ok(Err(Failure::Keys(error))) => {
            log(core.error_log(), client, &runtime, Level::Error, format_args!("{error} while SSL handshaking"));
            false
        }
        Err(_) => {
            let text = format_args!("client timed out (110: Connection timed out) while SSL handshaking");
            log(core.error_log(), client, &runtime, Level::Info, text);
            false
        }
    }
}

/// Why there is no handshake.
enum Failure {
    Closed,
    Handshake(HandshakeError),
    /// The server has no certificate to show, in words.
    Keys(String),
}

impl From<HandshakeError> for Failure {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

async fn negotiate(client: &Rc<Client>, runtime: &Rc<ThreadRuntime>) -> Result<bool, Failure> {
    let first = poll_fn(|context| client.poll_first_octet(context)).await.ok_or(Failure::Closed)?;
    if !begins_handshake(first) {
        client.is_plain_on_tls.set(true);
        return Ok(true);
    }
    let ahead = client.take_pending_input();
    let (stream, port) = (client.take_stream().ok_or(Failure::Closed)?, client.listener());
    let greeting = Greeting::read(stream, &ahead).await?;
    client.has_begun.set(true);
    let default = runtime.default_server(port);
    let named = greeting.server_name().and_then(|name| runtime.listener(port).names.find(name.as_bytes()));
    if let Some(name) = greeting.server_name() {
        let _ = client.requested_name.set(name.into()); // A connection has one handshake.
    }
    let server = named.unwrap_or(default);
    let of_server = |server: ServerId| runtime.server(server).tls.as_deref();
    // One without a certificate of its own shows the default server's.
    let has_own = |tls: &&VirtualTls| tls.server.is_some() || tls.rejects_handshake;
    let virtual_tls = of_server(server).filter(has_own).or_else(|| of_server(default));
    let virtual_tls = virtual_tls.ok_or_else(|| Failure::Keys("no \"ssl_certificate\" is defined".to_owned()))?;
    if virtual_tls.rejects_handshake {
        return Err(greeting.reject().into());
    }
    let tls = tls_of(virtual_tls, client, runtime)?;
    let negotiated = named.and_then(|server| Some((Box::from(greeting.server_name()?), server)));
    let (stream, facts) = greeting.finish(&tls, may_be_http2(runtime, client, server)).await?;
    client.give_stream(stream);
    let log = runtime.location(runtime.server(server).settings).core.error_log();
    let verified = verify(virtual_tls, &facts, log).await;
    let _ = client.tls.set(Box::new(ClientTls { facts: *facts, negotiated, verified })); // A connection has one handshake.
    Ok(true)
}

/// Whether the server that was asked for speaks HTTP/2.
fn may_be_http2(runtime: &ThreadRuntime, client: &Client, server: ServerId) -> bool {
    let core = &runtime.location(runtime.server(server).settings).core;
    runtime.listener(client.listener()).setting.http2 || core.http2.is_on()
}

/// What the server shows and offers to this client.
fn tls_of(virtual_tls: &VirtualTls, client: &Rc<Client>, runtime: &Rc<ThreadRuntime>) -> Result<ServerTls, Failure> {
    let missing = || Failure::Keys("no \"ssl_certificate\" is defined in server listening on SSL port".to_owned());
    let tls = virtual_tls.server.as_ref().ok_or_else(missing)?;
    match &virtual_tls.keys {
        None => Ok(tls.clone()),
        Some(source) => {
            let request = http1::new_request(client, runtime);
            let keys = source.keys(&request);
            crate::thread::give_spare_request(request);
            keys.map(|keys| tls.with_keys(keys)).map_err(Failure::Keys)
        }
    }
}

/// Looks at what the client has shown.
async fn verify(virtual_tls: &VirtualTls, facts: &TlsFacts, log: &ErrorLog) -> Option<Result<(), VerifyError>> {
    let clients = virtual_tls.clients.as_ref().filter(|_| !facts.peer_chain.is_empty())?;
    let verified = clients.trust.verify(&facts.peer_chain, Purpose::Client, clock::unix_seconds());
    match &clients.status {
        Some(status) if verified.is_ok() => Some(status.check(&clients.trust.path_of(&facts.peer_chain), log).await),
        _ => Some(verified),
    }
}

/// Whether the connection is as the server wants it that was chosen for `request`.
///
/// # Errors
/// nginx's 495 to 497, or 421 where the handshake was done with another server.
pub(super) fn judge(request: &Request) -> Result<(), StatusCode> {
    let client = &request.client;
    if client.connection().is_plain_on_tls.get() {
        request.log(Level::Info, format_args!("client sent plain HTTP request to HTTPS port"));
        return Err(StatusCode::HTTP_ON_HTTPS_PORT);
    }
    let (Some(tls), Some(virtual_tls)) = (client.tls(), &request.server().tls) else { return Ok(()) };
    let Some(clients) = &virtual_tls.clients else { return Ok(()) };
    let host = request.head.host().filter(|host| !host.is_empty());
    let is_other = |(name, _): &(Box<str>, ServerId)| host.is_some_and(|host| host != name.as_bytes());
    if tls.negotiated.as_ref().is_some_and(is_other) {
        let text = "client attempted to request the server name different from the one that was negotiated";
        request.log(Level::Info, format_args!("{text}"));
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    match tls.verified {
        Some(Err(error)) => {
            let is_left_to_others =
                clients.verification == ClientVerification::OptionalNoAuthority && error.is_about_trust();
            if !is_left_to_others {
                let number = error.number();
                let text = format_args!("client SSL certificate verify error: ({number}:{error})");
                request.log(Level::Info, text);
                return Err(StatusCode::CERTIFICATE_ERROR);
            }
        }
        Some(Ok(())) => {}
        None if clients.verification == ClientVerification::On => {
            request.log(Level::Info, format_args!("client sent no required SSL certificate"));
            return Err(StatusCode::NO_CERTIFICATE);
        }
        None => {}
    }
    Ok(())
}

fn log(log: &ErrorLog, client: &Client, runtime: &ThreadRuntime, level: Level, text: std::fmt::Arguments<'_>) {
    let (serial, address) = (client.serial, &client.remote.address);
    let listener = &runtime.listener(client.listener()).setting.address;
    log.write(level, format_args!("*{serial} {text}, client: {address}, server: {listener}"));
}
