//! A connection to a server: made within the time-out, from where `..._bind` says.

use std::io;
use std::net::{IpAddr, SocketAddr};

use daemun_net::{ConnectOptions, Stream};
use daemun_server::Request;
use daemun_server::log::Level;

use super::failure::{Failure, Stage};
use crate::pass::{Bind, Encryption, PassSettings};
use crate::upstream::{Peer, UpstreamAddress, UpstreamConnection};

/// Connects to the server of `peer`, and does the handshake where there is to be one.
///
/// # Errors
/// [`Failure`]
pub async fn connect(
    settings: &PassSettings,
    peer: &Peer,
    encryption: Option<&Encryption>,
    request: &Request,
) -> Result<UpstreamConnection, Failure> {
    let options = options(settings, request);
    let connecting = async {
        match peer.address() {
            UpstreamAddress::Unix(path) => Stream::connect_unix(path, &options).await,
            UpstreamAddress::Inet(address) => Stream::connect_tcp(*address, &options).await,
        }
    };
    let stream = match tokio::time::timeout(settings.connect_timeout(), connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(refused(peer.address(), source)),
        Err(_) => return Err(Failure::TimedOut(Stage::Connecting)),
    };
    let Some(encryption) = encryption else { return Ok(UpstreamConnection::new(stream)) };
    let handshake = Box::pin(encryption.connect(stream));
    match tokio::time::timeout(settings.connect_timeout(), handshake).await {
        Ok(Ok(stream)) => Ok(UpstreamConnection::new(stream)),
        Ok(Err(failure)) => Err(Failure::Tls(failure)),
        Err(_) => Err(Failure::TimedOut(Stage::Handshake)),
    }
}

fn options(settings: &PassSettings, request: &Request) -> ConnectOptions {
    let (send_buffer, receive_buffer) = settings.socket_buffers();
    let mut options = ConnectOptions {
        keep_alive: settings.socket_keepalive(),
        send_buffer: send_buffer.and_then(|size| usize::try_from(size).ok()),
        receive_buffer: receive_buffer.and_then(|size| usize::try_from(size).ok()),
        ..ConnectOptions::default()
    };
    let Some(Bind::Address { address, is_transparent }) = settings.bind() else { return options };
    let text = address.value(request);
    if text.is_empty() {
        return options;
    }
    options.local = parse_bind(&text);
    options.is_transparent = *is_transparent;
    if options.local.is_none() {
        let text = String::from_utf8_lossy(&text);
        request.log(Level::Error, format_args!("invalid local address \"{text}\""));
    }
    options
}

/// An address with or without a port.
#[must_use]
pub fn parse_bind(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse().ok().or_else(|| bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0)))
}

fn refused(address: &UpstreamAddress, source: io::Error) -> Failure {
    let Some(path) = address.path() else { return Failure::Connect { to: String::new(), source, hint: String::new() } };
    let hint = daemun_net::refusal_on_path(path).map(|refusal| format!(", {refusal}")).unwrap_or_default();
    Failure::Connect { to: format!(" to {address}"), source, hint }
}
