//! One stream: a request's way in, its answer's way out.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use daemun_http::Headers;
use daemun_http::http2::frame::{self, ErrorCode, FrameHead, WINDOW_MAX, flag, kind};
use daemun_http::http2::hpack;
use tokio::task::spawn_local;

use super::shared::Shared;
use crate::connection::client::Client;
use crate::limits::{HTTP2_DRAIN, HTTP2_OUTPUT_BYTES};

/// A stream of an HTTP/2 connection, in the place of a socket. What it receives waits in the input of its [`Client`].
pub(crate) struct Http2Stream {
    pub(super) id: u32,
    pub(super) shared: Rc<Shared>,
    /// The connection.
    pub(crate) connection: Rc<Client>,
    /// Octets of DATA that the client takes.
    send_window: Cell<i64>,
    /// Octets that it may send.
    receive_window: Cell<u32>,
    /// What that window is filled up to.
    window_size: Cell<u32>,
    /// Octets taken out of the input that the client has not been told of.
    credit: Cell<u32>,
    /// Octets that the head announces.
    announced: Cell<Option<u64>>,
    received: Cell<u64>,
    /// The client has sent its last.
    is_input_ended: Cell<bool>,
    /// We have.
    is_output_ended: Cell<bool>,
    /// One of the two has given the stream up, or the connection is no more.
    is_reset: Cell<bool>,
    is_reset_sent: Cell<bool>,
    /// Whether it counts among those that the client may have at once.
    is_counted: Cell<bool>,
    /// The request is over, and what still comes of it is dropped.
    is_draining: Cell<bool>,
    /// Nothing is left to say.
    is_over: Cell<bool>,
    /// What the client sent is no request.
    pub(super) is_malformed: Cell<bool>,
    /// The client took nothing in time.
    pub(super) is_timed_out: Cell<bool>,
    /// Octets of the answer that are to come, where that is known: with the last one the stream ends.
    rest: Cell<Option<u64>>,
    chunk_bytes: Cell<usize>,
    /// Octets it may write while others wait.
    turn: Cell<usize>,
    is_queued: Cell<bool>,
    /// Octets of frames that were sent.
    sent: Cell<u64>,
    read_waker: RefCell<Option<Waker>>,
    write_waker: RefCell<Option<Waker>>,
    close_waker: RefCell<Option<Waker>>,
}

impl Http2Stream {
    pub(super) fn new(id: u32, shared: Rc<Shared>, connection: Rc<Client>, window: u32, is_input_ended: bool) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self {
            id,
            send_window: Cell::new(i64::from(shared.initial_window.get())),
            shared,
            connection,
            receive_window: Cell::new(window),
            window_size: Cell::new(window),
            credit: Cell::new(0),
            announced: Cell::new(None),
            received: Cell::new(0),
            is_input_ended: Cell::new(is_input_ended),
            is_output_ended: Cell::new(false),
            is_reset: Cell::new(false),
            is_reset_sent: Cell::new(false),
            is_counted: Cell::new(true),
            is_draining: Cell::new(false),
            is_over: Cell::new(false),
            is_malformed: Cell::new(false),
            is_timed_out: Cell::new(false),
            rest: Cell::new(None),
            chunk_bytes: Cell::new(frame::DEFAULT_FRAME_BYTES as usize),
            turn: Cell::new(0),
            is_queued: Cell::new(false),
            sent: Cell::new(0),
            read_waker: RefCell::default(),
            write_waker: RefCell::default(),
            close_waker: RefCell::default(),
        }
    }

    /// Whether the client has sent its last octet, which may still wait in the input.
    pub(crate) fn is_input_ended(&self) -> bool {
        self.is_input_ended.get()
    }

    /// Whether what has come is not what the head announced.
    pub(crate) fn is_malformed(&self) -> bool {
        self.is_malformed.get()
    }

    /// The client has not sent or taken in time what it was to.
    pub(crate) fn note_timeout(&self) {
        self.is_timed_out.set(true);
    }

    /// Whether nothing can be sent or received any more.
    pub(super) fn is_reset(&self) -> bool {
        self.is_reset.get()
    }

    /// The head announces so many octets.
    pub(super) fn announce(&self, length: u64) {
        self.announced.set(Some(length));
    }

    /// Reading waits for the client until this is called.
    fn wake_reader(&self) {
        wake(&self.read_waker);
    }
}

/// What comes in.
impl Http2Stream {
    /// Octets of DATA, padding among them, that are about to come; false where they are more than the client may send.
    pub(super) fn take_window(&self, octets: u32) -> bool {
        match self.receive_window.get().checked_sub(octets) {
            Some(rest) => {
                self.receive_window.set(rest);
                true
            }
            None => false,
        }
    }

    /// Octets have come; `client` is the stream's own.
    pub(super) fn receive(&self, client: &Client, octets: &[u8]) {
        let received = self.received.get() + octets.len() as u64;
        self.received.set(received);
        if self.announced.get().is_some_and(|announced| received > announced) {
            self.is_malformed.set(true);
        }
        if self.is_draining.get() {
            self.consumed(octets.len());
            if self.is_malformed.get() {
                self.end();
            }
            return;
        }
        client.input.borrow_mut().push(octets);
        self.wake_reader();
    }

    /// The client has sent its last.
    pub(super) fn end_input(&self) {
        self.is_input_ended.set(true);
        if self.announced.get().is_some_and(|announced| announced != self.received.get()) {
            self.is_malformed.set(true);
        }
        if self.is_draining.get() {
            return self.end();
        }
        self.wake_reader();
    }

    /// Somebody has taken octets out of the input, or padding came: the client may send as many again.
    pub(crate) fn consumed(&self, octets: usize) {
        let credit = self.credit.get().saturating_add(u32::try_from(octets).unwrap_or(u32::MAX));
        self.credit.set(credit);
        if credit >= self.window_size.get() / 4 {
            self.fill_window();
        }
    }

    /// The body is taken as fast as it comes: the client need not wait.
    pub(crate) fn open_window(&self) {
        self.credit.set(self.credit.get().saturating_add(WINDOW_MAX.saturating_sub(self.window_size.get())));
        self.window_size.set(WINDOW_MAX);
        self.fill_window();
    }

    fn fill_window(&self) {
        let credit = self.credit.take().min(WINDOW_MAX.saturating_sub(self.receive_window.get()));
        if credit == 0 || self.is_input_ended.get() || self.is_reset.get() {
            return;
        }
        self.receive_window.set(self.receive_window.get() + credit);
        frame::write_window_update(self.id, credit, &mut self.shared.output.borrow_mut());
        self.shared.wake();
    }

    /// Moves octets of `client`'s input to `buffer`; 0 is the end.
    pub(crate) fn poll_read(
        &self,
        client: &Client,
        context: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut input = client.input.borrow_mut();
        let count = input.as_slice().len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), input.as_slice().get(..count))
            && count > 0
        {
            to.copy_from_slice(from);
            input.consume(count);
            drop(input);
            self.consumed(count);
            return Poll::Ready(Ok(count));
        }
        if self.is_reset.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.is_input_ended.get() {
            return Poll::Ready(Ok(0));
        }
        register(&self.read_waker, context);
        Poll::Pending
    }

    /// Ready once the stream is given up by one of the two.
    pub(crate) fn poll_closed(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_reset.get() {
            return Poll::Ready(());
        }
        register(&self.close_waker, context);
        Poll::Pending
    }
}

/// What goes out.
impl Http2Stream {
    /// Appends the answer's header block.
    pub(super) fn write_block(&self, block: &[u8], is_last: bool) -> io::Result<()> {
        if self.is_reset.get() || self.is_output_ended.get() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut output = self.shared.output.borrow_mut();
        let before = output.len();
        frame::write_block(self.id, block, is_last, self.shared.frame_bytes.get(), &mut output);
        self.note_sent(output.len() - before, is_last);
        Ok(())
    }

    /// What is known of the body: octets of its largest DATA frame, and its length.
    pub(super) fn expect(&self, chunk_bytes: usize, length: Option<u64>) {
        self.chunk_bytes.set(chunk_bytes);
        self.rest.set(length);
    }

    /// Octets of a DATA frame that may be written now.
    fn allowance(&self) -> usize {
        let shared = &self.shared;
        let window = self.send_window.get().min(shared.send_window.get());
        if window <= 0 || shared.is_full() || (self.turn.get() == 0 && shared.has_queue()) {
            return 0;
        }
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        window.min(self.chunk_bytes.get()).min(shared.frame_bytes.get()).min(HTTP2_OUTPUT_BYTES)
    }

    /// Writes one DATA frame of what fits, `wanted` octets at most: `fill` appends them and says how many they are.
    fn write_frame(
        &self,
        wanted: usize,
        fill: impl FnOnce(&mut Vec<u8>, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.is_reset.get() || self.is_output_ended.get() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.allowance().min(wanted);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut output = self.shared.output.borrow_mut();
        let start = output.len();
        FrameHead { length: 0, kind: kind::DATA, flags: 0, stream: self.id }.write(&mut output);
        let body = output.len();
        let filled = fill(&mut output, count);
        let Ok(count @ 1..) = filled else {
            output.truncate(start);
            return filled;
        };
        let rest = self.rest.get().map(|rest| rest.saturating_sub(count as u64));
        self.rest.set(rest);
        let is_last = rest == Some(0);
        let flags = if is_last { flag::END_STREAM } else { 0 };
        let mut head = Vec::with_capacity(frame::HEAD_BYTES);
        FrameHead { length: count, kind: kind::DATA, flags, stream: self.id }.write(&mut head);
        if let Some(place) = output.get_mut(start..body) {
            place.copy_from_slice(&head);
        }
        self.note_sent(output.len() - start, is_last);
        drop(output);
        self.turn.set(self.turn.get().saturating_sub(count));
        self.send_window.set(self.send_window.get() - count as i64);
        self.shared.send_window.set(self.shared.send_window.get() - count as i64);
        Ok(count)
    }

    fn note_sent(&self, octets: usize, is_last: bool) {
        self.sent.set(self.sent.get() + octets as u64);
        if is_last {
            self.is_output_ended.set(true);
        }
        self.shared.wake();
    }

    /// Writes octets of `pieces`, `most` at most.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; `ConnectionAborted` when the stream is no more.
    pub(crate) fn try_write(&self, pieces: &[io::IoSlice<'_>], most: usize) -> io::Result<usize> {
        let total = pieces.iter().map(|piece| piece.len()).sum::<usize>().min(most);
        self.write_frame(total, |out, count| {
            let mut left = count;
            for piece in pieces {
                let part = piece.get(..left).unwrap_or(piece);
                out.extend_from_slice(part);
                left -= part.len();
            }
            Ok(count)
        })
    }

    /// Writes octets of a file from `offset` on, `most` at most.
    ///
    /// # Errors
    /// As [`Http2Stream::try_write`]; what reading says.
    pub(crate) fn try_write_file(&self, file: BorrowedFd<'_>, offset: u64, most: usize) -> io::Result<usize> {
        self.write_frame(most, |out, count| {
            let start = out.len();
            out.resize(start + count, 0);
            let read = out.get_mut(start..).map_or(Ok(0), |place| rustix::io::pread(file, place, offset))?;
            out.truncate(start + read);
            Ok(read)
        })
    }

    /// Ready when octets may be written.
    pub(crate) fn poll_writable(self: &Rc<Self>, context: &Context<'_>) -> Poll<io::Result<()>> {
        if self.is_reset.get() || self.is_output_ended.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.allowance() > 0 {
            return Poll::Ready(Ok(()));
        }
        register(&self.write_waker, context);
        if self.send_window.get() <= 0 {
            self.yield_turn();
        } else if !self.is_queued.replace(true) {
            self.turn.set(0);
            self.shared.queue(Rc::clone(self));
            if !self.shared.is_full() {
                self.shared.give_turns();
            }
        }
        Poll::Pending
    }

    /// Gives its turn to others; it has nothing to write for now.
    pub(crate) fn yield_turn(&self) {
        if self.turn.take() > 0 {
            self.shared.give_turns();
        }
    }

    /// May write so many octets; false where it has no use for them.
    pub(super) fn take_turn(&self, octets: usize) -> bool {
        self.is_queued.set(false);
        if self.is_reset.get() || self.send_window.get() <= 0 {
            return false;
        }
        self.turn.set(octets);
        wake(&self.write_waker);
        true
    }

    /// Ends the answer, with fields behind it or without.
    pub(super) fn finish(&self, trailers: &Headers) -> io::Result<()> {
        if self.is_output_ended.get() {
            return Ok(());
        }
        if trailers.is_empty() {
            if self.is_reset.get() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let mut output = self.shared.output.borrow_mut();
            FrameHead { length: 0, kind: kind::DATA, flags: flag::END_STREAM, stream: self.id }.write(&mut output);
            self.note_sent(frame::HEAD_BYTES, true);
            return Ok(());
        }
        let mut block = Vec::new();
        self.begin_block(&mut block);
        for field in trailers.iter() {
            hpack::write_field(field.id, field.name, field.value, &mut block);
        }
        self.write_block(&block, true)
    }

    /// Appends what has to stand before the fields of a block.
    pub(super) fn begin_block(&self, block: &mut Vec<u8>) {
        if self.shared.is_table_changed.take() {
            hpack::write_size_update(block);
        }
    }

    /// Sends an answer before the answer.
    pub(crate) fn send_interim(&self, block: &[u8]) -> io::Result<()> {
        let mut whole = Vec::with_capacity(block.len() + 1);
        self.begin_block(&mut whole);
        whole.extend_from_slice(block);
        self.write_block(&whole, false)
    }

    /// Octets of frames that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// The client takes more, or less; false where that is more than there can be.
    pub(super) fn change_window(&self, change: i64) -> bool {
        let window = self.send_window.get() + change;
        if window > i64::from(WINDOW_MAX) {
            return false;
        }
        self.send_window.set(window);
        if window > 0 {
            wake(&self.write_waker);
        }
        true
    }
}

/// How it ends.
impl Http2Stream {
    /// Gives the stream up and tells the client why.
    pub(super) fn reset(&self, code: ErrorCode) {
        if !self.is_reset_sent.replace(true) {
            frame::write_rst_stream(self.id, code, &mut self.shared.output.borrow_mut());
            self.shared.wake();
        }
        self.note_reset();
    }

    /// The stream is no more; whoever waits hears of it.
    pub(super) fn note_reset(&self) {
        self.is_reset.set(true);
        self.leave_count();
        if self.is_draining.get() {
            self.end();
        }
        for waker in [&self.read_waker, &self.write_waker, &self.close_waker] {
            wake(waker);
        }
    }

    fn leave_count(&self) {
        if self.is_counted.replace(false) {
            self.shared.open.set(self.shared.open.get().saturating_sub(1));
        }
    }

    /// The request is over. A client that has its answer and still sends may say what it has on its way; it is heard, and what it
    /// sends is dropped.
    pub(super) fn close(self: &Rc<Self>) {
        self.leave_count();
        self.yield_turn();
        if !self.is_output_ended.get() {
            return self.end();
        }
        self.shared.finished.set(self.shared.finished.get().saturating_add(1));
        if self.is_input_ended.get() || self.is_reset.get() || self.is_malformed.get() {
            return self.end();
        }
        self.is_draining.set(true);
        let stream = Rc::clone(self);
        spawn_local(async move {
            tokio::time::sleep(HTTP2_DRAIN).await;
            stream.end();
        });
    }

    /// Nobody has anything to say any more: what the client does not know yet it is told.
    fn end(&self) {
        if self.is_over.replace(true) {
            return;
        }
        let code = match (self.is_output_ended.get(), self.is_input_ended.get()) {
            (false, _) if self.is_timed_out.get() => Some(ErrorCode::PROTOCOL_ERROR),
            (false, _) => Some(ErrorCode::INTERNAL_ERROR),
            _ if self.is_malformed.get() => Some(ErrorCode::PROTOCOL_ERROR),
            (true, false) => Some(ErrorCode::NO_ERROR),
            (true, true) => None,
        };
        let was_reset = self.is_reset.replace(true);
        if let (Some(code), false) = (code, was_reset) {
            self.reset(code);
        }
        self.shared.remove(self.id, self.is_reset_sent.get());
    }
}

fn register(slot: &RefCell<Option<Waker>>, context: &Context<'_>) {
    let mut slot = slot.borrow_mut();
    if !slot.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
        *slot = Some(context.waker().clone());
    }
}

fn wake(slot: &RefCell<Option<Waker>>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
