//! One request to one of an upstream's servers: connect, send, read the head.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use daemun_gateway::uwsgi::{PacketWriter, SIZE_MAX};
use daemun_http::{
    AnswerError, AnswerForm, AnswerFraming, AnswerLimits, AnswerReader, Parsed, ResponseHead, StatusCode,
};
use daemun_net::Stream;
use daemun_server::backend::{BodyTransfer, Environment};
use daemun_server::body::RequestBodyError;
use daemun_server::log::Level;
use daemun_server::{Outcome, Request, Response};
use tokio::net::{TcpStream, UnixStream};

use crate::answer_body::AnswerBody;
use crate::conversation::{Conversation, ConversationError};
use crate::limits::READ_BYTES;
use crate::sending::Sending;
use crate::upstream::{Attempts, Peer, PeerResult, Upstream, UpstreamAddress};
use crate::uwsgi_pass::UwsgiPass;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("connect() to {address} failed ({source}){hint} while connecting to upstream")]
    Connect { address: String, source: io::Error, hint: String },
    #[error("upstream timed out while {0}")]
    TimedOut(&'static str),
    #[error("sending the request to upstream failed ({0})")]
    Send(io::Error),
    #[error("reading the response header from upstream failed ({0})")]
    Read(io::Error),
    #[error("upstream prematurely closed connection while reading response header from upstream")]
    Closed,
    #[error("upstream sent status {0}, which is no final answer, while reading response header from upstream")]
    Interim(u16),
    #[error("{0} while reading response header from upstream")]
    Head(AnswerError),
    /// The upstream is not to blame.
    #[error("{0}")]
    RequestBody(RequestBodyError),
}

impl ExchangeError {
    fn status(&self) -> StatusCode {
        match self {
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl From<ConversationError> for ExchangeError {
    fn from(error: ConversationError) -> Self {
        match error {
            ConversationError::Client(error) => Self::RequestBody(error),
            ConversationError::SendTimedOut => Self::TimedOut("sending request to upstream"),
            ConversationError::Send(error) => Self::Send(error),
            ConversationError::ReadTimedOut => Self::TimedOut("reading response header from upstream"),
            ConversationError::Read(error) => Self::Read(error),
        }
    }
}

/// Passes `request` on and answers with what comes back.
pub async fn run(pass: &UwsgiPass, upstream: &Arc<Upstream>, request: &mut Request) -> Outcome {
    if !may_stream(pass, request)
        && let Err(outcome) = request.read_body(None).await
    {
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
    let mut attempts = upstream.begin(request);
    loop {
        let peer = match attempts.next(request) {
            Ok(peer) => peer,
            Err(error) => {
                request.log(Level::Error, format_args!("{error}, upstream: \"uwsgi://{}\"", upstream.name));
                return Outcome::Finish(StatusCode::BAD_GATEWAY);
            }
        };
        // Another server may be asked as long as nothing of the request has been taken by one.
        let error = match connect_within(pass, peer.address()).await {
            Ok(stream) => {
                let sending = Sending::new(packet, request, pass.pass_request_body(), pass.send_timeout());
                let conversation = Conversation::new(stream, sending, pass.read_timeout());
                return converse(pass, conversation, &mut attempts, peer, request).await;
            }
            Err(error) => error,
        };
        request.log(Level::Error, format_args!("{error}, upstream: \"uwsgi://{}\"", peer.name()));
        attempts.report(request, &peer, PeerResult::Failed);
        if attempts.tries_left() == 0 {
            return Outcome::Finish(error.status());
        }
    }
}

/// The packet must tell the length, so a chunked body is read first whatever `uwsgi_request_buffering` says, as in nginx.
fn may_stream(pass: &UwsgiPass, request: &Request) -> bool {
    pass.body_transfer() == BodyTransfer::Streamed && pass.pass_request_body() && request.body.length().is_some()
}

async fn converse(
    pass: &UwsgiPass,
    conversation: Conversation,
    attempts: &mut Attempts,
    peer: Peer,
    request: &mut Request,
) -> Outcome {
    match read_answer(pass, conversation, request).await {
        Ok((mut response, rest)) => {
            attempts.head_arrived(request, &peer, &mut response.head);
            attempts.report(request, &peer, PeerResult::Answered);
            if let Some((conversation, octets, length)) = rest {
                response.body = AnswerBody::body(conversation, octets, length, peer);
            }
            Outcome::Respond(response)
        }
        Err(ExchangeError::RequestBody(error)) => request.refuse_body(&error),
        Err(error) => {
            request.log(Level::Error, format_args!("{error}, upstream: \"uwsgi://{}\"", peer.name()));
            attempts.report(request, &peer, PeerResult::Failed);
            Outcome::Finish(error.status())
        }
    }
}

/// What follows a head: the connection, what came of the body with the head, and its length where that is known.
type RestOfAnswer = (Conversation, Vec<u8>, Option<u64>);

async fn connect_within(pass: &UwsgiPass, address: &UpstreamAddress) -> Result<Stream, ExchangeError> {
    let connected = tokio::time::timeout(pass.connect_timeout(), connect(address)).await;
    connected.unwrap_or(Err(ExchangeError::TimedOut("connecting to upstream")))
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

async fn read_answer(
    pass: &UwsgiPass,
    mut conversation: Conversation,
    request: &Request,
) -> Result<(Box<Response>, Option<RestOfAnswer>), ExchangeError> {
    let limits = AnswerLimits { head_bytes: pass.buffer_size(), ..AnswerLimits::default() };
    let mut reader = AnswerReader::new(AnswerForm::Gateway);
    let mut head = ResponseHead::new(StatusCode::OK);
    let mut octets = Vec::with_capacity(READ_BYTES);
    let taken = loop {
        if poll_fn(|context| conversation.poll_read(context, &mut octets)).await? == 0 {
            return Err(ExchangeError::Closed);
        }
        if let Parsed::Complete { taken } = reader.parse(&octets, &limits, &mut head).map_err(ExchangeError::Head)? {
            break taken;
        }
    };
    if head.status.is_informational() {
        return Err(ExchangeError::Interim(head.status.as_u16()));
    }
    let framing = reader.framing(&head, request.is_head());
    // How the upstream frames its connection is not how we frame ours.
    head.headers.retain(|header| !header.id.is_hop_by_hop());
    octets.drain(..taken);
    let mut response = Response::new(head.status);
    response.is_own = false;
    response.head = head;
    let rest = match framing {
        AnswerFraming::None => None,
        AnswerFraming::Length(length) => Some((conversation, octets, Some(length))),
        // The uwsgi protocol has no chunks: the connection's end is the body's.
        AnswerFraming::Chunked | AnswerFraming::UntilClose => Some((conversation, octets, None)),
    };
    Ok((response, rest))
}
