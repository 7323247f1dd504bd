//! One request to one of an upstream's servers: connect, send, read the head.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use daemun_gateway::uwsgi::{PacketWriter, SIZE_MAX};
use daemun_http::{
    AnswerError, AnswerForm, AnswerFraming, AnswerLimits, AnswerReader, Parsed, ResponseHead, StatusCode,
};
use daemun_net::Stream;
use daemun_server::backend::Environment;
use daemun_server::log::Level;
use daemun_server::response::Body;
use daemun_server::{Outcome, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UnixStream};

use crate::answer_body::AnswerBody;
use crate::limits::READ_BYTES;
use crate::upstream::{Upstream, UpstreamAddress};
use crate::uwsgi_pass::UwsgiPass;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("connect() to {address} failed ({source}){hint} while connecting to upstream")]
    Connect { address: String, source: io::Error, hint: String },
    #[error("upstream timed out while {stage}")]
    TimedOut { stage: &'static str },
    #[error("sending the request to upstream failed ({0})")]
    Send(io::Error),
    #[error("reading the response header from upstream failed ({0})")]
    Read(io::Error),
    #[error("upstream prematurely closed connection while reading response header from upstream")]
    Closed,
    #[error("{0} while reading response header from upstream")]
    Head(AnswerError),
}

impl ExchangeError {
    fn status(&self) -> StatusCode {
        match self {
            Self::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether another server may be asked: nothing of the request has been taken by this one.
    fn allows_next(&self) -> bool {
        matches!(self, Self::Connect { .. }) || matches!(self, Self::TimedOut { stage } if *stage == CONNECTING)
    }
}

const CONNECTING: &str = "connecting to upstream";

/// Passes `request` on and answers with what comes back.
pub async fn run(pass: &UwsgiPass, upstream: &Upstream, request: &mut Request) -> Outcome {
    if let Err(outcome) = request.read_body(0).await {
        return outcome;
    }
    let mut packet = Vec::with_capacity(1024);
    let (modifier1, modifier2) = pass.modifiers();
    let mut writer = PacketWriter::new(&mut packet, modifier1, modifier2);
    if let Err(full) = pass.write(request, &mut writer) {
        request.log(Level::Error, format_args!("{full}: a uwsgi packet holds {SIZE_MAX}"));
        return Outcome::Finish(StatusCode::REQUEST_HEADER_TOO_LARGE);
    }
    writer.finish();
    let mut status = StatusCode::BAD_GATEWAY;
    for server in upstream.in_turn() {
        match ask(pass, &server.address, request, &packet).await {
            Ok(response) => return Outcome::Respond(response),
            Err(error) => {
                request.log(Level::Error, format_args!("{error}, upstream: \"uwsgi://{}\"", server.address));
                status = error.status();
                if !error.allows_next() {
                    break;
                }
            }
        }
    }
    Outcome::Finish(status)
}

async fn ask(
    pass: &UwsgiPass,
    address: &UpstreamAddress,
    request: &Request,
    packet: &[u8],
) -> Result<Box<Response>, ExchangeError> {
    let mut stream = within(pass.connect_timeout(), CONNECTING, connect(address)).await?;
    send(pass, &mut stream, request, packet).await?;
    read_answer(pass, stream, address, request).await
}

async fn within<T>(
    time: Duration,
    stage: &'static str,
    work: impl Future<Output = Result<T, ExchangeError>>,
) -> Result<T, ExchangeError> {
    tokio::time::timeout(time, work).await.unwrap_or(Err(ExchangeError::TimedOut { stage }))
}

async fn connect(address: &UpstreamAddress) -> Result<Stream, ExchangeError> {
    let connected = match address {
        UpstreamAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::from),
        UpstreamAddress::Inet(address) => TcpStream::connect(address).await.map(Stream::from),
    };
    connected.map_err(|source| {
        let hint = address
            .path()
            .and_then(daemun_net::refusal_on_path)
            .map(|refusal| format!(", {refusal}"))
            .unwrap_or_default();
        ExchangeError::Connect { address: address.to_string(), source, hint }
    })
}

async fn send(pass: &UwsgiPass, stream: &mut Stream, request: &Request, packet: &[u8]) -> Result<(), ExchangeError> {
    const STAGE: &str = "sending request to upstream";
    let time = pass.send_timeout();
    within(time, STAGE, async { stream.write_all(packet).await.map_err(ExchangeError::Send) }).await?;
    if !pass.pass_request_body() {
        return Ok(());
    }
    if let Some(file) = request.body.in_file() {
        let length = request.body.length().unwrap_or(0);
        let mut offset = 0;
        while offset < length {
            let descriptor = file.descriptor.as_fd();
            let rest = length - offset;
            let call = stream
                .async_io(Interest::WRITABLE, || daemun_net::send_file(stream.as_fd(), descriptor, &mut offset, rest));
            let sent = within(time, STAGE, async { call.await.map_err(ExchangeError::Send) }).await?;
            if sent == 0 {
                return Err(ExchangeError::Send(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    } else if let Some(octets) = request.body.in_memory() {
        within(time, STAGE, async { stream.write_all(octets).await.map_err(ExchangeError::Send) }).await?;
    }
    Ok(())
}

async fn read_answer(
    pass: &UwsgiPass,
    mut stream: Stream,
    address: &UpstreamAddress,
    request: &Request,
) -> Result<Box<Response>, ExchangeError> {
    let limits = AnswerLimits { head_bytes: pass.buffer_size(), ..AnswerLimits::default() };
    let mut reader = AnswerReader::new(AnswerForm::Gateway);
    let mut head = ResponseHead::new(StatusCode::OK);
    let mut octets = Vec::with_capacity(READ_BYTES);
    let taken = loop {
        let read = async { stream.read_buf(&mut octets).await.map_err(ExchangeError::Read) };
        if within(pass.read_timeout(), "reading response header from upstream", read).await? == 0 {
            return Err(ExchangeError::Closed);
        }
        if let Parsed::Complete { taken } = reader.parse(&octets, &limits, &mut head).map_err(ExchangeError::Head)? {
            break taken;
        }
    };
    let framing = reader.framing(&head, request.is_head());
    octets.drain(..taken);
    let mut response = Response::new(head.status);
    response.is_own = false;
    response.head = head;
    response.body = match framing {
        AnswerFraming::None => Body::Empty,
        AnswerFraming::Length(length) => AnswerBody::body(stream, octets, Some(length), pass.read_timeout(), address),
        // The uwsgi protocol has no chunks: the connection's end is the body's.
        AnswerFraming::Chunked | AnswerFraming::UntilClose => {
            AnswerBody::body(stream, octets, None, pass.read_timeout(), address)
        }
    };
    Ok(response)
}
