//! Requests that another web server hands on, as variables: by the uwsgi protocol, SCGI or FastCGI. One loop, a decoder each.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, ready};

use daemun_gateway::fastcgi::{FastCgiError, PairError, RequestEvent, ServerSide};
use daemun_gateway::{scgi, uwsgi};

use super::client::Client;
use super::gateway_request::{self, VariableError};
use super::http1::{finish_request, head_timeout, new_request, wait_for_octets};
use super::tls;
use crate::edge::EdgeThread;
use crate::engine;
use crate::limits::GATEWAY_VARIABLES_BYTES;
use crate::listener::Protocol;
use crate::log::Level;
use crate::request::Request;
use crate::runtime::ThreadRuntime;
use crate::statistics::Activity;
use crate::{clock, thread};

/// Serves a connection: one request, or by FastCGI as many as the other side sends.
pub async fn serve(client: Rc<Client>, edge: Rc<EdgeThread>) {
    while client.has_pending_input() || wait_for_octets(&client, &edge).await {
        if !Box::pin(serve_request(&client, &edge)).await {
            return;
        }
    }
}

/// Serves a request whose first octets are here. True where another may follow.
async fn serve_request(client: &Rc<Client>, edge: &Rc<EdgeThread>) -> bool {
    let runtime = edge.runtime_for(client);
    client.set_deadline(head_timeout(client, edge));
    let mut request = new_request(client, &runtime);
    client.enter(Activity::Reading);
    let result = read_variables(client, &mut request).await;
    client.clear_deadline();
    request.serial = thread::next_request_serial();
    request.started_ms = clock::monotonic_ms();
    client.enter(Activity::Writing);
    let goes_on = match result {
        Ok(()) => {
            client.requests.set(client.requests.get() + 1);
            let judged = if client.is_on_tls_listener() { tls::judge(&request) } else { Ok(()) };
            let end = match judged {
                Ok(()) => engine::handle(&mut request).await,
                Err(status) => engine::refuse(&mut request, status).await,
            };
            let is_kept = finish_request(client, &mut request, end).await && !edge.is_draining();
            client.records.iter().for_each(|records| records.borrow_mut().finish_request());
            is_kept
        }
        // What was left of an answered request was the last that came.
        Err(HeadFailure::Closed) if client.requests.get() > 0 && !has_begun(client) => false,
        Err(error) => {
            refuse(&request, &runtime, &error);
            false
        }
    };
    thread::give_spare_request(request);
    goes_on
}

/// Whether records have begun a request.
fn has_begun(client: &Client) -> bool {
    client.records.as_ref().is_none_or(|records| records.borrow().request_id().is_some())
}

/// What a connection knows of its records, where it speaks FastCGI.
pub type Records = Rc<RefCell<ServerSide>>;

/// The state of a connection that has just been accepted.
pub(super) fn records(protocol: Protocol) -> Option<Records> {
    let side = || ServerSide::new(GATEWAY_VARIABLES_BYTES, CONNECTIONS_TOLD);
    (protocol == Protocol::FastCgi).then(|| Rc::new(RefCell::new(side())))
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
enum HeadFailure {
    #[error("the connection ended or failed before the request's variables were complete")]
    Closed,
    #[error("the request's variables did not come in time")]
    TimedOut,
    #[error("{0}")]
    Packet(#[from] uwsgi::PacketError),
    #[error("{0}")]
    Block(#[from] scgi::ScgiError),
    #[error("{0}")]
    Records(#[from] FastCgiError),
    #[error("the request has no variables")]
    Empty,
    #[error("modifier {0} is not for a WSGI application")]
    Modifier(u8),
    #[error(transparent)]
    Variable(#[from] VariableError),
}

impl From<PairError> for HeadFailure {
    fn from(error: PairError) -> Self {
        Self::Records(error.into())
    }
}

fn refuse(request: &Request, runtime: &ThreadRuntime, error: &HeadFailure) {
    let setting = &runtime.listener(request.client.listener()).setting;
    let (protocol, address) = (setting.protocol.name(), &setting.address);
    request.log(Level::Error, format_args!("invalid {protocol} request on {address}: {error}"));
}

async fn read_variables(client: &Client, request: &mut Request) -> Result<(), HeadFailure> {
    poll_fn(|context| {
        loop {
            if decode(client, request)? {
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
                Ok(0) => return Poll::Ready(Err(HeadFailure::Closed)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Poll::Ready(Err(HeadFailure::TimedOut));
                }
                Err(_) => return Poll::Ready(Err(HeadFailure::Closed)),
            }
        }
    })
    .await
}

/// Makes a request of the variables if all of them are here.
fn decode(client: &Client, request: &mut Request) -> Result<bool, HeadFailure> {
    let is_whole = {
        let mut input = client.input.borrow_mut();
        let octets = input.as_slice();
        let (taken, is_whole) = match &client.records {
            Some(records) => decode_records(&mut records.borrow_mut(), octets, request)?,
            None if client.protocol == Protocol::Scgi => decode_block(octets, request)?,
            None => decode_packet(octets, request)?,
        };
        input.consume(taken);
        is_whole
    };
    if !is_whole {
        return Ok(false);
    }
    if request.gateway_variables.is_empty() {
        return Err(HeadFailure::Empty);
    }
    gateway_request::fill(request)?;
    request.keep_alive = client.records.as_ref().is_some_and(|records| records.borrow().keeps_connection());
    Ok(true)
}

fn decode_packet(octets: &[u8], request: &mut Request) -> Result<(usize, bool), HeadFailure> {
    match uwsgi::decode(octets, uwsgi::SIZE_MAX)? {
        uwsgi::Decoded::Incomplete { .. } => Ok((0, false)),
        uwsgi::Decoded::Packet { head, .. } if head.modifier1 != WSGI_MODIFIER => {
            Err(HeadFailure::Modifier(head.modifier1))
        }
        uwsgi::Decoded::Packet { variables, taken, .. } => {
            keep(variables, request);
            Ok((taken, true))
        }
    }
}

fn decode_block(octets: &[u8], request: &mut Request) -> Result<(usize, bool), HeadFailure> {
    match scgi::decode(octets, GATEWAY_VARIABLES_BYTES)? {
        scgi::Decoded::Incomplete => Ok((0, false)),
        scgi::Decoded::Block { variables, taken } => {
            keep(variables, request);
            Ok((taken, true))
        }
    }
}

fn decode_records(
    records: &mut ServerSide,
    octets: &[u8],
    request: &mut Request,
) -> Result<(usize, bool), HeadFailure> {
    let mut taken = 0;
    loop {
        let (used, event) = records.next(octets.get(taken..).unwrap_or_default())?;
        taken += used;
        match event {
            RequestEvent::NeedMore => return Ok((taken, false)),
            RequestEvent::Aborted => records.finish_request(),
            RequestEvent::Stdin(_) | RequestEvent::StdinEnd => {} // Not before the variables are complete.
            RequestEvent::Params => {
                let pairs: Result<Vec<_>, PairError> = records.pairs().collect();
                keep(pairs?.into_iter(), request);
                return Ok((taken, true));
            }
        }
    }
}

fn keep<'a>(variables: impl Iterator<Item = (&'a [u8], &'a [u8])>, request: &mut Request) {
    request.gateway_variables.extend(variables.map(|(name, value)| (name.to_vec(), value.to_vec())));
}

/// `modifier1` of a request for a Python WSGI application.
const WSGI_MODIFIER: u8 = 0;

/// What a FastCGI peer is told that asks how many connections it may make.
const CONNECTIONS_TOLD: usize = 512;
