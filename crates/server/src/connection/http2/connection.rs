//! The task of a connection: it reads frames, starts requests and writes what they have for the client.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use daemun_http::http2::frame::{self, DEFAULT_WINDOW, ErrorCode, WINDOW_MAX, setting};
use daemun_http::http2::hpack::{BlockScan, Decoder, HpackError};

use super::default_core;
use super::flood::{Flood, FloodGuard};
use super::frames::State;
use super::requests::{self, Opening};
use super::shared::Shared;
use crate::clock;
use crate::config::Core;
use crate::connection::client::Client;
use crate::connection::http1::linger;
use crate::connection::timer::Deadline;
use crate::edge::EdgeThread;
use crate::limits::HTTP2_OUTPUT_BYTES;
use crate::log::{self, Level};
use crate::runtime::ThreadRuntime;
use crate::statistics::Activity;
use crate::thread;

/// Serves a connection until it is closed. What has been read of it, the preface among it, is in the client's input.
pub(crate) async fn serve(client: Rc<Client>, edge: Rc<EdgeThread>) {
    let mut connection = Connection::new(client, edge);
    poll_fn(|context| connection.poll(context)).await;
    log::flush(); // Whoever sees the connection end finds its requests in the log.
    if !connection.is_gone {
        let runtime = connection.runtime();
        // A stop does not wait for clients that say nothing.
        let is_expecting = !connection.edge.is_draining();
        linger(&connection.client, &default_core(&connection.client, &runtime).transfer, is_expecting).await;
    }
}

/// Why a connection ends before its time.
#[derive(Debug)]
pub(super) struct ConnectionError {
    pub(super) code: ErrorCode,
    pub(super) text: String,
}

impl ConnectionError {
    pub(super) fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl From<HpackError> for ConnectionError {
    fn from(error: HpackError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<Flood> for ConnectionError {
    fn from(flood: Flood) -> Self {
        let code = if flood == Flood::Overhead { ErrorCode::NO_ERROR } else { ErrorCode::ENHANCE_YOUR_CALM };
        Self::new(code, flood.to_string())
    }
}

/// What is waited for, where it is the client's turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaited {
    /// A request is being answered.
    Nothing,
    /// The first request, or the rest of one's head.
    Head,
    /// Another request.
    Request,
}

/// An HTTP/2 connection.
pub(super) struct Connection {
    pub(super) client: Rc<Client>,
    pub(super) edge: Rc<EdgeThread>,
    pub(super) shared: Rc<Shared>,
    pub(super) state: State,
    pub(super) scan: BlockScan,
    pub(super) decoder: Decoder,
    pub(super) flood: FloodGuard,
    /// The client's latest stream.
    pub(super) last_stream: u32,
    /// Octets of DATA that the client may send on the whole connection.
    pub(super) receive_window: u32,
    pub(super) has_acknowledged: bool,
    /// Streams that were begun since octets were last waited for, and those that were refused in all.
    pub(super) new_streams: u32,
    pub(super) refused_streams: u32,
    pub(super) priorities_left: u32,
    /// Requests whose heads have been read just now.
    pub(super) opened: Vec<Opening>,
    /// GOAWAY has been sent: no further stream is served.
    pub(super) is_leaving: bool,
    /// Nothing is read any more.
    is_deaf: bool,
    /// The socket is of no use any more.
    is_gone: bool,
    awaited: Awaited,
    send_deadline: Deadline,
}

impl Connection {
    fn new(client: Rc<Client>, edge: Rc<EdgeThread>) -> Self {
        let runtime = edge.runtime_for(&client);
        let settings = &default_core(&client, &runtime).http2;
        let shared = Rc::new(Shared::new());
        let output = &mut shared.output.borrow_mut();
        let ours = [
            (setting::MAX_CONCURRENT_STREAMS, settings.max_concurrent_streams()),
            (setting::INITIAL_WINDOW_SIZE, settings.body_preread_size()),
            (setting::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        frame::write_settings(&ours, output);
        frame::write_window_update(0, WINDOW_MAX - DEFAULT_WINDOW, output);
        client.has_begun.set(true);
        client.clear_deadline();
        Self {
            priorities_left: settings.max_concurrent_streams().max(100),
            client,
            edge,
            shared: Rc::clone(&shared),
            state: State::Preface,
            scan: BlockScan::default(),
            decoder: Decoder::default(),
            flood: FloodGuard::default(),
            last_stream: 0,
            receive_window: WINDOW_MAX,
            has_acknowledged: false,
            new_streams: 0,
            refused_streams: 0,
            opened: Vec::new(),
            is_leaving: false,
            is_deaf: false,
            is_gone: false,
            awaited: Awaited::Nothing,
            send_deadline: Deadline::default(),
        }
    }

    /// The configuration in force for the connection itself.
    pub(super) fn runtime(&self) -> Rc<ThreadRuntime> {
        self.edge.runtime_for(&self.client)
    }

    /// Asks the settings of the server that answers before any name is known.
    pub(super) fn setting<T>(&self, read: impl FnOnce(&Core) -> T) -> T {
        read(default_core(&self.client, &self.runtime()))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.shared.set_waker(context.waker());
        self.client.watch(context.waker());
        self.shared.is_running.set(true);
        let result = self.run(context);
        self.shared.is_running.set(false);
        result
    }

    /// Does what can be done. Ready at the connection's end.
    fn run(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.client.is_last_request.get() {
            self.leave(ErrorCode::NO_ERROR);
        }
        let budget = self.setting(|core| core.http2.recv_buffer_size());
        let mut read = 0;
        self.new_streams = 0;
        loop {
            let has_read = match self.read(context) {
                Ok(Some(count)) => {
                    read += count;
                    true
                }
                Ok(None) => false,
                Err(error) => {
                    self.fail(&error);
                    false
                }
            };
            self.start_requests(context);
            if has_read && read < budget {
                continue;
            }
            if has_read {
                context.waker().wake_by_ref(); // There may be more, once others have had their turn.
            }
            break;
        }
        let flushed = self.flush(context);
        self.shared.give_turns();
        if self.is_over(flushed.is_ready()) {
            return Poll::Ready(());
        }
        self.await_client(context);
        Poll::Pending
    }

    /// Whether nothing is left to do.
    fn is_over(&self, is_flushed: bool) -> bool {
        let is_idle = self.shared.streams.borrow().is_empty();
        is_idle && (self.is_gone || (self.is_leaving && is_flushed && self.shared.pending() == 0))
    }

    /// Reads and heeds what is there: how many octets, `None` where there are none for now.
    fn read(&mut self, context: &mut Context<'_>) -> Result<Option<usize>, ConnectionError> {
        if self.is_deaf || self.is_gone || self.shared.pending() >= 2 * HTTP2_OUTPUT_BYTES {
            return Ok(None); // Who takes no answers asks for nothing more.
        }
        if matches!(self.state, State::Preface) && self.client.has_pending_input() {
            let input = self.client.take_pending_input();
            self.take(&input)?;
            return Ok(Some(input.len()));
        }
        let client = Rc::clone(&self.client);
        let read = thread::with_read_buffer(|buffer| {
            let count = ready!(client.poll_read(context, buffer));
            Poll::Ready(count.map(|count| {
                let taken = self.take_behind_rest(buffer.get(..count).unwrap_or_default());
                (count, taken)
            }))
        });
        match read {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok((0, _))) => {
                let is_busy = !self.shared.streams.borrow().is_empty() || self.client.has_pending_input();
                if is_busy {
                    self.log(format_args!("client prematurely closed connection"));
                }
                self.lose();
                Ok(None)
            }
            Poll::Ready(Ok((count, taken))) => {
                taken?;
                self.flood.total(count)?;
                Ok(Some(count))
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => self.time_out().map(|()| None),
            Poll::Ready(Err(_)) => {
                self.lose();
                Ok(None)
            }
        }
    }

    /// The client has not sent in time what was awaited: the connection ends, or the stream whose head has not come.
    fn time_out(&mut self) -> Result<(), ConnectionError> {
        if self.awaited == Awaited::Request {
            return Err(ConnectionError::new(ErrorCode::NO_ERROR, ""));
        }
        let text = "client timed out";
        if !self.give_up_head() {
            return Err(ConnectionError::new(ErrorCode::PROTOCOL_ERROR, text));
        }
        self.log(format_args!("{text}"));
        self.awaited = Awaited::Nothing;
        self.client.clear_deadline();
        Ok(())
    }

    /// Heeds octets that follow those left over.
    fn take_behind_rest(&mut self, octets: &[u8]) -> Result<(), ConnectionError> {
        if !self.client.has_pending_input() {
            return self.take(octets);
        }
        let mut input = self.client.take_pending_input();
        input.extend_from_slice(octets);
        self.take(&input)
    }

    /// Heeds octets; what is no whole frame is left over.
    fn take(&mut self, octets: &[u8]) -> Result<(), ConnectionError> {
        let mut rest = octets;
        while let Some(used) = self.step(rest)? {
            rest = rest.get(used..).unwrap_or_default();
        }
        self.client.input.borrow_mut().push(rest);
        Ok(())
    }

    /// Answers the requests whose heads have come. Most are answered at once; the others get tasks of their own.
    fn start_requests(&mut self, context: &mut Context<'_>) {
        for opening in std::mem::take(&mut self.opened) {
            requests::start(opening, context);
        }
    }

    /// Writes what waits. Ready once nothing does.
    fn flush(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_gone {
            return Poll::Ready(());
        }
        let send_timeout = self.setting(Core::send_timeout);
        let result = self.poll_flush(context, send_timeout);
        if let Poll::Ready(Err(_)) = result {
            self.lose();
        }
        result.map(|_| ())
    }

    fn poll_flush(&mut self, context: &mut Context<'_>, send_timeout: Duration) -> Poll<io::Result<()>> {
        let shared = Rc::clone(&self.shared);
        loop {
            let mut output = shared.output.borrow_mut();
            let written = shared.written.get();
            let rest = output.get(written..).unwrap_or_default();
            if rest.is_empty() {
                output.clear();
                shared.written.set(0);
                if shared.streams.borrow().is_empty() {
                    *output = Vec::new(); // A connection that waits holds no memory.
                }
                self.send_deadline.clear();
                return Poll::Ready(Ok(()));
            }
            match self.client.try_write(rest) {
                Ok(count) => {
                    shared.written.set(written + count);
                    self.send_deadline.set(send_timeout);
                    if written + count >= HTTP2_OUTPUT_BYTES && written + count < output.len() {
                        output.drain(..written + count);
                        shared.written.set(0);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    drop(output);
                    if self.client.poll_writable(context)?.is_pending() {
                        ready!(self.send_deadline.poll_after(send_timeout, context));
                        self.log(format_args!("client timed out"));
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sets until when the client must have sent something.
    fn await_client(&mut self, context: &mut Context<'_>) {
        let is_idle = self.shared.streams.borrow().is_empty();
        let awaited = match is_idle {
            _ if self.state.is_within_head(self.last_stream) => Awaited::Head,
            false => Awaited::Nothing,
            true if self.last_stream == 0 => Awaited::Head,
            true => Awaited::Request,
        };
        let is_at_rest = is_idle && self.shared.pending() == 0;
        if is_at_rest && !self.client.is_idle.replace(true) {
            self.client.idle_since_ms.set(clock::monotonic_ms());
            self.client.enter(Activity::Waiting);
        } else if !is_at_rest {
            self.client.is_idle.set(false);
        }
        if awaited == self.awaited {
            return;
        }
        self.awaited = awaited;
        match awaited {
            Awaited::Nothing => self.client.clear_deadline(),
            Awaited::Head => self.client.set_deadline(self.setting(Core::client_header_timeout)),
            Awaited::Request => self.client.set_deadline(self.setting(Core::keepalive_timeout)),
        }
        context.waker().wake_by_ref(); // The deadline is looked at where octets are waited for.
    }

    /// Says that no further stream is served.
    pub(super) fn leave(&mut self, code: ErrorCode) {
        if !std::mem::replace(&mut self.is_leaving, true) && !self.is_gone {
            frame::write_goaway(self.last_stream, code, &mut self.shared.output.borrow_mut());
        }
    }

    /// Ends the connection, and with it all streams.
    fn fail(&mut self, error: &ConnectionError) {
        if !error.text.is_empty() {
            self.log(format_args!("{}", error.text));
        }
        self.leave(error.code);
        self.is_deaf = true;
        self.opened.clear();
        self.shared.close_all();
    }

    /// The socket is of no use any more.
    fn lose(&mut self) {
        self.is_gone = true;
        self.is_leaving = true;
        self.shared.output.borrow_mut().clear();
        self.shared.written.set(0);
        self.shared.close_all();
    }

    /// A line about the connection.
    pub(super) fn log(&self, text: fmt::Arguments<'_>) {
        let runtime = self.runtime();
        let log = default_core(&self.client, &runtime).error_log();
        if log.wants(Level::Info) {
            let address = &runtime.listener(self.client.listener()).setting.address;
            let (serial, remote) = (self.client.serial, &self.client.remote.address);
            log.write(
                Level::Info,
                format_args!(
                    "*{serial} {text} while processing HTTP/2 connection, client: {remote}, server: {address}"
                ),
            );
        }
    }
}

/// However the task ends, the client is told, and so are the requests that have not been answered.
impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_gone {
            self.leave(ErrorCode::NO_ERROR);
            let output = self.shared.output.take();
            let rest = output.get(self.shared.written.replace(0)..).unwrap_or_default();
            if !rest.is_empty() {
                let _ = self.client.try_write(rest); // As much as goes.
            }
        }
        self.shared.close_all();
        self.shared.streams.borrow_mut().clear();
    }
}
