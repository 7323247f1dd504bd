//! A request for each stream.

use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;

use daemun_http::http2::frame::ErrorCode;
use daemun_http::{Framing, HeadError, Http2Fields, StatusCode};
use tokio::task::spawn_local;

use super::connection::{Connection, ConnectionError};
use super::stream::Http2Stream;
use crate::clock;
use crate::connection::client::Client;
use crate::connection::http1;
use crate::log::Level;
use crate::request::Request;
use crate::statistics::Activity;
use crate::thread;

/// What becomes of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is a request's head.
    Request,
    /// It stands behind a request's body.
    Trailers,
    /// It is read for the sake of those that follow.
    Dropped,
}

/// A request whose head has come.
pub(super) struct Opening {
    end: StreamEnd,
    request: Box<Request>,
    head: Result<(), HeadError>,
}

impl Opening {
    /// Whether it was given up before it was begun.
    pub(super) fn is_reset(&self) -> bool {
        self.end.0.http2.as_ref().is_none_or(|stream| stream.is_reset())
    }
}

/// However a request ends, its stream does.
struct StreamEnd(Rc<Client>);

impl Drop for StreamEnd {
    fn drop(&mut self) {
        if let Some(stream) = &self.0.http2 {
            stream.close();
        }
        self.0.close();
    }
}

impl Connection {
    /// Makes a request of a header block.
    pub(super) fn open(&mut self, id: u32, is_last: bool, block: &[u8]) -> Result<(), ConnectionError> {
        let runtime = self.runtime();
        let connection = &self.client;
        connection.requests.set(connection.requests.get() + 1);
        connection.enter(Activity::Reading);
        connection.enter(Activity::Writing);
        connection.is_idle.set(false);
        let window = self.setting(|core| core.http2.body_preread_size());
        let shared = Rc::clone(&self.shared);
        let stream = Http2Stream::new(id, shared, Rc::clone(connection), window, is_last);
        let client = Rc::new(Client::of_stream(Rc::new(stream), &runtime));
        self.shared.streams.borrow_mut().insert(id, Rc::clone(&client));
        let end = StreamEnd(Rc::clone(&client));
        let mut request = http1::new_request(&client, &runtime);
        request.serial = thread::next_request_serial();
        request.started_ms = clock::monotonic_ms();
        let head_limits = self.setting(http1::head_limits);
        let block_limits = self.block_limits();
        let mut fields = Http2Fields::new(&mut request.head, &head_limits);
        let read = self.decoder.decode(block, block_limits, |name, value| fields.add(name, value));
        let head = fields.conclude(block.len(), is_last);
        if let Err(error) = read {
            thread::give_spare_request(request);
            return Err(error.into());
        }
        if let (Framing::Length(length), Some(stream)) = (request.head.framing(), &client.http2) {
            stream.announce(length);
        }
        self.opened.push(Opening { end, request, head });
        self.leave_after_many();
        Ok(())
    }

    /// `keepalive_requests` and its neighbours: this stream is the last.
    fn leave_after_many(&mut self) {
        let age = clock::monotonic_ms().saturating_sub(self.client.started_ms);
        let requests = u64::from(self.client.requests.get());
        let is_last = self.setting(|core| {
            core.keepalive_timeout().is_zero()
                || requests >= core.keepalive_requests()
                || u128::from(age) > core.keepalive_time().as_millis()
        });
        if is_last {
            self.leave(ErrorCode::NO_ERROR);
        }
    }
}

/// Answers a request, at once if nothing has to be waited for, else in a task of its own.
pub(super) fn start(opening: Opening, context: &mut Context<'_>) {
    if opening.is_reset() {
        thread::give_spare_request(opening.request);
        return; // Given up before anything was done.
    }
    let mut answer: Pin<Box<dyn Future<Output = ()>>> = Box::pin(answer(opening));
    if answer.as_mut().poll(context).is_pending() {
        spawn_local(answer);
    }
}

async fn answer(opening: Opening) {
    let Opening { end, mut request, head } = opening;
    let client = Rc::clone(&end.0);
    let head = match head {
        Ok(()) => accept(&mut request),
        Err(error) => Err(refuse(&mut request, &error)),
    };
    let answered = http1::answer(&mut request, head).await;
    let sent = http1::conclude(&client, &mut request, answered).await;
    if let (Err(error), Some(stream)) = (&sent, &client.http2)
        && error.kind() == std::io::ErrorKind::TimedOut
    {
        stream.note_timeout();
    }
    thread::give_spare_request(request);
}

/// What a wrong head is answered. The server may be known all the same.
fn refuse(request: &mut Request, error: &HeadError) -> StatusCode {
    http1::choose_server(request);
    request.log(Level::Info, format_args!("{error}"));
    let status = error.status();
    if status == StatusCode::BAD_REQUEST
        && let Some(stream) = &request.client.http2
    {
        stream.is_malformed.set(true);
    }
    status
}

fn accept(request: &mut Request) -> Result<(), StatusCode> {
    http1::accept(request)?;
    let is_spoken = request.core().http2.is_on() || request.runtime.listener(request.client.listener()).setting.http2;
    if !is_spoken {
        let text = "client attempted to request the server name for which the negotiated protocol is disabled";
        request.log(Level::Info, format_args!("{text}"));
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    Ok(())
}
