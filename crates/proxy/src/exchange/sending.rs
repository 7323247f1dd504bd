//! What an upstream still has to get of a request while its answer is waited for, or comes already.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use daemun_net::Stream;
use daemun_server::body::{BodyPassage, PassageError, RequestBodyError};
use daemun_server::connection::Deadline;
use daemun_server::response::OpenFile;
use daemun_server::{Outcome, Request, thread};

use super::block::Block;
use super::{Pass, SentHead};
use crate::limits::BLOCK_BYTES;
use crate::transport::{BodyAhead, Framing, Written};

/// A request on its way out. It moves only while it is polled, so that it stops with the request.
pub struct Sending {
    head: Rc<SentHead>,
    head_sent: usize,
    rest: Rest,
    /// Whether all of `rest` has been taken. It stays, for another server.
    is_rest_over: bool,
    /// Octets of the body that are marked and not sent.
    block: Block,
    timeout: Duration,
    deadline: Deadline,
    /// Octets that one server has got.
    sent: u64,
    is_stopped: bool,
}

enum Rest {
    Nothing,
    /// A body that was read before.
    File {
        file: Rc<OpenFile>,
        offset: u64,
        end: u64,
    },
    /// A body that the client still sends.
    Client(BodyPassage),
}

/// Why an upstream did not get all of a request.
#[derive(Debug)]
pub enum SendError {
    /// The client's end failed.
    Client(RequestBodyError),
    /// The upstream's end failed.
    Upstream(io::Error),
    /// The upstream took nothing within the time-out.
    TimedOut,
}

impl Sending {
    /// The request as `pass` writes it, then its body: what has been read of it, or what comes of it.
    ///
    /// # Errors
    /// What the request ends with.
    pub(super) fn of(pass: &Pass<'_>, ahead: BodyAhead, request: &mut Request) -> Result<Self, Outcome> {
        let mut octets = thread::take_write_buffer();
        let written = pass.transport.write_request(request, ahead, &mut octets);
        let sending = written.map(|written| Self::new(&mut octets, written, request, pass.settings.send_timeout()));
        thread::give_write_buffer(octets);
        sending
    }

    fn new(head: &mut Vec<u8>, written: Written, request: &mut Request, timeout: Duration) -> Self {
        let mut rest = Rest::Nothing;
        let mut framing = written.framing.filter(|_| written.passes_body);
        if written.passes_body {
            match (request.body.in_memory(), framing.take()) {
                // It leaves with the head: some servers read once and take what they have for all.
                (Some(octets), Some(framing)) => mark(octets, framing, head),
                (Some(octets), None) => head.extend_from_slice(octets),
                (None, taken) => {
                    framing = taken;
                    rest = body_of(request);
                }
            }
        }
        Self {
            head: Rc::new(SentHead { octets: head.as_slice().into(), written }),
            head_sent: 0,
            rest,
            is_rest_over: false,
            block: Block::new(framing),
            timeout,
            deadline: Deadline::default(),
            sent: 0,
            is_stopped: false,
        }
    }

    /// What stands before the body.
    pub(super) fn sent_head(&self) -> &Rc<SentHead> {
        &self.head
    }

    /// Octets that the present server has got.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the body comes from the client as it is sent, so that it can be sent once only.
    pub fn is_streamed(&self) -> bool {
        matches!(self.rest, Rest::Client(_))
    }

    /// Begins anew, for another server. What was streamed does not come again.
    pub fn restart(&mut self) {
        self.head_sent = 0;
        self.sent = 0;
        self.is_stopped = false;
        self.deadline.clear();
        self.block.restart();
        self.is_rest_over = false;
        match &mut self.rest {
            Rest::File { offset, .. } => *offset = 0,
            Rest::Nothing | Rest::Client(_) => {}
        }
    }

    /// Whether there is nothing left to send, so that the upstream alone is waited for.
    pub fn is_done(&self) -> bool {
        self.is_stopped || (self.head_sent >= self.head.octets.len() && self.block.is_over() && self.is_rest_over)
    }

    /// Whether all of it was sent.
    pub fn is_complete(&self) -> bool {
        self.is_done() && !self.is_stopped
    }

    /// Gives up what has not been sent: the upstream takes no more. Another may still get all of it.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// The answer's head goes out: a client that still waits for `100 Continue` gets none any more.
    pub fn begin_answer(&mut self) {
        if let Rest::Client(passage) = &mut self.rest {
            passage.begin_answer();
        }
    }

    /// Sends what can be sent. Ready once that is all.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn poll(&mut self, context: &mut Context<'_>, stream: &mut Stream) -> Poll<Result<(), SendError>> {
        if self.is_done() {
            return Poll::Ready(Ok(()));
        }
        let before = self.sent;
        let result = self.poll_parts(context, stream);
        if self.sent > before || result.is_ready() {
            self.deadline.clear();
        }
        match result {
            // A client that is slow to send is not an upstream that is slow to take.
            Poll::Pending if !self.waits_for_client() => {
                ready!(self.deadline.poll_after(self.timeout, context));
                Poll::Ready(Err(SendError::TimedOut))
            }
            result => result,
        }
    }

    fn waits_for_client(&self) -> bool {
        self.head_sent >= self.head.octets.len()
            && self.block.is_empty()
            && matches!(&self.rest, Rest::Client(passage) if passage.is_empty())
    }

    fn poll_parts(&mut self, context: &mut Context<'_>, stream: &mut Stream) -> Poll<Result<(), SendError>> {
        self.gather(context)?;
        while let Some(left) = self.head.octets.get(self.head_sent..).filter(|left| !left.is_empty()) {
            let count = ready!(poll_write(stream, context, left)).map_err(SendError::Upstream)?;
            self.head_sent += count;
            self.sent += count as u64;
        }
        loop {
            ready!(self.block.poll_flush(context, stream, &mut self.sent)).map_err(SendError::Upstream)?;
            if self.is_rest_over || ready!(self.poll_rest(context, stream))? {
                self.is_rest_over = true;
                self.block.end();
                ready!(self.block.poll_flush(context, stream, &mut self.sent)).map_err(SendError::Upstream)?;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// What has come of a streamed body leaves together with the head.
    fn gather(&mut self, context: &mut Context<'_>) -> Result<(), SendError> {
        let Self { head, head_sent, rest: Rest::Client(passage), block, .. } = self else { return Ok(()) };
        if *head_sent > 0 {
            return Ok(());
        }
        block.put_bare(&head.octets);
        *head_sent = head.octets.len();
        let moved = passage.poll(context, |_, octets| {
            if block.len() >= BLOCK_BYTES {
                return Poll::Pending;
            }
            let part = octets.get(..BLOCK_BYTES).unwrap_or(octets);
            block.put(part);
            Poll::Ready(Ok(part.len()))
        });
        match moved {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => {
                self.is_rest_over = true;
                self.block.end();
                Ok(())
            }
            Poll::Ready(Err(PassageError::Client(error))) => Err(SendError::Client(error)),
            Poll::Ready(Err(PassageError::Sink(error))) => Err(SendError::Upstream(error)),
        }
    }

    /// Moves a stretch of the body; true at its end.
    fn poll_rest(&mut self, context: &mut Context<'_>, stream: &mut Stream) -> Poll<Result<bool, SendError>> {
        let Self { rest, block, sent, .. } = self;
        match rest {
            Rest::Nothing => Poll::Ready(Ok(true)),
            Rest::File { offset, end, .. } if *offset >= *end => Poll::Ready(Ok(true)),
            Rest::File { file, offset, end } if block.is_framed() => {
                block.put_file(file, offset, *end).map_err(SendError::Upstream)?;
                Poll::Ready(Ok(false))
            }
            Rest::File { file, offset, end } => {
                let before = *offset;
                ready!(poll_send_file(stream, context, file, offset, *end)).map_err(SendError::Upstream)?;
                *sent += *offset - before;
                Poll::Ready(Ok(false))
            }
            Rest::Client(passage) => {
                let moved = passage.poll(context, |context, octets| {
                    if block.is_framed() {
                        ready!(block.poll_flush(context, stream, sent))?;
                        let part = octets.get(..BLOCK_BYTES).unwrap_or(octets);
                        block.put(part);
                        return Poll::Ready(Ok(part.len()));
                    }
                    let count = ready!(poll_write(stream, context, octets))?;
                    *sent += count as u64;
                    Poll::Ready(Ok(count))
                });
                // What has come of the client must not wait for more of it.
                if moved.is_pending() {
                    ready!(block.poll_flush(context, stream, sent)).map_err(SendError::Upstream)?;
                }
                moved.map_ok(|()| true).map_err(|error| match error {
                    PassageError::Client(error) => SendError::Client(error),
                    PassageError::Sink(error) => SendError::Upstream(error),
                })
            }
        }
    }
}

/// Appends all of a body as the protocol marks it.
fn mark(octets: &[u8], framing: &Framing, out: &mut Vec<u8>) {
    for part in octets.chunks(BLOCK_BYTES) {
        (framing.begin)(part.len(), out);
        out.extend_from_slice(part);
        (framing.end)(part.len(), out);
    }
    out.extend_from_slice(framing.last);
}

fn body_of(request: &mut Request) -> Rest {
    if let Some(file) = request.body.in_file() {
        return Rest::File { file: Rc::clone(file), offset: 0, end: request.body.length().unwrap_or(0) };
    }
    request.share_body().map_or(Rest::Nothing, Rest::Client)
}

/// Writes what fits, and never nothing.
pub fn poll_write(stream: &mut Stream, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(stream.poll_send(context, octets)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        result => Poll::Ready(result),
    }
}

fn poll_send_file(
    stream: &Stream,
    context: &mut Context<'_>,
    file: &OpenFile,
    offset: &mut u64,
    end: u64,
) -> Poll<io::Result<usize>> {
    loop {
        let rest = end.saturating_sub(*offset);
        match stream.try_send_file(file.descriptor.as_fd(), offset, rest) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_write_ready(context))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}
